/*
 * net_priv.h - clients, connections and workers from inside.
 *
 * A connection belongs to one worker thread for good. Other threads reach it through its client: they post a message to
 * the worker's inbox. While a connection is AWAY, BLOCKED, its session belongs to a pool thread or to
 * server/run/waiting, and the worker does not touch it; the answer comes by the inbox.
 *
 *   READY --ERR_COLD, ERR_BUSY, slow--> AWAY ----.
 *   READY --call_block----------------> BLOCKED --+--> READY: goes on with the requests that were read meanwhile
 *   READY --CLIENT PAUSE--------------> HELD ----'
 */
#ifndef CAIRN_SERVER_NET_NET_PRIV_H
#define CAIRN_SERVER_NET_NET_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "server/net/clients.h"
#include "server/net/resp.h"
#include "server/run/execute.h"
#include "server/run/pool.h"
#include "server/run/waiting.h"

enum {
    INPUT_BYTES = 64 << 10,        /* one read of a connection that has nothing pending */
    BATCH_MAX = 64,                /* requests parsed before the first is executed, */
    BATCH_BYTES = 64 << 10,        /* unless they are large */
    OUTPUT_PAUSE_BYTES = 1 << 20,  /* beyond it a connection's further requests wait until the client reads */
    OUTPUT_KEEP_BYTES = 16 << 10,  /* larger output buffers are given back when empty */
    SPARE_BUFFERS = 64,
    SPARE_BYTES_MAX = 2 << 20, /* of a worker's empty output buffers: large ones too, for growing one anew costs page faults */
    LOG_PENDING_BYTES = 16 << 20,  /* a long turn hands its log bytes over from time to time */
    SLICE_NS = 2000000,            /* behind it a connection's further requests wait for the other connections' */
};

#define LOAD(field) atomic_load_explicit(&(field), memory_order_relaxed)
#define STORE(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)

struct client {
    /* Set once */
    struct clients *registry;
    struct worker *worker;
    uint64_t id;
    char address[64], local_address[64];
    int fd;
    msec_t created_ms;

    atomic_int references;
    atomic_bool open;
    struct conn *conn; /* Worker only; NULL when closed */

    /* Written by the session's thread, read by anybody; relaxed */
    _Atomic(const struct command *) command;
    _Atomic msec_t active_ms;
    atomic_uint flags, kind, db, protocol, subscriptions, patterns, shard_subscriptions, watched;
    atomic_int multi; /* queued commands; -1: no MULTI */
    _Atomic uint64_t query_bytes, query_free, multi_bytes, output_bytes, received, sent, commands;
    _Atomic uint64_t inbox_bytes; /* pushed, not yet in the output buffer */

    /* Under the registry's lock */
    char *texts[4]; /* enum client_text; NULL: empty */
    struct client *previous, *next;
    bool listed;
};

struct clients {
    pthread_mutex_t lock; /* guards what is not atomic */
    struct client *first, *last;
    struct client_limits limits;
    atomic_uint limits_version;
    uint64_t next_id;
    _Atomic msec_t pause_write_until, pause_all_until; /* unix ms; 0: not. The first: the later of the two below */
    msec_t asked_write_until, hold_write_until;        /* under lock: CLIENT PAUSE; a change of roles */
    struct worker **workers; /* Set once the workers run */
    size_t worker_count;
    atomic_size_t count, blocked, blocked_timed, monitor_count, tracking;
    struct client **monitors; /* references */
    size_t monitor_capacity;
    _Atomic uint64_t accepted, rejected, reads, writes, received, sent, output_limit_closes, query_limit_closes, evicted;
    _Atomic uint64_t base_accepted, base_rejected, base_reads, base_writes, base_received, base_sent,
        base_evicted;
};

/* The accepted socket is registered; a reference for the connection. */
struct client *client_new(struct clients *c, struct worker *w, int fd, const char *address, const char *local_address,
                          msec_t now_ms);
void client_gone(struct client *client); /* the connection has ended: off the list */
uint64_t client_memory(const struct client *c); /* bytes of its structs and buffers */

enum message_kind {
    MESSAGE_SOCKET,    /* fd, flags, tls */
    MESSAGE_PUSH,      /* client, bytes */
    MESSAGE_CLOSE,     /* client */
    MESSAGE_UNBLOCK,   /* client, how */
    MESSAGE_DELIVER,   /* client, bytes: waiting is over, the session is the worker's again */
    MESSAGE_AWAY_DONE, /* client: the pool thread is done */
    MESSAGE_UNPAUSE,
    MESSAGE_STOP,
};

