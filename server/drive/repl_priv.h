/*
 * repl_priv.h - replication from inside: the state that its files share.
 *
 *   repl.c         opening, settings, gates, reports     repl_link.c    the connection to the primary
 *   repl_role.c    becoming replica and primary          repl_stream.c  the primary's stream, applied
 *   repl_serve.c   PSYNC, REPLCONF, the list             repl_load.c    a whole copy, received
 *   repl_feed.c    the log to the replicas               repl_copy.c    a whole copy, sent as an RDB file
 *   repl_wait.c    WAIT, WAITAOF                         repl_lost.c    writes that a copy would lose, saved
 *   repl_info.c    INFO                          repl_lanes.c   ... by several threads; repl_apply.c: one command
 *   repl_ship.c    a whole copy, sent as files           repl_receive.c ... and received
 *   repl_held.c    the checkpoints that these files are  repl_recall.c  ... what a restart still has
 */
#ifndef CAIRN_SERVER_DRIVE_REPL_PRIV_H
#define CAIRN_SERVER_DRIVE_REPL_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "persistence/history.h"
#include "persistence/lost_writes.h"
#include "persistence/wal.h"
#include "server/drive/copy_frame.h"
#include "server/drive/repl.h"
#include "server/drive/repl_text.h"
#include "server/node.h"

struct client;
struct wal_reader;
struct ack_wait;
struct repl_wire;
struct ship;
struct receive;

enum {
    REPL_HOST_MAX = 256,
    REPL_IP_MAX = 64,
    REPL_ERROR_MAX = 200,
    REPL_FEED_PENDING_MAX = 1 << 20,  /* a replica that has this much unsent gets no more: the rest waits on disk */
    REPL_FEED_CHUNK = 256 << 10,
    REPL_COPY_PENDING_MAX = 4 << 20,
    REPL_COPY_GROUP_MAX = 32,         /* replicas that share one snapshot */
};

/* What a replica is at, as INFO names it. */
enum replica_state { REPLICA_WAITS, REPLICA_COPIES, REPLICA_ONLINE };

/* A connection that said REPLCONF, PSYNC or SYNC: session->replica. Owned by the list; the session lets it go. */
struct replica {
    struct replica *next;
    struct client *client; /* a reference */
    /* Under the list's lock */
    int port;              /* REPLCONF listening-port */
    char ip[REPL_IP_MAX];  /* REPLCONF ip-address; "" */
    bool capa_eof, capa_psync2, rdb_only, no_acks;
    bool no_keys;          /* REPLCONF rdb-filter-only: of a copy it wants functions at most, and there are none */
    bool listed;           /* PSYNC was accepted */
    bool gone;             /* the connection has ended: the feed thread frees it */
    bool in_copy;          /* repl_copy.c or repl_ship.c works for it */
    bool capa_files;       /* it takes files: copy_frame.h */
    bool no_files;         /* but cannot have them now */
    struct copy_place place; /* of an unfinished copy that it has */
    bool wants_ack;        /* a copy was sent, the stream begins with its first ACK */
    enum replica_state state;
    lsn_t acked, fsynced;
    msec_t acked_ms;
    /* Feed thread only, once ONLINE */
    lsn_t from;            /* set before it becomes ONLINE: what it has */
    struct wal_reader *reader;
    lsn_t sent;
};

/* The settings, read again when they change. */
struct repl_settings {
    _Atomic int64_t timeout_ms, ping_ms, min_replicas, max_lag_ms, priority, copies_max, copy_hold_ms, apply_threads;
    atomic_bool serve_stale, announced, copy_files;
};

struct repl {
    struct node *node; /* Set once */
    struct wal *wal;
    struct repl_settings settings;
    bool started;
    size_t cores_lanes; /* repl-apply-threads 0 */

    /* The role: who changes it, and who appends PING or GETACK, holds role_lock */
    pthread_mutex_t role_lock;
    char primary_id[HISTORY_ID_BYTES + 1]; /* of the cluster node; "" */

    /* Under link_lock; short */
    pthread_mutex_t link_lock;
    pthread_cond_t link_changed;
    char host[REPL_HOST_MAX]; /* "" : primary */
    int port;
    unsigned generation;      /* of host and port: a link of another one ends */
    bool link_busy;           /* the link thread is between connecting and its end */
    int link_fd;              /* -1; to shut it down */
    bool stopping;
    msec_t down_since_ms, last_io_ms;
    bool failover_psync;      /* the next PSYNC says FAILOVER */
    char link_error[REPL_ERROR_MAX]; /* why the last link ended; one line */
    unsigned copies_unfit;    /* the link thread's: copies in a row that hold what is not taken here */
    struct lost_writes_sum lost;
    pthread_t link_thread;
    bool link_running;

    struct {
        bool told;            /* it is news */
        struct buf text;
    } marks[REPL_MARKS];      /* what the primary said last */

    /* Any thread */
    _Atomic int link_state;   /* enum repl_link_state */
    atomic_bool whole;        /* the data is a complete copy of the primary's history */
    _Atomic uint64_t copy_bytes;   /* received of the copy under way */
    _Atomic int64_t copy_total;    /* -1 unknown */
    _Atomic uint64_t input_bytes, output_bytes;
    _Atomic uint64_t sync_full, sync_partial_ok, sync_partial_err;
    _Atomic lsn_t wanted;     /* repl_want_offset; 0: nothing */
    _Atomic uint64_t waves, wave_commands; /* applied by lanes */
    _Atomic uint64_t not_applied; /* commands of the stream that this node does not know or refuses */

    /* Replicas, under list_lock */
    pthread_mutex_t list_lock;
    struct replica *replicas; /* listed ones */
    struct replica *strays;   /* REPLCONF was said, PSYNC not yet */
    struct ack_wait *waits;   /* repl_wait.c: clients in WAIT and WAITAOF */
    msec_t pinged_ms;
    msec_t kept_alive_ms;

