/*
 * cmd_wait.c - how many replicas, and whether the own disk, have this client's last change. A client that waits holds a
 * pool thread; inside EXEC and scripts nobody waits.
 */
#include "server/cmd/cmd_wait.h"

#include "persistence/wal.h"
#include "server/cmd/args.h"
#include "server/drive/repl.h"
#include "server/node.h"
#include "server/run/session.h"

static enum err deadline(struct call *c, size_t i, msec_t *out)
{
    int64_t timeout;

    if (!num_parse_i64(c->argv[i], &timeout))
        return reply_error(c, "ERR timeout is not an integer or out of range");
    if (timeout < 0)
        return reply_error(c, "ERR timeout is negative");
    *out = timeout != 0 ? node_now(c->node) + timeout : 0;
    if (c->session->in_exec || c->session->in_script)
        *out = 1;
    return OK;
}

static enum err wait_replicas(struct call *c) /* WAIT numreplicas timeout */
{
    int64_t replicas;
    msec_t until;

    if (node_is_replica(c->node))
        return reply_error(c, "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if "
                              "a replica is configured to be writable (which is not the default) writes to replicas are "
                              "just local and are not propagated.");
    TRY(arg_i64(c, 1, &replicas));
    TRY(deadline(c, 2, &until));
    return reply_int(c, (int64_t)repl_wait(node_replication(c->node), c->session->last_write, false,
                                           replicas > 0 ? (size_t)replicas : 0, until));
}

static enum err wait_aof(struct call *c) /* WAITAOF numlocal numreplicas timeout */
{
    lsn_t lsn = c->session->last_write;
    int64_t local, replicas;
    msec_t until;
    size_t count;

    if (node_is_replica(c->node))
        return reply_error(c, "ERR WAITAOF cannot be used with replica instances. Please also note that writes to "
                              "replicas are just local and are not propagated.");
    if (!num_parse_i64(c->argv[1], &local) || local < 0 || local > 1)
        return reply_error(c, "ERR value is out of range, must be between 0 and 1");
    if (!num_parse_i64(c->argv[2], &replicas) || replicas < 0)
        return reply_error(c, "ERR value is out of range, must be positive");
    TRY(deadline(c, 3, &until));
    if (local > 0 && wal_durable(node_wal(c->node)) < lsn)
        TRY(wal_sync_to(node_wal(c->node), lsn)); /* sooner than the log would by itself */
    count = repl_wait(node_replication(c->node), lsn, true, (size_t)replicas, until);
    (void)reply_array(c, 2);
    (void)reply_int(c, wal_durable(node_wal(c->node)) >= lsn);
    return reply_int(c, (int64_t)count);
}

static const struct command_binding rows[] = {
    {"wait", wait_replicas, COMMAND_NO_TXN | COMMAND_SLOW},
    {"waitaof", wait_aof, COMMAND_NO_TXN | COMMAND_SLOW},
};

const struct command_table cmd_wait_table = COMMAND_TABLE(rows);
