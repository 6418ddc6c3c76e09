/*
 * cluster.h - the cluster core: events in, an ordered list of actions out. No sockets, clock, threads or files.
 *
 *     struct cluster_actions todo = cluster_step(core, &event, now);
 *     for (i = 0; i < todo.count; i++) obey(&todo.list[i]);        in order, always
 *
 * The order of actions is the contract: a CLUSTER_PERSIST with `sync` set must be durable before any action behind it
 * is obeyed, and before a command's reply leaves. A driver that cannot make it durable must stop the process.
 *
 * Links are numbers. The core picks the ids of outbound links (CLUSTER_CONNECT); the driver picks those of inbound ones
 * and sets CLUSTER_LINK_INBOUND in them. An id is never used twice. After CLUSTER_CLOSE or CLUSTER_EVENT_LINK_DOWN
 * neither side speaks of the link again; an event for a link that the core does not know is ignored.
 *
 * Threads: none here. The driver holds one lock around cluster_step and around everything that reads the core
 * (report.h); workers route by a published struct cluster_map (routing.h) and take no lock.
 *
 * Time: `now` is unix time in milliseconds and should not jump: take the wall clock at start and advance it by the
 * monotonic one. A `now` before the last one counts as the last one.
 */
#ifndef CAIRN_CLUSTER_CLUSTER_H
#define CAIRN_CLUSTER_CLUSTER_H

#include "base/err.h"
#include "base/slice.h"
#include "base/types.h"

enum {
    CLUSTER_ID_SIZE = 40,       /* a node id: lower-case hex, on the wire without terminator */
    CLUSTER_IP_SIZE = 46,       /* a numeric address with its terminator, as on the wire */
    CLUSTER_NAME_SIZE = 256,    /* host name, node name, with terminator */
    CLUSTER_TICK_MS = 100,      /* the driver's timer */
    CLUSTER_PORT_INCREMENT = 10000,
    CLUSTER_MESSAGE_MAX = 512 * 1024 * 1024 + 4096, /* the longest bus message that is accepted, bytes */
};

typedef uint64_t link_t;
#define CLUSTER_LINK_NONE ((link_t)0)
#define CLUSTER_LINK_INBOUND ((link_t)1 << 63)

struct buf;
struct cluster; /* opaque; one per process, hundreds in the simulator */

/* ---- Configuration -------------------------------------------------------------------------------------------- */

enum cluster_endpoint { CLUSTER_ENDPOINT_IP, CLUSTER_ENDPOINT_HOSTNAME, CLUSTER_ENDPOINT_UNKNOWN };

/* The cluster-* directives, named as in redis.conf. cluster_config_default fills in Redis' defaults. */
struct cluster_config {
    uint16_t port;     /* what clients connect to in plain text; 0: none */
    uint16_t tls_port; /* 0: none */
    uint16_t bus_port; /* where the bus listens; 0: base port + 10000 */
    bool tls_cluster;  /* the base port of the bus and of gossip is the TLS port */
    bool tls_replication; /* replicas connect to their master's TLS port */
    char announce_ip[CLUSTER_IP_SIZE]; /* "": learnt from peers */
    uint16_t announce_port, announce_tls_port, announce_bus_port; /* 0: the listening one */
    char announce_hostname[CLUSTER_NAME_SIZE];
    char announce_human_nodename[CLUSTER_NAME_SIZE];
    enum cluster_endpoint preferred_endpoint;
    msec_t node_timeout_ms;       /* 15000 */
    int replica_validity_factor;  /* 10 */
    int migration_barrier;        /* 1 */
    bool allow_replica_migration; /* yes */
    bool require_full_coverage;   /* yes */
    bool replica_no_failover;     /* no */
    bool lazy_setslot;            /* no: SETSLOT is durable before its reply; yes: before anything is sent (command.c) */
    bool allow_reads_when_down;   /* no */
    bool allow_pubsubshard_when_down; /* yes */
    msec_t repl_ping_period_ms;   /* repl-ping-replica-period: 10000; counts in the validity of a replica's data */
};

