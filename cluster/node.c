/*
 * node.c - the table of nodes.
 *
 * (1) myself is nodes[0], and never removed.
 * (2) An id is in the table once; every pointer to a node (slots, marks, masters, reports, links) ends with it.
 * (3) A replica owns no slots; a master has no master.
 */
#include "cluster/node.h"

#include "base/hash.h"
#include "cluster/ballot.h"
#include "cluster/failure.h"
#include "cluster/link.h"
#include "cluster/manual.h"
#include "cluster/slots.h"

#include <stdio.h>
#include <stdlib.h>

static size_t bucket_of(const char *id)
{
    return hash_name(slice_of(id, CLUSTER_ID_SIZE)) & (NODE_BUCKETS - 1);
}

static void bucket_insert(struct cluster *c, struct node *n)
{
    struct node **head = &c->node_buckets[bucket_of(n->id)];

    n->next = *head;
    *head = n;
}

static void bucket_remove(struct cluster *c, struct node *n)
{
    struct node **at = &c->node_buckets[bucket_of(n->id)];

    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
}

struct node *node_find(const struct cluster *c, const char *id)
{
    struct node *n = c->node_buckets[bucket_of(id)];

    while (n != NULL && memcmp(n->id, id, CLUSTER_ID_SIZE) != 0)
        n = n->next;
    return n;
}

struct node *node_find_slice(const struct cluster *c, struct slice id)
{
    return id.size == CLUSTER_ID_SIZE ? node_find(c, (const char *)id.data) : NULL;
}

struct node *node_add(struct cluster *c, const char *id, unsigned flags)
{
    struct node *n = calloc(1, sizeof *n);

    check(n != NULL);
    if (id != NULL)
        memcpy(n->id, id, CLUSTER_ID_SIZE);
    else
        rng_hex(&c->rng, n->id, CLUSTER_ID_SIZE);
    rng_hex(&c->rng, n->shard_id, CLUSTER_ID_SIZE);
    n->flags = (uint16_t)flags;
    n->created = n->answered = n->heard_us = c->now;
    if (c->node_count == c->node_capacity) {
        c->node_capacity = c->node_capacity == 0 ? 8 : c->node_capacity * 2;
        c->nodes = realloc(c->nodes, c->node_capacity * sizeof *c->nodes);
        check(c->nodes != NULL);
    }
    n->index = c->node_count;
    c->nodes[c->node_count++] = n;
    bucket_insert(c, n);
    cluster_changed(c);
    cluster_map_changed(c);
    return n;
}

static void set_master(struct cluster *c, struct node *n, struct node *master)
{
    if (n->master == master)
        return;
    if (n->master != NULL && --n->master->replica_count == 0)
        n->master->flags &= (uint16_t)~NODE_MIGRATE_TO;
    n->master = master;
    if (master != NULL) {
        master->replica_count++;
        master->flags |= NODE_MIGRATE_TO;
    }
    cluster_changed(c);
    cluster_map_changed(c);
}

void node_remove(struct cluster *c, struct node *n)
{
    check(n != c->myself);
    slots_forget_node(c, n);
    ballot_forget(c, n);
    for (size_t i = 0; i < c->node_count; i++) {
        failure_report_remove(c, c->nodes[i], n);
        if (c->nodes[i]->master == n)
            set_master(c, c->nodes[i], NULL);
    }
    set_master(c, n, NULL);
    if (c->manual.replica == n)
        manual_reset(c);
    if (n->out != NULL)
        link_close(c, n->out);
    if (n->in != NULL)
        link_close(c, n->in);
    bucket_remove(c, n);
    c->nodes[n->index] = c->nodes[--c->node_count];
    c->nodes[n->index]->index = n->index;
    free(n->reports);
    free(n);
    c->state_due = true;
    cluster_changed(c);
    cluster_map_changed(c);
}

void node_rename(struct cluster *c, struct node *n, const char *id)
{
    bucket_remove(c, n);
    memcpy(n->id, id, CLUSTER_ID_SIZE);
    bucket_insert(c, n);
    cluster_changed(c);
    cluster_map_changed(c);
}

