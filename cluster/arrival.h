/*
 * arrival.h - slots whose keys arrive by an atomic migration while another node owns them.
 *
 * nodes.conf remembers them ("arrivingSlots", which Redis skips), so that what had come is dropped whoever crashes: by
 * this node when it starts again, or by a replica of it that is promoted. Only CLAIM makes them this node's.
 */
#ifndef CAIRN_CLUSTER_ARRIVAL_H
#define CAIRN_CLUSTER_ARRIVAL_H

#include "cluster/cluster_priv.h"

void arrival_begin(struct cluster *c, const slot_t *slots, size_t count);

/* On a master: their keys are dropped, as those of lost slots. */
void arrival_abandon(struct cluster *c, const slot_t *slots, size_t count);

/* On a replica, now and then: what its master has dropped. */
void arrival_forget_dropped(struct cluster *c);

/* A master's start, and a promotion: nobody brings the rest of them, and interrupted drops of lost slots go on. */
void arrival_abandon_all(struct cluster *c);

void arrival_set(struct cluster *c, slot_t slot, bool arriving);

#endif
