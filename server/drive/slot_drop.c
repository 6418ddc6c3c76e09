/*
 * slot_drop.c - a queue of slots and the thread that empties them. Each deletion is logged as DEL.
 */
#include "server/drive/slot_drop.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { KEYS_PER_ROUND = 64 };

struct slot_drop {
    struct set *set;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;            /* Under lock */
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
static enum err round_of(struct slot_drop *d, struct txn *t, slot_t slot, bool *left)
{
    struct timespec now;
    struct txn_options options = {.may_wait = true};
    struct keys keys = {0};
    uint64_t next;
    lsn_t end;
    enum err e;

    clock_gettime(CLOCK_REALTIME, &now);
    options.now_ms = (msec_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    /* now 0: keys whose time has passed are taken too */
    if ((e = set_scan(d->set, 0, slot, 0, KEYS_PER_ROUND, 0, take, &keys, &next)) != OK)
        goto done;
    *left = keys.count > 0;
    if (!*left)
        goto done;
    check(txn_begin(t, &slot, 1, &options) == OK);
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
        e = txn_commit(t, &end);
    else
        (void)!txn_commit(t, &end);
    txn_end(t);
done:
    buf_free(&keys.bytes);
    return e;
}

static void *run(void *context)
{
    struct slot_drop *d = context;
    struct txn *t = txn_new(d->set, 3);

    pthread_mutex_lock(&d->lock);
    while (!d->stopping) {
        slot_t slot = 0;
        bool left = true;

        if (d->wanted_count == 0) {
            pthread_cond_wait(&d->wake, &d->lock);
            continue;
        }
        while (!d->wanted[slot])
            slot++;
        d->wanted[slot] = false;
        d->wanted_count--;
        while (left && !d->stopping) {
            enum err e;

            pthread_mutex_unlock(&d->lock);
            e = round_of(d, t, slot, &left);
            if (e != OK) {
                log_event(LOG_WARNING, "cluster: cannot drop the keys of slot %u: %s", slot, err_text());
                left = false;
            }
            pthread_mutex_lock(&d->lock);
        }
    }
    pthread_mutex_unlock(&d->lock);
    txn_free(t);
    return NULL;
}

struct slot_drop *slot_drop_new(struct set *set)
{
    struct slot_drop *d = calloc(1, sizeof *d);

    check(d != NULL);
    d->set = set;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->wake, NULL);
    check(pthread_create(&d->thread, NULL, run, d) == 0);
    return d;
}

void slot_drop_free(struct slot_drop *d)
{
    if (d == NULL)
        return;
    pthread_mutex_lock(&d->lock);
    d->stopping = true;
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->lock);
    pthread_join(d->thread, NULL);
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
