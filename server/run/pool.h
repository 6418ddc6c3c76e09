/*
 * pool.h - threads that may wait: for the disk, for a slot's lock, or for a long command to end.
 *
 * Slow jobs (KEYS, SAVE) get at most half of the threads, so that cold reads always find one. What waits for other nodes (a target of a
 * migration for a majority, for its replicas) is long: it gets a thread beside these, and is in nobody's way.
 */
#ifndef CAIRN_SERVER_RUN_POOL_H
#define CAIRN_SERVER_RUN_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct pool;
struct node;
struct executor;

/* Embedded in what the job is about; owned by the submitter until run returns, and run may free it. */
struct pool_job {
    void (*run)(struct pool_job *job, struct executor *x);
    struct pool_job *next; /* the pool's */
};

enum { POOL_THREADS_MIN = 2, POOL_THREADS_MAX = 128, POOL_LONG_MAX = 64 };
enum pool_kind {
    POOL_QUICK,
    POOL_SLOW,
    POOL_LONG, /* at most POOL_LONG_MAX at once */
    POOL_KINDS,
};
enum err pool_new(struct node *n, size_t threads, struct pool **out) WARN_UNUSED;

/* Any thread. */
void pool_submit(struct pool *p, struct pool_job *job, enum pool_kind kind);

/* Runs what was submitted, then ends the threads. Accepts NULL. */
void pool_free(struct pool *p);

struct pool_figures {
    size_t threads, queued, running; /* threads: those for long jobs are not counted */
    unsigned long long done;
};
void pool_figures(struct pool *p, struct pool_figures *out);

#endif
