/*
 * claim.h - a claim of slots that no majority is known to have heard yet.
 *
 * The target of an atomic migration takes the slots by a new epoch, and nobody votes on that. So it lets no write in before a majority of
 * the masters has answered a PING that carried the claim: from then on none of these votes for a replica of the source that does
 * not know of it (election.c, rule 3). Until then the claim is open: everywhere it yields to whoever was elected instead of the
 * source, whatever the epochs are.
 *
 * PING and PONG of a master with an open claim name its slots and its basis, the source's config epoch, in an extension. A slot whose
 * owner has, or may have been given by a vote, an epoch above the basis stays where it is. A PONG from who does not agree has
 * CODEC_MFLAG_REFUSED. Redis looks at neither: it takes the claim, and its PONG counts.
 *
 * A node has one open claim at a time. Its nodes.conf keeps it ("claimedSlots", "claimBasis", which Redis skips), and so do those of its
 * replicas, in case they take over.
 */
#ifndef CAIRN_CLUSTER_CLAIM_H
#define CAIRN_CLUSTER_CLAIM_H

#include "cluster/cluster_priv.h"
#include "cluster/codec.h"
#include "cluster/update.h"

/* True if an open claim by n with that basis may not move the slot from its owner. */
bool claim_yields(const struct cluster *c, const struct node *n, slot_t slot, uint64_t basis);

/* True if the slot's owner has it by an open claim, and n, with that epoch, was elected instead of the source. */
bool claim_gives_way(const struct cluster *c, slot_t slot, const struct node *n, uint64_t epoch);

/* The slot's owner has it by an open claim. Durable when the step ends, or before its next SEND. */
void claim_open(struct cluster *c, slot_t slot, uint64_t basis);

/* Not openly any more: a majority has heard of it, or the slot is about to have another owner. */
void claim_forget(struct cluster *c, slot_t slot);
void claim_forget_all(struct cluster *c, const struct node *owner);

/* Of this node's slots, or its master's: those claimed openly, and the others. False: none is. */
bool claim_slots(const struct cluster *c, uint8_t *open, uint8_t *sure);
struct node *claim_holder(const struct cluster *c); /* this node, or its master */

/* nodes.conf: the slot, then the basis. */
void claim_load(struct cluster *c, slot_t slot, bool on);
void claim_load_basis(struct cluster *c, uint64_t basis);

/* Asks the masters from the beginning: behind claim_open of all slots, at a start, at a promotion. */
void claim_begin(struct cluster *c);

/* What master n says of its claim, behind update_claim. */
void claim_on_header(struct cluster *c, const struct node *n, const struct codec_header *h, const struct open_claim *open);

/* A PONG came, on our own link. */
void claim_on_pong(struct cluster *c, struct node *n, const struct link *l, const struct codec_header *h);

/* Asks those again who have not answered. Cron. */
void claim_tick(struct cluster *c);

/* Whether n has by this node's map all slots that it claims openly. */
bool claim_agreed(const struct cluster *c, const struct node *n, const struct open_claim *open);

#endif
