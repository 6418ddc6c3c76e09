/*
 * waiting.h - clients that wait for keys: BLPOP and its kin.
 *
 * A waiter keeps a copy of its request. Whoever writes one of its keys runs the request again, right after its own
 * commit, in the order in which the clients began to wait, key by key; so an element goes to the client that waited
 * longest. While it waits, and while it is served, the session belongs to this module and not to the connection's
 * worker; deliver gives it back.
 *
 * Locks: its own lock is a leaf, taken with slot locks held (waiting_add) and never held while a command runs.
 */
#ifndef CAIRN_SERVER_RUN_WAITING_H
#define CAIRN_SERVER_RUN_WAITING_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/types.h"

struct waiting;
struct node;
struct session;
struct executor;
struct client;

enum waiting_end {
    WAITING_TIMEOUT = 1,
    WAITING_ERROR,
    WAITING_CLOSED,
    WAITING_DEMOTED,
    WAITING_LOOK, /* what a parked client waits for may be there: server/run/parked.h. Waits for keys go on */
};

/* Hands a session back, with its reply (deliver owns the buf now). Called on any thread, without locks. */
typedef void waiting_deliver(struct session *s, struct buf *reply);

struct waiting *waiting_new(struct node *n, waiting_deliver *deliver);
void waiting_free(struct waiting *w); /* nobody waits any more */

/* How many wait; 0 is the usual case and costs one relaxed load. */
size_t waiting_count(const struct waiting *w);
static inline bool waiting_any(const struct waiting *w)
{
    return w != NULL && atomic_load_explicit((const _Atomic size_t *)(const void *)w, memory_order_relaxed) != 0;
}

/* Called by the executor with the keys' slots locked. Everything is copied. The timeout is the connection's. */
void waiting_add(struct waiting *w, struct session *s, const struct slice *argv, size_t argc, const struct slice *keys,
                 size_t key_count);

/* After a commit, with no slot locked: serves those who wait for these keys. x runs their requests. */
void waiting_serve(struct waiting *w, struct executor *x, const struct slice *keys, size_t key_count);

/* The same for all who wait: a whole database has changed. later: only notes it for x's next waiting_serve. */
void waiting_serve_all(struct waiting *w, struct executor *x, bool later);

/*
 * Runs the requests again that wait for a key of a slot that is `gone`: the route has an answer for them now (MOVED, CLUSTERDOWN). On
 * pool threads. `gone` is called under a leaf lock.
 */
typedef bool waiting_gone(void *context, slot_t slot);
void waiting_reroute(struct waiting *w, waiting_gone *gone, void *context);

/*
 * Ends the wait. True: the session is the caller's again, and the reply for `how` is appended to out (nothing for
 * CLOSED). False: it is being served right now; deliver will follow, with the reply or with that of `how`.
 * The command counts as called in x's statistics.
 */
bool waiting_cancel(struct waiting *w, struct executor *x, struct session *s, enum waiting_end how, struct buf *out);

/* Appends what a client is told whose wait ended like that. After WAITING_DEMOTED it is disconnected, to look for the master. */
void waiting_refuse(struct session *s, enum waiting_end how, struct buf *out);

#endif
