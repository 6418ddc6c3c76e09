/*
 * report.c - the core as clients see it.
 */
#include "cluster/report.h"

#include "cluster/cluster_priv.h"
#include "cluster/codec.h"
#include "cluster/node.h"
#include "cluster/nodes_conf.h"
#include "cluster/slots.h"

#include <stdlib.h>

/* A growing array; element size and pointer by the caller's types. */
#define APPEND(array, count, value)                                                                \
    do {                                                                                           \
        if (((count) & ((count)-1)) == 0) { /* full at every power of two */                       \
            (array) = realloc((array), ((count) == 0 ? 1 : (count)*2) * sizeof *(array));          \
            check((array) != NULL);                                                                \
        }                                                                                          \
        (array)[(count)++] = (value);                                                              \
    } while (0)

/* ---- Text ---- */

void report_nodes(const struct cluster *c, bool tls, struct buf *out)
{
    for (size_t i = 0; i < c->node_count; i++) {
        nodes_conf_print_node(c, c->nodes[i], false, tls, out);
        buf_append_byte(out, '\n');
    }
}

enum err report_replicas(const struct cluster *c, struct slice id, bool tls, struct buf *out)
{
    const struct node *master = node_find_slice(c, id);

    if (master == NULL)
        return err_set(ERR_INVALID, "ERR Unknown node %.*s", (int)(id.size < 128 ? id.size : 128),
                       (const char *)id.data);
    if (!node_is_master(master))
        return err_set(ERR_INVALID, "ERR The specified node is not a master");
    for (size_t i = 0; i < c->node_count; i++) {
        if (c->nodes[i]->master != master)
            continue;
        nodes_conf_print_node(c, c->nodes[i], false, tls, out);
        buf_append_byte(out, '\n');
    }
    return OK;
}

void report_counts(const struct cluster *c, struct report_counts *out)
{
    *out = (struct report_counts){
        .ok = c->ok,
        .slots_assigned = c->assigned_count,
        .known_nodes = (unsigned)c->node_count,
        .size = node_voters(c),
        .current_epoch = c->current_epoch,
        .my_epoch = node_effective_epoch(c->myself),
        .links_overflowed = c->links_overflowed,
        .slots_migrating = c->migrating_count,
        .slots_importing = c->importing_count,
    };
    for (size_t i = 0; i < c->node_count; i++) {
        const struct node *n = c->nodes[i];

        if (node_is(n, NODE_FAIL))
            out->slots_fail += n->slot_count;
        else if (node_is(n, NODE_PFAIL))
            out->slots_pfail += n->slot_count;
        else
            out->slots_ok += n->slot_count;
    }
    for (unsigned t = 0; t < MESSAGE_TYPES; t++) {
        out->messages_sent += c->sent[t];
        out->messages_received += c->received[t];
    }
}

static void print_messages(const uint64_t *counts, const char *direction, uint64_t total, struct buf *out)
{
    for (unsigned t = 0; t < MESSAGE_TYPES; t++)
        if (counts[t] != 0)
            buf_append_format(out, "cluster_stats_messages_%s_%s:%llu\r\n", codec_type_name(t), direction,
                              (unsigned long long)counts[t]);
    buf_append_format(out, "cluster_stats_messages_%s:%llu\r\n", direction, (unsigned long long)total);
}

void report_info(const struct cluster *c, struct buf *out)
{
    struct report_counts n;

    report_counts(c, &n);
    buf_append_format(out,
                      "cluster_state:%s\r\n"
                      "cluster_slots_assigned:%u\r\n"
                      "cluster_slots_ok:%u\r\n"
                      "cluster_slots_pfail:%u\r\n"
                      "cluster_slots_fail:%u\r\n"
                      "cluster_known_nodes:%u\r\n"
                      "cluster_size:%u\r\n"
                      "cluster_current_epoch:%llu\r\n"
                      "cluster_my_epoch:%llu\r\n",
                      n.ok ? "ok" : "fail", n.slots_assigned, n.slots_ok, n.slots_pfail, n.slots_fail, n.known_nodes,
                      n.size, (unsigned long long)n.current_epoch, (unsigned long long)n.my_epoch);
    print_messages(c->sent, "sent", n.messages_sent, out);
    print_messages(c->received, "received", n.messages_received, out);
    buf_append_format(out, "total_cluster_links_buffer_limit_exceeded:%llu\r\n",
                      (unsigned long long)n.links_overflowed);
}

/* ---- Arrays ---- */

