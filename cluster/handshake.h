/*
 * handshake.h - how nodes get to know each other: MEET, ids and addresses, and how they are forgotten.
 */
#ifndef CAIRN_CLUSTER_HANDSHAKE_H
#define CAIRN_CLUSTER_HANDSHAKE_H

#include "cluster/cluster_priv.h"
#include "cluster/codec.h"

/* Begins a handshake with an address; true if one is under way (new or old). meet: the first message is a MEET. */
bool handshake_start(struct cluster *c, const char *ip, uint16_t base, uint16_t second, uint16_t bus, bool meet);

/* MEET or PING on an inbound link: learns our own address; a MEET of an unknown sender starts a handshake. */
void handshake_on_ping(struct cluster *c, const struct link *l, const struct codec_header *h, bool known);

/*
 * Any PING, PONG or MEET on an outbound link: completes a handshake, or notices that someone else answers there.
 * False: the link is gone, the message must not be used further.
 */
bool handshake_on_reply(struct cluster *c, struct link *l, const struct codec_header *h);

/* A PING of a known node by another way than our link to it: takes a new address. */
void handshake_update_address(struct cluster *c, struct node *n, const struct link *l, const struct codec_header *h);

/* Cron: true if the handshake took too long and the node was removed. */
bool handshake_expire(struct cluster *c, struct node *n);

/* The blacklist of FORGET. */
bool handshake_forgotten(struct cluster *c, const char *id);
void handshake_forget(struct cluster *c, const char *id, msec_t ttl_ms);
void handshake_forget_none(struct cluster *c);
unsigned handshake_write_forgotten(struct cluster *c, struct buf *b); /* extensions; returns their number */

#endif
