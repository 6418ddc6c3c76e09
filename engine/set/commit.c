/*
 * commit.c - the effects of a transaction, and how they become one frame of the journal.
 *
 * (1) active_since is published before the frame is appended and cleared after every change is marked dirty or has
 *     landed, so that the writer's floor never passes a change it has not seen.
 * (2) Rows land under the gate, held until the frame is in the journal.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"
#include "base/words.h"

#include <stdio.h>
#include <stdlib.h>

enum { MULTI_BYTES = 15 }; /* *1\r\n$5\r\nMULTI\r\n, kept free in front of the text */

/* ---- Effects ---- */

static struct journal_effect *effect_add(struct txn *t, size_t bytes)
{
    struct journal_effect *e;

    if (t->effect_count == t->effect_capacity) {
        t->effect_capacity = t->effect_capacity != 0 ? t->effect_capacity * 2 : 16;
        t->effects = realloc(t->effects, t->effect_capacity * sizeof *t->effects);
        check(t->effects != NULL);
    }
    e = &t->effects[t->effect_count++];
    *e = (struct journal_effect){.bytes = (uint32_t)bytes, .slot = SLOT_NODE, .kind = JOURNAL_MARK};
    return e;
}

static void text_begin(struct txn *t, unsigned db)
{
    if (t->effect_count == t->frame_effects) {
        t->text.size = 0;
        buf_reserve(&t->text, MULTI_BYTES);
        t->text.size = MULTI_BYTES;
    } else if (t->effects[t->effect_count - 1].db != db) {
        char digits[8];
        int n = snprintf(digits, sizeof digits, "%u", db % 100000);
        struct slice words[2] = {SLICE_LITERAL("SELECT"), slice_of(digits, (size_t)n)};

        effect_add(t, words_append(&t->text, words, 2))->db = (uint16_t)db;
    }
}

/* Gives the unbound changes of o (all, if o is NULL) to the effect that was added last. */
static void bind(struct txn *t, const struct obj *o)
{
    struct journal_effect *e = &t->effects[t->effect_count - 1];

    for (size_t i = t->unbound; i < t->touched_count; i++) {
        struct touched *entry = &t->touched[i];

        if (entry->effect != EFFECT_NONE || (o != NULL && entry->o != o))
            continue;
        check(e->slot == SLOT_NODE || e->slot == entry->slot);
        entry->effect = (uint32_t)(t->effect_count - 1);
        e->slot = entry->slot;
        e->kind = JOURNAL_KEY;
        e->keys += entry->keys;
        e->expires += entry->expires;
    }
    while (t->unbound < t->touched_count && t->touched[t->unbound].effect != EFFECT_NONE)
        t->unbound++;
}

void txn_effect_room(struct txn *t, size_t bytes)
{
    check(t->slot_count == 0 && t->effect_count == 0);
    t->text.size = 0;
    (void)buf_reserve_pages(&t->text, MULTI_BYTES + bytes);
    if (t->set->journal->room != NULL)
        t->set->journal->room(t->set->journal->context, bytes);
}

void txn_effect(struct txn *t, struct obj *o, const struct slice *words, size_t word_count)
{
    (void)touch_record(t, o);
    text_begin(t, o->db);
    effect_add(t, words_append(&t->text, words, word_count))->db = o->db;
    bind(t, o);
    t->command_effects++;
}

void txn_command_end(struct txn *t, struct slice raw, const struct slice *words, size_t count_)
{
    if (t->command_changed && t->command_effects == 0 && !t->options.replay) {
        check(t->unbound < t->touched_count);
        text_begin(t, t->db);
        if (raw.size > 0)
            buf_append_slice(&t->text, raw);
        effect_add(t, raw.size > 0 ? raw.size : words_append(&t->text, words, count_))->db = (uint16_t)t->db;
        bind(t, NULL);
    }
    check(t->options.replay || t->unbound == t->touched_count); /* a change without an effect would be lost */
    t->command_changed = false;
    t->command_effects = 0;
}

/* ---- Commit ---- */

static struct slice text_finish(struct txn *t)
{
    struct journal_effect *own;
    size_t keys = 0;
    uint16_t db;

