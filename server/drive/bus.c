/*
 * bus.c - links as libuv TCP handles.
 *
 *   CONNECT -> connecting --connected--> open --CLOSE, error, overflow--> closing --> freed
 *                   \-- failed: LINK_FAILED, closing
 *   accept  -> open (LINK_ACCEPTED)
 *
 * (1) After CLOSE or a LINK_DOWN / LINK_FAILED event nobody speaks of the link again.
 * (2) Requests wait in one queue under `lock`; the loop carries them out in order.
 */
#include "server/drive/bus.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

enum { LINKS_BACKLOG = 511, READ_BYTES = 64 << 10, LISTENERS_MAX = 16, LINK_BUCKETS = 1024 };

struct request {
    struct request *next;
    enum cluster_action_type type;
    link_t link;
    char ip[CLUSTER_IP_SIZE];
    uint16_t port;
    size_t size;
    uint8_t bytes[];
};

struct link {
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct bus *bus;
    struct link *next; /* in its bucket */
    link_t id;
    bool up, closing;
    struct buf in;
    atomic_uint_fast64_t queued; /* bytes handed to libuv and not yet written */
};

struct write {
    uv_write_t request;
    struct link *link;
    size_t size;
    uint8_t bytes[];
};

struct bus {
    /* Set once */
    bus_event *event;
    void *context;
    uv_tcp_t listeners[LISTENERS_MAX];
    size_t listener_count;

    /* Bus thread */
    uv_loop_t loop;
    uv_timer_t timer;
    link_t next_inbound;
    uint8_t read_buffer[READ_BYTES];

    atomic_uint_fast64_t send_buffer_max;
    uv_async_t wake;
    pthread_t thread;
    bool started;
    atomic_bool stopping;

    pthread_mutex_t lock;
    struct request *first, **last;        /* Under lock */
    struct link *buckets[LINK_BUCKETS];   /* changed by the bus thread under lock */
};

/* ---- Links ---- */

static struct link **bucket(struct bus *b, link_t id)
{
    return &b->buckets[(id ^ id >> 32) % LINK_BUCKETS];
}

static struct link *link_find(struct bus *b, link_t id)
{
    struct link *l;

    for (l = *bucket(b, id); l != NULL && l->id != id; l = l->next)
        ;
    return l;
}

static struct link *link_new(struct bus *b, link_t id)
{
    struct link *l = calloc(1, sizeof *l);

    check(l != NULL);
    l->bus = b;
    l->id = id;
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

    buf_free(&l->in);
    free(l);
}

static void link_close(struct link *l)
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

static void tell(struct bus *b, struct cluster_event event)
{
    if (!atomic_load(&b->stopping))
        b->event(b->context, &event);
}

static void link_down(struct link *l, bool overflow)
{
    struct bus *b = l->bus;
    link_t id = l->id;
    bool up = l->up;

    if (l->closing)
        return;
    link_close(l);
    tell(b, (struct cluster_event){.type = up ? CLUSTER_EVENT_LINK_DOWN : CLUSTER_EVENT_LINK_FAILED, .link = id,
                                   .overflow = overflow});
}

/* ---- Reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct link *l = handle->data;

    (void)suggested;
    *out = uv_buf_init((char *)l->bus->read_buffer, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *bytes)
{
    struct link *l = stream->data;
    size_t at = 0;

    if (size < 0) {
        link_down(l, false);
        return;
    }
    buf_append(&l->in, bytes->base, (size_t)size);
    while (!l->closing) {
        struct slice rest = slice_of(l->in.data + at, l->in.size - at);
        size_t message = 0;
        enum err e = cluster_frame(rest, &message);

        if (e == ERR_AGAIN)
            break;
        if (e != OK) {
            link_down(l, false);
            return;
        }
        tell(l->bus, (struct cluster_event){.type = CLUSTER_EVENT_MESSAGE, .link = l->id, .bytes = slice_of(rest.data, message)});
        at += message;
    }
    buf_consume(&l->in, at);
}

static void link_open(struct link *l)
{
    l->up = true;
    uv_tcp_nodelay(&l->tcp, 1);
    uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read);
}

/* ---- Writing ---- */

