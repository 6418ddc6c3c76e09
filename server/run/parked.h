/*
 * parked.h - a client whose command waits for something that is no key: WAIT, WAITAOF.
 *
 * The command waits in a struct of its own in which struct parked is embedded. The session stays with its connection's
 * worker, and everything here happens there: whoever makes the wait come true says client_look (server/net/clients.h, any
 * thread, also in vain), and the worker asks `ready`. Time limits, CLIENT UNBLOCK and the connection's end are the same as
 * for waits for keys (server/run/waiting.h).
 */
#ifndef CAIRN_SERVER_RUN_PARKED_H
#define CAIRN_SERVER_RUN_PARKED_H

#include "base/buf.h"
#include "server/run/call.h"
#include "server/run/waiting.h"

struct parked {
    bool (*ready)(struct parked *p);                      /* whether the wait is over */
    void (*answer)(struct parked *p, struct call *reply); /* one reply, also at the end of the time */
    void (*free)(struct parked *p);
    const struct command *command;                        /* parked.c's */
};

/* Whether the call's client can wait: not inside EXEC or a script, nor in a stream. */
bool call_can_park(const struct call *c);

/*
 * `return call_park(c, p, timeout_ms)`, 0 = for ever, by a COMMAND_NO_TXN command that is not SLOW and wrote nothing.
 * take_p is freed by p->free after the wait. It may become ready before this returns.
 */
enum err call_park(struct call *c, struct parked *take_p, msec_t timeout_ms);

/* As waiting_cancel, which calls it; WAITING_LOOK: false if it is not ready. */
bool parked_end(struct executor *x, struct session *s, enum waiting_end how, struct buf *out);

#endif