void cluster_config_default(struct cluster_config *config);

/* Of a node's two ports (0: none, or not known), the one to tell a client that speaks TLS or does not. */
static inline uint16_t cluster_client_port(bool tls, uint16_t port, uint16_t tls_port)
{
    return (tls && tls_port != 0) || port == 0 ? tls_port : port;
}

/* How the core asks about data. The answers may be a moment old; they are used for refusals and for SLOT_LOST only. */
struct cluster_keys {
    uint64_t (*count)(void *context, slot_t slot); /* keys in the slot; NULL: no keys anywhere */
    void *context;
};

struct cluster_options {
    uint64_t seed;              /* of all chance inside: ids, gossip draws; must differ between nodes */
    struct slice nodes_conf;    /* what was last persisted; empty at the first start; read during cluster_new only */
    struct cluster_config config;
    struct cluster_keys keys;
    bool replication; /* the driver obeys REPLICATE, PROMOTE, PAUSE, OFFSET_WANTED; false: this node stays a master */
    unsigned planted_bugs; /* CLUSTER_BUG_*: only for the simulator's own test */
};

/* Faults that the simulator must find (tests/sim). Never set elsewhere. */
enum {
    CLUSTER_BUG_VOTE_NOT_PERSISTED = 1,  /* nodes.conf does not tell of the vote */
    CLUSTER_BUG_OLD_CLAIM_WINS = 2,      /* a claim with an older epoch takes a slot */
    CLUSTER_BUG_NO_COLLISION_RULE = 4,   /* two masters keep one epoch */
    CLUSTER_BUG_EPOCH_NOT_PERSISTED = 8, /* a new config epoch leaves before it is durable */
    CLUSTER_BUG_VOTE_TWICE = 16,         /* a voter votes as often as it is asked */
    CLUSTER_BUG_HALF_FULL_ELECTED = 32,  /* a replica whose data is not whole becomes a master */
    CLUSTER_BUG_NO_LEASE = 64,           /* a master that nobody hears goes on accepting writes */
    CLUSTER_BUG_EARLY_OFFSET = 128,      /* a master names its offset before its writes are held */
    CLUSTER_BUG_HISTORY_REUSED = 256,    /* the simulator's driver: a new master goes on in the old history */
    CLUSTER_BUG_MINORITY_WINS = 512,     /* one vote is enough */
    CLUSTER_BUG_CLAIM_OF_OTHERS = 1024,   /* the target of an atomic migration claims whatever the source has lost meanwhile */
    CLUSTER_BUG_CLAIM_CUT_OFF = 2048,     /* it claims although no majority hears it */
    CLUSTER_BUG_TAKE_BACK_CUT_OFF = 4096, /* the source takes slots back although no majority hears it */
    CLUSTER_BUG_ARRIVAL_NOT_MARKED = 8192,   /* keys arrive without the mark in nodes.conf */
    CLUSTER_BUG_ARRIVAL_PROMOTED = 16384,    /* a promoted replica keeps what was arriving */
    CLUSTER_BUG_QUERY_DOES_NOT_BIND = 32768, /* the simulator's driver: a claim after the answer "not claimed" */
    CLUSTER_BUG_WRITES_GO_ON = 65536,        /* the simulator's driver: the source takes writes again before it knows who owns the slots */
    CLUSTER_BUG_DROP_EARLY = 131072,         /* the simulator's driver: the source drops the keys when FINISH has left */
    CLUSTER_BUG_BALLOTS_KEPT_BACK = 262144,  /* a vote does not name the masters whose votes must not count beside it */
    CLUSTER_BUG_CLAIM_NOT_HEARD = 524288,    /* the target serves what it claims before a majority has heard of it */
    CLUSTER_REDIS_SCHEDULE = 1 << 30,    /* no fault: pings, reports and elections at the times of Redis 7, to compare */
};

/* ERR_CORRUPT with text if nodes_conf does not parse. At the first start a random id is made. */
enum err cluster_new(const struct cluster_options *options, struct cluster **out) WARN_UNUSED;
void cluster_free(struct cluster *c);

