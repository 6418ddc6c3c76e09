/*
 * run.h - one simulated history from a seed: create, trouble, healing, verdict.
 */
#ifndef CAIRN_TESTS_SIM_RUN_H
#define CAIRN_TESTS_SIM_RUN_H

#include <stdbool.h>
#include <stdint.h>

struct run_options {
    uint64_t seed;
    unsigned nodes;        /* 0: drawn from the seed */
    unsigned seconds;      /* of trouble; 0: drawn from the seed */
    unsigned planted_bugs; /* CLUSTER_BUG_* */
    bool verbose;
};

struct run_result {
    bool ok;
    char text[512];      /* what was violated */
    unsigned nodes, moves, votes;
    int64_t simulated_ms;
    uint64_t steps;
};

struct run_result run(const struct run_options *options);

#endif
