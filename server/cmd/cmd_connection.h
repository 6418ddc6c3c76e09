/*
 * cmd_connection.h - PING, ECHO, QUIT, SELECT, AUTH, HELLO, RESET.
 */
#ifndef CAIRN_SERVER_CMD_CMD_CONNECTION_H
#define CAIRN_SERVER_CMD_CMD_CONNECTION_H

#include "server/run/command.h"

extern const struct command_table cmd_connection_table;

#endif
