/*
 * clients.h - every connection, as other threads may see it and act on it: CLIENT LIST, KILL, PAUSE, MONITOR, pushes.
 *
 * Threads: every function may be called from any thread. The registry's lock is a leaf: nothing else is taken under
 * it, except a worker's inbox. What a client does all the time is in relaxed atomics written by its worker only; names
 * are under the registry's lock.
 */
#ifndef CAIRN_SERVER_NET_CLIENTS_H
#define CAIRN_SERVER_NET_CLIENTS_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/types.h"

struct clients;
struct client;
struct worker;
struct conn;
struct session;
struct command;

enum client_kind { CLIENT_NORMAL = 1, CLIENT_PUBSUB = 2, CLIENT_REPLICA = 4, CLIENT_PRIMARY = 8 };
enum client_flag {
    CLIENT_FLAG_MULTI = 1 << 0,
    CLIENT_FLAG_BLOCKED = 1 << 1,
    CLIENT_FLAG_MONITOR = 1 << 2,
    CLIENT_FLAG_PUBSUB = 1 << 3,
    CLIENT_FLAG_REPLICA = 1 << 4,
    CLIENT_FLAG_PRIMARY = 1 << 5,
    CLIENT_FLAG_CLOSING = 1 << 6,
    CLIENT_FLAG_READONLY = 1 << 7,
    CLIENT_FLAG_UNIX = 1 << 8,
    CLIENT_FLAG_TRACKING = 1 << 9,
    CLIENT_FLAG_NO_EVICT = 1 << 10,
    CLIENT_FLAG_NO_TOUCH = 1 << 11,
    CLIENT_FLAG_DIRTY = 1 << 12, /* a watched key changed, or queueing failed */
    CLIENT_FLAG_TLS = 1 << 13,
};

/* One line of CLIENT LIST. Strings are owned by the snapshot. */
struct client_snapshot {
    uint64_t id;
    char address[64], local_address[64]; /* ip:port, [v6]:port, path:0 */
    int fd;
    char *name, *library_name, *library_version, *user; /* never NULL */
    int64_t age_s, idle_s;
    unsigned flags; /* enum client_flag */
    enum client_kind kind;
    unsigned db, subscriptions, patterns, shard_subscriptions, watched;
    int multi;      /* queued commands; -1 outside MULTI */
    uint64_t query_bytes, query_free, multi_bytes, output_bytes, memory;
    uint64_t received, sent, commands;
    const char *command; /* "get", "config|get", or NULL */
    int protocol;
};
void client_snapshot_free(struct client_snapshot *s); /* its strings */

/* ---- Making it; limits ---- */

struct client_limits {
    uint64_t maxclients;
    uint64_t query_bytes_max;   /* client-query-buffer-limit */
    uint64_t bulk_bytes_max;    /* proto-max-bulk-len */
    uint64_t memory_bytes_max;  /* of all clients that may be evicted (maxmemory-clients); 0: no limit */
    int64_t timeout_s;          /* idle normal clients are closed; 0: never */
    int64_t keepalive_s;        /* of new connections; 0: off */
    bool protected_mode;
    struct client_output_limit { /* client-output-buffer-limit; 0: none */
        uint64_t hard_bytes, soft_bytes;
        int64_t soft_s;
    } output[3];                /* normal, replica, pub/sub */
};
struct client_limits client_limits_default(void);

struct clients *clients_new(const struct client_limits *limits);
void clients_free(struct clients *c); /* no client is left */

/* At any time (CONFIG SET); workers take it up in their next turn. */
void clients_limits_set(struct clients *c, const struct client_limits *limits);
struct client_limits clients_limits(struct clients *c);

/*
 * A connection that no worker serves: the replication link to the primary. It is listed like a client; CLIENT KILL shuts its
 * socket down. The owner calls client_link_end before it closes the socket.
 */
struct client *clients_link_add(struct clients *c, int fd, msec_t now_ms);
void client_link_note(struct client *c, uint64_t received, msec_t now_ms); /* bytes since the last note; one thread */
void client_link_end(struct client *take_c);

/* ---- Looking ---- */

size_t clients_count(struct clients *c);
typedef void clients_each(void *context, const struct client_snapshot *s);
/* In order of id; `each` is called without the registry's lock, on a snapshot taken under it. */
void clients_list(struct clients *c, clients_each *each, void *context);
/* ERR_NOT_FOUND: no such client. The caller frees the snapshot. */
enum err clients_look(struct clients *c, uint64_t id, struct client_snapshot *out) WARN_UNUSED;

