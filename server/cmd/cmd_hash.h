/*
 * cmd_hash.h - the hash commands, except HSCAN (cmd_scan.h).
 */
#ifndef CAIRN_SERVER_CMD_CMD_HASH_H
#define CAIRN_SERVER_CMD_CMD_HASH_H

#include "server/run/command.h"

extern const struct command_table cmd_hash_table;

#endif
