/*
 * slot_drop.c - a queue of slots and the thread that empties them. Each deletion is logged as DEL.
 *
 * (1) `dropped` is said only when a scan found nothing more and the deletions are durable. A slot whose drop failed or
 *     was stopped is not told: the core asks again at the next start.
 */
#include "server/drive/slot_drop.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "engine/set/journal.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

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
static enum err round_of(struct slot_drop *d, struct txn *t, slot_t slot, bool *left, lsn_t *end)
{
    struct timespec now;
    struct txn_options options = {.may_wait = true};
    struct keys keys = {0};
    uint64_t next;
    enum err e;

    clock_gettime(CLOCK_REALTIME, &now);
    options.now_ms = (msec_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
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

/* Empties one slot; false if it was stopped or failed. */
static bool drop(struct slot_drop *d, struct txn *t, slot_t slot)
{
    const struct journal *journal = d->options.journal;
    bool left = true, stopping = false;
    lsn_t end = 0;
    enum err e = OK;

    while (left && !stopping && (e = round_of(d, t, slot, &left, &end)) == OK) {
        pthread_mutex_lock(&d->lock);
        stopping = d->stopping;
        pthread_mutex_unlock(&d->lock);
    }
    if (e == OK && !left)
        e = journal->sync(journal->context, end);
    if (e != OK)
        log_event(LOG_WARNING, "cluster: cannot drop the keys of slot %u: %s", slot, err_text());
    return e == OK && !left;
}

static void *run(void *context)
{
    struct slot_drop *d = context;
    struct txn *t = txn_new(d->options.set, 3);

    pthread_mutex_lock(&d->lock);
    while (!d->stopping) {
        slot_t slot = 0;

        if (d->wanted_count == 0) {
            pthread_cond_wait(&d->wake, &d->lock);
            continue;
        }
        while (!d->wanted[slot])
            slot++;
        d->wanted[slot] = false;
        d->wanted_count--;
        pthread_mutex_unlock(&d->lock);
        if (drop(d, t, slot))
            d->options.dropped(d->options.context, slot);
        pthread_mutex_lock(&d->lock);
    }
    pthread_mutex_unlock(&d->lock);
    txn_free(t);
    return NULL;
}

struct slot_drop *slot_drop_new(const struct slot_drop_options *options)
{
    struct slot_drop *d = calloc(1, sizeof *d);

    check(d != NULL);
    d->options = *options;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->wake, NULL);
    check(pthread_create(&d->thread, NULL, run, d) == 0);
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
    free(d);
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
