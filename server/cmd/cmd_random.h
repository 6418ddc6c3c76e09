/*
 * cmd_random.h - HRANDFIELD, SRANDMEMBER, ZRANDMEMBER.
 */
#ifndef CAIRN_SERVER_CMD_CMD_RANDOM_H
#define CAIRN_SERVER_CMD_CMD_RANDOM_H

#include "server/run/command.h"

extern const struct command_table cmd_random_table;

#endif
