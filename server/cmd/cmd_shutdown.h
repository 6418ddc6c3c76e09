/*
 * cmd_shutdown.h - SHUTDOWN.
 */
#ifndef CAIRN_SERVER_CMD_CMD_SHUTDOWN_H
#define CAIRN_SERVER_CMD_CMD_SHUTDOWN_H

#include "server/run/command.h"

extern const struct command_table cmd_shutdown_table;

#endif
