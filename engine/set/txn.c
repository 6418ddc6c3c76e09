/*
 * txn.c - one command or one EXEC: locks, look-ups, changes, and the commit that makes them one frame.
 *
 * (1) What is changed in memory before the commit is seen by nobody: the slots are locked until txn_end.
 * (2) active_since is published before the frame is appended and cleared after every change is marked dirty or has
 *     landed, so that the writer's floor never passes a change it has not seen.
 * (3) Rows land under the gate, held until the frame is in the journal.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/words.h"
#include "engine/key/row.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    MULTI_BYTES = 15, /* *1\r\n$5\r\nMULTI\r\n, kept free in front of the text */
    LOCK_SPINS = 200,
    STALL_MS_MAX = 200,
    DROP_LATER_COUNT = 1000,
};

struct txn *txn_new(struct set *set, uint64_t seed)
{
    struct txn *t = calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    t->set = set;
    rng_seed(&t->rng, seed);
    t->batch = batch_new();
    pthread_mutex_lock(&set->threads_lock);
    t->next_thread = set->threads;
    set->threads = t;
    pthread_mutex_unlock(&set->threads_lock);
    return t;
}

void txn_free(struct txn *t)
{
    struct txn **p;

    if (t == NULL)
        return;
    pthread_mutex_lock(&t->set->threads_lock);
    for (p = &t->set->threads; *p != t; p = &(*p)->next_thread)
        check(*p != NULL);
    *p = t->next_thread;
    pthread_mutex_unlock(&t->set->threads_lock);
    atomic_fetch_add(&t->set->hits, atomic_load(&t->hits));
    atomic_fetch_add(&t->set->misses, atomic_load(&t->misses));
    atomic_fetch_add(&t->set->bytes, t->bytes_delta);
    atomic_fetch_add(&t->set->objects, t->objects_delta);
    store_value_free(&t->value);
    batch_free(t->batch);
    buf_free(&t->text);
    buf_free(&t->translated);
    buf_free(&t->row);
    buf_free(&t->row2);
    buf_free(&t->record);
    free(t->slots);
    free(t->touched);
    free(t->effects);
    free(t->garbage);
    free(t->dropped);
    free(t);
}

/* ---- Begin, end ---- */

static bool lock_try(pthread_mutex_t *lock)
{
    for (int i = 0; i < LOCK_SPINS; i++) {
        if (pthread_mutex_trylock(lock) == 0)
            return true;
        __builtin_ia32_pause();
    }
    return false;
}

enum err txn_begin(struct txn *t, const slot_t *slots, size_t count, const struct txn_options *options)
{
    struct set *s = t->set;

    if (count > t->slot_capacity) {
        t->slots = realloc(t->slots, count * sizeof *t->slots);
        check(t->slots != NULL);
        t->slot_capacity = count;
    }
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_t *lock = &s->locks[slots[i]];

        check(i == 0 || slots[i - 1] < slots[i]);
        if (options->may_wait) {
            pthread_mutex_lock(lock);
        } else if (!lock_try(lock)) {
            while (i-- > 0)
                pthread_mutex_unlock(&s->locks[slots[i]]);
            return ERR_BUSY;
        }
        t->slots[i] = slots[i];
    }
    t->slot_count = count;
    t->options = *options;
    if (atomic_load_explicit(&t->set->following, memory_order_relaxed)) /* the primary says when a key goes */
        t->options.keep_expired = true;
    for (size_t i = 0; i < count && atomic_load_explicit(&s->still_count, memory_order_relaxed) > 0; i++)
        if (atomic_load_explicit(&s->still[slots[i]], memory_order_relaxed))
            t->options.keep_expired = true;
    t->stream = (struct slice){0};
    t->changed = t->command_changed = false;
    t->touched_count = t->unbound = t->effect_count = t->command_effects = 0;
    t->text.size = 0;
    t->replay_lsn = 0;
    t->size_hint = 0;
    txn_select(t, options->db);
    return OK;
}

