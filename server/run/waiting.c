/*
 * waiting.c - a table of queues, one per awaited key.
 *
 *   WAITING --claim--> SERVED --blocked again--> WAITING
 *      |                  |--done--> delivered
 *      `--cancel--> gone  `--cancelled meanwhile--> delivered with the cancel's reply
 *
 * One thread at a time serves a queue; who comes meanwhile sets `again`, so that no wake-up is lost.
 */
#include "server/run/waiting.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "server/node_priv.h"
#include "server/run/execute.h"
#include "server/run/parked.h"
#include "server/run/pool.h"
#include "server/run/registry.h"
#include "server/run/stats.h"

enum { BUCKETS = 4096 };

struct waiter;

struct entry { /* one waiter in one queue */
    struct waiter *waiter;
    struct queue *queue;
    struct entry *previous, *next;
};

struct queue {
    struct queue *next; /* in its bucket */
    struct entry *first, *last;
    bool serving, again;
    uint32_t hash;
    size_t key_size;
    uint8_t key[];
};

struct waiter { /* Under the lock, except for what is set once */
    struct session *session; /* Set once, as are request and argv */
    struct buf request;
    struct slice *argv;
    size_t argc;
    bool served;
    bool missed; /* a key became ready while it was served for another one */
    enum waiting_end cancelled;
    size_t entry_count;
    struct entry entries[];
};

struct waiting {
    _Atomic size_t count; /* first: see waiting_any */
    struct node *node;
    waiting_deliver *deliver;
    pthread_mutex_t lock;
    struct queue *buckets[BUCKETS];
};

struct serve_job { /* a key to be served by a thread that may wait */
    struct pool_job job;
    struct waiting *waiting;
    size_t key_size;
    uint8_t key[];
};

struct waiting *waiting_new(struct node *n, waiting_deliver *deliver)
{
    struct waiting *w = calloc(1, sizeof *w);

    check(w != NULL);
    w->node = n;
    w->deliver = deliver;
    pthread_mutex_init(&w->lock, NULL);
    return w;
}

void waiting_free(struct waiting *w)
{
    if (w == NULL)
        return;
    check(w->count == 0);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

size_t waiting_count(const struct waiting *w)
{
    return atomic_load_explicit(&w->count, memory_order_relaxed);
}

/* ---- Queues; under the lock ---- */

static struct queue *queue_find(struct waiting *w, struct slice key)
{
    uint32_t hash = hash_name(key);
    struct queue *q = w->buckets[hash % BUCKETS];

    while (q != NULL && (q->hash != hash || !slice_equal(slice_of(q->key, q->key_size), key)))
        q = q->next;
    return q;
}

static struct queue *queue_get(struct waiting *w, struct slice key)
{
    struct queue *q = queue_find(w, key);

    if (q != NULL)
        return q;
    q = calloc(1, sizeof *q + key.size);
    check(q != NULL);
    q->hash = hash_name(key);
    q->key_size = key.size;
    memcpy(q->key, key.data, key.size);
    q->next = w->buckets[q->hash % BUCKETS];
    w->buckets[q->hash % BUCKETS] = q;
    return q;
}

static void queue_drop_if_idle(struct waiting *w, struct queue *q)
{
    struct queue **at = &w->buckets[q->hash % BUCKETS];

    if (q->first != NULL || q->serving)
        return;
    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    free(q);
}

static void waiter_unlink(struct waiting *w, struct waiter *waiter)
{
    for (size_t i = 0; i < waiter->entry_count; i++) {
        struct entry *e = &waiter->entries[i];
        struct queue *q = e->queue;

        *(e->previous != NULL ? &e->previous->next : &q->first) = e->next;
        *(e->next != NULL ? &e->next->previous : &q->last) = e->previous;
        queue_drop_if_idle(w, q);
    }
    waiter->entry_count = 0;
    waiter->session->waiter = NULL;
    atomic_fetch_sub(&w->count, 1);
}

static void waiter_free(struct waiter *waiter)
{
    buf_free(&waiter->request);
    free(waiter->argv);
    free(waiter);
}

/* ---- Beginning and end of a wait ---- */

void waiting_add(struct waiting *w, struct session *s, const struct slice *argv, size_t argc, const struct slice *keys,
                 size_t key_count)
{
    struct waiter *waiter = s->waiter;
    size_t at = 0;

    if (waiter != NULL) /* it was served in vain: it kept its places */
        return;
    waiter = calloc(1, sizeof *waiter + key_count * sizeof waiter->entries[0]);
    check(waiter != NULL);
    waiter->session = s;
    waiter->argc = argc;
    waiter->argv = calloc(argc, sizeof *waiter->argv);
    check(waiter->argv != NULL);
    for (size_t i = 0; i < argc; i++)
        buf_append_slice(&waiter->request, argv[i]);
    for (size_t i = 0; i < argc; at += argv[i++].size)
        waiter->argv[i] = slice_of(waiter->request.data + at, argv[i].size);
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < key_count; i++) {
        struct queue *q = queue_get(w, keys[i]);
        struct entry *e = &waiter->entries[waiter->entry_count++];

        *e = (struct entry){.waiter = waiter, .queue = q, .previous = q->last};
        *(q->last != NULL ? &q->last->next : &q->first) = e;
        q->last = e;
    }
    s->waiter = waiter;
    atomic_fetch_add(&w->count, 1);
    pthread_mutex_unlock(&w->lock);
}

