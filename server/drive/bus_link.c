/*
 * bus_link.c - one link of the bus: a libuv TCP handle, with TLS on it if the bus speaks it.
 *
 *   CONNECT -> connecting --connected--> [handshake] --> up --CLOSE, error, overflow--> closing --> freed
 *                   \-- failed: LINK_FAILED, closing --/
 *   accept  -> [handshake] -> up (LINK_ACCEPTED)
 *
 * (1) After CLOSE or a LINK_DOWN / LINK_FAILED event nobody speaks of the link again.
 * (2) With TLS nobody hears of a link, and nothing is read from it, before the handshake is over; it may take HANDSHAKE_MS.
 */
#include "server/drive/bus_priv.h"

#include "base/check.h"
#include "base/log.h"
#include "server/net/tls.h"
#include "server/net/tls_pipe.h"

#include <stdlib.h>
#include <string.h>

enum { HANDSHAKE_MS = 10000, LOOK_MS = 1000 };

struct write {
    uv_write_t request;
    struct link *link;
    size_t size;
    uint8_t bytes[];
};

/* ---- Links ---- */

static struct link **bucket(struct bus *b, link_t id)
{
    return &b->buckets[(id ^ id >> 32) % BUS_LINK_BUCKETS];
}

struct link *bus_link_find(struct bus *b, link_t id)
{
    struct link *l;

    for (l = *bucket(b, id); l != NULL && l->id != id; l = l->next)
        ;
    return l;
}

struct link *bus_link_new(struct bus *b, link_t id)
{
    struct link *l = calloc(1, sizeof *l);

    check(l != NULL);
    l->bus = b;
    l->id = id;
    l->since_ms = uv_now(&b->loop);
    check(uv_tcp_init(&b->loop, &l->tcp) == 0);
    l->tcp.data = l;
    pthread_mutex_lock(&b->lock);
    l->next = *bucket(b, id);
    *bucket(b, id) = l;
    pthread_mutex_unlock(&b->lock);
    return l;
}

static void on_closed(uv_handle_t *handle)
{
    struct link *l = handle->data;

    tls_pipe_free(l->tls);
    buf_free(&l->in);
    free(l);
}

void bus_link_close(struct link *l)
{
    struct bus *b = l->bus;

    if (l->closing)
        return;
    l->closing = true;
    pthread_mutex_lock(&b->lock);
    for (struct link **p = bucket(b, l->id); *p != NULL; p = &(*p)->next)
        if (*p == l) {
            *p = l->next;
            break;
        }
    pthread_mutex_unlock(&b->lock);
    uv_close((uv_handle_t *)&l->tcp, on_closed);
}

void bus_tell(struct bus *b, struct cluster_event event)
{
    if (!atomic_load(&b->stopping))
        b->event(b->context, &event);
}

void bus_link_down(struct link *l, bool overflow)
{
    struct bus *b = l->bus;
    link_t id = l->id;
    bool up = l->up;

    if (l->closing)
        return;
    bus_link_close(l);
    if (!up && (id & CLUSTER_LINK_INBOUND) != 0) /* nobody has heard of it */
        return;
    bus_tell(b, (struct cluster_event){.type = up ? CLUSTER_EVENT_LINK_DOWN : CLUSTER_EVENT_LINK_FAILED, .link = id,
                                   .overflow = overflow});
}

/* ---- Writing ---- */

static void on_written(uv_write_t *request, int status)
{
    struct write *w = request->data;
    struct link *l = w->link;

    l->queued -= w->size;
    free(w);
    if (status < 0 && !l->closing)
        bus_link_down(l, false);
}

/* As they are: of TLS what it made. */
static void push(struct link *l, struct slice bytes)
{
    uint64_t most = atomic_load(&l->bus->send_buffer_max);
    struct write *w;
    uv_buf_t out;

    if (bytes.size == 0)
        return;
    w = malloc(sizeof *w + bytes.size);
    check(w != NULL);
    w->link = l;
    w->size = bytes.size;
    memcpy(w->bytes, bytes.data, bytes.size);
    w->request.data = w;
    out = uv_buf_init((char *)w->bytes, (unsigned)bytes.size);
    l->queued += bytes.size;
    if (uv_write(&w->request, (uv_stream_t *)&l->tcp, &out, 1, on_written) != 0) {
        l->queued -= bytes.size;
        free(w);
        bus_link_down(l, false);
    } else if (most != 0 && l->queued > most) {
        log_event(LOG_WARNING, "bus: a link has %lu bytes waiting, more than cluster-link-sendbuf-limit: closed",
                  (unsigned long)l->queued);
        bus_link_down(l, true);
    }
}

