/*
 * cmd_config.h - CONFIG: settings at run time.
 */
#ifndef CAIRN_SERVER_CMD_CMD_CONFIG_H
#define CAIRN_SERVER_CMD_CMD_CONFIG_H

#include "server/run/command.h"

extern const struct command_table cmd_config_table;

#endif
