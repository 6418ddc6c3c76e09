/*
 * save.c - one checkpoint at a time, on the caller's thread or on one of the pool.
 */
#include "server/stat/save.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "engine/set/set.h"
#include "persistence/wal.h"
#include "server/node.h"
#include "server/run/pool.h"

struct save {
    struct node *node; /* Set once */
    struct pool_job job;

    pthread_mutex_t lock; /* guards the rest; a leaf */
    bool running, ok;
    msec_t began_ms, last_ms, duration_ms; /* duration -1: none yet */
    uint64_t count, frames;
};

struct save *save_new(struct node *n)
{
    struct save *s = calloc(1, sizeof *s);

    check(s != NULL);
    pthread_mutex_init(&s->lock, NULL);
    s->node = n;
    s->ok = true;
    s->last_ms = node_started_ms(n);
    s->duration_ms = -1;
    return s;
}

void save_free(struct save *s)
{
    if (s == NULL)
        return;
    check(!s->running);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static bool begin(struct save *s)
{
    bool free_now;

    pthread_mutex_lock(&s->lock);
    free_now = !s->running;
    if (free_now) {
        s->running = true;
        s->began_ms = node_now(s->node);
    }
    pthread_mutex_unlock(&s->lock);
    return free_now;
}

static uint64_t frames_now(struct node *n)
{
    struct wal_figures f;

    wal_figures(node_wal(n), &f);
    return f.frames;
}

static enum err work(struct save *s)
{
    uint64_t frames = frames_now(s->node);
    enum err e = wal_sync_to(node_wal(s->node), wal_tail(node_wal(s->node)));

    if (e == OK)
        e = set_drain(node_set(s->node));
    if (e != OK)
        log_event(LOG_WARNING, "save failed: error=%s text=\"%s\"", err_name(e), err_text());
    pthread_mutex_lock(&s->lock);
    s->running = false;
    s->ok = e == OK;
    s->duration_ms = node_now(s->node) - s->began_ms;
    if (e == OK) {
        s->last_ms = node_now(s->node);
        s->count++;
        s->frames = frames;
    }
    pthread_mutex_unlock(&s->lock);
    return e;
}

enum err save_now(struct save *s)
{
    return begin(s) ? work(s) : ERR_AGAIN;
}

static void run(struct pool_job *job, struct executor *x)
{
    struct save *s = (struct save *)((char *)job - offsetof(struct save, job));

    (void)x;
    if (work(s) == OK)
        log_event(LOG_NOTICE, "Background saving terminated with success");
}

enum err save_in_background(struct save *s)
{
    if (!begin(s))
        return ERR_AGAIN;
    s->job = (struct pool_job){.run = run};
    pool_submit(node_pool(s->node), &s->job, true);
    return OK;
}

void save_figures(struct save *s, struct save_figures *out)
{
    uint64_t frames = frames_now(s->node);

    pthread_mutex_lock(&s->lock);
    *out = (struct save_figures){
        .running = s->running,
        .ok = s->ok,
        .last_s = s->last_ms / 1000,
        .duration_s = s->duration_ms < 0 ? -1 : s->duration_ms / 1000,
        .running_s = s->running ? (node_now(s->node) - s->began_ms) / 1000 : -1,
        .count = s->count,
        .changes = frames > s->frames ? frames - s->frames : 0,
    };
    pthread_mutex_unlock(&s->lock);
}
