/*
 * data.h - what the nodes of a simulated cluster hold, and replication between them: the driver's half of failover.
 *
 * A node's data is the sequence of writes that it took, as a chain of hashes: two nodes hold the same prefix of length n
 * if and only if their n-th hashes are equal. Histories work as on a real node: a position is (history id, offset), a
 * partial synchronisation needs a position that lies on the master's history, anything else is a full one, during which
 * the data is not whole; a promotion forks a new history.
 *
 * What must hold at every moment:
 * (1) A replica that streams from its master holds a prefix of its master's data.
 * (2) A node that becomes a master held whole data, also across crashes.
 * (3) After a planned failover the new master holds all that the old one does, be that up, down, or started anew without its tail.
 * (4) No write is accepted by a master that a majority of the masters could not reach for longer than the node timeout.
 */
#ifndef CAIRN_TESTS_SIM_DATA_H
#define CAIRN_TESTS_SIM_DATA_H

#include "checker.h"

enum { DATA_HISTORIES_MAX = 32, DATA_TURN_MS = 20 };

struct data_history {
    uint32_t id;
    size_t start; /* writes before it */
};

struct data_node {
    /* Survives a crash. */
    uint64_t *chain; /* hash after each write */
    size_t size, capacity;
    size_t durable; /* what survives a power cut */
    struct data_history histories[DATA_HISTORIES_MAX];
    unsigned history_count;
    bool own_history; /* the last one was begun here */
    bool whole;
    int source; /* whose copy this is, if whole; -1: its own */

    /* Ends with the process. */
    int master; /* -1: it is a master */
    unsigned master_life; /* of the process that it is linked to */
    bool link_up;
    msec_t heard, next_try, sync_until;
    bool syncing, drops_first;
    msec_t pause_until, pause_in_force; /* 0: none; in force once that time is reached and it was said */
    bool paused_said, held; /* held: writes are refused, also while a second pause is not in force yet */
    size_t wanted;
    bool report_due;
    size_t said_offset;
    bool planned; /* its election is the end of a planned failover, with this master */
    unsigned planned_master;

    msec_t contact[SIM_NODES_MAX]; /* when it could last exchange messages with each other node */
    uint64_t accepted;
};

struct data {
    struct checker *checker; /* and its world */
    struct rng rng;
    msec_t node_timeout_ms;
    unsigned planted_bugs;
    unsigned lag_max; /* writes that a replica may stay behind for a while */
    unsigned power_cut_per_mille; /* of crashes */
    uint32_t next_history;
    uint64_t next_write;
    unsigned promotions, planned, partial_syncs, full_syncs;
    struct data_node nodes[SIM_NODES_MAX];
};

void data_init(struct data *d, struct checker *checker, uint64_t seed, msec_t node_timeout_ms, unsigned planted_bugs);
void data_fini(struct data *d);

/* Replicas begin as whole copies of their masters. */
void data_place(struct data *d, unsigned node, int master);

/* Clients write, replicas follow; every DATA_TURN_MS. */
void data_turn(struct data *d);

/* The world's calls, see struct world_observer. */
void data_obeyed(struct data *d, struct sim_node *node, const struct cluster_action *a);
void data_ticking(struct data *d, struct sim_node *node);
void data_crashed(struct data *d, struct sim_node *node);

/* The election that this node begins is the end of a planned failover. */
void data_mark_planned(struct data *d, struct sim_node *node);

#endif
