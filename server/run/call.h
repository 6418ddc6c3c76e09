/*
 * call.h - what a command function gets: its words, a transaction, a place for the reply.
 *
 * A command parses its words, calls the type, writes one reply. It never sees a connection, a commit or a clock.
 * It returns OK after exactly one reply; ERR_REPLIED after an error reply of its own (reply_error and friends return
 * it); ERR_COLD or ERR_BUSY with nothing written and nothing changed; any other error is turned into the RESP error
 * by the executor (server/run/errors.c).
 */
#ifndef CAIRN_SERVER_RUN_CALL_H
#define CAIRN_SERVER_RUN_CALL_H

#include "base/err.h"
#include "base/slice.h"
#include "base/types.h"
#include "engine/set/txn.h"
#include "server/run/reply.h"

struct session; /* the client's state: server/run/session.h */
struct node;    /* the composed server: server/node.h */

struct call {
    const struct command *command;
    size_t argc;
    const struct slice *argv; /* argv[0] is the name as sent; borrowed until the command returns */
    struct slice raw;         /* the request's bytes, or empty */
    struct txn *txn;          /* the keys' slots are locked; NULL for commands flagged COMMAND_NO_TXN */
    struct reply *reply;
    struct session *session;
    struct node *node;
    struct buf *scratch;      /* free for the command's use; empty at its start */
    lsn_t wait_for;           /* see call_wait_for (server/node.h) */
    msec_t block_ms;          /* see call_block */
    bool null_bulk;           /* where nothing may block the reply is a null bulk string */
    struct executor *executor; /* server/run only */
};

/*
 * For a blocking command that found nothing on any of its keys, before it wrote or changed anything:
 * `return call_block(c, timeout_ms)`, 0 = for ever. The client then waits for its keys (those of the key
 * specifications) to be written and the command is run again, first come first served; at the end of the time, or at
 * once inside EXEC and scripts, the reply is a null array (inside EXEC a null string, if it sets null_bulk). What pops
 * must emit the non-blocking effect (LPOP ...).
 */
static inline enum err call_block(struct call *c, msec_t timeout_ms)
{
    c->block_ms = timeout_ms;
    return ERR_AGAIN;
}

/* True while a client that has waited is served: then a key of another type is no error, the wait goes on. */
bool call_was_blocked(const struct call *c);

#endif
