/*
 * cmd_debug.h - DEBUG: aids for tests, behind enable-debug-command.
 */
#ifndef CAIRN_SERVER_CMD_CMD_DEBUG_H
#define CAIRN_SERVER_CMD_CMD_DEBUG_H

#include "server/run/command.h"

extern const struct command_table cmd_debug_table;

#endif
