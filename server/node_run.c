/*
 * node_run.c - the main thread: signals, ticks, the listener; recovery on a thread beside the open port.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "base/check.h"
#include "base/log.h"
#include "base/thread.h"
#include "server/drive/cluster_service.h"
#include "server/drive/repl.h"
#include "server/net/listener.h"
#include "server/net/loop.h"
#include "server/node_priv.h"
#include "server/options.h"

enum { TICK_MS = 100 };

struct main_loop {
    struct node *node;
    uv_loop_t loop;
    uv_signal_t term, interrupt;
    uv_timer_t timer;
    uv_async_t wake, recovered;
    struct recovery { /* on a thread of its own, from the listener's opening to on_recovered */
        pthread_t thread;
        const struct options *options;
        node_ready *ready;
        void *context;
        bool running;
        enum err error;
        char text[512];
    } recovery;
    struct listener *listener;
    struct tls_context **tls; /* all that were in use: connections may live longer than a change */
    size_t tls_count;
};

static void close_handles(struct main_loop *m)
{
    uv_close((uv_handle_t *)&m->term, NULL);
    uv_close((uv_handle_t *)&m->interrupt, NULL);
    uv_close((uv_handle_t *)&m->timer, NULL);
    uv_close((uv_handle_t *)&m->wake, NULL);
    uv_close((uv_handle_t *)&m->recovered, NULL);
    listener_close(m->listener);
    m->listener = NULL;
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct main_loop *m = handle->data;

    log_event(LOG_WARNING, "Received %s, stopping", number == SIGTERM ? "SIGTERM" : "SIGINT");
    node_shutdown(m->node, SHUTDOWN_DEFAULT);
}

static void on_main_wake(uv_async_t *async)
{
    struct main_loop *m = async->data;

    if (node_is_stopping(m->node) && !uv_is_closing((uv_handle_t *)&m->wake))
        close_handles(m);
}

static void keep_tls(struct main_loop *m, struct tls_context *tls)
{
    m->tls = realloc(m->tls, (m->tls_count + 1) * sizeof *m->tls);
    check(m->tls != NULL);
    m->tls[m->tls_count++] = tls;
}

static void on_tick(uv_timer_t *timer)
{
    struct main_loop *m = timer->data;
    struct node *n = m->node;
    msec_t now_ms = node_now(n);
    struct tls_context *tls;

    if (node_loading(n, NULL)) /* the rooms that tick may use the log */
        return;
    if ((tls = atomic_exchange(&n->tls_next, NULL)) != NULL) {
        listener_tls(m->listener, tls);
        keep_tls(m, tls);
    }

    for (size_t i = 0; i < n->ticks; i++)
        n->tick[i].tick(n->tick[i].context, now_ms);
}

/* ---- Recovery beside the open port ---- */

static void *recovery_thread(void *context)
{
    struct main_loop *m = context;
    struct recovery *r = &m->recovery;

    r->error = node_recover(m->node, r->options);
    if (r->error != OK)
        snprintf(r->text, sizeof r->text, "%s", err_text());
    uv_async_send(&m->recovered);
    return NULL;
}

static void recovery_join(struct main_loop *m)
{
    if (m->recovery.running)
        pthread_join(m->recovery.thread, NULL);
    m->recovery.running = false;
}

/* Everything that recovery made is visible to whoever sees that loading is over. */
static void serve_data(struct main_loop *m)
{
    struct node *n = m->node;

    atomic_store_explicit(&n->loading, false, memory_order_release);
    repl_start(n->repl);
    if (n->cluster_service != NULL)
        cluster_service_start(n->cluster_service);
    m->recovery.ready(m->recovery.context);
}

static void on_recovered(uv_async_t *async)
{
    struct main_loop *m = async->data;

    recovery_join(m);
    if (uv_is_closing((uv_handle_t *)&m->wake))
        return;
    if (m->recovery.error == OK)
        serve_data(m);
    else
        close_handles(m);
}

static void loop_init(struct main_loop *m, struct node *n)
{
    m->node = n;
    check(uv_loop_init(&m->loop) == 0);
    check(uv_async_init(&m->loop, &m->wake, on_main_wake) == 0);
    check(uv_async_init(&m->loop, &m->recovered, on_recovered) == 0);
    uv_signal_init(&m->loop, &m->term);
    uv_signal_init(&m->loop, &m->interrupt);
    uv_timer_init(&m->loop, &m->timer);
    m->term.data = m->interrupt.data = m->timer.data = m->wake.data = m->recovered.data = m;
    uv_signal_start(&m->term, on_signal, SIGTERM);
    uv_signal_start(&m->interrupt, on_signal, SIGINT);
    uv_timer_start(&m->timer, on_tick, TICK_MS, TICK_MS);
}

enum err node_run(struct node *n, const struct options *o, node_ready *ready, void *context)
{
    struct main_loop m = {0};
    struct tls_context *tls = NULL;
    struct workers *workers = NULL;
    enum err e;

    m.recovery = (struct recovery){.options = o, .ready = ready, .context = context};
    loop_init(&m, n);
    n->wake = &m.wake;
    e = o->tls_port != 0 ? tls_context_new(&o->tls, &tls) : OK;
    if (tls != NULL)
        keep_tls(&m, tls);
    if (e == OK)
        e = workers_start(n, n->workers, &workers);
    if (e == OK) {
        const struct listener_options options = {
            .node = n, .workers = workers, .loop = &m.loop, .bind = o->bind, .bind_count = o->bind_count,
            .port = o->port, .tls_port = o->tls_port, .backlog = o->backlog, .unix_path = o->unix_path,
            .unix_permissions = o->unix_permissions, .tls = tls};

        e = listener_open(&options, &m.listener);
    }
    if (e == OK) {
        if (!node_loading(n, NULL))
            serve_data(&m);
        else
            check(thread_start(&m.recovery.thread, "recovery", recovery_thread, &m) == OK);
        m.recovery.running = node_loading(n, NULL);
        uv_run(&m.loop, UV_RUN_DEFAULT);
        recovery_join(&m);
        if (m.recovery.error != OK && m.recovery.error != ERR_CLOSED)
            e = err_set(m.recovery.error, "%s", m.recovery.text);
    } else {
        char text[512];

        snprintf(text, sizeof text, "%s", err_text());
        close_handles(&m);
        uv_run(&m.loop, UV_RUN_DEFAULT);
        (void)err_set(e, "%s", text);
    }
    n->wake = NULL;
    if (node_cluster(n) != NULL)
        cluster_service_quiet(node_cluster(n));
    repl_stop(n->repl);
    if (workers != NULL)
        workers_stop(workers);
    workers_free(workers);
    node_tls_replace(n, NULL);
    for (size_t i = 0; i < m.tls_count; i++)
        tls_context_free(m.tls[i]);
    free(m.tls);
    check(uv_loop_close(&m.loop) == 0);
    return e;
}
