/*
 * cmd_cluster.c - CLUSTER: words in, the core's answer out.
 *
 * What changes the cluster goes to the core as an event; what reads it is rendered under the service's lock. Both may
 * wait for an fsync of nodes.conf, so they run on pool threads. CLUSTER KEYSLOT and MYID need no lock.
 */
#include "server/cmd/cmd_cluster.h"

#include "base/hash.h"
#include "base/num.h"
#include "cluster/report.h"
#include "engine/set/set.h"
#include "server/drive/cluster_service.h"
#include "server/drive/move.h"
#include "server/node.h"
#include "server/run/call.h"
#include "server/run/reply.h"
#include "server/run/session.h"

#include <stdio.h>
#include <stdlib.h>

enum { WAITS = COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_COLD_EXEC, QUICK = COMMAND_NO_TXN | COMMAND_ALONE };

static struct cluster_service *service(struct call *c)
{
    return node_cluster(c->node);
}

static enum err disabled(struct call *c)
{
    return reply_error(c, "ERR This instance has cluster support disabled");
}

#define NEEDS_CLUSTER(c)          \
    do {                          \
        if (service(c) == NULL)   \
            return disabled(c);   \
    } while (0)

/* ---- Changing ---- */

static enum err change(struct call *c, enum cluster_command_type type)
{
    struct cluster_command command = {.type = type, .argc = c->argc - 2, .argv = c->argv + 2};
    struct cluster_event event = {.type = CLUSTER_EVENT_COMMAND, .command = &command};
    struct cluster_reply reply;

    NEEDS_CLUSTER(c);
    cluster_service_step(service(c), &event, &reply, c->scratch);
    switch (reply.type) {
    case CLUSTER_REPLY_OK: return reply_ok(c);
    case CLUSTER_REPLY_STATUS: return reply_status(c, reply.text);
    case CLUSTER_REPLY_INTEGER: return reply_int(c, reply.integer);
    default: return reply_error(c, "%s", reply.text);
    }
}

#define CHANGE(name, type)                 \
    static enum err name(struct call *c)   \
    {                                      \
        return change(c, type);            \
    }

CHANGE(cluster_meet, CLUSTER_CMD_MEET)
CHANGE(cluster_addslots, CLUSTER_CMD_ADDSLOTS)
CHANGE(cluster_addslotsrange, CLUSTER_CMD_ADDSLOTSRANGE)
CHANGE(cluster_delslots, CLUSTER_CMD_DELSLOTS)
CHANGE(cluster_delslotsrange, CLUSTER_CMD_DELSLOTSRANGE)
CHANGE(cluster_flushslots, CLUSTER_CMD_FLUSHSLOTS)
CHANGE(cluster_setslot, CLUSTER_CMD_SETSLOT)
CHANGE(cluster_forget, CLUSTER_CMD_FORGET)
CHANGE(cluster_reset, CLUSTER_CMD_RESET)
CHANGE(cluster_set_config_epoch, CLUSTER_CMD_SET_CONFIG_EPOCH)
CHANGE(cluster_bumpepoch, CLUSTER_CMD_BUMPEPOCH)
CHANGE(cluster_saveconfig, CLUSTER_CMD_SAVECONFIG)
CHANGE(cluster_count_failure_reports, CLUSTER_CMD_COUNT_FAILURE_REPORTS)
CHANGE(cluster_replicate, CLUSTER_CMD_REPLICATE)
CHANGE(cluster_failover, CLUSTER_CMD_FAILOVER)

/* ---- Texts ---- */

struct text {
    struct buf *out;
    struct slice id;
    bool tls;
    enum err outcome;
};

static void read_nodes(void *context, struct cluster *core)
{
    struct text *text = context;

    report_nodes(core, text->tls, text->out);
}

static void read_info(void *context, struct cluster *core)
{
    report_info(core, ((struct text *)context)->out);
}

static void read_shard_id(void *context, struct cluster *core)
{
    buf_append_str(((struct text *)context)->out, report_my_shard_id(core));
}

static void read_replicas(void *context, struct cluster *core)
{
    struct text *text = context;

    text->outcome = report_replicas(core, text->id, text->tls, text->out);
}

