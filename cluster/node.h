/*
 * node.h - the table of nodes: identity, address, role, links to each other.
 *
 * Every change that the routing map or nodes.conf shows marks the core accordingly.
 */
#ifndef CAIRN_CLUSTER_NODE_H
#define CAIRN_CLUSTER_NODE_H

#include "cluster/cluster_priv.h"

/* Adds a node. id NULL: a random one (handshakes, and myself at the first start). The shard id is random. */
struct node *node_add(struct cluster *c, const char *id, unsigned flags);

/* Removes it with its slots, links, reports and whatever points at it. Never myself. */
void node_remove(struct cluster *c, struct node *n);

/* NULL if there is none. id has 40 characters; more are not read. */
struct node *node_find(const struct cluster *c, const char *id);
struct node *node_find_slice(const struct cluster *c, struct slice id);

void node_rename(struct cluster *c, struct node *n, const char *id);

static inline bool node_is_master(const struct node *n)
{
    return (n->flags & NODE_MASTER) != 0;
}

static inline bool node_is(const struct node *n, unsigned flags)
{
    return (n->flags & flags) != 0;
}

/* A master with at least one slot: it counts in `size`, and it votes. */
static inline bool node_is_voter(const struct node *n)
{
    return node_is_master(n) && n->slot_count > 0;
}

/* A master and its replicas have one shard id, also when one of them takes over from another. */
static inline bool node_same_shard(const struct node *a, const struct node *b)
{
    return strcmp(a->shard_id, b->shard_id) == 0;
}

void node_set_flags(struct cluster *c, struct node *n, unsigned set, unsigned clear);

/* Roles. A node made replica loses its slots; master may be NULL (not known yet). */
void node_make_master(struct cluster *c, struct node *n);
void node_make_replica(struct cluster *c, struct node *n, struct node *master);

/* The port of n to which its replicas connect. */
uint16_t node_replication_port(const struct cluster *c, const struct node *n);

/* True if anything changed. base/second: as in the bus header; which is TLS depends on tls-cluster. */
bool node_set_address(struct cluster *c, struct node *n, const char *ip, uint16_t base, uint16_t second, uint16_t bus);
bool node_address_is(const struct cluster *c, const struct node *n, const char *ip, uint16_t base, uint16_t bus);
uint16_t node_base_port(const struct cluster *c, const struct node *n);
uint16_t node_second_port(const struct cluster *c, const struct node *n);

void node_set_names(struct cluster *c, struct node *n, const char *hostname, const char *nodename);
void node_set_shard_id(struct cluster *c, struct node *n, const char *shard_id);

/* The config epoch it counts with: its own, or its master's. */
uint64_t node_effective_epoch(const struct node *n);
void node_set_config_epoch(struct cluster *c, struct node *n, uint64_t epoch);

/* Masters with slots, failing ones included (facts: `size`). */
unsigned node_voters(const struct cluster *c);
static inline unsigned node_quorum(const struct cluster *c)
{
    return node_voters(c) / 2 + 1;
}

#endif