/* The writer has fallen behind: give it time, bounded, now that no lock is held. */
static void stall(struct txn *t)
{
    struct set *s = t->set;
    int64_t limit = dirty_limit(s) + atomic_load_explicit(&s->dirty_grace, memory_order_relaxed);

    if (limit < 2 * dirty_limit(s))
        limit = 2 * dirty_limit(s);
    if (atomic_load_explicit(&s->dirty_bytes, memory_order_relaxed) <= limit)
        return;
    set_wake_writer(s);
    for (int i = 0; i < STALL_MS_MAX && atomic_load(&s->dirty_bytes) > limit ; i++) {
        atomic_fetch_add_explicit(&s->stalls, 1, memory_order_relaxed);
        clock_nap_ms(1);
    }
}

void txn_end(struct txn *t)
{
    check(!t->gate_held);
    for (size_t i = t->slot_count; i-- > 0;)
        pthread_mutex_unlock(&t->set->locks[t->slots[i]]);
    t->slot_count = 0;
    while (t->dropped_count > 0)
        elements_drop(t->dropped[--t->dropped_count]);
    store_value_free(&t->value);
    if (batch_count(t->batch) > 0) /* an aborted command */
        batch_clear(t->batch);
    t->garbage_count = 0;
    evict_some(t);
    if (t->changed)
        stall(t);
}

void txn_select(struct txn *t, unsigned db)
{
    check(db < t->set->databases);
    t->db = db;
    t->space = set_space(t->set, db);
}

unsigned txn_db(const struct txn *t)
{
    return t->db;
}

msec_t txn_now(const struct txn *t)
{
    return t->options.now_ms;
}

struct rng *txn_rng(struct txn *t)
{
    return &t->rng;
}

bool txn_is_replay(const struct txn *t)
{
    return t->options.replay || t->options.follow || t->options.timeless;
}

bool txn_has_changes(const struct txn *t)
{
    return t->command_changed;
}

bool txn_may_wait(const struct txn *t)
{
    return t->options.may_wait || t->changed;
}

uint64_t txn_string_max(const struct txn *t)
{
    return atomic_load_explicit(&t->set->string_bytes_max, memory_order_relaxed);
}

void txn_size_hint(struct txn *t, size_t value_bytes)
{
    t->size_hint = value_bytes;
}

void txn_replay_at(struct txn *t, lsn_t lsn)
{
    t->replay_lsn = lsn;
}

void txn_follow(struct txn *t, struct slice stream, unsigned db)
{
    check(t->options.follow && stream.size > 0);
    t->stream = stream;
    t->stream_db = db;
}

/* ---- Look-ups ---- */

static slot_t slot_of(const struct txn *t, struct slice key)
{
    if (t->slot_count == 1) {
        check_slow(hash_slot(key) == t->slots[0]);
        return t->slots[0];
    }
    return hash_slot(key);
}

/* The object of a key, tombstones included; NULL with ERR_NOT_FOUND if memory and store have none. */
static enum err find(struct txn *t, slot_t number, uint32_t hash, struct slice key, struct obj **out)
{
    struct set *s = t->set;
    struct slot *slot;
    struct obj *o;
    enum store_tier tier;

    if (t->space == NULL)
        return ERR_NOT_FOUND;
    slot = &t->space->slots[number];
    o = table_find(&slot->table, hash, key);
    if (o == NULL) {
        if (!t->options.replay && slot->live == slot->keys)
            return ERR_NOT_FOUND;
        tier = txn_may_wait(t) ? STORE_DISK_ONCE : STORE_CACHED;
        TRY(load_record(s, t->space, number, hash, key, tier, &t->row, &o));
        o->db = (uint16_t)t->db;
        table_add(&slot->table, o);
        slot->live++;
        if (o->expire_ms != 0 && o->expire_ms < slot->next_expire_ms)
            slot->next_expire_ms = o->expire_ms;
        obj_charge(t, o);
        atomic_fetch_add_explicit(&s->loads, 1, memory_order_relaxed);
    }
    *out = o;
    return OK;
}

