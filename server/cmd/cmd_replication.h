/*
 * cmd_replication.h - PSYNC, SYNC, REPLCONF, REPLICAOF, SLAVEOF, ROLE, FAILOVER.
 */
#ifndef CAIRN_SERVER_CMD_CMD_REPLICATION_H
#define CAIRN_SERVER_CMD_CMD_REPLICATION_H

#include "server/run/command.h"

extern const struct command_table cmd_replication_table;

#endif
