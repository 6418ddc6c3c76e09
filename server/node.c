/*
 * node.c - what rooms see of the composed server: accessors, hooks, waiting for the log, the wish to stop.
 */
#include "server/node.h"

#include <stdlib.h>
#include <uv.h>

#include "base/check.h"
#include "base/clock.h"
#include "persistence/wal.h"
#include "server/net/tls.h"
#include "server/node_priv.h"
#include "server/options.h"
#include "server/run/call.h"

enum { SHUTDOWN_ASKED = 0x100 };

/* ---- Accessors ---- */

struct set *node_set(struct node *n)
{
    return n->set;
}

struct store *node_store(struct node *n)
{
    return n->store;
}

struct wal *node_wal(struct node *n)
{
    return n->wal;
}

const struct journal *node_journal(struct node *n)
{
    return &n->journal;
}

struct config *node_config(struct node *n)
{
    return n->config;
}

struct cluster_service *node_cluster(struct node *n)
{
    return atomic_load_explicit(&n->loading, memory_order_acquire) ? NULL : n->cluster_service;
}

struct repl *node_replication(struct node *n)
{
    return n->repl;
}

struct clients *node_clients(struct node *n)
{
    return n->clients;
}

const struct registry *node_registry(struct node *n)
{
    return n->registry;
}

struct stats *node_stats(struct node *n)
{
    return n->stats;
}

struct pool *node_pool(struct node *n)
{
    return n->pool;
}

struct waiting *node_waiting(struct node *n)
{
    return n->waiting;
}

struct watch *node_watch(struct node *n)
{
    return n->watch;
}

unsigned node_databases(const struct node *n)
{
    return n->databases;
}

bool node_is_cluster(const struct node *n)
{
    return n->cluster;
}

int node_port(const struct node *n)
{
    return n->port;
}

int node_tls_port(const struct node *n)
{
    return n->tls_port;
}

const char *node_dir(const struct node *n)
{
    return n->dir;
}

const char *node_config_file(const struct node *n)
{
    return n->config_file;
}

const char *node_run_id(const struct node *n)
{
    return n->run_id;
}

msec_t node_started_ms(const struct node *n)
{
    return n->started_ms;
}

size_t node_workers(const struct node *n)
{
    return n->workers;
}

msec_t node_now(const struct node *n)
{
    (void)n;
    return clock_ms(CLOCK_REALTIME);
}

bool node_is_replica(const struct node *n)
{
    return atomic_load_explicit(&n->replica, memory_order_relaxed);
}

void node_set_replica(struct node *n, bool replica)
{
    atomic_store(&n->replica, replica);
}

/* ---- Hooks ---- */

void node_set_route(struct node *n, node_gate *route, void *context)
{
    n->route = route;
    n->route_context = context;
}

void node_set_exec_guard(struct node *n, node_exec_guard *guard, void *context)
{
    n->exec_guard = guard;
    n->exec_guard_context = context;
}

void node_set_permit(struct node *n, node_gate *permit, void *context)
{
    n->permit = permit;
    n->permit_context = context;
}

void node_add_admit(struct node *n, node_gate *admit, void *context)
{
    check(n->admits < NODE_HOOKS_MAX);
    n->admit[n->admits++] = (struct node_admit_hook){admit, context};
}

void node_set_authentication(struct node *n, node_authenticate *authenticate, node_default_user *default_user,
                             void *context)
{
    n->authenticate = authenticate;
    n->default_user = default_user;
    n->authentication_context = context;
}

void node_add_session_end(struct node *n, node_session_end *end, void *context)
{
    check(n->session_ends < NODE_HOOKS_MAX);
    n->session_end[n->session_ends++] = (struct node_end_hook){end, context};
}

void node_set_observe(struct node *n, node_observe *observe, void *context)
{
    n->observe = observe;
    n->observe_context = context;
}

void node_observe_from(struct node *n, int64_t duration_us)
{
    atomic_store(&n->observe_from_us, duration_us);
}

void node_add_tick(struct node *n, node_tick *tick, void *context)
{
    check(n->ticks < NODE_HOOKS_MAX);
    n->tick[n->ticks++] = (struct node_tick_hook){tick, context};
}

enum err node_tls_client(struct node *n, struct tls_context **out)
{
    struct options o;
    enum err e;

    options_from(&o, n->config);
    e = tls_context_new(&o.tls, out);
    options_fini(&o);
    return e;
}

void node_tls_replace(struct node *n, struct tls_context *take_tls)
{
    tls_context_free(atomic_exchange(&n->tls_next, take_tls)); /* one that was never taken up */
}

/* ---- Durability ---- */

enum err node_await(struct node *n, lsn_t lsn)
{
    return wal_fsync_policy(n->wal) == WAL_FSYNC_ALWAYS ? wal_sync_to(n->wal, lsn) : wal_write_to(n->wal, lsn);
}

void call_wait_for(struct call *c, lsn_t lsn)
{
    if (lsn > c->wait_for)
        c->wait_for = lsn;
}

/* ---- Shutdown ---- */

void node_shutdown(struct node *n, unsigned how)
{
    atomic_store(&n->shutdown, SHUTDOWN_ASKED | how);
    if (n->wake != NULL)
        uv_async_send(n->wake);
}

bool node_shutdown_abort(struct node *n)
{
    return atomic_exchange(&n->shutdown, 0) != 0;
}

bool node_is_stopping(const struct node *n)
{
    return atomic_load(&n->shutdown) != 0;
}