    for (size_t i = t->frame_effects; i < t->effect_count; i++)
        keys += t->effects[i].kind == JOURNAL_KEY;
    if (keys < 2)
        return slice_of(t->text.data + MULTI_BYTES, t->text.size - MULTI_BYTES);
    memcpy(t->text.data, "*1\r\n$5\r\nMULTI\r\n", MULTI_BYTES);
    buf_append(&t->text, "*1\r\n$4\r\nEXEC\r\n", 14);
    db = t->effects[t->effect_count - 1].db; /* before the list moves */
    effect_add(t, 14)->db = db;
    effect_add(t, 0);
    own = t->effects + t->frame_effects;
    memmove(own + 1, own, (t->effect_count - t->frame_effects - 1) * sizeof *own);
    own[0] = (struct journal_effect){.bytes = MULTI_BYTES, .slot = SLOT_NODE, .kind = JOURNAL_MARK, .db = own[1].db};
    for (size_t i = t->frame_touched; i < t->touched_count; i++)
        t->touched[i].effect++;
    return buf_slice(&t->text);
}

/*
 * Local effects all stand at the end of their frame, and a count row holds a slot's changes through a position: all of a
 * frame's or none. So the slot's first effect carries them, or replay would take the first and leave out the rest.
 */
static void deltas_join(struct journal_effect *effects, size_t count)
{
    enum { SEARCHED_MAX = 64 };
    uint32_t *first = count > SEARCHED_MAX ? calloc(SLOTS, sizeof *first) : NULL; /* index + 1 */

    check(first != NULL || count <= SEARCHED_MAX);
    for (size_t i = 0; i < count; i++) {
        struct journal_effect *e = &effects[i];
        size_t k = 0;

        if (e->slot >= SLOTS || (e->keys == 0 && e->expires == 0))
            continue;
        if (first != NULL && first[e->slot] == 0)
            first[e->slot] = (uint32_t)i + 1;
        if (first != NULL)
            k = first[e->slot] - 1;
        while (k < i && (effects[k].slot != e->slot || effects[k].db != e->db))
            k++;
        if (k == i)
            continue;
        effects[k].keys += e->keys;
        effects[k].expires += e->expires;
        e->keys = e->expires = 0;
    }
    free(first);
}

/*
 * The frame of a transaction that follows a primary: its bytes as they came. If they are what this transaction would have
 * written itself, as a stream of another Cairn node is, its effects are those of the stream; else the bytes are a MARK
 * and the effects are local. Returns whether they are local.
 */
static bool stream_finish(struct txn *t, struct slice own, struct slice *text)
{
    size_t kept = t->frame_effects, at = 0, from = t->translated.size;
    struct journal_effect *first;

    if (slice_equal(own, t->stream)) {
        *text = t->stream;
        return false;
    }
    buf_append_slice(&t->translated, t->stream);
    for (size_t i = t->frame_effects; i < t->effect_count; i++) {
        struct journal_effect e = t->effects[i];

        if (e.kind != JOURNAL_MARK) {
            buf_append(&t->translated, own.data + at, e.bytes);
            e.kind |= JOURNAL_LOCAL;
            t->effects[kept++] = e;
        }
        at += e.bytes;
    }
    t->effect_count = kept;
    kept -= t->frame_effects;
    deltas_join(t->effects + t->frame_effects, kept);
    (void)effect_add(t, 0);
    first = t->effects + t->frame_effects;
    memmove(first + 1, first, kept * sizeof *first);
    *first = (struct journal_effect){.bytes = (uint32_t)t->stream.size, .slot = SLOT_NODE, .kind = JOURNAL_MARK,
                                     .db = (uint16_t)t->stream_db};
    *text = slice_of(t->translated.data + from, t->translated.size - from);
    return true;
}

bool txn_frame(struct txn *t, struct slice *text)
{
    struct slice own = t->effect_count > t->frame_effects ? text_finish(t) : (struct slice){0};

    *text = own;
    return t->options.follow && stream_finish(t, own, text);
}

