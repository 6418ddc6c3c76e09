/*
 * cmd_shutdown.c - SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]
 *
 * There is no reply when it succeeds: the connection ends with the server. Everything is in the log in any case; NOSAVE
 * only leaves out the drain that spares the next start its replay, SAVE writes an RDB file first.
 */
#include "server/cmd/cmd_shutdown.h"

#include "server/node.h"
#include "server/run/call.h"
#include "server/stat/save.h"
#include "server/stat/watch.h"

static enum err shutdown_server(struct call *c)
{
    unsigned how = SHUTDOWN_DEFAULT;
    bool abort_it = false;

    for (size_t i = 1; i < c->argc; i++) {
        if (slice_is(c->argv[i], "nosave"))
            how |= SHUTDOWN_NOSAVE;
        else if (slice_is(c->argv[i], "save"))
            how |= SHUTDOWN_SAVE;
        else if (slice_is(c->argv[i], "now"))
            how |= SHUTDOWN_NOW;
        else if (slice_is(c->argv[i], "force"))
            how |= SHUTDOWN_FORCE;
        else if (slice_is(c->argv[i], "abort"))
            abort_it = true;
        else
            return reply_syntax(c);
    }
    if ((abort_it && how != SHUTDOWN_DEFAULT) || (how & (SHUTDOWN_NOSAVE | SHUTDOWN_SAVE)) == (SHUTDOWN_NOSAVE | SHUTDOWN_SAVE))
        return reply_syntax(c);
    if (abort_it)
        return node_shutdown_abort(c->node) ? reply_ok(c) : reply_error(c, "ERR No shutdown in progress.");
    if (how & SHUTDOWN_SAVE && save_now(watch_save(node_watch(c->node))) != OK && !(how & SHUTDOWN_FORCE))
        return reply_error(c, "ERR Errors trying to SHUTDOWN. Check logs.");
    node_shutdown(c->node, how);
    return OK;
}

static const struct command_binding rows[] = {
    {"shutdown", shutdown_server, COMMAND_NO_TXN | COMMAND_ALONE},
};

const struct command_table cmd_shutdown_table = COMMAND_TABLE(rows);
