/*
 * state.h - cluster_state: may this node serve keys?
 */
#ifndef CAIRN_CLUSTER_STATE_H
#define CAIRN_CLUSTER_STATE_H

#include "cluster/cluster_priv.h"

/* Recomputes it; true if it changed. */
bool state_update(struct cluster *c);

/* A majority of the masters hears this node, and not just since a moment ago: what they decided without it has been told. */
bool state_is_heard(const struct cluster *c);

/*
 * This node got its first slots by an operator: it had no reason to ask often who hears it, so its lease begins now. The
 * winner of an election needs no such thing, it knows who voted.
 */
void state_begin_lease(struct cluster *c);

#endif
