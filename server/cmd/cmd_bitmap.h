/*
 * cmd_bitmap.h - the bit commands: SETBIT, BITCOUNT, BITOP, BITFIELD and their kin.
 */
#ifndef CAIRN_SERVER_CMD_CMD_BITMAP_H
#define CAIRN_SERVER_CMD_CMD_BITMAP_H

#include "server/run/command.h"

extern const struct command_table cmd_bitmap_table;

#endif