void waiting_refuse(struct session *s, enum waiting_end how, struct buf *out)
{
    switch (how) {
    case WAITING_TIMEOUT:
        buf_append_str(out, s->protocol >= 3 ? "_\r\n" : "*-1\r\n");
        break;
    case WAITING_ERROR:
        buf_append_str(out, "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
        break;
    case WAITING_DEMOTED:
        buf_append_str(out, "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> "
                            "replica?)\r\n");
        s->close_after_reply = true;
        break;
    case WAITING_CLOSED:
    case WAITING_LOOK:
        break;
    }
}

/* The command was called once, with this end. */
static void account(struct executor *x, const struct waiter *waiter, enum waiting_end how)
{
    const struct command *command = registry_resolve(x->node->registry, waiter->argv, waiter->argc, NULL);
    bool failed = how != WAITING_TIMEOUT;

    if (command == NULL || how == WAITING_CLOSED)
        return;
    stats_record(x->stats, command->index, 0, failed ? STATS_FAILED : STATS_DONE);
    if (failed)
        stats_error(x->node->stats, SLICE_LITERAL("UNBLOCKED"));
}

bool waiting_cancel(struct waiting *w, struct executor *x, struct session *s, enum waiting_end how, struct buf *out)
{
    struct waiter *waiter;

    if (s->parked != NULL)
        return parked_end(x, s, how, out);
    if (how == WAITING_LOOK) /* too late: it waits for keys now */
        return false;
    pthread_mutex_lock(&w->lock);
    waiter = s->waiter;
    if (waiter == NULL) { /* served: deliver is on its way */
        pthread_mutex_unlock(&w->lock);
        return false;
    }
    if (waiter->served) {
        waiter->cancelled = how;
        pthread_mutex_unlock(&w->lock);
        return false;
    }
    waiter_unlink(w, waiter);
    pthread_mutex_unlock(&w->lock);
    account(x, waiter, how);
    waiter_free(waiter);
    waiting_refuse(s, how, out);
    return true;
}

/* ---- Serving ---- */

static void serve_later(struct waiting *w, struct slice key);

/*
 * Runs the waiter's request; the lock is held on entry and on return. True if it has been served, or cancelled.
 * *away: the request needs a thread that may wait.
 */
static bool serve_waiter(struct waiting *w, struct executor *x, struct waiter *waiter, bool *away)
{
    struct session *s = waiter->session;
    struct buf reply = {0};
    enum executed result;

    do {
        waiter->served = true;
        waiter->missed = false;
        pthread_mutex_unlock(&w->lock);
        result = execute(x, s, waiter->argv, waiter->argc, (struct slice){0}, NULL, &reply);
        pthread_mutex_lock(&w->lock);
        waiter->served = false;
    } while (result == EXECUTE_BLOCKED && waiter->missed && !waiter->cancelled);
    if (result != EXECUTE_DONE && !waiter->cancelled) {
        *away = result == EXECUTE_AWAY;
        buf_free(&reply);
        return false;
    }
    if (result != EXECUTE_DONE) {
        account(x, waiter, waiter->cancelled);
        waiting_refuse(s, waiter->cancelled, &reply);
    }
    waiter_unlink(w, waiter);
    pthread_mutex_unlock(&w->lock);
    waiter_free(waiter);
    w->deliver(s, &reply);
    pthread_mutex_lock(&w->lock);
    return true;
}

/* The first waiter that is not being served and whose request is not one that was just tried in vain. */
static struct waiter *next_waiter(const struct queue *q, const char *tried, unsigned tried_db, struct entry *after)
{
    for (struct entry *e = after != NULL ? after->next : q->first; e != NULL; e = e->next) {
        if (e->waiter->served)
            e->waiter->missed = true;
        else if (e->waiter->session->db != tried_db || !slice_is(e->waiter->argv[0], tried))
            return e->waiter;
    }
    return NULL;
}

static struct entry *entry_of(struct waiter *waiter, const struct queue *q)
{
    for (size_t i = 0; i < waiter->entry_count; i++)
        if (waiter->entries[i].queue == q)
            return &waiter->entries[i];
    return NULL;
}

static void serve_key(struct waiting *w, struct executor *x, struct slice key)
{
    struct queue *q;
    bool away = false;

    pthread_mutex_lock(&w->lock);
    q = queue_find(w, key);
    if (q == NULL) {
        pthread_mutex_unlock(&w->lock);
        return;
    }
    if (q->serving) {
        q->again = true;
        pthread_mutex_unlock(&w->lock);
        return;
    }
    q->serving = true;
    do {
        char tried[32] = ""; /* a copy: the waiter may end while others are served */
        unsigned tried_db = 0; /* a queue holds waiters of all databases */
        struct waiter *waiter = next_waiter(q, tried, tried_db, NULL);

        q->again = false;
        while (waiter != NULL && !away) {
            struct entry *at = NULL;

            if (!serve_waiter(w, x, waiter, &away) && !away) {
                /* The key is there, but not for this command, or it is gone again: those who ask the same ask in vain. */
                snprintf(tried, sizeof tried, "%.*s", (int)waiter->argv[0].size, (const char *)waiter->argv[0].data);
                tried_db = waiter->session->db;
                at = entry_of(waiter, q);
            }
            waiter = next_waiter(q, tried, tried_db, at);
        }
    } while (q->again && !away);
    q->serving = false;
    queue_drop_if_idle(w, q);
    pthread_mutex_unlock(&w->lock);
    if (away)
        serve_later(w, key);
}

static void run_serve_job(struct pool_job *job, struct executor *x)
{
    struct serve_job *serve = (struct serve_job *)job;
    struct slice key = slice_of(serve->key, serve->key_size);

    waiting_serve(serve->waiting, x, &key, 1);
    free(serve);
}

static void serve_later(struct waiting *w, struct slice key)
{
    struct serve_job *serve = calloc(1, sizeof *serve + key.size);

    check(serve != NULL);
    serve->job.run = run_serve_job;
    serve->waiting = w;
    serve->key_size = key.size;
    memcpy(serve->key, key.data, key.size);
    pool_submit(w->node->pool, &serve->job, POOL_QUICK);
}

void waiting_reroute(struct waiting *w, waiting_gone *gone, void *context)
{
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < BUCKETS; i++)
        for (const struct queue *q = w->buckets[i]; q != NULL; q = q->next)
            if (gone(context, hash_slot(slice_of(q->key, q->key_size))))
                serve_later(w, slice_of(q->key, q->key_size));
    pthread_mutex_unlock(&w->lock);
}

