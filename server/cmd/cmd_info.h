/*
 * cmd_info.h - INFO, SLOWLOG, LATENCY, MEMORY: looking at the server.
 */
#ifndef CAIRN_SERVER_CMD_CMD_INFO_H
#define CAIRN_SERVER_CMD_CMD_INFO_H

#include "server/run/command.h"

extern const struct command_table cmd_info_table;

#endif
