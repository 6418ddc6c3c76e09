/*
 * writer.c - drains changed objects into the store, in slot order, and moves the floor.
 *
 *   pick (slot locked)      copies the records of a slot's dirty objects, takes the changed elements; they are FLYING
 *   finish (no lock)        makes rows of elements, sorts the slot's rows
 *   sync                    the journal, through the largest change copied
 *   land (no lock)          one sorted file by ingest when the piece is large, else one memtable batch
 *   settle (slot locked)    an object not changed meanwhile is clean; a tombstone is gone
 *
 * (1) The store never runs ahead of the journal: a record lands only after the journal is synced through it, and
 *     memtables are switched only under the gate, with the journal synced through its tail.
 * (2) A pass visits every slot. The floor it writes is the journal's tail from before its first visit, lowered to the
 *     oldest frame in the making at that time. It goes into a batch after the last piece and never falls.
 * (3) A transaction that waits for a flight to land may hold slot locks: the writer therefore never blocks on a slot
 *     while something is in the air.
 */
#include "engine/set/flight.h"

#include "base/check.h"
#include "base/log.h"
#include "engine/key/record.h"
#include "engine/key/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    PIECE_BYTES_MIN = 32 << 20,
    PIECE_BYTES_MAX = 64 << 20,
    PIECES = 16, /* of what may be dirty, between these bounds */
    INGEST_BYTES_MIN = 8 << 20,
    MEMTABLE_BYTES_MIN = 4 << 20, /* RocksDB itself switches at 32 MB or more */
    LOCK_SPINS = 2000,
    IDLE_DRAIN_MS = 2000,
};

/* ---- Dirty lists (slot locked) ---- */

void obj_dirty(struct set *s, struct slot *slot, struct obj *o, lsn_t lsn)
{
    if (o->state & STATE_FLYING && o->next_since == 0)
        o->next_since = lsn;
    if (o->state & STATE_DIRTY)
        return;
    if (slot->dirty_count == slot->dirty_capacity) {
        slot->dirty_capacity = slot->dirty_capacity != 0 ? slot->dirty_capacity * 2 : 8;
        slot->dirty = realloc(slot->dirty, slot->dirty_capacity * sizeof *slot->dirty);
        check(slot->dirty != NULL);
    }
    o->dirty_index = slot->dirty_count;
    slot->dirty[slot->dirty_count++] = o;
    o->state |= STATE_DIRTY;
    atomic_fetch_add_explicit(&s->dirty_bytes, o->charged, memory_order_relaxed);
}

void obj_clean(struct set *s, struct slot *slot, struct obj *o)
{
    struct obj *last;

    if (!(o->state & STATE_DIRTY))
        return;
    check(!(o->state & STATE_HELD));
    last = slot->dirty[--slot->dirty_count];
    slot->dirty[o->dirty_index] = last;
    last->dirty_index = o->dirty_index;
    o->state &= ~STATE_DIRTY;
    atomic_fetch_sub_explicit(&s->dirty_bytes, o->charged, memory_order_relaxed);
    if (slot->dirty_count == 0) {
        free(slot->dirty);
        slot->dirty = NULL;
        slot->dirty_capacity = 0;
    }
}

void record_of(const struct obj *o, struct buf *out)
{
    struct record r = {.type = o->type,
                       .form = o->form,
                       .marks = o->marks,
                       .last_change = o->last_change,
                       .expire_ms = o->expire_ms,
                       .count = o->count,
                       .value = obj_value(o)};

    record_encode(out, &r);
}

/* ---- Pick ---- */