static void on_written(uv_write_t *request, int status)
{
    struct write *w = request->data;
    struct link *l = w->link;

    l->queued -= w->size;
    free(w);
    if (status < 0 && !l->closing)
        link_down(l, false);
}

static void send_bytes(struct bus *b, struct link *l, struct slice bytes)
{
    uint64_t most = atomic_load(&b->send_buffer_max);
    struct write *w;
    uv_buf_t out;

    if (!l->up)
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
        link_down(l, false);
    } else if (most != 0 && l->queued > most) {
        log_event(LOG_WARNING, "bus: a link has %lu bytes waiting, more than cluster-link-sendbuf-limit: closed",
                  (unsigned long)l->queued);
        link_down(l, true);
    }
}

/* ---- Connecting, accepting ---- */

static int address_of(const char *ip, uint16_t port, struct sockaddr_storage *out)
{
    return strchr(ip, ':') != NULL ? uv_ip6_addr(ip, port, (struct sockaddr_in6 *)out)
                                   : uv_ip4_addr(ip, port, (struct sockaddr_in *)out);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct link *l = request->data;

    if (l->closing)
        return;
    if (status < 0) {
        link_down(l, false);
        return;
    }
    link_open(l);
    tell(l->bus, (struct cluster_event){.type = CLUSTER_EVENT_LINK_UP, .link = l->id});
}

static void connect_to(struct bus *b, const struct request *r)
{
    struct link *l = link_new(b, r->link);
    struct sockaddr_storage address;

    l->connect.data = l;
    if (address_of(r->ip, r->port, &address) != 0 ||
        uv_tcp_connect(&l->connect, &l->tcp, (struct sockaddr *)&address, on_connected) != 0)
        link_down(l, false);
}

static void name_of(const struct sockaddr_storage *address, char out[CLUSTER_IP_SIZE])
{
    out[0] = '\0';
    uv_ip_name((const struct sockaddr *)address, out, CLUSTER_IP_SIZE);
    if (strncmp(out, "::ffff:", 7) == 0 && strchr(out, '.') != NULL) /* IPv4 on an IPv6 socket */
        memmove(out, out + 7, strlen(out + 7) + 1);
}

static void on_accept(uv_stream_t *listener, int status)
{
    struct bus *b = listener->data;
    struct sockaddr_storage address;
    int size = sizeof address;
    char local[CLUSTER_IP_SIZE], peer[CLUSTER_IP_SIZE];
    struct link *l;

    if (status < 0)
        return;
    l = link_new(b, CLUSTER_LINK_INBOUND | b->next_inbound++);
    if (uv_accept(listener, (uv_stream_t *)&l->tcp) != 0 ||
        uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&address, &size) != 0) {
        link_close(l);
        return;
    }
    name_of(&address, local);
    size = sizeof address;
    if (uv_tcp_getpeername(&l->tcp, (struct sockaddr *)&address, &size) != 0) {
        link_close(l);
        return;
    }
    name_of(&address, peer);
    link_open(l);
    tell(b, (struct cluster_event){.type = CLUSTER_EVENT_LINK_ACCEPTED, .link = l->id, .local_ip = local, .peer_ip = peer});
}

static enum err listen_on(struct bus *b, const char *address, uint16_t port)
{
    bool optional = address[0] == '-';
    struct sockaddr_storage where;
    uv_tcp_t *listener = &b->listeners[b->listener_count];
    int code;

    if (optional)
        address++;
    if (strcmp(address, "*") == 0)
        address = "0.0.0.0";
    else if (strcmp(address, "::*") == 0)
        address = "::";
    check(b->listener_count < LISTENERS_MAX);
    check(uv_tcp_init(&b->loop, listener) == 0);
    listener->data = b;
    b->listener_count++;
    if ((code = address_of(address, port, &where)) == 0 &&
        (code = uv_tcp_bind(listener, (struct sockaddr *)&where,
                            strchr(address, ':') != NULL ? UV_TCP_IPV6ONLY : 0)) == 0)
        code = uv_listen((uv_stream_t *)listener, LINKS_BACKLOG, on_accept);
    if (code != 0 && !optional)
        return err_set(ERR_IO, "cannot listen on the cluster bus port %s:%u: %s", address, port, uv_strerror(code));
    return OK;
}

/* ---- The loop ---- */

