/*
 * bus.h - the sockets of the cluster bus: one thread with a loop of its own, so that a long command never stops it.
 *
 * It carries out what the cluster core asks (CONNECT, CLOSE, SEND) and reports what happens as cluster events. It knows
 * frames (cluster_frame) but not what is in them. Events are delivered on the bus thread, one at a time; bus_obey may be
 * called from any thread, also from inside an event.
 */
#ifndef CAIRN_SERVER_DRIVE_BUS_H
#define CAIRN_SERVER_DRIVE_BUS_H

#include "base/err.h"
#include "cluster/cluster.h"

struct bus;
struct tls_context;

typedef void bus_event(void *context, const struct cluster_event *event);

struct bus_options {
    const char *const *addresses; /* to listen on, numeric; "-" in front: no error if it cannot be had; "*": all */
    size_t address_count;
    uint16_t port;
    uint64_t send_buffer_max; /* bytes queued on a link beyond which it is closed; 0: no limit */
    struct tls_context *take_tls; /* all links speak TLS; NULL: none does. Taken, also on failure */
    bus_event *event;
    void *context;
};

/* Binds and listens; nothing is accepted before bus_start. ERR_IO with a text when a port is taken. */
enum err bus_open(const struct bus_options *options, struct bus **out) WARN_UNUSED;

/* Starts the thread: accepts, and a TICK event every CLUSTER_TICK_MS. */
void bus_start(struct bus *b);

/* Stops the thread and closes every link; no event comes after it. NULL is fine. */
void bus_close(struct bus *b);

/* CLUSTER_CONNECT, CLUSTER_CLOSE or CLUSTER_SEND; bytes are copied. Order is kept. */
void bus_obey(struct bus *b, const struct cluster_action *action);

void bus_set_send_buffer_max(struct bus *b, uint64_t bytes);

/* Other certificates: for links to come. Only of a bus that speaks TLS. */
void bus_set_tls(struct bus *b, struct tls_context *take_tls);

/* Bytes that wait to be sent on a link, and bytes allocated for them; zeros for an unknown link. */
void bus_link_buffers(struct bus *b, link_t link, uint64_t *used, uint64_t *allocated);

#endif
