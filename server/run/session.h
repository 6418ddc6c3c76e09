/*
 * session.h - what the server remembers of one client: database, protocol, user, MULTI queue, watched keys.
 *
 * A session is used by one thread at a time: its connection's worker, or the pool thread that runs its command.
 * Sessions without a connection (replay, a replica's applier, scripts) have client == NULL.
 */
#ifndef CAIRN_SERVER_RUN_SESSION_H
#define CAIRN_SERVER_RUN_SESSION_H

#include "base/buf.h"
#include "base/types.h"
#include "server/run/multi.h"

struct client; /* the connection as others see it: server/net/clients.h */
struct node;
struct command;

/* Embedded by whoever takes keys of other nodes' slots on a connection. */
struct session_arrival {
    void (*lost)(struct session_arrival *a); /* the session ends, or says RESET; no lock is held */
};

enum session_reply { SESSION_REPLY_ON, SESSION_REPLY_OFF, SESSION_REPLY_SKIP_NEXT, SESSION_REPLY_SKIP };

struct session {
    struct node *node;
    struct client *client;
    unsigned db;
    int protocol;            /* 2 or 3 */
    bool authenticated;
    bool readonly;           /* READONLY was said (cluster replicas) */
    uint8_t asking;          /* 2: ASKING runs; 1: it holds for this command; 0: not asked */
    bool close_after_reply;
    bool no_touch, no_evict; /* CLIENT NO-TOUCH, NO-EVICT */
    bool tls;                /* the client speaks TLS: it is told of TLS ports */
    bool is_monitor;
    bool is_replica;         /* PSYNC took the connection */
    bool is_primary;         /* the stream of our primary: nothing expires, no gates */
    bool is_loader;          /* and is_primary: an append-only file at the first start; what it does is logged */
    bool in_exec;            /* a command of an EXEC runs right now */
    bool in_script;
    enum session_reply reply;
    uint32_t subscriptions;  /* channels and patterns: RESP2 allows few commands while > 0 */
    uint32_t shard_subscriptions;
    lsn_t last_write;        /* log position behind this client's last change (WAIT) */
    struct multi multi;
    struct waiter *waiter;   /* server/run/waiting.c: the session waits for keys */
    struct parked *parked;   /* server/run/parked.h: it waits for something else */
    /* Owned by the rooms that set them; freed by the hook of node_set_session_end. */
    void *user;              /* access control */
    void *pubsub;
    void *tracking;
    void *replica;
    struct session_arrival *arrival; /* keys of slots come on this connection (server/drive/arrive.h); NULL: no */
};

void session_init(struct session *s, struct node *node, struct client *client);
void session_fini(struct session *s);

/* RESET: everything as for a new connection, except that the connection stays. */
void session_reset(struct session *s);

static inline unsigned session_db(const struct session *s)
{
    return s->db;
}

#endif