static struct text read_text(struct call *c, cluster_service_reader *read)
{
    struct text text = {.out = c->scratch, .tls = c->session->tls, .outcome = OK};

    if (c->argc > 2)
        text.id = c->argv[2];
    buf_clear(text.out);
    cluster_service_read(service(c), read, &text);
    return text;
}

static enum err cluster_nodes(struct call *c)
{
    NEEDS_CLUSTER(c);
    (void)read_text(c, read_nodes);
    return reply_verbatim(c, buf_slice(c->scratch));
}

static enum err cluster_info(struct call *c)
{
    NEEDS_CLUSTER(c);
    (void)read_text(c, read_info);
    return reply_verbatim(c, buf_slice(c->scratch));
}

static enum err cluster_myshardid(struct call *c)
{
    NEEDS_CLUSTER(c);
    (void)read_text(c, read_shard_id);
    return reply_bulk(c, buf_slice(c->scratch));
}

static enum err cluster_myid(struct call *c)
{
    const struct cluster_map *map;
    enum err e;

    NEEDS_CLUSTER(c);
    map = cluster_service_map(service(c));
    e = reply_bulk_str(c, map->nodes[map->myself].id);
    cluster_service_map_done(service(c));
    return e;
}

static enum err cluster_replicas(struct call *c)
{
    struct slice rest;
    size_t lines = 0;

    NEEDS_CLUSTER(c);
    if (read_text(c, read_replicas).outcome != OK)
        return reply_error(c, "%s", err_text());
    rest = buf_slice(c->scratch);
    for (size_t i = 0; i < rest.size; i++)
        lines += rest.data[i] == '\n';
    (void)reply_array(c, lines);
    while (lines-- > 0) {
        const uint8_t *end = memchr(rest.data, '\n', rest.size);
        size_t size = (size_t)(end - rest.data);

        (void)reply_bulk(c, slice_of(rest.data, size));
        rest = slice_of(end + 1, rest.size - size - 1);
    }
    return OK;
}

/* ---- Arrays ---- */

static void endpoint_reply(struct call *c, const struct cluster *core, const struct report_node *node)
{
    const char *endpoint = report_endpoint(core, node);

    if (endpoint != NULL)
        (void)reply_bulk_str(c, endpoint);
    else
        (void)reply_null(c);
}

/* What a client needs beside the endpoint: the address if that is not it, the host name if that is not it. */
static void slots_metadata(struct call *c, const struct cluster *core, const struct report_node *node)
{
    const char *endpoint = report_endpoint(core, node);
    bool ip = endpoint == NULL || strcmp(endpoint, node->ip) != 0;
    bool name = node->hostname[0] != '\0' && (endpoint == NULL || strcmp(endpoint, node->hostname) != 0);

    (void)reply_map(c, (size_t)ip + name);
    if (ip) {
        (void)reply_bulk_str(c, "ip");
        (void)reply_bulk_str(c, node->ip);
    }
    if (name) {
        (void)reply_bulk_str(c, "hostname");
        (void)reply_bulk_str(c, node->hostname);
    }
}

static void read_slots(void *context, struct cluster *core)
{
    struct call *c = context;
    struct report_slots r;

    report_slots(core, &r);
    (void)reply_array(c, r.range_count);
    for (size_t i = 0; i < r.range_count; i++) {
        (void)reply_array(c, 2 + r.ranges[i].node_count);
        (void)reply_int(c, r.ranges[i].first);
        (void)reply_int(c, r.ranges[i].last);
        for (size_t k = 0; k < r.ranges[i].node_count; k++) {
            const struct report_node *node = &r.nodes[r.ranges[i].node_first + k];

            (void)reply_array(c, 4);
            endpoint_reply(c, core, node);
            (void)reply_int(c, cluster_client_port(c->session->tls, node->port, node->tls_port));
            (void)reply_bulk_str(c, node->id);
            slots_metadata(c, core, node);
        }
    }
    report_slots_free(&r);
}

static enum err cluster_slots(struct call *c)
{
    NEEDS_CLUSTER(c);
    cluster_service_read(service(c), read_slots, c);
    return OK;
}

