/*
 * cmd_lcs.h - LCS.
 */
#ifndef CAIRN_SERVER_CMD_CMD_LCS_H
#define CAIRN_SERVER_CMD_CMD_LCS_H

#include "server/run/command.h"

extern const struct command_table cmd_lcs_table;

#endif
