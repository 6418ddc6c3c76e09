/*
 * cmd_function.h - FUNCTION LIST, DUMP, RESTORE, DELETE, FLUSH: what a server that has no function libraries says truthfully.
 */
#ifndef CAIRN_SERVER_CMD_CMD_FUNCTION_H
#define CAIRN_SERVER_CMD_CMD_FUNCTION_H

#include "server/run/command.h"

extern const struct command_table cmd_function_table;

#endif
