/*
 * loop.c - a worker's event loop, its inbox and its turn.
 */
#include "server/net/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/check.h"
#include "base/log.h"
#include "base/thread.h"
#include "persistence/wal.h"
#include "server/net/net_priv.h"
#include "server/net/tls.h"
#include "server/node_priv.h"
#include "server/run/stats.h"

enum { CRON_MS = 100, CRON_SLOW = 10, FLUSH_ROUNDS = 4 };

struct workers {
    struct node *node;
    size_t count;
    atomic_size_t next;
    struct worker *worker;
    struct worker **pointers;
};

static void flush(struct worker *w);
static void on_idle(uv_idle_t *idle);

/* ---- Inbox ---- */

struct message *message_new(enum message_kind kind, struct client *client)
{
    struct message *m = calloc(1, sizeof *m);

    check(m != NULL);
    m->kind = kind;
    m->fd = -1;
    m->client = client != NULL ? client_ref(client) : NULL;
    return m;
}

void worker_post(struct worker *w, struct message *m)
{
    bool first;

    m->next = NULL;
    pthread_mutex_lock(&w->inbox_lock);
    first = w->inbox == NULL;
    *w->inbox_tail = m;
    w->inbox_tail = &m->next;
    pthread_mutex_unlock(&w->inbox_lock);
    if (first)
        uv_async_send(&w->wake);
}

static void stop(struct worker *w)
{
    struct conn *next;

    w->stopping = true;
    flush(w); /* what was executed is answered */
    for (struct conn *c = w->conns; c != NULL; c = next) {
        next = c->next;
        conn_close(c);
    }
}

static void retry_held(struct worker *w)
{
    struct conn *next;

    for (struct conn *c = w->conns; c != NULL && w->held_count > 0; c = next) {
        next = c->next;
        conn_retry(c);
    }
}

static void handle(struct worker *w, struct message *m)
{
    struct conn *c = m->client != NULL ? m->client->conn : NULL;

    switch (m->kind) {
    case MESSAGE_SOCKET:
        conn_open(w, m->fd, (unsigned)m->number, m->tls);
        if (w->stopping)
            conn_close(w->conns);
        break;
    case MESSAGE_PUSH:
        atomic_fetch_sub_explicit(&m->client->inbox_bytes, m->bytes.size, memory_order_relaxed);
        if (c != NULL)
            conn_append(c, buf_slice(&m->bytes));
        break;
    case MESSAGE_CLOSE:
        if (c != NULL)
            conn_close_soon(c);
        break;
    case MESSAGE_UNBLOCK:
        if (c != NULL)
            conn_unblock(c, (enum waiting_end)m->number);
        break;
    case MESSAGE_DELIVER:
        check(c != NULL);
        conn_delivered(c, &m->bytes);
        break;
    case MESSAGE_AWAY_DONE:
        check(c != NULL);
        conn_away_done(c);
        return; /* it is a part of the connection */
    case MESSAGE_UNPAUSE:
        retry_held(w);
        break;
    case MESSAGE_STOP:
        stop(w);
        break;
    }
    buf_free(&m->bytes);
    client_unref(m->client);
    free(m);
}

static void end_if_done(struct worker *w)
{
    if (!w->stopping || w->conn_count > 0 || uv_is_closing((uv_handle_t *)&w->wake))
        return;
    uv_close((uv_handle_t *)&w->wake, NULL);
    uv_close((uv_handle_t *)&w->prepare, NULL);
    uv_close((uv_handle_t *)&w->check, NULL);
    uv_close((uv_handle_t *)&w->cron, NULL);
    uv_close((uv_handle_t *)&w->idle, NULL);
}

static void on_wake(uv_async_t *async)
{
    struct worker *w = async->data;
    struct message *m, *next;

    worker_fresh(w);
    pthread_mutex_lock(&w->inbox_lock);
    m = w->inbox;
    w->inbox = NULL;
    w->inbox_tail = &w->inbox;
    pthread_mutex_unlock(&w->inbox_lock);
    for (; m != NULL; m = next) {
        next = m->next;
        handle(w, m);
    }
}

