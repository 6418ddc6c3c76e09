/*
 * election.h - a replica wants to replace its failed master: the candidate's side and the voter's.
 */
#ifndef CAIRN_CLUSTER_ELECTION_H
#define CAIRN_CLUSTER_ELECTION_H

#include "cluster/cluster_priv.h"
#include "cluster/codec.h"

/* A replica asks for this master's vote: grants it by the rules, or stays silent. */
void election_on_request(struct cluster *c, struct node *candidate, const struct codec_header *h);

/* A vote for me; the one that completes the quorum makes me a master. */
void election_on_ack(struct cluster *c, struct node *voter, const struct codec_header *h);

/* Plans, begins or goes on with my own election if there is a reason for one. Cheap; after every event. */
void election_run(struct cluster *c);

/* How long the votes of an election are waited for. */
msec_t election_wait_ms(const struct cluster *c);

/* Forgets my election: the role changed, or an operator begins another. */
void election_cancel(struct cluster *c);

/* Makes this replica a master with its master's slots; its config epoch was set before. Tells everybody. */
void election_take_over(struct cluster *c);

#endif
