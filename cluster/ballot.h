/*
 * ballot.h - votes given to replace a master, as long as that master may still vote as if it had not been replaced.
 *
 * The vote of a shard belongs to its master. When a replica has won an election and the old master has not heard of it, both would vote
 * for the shard, and two candidates could each have a majority. So who has voted for a replacement remembers it (a ballot), and names it
 * in every later vote: the candidate that gets the vote does not count the old master's.
 *
 * nodes.conf keeps ballots ("ballots master:candidate:epoch,...", which Redis skips).
 */
#ifndef CAIRN_CLUSTER_BALLOT_H
#define CAIRN_CLUSTER_BALLOT_H

#include "cluster/cluster_priv.h"
#include "cluster/codec.h"

/* This node votes for the candidate to replace the master, in the present epoch. The caller makes it durable. */
void ballot_cast(struct cluster *c, struct node *master, const struct node *candidate);

/*
 * True if the node had failed, may have been replaced since by a vote that is known here, and has said nothing that shows whether it
 * knows: that it hears somebody gives no right to accept writes (state.c).
 */
bool ballot_doubts(const struct cluster *c, const struct node *n);

/* The greatest epoch in which somebody may own what n owns here: n's, or that of a ballot to replace it. */
uint64_t ballot_epoch_of(const struct cluster *c, const struct node *n);

/* What an AUTH_ACK carries: ballots that are open, as the CODEC_SLOTS_SIZE bytes of its slots. False: there are none. */
bool ballot_write(struct cluster *c, uint8_t *out);

/* A voter's ballots: these masters' votes do not count in this node's election of that epoch, and it remembers them as its own. */
void ballot_read(struct cluster *c, const uint8_t *in, uint64_t election_epoch);

/*
 * What ends one. A candidate that still follows the same master, by an epoch from before, in an answer to what was asked when its election
 * was over (asked: when; 0: not known), or in a request of a later one, has lost. A master that says that it is none any more is harmless
 * in later epochs.
 */
void ballot_on_pong(struct cluster *c, const struct node *n, const struct codec_header *h, msec_t asked);
void ballot_on_request(struct cluster *c, const struct node *candidate, const struct codec_header *h);
void ballot_on_role(struct cluster *c, const struct node *n, const struct codec_header *h);

/* The node leaves the table. */
void ballot_forget(struct cluster *c, const struct node *n);

/* A start: the elections of loaded ballots may still run. */
void ballot_start(struct cluster *c);

/* nodes.conf. Parse: false if it is something else; what names unknown nodes is left out. */
void ballot_print(const struct cluster *c, struct buf *out);
bool ballot_parse(struct cluster *c, struct slice text) WARN_UNUSED;

#endif
