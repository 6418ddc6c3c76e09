/*
 * help.h - the HELP subcommands: the same frame around each container's own lines.
 */
#ifndef CAIRN_SERVER_CMD_HELP_H
#define CAIRN_SERVER_CMD_HELP_H

#include "base/err.h"

struct call;

/* lines end with NULL. Replies an array of statuses: a head line, the lines, and HELP itself. */
enum err reply_help(struct call *c, const char *const *lines);

#endif
