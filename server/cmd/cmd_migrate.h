/*
 * cmd_migrate.h - MIGRATE: keys to another server, and away from here.
 */
#ifndef CAIRN_SERVER_CMD_CMD_MIGRATE_H
#define CAIRN_SERVER_CMD_CMD_MIGRATE_H

#include "server/run/command.h"

extern const struct command_table cmd_migrate_table;

#endif
