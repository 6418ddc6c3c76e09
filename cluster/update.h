/*
 * update.h - the slot update rule: what another node's claim does to the slot map.
 */
#ifndef CAIRN_CLUSTER_UPDATE_H
#define CAIRN_CLUSTER_UPDATE_H

#include "cluster/cluster_priv.h"

/* Which of the slots in a claim are claimed openly, and by what basis (claim.h). slots NULL: none. */
struct open_claim {
    const uint8_t *slots;
    uint64_t basis;
};

/* Node s (a master, not myself) claims exactly these slots with this epoch (facts 8.2); open NULL: none of them openly. */
void update_claim(struct cluster *c, struct node *s, uint64_t epoch, const struct open_claim *open, const uint8_t *slots);

/* Node n itself says that these are its slots (a replica has none): what it does not claim any more, it will not take back. */
void update_heard(struct cluster *c, const struct node *n, const uint8_t *slots);

/*
 * The sender claims slots for `claimant` (itself, or its master) that others own here by an epoch greater than its own, or than the
 * basis of its open claim: tells it about the first such owner.
 */
void update_correct_sender(struct cluster *c, struct node *sender, const struct node *claimant, uint64_t epoch,
                           const struct open_claim *open, const uint8_t *slots);

/*
 * Node n turns out to be of this node's shard. If it is a master, and this one has no slots but keys of n's: n took over here
 * while it was not known to be a replica of this node's, so the keys are copies of its (update.c, rule 4), and this node follows it.
 */
void update_joined_shard(struct cluster *c, struct node *n);

/* A replica whose master is a replica now follows that one's master: also a master that had no slots to lose. Cron. */
void update_follow_grand(struct cluster *c);

#endif
