/*
 * cmd_monitor.h - MONITOR.
 */
#ifndef CAIRN_SERVER_CMD_CMD_MONITOR_H
#define CAIRN_SERVER_CMD_CMD_MONITOR_H

#include "server/run/command.h"

extern const struct command_table cmd_monitor_table;

#endif
