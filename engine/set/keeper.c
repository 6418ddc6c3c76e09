/*
 * keeper.c - the background cycle: keys whose time has come; then the reaper (reaper.c).
 *
 * (1) A slot's next_expire_ms (memory) and cold_expire_ms (store only) are lower bounds: a slot is visited only when
 *     one of them has passed.
 * (2) An expiry hint in the store says that a key may expire then; the key record decides. Stale hints are removed
 *     when they come due.
 * (3) A cycle uses at most a quarter of its period.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/key/row.h"

#include <stdlib.h>

enum {
    CYCLE_MS = 100,
    CYCLE_BUSY_US = 25000,
    EXPIRE_KEYS_MAX = 200, /* in one transaction */
    TTL_SLOTS = 32,        /* looked at in a cycle */
    TTL_CELLS_MAX = 256,
    TTL_SAMPLES = 20,
};

/* ---- Expiry ---- */

/* Deletes what has expired among the objects in memory; the slot is locked by t. */
static void expire_memory(struct txn *t, struct slot *slot, msec_t now_ms)
{
    struct obj *due[EXPIRE_KEYS_MAX];
    size_t count = 0;
    msec_t next = NEVER_MS;

    for (uint32_t i = 0; i < slot->table.capacity; i++) {
        struct obj *o = table_at(&slot->table, i);

        if (o == NULL || o->expire_ms == 0 || o->state & STATE_TOMB)
            continue;
        if (o->expire_ms <= now_ms && count < EXPIRE_KEYS_MAX)
            due[count++] = o;
        else if (o->expire_ms < next)
            next = o->expire_ms;
    }
    for (size_t i = 0; i < count; i++)
        txn_delete(t, due[i]);
    slot->next_expire_ms = next;
    atomic_fetch_add(&t->set->expired, count);
}

/* Follows the hints of keys that are only in the store; the slot is locked by t. */
static enum err expire_cold(struct txn *t, struct space *space, slot_t number, msec_t now_ms)
{
    struct slot *slot = &space->slots[number];
    struct family *f = set_family(t->set, space);
    struct buf prefix = {0}, key = {0};
    struct batch *stale = batch_new();
    struct cursor *c = NULL;
    msec_t next = NEVER_MS;
    enum err e;

    row_kind_start(&prefix, number, ROW_EXPIRY);
    if ((e = cursor_open_prefix(t->set->store, f, STORE_DISK, buf_slice(&prefix), &c)) != OK)
        goto done;
    for (cursor_first(c); cursor_valid(c); cursor_next(c)) {
        struct row row;
        struct obj *o = NULL;

        if ((e = row_parse(cursor_key(c), &row)) != OK)
            goto done;
        if (row.expire_ms > now_ms || batch_count(stale) >= EXPIRE_KEYS_MAX) {
            next = row.expire_ms;
            break;
        }
        buf_clear(&key);
        buf_append_slice(&key, row.name);
        e = txn_write(t, buf_slice(&key), OBJ_ANY, &o); /* deletes it if its time has come */
        if (e != OK && e != ERR_NOT_FOUND)
            goto done;
        batch_delete(stale, f, cursor_key(c));
    }
    e = OK;
    slot->cold_expire_ms = next;
    if (batch_count(stale) > 0)
        e = store_write(t->set->store, stale);
done:
    cursor_close(c);
    batch_free(stale);
    buf_free(&prefix);
    buf_free(&key);
    return e;
}

static void expire_slot(struct set *s, unsigned db, struct space *space, slot_t number, msec_t now_ms)
{
    struct txn *t = s->keeper_txn;
    struct txn_options options = {.now_ms = now_ms, .db = db, .may_wait = true};
    struct slot *slot = &space->slots[number];
    enum err e = OK;
    bool still;
    lsn_t end;

    if (txn_begin(t, &number, 1, &options) != OK)
        return;
    still = atomic_load(&s->still[number]);
    if (!still && slot->next_expire_ms <= now_ms)
        expire_memory(t, slot, now_ms);
    if (!still && slot->cold_expire_ms <= now_ms)
        e = expire_cold(t, space, number, now_ms);
    if (e != OK)
        log_event(LOG_WARNING, "keeper: expiry in slot %u: %s", number, err_text());
    txn_command_end(t, (struct slice){0}, NULL, 0);
    if (txn_commit(t, &end) != OK)
        log_event(LOG_WARNING, "keeper: expiry in slot %u cannot be committed", number);
    txn_end(t);
}