void bus_link_send(struct link *l, struct slice bytes)
{
    struct buf out = {0};
    enum err e;

    if (!l->up)
        return;
    if (l->tls == NULL) {
        push(l, bytes);
        return;
    }
    e = tls_pipe_send(l->tls, bytes, &out);
    if (e == OK)
        push(l, buf_slice(&out));
    else
        bus_link_down(l, false);
    buf_free(&out);
}

/* ---- Becoming usable ---- */

static void link_usable(struct link *l)
{
    bool inbound = (l->id & CLUSTER_LINK_INBOUND) != 0;

    l->up = true;
    bus_tell(l->bus, (struct cluster_event){.type = inbound ? CLUSTER_EVENT_LINK_ACCEPTED : CLUSTER_EVENT_LINK_UP,
                                        .link = l->id,
                                        .local_ip = inbound ? l->local : NULL,
                                        .peer_ip = inbound ? l->peer : NULL});
}

static void tls_failed(struct link *l)
{
    struct bus *b = l->bus;
    uint64_t now = uv_now(&b->loop);

    if (now - b->told_ms < LOOK_MS && b->told_ms != 0)
        return;
    b->told_ms = now;
    log_event(LOG_WARNING, "bus_tls_failed peer=%s inbound=%d error=\"%s\"", l->peer, (l->id & CLUSTER_LINK_INBOUND) != 0, err_text());
}

/* Bytes of the peer, through TLS if that is spoken. False: the link is down. */
static bool take_in(struct link *l, struct slice bytes)
{
    struct buf out = {0};
    enum err e;

    if (l->tls == NULL) {
        buf_append_slice(&l->in, bytes);
        return true;
    }
    e = tls_pipe_receive(l->tls, bytes, &l->in, &out);
    if (e != OK && e != ERR_CLOSED)
        tls_failed(l);
    push(l, buf_slice(&out)); /* also why it failed */
    buf_free(&out);
    if (e != OK)
        bus_link_down(l, false);
    else if (!l->closing && !l->up && tls_pipe_ready(l->tls))
        link_usable(l);
    return !l->closing;
}

/* ---- Reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct link *l = handle->data;

    (void)suggested;
    *out = uv_buf_init((char *)l->bus->read_buffer, BUS_READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *bytes)
{
    struct link *l = stream->data;
    size_t at = 0;

    if (size < 0) {
        bus_link_down(l, false);
        return;
    }
    if (!take_in(l, slice_of(bytes->base, (size_t)size)))
        return;
    while (!l->closing) {
        struct slice rest = slice_of(l->in.data + at, l->in.size - at);
        size_t message = 0;
        enum err e = cluster_frame(rest, &message);

        if (e == ERR_AGAIN)
            break;
        if (e != OK) {
            bus_link_down(l, false);
            return;
        }
        bus_tell(l->bus, (struct cluster_event){.type = CLUSTER_EVENT_MESSAGE, .link = l->id, .bytes = slice_of(rest.data, message)});
        at += message;
    }
    buf_consume(&l->in, at);
}

/* Its connection stands. */
void bus_link_open(struct link *l)
{
    struct bus *b = l->bus;
    struct tls_context *next = atomic_exchange(&b->tls_next, NULL);

    if (next != NULL) {
        tls_context_free(b->tls);
        b->tls = next;
    }
    uv_tcp_nodelay(&l->tcp, 1);
    uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read);
    if (b->tls == NULL) {
        link_usable(l);
        return;
    }
    l->tls = tls_pipe_new(b->tls, (l->id & CLUSTER_LINK_INBOUND) != 0);
    check(l->tls != NULL);
    (void)take_in(l, slice_of(NULL, 0)); /* who connects speaks first */
}

/* ---- Handshakes ---- */

void bus_links_look(struct bus *b)
{
    uint64_t now = uv_now(&b->loop);

    if (now - b->looked_ms < LOOK_MS)
        return;
    b->looked_ms = now;
    for (size_t i = 0; i < BUS_LINK_BUCKETS; i++)
        for (struct link *l = b->buckets[i], *next; l != NULL; l = next) {
            next = l->next;
            if (l->tls != NULL && !l->up && now - l->since_ms > HANDSHAKE_MS)
                bus_link_down(l, false);
        }
}
