/*
 * write_hold.c - a flag, a pause of clients, and a thread that locks every slot once.
 *
 * A keyless write (FLUSHALL) that had begun is not behind a slot lock all the time: the log's end must also stand still
 * for a moment before it counts as final.
 */
#include "server/drive/write_hold.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/thread.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"
#include "persistence/wal.h"
#include "server/net/clients.h"
#include "server/node.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { STILL_MS = 2, STILL_TRIES_MAX = 1000 };

struct write_hold {
    /* Set once */
    struct node *node;
    write_hold_done *done;
    void *context;
    pthread_t thread;

    atomic_bool active;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping, joined; /* Under lock; joined: by the owner */
    bool wanted;           /* Under lock */
};

/* Behind this, no transaction that began before is still open. */
static void pass_all_slots(struct write_hold *h, struct txn *t)
{
    const struct txn_options options = {.now_ms = node_now(h->node), .may_wait = true, .keep_expired = true};
    lsn_t end = 0;

    for (unsigned s = 0; s < SLOTS && atomic_load(&h->active); s++) {
        slot_t slot = (slot_t)s;

        check(txn_begin(t, &slot, 1, &options) == OK);
        (void)!txn_commit(t, &end); /* nothing was changed */
        txn_end(t);
    }
}

static void wait_until_still(struct write_hold *h)
{
    lsn_t last = 0;

    for (int i = 0; i < STILL_TRIES_MAX && atomic_load(&h->active); i++) {
        lsn_t tail = wal_tail(node_wal(h->node));

        if (i > 0 && tail == last)
            return;
        last = tail;
        clock_nap_ms(STILL_MS);
    }
}

static void *run(void *context)
{
    struct write_hold *h = context;
    struct txn *t = txn_new(node_set(h->node), 5);

    pthread_mutex_lock(&h->lock);
    while (!h->stopping) {
        if (!h->wanted) {
            pthread_cond_wait(&h->wake, &h->lock);
            continue;
        }
        h->wanted = false;
        pthread_mutex_unlock(&h->lock);
        pass_all_slots(h, t);
        wait_until_still(h);
        if (atomic_load(&h->active))
            h->done(h->context);
        pthread_mutex_lock(&h->lock);
    }
    pthread_mutex_unlock(&h->lock);
    txn_free(t);
    return NULL;
}

struct write_hold *write_hold_new(struct node *node, write_hold_done *done, void *context)
{
    struct write_hold *h = calloc(1, sizeof *h);

    check(h != NULL);
    h->node = node;
    h->done = done;
    h->context = context;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->wake, NULL);
    check(thread_start(&h->thread, "write-hold", run, h) == OK);
    return h;
}

void write_hold_stop(struct write_hold *h)
{
    if (h == NULL || h->joined)
        return;
    atomic_store(&h->active, false);
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    h->joined = true;
}

void write_hold_free(struct write_hold *h)
{
    if (h == NULL)
        return;
    write_hold_stop(h);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->wake);
    free(h);
}

void write_hold_begin(struct write_hold *h, msec_t until_ms)
{
    until_ms = clients_hold_writes(node_clients(h->node), until_ms);
    set_expire_hold(node_set(h->node), until_ms);
    atomic_store(&h->active, true);
    pthread_mutex_lock(&h->lock);
    h->wanted = true;
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->lock);
}

void write_hold_end(struct write_hold *h)
{
    if (!atomic_exchange(&h->active, false))
        return;
    set_expire_hold(node_set(h->node), clients_hold_writes(node_clients(h->node), 0));
}

bool write_hold_active(const struct write_hold *h)
{
    return atomic_load_explicit(&h->active, memory_order_relaxed);
}
