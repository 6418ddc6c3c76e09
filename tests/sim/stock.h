/*
 * stock.h - the keys of a few slots on the nodes of a simulated cluster: which writes each node holds, whom it replicates, what it drops.
 *
 * A slot's keys are the list of the writes that made them. A write is safe once a majority of the masters routes to the node that took it,
 * nobody thinks that the slot is his by a greater epoch, no election runs, and all its replicas have it too; what is safe must be
 * found, in its order, at whoever such a majority routes to, at any later moment at which that node serves (cluster state ok): one that is cut
 * off, and has a node that just came back with an old map beside it, tells nobody anything.
 *
 * At the end: nobody but an owner and its replicas holds keys of a slot, and nothing is marked or being dropped. One state is left to an
 * operator (docs/decisions/0055), who closes it by `fix`: an old master without slots keeps the keys of one that its replica, elected
 * in its place, has handed on to another shard, whose master has all that is safe.
 */
#ifndef CAIRN_TESTS_SIM_STOCK_H
#define CAIRN_TESTS_SIM_STOCK_H

#include "checker.h"

enum { STOCK_SLOTS = 12, STOCK_WRITES_MAX = 300, STOCK_TURN_MS = 20 };

struct stock_slot {
    uint32_t count; /* 0: no keys */
    uint32_t writes[STOCK_WRITES_MAX];
};

struct stock_node {
    /* Survives a crash. */
    struct stock_slot slots[STOCK_SLOTS];
    uint64_t owns[STOCK_SLOTS]; /* by its own map: its config epoch; 0: it does not */
    uint64_t owned[STOCK_SLOTS];    /* the same, when it last did */
    uint64_t replaced[STOCK_SLOTS]; /* its replica took the slot from it by an election with this epoch; 0: none has */
    uint64_t offset; /* of replication: changes of the data */
    bool whole;
    int source; /* whose copy this is; -1: its own */

    /* Ends with the process. */
    int master; /* -1: it is a master */
    unsigned master_life;
    bool link_up, report_due;
    msec_t heard, next_try;
    uint64_t wanted;
    msec_t pause_at; /* in force from then on; 0: none */
    bool paused;
    bool frozen[STOCK_SLOTS];   /* writes wait: the end of a job */
    bool arriving[STOCK_SLOTS]; /* a job of this node lives: told to its replicas in the stream */
    msec_t drop_at[STOCK_SLOTS]; /* when what is to be dropped will be gone; 0: nothing is */
};

struct stock {
    struct checker *checker; /* and its world */
    struct rng rng;
    unsigned planted_bugs;
    slot_t slots[STOCK_SLOTS];
    int8_t index[SLOTS]; /* -1: the slot is always empty */
    struct stock_slot safe[STOCK_SLOTS];
    uint32_t next_write;
    uint64_t accepted, risked; /* risked: slots claimed while a replica of the target was away */
    unsigned promotions;
    struct stock_node nodes[SIM_NODES_MAX];
    char watched[SIM_NODES_MAX][256]; /* stock_watch: what it last told */
};

/* Slots lie in neighbouring groups all over the slot space. */
void stock_init(struct stock *k, struct checker *checker, uint64_t seed, unsigned planted_bugs);
void stock_place(struct stock *k, unsigned node, int master);

/* Clients write, replicas follow, drops end, what is safe is checked; every STOCK_TURN_MS. */
void stock_turn(struct stock *k);

/* All replicas that are linked to the node have what it has. */
bool stock_settled(const struct stock *k, unsigned node);

/* The target of a job claims the slot: what is safe there depends on its own replicas from here on. */
void stock_claimed(struct stock *k, unsigned node, unsigned at);

/* The driver's: one slot of the node becomes this; a change of its data. */
void stock_set(struct stock *k, unsigned node, unsigned at, const struct stock_slot *to);

bool stock_holds_writes(const struct stock *k, unsigned node); /* a planned failover */

/* Prints what each node makes of the slot, when that has changed. */
void stock_watch(struct stock *k, slot_t slot);

/* At the end: does to the slots that are left to an operator what `fix` does. How many. */
unsigned stock_fix(struct stock *k);

/* At the end, slots that are left to an operator aside; NULL: as it must be, else what is not (static text). */
const char *stock_untidy(const struct stock *k);

/* The world's calls, see struct world_observer. */
void stock_obeyed(struct stock *k, struct sim_node *node, const struct cluster_action *a);
void stock_lost(struct stock *k, struct sim_node *node, slot_t slot);
void stock_ticking(struct stock *k, struct sim_node *node);
void stock_crashed(struct stock *k, struct sim_node *node);
uint64_t stock_keys(const struct stock *k, unsigned node, slot_t slot);

#endif
