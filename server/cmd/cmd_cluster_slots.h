/*
 * cmd_cluster_slots.h - CLUSTER KEYSLOT, COUNTKEYSINSLOT, GETKEYSINSLOT, SLOT-STATS.
 */
#ifndef CAIRN_SERVER_CMD_CMD_CLUSTER_SLOTS_H
#define CAIRN_SERVER_CMD_CMD_CLUSTER_SLOTS_H

#include "server/run/command.h"

extern const struct command_table cmd_cluster_slots_table;

#endif
