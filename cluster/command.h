/*
 * command.h - CLUSTER's changing subcommands, their rules and their exact error texts.
 */
#ifndef CAIRN_CLUSTER_COMMAND_H
#define CAIRN_CLUSTER_COMMAND_H

#include "cluster/cluster_priv.h"

/* Runs it and sets the step's reply. A refused command changes nothing. */
void command_run(struct cluster *c, const struct cluster_command *command);

#endif
