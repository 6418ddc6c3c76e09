/*
 * bus_priv.h - the bus from inside: bus.c has the loop, what it listens on and its requests, bus_link.c one link.
 */
#ifndef CAIRN_SERVER_DRIVE_BUS_PRIV_H
#define CAIRN_SERVER_DRIVE_BUS_PRIV_H

#include "base/buf.h"
#include "server/drive/bus.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

struct request;
struct tls_pipe;

enum { BUS_READ_BYTES = 64 << 10, BUS_LISTENERS_MAX = 16, BUS_LINK_BUCKETS = 1024 };

struct link {
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct bus *bus;
    struct link *next; /* in its bucket */
    link_t id;
    bool up, closing;
    struct tls_pipe *tls;        /* NULL: plain */
    uint64_t since_ms;           /* of the loop's clock */
    char local[CLUSTER_IP_SIZE], peer[CLUSTER_IP_SIZE];
    struct buf in;
    atomic_uint_fast64_t queued; /* bytes handed to libuv and not yet written */
};

struct bus {
    /* Set once */
    bus_event *event;
    void *context;
    uv_tcp_t listeners[BUS_LISTENERS_MAX];
    size_t listener_count;

    /* Bus thread */
    uv_loop_t loop;
    uv_timer_t timer;
    link_t next_inbound;
    uint8_t read_buffer[BUS_READ_BYTES];
    struct tls_context *tls;     /* NULL: plain */
    uint64_t looked_ms, told_ms; /* for old handshakes; of failures, in the log */

    _Atomic(struct tls_context *) tls_next; /* replaces tls */
    atomic_uint_fast64_t send_buffer_max;
    uv_async_t wake;
    pthread_t thread;
    bool started;
    atomic_bool stopping;

    pthread_mutex_t lock;
    struct request *first, **last;        /* Under lock */
    struct link *buckets[BUS_LINK_BUCKETS];   /* changed by the bus thread under lock */
};

/* All of these: bus thread only, but for bus_link_find, which others call under the lock. */
struct link *bus_link_new(struct bus *b, link_t id);
struct link *bus_link_find(struct bus *b, link_t id); /* NULL: unknown */

/* Its connection stands: reads from it, and tells of it when it can be used, which with TLS is later. */
void bus_link_open(struct link *l);
void bus_link_send(struct link *l, struct slice bytes);
void bus_link_close(struct link *l);                /* says nothing; more than once is fine */
void bus_link_down(struct link *l, bool overflow);  /* and says so */

/* Once a second: handshakes that do not end. */
void bus_links_look(struct bus *b);

void bus_tell(struct bus *b, struct cluster_event event);

#endif