static void expire_cycle(struct set *s, unsigned *at, int64_t until_us)
{
    msec_t now_ms = clock_ms(CLOCK_REALTIME);
    unsigned all = s->databases * SLOTS;

    for (unsigned i = 0; i < all; i++, *at = (*at + 1) % all) {
        unsigned db = *at / SLOTS;
        slot_t number = *at % SLOTS;
        struct space *space = set_space(s, db);
        bool due;

        if (space == NULL || atomic_load_explicit(&space->expires, memory_order_relaxed) == 0) {
            i += SLOTS - number - 1; /* the whole database */
            *at += SLOTS - number - 1;
            continue;
        }
        if (atomic_load_explicit(&s->still[number], memory_order_relaxed) ||
            pthread_mutex_trylock(&s->locks[number]) != 0)
            continue;
        due = space->slots[number].next_expire_ms <= now_ms || space->slots[number].cold_expire_ms <= now_ms;
        pthread_mutex_unlock(&s->locks[number]);
        if (due)
            expire_slot(s, db, space, number, now_ms);
        if ((i & 63) == 0 && clock_us(CLOCK_MONOTONIC) > until_us)
            return;
    }
}

/* ---- The average time to live ---- */

/* Some keys of a slot; false if it is in use. */
static bool ttl_sample(struct set *s, struct space *space, slot_t number, msec_t now_ms, msec_t *sum, unsigned *count)
{
    struct table *table = &space->slots[number].table;

    if (pthread_mutex_trylock(&s->locks[number]) != 0)
        return false;
    for (uint32_t i = 0; i < table->capacity && i < TTL_CELLS_MAX && *count < TTL_SAMPLES; i++) {
        const struct obj *o = table_at(table, i);

        if (o != NULL && (o->state & STATE_TOMB) == 0 && o->expire_ms > now_ms) {
            *sum += o->expire_ms - now_ms;
            ++*count;
        }
    }
    pthread_mutex_unlock(&s->locks[number]);
    return true;
}

/* As in Redis a running average, to which each cycle's sample adds a fiftieth. */
static void ttl_cycle(struct set *s)
{
    msec_t now_ms = clock_ms(CLOCK_REALTIME);

    for (unsigned db = 0; db < s->databases; db++) {
        struct space *space = set_space(s, db);
        msec_t sum = 0, before;
        unsigned count = 0;

        if (space == NULL || atomic_load_explicit(&space->expires, memory_order_relaxed) == 0)
            continue;
        for (unsigned i = 0; i < TTL_SLOTS && count < TTL_SAMPLES; i++)
            (void)ttl_sample(s, space, (slot_t)(rng_next(txn_rng(s->keeper_txn)) % SLOTS), now_ms, &sum, &count);
        for (unsigned i = 0; count == 0 && i < SLOTS; i++) /* few keys: look for one */
            (void)ttl_sample(s, space, (slot_t)i, now_ms, &sum, &count);
        before = atomic_load(&space->average_ttl_ms);
        if (count > 0)
            atomic_store(&space->average_ttl_ms, before == 0 ? sum / count : before / 50 * 49 + sum / count / 50);
    }
}

void *keeper_run(void *set)
{
    struct set *s = set;
    struct reaper reaper = {0};
    unsigned at = 0;

    reaper_find(s);
    while (!s->stopping) {
        int64_t until_us = clock_us(CLOCK_MONOTONIC) + CYCLE_BUSY_US;

        if (atomic_load(&s->expire_enabled) && !atomic_load(&s->following) &&
            atomic_load(&s->expire_hold_ms) <= clock_ms(CLOCK_REALTIME))
            expire_cycle(s, &at, until_us);
        ttl_cycle(s);
        if (atomic_exchange(&s->garbage_wanted, false))
            reaper_find(s);
        reaper_cycle(s, &reaper, until_us);
        clock_nap_ms(CYCLE_MS);
    }
    buf_free(&reaper.behind);
    return NULL;
}
