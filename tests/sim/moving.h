/*
 * moving.h - a simulated history about atomic migrations: a formed cluster with replicas and clients, jobs that move slots to and fro,
 * and a fault at a chosen step of most of them, beside crashes, partitions and failovers at any time.
 */
#ifndef CAIRN_TESTS_SIM_MOVING_H
#define CAIRN_TESTS_SIM_MOVING_H

#include "jobs.h"

struct moving_options {
    uint64_t seed;
    unsigned nodes;        /* 0: drawn */
    unsigned seconds;      /* of trouble; 0: drawn */
    unsigned planted_bugs; /* CLUSTER_BUG_* */
    bool verbose;
    int watch; /* a slot whose way is told; -1: none */
};

struct moving_result {
    bool ok;
    char text[512];
    unsigned nodes, begun, claimed, taken_back, promotions;
    unsigned fixed; /* slots that were left to an operator: stock.h */
    uint64_t accepted, risked;
    int64_t simulated_ms, settled_ms;
    uint64_t steps;
    unsigned cells[JOB_STEPS][JOB_FAULTS];
};

struct moving_result moving_history(const struct moving_options *options);

#endif
