/*
 * cmd_monitor.c - MONITOR: the connection becomes a listener to every command.
 */
#include "server/cmd/cmd_monitor.h"

#include "server/net/monitor.h"
#include "server/node.h"
#include "server/run/call.h"
#include "server/run/reply.h"
#include "server/run/session.h"

static enum err monitor(struct call *c)
{
    if (c->session->client == NULL || c->session->in_exec)
        return reply_error(c, "ERR MONITOR isn't allowed for DENY BLOCKING client");
    if (!c->session->is_monitor) {
        c->session->is_monitor = true;
        monitor_add(node_clients(c->node), c->session->client);
    }
    return reply_ok(c);
}

static const struct command_binding rows[] = {
    {"monitor", monitor, COMMAND_NO_TXN | COMMAND_ALONE},
};

const struct command_table cmd_monitor_table = COMMAND_TABLE(rows);
