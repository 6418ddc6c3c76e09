/*
 * cmd_cluster.c - CLUSTER: words in, the core's answer out.
 *
 * What changes the cluster goes to the core as an event; what reads it is rendered under the service's lock. Both may
 * wait for an fsync of nodes.conf, so they run on pool threads. Slots' keys are the matter of cmd_cluster_slots.c.
 */
#include "server/cmd/cmd_cluster.h"

#include "cluster/report.h"
#include "server/cmd/cmd_cluster_priv.h"
#include "server/drive/cluster_service.h"
#include "server/drive/move.h"
#include "server/run/session.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Changing ---- */

struct change {
    struct call *call;
    struct cluster_command command;
    struct cluster_reply reply;
    char refusal[MOVE_MESSAGE_MAX]; /* "": none */
};

/* Under the service's lock: no job begins between the question and the change. */
static void run_change(void *context, struct cluster *core)
{
    struct change *change = context;
    struct call *c = change->call;
    const struct cluster_event event = {.type = CLUSTER_EVENT_COMMAND, .command = &change->command};

    (void)core;
    if (!moves_refuse(cluster_service_moves(service(c)), &change->command, change->refusal))
        cluster_service_step(service(c), &event, &change->reply, c->scratch);
}

static enum err change(struct call *c, enum cluster_command_type type)
{
    struct change change = {.call = c, .command = {.type = type, .argc = c->argc - 2, .argv = c->argv + 2}};

    NEEDS_CLUSTER(c);
    cluster_service_read(service(c), run_change, &change);
    if (change.refusal[0] != '\0')
        return reply_error(c, "%s", change.refusal);
    switch (change.reply.type) {
    case CLUSTER_REPLY_OK:
        if (type == CLUSTER_CMD_SETSLOT) /* in the log before the keys that MIGRATE takes away */
            moves_tell_open(cluster_service_moves(service(c)));
        return reply_ok(c);
    case CLUSTER_REPLY_STATUS: return reply_status(c, change.reply.text);
    case CLUSTER_REPLY_INTEGER: return reply_int(c, change.reply.integer);
    default: return reply_error(c, "%s", change.reply.text);
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
    {"cluster|delslots", cluster_delslots, WAITS},
    {"cluster|delslotsrange", cluster_delslotsrange, WAITS},
    {"cluster|failover", cluster_failover, WAITS},
    {"cluster|flushslots", cluster_flushslots, WAITS},
    {"cluster|forget", cluster_forget, WAITS},
    {"cluster|getslotmigrations", cluster_getslotmigrations, WAITS},
    {"cluster|help", cluster_help, QUICK},
    {"cluster|info", cluster_info, WAITS},
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
    {"cluster|slots", cluster_slots, WAITS},
    {"cluster|syncslots", cluster_syncslots, WAITS | COMMAND_LONG},
};

const struct command_table cmd_cluster_table = COMMAND_TABLE(rows);
