/*
 * cmd_cluster_priv.h - what the commands of the cluster begin with.
 */
#ifndef CAIRN_SERVER_CMD_CMD_CLUSTER_PRIV_H
#define CAIRN_SERVER_CMD_CMD_CLUSTER_PRIV_H

#include "server/node.h"
#include "server/run/call.h"
#include "server/run/command.h"
#include "server/run/reply.h"

enum { WAITS = COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_COLD_EXEC, QUICK = COMMAND_NO_TXN | COMMAND_ALONE };

static inline struct cluster_service *service(struct call *c)
{
    return node_cluster(c->node);
}

static inline enum err disabled(struct call *c)
{
    return reply_error(c, "ERR This instance has cluster support disabled");
}

#define NEEDS_CLUSTER(c)          \
    do {                          \
        if (service(c) == NULL)   \
            return disabled(c);   \
    } while (0)

#endif