static bool expired(const struct txn *t, const struct obj *o)
{
    return o->expire_ms != 0 && o->expire_ms <= t->options.now_ms && !txn_is_replay(t);
}

static enum err find_live(struct txn *t, struct slice key, enum obj_type type, struct obj **out)
{
    struct obj *o = NULL;

    TRY(find(t, slot_of(t, key), hash_name(key), key, &o));
    if (o->state & STATE_TOMB)
        return ERR_NOT_FOUND;
    o->state |= STATE_REFERENCED;
    *out = o;
    if (type != OBJ_ANY && o->type != type && !expired(t, o))
        return ERR_WRONG_TYPE;
    return OK;
}

static void tick(atomic_uint_fast64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

/*
 * Removes a key whose time has come, whoever asks for it: a key that is hidden is not counted either. The deletion is its
 * own effect; the words of the command that met the key are not logged for it, and are logged if it changes more.
 */
static void expire_now(struct txn *t, struct obj *o)
{
    size_t effects = t->command_effects;
    bool changed = t->command_changed;

    txn_delete(t, o);
    t->command_effects = effects;
    t->command_changed = changed;
    atomic_fetch_add_explicit(&t->set->expired, 1, memory_order_relaxed);
}

enum err txn_read(struct txn *t, struct slice key, enum obj_type type, struct obj **out)
{
    struct obj *o = NULL;
    enum err e = find_live(t, key, type, &o);

    if (e == OK && expired(t, o)) {
        if (!t->options.keep_expired)
            expire_now(t, o);
        e = ERR_NOT_FOUND;
    }
    if (e == OK || e == ERR_NOT_FOUND)
        tick(e == OK ? &t->hits : &t->misses);
    TRY(e);
    if (!t->options.no_touch)
        o->access_clock = (uint32_t)(t->options.now_ms / 1000);
    *out = o;
    return OK;
}

enum err txn_peek(struct txn *t, struct slice key, struct obj **out)
{
    struct obj *o = NULL;

    TRY(find(t, slot_of(t, key), hash_name(key), key, &o));
    if (o->state & STATE_TOMB)
        return ERR_NOT_FOUND;
    if (expired(t, o)) {
        if (!t->options.keep_expired)
            expire_now(t, o);
        return ERR_NOT_FOUND;
    }
    *out = o;
    return OK;
}

enum err txn_write(struct txn *t, struct slice key, enum obj_type type, struct obj **out)
{
    struct obj *o = NULL;

    TRY(find_live(t, key, type, &o));
    if (expired(t, o)) {
        expire_now(t, o);
        return ERR_NOT_FOUND;
    }
    if (!t->options.no_touch)
        o->access_clock = (uint32_t)(t->options.now_ms / 1000);
    *out = o;
    return OK;
}

enum err txn_write_or_create(struct txn *t, struct slice key, enum obj_type type, struct obj **out, bool *created)
{
    enum err e = txn_write(t, key, type, out);

    if (created != NULL)
        *created = e == ERR_NOT_FOUND;
    if (e == ERR_NOT_FOUND) {
        *out = txn_create(t, key, type);
        e = OK;
    }
    return e;
}

/* ---- Changes ---- */

/* The entry that collects what the running effect does to o. */
static struct touched *touch_record(struct txn *t, struct obj *o)
{
    struct touched *entry;

    for (size_t i = t->touched_count; i-- > t->unbound;)
        if (t->touched[i].o == o && t->touched[i].effect == EFFECT_NONE) {
            entry = &t->touched[i];
            goto found;
        }
    if (t->touched_count == t->touched_capacity) {
        t->touched_capacity = t->touched_capacity != 0 ? t->touched_capacity * 2 : 16;
        t->touched = realloc(t->touched, t->touched_capacity * sizeof *t->touched);
        check(t->touched != NULL);
    }
    entry = &t->touched[t->touched_count++];
    *entry = (struct touched){.o = o, .space = set_space(t->set, o->db), .effect = EFFECT_NONE, .slot = o->slot, .db = o->db};
found:
    t->changed = t->command_changed = true;
    return entry;
}

struct touched *touch(struct txn *t, struct obj *o)
{
    struct touched *entry = touch_record(t, o);

    if (o->form == OBJ_BIG && o->type == OBJ_STRING)
        entry->through = true;
    return entry;
}

static void count(struct txn *t, struct touched *entry, int keys, int expires)
{
    struct slot *slot = &entry->space->slots[entry->slot];

    entry->keys = (int8_t)(entry->keys + keys);
    entry->expires = (int8_t)(entry->expires + expires);
    if (t->options.replay) /* there the log's own deltas count: set_replay_count */
        return;
    slot->keys += (uint64_t)(int64_t)keys;
    slot->expires += (uint64_t)(int64_t)expires;
    if (keys != 0)
        atomic_fetch_add_explicit(&entry->space->keys, (uint64_t)(int64_t)keys, memory_order_relaxed);
    if (expires != 0)
        atomic_fetch_add_explicit(&entry->space->expires, (uint64_t)(int64_t)expires, memory_order_relaxed);
}

void txn_changed(struct txn *t, struct obj *o)
{
    (void)touch(t, o);
}

void txn_changed_record(struct txn *t, struct obj *o)
{
    (void)touch_record(t, o);
}

struct obj *txn_create(struct txn *t, struct slice key, enum obj_type type)
{
    slot_t number = slot_of(t, key);
    uint32_t hash = hash_name(key);
    struct slot *slot;
    struct obj *o;

    if (t->space == NULL)
        t->space = set_space_make(t->set, t->db);
    slot = &t->space->slots[number];
    o = table_find(&slot->table, hash, key);
    if (o != NULL) {
        check(o->state & STATE_TOMB);
        o->state &= ~STATE_TOMB;
    } else {
        o = obj_new(hash, key, t->size_hint);
        o->slot = number;
        o->db = (uint16_t)t->db;
        o->state = t->options.replay ? 0 : STATE_SURE; /* find() has just asked the store */
        table_add(&slot->table, o);
    }
    t->size_hint = 0;
    slot->live++;
    o->state |= STATE_REFERENCED;
    o->type = (uint8_t)type;
    o->form = type == OBJ_STRING ? OBJ_PLAIN : OBJ_PACKED;
    o->marks = 0;
    o->count = 0;
    o->expire_ms = 0;
    o->value_size = 0;
    o->access_clock = (uint32_t)(t->options.now_ms / 1000);
    count(t, touch(t, o), 1, 0);
    return o;
}

enum err set_load_create(struct txn *t, struct slice key, enum obj_type type, struct obj **out)
{
    const struct obj *o = NULL;

    check(t->options.replay);
    if (t->space != NULL)
        o = table_find(&t->space->slots[slot_of(t, key)].table, hash_name(key), key);
    if (o != NULL && !(o->state & STATE_TOMB))
        return ERR_EXISTS;
    *out = txn_create(t, key, type);
    return OK;
}

/* Freeing many elements takes longer than the slot's other clients should wait. What flies is the writer's, who must know now. */
static void drop_later(struct txn *t, struct elements *e)
{
    if (e == NULL || e->flying || e->count < DROP_LATER_COUNT) {
        elements_drop(e);
        return;
    }
    if (t->dropped_count == t->dropped_capacity) {
        t->dropped_capacity = t->dropped_capacity != 0 ? t->dropped_capacity * 2 : 4;
        t->dropped = realloc(t->dropped, t->dropped_capacity * sizeof *t->dropped);
        check(t->dropped != NULL);
    }
    t->dropped[t->dropped_count++] = e;
}

static void drop_elements(struct txn *t, struct touched *entry)
{
    struct obj *o = entry->o;

    if (o->form != OBJ_BIG)
        return;
    drop_later(t, obj_take_elements(t->set, o));
    if (o->state & STATE_SURE)
        return; /* nothing of it has ever left */
    entry->through = true;
    row_garbage(&t->row, o->slot, obj_big_get(o).id);
    batch_put(t->batch, set_family(t->set, entry->space), buf_slice(&t->row), (struct slice){0});
    if (t->garbage_count == t->garbage_capacity) {
        t->garbage_capacity = t->garbage_capacity != 0 ? t->garbage_capacity * 2 : 4;
        t->garbage = realloc(t->garbage, t->garbage_capacity * sizeof *t->garbage);
        check(t->garbage != NULL);
    }
    t->garbage[t->garbage_count++] = (struct garbage){entry->space->uid, o->slot, obj_big_get(o).id};
}

void txn_delete(struct txn *t, struct obj *o)
{
    struct touched *entry = touch(t, o);

    check(!(o->state & STATE_TOMB));
    drop_elements(t, entry);
    count(t, entry, -1, o->expire_ms != 0 ? -1 : 0);
    entry->space->slots[o->slot].live--;
    o->state |= STATE_TOMB;
    o->form = OBJ_PLAIN;
    o->expire_ms = 0;
    o->count = 0;
    o->value_size = 0;
    TXN_EFFECT(t, o, SLICE_LITERAL("DEL"), obj_key(o));
}

void txn_reset(struct txn *t, struct obj *o, enum obj_type type)
{
    struct touched *entry = touch(t, o);

    drop_elements(t, entry);
    if (o->expire_ms != 0)
        count(t, entry, 0, -1);
    o->type = (uint8_t)type;
    o->form = type == OBJ_STRING ? OBJ_PLAIN : OBJ_PACKED;
    o->marks = 0;
    o->expire_ms = 0;
    o->count = 0;
    o->value_size = 0;
}

void txn_expire(struct txn *t, struct obj *o, msec_t expire_ms)
{
    struct touched *entry = touch(t, o);
    struct slot *slot = &entry->space->slots[o->slot];

    count(t, entry, 0, (expire_ms != 0) - (o->expire_ms != 0));
    o->expire_ms = expire_ms;
    if (expire_ms != 0 && expire_ms < slot->next_expire_ms)
        slot->next_expire_ms = expire_ms;
}

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
    if (t->effect_count == 0) {
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
    size_t keys = 0;
    uint16_t db;

    for (size_t i = 0; i < t->effect_count; i++)
        keys += t->effects[i].kind == JOURNAL_KEY;
    if (keys < 2)
        return slice_of(t->text.data + MULTI_BYTES, t->text.size - MULTI_BYTES);
    memcpy(t->text.data, "*1\r\n$5\r\nMULTI\r\n", MULTI_BYTES);
    buf_append(&t->text, "*1\r\n$4\r\nEXEC\r\n", 14);
    db = t->effects[t->effect_count - 1].db; /* before the list moves */
    effect_add(t, 14)->db = db;
    effect_add(t, 0);
    memmove(t->effects + 1, t->effects, (t->effect_count - 1) * sizeof *t->effects);
    t->effects[0] = (struct journal_effect){.bytes = MULTI_BYTES, .slot = SLOT_NODE, .kind = JOURNAL_MARK, .db = t->effects[1].db};
    for (size_t i = 0; i < t->touched_count; i++)
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
    size_t kept = 0, at = 0;

    if (slice_equal(own, t->stream)) {
        *text = own;
        return false;
    }
    buf_clear(&t->translated);
    buf_append_slice(&t->translated, t->stream);
    for (size_t i = 0; i < t->effect_count; i++) {
        struct journal_effect e = t->effects[i];

        if (e.kind != JOURNAL_MARK) {
            buf_append(&t->translated, own.data + at, e.bytes);
            e.kind |= JOURNAL_LOCAL;
            t->effects[kept++] = e;
        }
        at += e.bytes;
    }
    t->effect_count = kept;
    deltas_join(t->effects, kept);
    (void)effect_add(t, 0);
    memmove(t->effects + 1, t->effects, kept * sizeof *t->effects);
    t->effects[0] = (struct journal_effect){.bytes = (uint32_t)t->stream.size, .slot = SLOT_NODE, .kind = JOURNAL_MARK,
                                            .db = (uint16_t)t->stream_db};
    *text = buf_slice(&t->translated);
    return true;
}

/* Stamps what the effects changed, in order; later entries of an object overwrite earlier ones. all_at: where all
 * effects are, or 0: one behind the other from base on. */
static void stamp(struct txn *t, lsn_t base, lsn_t all_at)
{
    lsn_t lsn = base;
    size_t next = 0;

    for (size_t i = 0; i < t->touched_count; i++) {
        struct touched *entry = &t->touched[i];
        struct slot *slot = &entry->space->slots[entry->slot];
        lsn_t at = t->options.replay ? t->replay_lsn : all_at;

        if (at == 0) {
            if (entry->effect < next) { /* effects of different keys may be bound out of order */
                next = 0;
                lsn = base;
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

static void settle(struct txn *t)
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
static void account(struct txn *t)
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
    bool rows = batch_count(t->batch) > 0;
    lsn_t base = 0, position = 0, all_at = 0;

    *end = 0;
    if (!t->changed && !t->options.follow)
        return OK;
    check(t->options.replay || t->unbound == t->touched_count);
    for (size_t i = 0; i < t->touched_count && !rows; i++)
        rows = t->touched[i].through;
    if (!t->options.replay) {
        struct slice text = t->effect_count > 0 ? text_finish(t) : (struct slice){0};
        bool local = t->options.follow && stream_finish(t, text, &text);

        atomic_store(&t->active_since, s->journal->tail(s->journal->context) + 1);
        if (rows)
            gate_read(t);
        base = s->journal->append(s->journal->context, t->effects, t->effect_count, text);
        position = base + (t->options.follow ? t->stream.size : text.size);
        all_at = local ? position : 0;
    } else {
        check(t->replay_lsn != 0);
        if (rows)
            gate_read(t);
    }
    stamp(t, base, all_at);
    if (rows)
        settle(t);
    gate_done(t);
    atomic_store_explicit(&t->active_since, 0, memory_order_release);
    account(t);
    t->touched_count = t->unbound = t->effect_count = 0;
    *end = position;
    return OK;
}

enum err set_replay_needed(struct txn *t, struct slice key, lsn_t lsn, bool *needed)
{
    struct obj *o = NULL;
    enum err e = find(t, slot_of(t, key), hash_name(key), key, &o);

    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    *needed = e == ERR_NOT_FOUND || o->last_change < lsn;
    return OK;
}

enum err set_replay_overwrite(struct txn *t, struct slice key, lsn_t lsn, bool *needed)
{
    slot_t number = slot_of(t, key);
    uint32_t hash = hash_name(key);
    struct obj *o;

    check(t->options.replay);
    if (t->space == NULL)
        t->space = set_space_make(t->set, t->db);
    o = table_find(&t->space->slots[number].table, hash, key);
    if (o == NULL) {
        o = obj_new(hash, key, 0);
        o->slot = number;
        o->db = (uint16_t)t->db;
        o->state = STATE_TOMB | STATE_BLIND;
        table_add(&t->space->slots[number].table, o);
        (void)touch(t, o); /* also if the effect is DEL and finds nothing to do: the store's row must go */
    }
    *needed = o->last_change < lsn;
    return OK;
}
