/*
 * failover.h - a simulated history about failover: a formed cluster with replicas and clients, then crashes, partitions,
 * power cuts and operators; or one clean crash of a master, to measure how long its slots stay without one.
 */
#ifndef CAIRN_TESTS_SIM_FAILOVER_H
#define CAIRN_TESTS_SIM_FAILOVER_H

#include <stdbool.h>
#include <stdint.h>

struct failover_options {
    uint64_t seed;
    unsigned nodes;        /* 0: 6 to 12, drawn */
    unsigned seconds;      /* of trouble; 0: drawn */
    unsigned planted_bugs; /* CLUSTER_BUG_* */
    bool measure;          /* a gentle network and one crash of a master, nothing else */
    int64_t node_timeout_ms; /* of measuring; 0: drawn */
    unsigned replicas;       /* of measuring, per master; 0: drawn */
    unsigned crashes;        /* of measuring: so many masters at once, of 2 x + 1; 0: one of three or four */
    unsigned redis_percent;  /* of measuring: nodes that keep Redis' schedule */
    bool verbose;
};

struct failover_result {
    bool ok;
    char text[512];
    unsigned nodes, votes, promotions, planned, partial_syncs, full_syncs;
    int64_t simulated_ms, settled_ms; /* from healing until all agreed */
    int64_t node_timeout_ms, failover_ms; /* measured; -1: not at all */
    uint64_t steps;
};

struct failover_result failover_history(const struct failover_options *options);

#endif
