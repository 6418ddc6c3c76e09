/*
 * cmd_scan.h - SCAN, HSCAN, SSCAN; and what ZSCAN shares with them.
 */
#ifndef CAIRN_SERVER_CMD_CMD_SCAN_H
#define CAIRN_SERVER_CMD_CMD_SCAN_H

#include "base/err.h"
#include "engine/set/obj.h"
#include "server/run/command.h"

extern const struct command_table cmd_scan_table;

/* The whole command xSCAN key cursor [MATCH pattern] [COUNT count] for a hash, set or sorted set. */
enum err cmd_scan_elements(struct call *c, enum obj_type type);

#endif
