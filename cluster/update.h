/*
 * update.h - the slot update rule: what another node's claim does to the slot map.
 */
#ifndef CAIRN_CLUSTER_UPDATE_H
#define CAIRN_CLUSTER_UPDATE_H

#include "cluster/cluster_priv.h"

/* Node s (a master, not myself) claims exactly these slots with this epoch (facts 8.2). */
void update_claim(struct cluster *c, struct node *s, uint64_t epoch, const uint8_t *slots);

/* Node n itself says that these are its slots: what it does not claim any more, it will not take back. */
void update_heard(struct cluster *c, const struct node *n, const uint8_t *slots);

/*
 * The sender claims slots for `claimant` (itself, or its master) that others own by a greater epoch here: tells it
 * about the first such owner.
 */
void update_correct_sender(struct cluster *c, struct node *sender, const struct node *claimant, uint64_t epoch,
                           const uint8_t *slots);

/* A replica whose master is a replica now follows that one's master: also a master that had no slots to lose. Cron. */
void update_follow_grand(struct cluster *c);

#endif
