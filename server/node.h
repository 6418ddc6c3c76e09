/*
 * node.h - the composed server, as commands and the server's rooms see it.
 *
 * One struct node per process, made by main.c. Others keep a pointer to it and ask through the functions here; what
 * they add to command execution they add as hooks, set before node_run and constant afterwards.
 */
#ifndef CAIRN_SERVER_NODE_H
#define CAIRN_SERVER_NODE_H

#include "base/err.h"
#include "base/slice.h"
#include "base/types.h"

struct node;
struct set;
struct store;
struct wal;
struct journal;
struct config;
struct clients;
struct registry;
struct pool;
struct waiting;
struct watch;
struct stats;
struct cluster_service;
struct repl;
struct session;
struct command;
struct call;
struct txn;
struct reply;
struct tls_context;

/* ---- What the node is made of (all set before the first command runs, constant afterwards) ---- */

struct set *node_set(struct node *n);
struct store *node_store(struct node *n);
struct wal *node_wal(struct node *n);
const struct journal *node_journal(struct node *n);
struct config *node_config(struct node *n);       /* NULL when composed without one (tests) */
struct clients *node_clients(struct node *n);
const struct registry *node_registry(struct node *n);
struct stats *node_stats(struct node *n);
struct pool *node_pool(struct node *n);
struct waiting *node_waiting(struct node *n);     /* server/run/waiting.h: clients that wait for keys */
struct watch *node_watch(struct node *n);         /* slow log, latency events, rates: server/stat */

struct repl *node_replication(struct node *n);   /* server/drive/repl.h; NULL when composed without one (tests) */
struct cluster_service *node_cluster(struct node *n); /* server/drive; NULL: cluster-enabled no */

unsigned node_databases(const struct node *n);    /* logical databases; SELECT is bounded by it */
bool node_is_cluster(const struct node *n);       /* cluster-enabled yes */
int node_port(const struct node *n);              /* client port, TCP; 0: none */
int node_tls_port(const struct node *n);
const char *node_dir(const struct node *n);       /* data directory */
const char *node_config_file(const struct node *n); /* "" without one */
const char *node_run_id(const struct node *n);    /* 40 hex characters, new with every start */
msec_t node_started_ms(const struct node *n);
size_t node_workers(const struct node *n);

/* Unix time in ms. Inside a command prefer txn_now: it is frozen. */
msec_t node_now(const struct node *n);

/* ---- Hooks on command execution ---- */

/* A command about to run, or to be queued by MULTI. keys and slots are borrowed for the call. */
struct gate {
    struct session *session;
    const struct command *command;
    size_t argc;
    const struct slice *argv;
    const struct slice *keys;   /* in order of the words; shard channels count as keys */
    size_t key_count;
    const slot_t *slots;        /* ascending, no doubles */
    size_t slot_count;
    struct txn *txn;            /* not NULL: the slots are locked and keys may be looked up */
    struct reply *reply;
};

/* OK: go on. ERR_REPLIED: refused; the error was written by gate_refuse. ERR_COLD: with txn: needs the disk; without, for
 * what MULTI queues: ask again with the slots locked. */
typedef enum err node_gate(void *context, const struct gate *g);

/* Writes "-text" and returns ERR_REPLIED. text carries its code ("MOVED 1 h:p"). */
enum err gate_refuse(const struct gate *g, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Cluster routing (MOVED, ASK, TRYAGAIN, CLUSTERDOWN, CROSSSLOT). Called for every command with keys, with the slots
 * locked (so that an owner cannot change between the check and the execution), and without a txn when MULTI queues a
 * command and for commands that run without a transaction (MIGRATE, SPUBLISH).
 */
void node_set_route(struct node *n, node_gate *route, void *context);

/* Called around an EXEC with CLUSTER commands, with no slot locked: between the two nothing else may change the cluster's state. */
typedef void node_exec_guard(void *context, bool begin);
void node_set_exec_guard(struct node *n, node_exec_guard *guard, void *context);

/* Access control (NOPERM); NOAUTH was answered before. Called without locks, keys and slots not filled in. */
void node_set_permit(struct node *n, node_gate *permit, void *context);

/* The state of the server: READONLY, NOREPLICAS, MASTERDOWN, LOADING, OOM, MISCONF. Slots may be locked: it takes no
 * slot lock and looks up no key. keys and slots are not filled in. All that were added are asked, in that order. */
void node_add_admit(struct node *n, node_gate *admit, void *context);

/* AUTH: OK has set the session's user; ERR_NOT_FOUND: wrong user or password. user.data NULL: AUTH <password>, which
 * may also answer ERR_INVALID with a text (no password is configured). */
typedef enum err node_authenticate(void *context, struct session *s, struct slice user, struct slice password);
/* For a new session and for RESET: gives it the default user, and says whether that one needs no password. */
typedef bool node_default_user(void *context, struct session *s);
void node_set_authentication(struct node *n, node_authenticate *authenticate, node_default_user *default_user,
                             void *context);

/* Called when a session ends and by RESET: drop what the room keeps for it (subscriptions, tracking, user ...). */
typedef void node_session_end(void *context, struct session *s);
void node_add_session_end(struct node *n, node_session_end *end, void *context);

/* After every command that took at least node_observe_from() microseconds (slow log, latency monitor). */
typedef void node_observe(void *context, struct session *s, const struct command *command, const struct slice *argv,
                          size_t argc, uint64_t duration_us);
void node_set_observe(struct node *n, node_observe *observe, void *context);
void node_observe_from(struct node *n, int64_t duration_us); /* negative: never; any thread */

/* Whether this node is a replica now: set by whoever changes the role (replication, cluster). Any thread. */
bool node_is_replica(const struct node *n);
void node_set_replica(struct node *n, bool replica);

/* About ten times a second on the main thread, without locks: sampling, background decisions. */
typedef void node_tick(void *context, msec_t now_ms);
void node_add_tick(struct node *n, node_tick *tick, void *context);

/* ---- Life ---- */

/* Recovery runs: how far it is, in bytes of the log. False: it is over. Any thread. */
struct node_loading {
    msec_t since_ms;
    uint64_t total, done;
};
bool node_loading(const struct node *n, struct node_loading *out); /* out may be NULL */

/* What the start took over from Redis (server/import.h): keys of an RDB part, and those left out because their time had passed. Not
 * while it loads. */
void node_imported(const struct node *n, uint64_t *keys, uint64_t *expired);

enum shutdown_how { SHUTDOWN_DEFAULT = 0, SHUTDOWN_NOSAVE = 1, SHUTDOWN_SAVE = 2, SHUTDOWN_NOW = 4, SHUTDOWN_FORCE = 8 };

/* Asks the main thread for a clean stop: returns at once. Any thread. */
void node_shutdown(struct node *n, unsigned how);
/* False if no stop is under way. */
bool node_shutdown_abort(struct node *n);
bool node_is_stopping(const struct node *n);

/* New TLS connections use it from now on; taken. Any thread; only with a tls-port. */
void node_tls_replace(struct node *n, struct tls_context *take_tls);

/* What our own connections to other servers use, from the settings and files of now; the caller's. ERR_INVALID with a text. */
enum err node_tls_client(struct node *n, struct tls_context **out) WARN_UNUSED;

/* ---- Durability ---- */

/* Returns when a reply that depends on everything up to `lsn` may leave, as appendfsync says. */
enum err node_await(struct node *n, lsn_t lsn) WARN_UNUSED;

/* For commands flagged COMMAND_NO_TXN that changed something: the reply waits for this log position. */
void call_wait_for(struct call *c, lsn_t lsn);

#endif
