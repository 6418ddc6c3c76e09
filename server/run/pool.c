/*
 * pool.c - two queues, one lock. Jobs are as long as a disk read, so one lock is far from being the limit.
 */
#include "server/run/pool.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/thread.h"
#include "server/node.h"
#include "server/run/execute.h"
#include "server/run/stats.h"

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
    struct queue quick, slow;
    size_t running, slow_running, idle;
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

static void *pool_thread(void *argument)
{
    struct pool *p = argument;
    struct executor x;

    executor_init(&x, p->node, (uint64_t)(uintptr_t)&x ^ stats_clock_ns(), true);
    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct pool_job *job;
        bool slow = p->slow.count > 0 && p->slow_running < p->slow_max;

        if (p->quick.count == 0 && !slow) {
            if (p->stopping && p->slow.count == 0)
                break;
            p->idle++;
            pthread_cond_wait(&p->work, &p->lock);
            p->idle--;
            p->waking = false;
            continue;
        }
        /* Quick first; a slow one when there is nothing quick. */
        slow = slow && p->quick.count == 0;
        job = take(slow ? &p->slow : &p->quick);
        p->running++;
        p->slow_running += slow;
        if (p->quick.count > 0 || (p->slow.count > 0 && p->slow_running < p->slow_max))
            wake_one(p);
        pthread_mutex_unlock(&p->lock);
        x.now_ms = node_now(p->node);
        x.clock_ns = 0;
        job->run(job, &x);
        pthread_mutex_lock(&p->lock);
        p->running--;
        p->slow_running -= slow;
        p->done++;
    }
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    executor_fini(&x);
    return NULL;
}

enum err pool_new(struct node *n, size_t threads, struct pool **out)
{
    struct pool *p = calloc(1, sizeof *p);

    check(p != NULL);
    check(threads >= POOL_THREADS_MIN && threads <= POOL_THREADS_MAX);
    p->node = n;
    p->slow_max = threads / 2;
    p->quick.tail = &p->quick.head;
    p->slow.tail = &p->slow.head;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
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

void pool_submit(struct pool *p, struct pool_job *job, bool slow)
{
    pthread_mutex_lock(&p->lock);
    check(!p->stopping);
    put(slow ? &p->slow : &p->quick, job);
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
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < p->threads; i++)
        pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p->thread);
    free(p);
}

void pool_figures(struct pool *p, struct pool_figures *out)
{
    pthread_mutex_lock(&p->lock);
    *out = (struct pool_figures){p->threads, p->quick.count + p->slow.count, p->running, p->done};
    pthread_mutex_unlock(&p->lock);
}
