/*
 * set.c - the working set's life: open, threads, spaces, figures.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"
#include "base/log.h"
#include "base/thread.h"
#include "engine/key/row.h"

#include <stdlib.h>

enum { IDS_STEP = 1 << 20, SLOT_KEY_MAX = 32 };

/* ---- Ids of BIG collections: never reused, also in replay ---- */

static enum err ids_raise(struct set *s)
{
    uint64_t limit = s->id_limit + IDS_STEP;

    atomic_store(&s->no_ids, false);
    TRY(store_meta_put(s->store, SLICE_LITERAL("id-limit"), slice_of(&limit, sizeof limit)));
    s->id_limit = limit;
    return OK;
}

uint64_t set_new_id(struct set *s)
{
    uint64_t id;

    pthread_mutex_lock(&s->ids_lock);
    if (s->next_id == s->id_limit)
        check(ids_raise(s) == OK); /* the limit is durable before an id below it is used */
    id = s->next_id++;
    pthread_mutex_unlock(&s->ids_lock);
    return id;
}

enum err set_ids_pass(struct set *s, uint64_t limit)
{
    enum err e = OK;

    pthread_mutex_lock(&s->ids_lock);
    if (limit > s->id_limit) {
        atomic_store(&s->no_ids, false);
        e = store_meta_put(s->store, SLICE_LITERAL("id-limit"), slice_of(&limit, sizeof limit));
        if (e == OK)
            s->id_limit = limit;
    }
    if (e == OK && limit > s->next_id)
        s->next_id = limit;
    pthread_mutex_unlock(&s->ids_lock);
    return e;
}

static enum err ids_load(struct set *s)
{
    struct store_value v = {0};
    enum err e = store_meta_get(s->store, SLICE_LITERAL("id-limit"), &v);

    if (e == ERR_NOT_FOUND)
        s->id_limit = 1;
    else if (e == OK && v.bytes.size == sizeof s->id_limit)
        memcpy(&s->id_limit, v.bytes.data, sizeof s->id_limit);
    else if (e == OK)
        e = err_set(ERR_CORRUPT, "the row of the id limit has %zu bytes", v.bytes.size);
    store_value_free(&v);
    s->next_id = s->id_limit;
    atomic_store(&s->no_ids, e == ERR_NOT_FOUND);
    return e == ERR_NOT_FOUND ? OK : e;
}

/* ---- Spaces ---- */

struct space *set_space(struct set *s, unsigned db)
{
    return atomic_load_explicit(&s->spaces[db], memory_order_acquire);
}

static struct space *space_new(unsigned uid)
{
    struct space *space = calloc(1, sizeof *space);

    check(space != NULL);
    atomic_init(&space->uid, uid);
    for (unsigned i = 0; i < SLOTS; i++)
        space->slots[i].next_expire_ms = space->slots[i].cold_expire_ms = NEVER_MS;
    return space;
}

struct space *set_space_make(struct set *s, unsigned db)
{
    struct space *space = set_space(s, db);

    if (space != NULL)
        return space;
    pthread_mutex_lock(&s->spaces_lock);
    space = set_space(s, db);
    if (space == NULL) {
        unsigned uid = s->uids[db];

        if (store_family(s->store, uid) == NULL) {
            struct family *old = NULL;
            lsn_t born = 0; /* what is on the stage comes from another history; what is replayed, from before now */

            /*
             * Everything about this database comes later than now. The log must be durable up to here before the family is:
             * what a crash takes from the log's end is written again at the same positions, and replay would skip it.
             */
            if (db < s->visible && atomic_load(&s->replaying) == 0) {
                born = s->journal->tail(s->journal->context);
                check(s->journal->sync(s->journal->context, born) == OK);
            }
            check(store_family_create(s->store, uid, born, &old) == OK && old == NULL);
        }
        space = space_new(uid);
        space->floor = store_family_born(store_family(s->store, uid)) + 1;
        atomic_store_explicit(&s->spaces[db], space, memory_order_release);
    }
    pthread_mutex_unlock(&s->spaces_lock);
    return space;
}

static void space_free(struct space *space)
{
    if (space == NULL)
        return;
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *slot = &space->slots[i];

        for (uint32_t k = 0; k < slot->table.capacity; k++)
            if (slot->table.cells[k] != 0)
                obj_free(table_at(&slot->table, k));
        table_free(&slot->table);
        free(slot->dirty);
    }
    free(space);
}

/* The order of databases: u16 uid per database, then the position of the SWAPDB that made it so. */
static enum err order_load(struct set *s)
{
    struct store_value v = {0};
    enum err e = store_meta_get(s->store, SLICE_LITERAL("databases"), &v);

