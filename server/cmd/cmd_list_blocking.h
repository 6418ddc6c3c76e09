/*
 * cmd_list_blocking.h - BLPOP, BRPOP, BLMPOP, BLMOVE, BRPOPLPUSH.
 */
#ifndef CAIRN_SERVER_CMD_CMD_LIST_BLOCKING_H
#define CAIRN_SERVER_CMD_CMD_LIST_BLOCKING_H

#include "server/run/command.h"

extern const struct command_table cmd_list_blocking_table;

#endif
