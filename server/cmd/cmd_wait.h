/*
 * cmd_wait.h - WAIT and WAITAOF.
 */
#ifndef CAIRN_SERVER_CMD_CMD_WAIT_H
#define CAIRN_SERVER_CMD_CMD_WAIT_H

#include "server/run/command.h"

extern const struct command_table cmd_wait_table;

#endif
