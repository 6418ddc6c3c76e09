/*
 * cmd_transaction.h - MULTI, EXEC, DISCARD, WATCH, UNWATCH.
 */
#ifndef CAIRN_SERVER_CMD_CMD_TRANSACTION_H
#define CAIRN_SERVER_CMD_CMD_TRANSACTION_H

#include "server/run/command.h"

extern const struct command_table cmd_transaction_table;

#endif
