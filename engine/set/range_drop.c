/*
 * range_drop.c - all keys of some slots go at once.
 *
 *   the slots locked: names (memory, and rows that memory does not know) -> DEL effects; then under the gate
 *   frames into the log, one deletion of the range into the memtable; then the objects are forgotten
 *
 * (1) Nothing is changed before every name is known: a store that cannot be read leaves all as it was.
 * (2) Nothing of the slots is in the air (pass), and tombstones in memory are forgotten too: no older or later row of theirs lands
 *     after the deletion but by a command that came after it.
 * (3) A crash finds either the deletion or frames that replay redoes key by key. A floor that is beyond them was written after it.
 */
#include "engine/set/range.h"

#include "base/check.h"
#include "base/words.h"
#include "engine/key/record.h"
#include "engine/key/row.h"
#include "engine/set/script.h"
#include "engine/set/set_priv.h"

#include <stdlib.h>

struct drop {
    struct set *set;
    struct space *space;
    struct script script;
    slot_t first, last; /* locked */
    uint64_t keys;
};

/* ---- Names ---- */

static void add_name(struct drop *d, slot_t slot, struct slice name, bool expires)
{
    size_t at = script_key(&d->script, slot);

    WORDS(&d->script.text, SLICE_LITERAL("DEL"), name);
    (void)script_effect(&d->script, at, -1, expires ? -1 : 0);
}

static void names_in_memory(struct drop *d, slot_t number)
{
    const struct table *table = &d->space->slots[number].table;

    for (uint32_t i = 0; i < table->capacity; i++) {
        const struct obj *o = table_at(table, i);

        if (o != NULL && (o->state & STATE_TOMB) == 0)
            add_name(d, number, obj_key(o), o->expire_ms != 0);
    }
}

static enum err names_in_store(struct drop *d, slot_t number)
{
    struct buf prefix = {0};
    struct cursor *c = NULL;
    struct record record;
    struct row row;
    enum err e;

    row_kind_start(&prefix, number, ROW_KEY);
    if ((e = cursor_open_prefix(d->set->store, set_family(d->set, d->space), STORE_SCAN, buf_slice(&prefix), &c)) != OK)
        goto done;
    for (cursor_first(c); cursor_valid(c); cursor_next(c)) {
        if ((e = row_parse(cursor_key(c), &row)) != OK || (e = record_decode(cursor_value(c), &record)) != OK)
            goto done;
        if (table_find(&d->space->slots[number].table, row.hash, row.name) == NULL)
            add_name(d, number, row.name, record.expire_ms != 0);
    }
    e = cursor_end(c);
done:
    cursor_close(c);
    buf_free(&prefix);
    return e;
}

static enum err find_names(struct drop *d)
{
    for (unsigned i = d->first; i <= d->last; i++) {
        const struct slot *slot = &d->space->slots[i];

        names_in_memory(d, (slot_t)i);
        if (slot->live != slot->keys)
            TRY(names_in_store(d, (slot_t)i));
    }
    script_end(&d->script);
    return OK;
}

/* ---- Dropping ---- */

static void count_frame(struct drop *d, const struct script_frame *f, lsn_t end)
{
    struct slot *slot = &d->space->slots[f->slot];

    if (slot->counts_since == 0)
        slot->counts_since = end;
    set_count(d->set, d->space, f->slot, f->keys, f->expires);
    d->keys += (uint64_t)-f->keys;
}

/* The rows go in the memtable, whose flush waits for the gate and syncs the log. */
static enum err delete_rows(struct drop *d)
{
    struct batch *b = batch_new();
    struct buf lower = {0}, upper = {0};
    enum err e;

    row_slot(&lower, d->first);
    row_slot(&upper, d->last + 1u);
    batch_delete_range(b, set_family(d->set, d->space), buf_slice(&lower), buf_slice(&upper));
    e = store_write(d->set->store, b);
    batch_free(b);
    buf_free(&lower);
    buf_free(&upper);
    return e;
}

static enum err drop_locked(struct drop *d, lsn_t *end)
{
    struct set *s = d->set;
    enum err e = OK;

    TRY(find_names(d));
    if (d->script.frame_count > 0) {
        pthread_rwlock_rdlock(&s->gate);
        for (size_t i = 0; i < d->script.frame_count; i++) {
            const struct script_frame *f = &d->script.frames[i];

            *end = script_append(&d->script, i, s->journal) + (f->text_end - f->text_at);
            count_frame(d, f, *end);
        }
        e = delete_rows(d);
        check(e == OK); /* the change is in the log: a store that refuses it ends the process, replay redoes it */
        pthread_rwlock_unlock(&s->gate);
    }
    for (unsigned i = d->first; i <= d->last && d->keys > 0; i++) {
        struct slot *slot = &d->space->slots[i];

        check(slot->keys == 0 && slot->expires == 0);
        set_forget_slot(s, slot);
    }
    return e;
}

/* Locks as many slots as fit, one at least. */
static slot_t lock_some(struct set *s, struct space *space, slot_t first, slot_t last)
{
    uint64_t keys = 0;
    unsigned i = first;

    for (; i <= last && i - first < RANGE_DROP_SLOTS_MAX; i++) {
        pthread_mutex_lock(&s->locks[i]);
        keys += space->slots[i].keys;
        if (keys > RANGE_DROP_KEYS_MAX && i > first) {
            pthread_mutex_unlock(&s->locks[i]);
            break;
        }
    }
    return (slot_t)(i - 1);
}

enum err range_drop(struct set *s, unsigned db, slot_t first, slot_t last, unsigned *next, uint64_t *keys, lsn_t *end,
                    range_forbidden *forbidden, void *context)
{
    struct space *space = set_space(s, db);
    struct drop d = {.set = s, .space = space, .first = first, .script.db = (uint16_t)db};
    enum err e = OK;

    check(first <= last && last < SLOTS);
    *keys = 0;
    *next = last + 1u;
    if (space == NULL)
        return OK;
    pthread_mutex_lock(&s->pass);
    d.last = lock_some(s, space, first, last);
    if (forbidden(context) || atomic_load(&s->following))
        e = err_set(ERR_INVALID, "this node follows another one now");
    else if (space->slots[first].keys > RANGE_DROP_SLOT_KEYS_MAX)
        e = ERR_RANGE;
    else
        e = drop_locked(&d, end);
    for (unsigned i = first; i <= d.last; i++)
        pthread_mutex_unlock(&s->locks[i]);
    pthread_mutex_unlock(&s->pass);
    script_free(&d.script);
    if (e == OK) {
        *keys = d.keys;
        *next = d.last + 1u;
    }
    return e;
}

/* ---- Space ---- */

enum err range_compact(struct set *s, unsigned db, slot_t first, slot_t last, uint64_t *freed)
{
    struct space *space = set_space(s, db);
    struct buf lower = {0}, upper = {0};
    uint64_t before, after;
    enum err e;

    *freed = 0;
    if (space == NULL)
        return OK;
    pthread_mutex_lock(&s->pass);
    before = store_property(s->store, "rocksdb.live-sst-files-size");
    e = writer_flush(s);
    pthread_mutex_unlock(&s->pass);
    if (e != OK)
        return e;
    row_slot(&lower, first);
    row_slot(&upper, last + 1u);
    store_compact(s->store, atomic_load(&space->uid), buf_slice(&lower), buf_slice(&upper));
    after = store_property(s->store, "rocksdb.live-sst-files-size");
    *freed = before > after ? before - after : 0;
    buf_free(&lower);
    buf_free(&upper);
    return OK;
}
