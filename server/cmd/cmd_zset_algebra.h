/*
 * cmd_zset_algebra.h - unions, intersections and differences of sorted sets.
 */
#ifndef CAIRN_SERVER_CMD_CMD_ZSET_ALGEBRA_H
#define CAIRN_SERVER_CMD_CMD_ZSET_ALGEBRA_H

#include "server/run/command.h"

extern const struct command_table cmd_zset_algebra_table;

#endif