void node_set_flags(struct cluster *c, struct node *n, unsigned set, unsigned clear)
{
    uint16_t flags = (uint16_t)((n->flags & ~clear) | set);

    if (flags == n->flags)
        return;
    n->flags = flags;
    c->state_due = true;
    cluster_changed(c);
    cluster_map_changed(c);
}

void node_make_master(struct cluster *c, struct node *n)
{
    if (node_is_master(n))
        return;
    if (n->master != NULL && n != c->myself)
        n->flags |= NODE_MIGRATE_TO; /* it leads a shard that keeps replicas */
    n->master_since = c->now;
    set_master(c, n, NULL);
    node_set_flags(c, n, NODE_MASTER, NODE_REPLICA);
}

void node_make_replica(struct cluster *c, struct node *n, struct node *master)
{
    if (node_is_master(n))
        slots_release_all(c, n);
    node_set_flags(c, n, NODE_REPLICA, NODE_MASTER | (node_is_master(n) ? NODE_MIGRATE_TO : 0));
    if (master != NULL && master != n)
        set_master(c, n, master);
    if (n->master != NULL)
        node_set_shard_id(c, n, n->master->shard_id);
}

/* ---- Addresses ---- */

uint16_t node_base_port(const struct cluster *c, const struct node *n)
{
    return c->config.tls_cluster ? n->tls_port : n->port;
}

uint16_t node_second_port(const struct cluster *c, const struct node *n)
{
    return c->config.tls_cluster ? n->port : n->tls_port;
}

uint16_t node_replication_port(const struct cluster *c, const struct node *n)
{
    uint16_t wanted = c->config.tls_replication ? n->tls_port : n->port;

    return wanted != 0 ? wanted : node_base_port(c, n); /* it may not have told us of both */
}

bool node_address_is(const struct cluster *c, const struct node *n, const char *ip, uint16_t base, uint16_t bus)
{
    return strcmp(n->ip, ip) == 0 && node_base_port(c, n) == base && n->bus_port == bus;
}

bool node_set_address(struct cluster *c, struct node *n, const char *ip, uint16_t base, uint16_t second, uint16_t bus)
{
    if (node_address_is(c, n, ip, base, bus) && node_second_port(c, n) == second)
        return false;
    if (ip != n->ip) /* callers may pass the address it has */
        snprintf(n->ip, sizeof n->ip, "%s", ip);
    n->port = c->config.tls_cluster ? second : base;
    n->tls_port = c->config.tls_cluster ? base : second;
    n->bus_port = bus;
    if (c->myself != NULL && n == c->myself->master && n->ip[0] != '\0')
        c->replicate_due = true;
    cluster_changed(c);
    cluster_map_changed(c);
    return true;
}

void node_set_names(struct cluster *c, struct node *n, const char *hostname, const char *nodename)
{
    if (strcmp(n->hostname, hostname) == 0 && strcmp(n->nodename, nodename) == 0)
        return;
    snprintf(n->hostname, sizeof n->hostname, "%s", hostname);
    snprintf(n->nodename, sizeof n->nodename, "%s", nodename);
    cluster_changed(c);
    cluster_map_changed(c);
}

void node_set_shard_id(struct cluster *c, struct node *n, const char *shard_id)
{
    if (strcmp(n->shard_id, shard_id) == 0)
        return;
    memcpy(n->shard_id, shard_id, CLUSTER_ID_SIZE + 1);
    cluster_changed(c);
}

/* ---- Epochs and counts ---- */

uint64_t node_effective_epoch(const struct node *n)
{
    return n->master != NULL ? n->master->config_epoch : n->config_epoch;
}

void node_set_config_epoch(struct cluster *c, struct node *n, uint64_t epoch)
{
    if (n->config_epoch == epoch)
        return;
    n->config_epoch = epoch;
    cluster_changed_durable(c);
}

unsigned node_voters(const struct cluster *c)
{
    unsigned voters = 0;

    for (size_t i = 0; i < c->node_count; i++)
        voters += node_is_voter(c->nodes[i]);
    return voters;
}
