/*
 * cmd_watch.h - SLOWLOG, LATENCY, MEMORY: looking at what the server did and holds.
 */
#ifndef CAIRN_SERVER_CMD_CMD_WATCH_H
#define CAIRN_SERVER_CMD_CMD_WATCH_H

#include "server/run/command.h"

extern const struct command_table cmd_watch_table;

#endif
