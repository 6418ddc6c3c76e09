/*
 * tables.h - the list of all command tables; its body is generated from the rooms' source lists.
 */
#ifndef CAIRN_SERVER_TABLES_H
#define CAIRN_SERVER_TABLES_H

#include "server/run/command.h"

extern const struct command_table *const command_tables[];
extern const size_t command_tables_count;

#endif