/* ---- Events --------------------------------------------------------------------------------------------------- */

enum cluster_event_type {
    CLUSTER_EVENT_START,         /* once, first: checks the data against the slots, persists a new node's id */
    CLUSTER_EVENT_TICK,          /* every CLUSTER_TICK_MS */
    CLUSTER_EVENT_LINK_UP,       /* link: a CLUSTER_CONNECT succeeded */
    CLUSTER_EVENT_LINK_FAILED,   /* link: a CLUSTER_CONNECT failed */
    CLUSTER_EVENT_LINK_ACCEPTED, /* link, local_ip, peer_ip: a peer connected to the bus port */
    CLUSTER_EVENT_LINK_DOWN,     /* link, overflow: closed by the peer, by an I/O error or by the send buffer's limit */
    CLUSTER_EVENT_MESSAGE,       /* link, bytes: one whole message as cut by cluster_frame */
    CLUSTER_EVENT_COMMAND,       /* command: the reply is in struct cluster_actions */
    CLUSTER_EVENT_PUBLISH,       /* channel, bytes, sharded: tell the other nodes (local delivery is the caller's) */
    CLUSTER_EVENT_CONFIG,        /* config: CONFIG SET of a cluster-* directive */
    CLUSTER_EVENT_REPLICATION,   /* replication: where this node's data stands; see struct cluster_replication */
    CLUSTER_EVENT_DROPPED,       /* slots: the keys of a CLUSTER_SLOT_LOST are gone, durably */
    CLUSTER_EVENT_CLAIM,         /* slots taken over by an atomic migration: bump epoch, claim, persist, broadcast */
    CLUSTER_EVENT_RESERVE,       /* epoch_above: a CLAIM above it will be made (handover_reserved) */
    CLUSTER_EVENT_ARRIVING,      /* slots whose keys begin to arrive here by an atomic migration, or at this replica's master;
                                  * durable when the step ends. Until CLAIM they are another node's */
    CLUSTER_EVENT_ABANDONED,     /* slots that do not arrive after all: what came is dropped (SLOT_LOST) */
    CLUSTER_EVENT_DEPARTING,     /* slots of this node that FINISH of an atomic migration is about to offer: durable when the step ends. Who
                                  * claims them from now on has the keys, and those here are dropped */
    CLUSTER_EVENT_STAYING,       /* slots that were not claimed and will not be */
    CLUSTER_EVENT_INHERIT,       /* bytes: what a replica's master said of the slots that SETSLOT opened there (cluster_print_open) */
};

enum cluster_command_type {
    CLUSTER_CMD_MEET,
    CLUSTER_CMD_ADDSLOTS,
    CLUSTER_CMD_ADDSLOTSRANGE,
    CLUSTER_CMD_DELSLOTS,
    CLUSTER_CMD_DELSLOTSRANGE,
    CLUSTER_CMD_FLUSHSLOTS,
    CLUSTER_CMD_SETSLOT,
    CLUSTER_CMD_FORGET,
    CLUSTER_CMD_RESET,
    CLUSTER_CMD_SET_CONFIG_EPOCH,
    CLUSTER_CMD_BUMPEPOCH,
    CLUSTER_CMD_SAVECONFIG,
    CLUSTER_CMD_COUNT_FAILURE_REPORTS,
    CLUSTER_CMD_REPLICATE,
    CLUSTER_CMD_FAILOVER,
};

/* The words behind `CLUSTER <subcommand>`, parsed and checked by the core so that the error texts stand once. */
struct cluster_command {
    enum cluster_command_type type;
    size_t argc;              /* words behind the subcommand */
    const struct slice *argv; /* borrowed during the step */
};

