/*
 * message.h - building and sending this node's messages: the header filled in from the present state, then the body.
 *
 * Nothing is sent on a link that is not connected.
 */
#ifndef CAIRN_CLUSTER_MESSAGE_H
#define CAIRN_CLUSTER_MESSAGE_H

#include "cluster/cluster_priv.h"
#include "cluster/codec.h"

/* PING, PONG or MEET with gossip and, for peers that understand them, extensions. A PING starts the ping clock. */
void message_send_ping(struct cluster *c, struct link *l, enum codec_type type);

/* The PONG to a PING with an open claim (claim.h). */
void message_answer_claim(struct cluster *c, struct link *l, bool agreed);

/* To every node with a connected outbound link, not in handshake. */
void message_broadcast_pong(struct cluster *c);
void message_ping_masters(struct cluster *c);
void message_pong_siblings(struct cluster *c); /* the other replicas of my master */
void message_broadcast_fail(struct cluster *c, const struct node *failing);
void message_publish(struct cluster *c, struct slice channel, struct slice bytes, bool sharded);

/* Tells `to` who owns subject's slots, and with which epoch. */
void message_send_update(struct cluster *c, struct node *to, const struct node *subject);

/* A vote, AUTH_ACK. ballots: CODEC_SLOTS_SIZE bytes of ballot_write; NULL: none. */
void message_send_vote(struct cluster *c, struct node *to, const uint8_t *ballots);

/* A message without body (AUTH_REQUEST, MFSTART). False if there is no link. */
bool message_send_plain(struct cluster *c, struct node *to, enum codec_type type, unsigned mflags);

#endif
