/*
 * cmd_zset_range.h - commands on ranges of a sorted set.
 */
#ifndef CAIRN_SERVER_CMD_CMD_ZSET_RANGE_H
#define CAIRN_SERVER_CMD_CMD_ZSET_RANGE_H

#include "server/run/command.h"

extern const struct command_table cmd_zset_range_table;

#endif
