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

/* On a master: their keys are dropped, as those of lost slots. On a replica: its master says no more that they arrive. */
void arrival_abandon(struct cluster *c, const slot_t *slots, size_t count);

/* On a replica, now and then: what its master has dropped, or has again (then it had dropped it). */
void arrival_forget_dropped(struct cluster *c);

/* A master's start, and a promotion: nobody brings the rest of them, and interrupted drops of lost slots go on. */
void arrival_abandon_all(struct cluster *c);

/*
 * A replica is about to take over from its master. What that had claimed, and the replica has heard of by nothing but the keys,
 * is claimed too: slots of which there are keys, and that their owner has stopped claiming.
 */
void arrival_found(struct cluster *c);

/* It is this node's now. The source's claims from before do not take it back, whatever their epoch: update.h, rule 3. */
void arrival_claim(struct cluster *c, slot_t slot);

/* This node is in a minority: a source that hears nothing of a claim takes the slots back, and that counts. */
void arrival_doubt(struct cluster *c);

void arrival_set(struct cluster *c, slot_t slot, bool arriving);

#endif
