/*
 * role.h - this node becomes a replica or a master.
 */
#ifndef CAIRN_CLUSTER_ROLE_H
#define CAIRN_CLUSTER_ROLE_H

#include "cluster/cluster_priv.h"

/* Makes myself a replica of master (a master, not myself); says REPLICATE at the end of the step. */
void role_follow(struct cluster *c, struct node *master);

/* Makes myself a master; says PROMOTE at the end of the step. */
void role_promote(struct cluster *c);

#endif