void workers_deliver(struct session *s, struct buf *reply)
{
    struct message *m = message_new(MESSAGE_DELIVER, s->client);

    m->bytes = *reply;
    *reply = (struct buf){0};
    worker_post(s->client->worker, m);
}

/* ---- The turn ---- */

void worker_fresh(struct worker *w)
{
    if (w->fresh)
        return;
    w->fresh = true;
    w->turn_began_ns = stats_clock_ns();
    w->x.now_ms = node_now(w->node);
    if (__builtin_expect(atomic_load_explicit(&w->clients->limits_version, memory_order_relaxed) != w->limits_version, 0)) {
        pthread_mutex_lock(&w->clients->lock);
        w->limits = w->clients->limits;
        w->limits_version = w->clients->limits_version;
        pthread_mutex_unlock(&w->clients->lock);
    }
}

void worker_flush_later(struct worker *w, struct conn *c)
{
    if (c->to_flush)
        return;
    c->to_flush = true;
    c->next_flush = w->flush;
    w->flush = c;
}

void worker_flush_forget(struct worker *w, struct conn *c)
{
    struct conn **at = &w->flush;

    while (*at != c)
        at = &(*at)->next_flush;
    *at = c->next_flush;
    c->to_flush = false;
}

void worker_go_on_later(struct worker *w, struct conn *c)
{
    if (c->later)
        return;
    if (w->later == NULL)
        uv_idle_start(&w->idle, on_idle);
    c->later = true;
    c->next_later = w->later;
    w->later = c;
}

void worker_later_forget(struct worker *w, struct conn *c)
{
    struct conn **at = &w->later;

    while (*at != c)
        at = &(*at)->next_later;
    *at = c->next_later;
    c->later = false;
}

/* Runs in front of the next poll, which does not wait while this is active. */
static void on_idle(uv_idle_t *idle)
{
    struct worker *w = idle->data;
    struct conn *c = w->later;

    worker_fresh(w);
    w->later = NULL;
    uv_idle_stop(idle);
    while (c != NULL) {
        struct conn *next = c->next_later;

        c->later = false;
        conn_next_slice(c);
        c = next;
    }
}

/* The log first, then the replies that depend on it. A client that keeps up with its replies could keep us here. */
static void flush(struct worker *w)
{
    for (int round = 0; w->flush != NULL; round++) {
        struct conn *c = w->flush, *next;

        if (round == FLUSH_ROUNDS) {
            uv_async_send(&w->wake);
            break;
        }
        w->flush = NULL;
        if (node_await(w->node, wal_tail(w->node->wal)) != OK) {
            log_event(LOG_WARNING, "log failed: error=\"%s\"", err_text());
            abort(); /* nothing may be acknowledged any more */
        }
        for (; c != NULL; c = next) {
            next = c->next_flush;
            c->to_flush = false;
            conn_flush(c);
        }
    }
    if (w->fresh)
        atomic_store_explicit(&w->turns_ns, atomic_load_explicit(&w->turns_ns, memory_order_relaxed) + stats_clock_ns() -
                                                w->turn_began_ns, memory_order_relaxed);
    w->fresh = false;
    w->x.end = 0;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct worker *w = prepare->data;

    flush(w);
    end_if_done(w);
}

static void on_check(uv_check_t *handle)
{
    struct worker *w = handle->data;

    atomic_store_explicit(&w->turns, atomic_load_explicit(&w->turns, memory_order_relaxed) + 1, memory_order_relaxed);
    flush(w);
    end_if_done(w);
}

static void note_time(struct worker *w)
{
    struct rusage used;

    getrusage(RUSAGE_THREAD, &used);
    atomic_store_explicit(&w->user_us, (uint64_t)used.ru_utime.tv_sec * 1000000 + (uint64_t)used.ru_utime.tv_usec,
                          memory_order_relaxed);
    atomic_store_explicit(&w->system_us, (uint64_t)used.ru_stime.tv_sec * 1000000 + (uint64_t)used.ru_stime.tv_usec,
                          memory_order_relaxed);
}

