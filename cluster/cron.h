/*
 * cron.h - what happens every 100 ms: connecting, pinging, noticing silence.
 */
#ifndef CAIRN_CLUSTER_CRON_H
#define CAIRN_CLUSTER_CRON_H

#include "cluster/cluster_priv.h"

void cron_tick(struct cluster *c);

#endif
