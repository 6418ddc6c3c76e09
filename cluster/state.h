/*
 * state.h - cluster_state: may this node serve keys?
 */
#ifndef CAIRN_CLUSTER_STATE_H
#define CAIRN_CLUSTER_STATE_H

#include "cluster/cluster_priv.h"

/* Recomputes it; true if it changed. */
bool state_update(struct cluster *c);

#endif