    for (unsigned db = 0; db < s->databases; db++)
        s->uids[db] = (uint16_t)db;
    if (e == OK && v.bytes.size >= sizeof s->swapped_at && v.bytes.size % 2 == 0) {
        size_t count = (v.bytes.size - sizeof s->swapped_at) / 2;

        memcpy(&s->swapped_at, v.bytes.data, sizeof s->swapped_at);
        if (count > s->databases)
            count = s->databases;
        memcpy(s->uids, v.bytes.data + sizeof s->swapped_at, count * 2);
    }
    store_value_free(&v);
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err set_order_save(struct set *s)
{
    struct buf row = {0};
    enum err e;

    buf_append(&row, &s->swapped_at, sizeof s->swapped_at);
    buf_append(&row, s->uids, s->databases * sizeof *s->uids);
    e = store_meta_put(s->store, SLICE_LITERAL("databases"), buf_slice(&row));
    buf_free(&row);
    return e;
}

/* ---- Open, close ---- */

static enum err floor_load(struct set *s, unsigned db)
{
    struct family *f = set_family(s, set_space(s, db));
    struct store_value v = {0};
    struct buf key = {0};
    lsn_t floor = store_family_born(f) + 1;
    enum err e;

    row_node(&key, "floor", 0);
    e = store_get(s->store, f, STORE_PERSISTED, buf_slice(&key), &v);
    if (e == OK && v.bytes.size == sizeof floor)
        memcpy(&floor, v.bytes.data, sizeof floor);
    else if (e == OK)
        e = err_set(ERR_CORRUPT, "database %u: the floor row has %zu bytes", db, v.bytes.size);
    store_value_free(&v);
    buf_free(&key);
    s->replay_floors[db] = floor;
    set_space(s, db)->floor = floor;
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err spaces_load(struct set *s)
{
    lsn_t least = UINT64_MAX;
    bool fresh = false;

    TRY(order_load(s));
    TRY(ids_load(s));
    if (store_family(s->store, s->uids[0]) == NULL) {
        struct family *old = NULL;

        TRY(store_family_create(s->store, s->uids[0], 0, &old));
        fresh = true;
    }
    for (unsigned db = 0; db < s->visible; db++) {
        if (store_family(s->store, s->uids[db]) == NULL) {
            /* A family is durable before the first effect about it: without one the log holds none; but of a new store
             * everything is needed. */
            s->replay_floors[db] = fresh ? 1 : s->journal->tail(s->journal->context) + 1;
            continue;
        }
        (void)set_space_make(s, db);
        TRY(counts_load(s, db));
        TRY(floor_load(s, db));
        if (s->replay_floors[db] < least)
            least = s->replay_floors[db];
    }
    atomic_store(&s->floor, least);
    return OK;
}

enum err set_open(const struct set_options *options, struct set **out)
{
    struct set *s = calloc(1, sizeof *s);
    pthread_rwlockattr_t attr;
    enum err e;

    if (s == NULL)
        return ERR_NO_MEMORY;
    s->store = options->store;
    s->journal = options->journal;
    s->visible = options->databases;
    s->databases = 2 * s->visible;
    atomic_init(&s->budget_bytes, options->budget_bytes);
    atomic_init(&s->dirty_bytes_max, options->dirty_bytes_max);
    atomic_init(&s->log_bytes_max, options->log_bytes_max);
    atomic_init(&s->expire_enabled, true);
    atomic_init(&s->string_bytes_max, UINT64_C(512) << 20);
    atomic_init(&s->replaying, 1); /* until set_start nothing is known to be replayed: the floor stays */
    s->spaces = calloc(s->databases, sizeof *s->spaces);
    s->uids = calloc(s->databases, sizeof *s->uids);
    s->replay_floors = calloc(s->databases, sizeof *s->replay_floors);
    for (unsigned i = 0; i < SLOTS; i++)
        pthread_mutex_init(&s->locks[i], NULL);
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&s->gate, &attr);
    pthread_rwlockattr_destroy(&attr);
    pthread_mutex_init(&s->pass, NULL);
    pthread_mutex_init(&s->threads_lock, NULL);
    pthread_mutex_init(&s->spaces_lock, NULL);
    pthread_mutex_init(&s->ids_lock, NULL);
    pthread_mutex_init(&s->wake_lock, NULL);
    pthread_mutex_init(&s->garbage_lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    pthread_cond_init(&s->landed, NULL);
    s->flight = flight_new();
    check(s->spaces != NULL && s->uids != NULL && s->replay_floors != NULL);
    if ((e = spaces_load(s)) != OK || (s->keeper_txn = txn_new(s, 1)) == NULL) {
        set_close(s);
        return e != OK ? e : ERR_NO_MEMORY;
    }
    /* The writer runs from the first moment: replay of a long log must not fill the memory. */
    check(thread_start(&s->writer, "set-writer", writer_run, s) == OK);
    s->writing = true;
    *out = s;
    return OK;
}

enum err set_start(struct set *s)
{
    check(!s->started);
    atomic_store(&s->dirty_grace, atomic_load(&s->dirty_bytes));
    set_replay_position(s, 0);
    check(thread_start(&s->keeper, "set-keeper", keeper_run, s) == OK);
    s->started = true;
    return OK;
}

void set_close(struct set *s)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->wake_lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->wake_lock);
    if (s->writing)
        pthread_join(s->writer, NULL);
    if (s->started)
        pthread_join(s->keeper, NULL);
    txn_free(s->keeper_txn);
    flight_free(s->flight);
    check(s->threads == NULL); /* every transaction is freed before its set */
    for (unsigned db = 0; db < s->databases; db++)
        space_free(set_space(s, db));
    free(s->spaces);
    free(s->uids);
    free(s->replay_floors);
    free(s->garbage);
    for (unsigned i = 0; i < SLOTS; i++)
        pthread_mutex_destroy(&s->locks[i]);
    pthread_rwlock_destroy(&s->gate);
    free(s);
}