static void pick_slot(struct set *s, struct flight *f, slot_t number)
{
    struct slot *slot = &f->space->slots[number];

    for (uint32_t i = 0; i < slot->dirty_count; i++) {
        struct obj *o = slot->dirty[i];
        bool tomb = (o->state & STATE_TOMB) != 0;
        uint64_t stale = o->state & STATE_BLIND ? blind_resolve(s, f->space, o, &f->key) : 0;

        if (stale != 0) {
            row_garbage(&f->key, number, stale);
            buf_clear(&f->record);
            flight_add_row(f, false);
            set_garbage_add(s, &(struct garbage){f->space->uid, number, stale});
        }
        row_key(&f->key, number, o->hash, obj_key(o));
        buf_clear(&f->record);
        if (!tomb)
            record_of(o, &f->record);
        flight_add_row(f, tomb);
        if (!tomb && o->expire_ms != 0) {
            row_expiry(&f->key, number, o->expire_ms, obj_key(o));
            buf_clear(&f->record);
            flight_add_row(f, false);
        }
        o->state = (uint8_t)((o->state | STATE_FLYING | STATE_HELD) & ~STATE_SURE);
        o->next_since = 0;
        if (o->last_change > f->last)
            f->last = o->last_change;
        flight_add_object(f, o, number);
    }
    if (slot->counts_since != 0) {
        /* Through which position these counts are right: in replay, through the last delta; else, the slot being
         * locked, through everything appended. */
        lsn_t at = atomic_load(&s->replaying) != 0 ? slot->counts_at : s->journal->tail(s->journal->context);

        counts_row(&f->key, number);
        counts_encode(&f->record, slot, at);
        batch_put(f->batch, set_family(s, f->space), buf_slice(&f->key), buf_slice(&f->record));
        slot->counts_since = 0;
        slot->counts_at = at;
    }
}

/* ---- Land, settle ---- */

static enum err land_by_ingest(struct set *s, struct flight *f)
{
    char path[4096];
    struct sst *w = NULL;
    uint64_t bytes = 0;
    enum err e;

    snprintf(path, sizeof path, "%s/drain-%u.sst", store_path(s->store), f->file_number++);
    unlink(path);
    TRY(sst_open(s->store, path, &w));
    e = OK;
    for (size_t i = 0; i < f->row_count && e == OK; i++) {
        struct slice key, value;
        bool tomb;

        flight_row_get(f, i, &key, &value, &tomb);
        e = tomb ? sst_delete(w, key) : sst_put(w, key, value);
    }
    if (e == OK)
        e = sst_finish(w, &bytes);
    sst_free(w);
    if (e == OK && (e = store_ingest(s->store, set_family(s, f->space), path)) != OK)
        unlink(path);
    if (e == OK)
        atomic_fetch_add(&s->drain_ingests, 1);
    return e;
}

static enum err land_by_batch(struct set *s, struct flight *f)
{
    struct family *family = set_family(s, f->space);
    struct batch *b = batch_new();
    enum err e;

    for (size_t i = 0; i < f->row_count; i++) {
        struct slice key, value;
        bool tomb;

        flight_row_get(f, i, &key, &value, &tomb);
        if (tomb)
            batch_delete(b, family, key);
        else
            batch_put(b, family, key, value);
    }
    e = store_write(s->store, b);
    batch_free(b);
    atomic_fetch_add(&s->drain_batches, 1);
    return e;
}

static void in_air_set(struct set *s, bool in_air)
{
    pthread_mutex_lock(&s->wake_lock);
    s->in_air = in_air;
    if (!in_air)
        pthread_cond_broadcast(&s->landed);
    pthread_mutex_unlock(&s->wake_lock);
}

static void settle_object(struct set *s, struct slot *slot, struct obj *o)
{
    o->state &= ~STATE_HELD;
    if (!(o->state & STATE_FLYING))
        return; /* written through meanwhile: it is dirty again */
    o->state &= ~STATE_FLYING;
    if (o->next_since != 0) {
        o->next_since = 0;
        return;
    }
    obj_clean(s, slot, o);
    if (o->state & STATE_TOMB)
        obj_forget(s, slot, o);
}

static void settle_elements(struct set *s, struct elements_flight *flight)
{
    struct elements *e = flight->elements;
    bool orphan = e->orphan;

    atomic_fetch_sub_explicit(&s->dirty_bytes, (int64_t)flight->dirty, memory_order_relaxed);
    elements_settle(flight);
    if (orphan)
        return;
    atomic_fetch_add_explicit(&s->bytes, (int64_t)(e->bytes - e->charged), memory_order_relaxed);
    e->charged = e->bytes;
}

/* Puts the piece into the store and settles its objects. */
static enum err land_piece(struct set *s, struct flight *f, bool locked)
{
    enum err e = OK;