/* In order; later entries of an object overwrite earlier ones. */
void txn_stamp(struct txn *t, const struct stamp *where)
{
    lsn_t lsn = where->base;
    size_t next = where->effect;

    for (size_t i = where->touched; i < where->touched_end; i++) {
        struct touched *entry = &t->touched[i];
        struct slot *slot = &entry->space->slots[entry->slot];
        lsn_t at = t->options.replay ? t->replay_lsn : where->all_at;

        if (at == 0) {
            if (entry->effect < next) { /* effects of different keys may be bound out of order */
                next = where->effect;
                lsn = where->base;
            }
            while (next <= entry->effect)
                lsn += t->effects[next++].bytes;
            at = lsn;
        }
        entry->o->last_change = at;
        if (entry->keys != 0 || entry->expires != 0)
            if (slot->counts_since == 0 && !t->options.replay)
                slot->counts_since = at;
        obj_dirty(t->set, slot, entry->o, at);
    }
}

bool txn_lands_rows(const struct txn *t)
{
    bool rows = batch_count(t->batch) > 0;

    for (size_t i = 0; i < t->touched_count && !rows; i++)
        rows = t->touched[i].through;
    return rows;
}

/* Records that must land with their rows, and the rows. */
void txn_settle(struct txn *t)
{
    bool through = false;

    for (size_t i = 0; i < t->touched_count; i++)
        through |= t->touched[i].through;
    if (through) {
        for (size_t i = 0; i < t->touched_count; i++) {
            if (!t->touched[i].through)
                continue;
            for (size_t k = i + 1; k < t->touched_count; k++)
                if (t->touched[k].o == t->touched[i].o) {
                    t->touched[k].through = true; /* the last entry speaks for the object */
                    t->touched[i].through = false;
                    break;
                }
            if (t->touched[i].through)
                write_through(t, t->touched[i].space, t->touched[i].o);
        }
    }
    if (batch_count(t->batch) > 0) {
        enum err e = store_write(t->set->store, t->batch);

        check(e == OK); /* the change is in the log: a store that refuses it ends the process, replay redoes it */
        batch_clear(t->batch);
    }
    for (size_t i = 0; i < t->garbage_count; i++) /* only now: the reaper may start at once */
        set_garbage_add(t->set, &t->garbage[i]);
    t->garbage_count = 0;
}

/* Tombstones that the store never needs to hear of, and sizes. */
void txn_account(struct txn *t)
{
    for (size_t i = 0; i < t->touched_count; i++) {
        struct touched *entry = &t->touched[i];
        struct obj *o = entry->o;

        for (size_t k = i + 1; o != NULL && k < t->touched_count && t->touched_count <= 64; k++)
            if (t->touched[k].o == o)
                o = NULL; /* its last entry does it */
        if (o == NULL || (t->touched_count > 64 && o->state & STATE_TOMB))
            continue;
        if (o->state & STATE_TOMB && !(o->state & STATE_HELD) && (o->state & STATE_SURE || !(o->state & STATE_DIRTY))) {
            struct slot *slot = &entry->space->slots[entry->slot];

            if (o->state & STATE_DIRTY)
                obj_clean(t->set, slot, o);
            obj_forget(t->set, slot, o);
        } else {
            obj_charge(t, o);
        }
    }
}

enum err txn_commit(struct txn *t, lsn_t *end)
{
    struct set *s = t->set;
    bool rows;
    struct stamp where = {0};
    lsn_t position = 0;

    *end = 0;
    if (!t->changed && !t->options.follow)
        return OK;
    check(t->options.replay || t->unbound == t->touched_count);
    rows = txn_lands_rows(t);
    if (!t->options.replay) {
        struct slice text;
        bool local = txn_frame(t, &text);

        atomic_store(&t->active_since, s->journal->tail(s->journal->context) + 1);
        if (rows)
            gate_read(t);
        where.base = s->journal->append(s->journal->context, t->effects, t->effect_count, text, t->options.follow ? NULL : &t->text);
        position = where.base + (t->options.follow ? t->stream.size : text.size);
        where.all_at = local ? position : 0;
    } else {
        check(t->replay_lsn != 0);
        if (rows)
            gate_read(t);
    }
    where.touched_end = t->touched_count;
    txn_stamp(t, &where);
    if (rows)
        txn_settle(t);
    gate_done(t);
    atomic_store_explicit(&t->active_since, 0, memory_order_release);
    txn_account(t);
    t->touched_count = t->unbound = t->effect_count = 0;
    *end = position;
    return OK;
}
