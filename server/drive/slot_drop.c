/*
 * slot_drop.c - a queue of slots and the thread that empties them, in runs of neighbours (engine/set/range.h), and gives their space back.
 *
 * (1) `dropped` is said only when nothing is left of the slot and that is durable. A slot whose drop failed or was stopped is not
 *     told: the core asks again at the next start.
 * (2) Slots with very many keys lose most of them in small transactions first.
 */
#include "server/drive/slot_drop.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "engine/set/journal.h"
#include "engine/set/range.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_PER_ROUND = 64 };

struct slot_drop {
    /* Set once */
    struct slot_drop_options options;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping, joined;    /* Under lock; joined: by the owner */
    bool wanted[SLOTS];       /* Under lock */
    unsigned wanted_count;    /* Under lock */
    struct slot_drop_figures figures; /* Under lock */

    /* Thread only */
    struct txn *txn;
    bool compact[SLOTS];      /* keys were dropped there; their space is not given back yet */
    unsigned slots;           /* since then */
    uint64_t keys;
};

struct keys {
    struct buf bytes; /* size u32, key, ... */
    size_t count;
};

static void take(void *context, const struct obj *o)
{
    struct keys *keys = context;

    buf_append(&keys->bytes, &o->key_size, sizeof o->key_size);
    buf_append_slice(&keys->bytes, obj_key(o));
    keys->count++;
}

/* Deletes some keys of the slot; *left tells whether there were any. */
static enum err round_of(struct slot_drop *d, slot_t slot, bool *left, lsn_t *end)
{
    struct txn *t = d->txn;
    struct txn_options options = {.may_wait = true, .now_ms = clock_ms(CLOCK_REALTIME)};
    struct keys keys = {0};
    uint64_t next;
    enum err e;

    /* now 0: keys whose time has passed are taken too */
    if ((e = set_scan(d->options.set, 0, slot, 0, KEYS_PER_ROUND, 0, take, &keys, &next)) != OK)
        goto done;
    *left = keys.count > 0;
    if (!*left)
        goto done;
    check(txn_begin(t, &slot, 1, &options) == OK);
    if (d->options.forbidden(d->options.context)) {
        txn_end(t);
        e = err_set(ERR_INVALID, "this node follows another one now");
        goto done;
    }
    for (size_t at = 0; at < keys.bytes.size && e == OK;) {
        struct obj *o = NULL;
        uint32_t size;

        memcpy(&size, keys.bytes.data + at, sizeof size);
        e = txn_write(t, slice_of(keys.bytes.data + at + sizeof size, size), OBJ_ANY, &o);
        if (e == OK)
            txn_delete(t, o);
        else if (e == ERR_NOT_FOUND)
            e = OK;
        at += sizeof size + size;
    }
    txn_command_end(t, (struct slice){0}, NULL, 0);
    if (e == OK)
        e = txn_commit(t, end);
    else
        (void)!txn_commit(t, end);
    txn_end(t);
done:
    buf_free(&keys.bytes);
    return e;
}

static bool is_stopping(struct slot_drop *d)
{
    bool is;

    pthread_mutex_lock(&d->lock);
    is = d->stopping;
    pthread_mutex_unlock(&d->lock);
    return is;
}

/* More keys than one deletion of a range takes names for. */
static enum err thin_out(struct slot_drop *d, slot_t slot)
{
    bool left = true;
    lsn_t end = 0;

    while (left && !is_stopping(d) && set_slot_keys(d->options.set, 0, slot) > RANGE_DROP_SLOT_KEYS_MAX)
        TRY(round_of(d, slot, &left, &end));
    return OK;
}

static void count(struct slot_drop *d, uint64_t slots, uint64_t keys, uint64_t freed_bytes)
{
    pthread_mutex_lock(&d->lock);
    d->figures.slots += slots;
    d->figures.keys += keys;
    d->figures.freed_bytes += freed_bytes;
    pthread_mutex_unlock(&d->lock);
}

