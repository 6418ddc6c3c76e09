/*
 * operator.h - a careful operator: creates the cluster, then moves slots one after the other as redis-cli does, through
 * whatever the network does, repeating what was not answered.
 */
#ifndef CAIRN_TESTS_SIM_OPERATOR_H
#define CAIRN_TESTS_SIM_OPERATOR_H

#include "checker.h"

enum operator_step {
    OPERATOR_CREATE,
    OPERATOR_JOIN,
    OPERATOR_IDLE,
    OPERATOR_IMPORTING,
    OPERATOR_MIGRATING,
    OPERATOR_KEYS,
    OPERATOR_CLAIM,
    OPERATOR_YIELD,
    OPERATOR_UNDO,
};

struct operator {
    struct world *world;
    struct checker *checker;
    struct rng rng;
    unsigned masters;      /* nodes 0 .. masters - 1 begin as masters, the others as replicas */
    bool config_epochs;    /* gives each node its own epoch at the start, as redis-cli does */
    bool done[SIM_NODES_MAX];
    msec_t next_meet;
    enum operator_step step;
    slot_t slot;
    unsigned from, to;
    unsigned moves;    /* finished ones */
    bool no_new_moves;
};

void operator_init(struct operator *o, struct world *world, struct checker *checker, unsigned masters, uint64_t seed);

/* One try of whatever is next. */
void operator_turn(struct operator *o);

/* Nothing is half done. */
bool operator_idle(const struct operator *o);

#endif