static void shard_node(struct call *c, const struct cluster *core, const struct report_node *node)
{
    bool name = node->hostname[0] != '\0';
    bool loading = node->replica && node->offset == 0;

    (void)reply_map(c, 6u + (node->port != 0) + (node->tls_port != 0) + name);
    (void)reply_bulk_str(c, "id");
    (void)reply_bulk_str(c, node->id);
    if (node->port != 0) {
        (void)reply_bulk_str(c, "port");
        (void)reply_int(c, node->port);
    }
    if (node->tls_port != 0) {
        (void)reply_bulk_str(c, "tls-port");
        (void)reply_int(c, node->tls_port);
    }
    (void)reply_bulk_str(c, "ip");
    (void)reply_bulk_str(c, node->ip);
    (void)reply_bulk_str(c, "endpoint");
    endpoint_reply(c, core, node);
    if (name) {
        (void)reply_bulk_str(c, "hostname");
        (void)reply_bulk_str(c, node->hostname);
    }
    (void)reply_bulk_str(c, "role");
    (void)reply_bulk_str(c, node->replica ? "replica" : "master");
    (void)reply_bulk_str(c, "replication-offset");
    (void)reply_int(c, (int64_t)node->offset);
    (void)reply_bulk_str(c, "health");
    (void)reply_bulk_str(c, node->failed ? "fail" : loading ? "loading" : "online");
}

static void read_shards(void *context, struct cluster *core)
{
    struct call *c = context;
    struct report_shards r;

    report_shards(core, &r);
    (void)reply_array(c, r.shard_count);
    for (size_t i = 0; i < r.shard_count; i++) {
        const struct report_shard *shard = &r.shards[i];

        (void)reply_map(c, 2);
        (void)reply_bulk_str(c, "slots");
        (void)reply_array(c, shard->range_count * 2);
        for (size_t k = 0; k < shard->range_count; k++) {
            (void)reply_int(c, r.ranges[shard->range_first + k].first);
            (void)reply_int(c, r.ranges[shard->range_first + k].last);
        }
        (void)reply_bulk_str(c, "nodes");
        (void)reply_array(c, shard->node_count);
        for (size_t k = 0; k < shard->node_count; k++)
            shard_node(c, core, &r.nodes[shard->node_first + k]);
    }
    report_shards_free(&r);
}

static enum err cluster_shards(struct call *c)
{
    NEEDS_CLUSTER(c);
    cluster_service_read(service(c), read_shards, c);
    return OK;
}

static void read_links(void *context, struct cluster *core)
{
    struct call *c = context;
    struct report_link *links = NULL;
    size_t count = report_links(core, &links);

    (void)reply_array(c, count);
    for (size_t i = 0; i < count; i++) {
        uint64_t used, allocated;

        cluster_service_link_buffers(service(c), links[i].link, &used, &allocated);
        (void)reply_map(c, 6);
        (void)reply_bulk_str(c, "direction");
        (void)reply_bulk_str(c, links[i].inbound ? "from" : "to");
        (void)reply_bulk_str(c, "node");
        (void)reply_bulk_str(c, links[i].node);
        (void)reply_bulk_str(c, "create-time");
        (void)reply_int(c, links[i].create_time_ms);
        (void)reply_bulk_str(c, "events");
        (void)reply_bulk_str(c, used > 0 ? "rw" : "r");
        (void)reply_bulk_str(c, "send-buffer-allocated");
        (void)reply_int(c, (int64_t)allocated);
        (void)reply_bulk_str(c, "send-buffer-used");
        (void)reply_int(c, (int64_t)used);
    }
    free(links);
}

static enum err cluster_links(struct call *c)
{
    NEEDS_CLUSTER(c);
    cluster_service_read(service(c), read_links, c);
    return OK;
}

/* ---- Slots and keys ---- */

static enum err cluster_keyslot(struct call *c)
{
    NEEDS_CLUSTER(c);
    return reply_int(c, hash_slot(c->argv[2]));
}

static enum err cluster_countkeysinslot(struct call *c)
{
    int64_t slot;

