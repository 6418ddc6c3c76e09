/*
 * cmd_acl.h - who may do what: one user, `default`, with the password of requirepass. ACL tells about it.
 */
#ifndef CAIRN_SERVER_CMD_CMD_ACL_H
#define CAIRN_SERVER_CMD_CMD_ACL_H

#include "base/err.h"
#include "server/run/command.h"

struct node;

extern const struct command_table cmd_acl_table;

/*
 * Hooks authentication into the node. ERR_INVALID with a text: the settings name users (aclfile, user) that this server
 * cannot give their rules; it must not start then.
 */
enum err acl_open(struct node *n) WARN_UNUSED;

#endif
