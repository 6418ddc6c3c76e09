/*
 * cmd_cluster.h - CLUSTER and its subcommands, ASKING, READONLY, READWRITE.
 */
#ifndef CAIRN_SERVER_CMD_CMD_CLUSTER_H
#define CAIRN_SERVER_CMD_CMD_CLUSTER_H

#include "server/run/command.h"

extern const struct command_table cmd_cluster_table;

#endif
