/*
 * election.h - votes for a replica that wants to replace its failed master.
 */
#ifndef CAIRN_CLUSTER_ELECTION_H
#define CAIRN_CLUSTER_ELECTION_H

#include "cluster/cluster_priv.h"
#include "cluster/codec.h"

/* A replica asks for this master's vote: grants it by the rules, or stays silent. */
void election_on_request(struct cluster *c, struct node *candidate, const struct codec_header *h);

#endif
