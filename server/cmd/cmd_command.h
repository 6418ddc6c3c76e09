/*
 * cmd_command.h - COMMAND: what the server knows about its commands.
 */
#ifndef CAIRN_SERVER_CMD_CMD_COMMAND_H
#define CAIRN_SERVER_CMD_CMD_COMMAND_H

#include "server/run/command.h"

extern const struct command_table cmd_command_table;

#endif
