/*
 * cmd_zset.h - commands on the members of a sorted set.
 */
#ifndef CAIRN_SERVER_CMD_CMD_ZSET_H
#define CAIRN_SERVER_CMD_CMD_ZSET_H

#include "server/run/command.h"

extern const struct command_table cmd_zset_table;

#endif
