/*
 * cmd_info.c - INFO.
 */
#include "server/cmd/cmd_info.h"

#include "server/run/call.h"
#include "server/run/reply.h"
#include "server/stat/info.h"

static enum err info(struct call *c) /* INFO [section ...] */
{
    buf_clear(c->scratch);
    info_text(c->node, c->argv + 1, c->argc - 1, c->scratch);
    return reply_verbatim(c, buf_slice(c->scratch));
}

static const struct command_binding rows[] = {
    {"info", info, COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_COLD_EXEC},
};

const struct command_table cmd_info_table = COMMAND_TABLE(rows);