static struct report_node describe(const struct cluster *c, const struct node *n)
{
    return (struct report_node){
        .id = n->id,
        .ip = n->ip,
        .hostname = n->hostname,
        .port = n->port,
        .tls_port = n->tls_port,
        .myself = n == c->myself,
        .replica = !node_is_master(n),
        .failed = node_is(n, NODE_FAIL),
        .offset = n == c->myself ? cluster_my_offset(c) : n->repl_offset,
    };
}

/* The owner and its usable replicas, appended to r->nodes; returns where they begin. */
static size_t append_owner(const struct cluster *c, const struct node *owner, struct report_slots *r)
{
    size_t first = r->node_count;

    APPEND(r->nodes, r->node_count, describe(c, owner));
    for (size_t i = 0; i < c->node_count && owner->replica_count > 0; i++) {
        const struct node *n = c->nodes[i];
        uint64_t offset = n == c->myself ? cluster_my_offset(c) : n->repl_offset;

        if (n->master == owner && !node_is(n, NODE_FAIL) && offset != 0)
            APPEND(r->nodes, r->node_count, describe(c, n));
    }
    return first;
}

void report_slots(const struct cluster *c, struct report_slots *r)
{
    *r = (struct report_slots){0};
    for (unsigned s = 0; s < SLOTS;) {
        const struct node *owner = c->owner[s];
        struct report_range range = {.first = (slot_t)s};

        while (s < SLOTS && c->owner[s] == owner)
            s++;
        if (owner == NULL)
            continue;
        range.last = (slot_t)(s - 1);
        range.node_first = append_owner(c, owner, r);
        range.node_count = r->node_count - range.node_first;
        APPEND(r->ranges, r->range_count, range);
    }
}

void report_slots_free(struct report_slots *r)
{
    free(r->ranges);
    free(r->nodes);
    *r = (struct report_slots){0};
}

static void append_shard_nodes(const struct cluster *c, const char *shard_id, bool masters, struct report_shards *r,
                               bool *seen)
{
    for (size_t i = 0; i < c->node_count; i++) {
        const struct node *n = c->nodes[i];
        unsigned next = 0;
        struct report_range range = {0};

        if (seen[i] || node_is_master(n) != masters || node_is(n, NODE_HANDSHAKE) || strcmp(n->shard_id, shard_id) != 0)
            continue;
        seen[i] = true;
        APPEND(r->nodes, r->node_count, describe(c, n));
        while (n->slot_count > 0 && slots_next_range(n->slots, &next, &range.first, &range.last))
            APPEND(r->ranges, r->range_count, range);
    }
}

void report_shards(const struct cluster *c, struct report_shards *r)
{
    bool *seen = calloc(c->node_count, sizeof *seen);

    check(seen != NULL);
    *r = (struct report_shards){0};
    for (size_t i = 0; i < c->node_count; i++) {
        struct report_shard shard = {c->nodes[i]->shard_id, r->range_count, 0, r->node_count, 0};

        if (seen[i] || node_is(c->nodes[i], NODE_HANDSHAKE))
            continue;
        append_shard_nodes(c, shard.id, true, r, seen);
        append_shard_nodes(c, shard.id, false, r, seen);
        shard.range_count = r->range_count - shard.range_first;
        shard.node_count = r->node_count - shard.node_first;
        APPEND(r->shards, r->shard_count, shard);
    }
    free(seen);
}

void report_shards_free(struct report_shards *r)
{
    free(r->shards);
    free(r->ranges);
    free(r->nodes);
    *r = (struct report_shards){0};
}

size_t report_links(const struct cluster *c, struct report_link **out)
{
    struct report_link *list = NULL;
    size_t count = 0;

    for (size_t i = 0; i < c->node_count; i++) {
        const struct node *n = c->nodes[i];

        if (n->out != NULL) {
            struct report_link l = {n->out->id, false, n->id, n->out->created};
            APPEND(list, count, l);
        }
        if (n->in != NULL) {
            struct report_link l = {n->in->id, true, n->id, n->in->created};
            APPEND(list, count, l);
        }
    }
    *out = list;
    return count;
}

const char *report_endpoint(const struct cluster *c, const struct report_node *node)
{
    switch (c->config.preferred_endpoint) {
    case CLUSTER_ENDPOINT_HOSTNAME:
        return node->hostname[0] != '\0' ? node->hostname : "?";
    case CLUSTER_ENDPOINT_UNKNOWN:
        return NULL;
    case CLUSTER_ENDPOINT_IP:
        break;
    }
    return node->ip;
}

const char *report_my_shard_id(const struct cluster *c)
{
    return c->myself->shard_id;
}

bool report_slot_is_mine(const struct cluster *c, slot_t slot)
{
    const struct node *owner = c->owner[slot];

    return owner != NULL && (owner == c->myself || owner == c->myself->master);
}