/* Empties slots from first on, at most through last; returns the first that is left, or SLOTS if it was stopped or failed. */
static unsigned drop(struct slot_drop *d, slot_t first, slot_t last)
{
    const struct journal *journal = d->options.journal;
    unsigned next = first;
    uint64_t keys = 0;
    lsn_t end = 0;
    enum err e = thin_out(d, first);

    if (e == OK && is_stopping(d))
        return SLOTS;
    if (e == OK)
        e = range_drop(d->options.set, 0, first, last, &next, &keys, &end, d->options.forbidden, d->options.context);
    if (e == OK && end != 0)
        e = journal->sync(journal->context, end);
    if (e != OK) {
        log_event(LOG_WARNING, "cluster: cannot drop the keys of slot %u and others: %s", first, err_text());
        return SLOTS;
    }
    for (unsigned i = first; i < next; i++)
        d->compact[i] |= keys > 0;
    d->keys += keys;
    d->slots += next - first;
    count(d, next - first, keys, 0);
    for (unsigned i = first; i < next; i++)
        d->options.dropped(d->options.context, (slot_t)i);
    return next;
}

/* What a run of slots left is given back to the disk. Not told to the core: nothing depends on it. */
static void give_back(struct slot_drop *d)
{
    uint64_t freed = 0;

    for (unsigned i = 0; i < SLOTS && !is_stopping(d);) {
        unsigned last = i;
        uint64_t some = 0;

        if (!d->compact[i]) {
            i++;
            continue;
        }
        while (last + 1 < SLOTS && d->compact[last + 1])
            last++;
        memset(d->compact + i, 0, last + 1 - i);
        if (range_compact(d->options.set, 0, (slot_t)i, (slot_t)last, &some) != OK)
            log_event(LOG_WARNING, "cluster: cannot compact what slots %u to %u left: %s", i, last, err_text());
        freed += some;
        i = last + 1;
    }
    count(d, 0, 0, freed);
    if (d->keys > 0)
        log_event(LOG_NOTICE, "slots_dropped slots=%u keys=%llu freed_bytes=%llu", d->slots, (unsigned long long)d->keys,
                  (unsigned long long)freed);
    d->keys = 0;
    d->slots = 0;
}

/* Under lock: takes a run of wanted slots out of the queue, or none. */
static bool take_run(struct slot_drop *d, slot_t *first, slot_t *last)
{
    unsigned at = 0;

    if (d->wanted_count == 0)
        return false;
    while (!d->wanted[at])
        at++;
    *first = (slot_t)at;
    for (; at < SLOTS && d->wanted[at]; at++) {
        d->wanted[at] = false;
        d->wanted_count--;
    }
    *last = (slot_t)(at - 1);
    return true;
}

static void *run(void *context)
{
    struct slot_drop *d = context;

    pthread_mutex_lock(&d->lock);
    while (!d->stopping) {
        slot_t first, last;
        unsigned next;

        if (!take_run(d, &first, &last)) {
            if (d->slots > 0) {
                pthread_mutex_unlock(&d->lock);
                give_back(d);
                pthread_mutex_lock(&d->lock);
            } else {
                pthread_cond_wait(&d->wake, &d->lock);
            }
            continue;
        }
        pthread_mutex_unlock(&d->lock);
        for (next = first; next <= last;)
            if ((next = drop(d, (slot_t)next, last)) == SLOTS)
                break;
        pthread_mutex_lock(&d->lock);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

struct slot_drop *slot_drop_new(const struct slot_drop_options *options)
{
    struct slot_drop *d = calloc(1, sizeof *d);

    check(d != NULL);
    d->options = *options;
    d->txn = txn_new(options->set, 3);
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->wake, NULL);
    check(thread_start(&d->thread, "slot-drop", run, d) == OK);
    return d;
}

void slot_drop_stop(struct slot_drop *d)
{
    if (d == NULL || d->joined)
        return;
    pthread_mutex_lock(&d->lock);
    d->stopping = true;
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->lock);
    pthread_join(d->thread, NULL);
    d->joined = true;
}

void slot_drop_free(struct slot_drop *d)
{
    if (d == NULL)
        return;
    slot_drop_stop(d);
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->wake);
    txn_free(d->txn);
    free(d);
}

void slot_drop_figures(struct slot_drop *d, struct slot_drop_figures *out)
{
    pthread_mutex_lock(&d->lock);
    *out = d->figures;
    pthread_mutex_unlock(&d->lock);
}

void slot_drop_add(struct slot_drop *d, slot_t slot)
{
    pthread_mutex_lock(&d->lock);
    if (!d->wanted[slot]) {
        d->wanted[slot] = true;
        d->wanted_count++;
        pthread_cond_signal(&d->wake);
    }
    pthread_mutex_unlock(&d->lock);
}
