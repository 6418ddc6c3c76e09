/*
 * lab.h - one core on the bench, with peers played by the test: their messages are built by hand.
 */
#ifndef CAIRN_TESTS_UNIT_CLUSTER_LAB_H
#define CAIRN_TESTS_UNIT_CLUSTER_LAB_H

#include "base/buf.h"
#include "cluster/cluster_priv.h"
#include "cluster/codec.h"
#include "cluster/node.h"
#include "cluster/report.h"

#include <check.h>

enum { LAB_TIMEOUT_MS = 2000, LAB_PEERS = 8 };
#define LAB_START ((msec_t)1700000000000)

/* A node that the test plays. */
struct peer {
    char id[CLUSTER_ID_SIZE + 1];
    char ip[CLUSTER_IP_SIZE];
    uint16_t port;
    link_t out; /* the core's outbound link to it */
    link_t in;  /* its link to the core */
    uint64_t current_epoch, config_epoch, offset;
    const struct peer *master; /* NULL: it is a master */
    uint8_t slots[SLOTS / 8];
    unsigned mflags;
};

struct lab {
    struct cluster *core;
    msec_t now;
    struct cluster_actions last; /* of the last step */
    uint64_t keys[SLOTS];
    link_t next_inbound;
    struct peer peers[LAB_PEERS];
    struct buf persisted; /* the text of the last PERSIST seen */
    unsigned bugs;
};

void lab_open(struct lab *l);
void lab_open_with(struct lab *l, const char *nodes_conf, bool replication);
void lab_close(struct lab *l);

/* One step; the actions are in l->last. */
void lab_step(struct lab *l, const struct cluster_event *event);
void lab_ticks(struct lab *l, msec_t ms); /* ticks for that long */
struct cluster_reply lab_command(struct lab *l, enum cluster_command_type type, const char *words);

/* The reply's text, "OK", or the integer. */
const char *lab_reply(struct lab *l, enum cluster_command_type type, const char *words);

/* The n-th action of this type in the last step, or NULL. */
const struct cluster_action *lab_action(const struct lab *l, enum cluster_action_type type, unsigned n);
/* The n-th message of this bus type sent in the last step, or NULL. */
const struct cluster_action *lab_sent(const struct lab *l, enum codec_type type, unsigned n);

/* Peer i with an id that begins with the given digit, joined by handshake: links both ways, slots first..last. */
struct peer *lab_peer(struct lab *l, unsigned i, char digit, uint64_t config_epoch, int first, int last);
struct node *lab_node(const struct lab *l, const struct peer *p);

/* Messages from a peer: on its own link, or (PONG) on the core's link to it. */
void lab_say(struct lab *l, struct peer *p, enum codec_type type);
void lab_say_gossip(struct lab *l, struct peer *p, const struct peer *about, unsigned flags);
void lab_say_fail(struct lab *l, struct peer *p, const struct peer *about);
void lab_say_update(struct lab *l, struct peer *p, const struct peer *about);
void lab_pong(struct lab *l, struct peer *p);

/* Ticks with every listed peer answering. */
void lab_ticks_alive(struct lab *l, msec_t ms, struct peer *const *alive, size_t count);

struct codec_header lab_header(const struct peer *p, enum codec_type type);
void lab_deliver(struct lab *l, link_t link, struct buf *message);

#endif
