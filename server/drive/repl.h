/*
 * repl.h - replication: this node's role, its replicas, its primary. PSYNC2 with Cairn and Redis on both sides.
 *
 * The log on disk is the backlog: offsets of the protocol are positions of the log, byte for byte, on a primary and on
 * its replicas (docs/decisions/0030). A feed thread sends the log to replicas; a link thread receives the primary's
 * stream, applies it and writes it to the own log; snapshots go out from a thread of their own.
 *
 * Threads: everything here may be called from any thread that holds no slot lock, unless it says otherwise.
 * Lock order: the role lock, then the lock of the list of replicas; both before the log's locks.
 */
#ifndef CAIRN_SERVER_DRIVE_REPL_H
#define CAIRN_SERVER_DRIVE_REPL_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/types.h"

struct repl;
struct node;
struct session;
struct call;
struct cluster_replication;
struct slice;

/*
 * After recovery, before commands run: decides which history the log goes on with (a start after a loss, and a former
 * replica that starts as a primary, begin a new one), adds gates, INFO fields and hooks. lossless: as wal_open found it.
 */
enum err repl_open(struct node *n, bool lossless, struct repl **out) WARN_UNUSED;
/* Before the working set is opened: completes the step of a whole copy that a crash has cut in two. */
struct wal;
struct store;
enum err repl_load_resume(struct wal *wal, struct store *store) WARN_UNUSED;

/* Workers run: the threads start; with `replicaof` in the configuration the link too. */
void repl_start(struct repl *r);
/* No more threads, no more links; NULL is fine. repl_close: workers are gone. */
void repl_stop(struct repl *r);
void repl_close(struct repl *r);

/* ---- Role ---- */

/* REPLICAOF host port. May wait for running commands. *already: it follows this address. */
enum err repl_become_replica(struct repl *r, const char *host, int port, bool *already) WARN_UNUSED;
/* REPLICAOF NO ONE: stops applying behind a whole command, begins a new history, serves writes when it returns. */
enum err repl_become_primary(struct repl *r) WARN_UNUSED;

/* The same for the cluster core: quick, and done when it returns. node_id: 40 hex digits of the primary. */
void repl_follow(struct repl *r, const char *node_id, const char *ip, uint16_t port);
void repl_promote(struct repl *r);
/* Whose data this is, how far, and whether it is whole. Takes one short lock. */
void repl_report(struct repl *r, struct cluster_replication *out);
/* Tells the core once this position is applied. */
void repl_want_offset(struct repl *r, uint64_t offset);

enum repl_link_state { /* as ROLE tells them */
    REPL_LINK_NONE,
    REPL_LINK_CONNECT,
    REPL_LINK_CONNECTING,
    REPL_LINK_HANDSHAKE,
    REPL_LINK_SYNC,
    REPL_LINK_CONNECTED,
};
enum repl_link_state repl_link_state(struct repl *r);

/* ---- What the commands need ---- */

enum err repl_psync(struct repl *r, struct call *c);    /* PSYNC id offset [FAILOVER], SYNC */
enum err repl_replconf(struct repl *r, struct call *c); /* REPLCONF option value ... */
enum err repl_role(struct repl *r, struct call *c);     /* ROLE */
enum err repl_failover(struct repl *r, struct call *c); /* FAILOVER ... */

/*
 * WAIT and WAITAOF: writes the reply if `wanted` has come true or the client cannot wait; else the client is parked until
 * then, or for timeout_ms (0: for ever). The reply is the number of replicas that have lsn, behind whether the own disk has it
 * if `fsynced`.
 */
struct repl_wait {
    lsn_t lsn;
    bool fsynced;    /* replicas must have it on stable storage */
    bool local;      /* and so must this node */
    size_t replicas;
};
enum err repl_wait(struct repl *r, struct call *c, const struct repl_wait *wanted, msec_t timeout_ms);

/*
 * Waits until every replica that takes the stream now has acknowledged lsn, at most until the deadline (unix ms); whether that is so.
 * Asks them. For threads that may wait.
 */
bool repl_all_have(struct repl *r, lsn_t lsn, msec_t deadline_ms) WARN_UNUSED;

/*
 * What the replicas of a primary must know of its slots when one of them leads: it is said in the stream, in a PING with a message,
 * which does nothing anywhere else. The whole text each time.
 */
enum repl_mark {
    REPL_MARK_ARRIVING, /* "0-5,7-7" or empty: keys arrive there by an atomic migration; said in front of them */
    REPL_MARK_OPEN,     /* slots that SETSLOT opened: cluster/inherit.h has the text */
    REPL_MARKS,
};
/* needed: also if no replica listens now; one that comes back later finds it in the log. False: nothing was said. */
bool repl_tell_mark(struct repl *r, enum repl_mark which, struct slice text, bool needed) WARN_UNUSED;
/* On a replica: replaces *text by what the primary said last; false: nothing since. Outside bytes. */
bool repl_take_mark(struct repl *r, enum repl_mark which, struct buf *text) WARN_UNUSED;
/* The link thread: the message of a PING in the stream. */
void repl_note_ping(struct repl *r, struct slice message);

#endif
