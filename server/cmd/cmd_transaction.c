/*
 * cmd_transaction.c - MULTI, EXEC, DISCARD, WATCH, UNWATCH. The queue is server/run/multi.c, EXEC's work
 * server/run/transaction.c.
 */
#include "server/cmd/cmd_transaction.h"

#include "server/run/call.h"
#include "server/run/execute.h"
#include "server/run/session.h"

static enum err multi(struct call *c)
{
    if (c->session->multi.open)
        return reply_error(c, "ERR MULTI calls can not be nested");
    c->session->multi.open = true;
    return reply_ok(c);
}

static enum err discard(struct call *c)
{
    if (!c->session->multi.open)
        return reply_error(c, "ERR DISCARD without MULTI");
    multi_clear(&c->session->multi, true);
    return reply_ok(c);
}

static enum err watch(struct call *c) /* WATCH key [key ...] */
{
    if (c->session->multi.open)
        return reply_error(c, "ERR WATCH inside MULTI is not allowed");
    for (size_t i = 1; i < c->argc; i++)
        TRY(multi_watch(&c->session->multi, c->txn, c->argv[i]));
    return reply_ok(c);
}

static enum err unwatch(struct call *c)
{
    /* Inside EXEC the list is in use; EXEC forgets it anyway. */
    if (!c->session->in_exec)
        multi_unwatch(&c->session->multi);
    return reply_ok(c);
}

static const struct command_binding rows[] = {
    {"multi", multi, COMMAND_NO_TXN | COMMAND_CONNECTION | COMMAND_NOT_QUEUED},
    {"exec", transaction_exec, COMMAND_NO_TXN | COMMAND_CONNECTION | COMMAND_NOT_QUEUED},
    {"discard", discard, COMMAND_NO_TXN | COMMAND_CONNECTION | COMMAND_NOT_QUEUED},
    {"watch", watch, COMMAND_NOT_QUEUED},
    {"unwatch", unwatch, COMMAND_NO_TXN | COMMAND_CONNECTION},
};

const struct command_table cmd_transaction_table = COMMAND_TABLE(rows);
