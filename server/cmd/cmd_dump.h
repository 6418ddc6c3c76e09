/*
 * cmd_dump.h - DUMP, RESTORE and RESTORE-ASKING: one key's value in Redis' dump format.
 */
#ifndef CAIRN_SERVER_CMD_CMD_DUMP_H
#define CAIRN_SERVER_CMD_CMD_DUMP_H

#include "server/run/command.h"

extern const struct command_table cmd_dump_table;

#endif
