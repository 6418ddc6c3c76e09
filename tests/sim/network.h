/*
 * network.h - the simulated network: how long a message takes, whether it arrives, and who is cut off from whom.
 *
 * In the manner of TigerBeetle's packet simulator: one options struct, one seeded source of chance.
 */
#ifndef CAIRN_TESTS_SIM_NETWORK_H
#define CAIRN_TESTS_SIM_NETWORK_H

#include "base/rng.h"
#include "base/types.h"

#include <stdbool.h>

enum { SIM_NODES_MAX = 128 };

enum partition_shape {
    PARTITION_HALVES,   /* two groups of random size */
    PARTITION_ONE,      /* one node alone */
    PARTITION_ONE_WAY,  /* one node is heard by nobody, but hears all */
    PARTITION_SHAPES,
};

struct network_options {
    msec_t delay_min_ms, delay_max_ms; /* of most messages */
    unsigned slow_per_mille;           /* messages that take up to delay_slow_ms */
    msec_t delay_slow_ms;
    unsigned loss_per_mille;     /* messages that vanish although their link stays */
    unsigned break_per_mille;    /* messages that take their link down with them */
    unsigned reorder_per_mille;  /* messages that may overtake earlier ones of their link */
    unsigned refuse_per_mille;   /* connection attempts that fail */
    unsigned partition_per_mille;   /* chance that a whole network is cut, per second */
    unsigned heal_per_mille;        /* chance that a cut network is healed, per second */
    msec_t partition_min_ms;        /* a cut lasts at least this long */
    bool partition_holds;           /* messages across a cut arrive after it (TCP), else they vanish */
};

struct network {
    struct network_options options;
    struct rng rng;
    unsigned nodes;
    bool cut[SIM_NODES_MAX][SIM_NODES_MAX]; /* from, to */
    bool partitioned;
    bool calm; /* no faults any more */
    msec_t partitioned_at;
};

void network_init(struct network *n, const struct network_options *options, unsigned nodes, uint64_t seed);

/* Once a second of simulated time: begins or ends a partition. True if it changed. */
bool network_second(struct network *n, msec_t now);

/* Ends all faults but delays. */
void network_calm(struct network *n);

static inline bool network_cut(const struct network *n, unsigned from, unsigned to)
{
    return n->cut[from][to];
}

msec_t network_delay(struct network *n);
bool network_chance(struct network *n, unsigned per_mille); /* false once calm */

/* A network drawn at random, from gentle to hostile. */
struct network_options network_options_random(struct rng *rng);

#endif