/*
 * Where this node's data stands: CLUSTER_EVENT_REPLICATION. Said before every TICK, at once when `whole` or `link_up`
 * changes, when a pause has come into force (`paused`), and when an offset that was wanted (CLUSTER_OFFSET_WANTED) is
 * reached. It may be said at any time; what is said about another master than the present one is ignored, so a late
 * report does no harm. After START and after every REPLICATE this node counts as not whole until it is told otherwise.
 *
 * Offsets are those of PSYNC and REPLCONF ACK, because peers compare them.
 */
struct cluster_replication {
    const char *master; /* id of the node that is replicated; NULL: this node is a master */
    uint64_t offset;    /* a master's end of the stream; a replica's applied offset (what it would serve as a master) */
    bool whole;         /* replica: the data in place is a complete copy of this master's history up to `offset`. False
                         * is said before a full synchronisation changes the first byte of the data in place, and as long
                         * as that data is another history's; true when the new set is in place, durably.
                         * A node that is not whole is never elected, not even by FAILOVER TAKEOVER. */
    bool link_up;       /* replica: streaming from the master (not connecting, not receiving a snapshot) */
    msec_t age_ms;      /* replica: link up: since the last byte from the master; down: since it went down */
    bool paused;        /* master: the pause of CLUSTER_PAUSE is in force, no command that began before it still runs,
                         * and `offset` is the end: nothing is written before the pause ends */
};

struct cluster_event {
    enum cluster_event_type type;
    link_t link;
    struct slice bytes;   /* MESSAGE, PUBLISH, INHERIT */
    struct slice channel;
    bool sharded;
    bool overflow;        /* LINK_DOWN because of cluster-link-sendbuf-limit */
    const char *local_ip; /* LINK_ACCEPTED: the address the peer connected to, numeric; borrowed during the step */
    const char *peer_ip;  /* LINK_ACCEPTED: where the peer comes from, numeric */
    const struct cluster_command *command;
    const struct cluster_config *config;
    const slot_t *slots; /* CLAIM, DROPPED, ARRIVING, ABANDONED, DEPARTING, STAYING */
    size_t slot_count;
    uint64_t epoch_above; /* CLAIM, RESERVE: the source's config epoch; the claim gets a greater one */
    const struct cluster_replication *replication;
};

/* ---- Actions -------------------------------------------------------------------------------------------------- */

enum cluster_action_type {
    CLUSTER_CONNECT,   /* link, ip, port: connect; answer with LINK_UP or LINK_FAILED */
    CLUSTER_CLOSE,     /* link: flush nothing, close; no LINK_DOWN follows */
    CLUSTER_SEND,      /* link, bytes: one whole message; a connecting link is never written to */
    CLUSTER_PERSIST,   /* bytes: the new nodes.conf. sync: durable before anything behind it, and before the reply */
    CLUSTER_STATE,     /* ok: cluster_state changed; publish a new map; if !ok, blocked clients get CLUSTERDOWN */
    CLUSTER_MAP,       /* slot owners, addresses, roles or migration marks changed: publish a new cluster_map */
    CLUSTER_SLOT_LOST, /* slot: another node owns it now, and it had keys here: drop them, then say DROPPED. Until then
                        * nodes.conf remembers it, START says it again, and the slot may not come back here */
    CLUSTER_FLUSH_DATA, /* RESET of a replica: drop all keys */
    CLUSTER_DELIVER,   /* channel, bytes, sharded: a PUBLISH from another node for this node's subscribers */
    /*
     * Roles; only with options.replication. START says one of the two, and so does every change.
     * REPLICATE: node, text (ip), port: be a replica of that node. Said again when its address changes: reconnect. A node
     *   that was a master stops writing first: MAP stands in front, and commands that were routed by the old map must be
     *   over before the data of the new master is touched. Its (history, offset) is what PSYNC offers; it may be refused.
     * PROMOTE: be a master: stop replicating, keep the data as applied. If the data's history was made by another node,
     *   go on in a new history that forks at the applied offset, durable before the next action (MAP lets writes in). At
     *   START of a node that was a master before, there is nothing to do.
     */
    CLUSTER_REPLICATE,
    CLUSTER_PROMOTE,
    CLUSTER_PAUSE,         /* until_ms: a manual failover: hold client writes, expiry too; say REPLICATION with `paused`
                            * as soon as it is in force. 0: go on */
    CLUSTER_OFFSET_WANTED, /* offset: say REPLICATION as soon as the applied offset is there (manual failover) */
    CLUSTER_LOG,       /* level (enum log_level), text: an event for the log */
};

