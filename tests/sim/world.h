/*
 * world.h - many cluster cores in one process: simulated time, links, crashes and restarts.
 *
 * Everything that happens follows from the seed. The world obeys the cores' actions as a driver must: in order, a
 * synced PERSIST before what stands behind it; and it crashes nodes between any two actions.
 */
#ifndef CAIRN_TESTS_SIM_WORLD_H
#define CAIRN_TESTS_SIM_WORLD_H

#include "base/buf.h"
#include "cluster/cluster.h"
#include "network.h"

struct world;
struct conn;

struct world_options {
    uint64_t seed;
    unsigned nodes;
    msec_t node_timeout_ms;
    bool replication;      /* cores may become replicas */
    unsigned planted_bugs; /* CLUSTER_BUG_* */
    unsigned crash_per_million_actions;
    msec_t down_max_ms; /* a crashed node comes back within this time */
    msec_t clock_offset_max_ms;
    unsigned clock_drift_max_ppm;
    struct network_options network;
    void (*first_conf)(void *context, unsigned node, struct buf *out); /* its nodes.conf at the start; NULL: none */
    unsigned redis_nodes; /* the first so many keep Redis' schedule */
    bool verbose;
};

struct world_end {
    link_t link;
    struct conn *conn;
};

struct sim_node {
    unsigned index;
    char id[CLUSTER_ID_SIZE + 1]; /* "" until it has started */
    struct world *world;
    struct cluster *core; /* NULL: down */
    unsigned life;        /* grows with each restart: events of an earlier life are void */
    msec_t clock_offset_ms;
    int64_t clock_drift_ppm;
    struct buf durable;   /* nodes.conf as it would be found after a crash */
    struct buf unsynced;  /* written without sync: may or may not survive */
    bool has_unsynced;
    uint64_t next_inbound;
    struct world_end *ends;
    size_t end_count, end_capacity;
    uint8_t last_header[2256]; /* of its last PING: what a candidate's request looks like */
    bool has_header;
};

/* What the world tells its observer (the checker and the operator). */
struct world_observer {
    void (*stepped)(void *context, struct sim_node *node);
    void (*sent)(void *context, struct sim_node *node, unsigned to, struct slice message);
    void (*slot_lost)(void *context, struct sim_node *node, slot_t slot);
    void (*replicates)(void *context, struct sim_node *node); /* its data set is about to be replaced */
    void (*restarted)(void *context, struct sim_node *node);
    void (*obeyed)(void *context, struct sim_node *node, const struct cluster_action *a); /* roles, pauses, wishes */
    void (*ticking)(void *context, struct sim_node *node); /* before every TICK; may call world_event */
    void (*crashed)(void *context, struct sim_node *node);
    uint64_t (*keys)(void *context, unsigned node, slot_t slot); /* NULL: no keys anywhere */
    void *context;
};

/* *out is set before the first event, so that the observer may use it. */
struct world *world_new(const struct world_options *options, const struct world_observer *observer, struct world **out);
void world_free(struct world *w);

msec_t world_now(const struct world *w); /* simulated milliseconds since the beginning */
struct rng *world_rng(struct world *w);
struct network *world_network(struct world *w);
struct sim_node *world_node(struct world *w, unsigned index);
unsigned world_node_count(const struct world *w);
uint64_t world_steps(const struct world *w);

/* Handles all events up to that time. */
void world_run_until(struct world *w, msec_t time);

/* Runs a command on a node. False if it is down, or went down before the reply left; reply text is copied. */
struct world_reply {
    bool answered;
    bool ok; /* not an error */
    char text[256];
};
struct world_reply world_command(struct world *w, unsigned node, enum cluster_command_type type, const char *words);

/* Where to MEET a node. */
void world_address(unsigned node, char ip[CLUSTER_IP_SIZE], unsigned *port);

/* Lets a replica ask every peer for a vote, as if it ran an election (FORCEACK). */
void world_ask_for_votes(struct world *w, unsigned node);

/* An event from outside the bus: what a driver says. */
bool world_event(struct world *w, unsigned node, const struct cluster_event *event);

void world_crash(struct world *w, unsigned node);
void world_crash_for(struct world *w, unsigned node, msec_t down_ms);
void world_calm(struct world *w); /* no faults from here on; nodes that are down come back now */

#endif
