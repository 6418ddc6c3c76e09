/*
 * conn.c - one connection: its socket's events, its beginning and its end. Worker thread only.
 *
 * (1) Nothing is read from a connection whose request is under way elsewhere, that does not read its replies, or that has not
 *     got through what it has sent.
 * (2) The socket is closed at once; what else it owns goes when libuv has let go of both handles and the session is ours.
 */
#include "server/net/conn_priv.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "server/net/peer.h"
#include "server/net/tls.h"
#include "server/node_priv.h"

static void on_poll(uv_poll_t *handle, int status, int events);

/* ---- Events ---- */

void conn_watch(struct conn *c)
{
    int events = 0;

    if (c->dead)
        return;
    if (conn_may_read(c))
        events |= UV_READABLE;
    if (c->state == CONN_BLOCKED)
        events |= UV_DISCONNECT;
    if (conn_output_pending(c) > 0 && !c->to_flush)
        events |= UV_WRITABLE;
    if (c->tls_wants_write)
        events |= UV_WRITABLE;
    if (c->tls_wants_read)
        events |= UV_READABLE;
    if (events == c->events)
        return;
    /* Mostly a client waits for its reply: do not tell the kernel twice. If it does send more, on_poll stops watching. */
    if (c->state == CONN_AWAY && c->events == UV_READABLE && events == 0 && !c->sent_more)
        return;
    c->sent_more = false;
    c->events = events;
    if (events == 0)
        uv_poll_stop(&c->poll);
    else
        uv_poll_start(&c->poll, events, on_poll);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct conn *c = handle->data;

    worker_fresh(c->worker);
    if (status < 0 || (events & UV_DISCONNECT) != 0) {
        conn_close(c);
        return;
    }
    if ((events & UV_WRITABLE) != 0)
        worker_flush_later(c->worker, c);
    if ((events & UV_READABLE) != 0 && (c->events & UV_READABLE) != 0) {
        if (conn_may_read(c)) {
            do
                conn_readable(c);
            while (!c->dead && c->tls != NULL && conn_may_read(c) && tls_pending(c->tls));
        } else {
            if (c->state == CONN_AWAY) {
                c->sent_more = true;
                conn_watch(c);
            }
            if (c->tls != NULL)
                worker_flush_later(c->worker, c); /* TLS asked for it while writing */
        }
    }
}

/* ---- Life ---- */

/* Both handles are closed, which only happens once the session is ours. Runs after the turn's replies are out. */
static void handle_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    struct worker *w = c->worker;

    if (--c->handles > 0)
        return;
    check(c->state != CONN_AWAY && c->state != CONN_BLOCKED);
    if (c->to_flush)
        worker_flush_forget(w, c);
    if (c->later)
        worker_later_forget(w, c);
    session_fini(&c->session);
    client_unref(c->client);
    resp_fini(&c->parser);
    buf_free(&c->query);
    buf_free(&c->out);
    buf_free(&c->job_reply);
    free(c->argv);
    *(c->previous != NULL ? &c->previous->next : &w->conns) = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
    w->conn_count--;
    free(c);
}

/* The socket is closed. As soon as the session is ours too it is the end; what brings it back calls this again. */
void conn_release(struct conn *c)
{
    if (c->state == CONN_AWAY || c->state == CONN_BLOCKED)
        return;
    c->client->conn = NULL;
    client_gone(c->client);
    uv_close((uv_handle_t *)&c->timer, handle_closed);
}

void conn_untimed(struct conn *c)
{
    uv_timer_stop(&c->timer);
    if (c->timed)
        atomic_fetch_sub(&c->worker->clients->blocked_timed, 1);
    c->timed = false;
}

void conn_close(struct conn *c)
{
    if (c->dead)
        return;
    c->dead = true;
    client_set_flag(c->client, CLIENT_FLAG_CLOSING, true);
    /* Before the number can be used for another socket: closing the handle touches the loop's entry of that number. */
    uv_close((uv_handle_t *)&c->poll, handle_closed);
    conn_untimed(c);
    tls_free(c->tls);
    c->tls = NULL;
    close(c->fd);
    c->fd = -1;
    if (c->state == CONN_HELD)
        conn_unhold(c);
    if (c->state == CONN_BLOCKED && waiting_cancel(c->worker->node->waiting, &c->worker->x, &c->session, WAITING_CLOSED, &c->out)) {
        atomic_fetch_sub(&c->worker->clients->blocked, 1);
        c->state = CONN_READY;
    }
    conn_release(c);
}

void conn_close_soon(struct conn *c)
{
    c->closing = true;
    if (c->state == CONN_BLOCKED || conn_output_pending(c) == 0)
        conn_close(c);
    else
        worker_flush_later(c->worker, c);
}

void conn_open(struct worker *w, int fd, unsigned flags, void *tls)
{
    struct conn *c = calloc(1, sizeof *c);
    char address[64], local_address[64];

    check(c != NULL);
    peer_addresses(fd, address, local_address);
    c->worker = w;
    c->fd = fd;
    c->tls = tls;
    c->client = client_new(w->clients, w, fd, address, local_address, w->x.now_ms);
    c->client->conn = c;
    client_set_flag(c->client, (enum client_flag)flags, true);
    session_init(&c->session, w->node, c->client);
    c->session.tls = tls != NULL;
    resp_init(&c->parser, w->limits.bulk_bytes_max);
    c->next = w->conns;
    if (c->next != NULL)
        c->next->previous = c;
    w->conns = c;
    w->conn_count++;
    if ((flags & CLIENT_FLAG_UNIX) == 0)
        peer_options(fd, w->limits.keepalive_s);
    c->poll.data = c->timer.data = c;
    c->away_done = (struct message){.kind = MESSAGE_AWAY_DONE, .fd = -1, .client = c->client};
    c->handles = 2;
    uv_timer_init(&w->loop, &c->timer);
    if (uv_poll_init(&w->loop, &c->poll, fd) != 0) {
        log_event(LOG_WARNING, "client refused: cannot watch its socket");
        c->handles = 1;
        c->dead = true;
        close(fd);
        c->client->conn = NULL;
        client_gone(c->client);
        uv_close((uv_handle_t *)&c->timer, handle_closed);
        return;
    }
    conn_watch(c);
}

void conn_cron(struct conn *c, msec_t now_ms)
{
    const struct worker *w = c->worker;

    if (c->dead)
        return;
    if (conn_output_pending(c) > 0 && conn_enforce_limit(c))
        return;
    if (w->limits.timeout_s > 0 && c->state == CONN_READY && conn_kind(c) == CLIENT_NORMAL && !c->session.is_monitor &&
        now_ms - LOAD(c->client->active_ms) > w->limits.timeout_s * 1000) {
        log_event(LOG_VERBOSE, "client closed: id=%llu reason=idle", (unsigned long long)c->client->id);
        conn_close(c);
    }
}