static void on_cron(uv_timer_t *timer)
{
    struct worker *w = timer->data;
    static _Thread_local unsigned round;
    struct conn *next;

    worker_fresh(w);
    if (w->held_count > 0)
        retry_held(w);
    if (++round % CRON_SLOW != 0)
        return;
    note_time(w);
    for (struct conn *c = w->conns; c != NULL; c = next) {
        next = c->next;
        conn_cron(c, w->x.now_ms);
    }
}

/* ---- Threads ---- */

static void *worker_thread(void *argument)
{
    struct worker *w = argument;

    uv_run(&w->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void worker_init(struct worker *w, struct node *n, size_t index)
{
    w->node = n;
    w->clients = n->clients;
    w->index = index;
    w->inbox_tail = &w->inbox;
    pthread_mutex_init(&w->inbox_lock, NULL);
    check(uv_loop_init(&w->loop) == 0);
    check(uv_async_init(&w->loop, &w->wake, on_wake) == 0);
    uv_prepare_init(&w->loop, &w->prepare);
    uv_check_init(&w->loop, &w->check);
    uv_timer_init(&w->loop, &w->cron);
    uv_idle_init(&w->loop, &w->idle);
    w->wake.data = w->prepare.data = w->check.data = w->cron.data = w->idle.data = w;
    uv_prepare_start(&w->prepare, on_prepare);
    uv_check_start(&w->check, on_check);
    uv_timer_start(&w->cron, on_cron, CRON_MS, CRON_MS);
    executor_init(&w->x, n, stats_clock_ns() * 31 + index, false);
    w->input = malloc(INPUT_BYTES);
    check(w->input != NULL);
    worker_fresh(w);
    w->fresh = false;
}

static void worker_fini(struct worker *w)
{
    check(uv_loop_close(&w->loop) == 0);
    executor_fini(&w->x);
    free(w->input);
    resp_words_free(&w->words);
    for (size_t i = 0; i < w->spares; i++)
        buf_free(&w->spare[i]);
    pthread_mutex_destroy(&w->inbox_lock);
}

enum err workers_start(struct node *n, size_t count, struct workers **out)
{
    struct workers *all = calloc(1, sizeof *all);

    check(all != NULL && count > 0);
    all->node = n;
    all->count = count;
    all->worker = calloc(count, sizeof *all->worker);
    all->pointers = calloc(count, sizeof *all->pointers);
    check(all->worker != NULL && all->pointers != NULL);
    for (size_t i = 0; i < count; i++) {
        worker_init(&all->worker[i], n, i);
        all->pointers[i] = &all->worker[i];
    }
    pthread_mutex_lock(&n->clients->lock);
    n->clients->workers = all->pointers;
    n->clients->worker_count = count;
    pthread_mutex_unlock(&n->clients->lock);
    for (size_t i = 0; i < count; i++) {
        char name[16];

        snprintf(name, sizeof name, "worker-%u", (unsigned)(i % 10000));
        check(thread_start(&all->worker[i].thread, name, worker_thread, &all->worker[i]) == OK);
    }
    *out = all;
    return OK;
}

void workers_adopt(struct workers *all, int fd, unsigned flags, void *tls)
{
    struct message *m = message_new(MESSAGE_SOCKET, NULL);

    m->fd = fd;
    m->number = (int)flags;
    m->tls = tls;
    worker_post(&all->worker[atomic_fetch_add(&all->next, 1) % all->count], m);
}

void workers_stop(struct workers *all)
{
    for (size_t i = 0; i < all->count; i++)
        worker_post(&all->worker[i], message_new(MESSAGE_STOP, NULL));
    for (size_t i = 0; i < all->count; i++)
        pthread_join(all->worker[i].thread, NULL);
    pthread_mutex_lock(&all->node->clients->lock);
    all->node->clients->workers = NULL;
    all->node->clients->worker_count = 0;
    pthread_mutex_unlock(&all->node->clients->lock);
}

void workers_free(struct workers *all)
{
    if (all == NULL)
        return;
    for (size_t i = 0; i < all->count; i++)
        worker_fini(&all->worker[i]);
    free(all->worker);
    free(all->pointers);
    free(all);
}