static void ready_add(struct executor *x, struct slice key)
{
    buf_append(&x->ready, &key.size, sizeof key.size);
    buf_append_slice(&x->ready, key);
}

static void serve_ready(struct waiting *w, struct executor *x)
{
    size_t at = 0;

    if (x->serving || x->ready.size == 0)
        return;
    x->serving = true;
    while (at < x->ready.size) {
        size_t size;
        struct buf key = {0};

        memcpy(&size, x->ready.data + at, sizeof size);
        buf_append(&key, x->ready.data + at + sizeof size, size);
        at += sizeof size + size;
        serve_key(w, x, buf_slice(&key));
        buf_free(&key);
    }
    buf_clear(&x->ready);
    x->serving = false;
}

void waiting_serve(struct waiting *w, struct executor *x, const struct slice *keys, size_t key_count)
{
    /* The keys are copied: requests that are served use the executor's lists, and make further keys ready. */
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < key_count; i++)
        if (queue_find(w, keys[i]) != NULL)
            ready_add(x, keys[i]);
    pthread_mutex_unlock(&w->lock);
    serve_ready(w, x);
}

void waiting_serve_all(struct waiting *w, struct executor *x, bool later)
{
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < BUCKETS; i++)
        for (const struct queue *q = w->buckets[i]; q != NULL; q = q->next)
            ready_add(x, slice_of(q->key, q->key_size));
    pthread_mutex_unlock(&w->lock);
    if (!later)
        serve_ready(w, x);
}