uint64_t client_id(const struct client *c);
const char *client_address(const struct client *c);       /* constant */
const char *client_local_address(const struct client *c); /* constant */
bool client_is_local(const struct client *c);             /* over loopback or a unix socket */

/* Its last command, for CLIENT LIST. Its own thread only; one relaxed store. */
void client_note_command(struct client *c, const struct command *command);

/* ---- Names ---- */

enum client_text { CLIENT_NAME, CLIENT_LIBRARY_NAME, CLIENT_LIBRARY_VERSION, CLIENT_USER };
void client_set_text(struct client *c, enum client_text which, struct slice text);
void client_get_text(struct client *c, enum client_text which, struct buf *out); /* appends */

/* ---- Acting ---- */

/* maxmemory-clients: closes the largest clients until the others fit; replicas, primaries and those who said CLIENT NO-EVICT
 * neither count nor are closed. Returns how many were closed. */
size_t clients_evict(struct clients *c);

/* Which clients a kill is for; zero fields do not filter. */
struct client_filter {
    uint64_t id;
    const char *address, *local_address, *user;
    unsigned kinds;     /* enum client_kind, or-ed */
    uint64_t not_id;    /* leave this one alone (SKIPME) */
    int64_t max_age_s;  /* only those at least this old */
};
/* Closes them soon, after what they were already told; returns how many. */
size_t clients_kill(struct clients *c, const struct client_filter *filter);

enum client_pause { CLIENT_PAUSE_NONE, CLIENT_PAUSE_WRITE, CLIENT_PAUSE_ALL };
/* Until then (unix ms) commands that may write, or all, wait. A longer pause in force stays; ALL wins over WRITE.
 * Returns when writes go on. */
msec_t clients_pause(struct clients *c, enum client_pause what, msec_t until_ms);
/* Ends what clients_pause asked for; returns how long writes still wait for a hold, 0: not. */
msec_t clients_unpause(struct clients *c);
/*
 * Writes wait for a change of roles, until then at most; 0: no more. CLIENT PAUSE and UNPAUSE go on beside it, and neither lifts
 * the other (as in Redis 7.2). Returns how long writes wait, for whatever reason.
 */
msec_t clients_hold_writes(struct clients *c, msec_t until_ms);
void clients_retry_held(struct clients *c); /* what held them back may be over */
enum client_pause clients_paused(struct clients *c, msec_t now_ms);

/* Sends bytes of their own (a push, a pub/sub message, a MONITOR line) behind what the client was told so far. */
void client_push(struct client *c, struct slice bytes);

/* What waits to be sent to it, bytes: pushed and not yet written to the socket. */
uint64_t client_output_bytes(const struct client *c);

/* Closes it soon, after what it was already told. */
void client_close(struct client *c);

/* What CLIENT LIST shows and output limits go by; called on the session's thread. */
void client_set_kind(struct client *c, enum client_kind kind);
void client_set_flag(struct client *c, enum client_flag flag, bool on);
void client_set_subscriptions(struct client *c, unsigned channels, unsigned patterns, unsigned shard_channels);

/* Holds the struct beyond the connection; pushes to a closed connection are dropped. */
struct client *client_ref(struct client *c);
void client_unref(struct client *c);
bool client_is_open(const struct client *c);

/* By id; a reference, or NULL. */
struct client *clients_find(struct clients *c, uint64_t id);

/* Ends a blocking command: with a timeout's reply, or with an error. False: the client was not blocked. */
bool clients_unblock(struct clients *c, uint64_t id, bool with_error);

/* What its parked command waits for may have come true (server/run/parked.h); in vain is fine. */
void client_look(struct client *c);

/* Ends all blocking commands: the node became a replica. */
void clients_unblock_all(struct clients *c);

/* ---- Figures (INFO clients, stats) ---- */

struct clients_figures {
    uint64_t connected, blocked, pubsub, monitors, replicas, maxclients, tracking;
    uint64_t accepted, rejected, reads, writes, received, sent; /* since the start */
    uint64_t memory_normal, memory_replicas, output_longest, input_largest;
    uint64_t output_limit_closes, query_limit_closes, evicted;
    uint64_t blocked_timed;      /* of the blocked: those with a time limit */
    uint64_t turns, turns_ns, user_us, system_us; /* of the workers' loops and threads */
};
void clients_figures(struct clients *c, struct clients_figures *out);
void clients_figures_reset(struct clients *c); /* CONFIG RESETSTAT: the counters */

#endif
