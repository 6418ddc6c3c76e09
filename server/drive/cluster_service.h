/*
 * cluster_service.h - the cluster core at work: its lock, its clock, its files; it obeys what the core decides.
 *
 * cluster_step runs under one lock, from the bus thread (messages, ticks) and from whoever runs a CLUSTER command. The
 * actions of a step are obeyed in order under the same lock; nodes.conf is durable before what follows it leaves.
 * Lock order: the service's lock is taken with no slot lock held; dropping a lost slot's keys is done by a thread of its
 * own. Workers route by map_enter and take no lock.
 */
#ifndef CAIRN_SERVER_DRIVE_CLUSTER_SERVICE_H
#define CAIRN_SERVER_DRIVE_CLUSTER_SERVICE_H

#include "base/buf.h"
#include "base/err.h"
#include "cluster/cluster.h"
#include "cluster/routing.h"

struct cluster_service;
struct node;
struct moves;
struct slot_drop;
struct tls_context;

struct cluster_service_options {
    struct node *node;
    struct cluster_config config;
    const char *dir;         /* of the data */
    const char *config_file; /* its name in dir: cluster-config-file */
    const char *const *addresses; /* bind, as in bus.h */
    size_t address_count;
    uint64_t send_buffer_max; /* cluster-link-sendbuf-limit */
};

/*
 * Reads nodes.conf (locking it against a second process), makes the core, listens on the bus port. ERR_IO, ERR_CORRUPT,
 * ERR_INVALID (keys in a database other than 0) with a text. Sets the node's route.
 */
enum err cluster_service_open(const struct cluster_service_options *options, struct cluster_service **out) WARN_UNUSED;

/* After the data is loaded: joins the bus. */
void cluster_service_start(struct cluster_service *s);

/* Gives up what moves slots from here or to here; workers still run. */
void cluster_service_quiet(struct cluster_service *s);
struct moves *cluster_service_moves(struct cluster_service *s);
struct slot_drop *cluster_service_drop(struct cluster_service *s);

/* Stops the bus and the background work, saves nothing more. NULL is fine. */
void cluster_service_close(struct cluster_service *s);

/* One event with its actions obeyed; for a COMMAND event *reply is filled in, with its text copied to *text. */
void cluster_service_step(struct cluster_service *s, const struct cluster_event *event, struct cluster_reply *reply,
                          struct buf *text);

/* The same, if the guard says so: it is asked under the lock. False: it did not. The event is no COMMAND. */
typedef bool cluster_service_guard(void *context, struct cluster *core);
bool cluster_service_step_if(struct cluster_service *s, cluster_service_guard *guard, void *context,
                             const struct cluster_event *event);

/* Calls read under the lock; it may step the core itself. */
typedef void cluster_service_reader(void *context, struct cluster *core);
void cluster_service_read(struct cluster_service *s, cluster_service_reader *read, void *context);

/* The routing snapshot: see map_board.h. */
const struct cluster_map *cluster_service_map(struct cluster_service *s);
void cluster_service_map_done(struct cluster_service *s);

/* A planned failover holds writes back: none may begin (write_hold.h). Any thread. */
bool cluster_service_writes_held(const struct cluster_service *s);

/* A majority of the masters is known to have heard this node lately enough. Any thread; cheap. */
bool cluster_service_may_write(const struct cluster_service *s);

/* CONFIG SET of a cluster-* directive. */
void cluster_service_configure(struct cluster_service *s, const struct cluster_config *config, uint64_t send_buffer_max);

/* The bus speaks TLS (tls-cluster at the start). With other certificates: for links to come. */
bool cluster_service_speaks_tls(const struct cluster_service *s);
void cluster_service_set_tls(struct cluster_service *s, struct tls_context *take_tls);

/* Bytes waiting on a link (CLUSTER LINKS). */
void cluster_service_link_buffers(struct cluster_service *s, link_t link, uint64_t *used, uint64_t *allocated);

#endif
