/*
 * cmd_zset_pop.h - commands that take out the lowest or highest members of a sorted set.
 */
#ifndef CAIRN_SERVER_CMD_CMD_ZSET_POP_H
#define CAIRN_SERVER_CMD_CMD_ZSET_POP_H

#include "server/run/command.h"

extern const struct command_table cmd_zset_pop_table;

#endif