    if (f->object_count == 0)
        return OK;
    e = s->journal->sync(s->journal->context, f->last);
    if (e == OK) {
        e = f->bytes >= INGEST_BYTES_MIN ? land_by_ingest(s, f) : ERR_AGAIN;
        if (e == ERR_AGAIN)
            e = land_by_batch(s, f);
    }
    if (e != OK)
        return e;
    in_air_set(s, false);
    for (size_t i = 0, k = 0; i < f->object_count;) {
        slot_t number = f->objects[i].slot;

        if (!locked)
            pthread_mutex_lock(&s->locks[number]);
        for (; k < f->elements_count && f->elements[k].slot == number; k++)
            settle_elements(s, &f->elements[k]);
        for (; i < f->object_count && f->objects[i].slot == number; i++)
            settle_object(s, &f->space->slots[number], f->objects[i].o);
        if (!locked)
            pthread_mutex_unlock(&s->locks[number]);
    }
    atomic_fetch_add(&s->drained, f->object_count);
    flight_clear(f);
    return OK;
}

static enum err lock_slot(struct set *s, struct flight *f, slot_t number)
{
    enum err e = OK;

    for (int i = 0; i < LOCK_SPINS; i++) {
        if (pthread_mutex_trylock(&s->locks[number]) == 0)
            return OK;
        __builtin_ia32_pause();
    }
    e = land_piece(s, f, false); /* rule (3) */
    pthread_mutex_lock(&s->locks[number]);
    return e;
}

/* ---- Floor, flush ---- */

/* Every effect below this is either in a dirty object's past or will be marked dirty before its lock is released. */
static lsn_t floor_now(struct set *s)
{
    lsn_t floor = s->journal->tail(s->journal->context) + 1;

    pthread_mutex_lock(&s->threads_lock);
    for (struct txn *t = s->threads; t != NULL; t = t->next_thread) {
        lsn_t active = atomic_load(&t->active_since);

        if (active != 0 && active < floor)
            floor = active;
    }
    pthread_mutex_unlock(&s->threads_lock);
    if (s->replaying != 0 && s->replaying < floor)
        floor = s->replaying;
    return floor;
}

static uint64_t piece_bytes(struct set *s)
{
    uint64_t part = atomic_load(&s->dirty_bytes_max) / PIECES;

    return part < PIECE_BYTES_MIN ? PIECE_BYTES_MIN : part > PIECE_BYTES_MAX ? PIECE_BYTES_MAX : part;
}

enum err drain_space(struct set *s, struct space *space, lsn_t floor, bool locked)
{
    struct flight *f = s->flight;
    struct family *family = set_family(s, space);
    uint64_t most = piece_bytes(s);
    enum err e = OK;

    f->space = space;
    batch_clear(f->batch);
    for (unsigned number = 0; number < SLOTS && e == OK; number++) {
        struct slot *slot = &space->slots[number];
        size_t first;

        if (!locked)
            e = lock_slot(s, f, (slot_t)number);
        first = f->row_count;
        if (e == OK && (slot->dirty_count > 0 || slot->counts_since != 0)) {
            if (f->object_count == 0)
                in_air_set(s, true);
            pick_slot(s, f, (slot_t)number);
        }
        if (!locked)
            pthread_mutex_unlock(&s->locks[number]);
        flight_finish(f, first);
        if (e == OK && f->bytes >= most)
            e = land_piece(s, f, locked);
    }
    if (e == OK)
        e = land_piece(s, f, locked);
    if (e == OK) {
        in_air_set(s, false);
        if (space->floor < floor) /* a family's floor never falls: what lies below may be about another database */
            space->floor = floor;
        row_node(&f->key, "floor", 0);
        buf_clear(&f->record);
        buf_append(&f->record, &space->floor, sizeof space->floor);
        batch_put(f->batch, family, buf_slice(&f->key), buf_slice(&f->record));
        e = store_write(s->store, f->batch);
    }
    return e;
}

/* Switches the memtables with the journal synced through everything in them, and waits for the files. */
enum err writer_flush(struct set *s)
{
    enum err e = s->journal->sync(s->journal->context, s->journal->tail(s->journal->context));

    if (e != OK)
        return e;
    pthread_rwlock_wrlock(&s->gate);
    e = s->journal->sync(s->journal->context, s->journal->tail(s->journal->context));
    if (e == OK)
        e = store_flush_begin(s->store);
    pthread_rwlock_unlock(&s->gate);
    return e == OK ? store_flush_await(s->store) : e;
}

