/*
 * pool.c - a queue for each kind, one lock. Jobs are as long as a disk read, so one lock is far from being the limit.
 *
 * Threads for long jobs are made when there is no idle one, and end when there was nothing for them for a while.
 */
#include "server/run/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/thread.h"
#include "server/node.h"
#include "server/run/execute.h"
#include "server/run/stats.h"

enum { LONG_IDLE_MS = 10000 };

struct queue {
    struct pool_job *head, **tail;
    size_t count;
};

struct pool {
    struct node *node; /* Set once */
    size_t threads, slow_max;
    pthread_t *thread;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t work;
    struct queue queues[POOL_KINDS];
    size_t running, slow_running, idle;
    size_t long_threads, long_idle;
    pthread_cond_t long_work, long_gone;
    bool waking; /* a thread was woken and has not looked at the queues yet */
    unsigned long long done;
    bool stopping;
};

static void put(struct queue *q, struct pool_job *job)
{
    job->next = NULL;
    *q->tail = job;
    q->tail = &job->next;
    q->count++;
}

static struct pool_job *take(struct queue *q)
{
    struct pool_job *job = q->head;

    q->head = job->next;
    if (q->head == NULL)
        q->tail = &q->head;
    q->count--;
    return job;
}

/*
 * One at a time: whoever wakes up and finds more than it takes wakes the next. Jobs that do not wait for the disk are
 * over before that, so that few threads do them all; jobs that do wait get as many threads as there are.
 */
static void wake_one(struct pool *p)
{
    if (p->waking || p->idle == 0)
        return;
    p->waking = true;
    pthread_cond_signal(&p->work);
}

/* Under lock, which is let go meanwhile. */
static void run_job(struct pool *p, struct executor *x, struct pool_job *job)
{
    p->running++;
    pthread_mutex_unlock(&p->lock);
    x->now_ms = node_now(p->node);
    x->clock_ns = 0;
    job->run(job, x);
    pthread_mutex_lock(&p->lock);
    p->running--;
    p->done++;
}

static void *pool_thread(void *argument)
{
    struct pool *p = argument;
    struct queue *quick = &p->queues[POOL_QUICK], *slows = &p->queues[POOL_SLOW];
    struct executor x;

    executor_init(&x, p->node, (uint64_t)(uintptr_t)&x ^ stats_clock_ns(), true);
    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct pool_job *job;
        bool slow = slows->count > 0 && p->slow_running < p->slow_max;

        if (quick->count == 0 && !slow) {
            if (p->stopping && slows->count == 0)
                break;
            p->idle++;
            pthread_cond_wait(&p->work, &p->lock);
            p->idle--;
            p->waking = false;
            continue;
        }
        /* Quick first; a slow one when there is nothing quick. */
        slow = slow && quick->count == 0;
        job = take(slow ? slows : quick);
        p->slow_running += slow;
        if (quick->count > 0 || (slows->count > 0 && p->slow_running < p->slow_max))
            wake_one(p);
        run_job(p, &x, job);
        p->slow_running -= slow;
    }
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    executor_fini(&x);
    return NULL;
}

/* ---- Long jobs ---- */

static bool wait_for_long(struct pool *p, const struct timespec *until)
{
    int error = 0;

    p->long_idle++;
    while (p->queues[POOL_LONG].count == 0 && !p->stopping && error == 0)
        error = pthread_cond_timedwait(&p->long_work, &p->lock, until);
    p->long_idle--;
    return p->queues[POOL_LONG].count > 0;
}

static void *long_thread(void *argument)
{
    struct pool *p = argument;
    struct executor x;
    struct timespec until;

    executor_init(&x, p->node, (uint64_t)(uintptr_t)&x ^ stats_clock_ns(), true);
    pthread_mutex_lock(&p->lock);
    do {
        while (p->queues[POOL_LONG].count > 0)
            run_job(p, &x, take(&p->queues[POOL_LONG]));
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += LONG_IDLE_MS / 1000;
    } while (wait_for_long(p, &until));
    pthread_mutex_unlock(&p->lock);
    executor_fini(&x);
    pthread_mutex_lock(&p->lock);
    p->long_threads--;
    pthread_cond_signal(&p->long_gone);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Under lock: somebody will take what was just put there. */
static void serve_long(struct pool *p)
{
    pthread_t thread;

    if (p->queues[POOL_LONG].count <= p->long_idle) {
        pthread_cond_signal(&p->long_work);
    } else if (p->long_threads < POOL_LONG_MAX) {
        check(thread_start(&thread, "long", long_thread, p) == OK);
        pthread_detach(thread);
        p->long_threads++;
    }
}

enum err pool_new(struct node *n, size_t threads, struct pool **out)
{
    struct pool *p = calloc(1, sizeof *p);

    check(p != NULL);
    check(threads >= POOL_THREADS_MIN && threads <= POOL_THREADS_MAX);
    p->node = n;
    p->slow_max = threads / 2;
    for (unsigned kind = 0; kind < POOL_KINDS; kind++)
        p->queues[kind].tail = &p->queues[kind].head;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->long_work, NULL);
    pthread_cond_init(&p->long_gone, NULL);
    p->thread = calloc(threads, sizeof *p->thread);
    check(p->thread != NULL);
    for (; p->threads < threads; p->threads++) {
        enum err e = thread_start(&p->thread[p->threads], "pool", pool_thread, p);

        if (e != OK) {
            pool_free(p);
            return e;
        }
    }
    *out = p;
    return OK;
}

void pool_submit(struct pool *p, struct pool_job *job, enum pool_kind kind)
{
    pthread_mutex_lock(&p->lock);
    check(!p->stopping);
    put(&p->queues[kind], job);
    if (kind == POOL_LONG)
        serve_long(p);
    else
        wake_one(p);
    pthread_mutex_unlock(&p->lock);
}

void pool_free(struct pool *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->work);
    pthread_cond_broadcast(&p->long_work);
    while (p->long_threads > 0)
        pthread_cond_wait(&p->long_gone, &p->lock);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < p->threads; i++)
        pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->long_work);
    pthread_cond_destroy(&p->long_gone);
    pthread_mutex_destroy(&p->lock);
    free(p->thread);
    free(p);
}

void pool_figures(struct pool *p, struct pool_figures *out)
{
    pthread_mutex_lock(&p->lock);
    *out = (struct pool_figures){p->threads, p->queues[POOL_QUICK].count + p->queues[POOL_SLOW].count + p->queues[POOL_LONG].count,
                                   p->running, p->done};
    pthread_mutex_unlock(&p->lock);
}