struct cluster_action {
    enum cluster_action_type type;
    link_t link;
    struct slice bytes;   /* borrowed until the next step; of DELIVER: from the event's bytes */
    struct slice channel; /* likewise */
    const char *text;     /* CONNECT, REPLICATE: ip; LOG: the line. Borrowed until the next step */
    char node[CLUSTER_ID_SIZE + 1];
    uint16_t port;
    slot_t slot;
    bool sync;
    bool ok;
    bool sharded;
    int level;
    msec_t until_ms;
    uint64_t offset;
};

enum cluster_reply_type {
    CLUSTER_REPLY_NONE,
    CLUSTER_REPLY_OK,
    CLUSTER_REPLY_STATUS,
    CLUSTER_REPLY_INTEGER,
    CLUSTER_REPLY_ERROR,
};

/* The answer to a COMMAND event. It leaves after all actions of the step are obeyed. */
struct cluster_reply {
    enum cluster_reply_type type;
    int64_t integer;
    const char *text; /* STATUS, and ERROR with its code: "ERR Unknown node ..."; borrowed until the next step */
};

struct cluster_actions {
    const struct cluster_action *list; /* borrowed until the next step */
    size_t count;
    struct cluster_reply reply;
};

struct cluster_actions cluster_step(struct cluster *c, const struct cluster_event *event, msec_t now);

/* ---- For the driver ------------------------------------------------------------------------------------------- */

/*
 * Looks at the bytes read from a link: OK and the size of the first whole message; ERR_AGAIN if more bytes are needed;
 * ERR_PROTOCOL if the link must be closed (bad signature or length).
 */
enum err cluster_frame(struct slice bytes, size_t *size) WARN_UNUSED;

/* This node's id, 40 characters and a terminator; borrowed, changes with RESET HARD only. */
const char *cluster_my_id(const struct cluster *c);

/* cluster_state as last announced by CLUSTER_STATE; false until the start-up delay has passed. */
bool cluster_is_ok(const struct cluster *c);

/*
 * Until when (on the core's clock) this node may accept writes, should it hear nothing more: see state.c. INT64_MAX if there
 * is no such limit. The core says `fail` by itself at the next tick; a driver that may be late asks this after every tick
 * and compares it with the clock at every write, so that a process that was stopped accepts nothing when it goes on.
 */
msec_t cluster_writes_until(const struct cluster *c);

/* Keys of an earlier ownership are still being dropped: nothing may be imported into the slot. */
bool cluster_slot_dropping(const struct cluster *c, slot_t slot);
/* Sets the bits of all slots that another shard owns and whose keys arrive here or are being dropped; false: there are none. */
bool cluster_slots_in_between(const struct cluster *c, uint8_t bits[SLOTS / 8]);

/* An atomic migration brings keys of the slot. */
bool cluster_slot_arriving(const struct cluster *c, slot_t slot);

/* The slot is this node's by a claim that no majority is known to have heard: no write to it yet (claim.h). */
bool cluster_slot_claimed(const struct cluster *c, slot_t slot);

/* Id and config epoch of the slot's owner; NULL: nobody. Borrowed until the next step. */
const char *cluster_slot_owner(const struct cluster *c, slot_t slot, uint64_t *epoch);

/* Appends the slots that SETSLOT opened at this master, for its replicas (CLUSTER_EVENT_INHERIT); false: it is none. */
bool cluster_print_open(const struct cluster *c, struct buf *out);

/* Whether SETSLOT has opened the slot: it moves key by key. */
bool cluster_slot_is_open(const struct cluster *c, slot_t slot);

/* The bus port to listen on, and the port that peers are told. */
uint16_t cluster_bus_port(const struct cluster_config *config);

#endif
