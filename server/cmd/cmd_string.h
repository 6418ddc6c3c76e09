/*
 * cmd_string.h - the string commands: GET, SET and their kin. Bits are in cmd_bitmap.h.
 */
#ifndef CAIRN_SERVER_CMD_CMD_STRING_H
#define CAIRN_SERVER_CMD_CMD_STRING_H

#include "server/run/command.h"

extern const struct command_table cmd_string_table;

#endif
