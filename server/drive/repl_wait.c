/*
 * repl_wait.c - WAIT and WAITAOF: clients that wait until replicas, or the own disk, have their last change.
 *
 * (1) Nobody holds a thread: a client is parked (server/run/parked.h) and listed here. Each ACK and each sync that was asked
 *     for looks through the list, and tells the clients that may be served; their workers look again and answer.
 * (2) Replicas are asked (REPLCONF GETACK in the stream) by the feed thread, once for all who began to wait meanwhile.
 *
 * Locks: the list is under list_lock, as are the positions that it is compared with.
 */
#include <stdlib.h>

#include "base/check.h"
#include "server/drive/repl_priv.h"
#include "server/net/clients.h"
#include "server/run/parked.h"
#include "server/run/pool.h"
#include "server/run/session.h"

struct ack_wait {
    struct parked parked;
    struct repl *repl;
    struct client *client; /* a reference */
    struct repl_wait wanted;
    /* Under list_lock */
    struct ack_wait *previous, *next;
    bool told;             /* its worker will look */
};

static size_t count_acked(const struct repl *r, lsn_t lsn, bool fsynced)
{
    size_t count = 0;

    for (const struct replica *p = r->replicas; p != NULL; p = p->next)
        count += !p->gone && p->state == REPLICA_ONLINE && (fsynced ? p->fsynced : p->acked) >= lsn;
    return count;
}

static bool local_is_enough(const struct repl *r, const struct repl_wait *w)
{
    return !w->local || wal_durable(r->wal) >= w->lsn;
}

/* Under list_lock. */
static bool is_enough(const struct repl *r, const struct repl_wait *w)
{
    return count_acked(r, w->lsn, w->fsynced) >= w->replicas && local_is_enough(r, w);
}

/* Under list_lock. */
void repl_wait_look(struct repl *r)
{
    for (struct ack_wait *w = r->waits; w != NULL; w = w->next)
        if (!w->told && is_enough(r, &w->wanted)) {
            w->told = true;
            client_look(w->client);
        }
}

/* ---- The parked client; its worker ---- */

static bool ready(struct parked *p)
{
    struct ack_wait *w = (struct ack_wait *)p;
    bool enough;

    pthread_mutex_lock(&w->repl->list_lock);
    w->told = false;
    enough = is_enough(w->repl, &w->wanted);
    pthread_mutex_unlock(&w->repl->list_lock);
    return enough;
}

static enum err reply(struct repl *r, struct call *c, const struct repl_wait *w)
{
    size_t count;

    pthread_mutex_lock(&r->list_lock);
    count = count_acked(r, w->lsn, w->fsynced);
    pthread_mutex_unlock(&r->list_lock);
    if (w->fsynced) {
        (void)reply_array(c, 2);
        (void)reply_int(c, wal_durable(r->wal) >= w->lsn);
    }
    return reply_int(c, (int64_t)count);
}

static void answer(struct parked *p, struct call *c)
{
    struct ack_wait *w = (struct ack_wait *)p;

    (void)reply(w->repl, c, &w->wanted);
}

static void wait_free(struct parked *p)
{
    struct ack_wait *w = (struct ack_wait *)p;
    struct repl *r = w->repl;

    pthread_mutex_lock(&r->list_lock);
    *(w->previous != NULL ? &w->previous->next : &r->waits) = w->next;
    if (w->next != NULL)
        w->next->previous = w->previous;
    pthread_mutex_unlock(&r->list_lock);
    client_unref(w->client);
    free(w);
}

/* ---- The own disk ---- */

struct sync_job {
    struct pool_job job;
    struct repl *repl;
    lsn_t lsn;
};

static void run_sync_job(struct pool_job *job, struct executor *x)
{
    struct sync_job *sync = (struct sync_job *)job;
    struct repl *r = sync->repl;

    (void)x;
    if (wal_sync_to(r->wal, sync->lsn) == OK) { /* a failure is the log's, and ends the process */
        pthread_mutex_lock(&r->list_lock);
        repl_wait_look(r);
        pthread_mutex_unlock(&r->list_lock);
    }
    free(sync);
}

/* Sooner than the log would by itself. */
static void sync_soon(struct repl *r, lsn_t lsn)
{
    struct sync_job *sync = calloc(1, sizeof *sync);

    check(sync != NULL);
    *sync = (struct sync_job){.job = {.run = run_sync_job}, .repl = r, .lsn = lsn};
    pool_submit(node_pool(r->node), &sync->job, POOL_QUICK);
}

/* ---- The command ---- */

enum err repl_wait(struct repl *r, struct call *c, const struct repl_wait *wanted, msec_t timeout_ms)
{
    struct ack_wait *w;
    bool enough;

    pthread_mutex_lock(&r->list_lock);
    enough = is_enough(r, wanted);
    pthread_mutex_unlock(&r->list_lock);
    if (enough || !call_can_park(c))
        return reply(r, c, wanted);
    w = calloc(1, sizeof *w);
    check(w != NULL);
    *w = (struct ack_wait){.parked = {.ready = ready, .answer = answer, .free = wait_free}, .repl = r,
                           .client = client_ref(c->session->client), .wanted = *wanted};
    pthread_mutex_lock(&r->list_lock);
    w->next = r->waits;
    if (w->next != NULL)
        w->next->previous = w;
    r->waits = w;
    enough = count_acked(r, wanted->lsn, wanted->fsynced) >= wanted->replicas;
    repl_wait_look(r); /* what came since the first look */
    pthread_mutex_unlock(&r->list_lock);
    if (!enough) {
        atomic_store(&r->getack_wanted, true);
        repl_feed_wake(r);
    }
    if (!local_is_enough(r, wanted))
        sync_soon(r, wanted->lsn);
    return call_park(c, &w->parked, timeout_ms);
}