/* ---- The writer's door ---- */

void set_wake_writer(struct set *s)
{
    pthread_mutex_lock(&s->wake_lock);
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->wake_lock);
}

enum err set_drain(struct set *s)
{
    uint64_t mine;
    enum err e;

    pthread_mutex_lock(&s->wake_lock);
    mine = ++s->passes_wanted;
    pthread_cond_signal(&s->wake);
    while (s->passes_done < mine && s->drain_error == OK && !s->stopping)
        pthread_cond_wait(&s->landed, &s->wake_lock);
    e = s->drain_error;
    pthread_mutex_unlock(&s->wake_lock);
    return e;
}

lsn_t set_floor(struct set *s)
{
    return atomic_load(&s->floor);
}

lsn_t set_replay_floor(struct set *s, unsigned db)
{
    return s->replay_floors[db];
}

void set_replay_position(struct set *s, lsn_t lsn)
{
    atomic_store(&s->replaying, lsn);
}

/* ---- Figures ---- */

uint64_t set_keys(struct set *s, unsigned db)
{
    struct space *space = db < s->databases ? set_space(s, db) : NULL;

    return space != NULL ? atomic_load(&space->keys) : 0;
}

uint64_t set_expires(struct set *s, unsigned db)
{
    struct space *space = db < s->databases ? set_space(s, db) : NULL;

    return space != NULL ? atomic_load(&space->expires) : 0;
}

msec_t set_average_ttl(struct set *s, unsigned db)
{
    struct space *space = db < s->databases ? set_space(s, db) : NULL;

    return space != NULL && atomic_load(&space->expires) > 0 ? atomic_load(&space->average_ttl_ms) : 0;
}

uint64_t set_slot_keys(struct set *s, unsigned db, slot_t slot)
{
    struct space *space = set_space(s, db);
    uint64_t keys;

    if (space == NULL)
        return 0;
    pthread_mutex_lock(&s->locks[slot]);
    keys = space->slots[slot].keys;
    pthread_mutex_unlock(&s->locks[slot]);
    return keys;
}

static uint64_t positive(int64_t v)
{
    return v > 0 ? (uint64_t)v : 0;
}

void set_figures(struct set *s, struct set_figures *out)
{
    *out = (struct set_figures){
        .bytes = positive(atomic_load(&s->bytes)),
        .dirty_bytes = positive(atomic_load(&s->dirty_bytes)),
        .objects = positive(atomic_load(&s->objects)),
        .budget_bytes = atomic_load(&s->budget_bytes),
        .hits = atomic_load(&s->hits),
        .misses = atomic_load(&s->misses),
        .loads = atomic_load(&s->loads),
        .evictions = atomic_load(&s->evictions),
        .expired = atomic_load(&s->expired),
        .drains = atomic_load(&s->drains),
        .drained_objects = atomic_load(&s->drained),
        .drain_ingests = atomic_load(&s->drain_ingests),
        .drain_batches = atomic_load(&s->drain_batches),
        .stalls = atomic_load(&s->stalls),
    };
    pthread_mutex_lock(&s->threads_lock);
    for (struct txn *t = s->threads; t != NULL; t = t->next_thread) {
        out->hits += atomic_load_explicit(&t->hits, memory_order_relaxed);
        out->misses += atomic_load_explicit(&t->misses, memory_order_relaxed);
    }
    pthread_mutex_unlock(&s->threads_lock);
}

void set_budget(struct set *s, uint64_t budget_bytes)
{
    atomic_store(&s->budget_bytes, budget_bytes);
}

void set_string_max(struct set *s, uint64_t bytes)
{
    const uint64_t most = UINT32_MAX - (64 << 10); /* an effect's text has a length of 32 bits */

    atomic_store(&s->string_bytes_max, bytes < most ? bytes : most);
}

void set_still(struct set *s, slot_t slot, bool still)
{
    if (atomic_exchange(&s->still[slot], still) == still)
        return;
    if (still)
        atomic_fetch_add(&s->still_count, 1);
    else
        atomic_fetch_sub(&s->still_count, 1);
}

void set_expire_hold(struct set *s, msec_t until_ms)
{
    atomic_store(&s->expire_hold_ms, until_ms);
}

void set_expire_enable(struct set *s, bool enable)
{
    atomic_store(&s->expire_enabled, enable);
}
