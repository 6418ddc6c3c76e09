/*
 * cmd_set.h - the set commands, except SSCAN (cmd_scan.h).
 */
#ifndef CAIRN_SERVER_CMD_CMD_SET_H
#define CAIRN_SERVER_CMD_CMD_SET_H

#include "server/run/command.h"

extern const struct command_table cmd_set_table;

#endif
