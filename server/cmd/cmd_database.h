/*
 * cmd_database.h - commands about whole databases: DBSIZE, KEYS, RANDOMKEY, FLUSHDB, FLUSHALL, SWAPDB.
 */
#ifndef CAIRN_SERVER_CMD_CMD_DATABASE_H
#define CAIRN_SERVER_CMD_CMD_DATABASE_H

#include "server/run/command.h"

extern const struct command_table cmd_database_table;

#endif
