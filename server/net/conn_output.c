/*
 * conn_output.c - the bytes that a client is to get: written as far as the socket takes them, bounded by its output limits.
 *
 * (1) Replies go to the output buffer; the worker writes it at the end of the turn, after the log.
 * (2) An empty output buffer goes back to its worker: an idle connection owns none.
 */
#include "server/net/conn_priv.h"

#include <errno.h>
#include <unistd.h>

#include "base/log.h"
#include "server/net/tls.h"

static bool over_limit(struct conn *c)
{
    const struct client_output_limit *limit =
        &c->worker->limits.output[conn_kind(c) == CLIENT_REPLICA ? 1 : conn_kind(c) == CLIENT_PUBSUB ? 2 : 0];
    size_t pending = conn_output_pending(c);

    if (limit->hard_bytes != 0 && pending >= limit->hard_bytes)
        return true;
    if (limit->soft_bytes == 0 || pending < limit->soft_bytes) {
        c->soft_since_ms = 0;
        return false;
    }
    if (c->soft_since_ms == 0)
        c->soft_since_ms = c->worker->x.now_ms;
    return c->worker->x.now_ms - c->soft_since_ms > limit->soft_s * 1000;
}

/* True if the connection was closed. */
bool conn_enforce_limit(struct conn *c)
{
    if (conn_output_pending(c) < 1024 || conn_kind(c) == CLIENT_PRIMARY || !over_limit(c))
        return false;
    log_event(LOG_WARNING, "client closed: id=%llu addr=%s reason=output-buffer-limit pending_bytes=%zu",
              (unsigned long long)c->client->id, c->client->address, conn_output_pending(c));
    atomic_fetch_add(&c->worker->clients->output_limit_closes, 1);
    conn_close(c);
    return true;
}

void conn_output_give_back(struct conn *c)
{
    struct worker *w = c->worker;

    c->out.size = 0;
    c->out_at = 0;
    if (c->out.data == NULL)
        return;
    if (c->out.capacity <= SPARE_BYTES_MAX - w->spare_bytes && w->spares < SPARE_BUFFERS) {
        w->spare_bytes += c->out.capacity;
        w->spare[w->spares++] = c->out;
        c->out = (struct buf){0};
    } else if (c->out.capacity > OUTPUT_KEEP_BYTES) {
        buf_free(&c->out);
    }
}

void conn_output_take(struct conn *c)
{
    struct worker *w = c->worker;

    if (c->out.data == NULL && w->spares > 0) {
        c->out = w->spare[--w->spares];
        w->spare_bytes -= c->out.capacity;
    }
}

static ssize_t write_some(struct conn *c)
{
    c->tls_wants_read = c->tls_wants_write = false;
    if (c->tls != NULL)
        return tls_write(c->tls, c->out.data + c->out_at, conn_output_pending(c), &c->tls_wants_read, &c->tls_wants_write);
    return write(c->fd, c->out.data + c->out_at, conn_output_pending(c));
}

void conn_flush(struct conn *c)
{
    if (c->dead)
        return;
    while (conn_output_pending(c) > 0) {
        ssize_t written = write_some(c);

        if (written < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                conn_close(c);
                return;
            }
            break;
        }
        c->out_at += (size_t)written;
        atomic_fetch_add_explicit(&c->worker->clients->sent, (uint64_t)written, memory_order_relaxed);
        STORE(c->client->sent, LOAD(c->client->sent) + (uint64_t)written);
    }
    atomic_fetch_add_explicit(&c->worker->clients->writes, 1, memory_order_relaxed);
    STORE(c->client->output_bytes, conn_output_pending(c));
    if (conn_output_pending(c) == 0) {
        conn_output_give_back(c);
        if (c->closing) {
            conn_close(c);
            return;
        }
    } else if (conn_enforce_limit(c)) {
        return;
    } else if (c->out_at > OUTPUT_PAUSE_BYTES && c->out_at > c->out.size / 2) {
        buf_consume(&c->out, c->out_at);
        c->out_at = 0;
    }
    if (c->choked && conn_output_pending(c) <= OUTPUT_PAUSE_BYTES) { /* not lower: it would stop short of a limit as large as that */
        c->choked = false;
        conn_go_on(c);
    }
    conn_watch(c);
}

void conn_append(struct conn *c, struct slice bytes)
{
    if (c->dead || c->closing)
        return;
    conn_output_take(c);
    buf_append_slice(&c->out, bytes);
    STORE(c->client->output_bytes, conn_output_pending(c));
    if (!conn_enforce_limit(c))
        worker_flush_later(c->worker, c);
}
