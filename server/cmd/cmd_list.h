/*
 * cmd_list.h - the list commands that do not block.
 */
#ifndef CAIRN_SERVER_CMD_CMD_LIST_H
#define CAIRN_SERVER_CMD_CMD_LIST_H

#include "server/run/command.h"

extern const struct command_table cmd_list_table;

#endif
