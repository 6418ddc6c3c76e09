/*
 * cmd_replication.c - the commands that replicas say, and those by which operators set who replicates whom.
 */
#include "server/cmd/cmd_replication.h"

#include <stdio.h>

#include "server/cmd/args.h"
#include "server/drive/repl.h"
#include "server/node.h"

static enum err psync(struct call *c) /* PSYNC replicationid offset [FAILOVER] */
{
    return repl_psync(node_replication(c->node), c);
}

static enum err replconf(struct call *c) /* REPLCONF [option value ...] */
{
    return repl_replconf(node_replication(c->node), c);
}

static enum err role(struct call *c) /* ROLE */
{
    return repl_role(node_replication(c->node), c);
}

static enum err failover(struct call *c) /* FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT ms] */
{
    return repl_failover(node_replication(c->node), c);
}

static enum err replicaof(struct call *c) /* REPLICAOF host port | NO ONE */
{
    struct repl *r = node_replication(c->node);
    char host[512];
    int64_t port;
    bool already = false;

    if (node_is_cluster(c->node))
        return reply_error(c, "ERR REPLICAOF not allowed in cluster mode.");
    if (slice_is(c->argv[1], "no") && slice_is(c->argv[2], "one")) {
        TRY(repl_become_primary(r));
        return reply_ok(c);
    }
    if (!num_parse_i64(c->argv[2], &port) || port < 0 || port > 65535)
        return reply_error(c, "ERR Invalid master port");
    if (c->argv[1].size >= sizeof host)
        return reply_error(c, "ERR the host name is too long");
    snprintf(host, sizeof host, "%.*s", (int)c->argv[1].size, (const char *)c->argv[1].data);
    TRY(repl_become_replica(r, host, (int)port, &already));
    return reply_status(c, already ? "OK Already connected to specified master" : "OK");
}

static const struct command_binding rows[] = {
    {"psync", psync, COMMAND_NO_TXN | COMMAND_ALONE},
    {"sync", psync, COMMAND_NO_TXN | COMMAND_ALONE},
    {"replconf", replconf, COMMAND_NO_TXN | COMMAND_ALONE},
    {"role", role, COMMAND_NO_TXN | COMMAND_ALONE},
    {"failover", failover, COMMAND_NO_TXN | COMMAND_SLOW},
    {"replicaof", replicaof, COMMAND_NO_TXN | COMMAND_SLOW},
    {"slaveof", replicaof, COMMAND_NO_TXN | COMMAND_SLOW},
};

const struct command_table cmd_replication_table = COMMAND_TABLE(rows);
