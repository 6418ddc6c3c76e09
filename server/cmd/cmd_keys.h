/*
 * cmd_keys.h - commands about keys of any type: DEL, EXPIRE, RENAME, COPY, OBJECT ...
 */
#ifndef CAIRN_SERVER_CMD_CMD_KEYS_H
#define CAIRN_SERVER_CMD_CMD_KEYS_H

#include "server/run/command.h"

extern const struct command_table cmd_keys_table;

#endif
