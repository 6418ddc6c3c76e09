/*
 * migration.h - a replica of a master that has many moves to a master that lost all of its own (facts 9.3).
 */
#ifndef CAIRN_CLUSTER_MIGRATION_H
#define CAIRN_CLUSTER_MIGRATION_H

#include "cluster/cluster_priv.h"

/* Cron. */
void migration_tick(struct cluster *c);

#endif