    NEEDS_CLUSTER(c);
    if (!num_parse_i64(c->argv[2], &slot))
        return ERR_NOT_INTEGER;
    if (slot < 0 || slot >= SLOTS)
        return reply_error(c, "ERR Invalid slot");
    return reply_int(c, (int64_t)set_slot_keys(node_set(c->node), 0, (slot_t)slot));
}

struct taker {
    struct call *c;
    size_t count, most;
};

static void take_key(void *context, const struct obj *o)
{
    struct taker *t = context;

    if (t->count == t->most) /* a page ends behind a whole hash */
        return;
    (void)reply_bulk(t->c, obj_key(o));
    t->count++;
}

static enum err cluster_getkeysinslot(struct call *c)
{
    int64_t slot, most;
    struct taker t = {.c = c};
    uint64_t next;
    size_t mark;

    NEEDS_CLUSTER(c);
    if (!num_parse_i64(c->argv[2], &slot) || !num_parse_i64(c->argv[3], &most))
        return ERR_NOT_INTEGER;
    if (slot < 0 || slot >= SLOTS || most < 0)
        return reply_error(c, "ERR Invalid slot or number of keys");
    t.most = (size_t)most;
    mark = reply_defer(c);
    /* Time 0: keys whose expiry has passed still have to be moved or dropped. */
    if (most > 0)
        TRY(set_scan(node_set(c->node), 0, (unsigned)slot, 0, t.most, 0, take_key, &t, &next));
    reply_defer_array(c, mark, t.count);
    return OK;
}

/* ---- CLUSTER SLOT-STATS ---- */

struct slot_count {
    slot_t slot;
    uint64_t keys;
};

struct stats {
    bool mine[SLOTS];
};

static void read_mine(void *context, struct cluster *core)
{
    struct stats *stats = context;

    for (unsigned slot = 0; slot < SLOTS; slot++)
        stats->mine[slot] = report_slot_is_mine(core, (slot_t)slot);
}

static enum err stats_reply(struct call *c, const struct slot_count *slots, size_t count)
{
    (void)reply_array(c, count);
    for (size_t i = 0; i < count; i++) {
        (void)reply_array(c, 2);
        (void)reply_int(c, slots[i].slot);
        (void)reply_map(c, 1);
        (void)reply_bulk_str(c, "key-count");
        (void)reply_int(c, (int64_t)slots[i].keys);
    }
    return OK;
}

static int by_keys(const void *a, const void *b)
{
    const struct slot_count *x = a, *y = b;

    if (x->keys != y->keys)
        return x->keys < y->keys ? -1 : 1;
    return (int)x->slot - (int)y->slot;
}

static int by_keys_down(const void *a, const void *b)
{
    const struct slot_count *x = a, *y = b;

    if (x->keys != y->keys)
        return x->keys > y->keys ? -1 : 1;
    return (int)x->slot - (int)y->slot;
}

struct stats_request {
    int64_t first, last, limit;
    bool ranged, ascending;
};

/* SLOTSRANGE a b | ORDERBY KEY-COUNT [LIMIT n] [ASC|DESC] */
static enum err stats_parse(struct call *c, struct stats_request *r)
{
    bool limited = false, ordered = false;

    *r = (struct stats_request){.last = SLOTS - 1, .limit = SLOTS};
    if (slice_is(c->argv[2], "slotsrange") && c->argc == 5) {
        r->ranged = true;
        if (!num_parse_i64(c->argv[3], &r->first) || !num_parse_i64(c->argv[4], &r->last) || r->first < 0 ||
            r->first >= SLOTS || r->last < 0 || r->last >= SLOTS)
            return reply_error(c, "ERR Invalid or out of range slot");
        if (r->first > r->last)
            return reply_error(c, "ERR Start slot number %d is greater than end slot number %d", (int)r->first, (int)r->last);
        return OK;
    }
    if (!slice_is(c->argv[2], "orderby") || c->argc < 4)
        return reply_syntax(c);
    if (!slice_is(c->argv[3], "key-count"))
        return reply_error(c, "ERR Unrecognized sort metric for ORDERBY.");
    for (size_t i = 4; i < c->argc; i++) {
        if (slice_is(c->argv[i], "limit") && i + 1 < c->argc) {
            if (limited)
                return reply_error(c, "ERR Multiple filters of the same type are disallowed.");
            limited = true;
            if (!num_parse_i64(c->argv[++i], &r->limit) || r->limit < 1 || r->limit > SLOTS)
                return reply_error(c, "ERR Limit has to lie in between 1 and 16384 (maximum number of slots).");
        } else if (slice_is(c->argv[i], "asc") || slice_is(c->argv[i], "desc")) {
            if (ordered)
                return reply_error(c, "ERR Multiple filters of the same type are disallowed.");
            ordered = true;
            r->ascending = slice_is(c->argv[i], "asc");
        } else {
            return reply_syntax(c);
        }
    }
    return OK;
}

