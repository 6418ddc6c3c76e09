/*
 * route.h - the cluster's gate on commands: MOVED, ASK, TRYAGAIN, CROSSSLOT, CLUSTERDOWN, by the published map.
 */
#ifndef CAIRN_SERVER_DRIVE_ROUTE_H
#define CAIRN_SERVER_DRIVE_ROUTE_H

#include "server/node.h"

/* A node_gate; context is the struct cluster_service. */
enum err route_gate(void *context, const struct gate *g);

#endif