/* Above what an empty memtable already takes, and far below where RocksDB would switch memtables by itself. */
static uint64_t memtable_limit(struct set *s)
{
    uint64_t half = atomic_load(&s->dirty_bytes_max) / 2;

    return half > MEMTABLE_BYTES_MIN ? half : MEMTABLE_BYTES_MIN;
}

static bool flush_due(struct set *s, lsn_t floor)
{
    lsn_t persisted = atomic_load(&s->floor);

    return store_memtable_bytes(s->store) > memtable_limit(s) ||
           (floor > persisted && floor - persisted > atomic_load(&s->log_bytes_max) / 2);
}

enum err writer_pass(struct set *s, bool flush_always)
{
    lsn_t floor;
    enum err e = OK;
    bool large = atomic_load(&s->dirty_bytes) > INGEST_BYTES_MIN;

    pthread_mutex_lock(&s->pass);
    /* Rows of big collections in the memtable would overlap the sorted files: let them go first. */
    if (large && store_memtable_bytes(s->store) > (1 << 20))
        e = writer_flush(s);
    floor = floor_now(s);
    if (floor < atomic_load(&s->floor))
        floor = atomic_load(&s->floor);
    for (unsigned db = 0; db < s->databases && e == OK; db++) {
        struct space *space = set_space(s, db);

        if (space != NULL)
            e = drain_space(s, space, floor, false);
    }
    if (e == OK && (flush_always || flush_due(s, floor)) && (e = writer_flush(s)) == OK) {
        atomic_store(&s->floor, floor);
        s->journal->trim(s->journal->context, floor);
    }
    if (atomic_load(&s->dirty_bytes) <= dirty_limit(s))
        atomic_store(&s->dirty_grace, 0);
    atomic_fetch_add(&s->drains, 1);
    pthread_mutex_unlock(&s->pass);
    return e;
}

/* ---- The thread ---- */

static bool pass_due(struct set *s, uint64_t idle_ms)
{
    lsn_t floor = atomic_load(&s->floor);
    lsn_t tail = s->journal->tail(s->journal->context);

    if (s->passes_wanted > s->passes_done)
        return true;
    if (atomic_load(&s->dirty_bytes) > dirty_limit(s))
        return true;
    /* What replay has not reached yet keeps the floor where it is, whatever is drained. */
    if (atomic_load(&s->replaying) == 0 && tail > floor && tail - floor > atomic_load(&s->log_bytes_max))
        return true;
    /* Rows of big collections are not dirty objects. Left alone, RocksDB would flush them itself, ahead of the log. */
    if (store_memtable_bytes(s->store) > memtable_limit(s))
        return true;
    return idle_ms >= IDLE_DRAIN_MS && atomic_load(&s->dirty_bytes) > 0 &&
           atomic_load(&s->bytes) > (int64_t)atomic_load(&s->budget_bytes);
}

void *writer_run(void *set)
{
    struct set *s = set;
    uint64_t idle_ms = 0;

    pthread_mutex_lock(&s->wake_lock);
    while (!s->stopping) {
        uint64_t wanted;
        enum err e;

        if (!pass_due(s, idle_ms)) {
            struct timespec until;

            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += 20 * 1000000;
            if (until.tv_nsec >= 1000000000) {
                until.tv_sec++;
                until.tv_nsec -= 1000000000;
            }
            pthread_cond_timedwait(&s->wake, &s->wake_lock, &until);
            idle_ms += 20;
            continue;
        }
        wanted = s->passes_wanted;
        pthread_mutex_unlock(&s->wake_lock);
        e = writer_pass(s, wanted > s->passes_done);
        idle_ms = 0;
        pthread_mutex_lock(&s->wake_lock);
        if (e != OK) {
            s->drain_error = e;
            log_event(LOG_WARNING, "writer: cannot drain to the store: %s", err_text());
            check(e == OK); /* the log has everything: end, and replay it after the cause is gone */
        }
        if (wanted > s->passes_done)
            s->passes_done = wanted;
        pthread_cond_broadcast(&s->landed);
    }
    pthread_mutex_unlock(&s->wake_lock);
    return NULL;
}
