/*
 * bus.c - the bus: its thread and loop, its listening sockets, the requests of other threads. Links: bus_link.c.
 *
 * Requests wait in one queue under `lock`; the loop carries them out in order.
 */
#include "server/drive/bus.h"

#include "base/check.h"
#include "base/thread.h"
#include "server/drive/bus_priv.h"
#include "server/net/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINKS_BACKLOG = 511 };

struct request {
    struct request *next;
    enum cluster_action_type type;
    link_t link;
    char ip[CLUSTER_IP_SIZE];
    uint16_t port;
    size_t size;
    uint8_t bytes[];
};

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
        bus_link_down(l, false);
        return;
    }
    bus_link_open(l);
}

static void connect_to(struct bus *b, const struct request *r)
{
    struct link *l = bus_link_new(b, r->link);
    struct sockaddr_storage address;

    l->connect.data = l;
    snprintf(l->peer, sizeof l->peer, "%s", r->ip);
    if (address_of(r->ip, r->port, &address) != 0 ||
        uv_tcp_connect(&l->connect, &l->tcp, (struct sockaddr *)&address, on_connected) != 0)
        bus_link_down(l, false);
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
    struct link *l;

    if (status < 0)
        return;
    l = bus_link_new(b, CLUSTER_LINK_INBOUND | b->next_inbound++);
    if (uv_accept(listener, (uv_stream_t *)&l->tcp) != 0 ||
        uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&address, &size) != 0) {
        bus_link_close(l);
        return;
    }
    name_of(&address, l->local);
    size = sizeof address;
    if (uv_tcp_getpeername(&l->tcp, (struct sockaddr *)&address, &size) != 0) {
        bus_link_close(l);
        return;
    }
    name_of(&address, l->peer);
    bus_link_open(l);
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
    check(b->listener_count < BUS_LISTENERS_MAX);
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
        l = bus_link_find(b, r->link);
        if (r->type == CLUSTER_CONNECT)
            connect_to(b, r);
        else if (l != NULL && r->type == CLUSTER_CLOSE)
            bus_link_close(l);
        else if (l != NULL)
            bus_link_send(l, slice_of(r->bytes, r->size));
        free(r);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct bus *b = timer->data;

    if (b->tls != NULL)
        bus_links_look(b);
    bus_tell(timer->data, (struct cluster_event){.type = CLUSTER_EVENT_TICK});
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
    b->tls = options->take_tls;
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
    check(thread_start(&b->thread, "bus", run, b) == OK);
    b->started = true;
}

static void close_handle(uv_handle_t *handle, void *context)
{
    struct bus *b = context;

    if (uv_is_closing(handle))
        return;
    if (handle->type == UV_TCP && handle->data != b)
        bus_link_close(handle->data);
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
    tls_context_free(b->tls);
    tls_context_free(atomic_load(&b->tls_next));
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

void bus_set_tls(struct bus *b, struct tls_context *take_tls)
{
    tls_context_free(atomic_exchange(&b->tls_next, take_tls)); /* one that was never taken up */
}

void bus_link_buffers(struct bus *b, link_t link, uint64_t *used, uint64_t *allocated)
{
    struct link *l;

    *used = *allocated = 0;
    pthread_mutex_lock(&b->lock);
    if ((l = bus_link_find(b, link)) != NULL)
        *used = *allocated = l->queued;
    pthread_mutex_unlock(&b->lock);
}
