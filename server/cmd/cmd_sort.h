/*
 * cmd_sort.h - SORT and SORT_RO.
 */
#ifndef CAIRN_SERVER_CMD_CMD_SORT_H
#define CAIRN_SERVER_CMD_CMD_SORT_H

#include "server/run/command.h"

extern const struct command_table cmd_sort_table;

#endif
