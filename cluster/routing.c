/*
 * routing.c - from the slot map to the answer "serve it, or say where" (facts 14).
 */
#include "cluster/routing.h"

#include "cluster/cluster_priv.h"
#include "cluster/node.h"

#include <stdio.h>
#include <stdlib.h>

static uint16_t index_of(const struct node *n)
{
    return n == NULL ? (uint16_t)ROUTING_NOBODY : (uint16_t)n->index;
}

static void copy_node(const struct node *n, struct routing_node *out)
{
    memcpy(out->id, n->id, sizeof out->id);
    memcpy(out->ip, n->ip, sizeof out->ip);
    memcpy(out->hostname, n->hostname, sizeof out->hostname);
    out->port = n->port;
    out->tls_port = n->tls_port;
    out->replica = !node_is_master(n);
    out->failed = node_is(n, NODE_FAIL);
}

/* Neighbours mostly have one owner. */
static void copy_owners(const struct cluster *c, uint16_t *out)
{
    const struct node *last = NULL;
    uint16_t index = ROUTING_NOBODY;

    for (unsigned s = 0; s < SLOTS; s++) {
        if (c->owner[s] != last) {
            last = c->owner[s];
            index = index_of(last);
        }
        out[s] = index;
    }
}

static void copy_marks(struct node *const *marks, unsigned count, uint16_t *out)
{
    for (unsigned s = 0; s < SLOTS; s++)
        out[s] = ROUTING_NOBODY;
    for (unsigned s = 0; s < SLOTS && count > 0; s++) {
        if (marks[s] == NULL)
            continue;
        out[s] = index_of(marks[s]);
        count--;
    }
}

void cluster_map(struct cluster *c, struct cluster_map *out)
{
    out->version = ++c->map_version;
    out->ok = c->ok;
    out->replica = !node_is_master(c->myself);
    out->reads_when_down = c->config.allow_reads_when_down;
    out->pubsubshard_when_down = c->config.allow_pubsubshard_when_down;
    out->preferred_endpoint = c->config.preferred_endpoint;
    out->myself = index_of(c->myself);
    out->my_master = index_of(c->myself->master);
    out->migrating_count = (uint16_t)c->migrating_count;
    out->importing_count = (uint16_t)c->importing_count;
    out->claimed_count = (uint16_t)c->myself->open_count;
    for (unsigned i = 0; i < SLOT_BYTES; i++)
        out->claimed[i] = c->myself->slots[i] & c->claimed[i];
    copy_owners(c, out->owner);
    copy_marks(c->migrating, c->migrating_count, out->migrating);
    copy_marks(c->importing, c->importing_count, out->importing);
    out->node_count = c->node_count;
    out->nodes = malloc(c->node_count * sizeof *out->nodes);
    check(out->nodes != NULL);
    for (size_t i = 0; i < c->node_count; i++)
        copy_node(c->nodes[i], &out->nodes[i]);
}

void cluster_map_free(struct cluster_map *map)
{
    free(map->nodes);
    map->nodes = NULL;
    map->node_count = 0;
}

static enum routing_verdict decide_down(const struct cluster_map *map, const struct routing_request *r)
{
    if (r->shard_channel)
        return map->pubsubshard_when_down ? ROUTING_SERVE : ROUTING_DOWN;
    if (!map->reads_when_down)
        return ROUTING_DOWN;
    return r->write ? ROUTING_DOWN_READS : ROUTING_SERVE;
}

static enum routing_verdict decide_migrating(const struct routing_request *r, uint16_t target, uint16_t *node)
{
    if (!r->keys_looked_up)
        return ROUTING_LOOK_UP;
    if (r->keys_missing == 0)
        return ROUTING_SERVE;
    if (r->keys_missing < r->keys_distinct)
        return ROUTING_TRY_AGAIN;
    *node = target;
    return ROUTING_ASK;
}

static enum routing_verdict decide_importing(const struct routing_request *r)
{
    if (!r->keys_looked_up)
        return ROUTING_LOOK_UP;
    return r->keys_distinct > 1 && r->keys_missing > 0 ? ROUTING_TRY_AGAIN : ROUTING_SERVE;
}

enum routing_verdict routing_decide(const struct cluster_map *map, const struct routing_request *r, uint16_t *node)
{
    uint16_t owner = map->owner[r->slot], target = map->migrating[r->slot];
    bool mine = owner == map->myself, importing = map->importing[r->slot] != ROUTING_NOBODY;
    bool migrating = mine && target != ROUTING_NOBODY;
    enum routing_verdict verdict;

    if (owner == ROUTING_NOBODY)
        return ROUTING_UNBOUND;
    if (r->other_slot)
        return ROUTING_CROSS_SLOT;
    if (!map->ok && (verdict = decide_down(map, r)) != ROUTING_SERVE)
        return verdict;
    if (r->migrate && (migrating || importing))
        return ROUTING_SERVE;
    if (migrating && !r->shard_channel)
        return decide_migrating(r, target, node);
    if (importing && r->asking)
        return decide_importing(r);
    if (mine)
        return r->write && map->claimed_count > 0 && bit_get(map->claimed, r->slot) ? ROUTING_CLAIMED : ROUTING_SERVE;
    if (map->replica && owner == map->my_master && (r->readonly || r->shard_channel) && !r->write)
        return ROUTING_SERVE;
    *node = owner;
    return ROUTING_MOVED;
}

static const char *endpoint(const struct cluster_map *map, const struct routing_node *n)
{
    switch (map->preferred_endpoint) {
    case CLUSTER_ENDPOINT_HOSTNAME:
        return n->hostname[0] != '\0' ? n->hostname : "?";
    case CLUSTER_ENDPOINT_UNKNOWN:
        return "";
    case CLUSTER_ENDPOINT_IP:
        break;
    }
    return n->ip;
}

size_t routing_error(const struct cluster_map *map, enum routing_verdict verdict, slot_t slot, uint16_t node, bool tls,
                     char out[ROUTING_TEXT_MAX])
{
    const char *text = "";
    const struct routing_node *n;

    switch (verdict) {
    case ROUTING_UNBOUND:
    case ROUTING_CLAIMED:
        text = "CLUSTERDOWN Hash slot not served";
        break;
    case ROUTING_CROSS_SLOT:
        text = "CROSSSLOT Keys in request don't hash to the same slot";
        break;
    case ROUTING_DOWN:
        text = "CLUSTERDOWN The cluster is down";
        break;
    case ROUTING_DOWN_READS:
        text = "CLUSTERDOWN The cluster is down and only accepts read commands";
        break;
    case ROUTING_TRY_AGAIN:
        text = "TRYAGAIN Multiple keys request during rehashing of slot";
        break;
    case ROUTING_ASK:
    case ROUTING_MOVED:
        check(node < map->node_count);
        n = &map->nodes[node];
        return (size_t)snprintf(out, ROUTING_TEXT_MAX, "%s %u %s:%u", verdict == ROUTING_ASK ? "ASK" : "MOVED", slot,
                                endpoint(map, n), cluster_client_port(tls, n->port, n->tls_port));
    case ROUTING_SERVE:
    case ROUTING_LOOK_UP:
        check(!"an error");
        break;
    }
    return (size_t)snprintf(out, ROUTING_TEXT_MAX, "%s", text);
}