struct message {
    struct message *next;
    enum message_kind kind;
    struct client *client; /* a reference */
    int fd, number;
    struct buf bytes;      /* owned */
    void *tls;
};

struct conn {
    struct worker *worker;
    struct client *client; /* a reference */
    struct conn *previous, *next;
    int fd, events;
    uv_poll_t poll;
    uv_timer_t timer; /* of a blocking command */
    unsigned handles; /* of libuv, open */
    void *tls;        /* SSL */
    bool tls_wants_write, tls_wants_read;
    enum conn_state { CONN_READY, CONN_AWAY, CONN_BLOCKED, CONN_HELD } state;
    struct session session;
    struct resp_parser parser;
    struct buf query; /* what was read and not executed */
    size_t query_at;
    /* A request under way (AWAY) or put off (HELD): its words point into query. */
    struct slice *argv;
    size_t argc, argv_capacity, request_used;
    struct slice raw;
    struct buf out;
    size_t out_at;
    bool to_flush;
    bool later;   /* its slice of the turn was over: goes on in the next one */
    bool choked;  /* enough output waits: no further request until the client reads */
    bool closing; /* after the output is written */
    bool dead;    /* the socket is closed; waits for its handles, or for its session to come back */
    bool timed; /* the timer runs for a blocked command */
    bool delivered_early; /* the wait was over before the pool thread said that it had begun */
    struct conn *next_flush, *next_later;
    msec_t soft_since_ms;
    /* AWAY */
    struct pool_job job;
    struct message away_done; /* posted by the pool thread; never freed by itself */
    bool sent_more;           /* it did not wait for its reply: stop reading until it comes */
    struct buf job_reply;
    enum executed job_result;
    msec_t job_block_ms;
};

struct worker {
    struct node *node; /* Set once */
    struct clients *clients;
    size_t index;
    pthread_t thread;
    uv_async_t wake;

    /* Worker only */
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t cron;
    uv_idle_t idle; /* active while there is somebody in `later` */
    struct executor x;
    struct conn *conns, *flush, *later;
    size_t conn_count, away_count;
    bool fresh;    /* the time was read in this turn */
    uint64_t turn_began_ns;
    bool stopping;
    struct client_limits limits;
    unsigned limits_version;
    uint8_t *input; /* INPUT_BYTES */
    struct resp_words words;
    struct resp_request requests[BATCH_MAX];
    struct plan plans[BATCH_MAX];
    struct buf spare[SPARE_BUFFERS];
    size_t spare_bytes; /* their capacities */
    size_t spares;
    size_t held_count;

    /* Written by the worker, read by anybody; relaxed */
    _Atomic uint64_t turns, turns_ns, user_us, system_us; /* the thread's processor time, now and then */

    pthread_mutex_t inbox_lock; /* guards the inbox; a leaf */
    struct message *inbox, **inbox_tail;
};

/* ---- worker (loop.c) ---- */
void worker_post(struct worker *w, struct message *m); /* takes m; any thread */
struct message *message_new(enum message_kind kind, struct client *client_or_null); /* takes a reference of its own */
void worker_fresh(struct worker *w);                   /* reads the clock once a turn */
void worker_flush_later(struct worker *w, struct conn *c);
void worker_flush_forget(struct worker *w, struct conn *c); /* it must be on the list */
void worker_go_on_later(struct worker *w, struct conn *c);  /* conn_go_on, when the others have had their turn */
void worker_later_forget(struct worker *w, struct conn *c); /* it must be on the list */

/* ---- connections (conn.c and its parts: conn_priv.h); worker thread only ---- */
void conn_open(struct worker *w, int fd, unsigned flags, void *tls);
void conn_flush(struct conn *c);               /* writes what it can */
void conn_next_slice(struct conn *c);          /* goes on with what its last slice left */
void conn_append(struct conn *c, struct slice bytes); /* to the output, and flushes this turn */
void conn_close_soon(struct conn *c);          /* after what is in the output */
void conn_close(struct conn *c);               /* now */
void conn_away_done(struct conn *c);
void conn_delivered(struct conn *c, struct buf *reply);
void conn_unblock(struct conn *c, enum waiting_end how);
void conn_retry(struct conn *c);               /* HELD: the pause may be over */
void conn_cron(struct conn *c, msec_t now_ms); /* once a second */

#endif
