/*
 * cmd_admin.h - SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE, TIME, LOLWUT: durability on demand and small facts.
 */
#ifndef CAIRN_SERVER_CMD_CMD_ADMIN_H
#define CAIRN_SERVER_CMD_CMD_ADMIN_H

#include "server/run/command.h"

extern const struct command_table cmd_admin_table;

#endif
