/*
 * routing.h - what a worker asks before a command: a plain snapshot of the slot map, and the decision on it.
 *
 * The driver calls cluster_map after every CLUSTER_MAP and CLUSTER_STATE action and publishes the result; a snapshot is
 * never changed afterwards, so readers need no lock, only a way to know when the old one may be freed.
 */
#ifndef CAIRN_CLUSTER_ROUTING_H
#define CAIRN_CLUSTER_ROUTING_H

#include "cluster/cluster.h"

enum { ROUTING_NOBODY = 0xFFFF };

struct routing_node {
    char id[CLUSTER_ID_SIZE + 1];
    char ip[CLUSTER_IP_SIZE];
    char hostname[CLUSTER_NAME_SIZE];
    uint16_t port;     /* plain text, 0: none */
    uint16_t tls_port; /* 0: none */
    bool replica;
    bool failed;
};

struct cluster_map {
    uint64_t version; /* grows with every snapshot of one core */
    bool ok;          /* cluster_state */
    bool replica;     /* this node is a replica of nodes[my_master] */
    bool reads_when_down;
    bool pubsubshard_when_down;
    enum cluster_endpoint preferred_endpoint;
    uint16_t myself;    /* index into nodes */
    uint16_t my_master; /* index, ROUTING_NOBODY on a master */
    uint16_t claimed_count; /* this node's slots to which no write may come yet: claim.h */
    uint16_t migrating_count, importing_count; /* 0: the two arrays below hold ROUTING_NOBODY only */
    uint16_t owner[SLOTS];     /* index into nodes, or ROUTING_NOBODY */
    uint16_t migrating[SLOTS]; /* to which node */
    uint16_t importing[SLOTS]; /* from which node */
    uint8_t claimed[SLOTS / 8];
    struct routing_node *nodes;
    size_t node_count;
};

/* Fills *out with the present state; nodes is allocated, free it with cluster_map_free. */
void cluster_map(struct cluster *c, struct cluster_map *out);
void cluster_map_free(struct cluster_map *map);

/* What is known about a command that has keys (or a shard channel). */
struct routing_request {
    slot_t slot;         /* of the first key */
    bool other_slot;     /* another key hashes to another slot */
    bool write;          /* the command, or any queued one of an EXEC, is a write */
    bool asking;         /* the client sent ASKING just before, or the command has the asking flag */
    bool readonly;       /* the connection is in READONLY mode */
    bool migrate;        /* the command is MIGRATE */
    bool shard_channel;  /* SPUBLISH, SSUBSCRIBE, SUNSUBSCRIBE */
    bool keys_looked_up; /* the two below are filled in */
    unsigned keys_distinct;
    unsigned keys_missing;
};

enum routing_verdict {
    ROUTING_SERVE,
    ROUTING_LOOK_UP,      /* the slot moves: count the keys present here (under the slot's lock) and ask again */
    ROUTING_UNBOUND,      /* CLUSTERDOWN Hash slot not served */
    ROUTING_CROSS_SLOT,
    ROUTING_DOWN,         /* CLUSTERDOWN The cluster is down */
    ROUTING_DOWN_READS,   /* CLUSTERDOWN The cluster is down and only accepts read commands */
    ROUTING_TRY_AGAIN,
    ROUTING_CLAIMED,      /* a write to a slot that is claimed, and no majority has heard of it: wait, or as UNBOUND */
    ROUTING_ASK,
    ROUTING_MOVED,
};

/* The order of checks of Redis Cluster. *node is set for ASK and MOVED: an index into map->nodes. */
enum routing_verdict routing_decide(const struct cluster_map *map, const struct routing_request *request,
                                    uint16_t *node);

/*
 * The error's text with its code and without "-" ("MOVED 12182 127.0.0.1:7001"); returns its length.
 * tls: the client speaks TLS, so it is told TLS ports. For any verdict but SERVE and LOOK_UP.
 */
enum { ROUTING_TEXT_MAX = 384 };
size_t routing_error(const struct cluster_map *map, enum routing_verdict verdict, slot_t slot, uint16_t node, bool tls,
                     char out[ROUTING_TEXT_MAX]);

#endif