static void on_wake(uv_async_t *async)
{
    struct bus *b = async->data;

    for (;;) {
        struct request *r;
        struct link *l;

        if (atomic_load(&b->stopping)) {
            uv_stop(&b->loop);
            return;
        }
        pthread_mutex_lock(&b->lock);
        r = b->first;
        if (r != NULL && (b->first = r->next) == NULL)
            b->last = &b->first;
        pthread_mutex_unlock(&b->lock);
        if (r == NULL)
            return;
        l = link_find(b, r->link);
        if (r->type == CLUSTER_CONNECT)
            connect_to(b, r);
        else if (l != NULL && r->type == CLUSTER_CLOSE)
            link_close(l);
        else if (l != NULL)
            send_bytes(b, l, slice_of(r->bytes, r->size));
        free(r);
    }
}

static void on_timer(uv_timer_t *timer)
{
    tell(timer->data, (struct cluster_event){.type = CLUSTER_EVENT_TICK});
}

static void *run(void *context)
{
    struct bus *b = context;

    uv_run(&b->loop, UV_RUN_DEFAULT);
    return NULL;
}

enum err bus_open(const struct bus_options *options, struct bus **out)
{
    struct bus *b = calloc(1, sizeof *b);
    enum err e = OK;

    check(b != NULL);
    b->event = options->event;
    b->context = options->context;
    atomic_init(&b->send_buffer_max, options->send_buffer_max);
    b->last = &b->first;
    b->next_inbound = 1;
    pthread_mutex_init(&b->lock, NULL);
    check(uv_loop_init(&b->loop) == 0);
    check(uv_async_init(&b->loop, &b->wake, on_wake) == 0);
    b->wake.data = b;
    check(uv_timer_init(&b->loop, &b->timer) == 0);
    b->timer.data = b;
    for (size_t i = 0; i < options->address_count && e == OK; i++)
        e = listen_on(b, options->addresses[i], options->port);
    if (e != OK) {
        bus_close(b);
        return e;
    }
    *out = b;
    return OK;
}

void bus_start(struct bus *b)
{
    uv_timer_start(&b->timer, on_timer, CLUSTER_TICK_MS, CLUSTER_TICK_MS);
    check(pthread_create(&b->thread, NULL, run, b) == 0);
    b->started = true;
}

static void close_handle(uv_handle_t *handle, void *context)
{
    struct bus *b = context;

    if (uv_is_closing(handle))
        return;
    if (handle->type == UV_TCP && handle->data != b)
        link_close(handle->data);
    else
        uv_close(handle, NULL);
}

void bus_close(struct bus *b)
{
    if (b == NULL)
        return;
    atomic_store(&b->stopping, true);
    if (b->started) {
        uv_async_send(&b->wake);
        pthread_join(b->thread, NULL);
    }
    uv_walk(&b->loop, close_handle, b);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    check(uv_loop_close(&b->loop) == 0);
    while (b->first != NULL) {
        struct request *r = b->first;

        b->first = r->next;
        free(r);
    }
    pthread_mutex_destroy(&b->lock);
    free(b);
}

void bus_obey(struct bus *b, const struct cluster_action *action)
{
    struct request *r = malloc(sizeof *r + action->bytes.size);

    check(r != NULL);
    *r = (struct request){.type = action->type, .link = action->link, .port = action->port, .size = action->bytes.size};
    if (action->type == CLUSTER_CONNECT)
        snprintf(r->ip, sizeof r->ip, "%s", action->text);
    if (action->bytes.size > 0)
        memcpy(r->bytes, action->bytes.data, action->bytes.size);
    pthread_mutex_lock(&b->lock);
    *b->last = r;
    b->last = &r->next;
    pthread_mutex_unlock(&b->lock);
    uv_async_send(&b->wake);
}

void bus_set_send_buffer_max(struct bus *b, uint64_t bytes)
{
    atomic_store(&b->send_buffer_max, bytes);
}

void bus_link_buffers(struct bus *b, link_t link, uint64_t *used, uint64_t *allocated)
{
    struct link *l;

    *used = *allocated = 0;
    pthread_mutex_lock(&b->lock);
    if ((l = link_find(b, link)) != NULL)
        *used = *allocated = l->queued;
    pthread_mutex_unlock(&b->lock);
}
