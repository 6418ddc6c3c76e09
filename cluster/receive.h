/*
 * receive.h - a message from a link, from its check to its effects.
 */
#ifndef CAIRN_CLUSTER_RECEIVE_H
#define CAIRN_CLUSTER_RECEIVE_H

#include "cluster/cluster_priv.h"

/* bytes: one whole message as cut by cluster_frame. A malformed one is dropped, the link stays. */
void receive(struct cluster *c, link_t link, struct slice bytes);

#endif
