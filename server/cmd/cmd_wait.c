/*
 * cmd_wait.c - how many replicas, and whether the own disk, have this client's last change. The client blocks as for BLPOP
 * (server/drive/repl_wait.c); inside EXEC and scripts nobody waits.
 */
#include "server/cmd/cmd_wait.h"

#include "server/cmd/args.h"
#include "server/drive/repl.h"
#include "server/node.h"
#include "server/run/session.h"

static enum err timeout_of(struct call *c, size_t i, msec_t *out)
{
    int64_t timeout;

    if (!num_parse_i64(c->argv[i], &timeout))
        return reply_error(c, "ERR timeout is not an integer or out of range");
    if (timeout < 0)
        return reply_error(c, "ERR timeout is negative");
    if (timeout > INT64_MAX - node_now(c->node))
        return reply_error(c, "ERR timeout is out of range");
    *out = timeout;
    return OK;
}

static enum err wait_replicas(struct call *c) /* WAIT numreplicas timeout */
{
    int64_t replicas;
    msec_t timeout_ms;

    if (node_is_replica(c->node))
        return reply_error(c, "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if "
                              "a replica is configured to be writable (which is not the default) writes to replicas are "
                              "just local and are not propagated.");
    TRY(arg_i64(c, 1, &replicas));
    TRY(timeout_of(c, 2, &timeout_ms));
    return repl_wait(node_replication(c->node), c,
                     &(struct repl_wait){.lsn = c->session->last_write, .replicas = replicas > 0 ? (size_t)replicas : 0},
                     timeout_ms);
}

static enum err wait_aof(struct call *c) /* WAITAOF numlocal numreplicas timeout */
{
    int64_t local, replicas;
    msec_t timeout_ms;

    if (node_is_replica(c->node))
        return reply_error(c, "ERR WAITAOF cannot be used with replica instances. Please also note that writes to "
                              "replicas are just local and are not propagated.");
    if (!num_parse_i64(c->argv[1], &local) || local < 0 || local > 1)
        return reply_error(c, "ERR value is out of range, must be between 0 and 1");
    if (!num_parse_i64(c->argv[2], &replicas) || replicas < 0)
        return reply_error(c, "ERR value is out of range, must be positive");
    TRY(timeout_of(c, 3, &timeout_ms));
    return repl_wait(node_replication(c->node), c,
                     &(struct repl_wait){.lsn = c->session->last_write, .fsynced = true, .local = local > 0,
                                         .replicas = (size_t)replicas},
                     timeout_ms);
}

static const struct command_binding rows[] = {
    {"wait", wait_replicas, COMMAND_NO_TXN | COMMAND_ALONE},
    {"waitaof", wait_aof, COMMAND_NO_TXN | COMMAND_ALONE},
};

const struct command_table cmd_wait_table = COMMAND_TABLE(rows);