    /* The feed thread */
    pthread_t feed_thread;
    int feed_wake;            /* eventfd */
    atomic_bool feed_sleeps;
    atomic_bool getack_wanted; /* somebody waits for ACKs: the next round asks for them */
    atomic_size_t listed;     /* how many in replicas */
    atomic_size_t good;       /* online, and acknowledged lately */

    /* The copy thread */
    pthread_t copy_thread;
    pthread_cond_t copy_wanted; /* with list_lock */
    struct ship *ship;
    struct receive *receive;    /* the link thread's */

    /* FAILOVER; under role_lock */
    _Atomic int failover_state; /* enum repl_failover_state */
    char failover_host[REPL_HOST_MAX];
    int failover_port;          /* 0: any replica */
    bool failover_force;
    msec_t failover_deadline_ms; /* 0: none */
};

enum repl_failover_state { FAILOVER_NONE, FAILOVER_WAITS, FAILOVER_RUNS };

/* ---- repl_feed.c ---- */
void repl_feed_start(struct repl *r);
void repl_feed_stop(struct repl *r);
void repl_feed_close(struct repl *r);
void repl_feed_wake(struct repl *r);
/* Appends a PING or REPLCONF GETACK to the stream, unless this node follows another one or writes are paused. */
void repl_mark(struct repl *r, struct slice text);
/* About ten times a second: pings, timeouts, figures. */
void repl_feed_tick(struct repl *r, msec_t now_ms);

/* ---- repl_serve.c ---- */
void repl_session_end(void *repl, struct session *s);
/* Closes the connections of all replicas, so that they come again and hear of the present history. */
void repl_drop_replicas(struct repl *r);
/* Ip and port under which clients reach a replica. Under list_lock. */
void replica_address(const struct replica *p, char ip[REPL_IP_MAX], int *port);

/* ---- repl_wait.c ---- */
/* After an acknowledgement. Under list_lock. */
void repl_wait_look(struct repl *r);

/* ---- repl_lost.c ---- */
void repl_lost_open(struct repl *r);
/* On a fresh connection, before PSYNC. A primary that does not tell is no error. */
enum err repl_lost_ask(struct repl_wire *w, struct repl_peer_history *out) WARN_UNUSED;
/* Before a whole copy. An error: nothing may be thrown away. */
enum err repl_lost_save(struct repl *r, const struct repl_peer_history *primary) WARN_UNUSED;
void repl_lost_info(struct repl *r, struct buf *out);

/* ---- repl_copy.c ---- */
void repl_copy_start(struct repl *r);
void repl_copy_stop(struct repl *r);
bool repl_is_stopping(struct repl *r);
/* Waits until the replica has taken enough of what it was sent; one that takes nothing for repl-timeout is closed. */
void repl_wait_for_room(struct repl *r, struct client *client);
/* The database that is selected in the stream at a position; -1: none yet. */
int repl_selected_at(struct repl *r, lsn_t lsn);

/* ---- repl_link.c ---- */
void repl_link_start(struct repl *r);
void repl_link_stop(struct repl *r);
/* Forgets the address, ends the link and waits until its thread applies nothing any more. */
void repl_link_halt(struct repl *r);
/* True while generation is the one that is wanted. */
bool repl_link_wanted(struct repl *r, unsigned generation);

/* Bytes of the primary, by a socket with a timeout. */
struct repl_wire {
    struct repl *repl;
    unsigned generation;
    int fd;
    void *tls;         /* NULL: plain */
    struct tls_context *tls_context;
    struct buf in;     /* received, not taken yet, from in_at on */
    size_t in_at;
    msec_t idle_from_ms; /* when the last byte came */
};
/* Waits for at least one more byte. ERR_IO with text: closed, timed out, no longer wanted. */
enum err repl_wire_fill(struct repl_wire *w) WARN_UNUSED;
/* The same, at most until the time; ERR_AGAIN: nothing came. */
enum err repl_wire_fill_until(struct repl_wire *w, msec_t until_ms) WARN_UNUSED;
enum err repl_wire_send(struct repl_wire *w, struct slice bytes) WARN_UNUSED;
/* One line without its end, borrowed until the next fill. Longer than a page is ERR_PROTOCOL. */
enum err repl_wire_line(struct repl_wire *w, struct slice *line) WARN_UNUSED;

/* ---- repl_stream.c ---- */
/* Applies the stream until the link ends; returns why, with text. */
enum err repl_stream_run(struct repl_wire *w) WARN_UNUSED;

/* ---- repl.c ---- */
/* How many threads execute commands of the stream; 1: the link thread alone. */
size_t repl_apply_threads(struct repl *r);

/* ---- repl_load.c ---- */
/* Receives a whole copy that is replid's at lsn and puts it into the place of the data. *db: selected in the stream. */
enum err repl_load_run(struct repl_wire *w, const char *replid, lsn_t lsn) WARN_UNUSED;

/* ---- repl_role.c ---- */
/* Whether the log was following another node when the process ended. */
bool repl_role_saved(struct repl *r);
/* Under role_lock: the parts of a change of role without the link. */
enum err repl_role_follow(struct repl *r) WARN_UNUSED;
enum err repl_role_lead(struct repl *r) WARN_UNUSED;
void repl_failover_tick(struct repl *r, msec_t now_ms);
const char *repl_failover_name(const struct repl *r);
/* PSYNC ... FAILOVER of the primary: it hands over. ERR_REPLIED. */
enum err repl_take_over(struct repl *r, struct call *c, struct slice replid) WARN_UNUSED;

/* ---- repl_info.c ---- */
void repl_info(void *repl, struct buf *out);

#endif
