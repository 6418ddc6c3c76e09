/*
 * node_priv.h - the composed server from inside: for node.c, main.c, server/run, server/net and MIGRATE.
 */
#ifndef CAIRN_SERVER_NODE_PRIV_H
#define CAIRN_SERVER_NODE_PRIV_H

#include <stdatomic.h>

#include "engine/set/journal.h"
#include "server/node.h"
#include "server/run/busy.h"

struct waiting;
struct remotes;
struct uv_async_s;

enum { NODE_HOOKS_MAX = 8 };

struct node_admit_hook {
    node_gate *gate;
    void *context;
};
struct node_end_hook {
    node_session_end *end;
    void *context;
};
struct node_tick_hook {
    node_tick *tick;
    void *context;
};

struct node {
    /* Set once, before the first command */
    struct set *set;
    struct store *store;
    struct wal *wal;
    struct journal journal;
    struct config *config;
    struct clients *clients;
    struct registry *registry;
    struct stats *stats;
    struct pool *pool;
    struct waiting *waiting;
    struct watch *watch;
    struct remotes *remotes;
    struct cluster_service *cluster_service;
    struct repl *repl;
    bool log_lossless; /* as the log was found */
    struct import *import; /* what is taken over from Redis at the first start; NULL: nothing */
    int lock_fd; /* of the data directory */
    unsigned databases;
    bool cluster;
    int port, tls_port;
    char *dir, *config_file;
    char run_id[41];
    msec_t started_ms;
    size_t workers;

    /* Hooks: set once */
    node_gate *route, *permit;
    void *route_context, *permit_context;
    node_exec_guard *exec_guard;
    void *exec_guard_context;
    struct node_admit_hook admit[NODE_HOOKS_MAX];
    struct node_end_hook session_end[NODE_HOOKS_MAX];
    struct node_tick_hook tick[NODE_HOOKS_MAX];
    size_t admits, session_ends, ticks;
    node_authenticate *authenticate;
    node_default_user *default_user;
    void *authentication_context;
    node_observe *observe;
    void *observe_context;

    /* Any thread */
    struct busy busy;                    /* keys that are being moved away */
    atomic_int_fast64_t observe_from_us; /* negative: never */
    atomic_bool replica;
    atomic_bool loading;                 /* recovery runs; what it makes (cluster_service, route) may not be looked at */
    _Atomic lsn_t loading_from, loading_at, loading_end;
    atomic_int_fast64_t loading_since_ms;
    atomic_uint shutdown;                /* 0: running; else 0x100 + enum shutdown_how */
    struct uv_async_s *wake;             /* of the main loop; NULL before it runs */
    _Atomic(struct tls_context *) tls_next; /* for the listener to take up; NULL: none */
};

struct options;

/* Opens the data; nothing listens yet. node_close may be called at any time after. */
enum err node_prepare(const struct options *o, struct node **out) WARN_UNUSED;

/* The second part of the opening: redoes the log, opens the cluster. While it runs (on any one thread) commands that need
 * data are refused. ERR_CLOSED: node_shutdown was called meanwhile. */
enum err node_recover(struct node *n, const struct options *o) WARN_UNUSED;

/* Both parts, for tests. */
enum err node_open(const struct options *o, struct node **out) WARN_UNUSED;
/* drain: everything goes to the store, so that the next start has nothing to replay. Accepts NULL. */
void node_close(struct node *n, bool drain);

/* Recovers, if that was not done yet, with the port open, and serves until node_shutdown. ready is called once clients
 * are served. */
typedef void node_ready(void *context);
enum err node_run(struct node *n, const struct options *o, node_ready *ready, void *context) WARN_UNUSED;

#endif
