/*
 * cmd_client.h - CLIENT: connections seen and acted on.
 */
#ifndef CAIRN_SERVER_CMD_CMD_CLIENT_H
#define CAIRN_SERVER_CMD_CMD_CLIENT_H

#include "server/run/command.h"

extern const struct command_table cmd_client_table;

#endif
