/*
 * txn.c - one command or one EXEC: its slots' locks, and look-ups. What it changes is in change.c, its end in commit.c.
 *
 * What is changed in memory before the commit is seen by nobody: the slots are locked until txn_end.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"

#include <stdlib.h>

enum { LOCK_SPINS = 200, STALL_MS_MAX = 200 };

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
    free(t->frames);
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

void txn_start(struct txn *t, const struct txn_options *options)
{
    t->options = *options;
    if (atomic_load_explicit(&t->set->following, memory_order_relaxed)) /* the primary says when a key goes */
        t->options.keep_expired = true;
    t->stream = (struct slice){0};
    t->changed = t->command_changed = t->lent = false;
    t->touched_count = t->unbound = t->effect_count = t->command_effects = 0;
    t->frame_effects = t->frame_touched = t->frame_count = 0;
    t->text.size = t->translated.size = 0;
    t->replay_lsn = 0;
    t->size_hint = 0;
    txn_select(t, options->db);
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
    txn_start(t, options);
    for (size_t i = 0; i < count && atomic_load_explicit(&s->still_count, memory_order_relaxed) > 0; i++)
        if (atomic_load_explicit(&s->still[slots[i]], memory_order_relaxed))
            t->options.keep_expired = true;
    return OK;
}

/* The writer has fallen behind: give it time, bounded, now that no lock is held. */
static void stall(struct txn *t)
{
    struct set *s = t->set;
    int64_t wanted = dirty_limit(s), limit = wanted + atomic_load_explicit(&s->dirty_grace, memory_order_relaxed);
    int64_t rest = (int64_t)atomic_load_explicit(&s->budget_bytes, memory_order_relaxed) - wanted;

    if (limit < wanted + (wanted < rest / 2 ? wanted : rest / 2)) /* what is clean must keep room too */
        limit = wanted + (wanted < rest / 2 ? wanted : rest / 2);
    if (atomic_load_explicit(&s->dirty_bytes, memory_order_relaxed) <= limit)
        return;
    set_wake_writer(s);
    for (int i = 0; i < STALL_MS_MAX && atomic_load(&s->dirty_bytes) > limit ; i++) {
        atomic_fetch_add_explicit(&s->stalls, 1, memory_order_relaxed);
        clock_nap_ms(1);
    }
}

void txn_leave(struct txn *t)
{
    while (t->dropped_count > 0)
        elements_drop(t->dropped[--t->dropped_count]);
    store_value_free(&t->value);
    if (batch_count(t->batch) > 0) /* an aborted command */
        batch_clear(t->batch);
    t->garbage_count = 0;
    evict_some(t);
}

void txn_end(struct txn *t)
{
    check(!t->gate_held && !t->lent);
    for (size_t i = t->slot_count; i-- > 0;)
        pthread_mutex_unlock(&t->set->locks[t->slots[i]]);
    t->slot_count = 0;
    txn_leave(t);
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

    TRY(find(t, txn_slot(t, key), hash_name(key), key, &o));
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

    TRY(find(t, txn_slot(t, key), hash_name(key), key, &o));
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

/* ---- Replay ---- */

enum err set_replay_needed(struct txn *t, struct slice key, lsn_t lsn, bool *needed)
{
    struct obj *o = NULL;
    enum err e = find(t, txn_slot(t, key), hash_name(key), key, &o);

    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    *needed = e == ERR_NOT_FOUND || o->last_change < lsn;
    return OK;
}
