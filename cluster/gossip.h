/*
 * gossip.h - which nodes a message tells about, and what is learnt from what others tell.
 */
#ifndef CAIRN_CLUSTER_GOSSIP_H
#define CAIRN_CLUSTER_GOSSIP_H

#include "cluster/cluster_priv.h"
#include "cluster/codec.h"

/* Appends entries; returns their number. At least 3 and a tenth of the nodes, and every node held as PFAIL. */
unsigned gossip_write(struct cluster *c, struct buf *b);

/* Applies the gossip section of a PING, PONG or MEET of a known sender. */
void gossip_read(struct cluster *c, struct node *sender, const struct codec_header *h, struct slice message);

#endif
