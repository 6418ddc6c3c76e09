/*
 * cmd_list.h - the list commands that do not block; and what those that do share with them.
 */
#ifndef CAIRN_SERVER_CMD_CMD_LIST_H
#define CAIRN_SERVER_CMD_CMD_LIST_H

#include "base/err.h"
#include "base/slice.h"
#include "engine/type/list.h"
#include "server/run/command.h"

struct mpop;

extern const struct command_table cmd_list_table;

/* LEFT or RIGHT; false: neither. */
bool cmd_list_end(struct slice word, enum list_end *out);

/* LMPOP of a list that is there: reply and effect. */
enum err cmd_list_mpop(struct call *c, const struct mpop *words, struct obj *o) WARN_UNUSED;

#endif