static enum err cluster_slot_stats(struct call *c)
{
    struct stats_request r;
    struct stats *stats;
    struct slot_count *slots;
    size_t count = 0;
    enum err e;

    NEEDS_CLUSTER(c);
    TRY(stats_parse(c, &r));
    stats = calloc(1, sizeof *stats);
    slots = calloc(SLOTS, sizeof *slots);
    if (stats == NULL || slots == NULL) {
        free(stats);
        free(slots);
        return ERR_NO_MEMORY;
    }
    cluster_service_read(service(c), read_mine, stats);
    for (int64_t slot = r.first; slot <= r.last; slot++)
        if (stats->mine[slot])
            slots[count++] = (struct slot_count){(slot_t)slot, set_slot_keys(node_set(c->node), 0, (slot_t)slot)};
    if (!r.ranged) {
        qsort(slots, count, sizeof *slots, r.ascending ? by_keys : by_keys_down);
        if (count > (size_t)r.limit)
            count = (size_t)r.limit;
    }
    e = stats_reply(c, slots, count);
    free(stats);
    free(slots);
    return e;
}

/* ---- Atomic slot migration ---- */

#define MOVES(name, function)                                            \
    static enum err name(struct call *c)                                 \
    {                                                                    \
        NEEDS_CLUSTER(c);                                                \
        return function(cluster_service_moves(service(c)), c);           \
    }

MOVES(cluster_migrateslots, moves_migrate)
MOVES(cluster_getslotmigrations, moves_list)
MOVES(cluster_cancelslotmigrations, moves_cancel)
MOVES(cluster_syncslots, moves_sync)

/* ---- HELP, the connection's flags ---- */

static enum err cluster_help(struct call *c)
{
    static const char *const lines[] = {
        "CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ADDSLOTS <slot> [<slot> ...]", "    Assign slots to this node.",
        "ADDSLOTSRANGE <start slot> <end slot> [<start slot> <end slot> ...]", "    Assign ranges of slots to this node.",
        "BUMPEPOCH", "    Advance this node's config epoch.",
        "CANCELSLOTMIGRATIONS", "    Give up the atomic migrations that this node has begun.",
        "COUNT-FAILURE-REPORTS <node-id>", "    Number of failure reports held for a node.",
        "COUNTKEYSINSLOT <slot>", "    Number of keys in a slot (exact).",
        "DELSLOTS <slot> [<slot> ...]", "    Take slots away from their owners, as this node sees them.",
        "DELSLOTSRANGE <start slot> <end slot> [<start slot> <end slot> ...]", "    The same for ranges.",
        "FAILOVER [FORCE|TAKEOVER]", "    This replica takes its master's place.",
        "FLUSHSLOTS", "    Release all slots of this node; the database must be empty.",
        "FORGET <node-id>", "    Remove a node from this node's table, for at least a minute.",
        "GETKEYSINSLOT <slot> <count>", "    Some keys of a slot.",
        "GETSLOTMIGRATIONS", "    Atomic migrations, and how far they are.",
        "INFO", "    The state of the cluster.",
        "KEYSLOT <key>", "    The slot of a key.",
        "LINKS", "    The bus links of this node.",
        "MEET <ip> <port> [<bus-port>]", "    Join the node at that address.",
        "MIGRATESLOTS SLOTSRANGE <start> <end> [<start> <end> ...] NODE <node-id> [SLOTSRANGE ... NODE ...]",
        "    Move slots to another node in one step.",
        "MYID", "    The id of this node.",
        "MYSHARDID", "    The id of this node's shard.",
        "NODES", "    The table of nodes.",
        "REPLICAS <node-id>", "    The replicas of a node.",
        "REPLICATE <node-id>", "    Become a replica of a master.",
        "RESET [HARD|SOFT]", "    Leave the cluster.",
        "SAVECONFIG", "    Write the table of nodes to disk.",
        "SET-CONFIG-EPOCH <epoch>", "    Set the config epoch of a fresh node.",
        "SETSLOT <slot> (IMPORTING <node-id>|MIGRATING <node-id>|STABLE|NODE <node-id>)", "    Set the state of a slot.",
        "SHARDS", "    The shards with their slots and nodes.",
        "SLOT-STATS (SLOTSRANGE <start> <end> | ORDERBY KEY-COUNT [LIMIT <n>] [ASC|DESC])", "    Keys per slot.",
        "SLOTS", "    The slot ranges with their nodes.",
        "HELP", "    This text.",
    };

