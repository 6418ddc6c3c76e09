/*
 * layout.h - the cluster that a history begins with: masters first, then their replicas in turns, and a nodes.conf for each.
 */
#ifndef CAIRN_TESTS_SIM_LAYOUT_H
#define CAIRN_TESTS_SIM_LAYOUT_H

#include "base/buf.h"
#include "base/rng.h"
#include "base/types.h"
#include "world.h"

struct layout {
    unsigned nodes, masters, owners; /* the first masters, of which the first own the slots */
    char ids[SIM_NODES_MAX][CLUSTER_ID_SIZE + 1];
};

/* Draws the ids, when the numbers are set. */
void layout_name(struct layout *l, struct rng *rng);

/* The first slot of an owner; of `owners`: behind the last. */
slot_t layout_boundary(const struct layout *l, unsigned owner);

/* The number of the node's master; -1: it is one. */
int layout_master(const struct layout *l, unsigned node);

/* What the node's nodes.conf says at the start: everybody knows everybody. */
void layout_conf(const struct layout *l, unsigned node, struct buf *out);

#endif