    NEEDS_CLUSTER(c);
    (void)reply_array(c, sizeof lines / sizeof *lines);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        (void)reply_status(c, lines[i]);
    return OK;
}

static enum err asking(struct call *c)
{
    NEEDS_CLUSTER(c);
    if (!c->session->in_exec)
        c->session->asking = 2; /* this command, and the next */
    return reply_ok(c);
}

static enum err readonly(struct call *c)
{
    NEEDS_CLUSTER(c);
    c->session->readonly = true;
    return reply_ok(c);
}

static enum err readwrite(struct call *c)
{
    NEEDS_CLUSTER(c);
    c->session->readonly = false;
    return reply_ok(c);
}

static const struct command_binding rows[] = {
    {"asking", asking, QUICK},
    {"readonly", readonly, QUICK},
    {"readwrite", readwrite, QUICK},
    {"cluster|addslots", cluster_addslots, WAITS},
    {"cluster|addslotsrange", cluster_addslotsrange, WAITS},
    {"cluster|bumpepoch", cluster_bumpepoch, WAITS},
    {"cluster|cancelslotmigrations", cluster_cancelslotmigrations, WAITS},
    {"cluster|count-failure-reports", cluster_count_failure_reports, WAITS},
    {"cluster|countkeysinslot", cluster_countkeysinslot, COMMAND_NO_TXN | COMMAND_COLD_EXEC},
    {"cluster|delslots", cluster_delslots, WAITS},
    {"cluster|delslotsrange", cluster_delslotsrange, WAITS},
    {"cluster|failover", cluster_failover, WAITS},
    {"cluster|flushslots", cluster_flushslots, WAITS},
    {"cluster|forget", cluster_forget, WAITS},
    {"cluster|getkeysinslot", cluster_getkeysinslot, WAITS},
    {"cluster|getslotmigrations", cluster_getslotmigrations, WAITS},
    {"cluster|help", cluster_help, QUICK},
    {"cluster|info", cluster_info, WAITS},
    {"cluster|keyslot", cluster_keyslot, QUICK},
    {"cluster|links", cluster_links, WAITS},
    {"cluster|meet", cluster_meet, WAITS},
    {"cluster|migrateslots", cluster_migrateslots, WAITS},
    {"cluster|myid", cluster_myid, QUICK},
    {"cluster|myshardid", cluster_myshardid, WAITS},
    {"cluster|nodes", cluster_nodes, WAITS},
    {"cluster|replicas", cluster_replicas, WAITS},
    {"cluster|replicate", cluster_replicate, WAITS},
    {"cluster|reset", cluster_reset, WAITS},
    {"cluster|saveconfig", cluster_saveconfig, WAITS},
    {"cluster|set-config-epoch", cluster_set_config_epoch, WAITS},
    {"cluster|setslot", cluster_setslot, WAITS},
    {"cluster|shards", cluster_shards, WAITS},
    {"cluster|slaves", cluster_replicas, WAITS},
    {"cluster|slot-stats", cluster_slot_stats, WAITS},
    {"cluster|slots", cluster_slots, WAITS},
    {"cluster|syncslots", cluster_syncslots, WAITS},
};

const struct command_table cmd_cluster_table = COMMAND_TABLE(rows);
