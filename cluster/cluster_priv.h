/*
 * cluster_priv.h - the core's own struct and what the files of this room share. Not for other rooms.
 */
#ifndef CAIRN_CLUSTER_CLUSTER_PRIV_H
#define CAIRN_CLUSTER_CLUSTER_PRIV_H

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/rng.h"
#include "cluster/cluster.h"

/* Epochs in a file or a message beyond these are damage: there must be room to go on counting. */
#define EPOCH_MAX (UINT64_MAX / 2)

enum {
    NODE_BUCKETS = 1024, /* power of two */
    LINK_BUCKETS = 256,
    SLOT_BYTES = SLOTS / 8,
    MESSAGE_TYPES = 11,
    BLACKLIST_TTL_MS = 60000,
    BLACKLIST_MAX = 1024,
    BALLOTS_MAX = 23,          /* as many as one vote can name */
    NODES_MAX = 16000,         /* routing indices are u16; gossip beyond this adds nobody */
    REPORT_LIFE_FACTOR = 2,    /* x node timeout: how long a failure report counts */
    FAIL_UNDO_FACTOR = 2,      /* x node timeout: a failed master with slots that nobody took comes back */
    VOTE_PAUSE_FACTOR = 2,     /* x node timeout: between two votes to replace the same master */
    STARTUP_DELAY_MS = 2000,   /* a master does not turn ok before */
    REJOIN_DELAY_MIN_MS = 500, /* clamp of the node timeout after a minority */
    REJOIN_DELAY_MAX_MS = 5000,
    HANDSHAKE_MIN_MS = 1000,
    MANUAL_FAILOVER_MS = 5000,
    MANUAL_PAUSE_MS = 10000,
    MANUAL_GRACE_MS = 500, /* the master waits longer than the replica: a late winner's news must find it paused */
    GOSSIP_FUTURE_MS = 500, /* a pong time from gossip may be this far ahead of our clock */
};

/* As in the header's and gossip's u16; never renumber. */
enum node_flag {
    NODE_MASTER = 1,
    NODE_REPLICA = 2,
    NODE_PFAIL = 4,
    NODE_FAIL = 8,
    NODE_MYSELF = 16,
    NODE_HANDSHAKE = 32,
    NODE_NOADDR = 64,
    NODE_MEET = 128, /* the next message on a new link is a MEET */
    NODE_MIGRATE_TO = 256,
    NODE_NOFAILOVER = 512,
};

struct failure_report {
    struct node *reporter;
    msec_t at;
};

struct node {
    char id[CLUSTER_ID_SIZE + 1];
    char shard_id[CLUSTER_ID_SIZE + 1];
    uint16_t flags;
    uint64_t config_epoch;
    struct node *master; /* of a replica; NULL if unknown or a master */
    uint8_t slots[SLOT_BYTES];
    unsigned slot_count;
    unsigned unclaimed_count; /* of its slots, those marked "owner stopped claiming" */
    unsigned replica_count;   /* nodes whose master is this one */

    char ip[CLUSTER_IP_SIZE];
    uint16_t port;     /* plain text */
    uint16_t tls_port;
    uint16_t bus_port;
    char hostname[CLUSTER_NAME_SIZE];
    char nodename[CLUSTER_NAME_SIZE];

    msec_t created, ping_sent, pong_received, data_received, fail_time, voted_time;
    msec_t master_since;   /* known to be one */
    msec_t answered;       /* the last PONG on our own link; pong_received may also come from gossip */
    msec_t heard_us;       /* it is known to have heard this node at that time: the lease of state.c */
    msec_t orphaned_since; /* a master whose replicas are all gone; 0: it is not orphaned */
    uint64_t repl_offset;
    uint64_t vote_epoch;   /* of my election for which it voted */
    uint64_t refused_epoch; /* of my election in which its vote does not count: it may have been replaced */
    unsigned open_count;    /* of its slots, those of its open claim */
    uint64_t claim_basis;   /* of that */
    uint64_t seen_epoch;    /* the greatest current epoch that it has spoken of */
    uint64_t agreed;        /* to which open claim of this node: claim_number */
    bool master_failed;    /* a replica that says it holds its master as FAIL */
    struct link *out, *in;
    bool extensions; /* the peer showed that it understands ping extensions */
    uint64_t stamp;  /* of the last message whose gossip names it: no entry twice */

    struct failure_report *reports;
    size_t report_count, report_capacity;

    size_t index; /* in cluster.nodes */
    struct node *next; /* in its bucket */
};

struct link {
    link_t id;
    struct node *node; /* outbound: always; inbound: once the sender is known */
    bool connected;
    bool extensions;
    msec_t created, data_received; /* on this link */
    uint64_t pings, pongs; /* outbound: PINGs and MEETs sent, PONGs that came */
    uint64_t claim_mark;   /* of them, PINGs from before this node's open claim: claim.h */
    msec_t asked; /* the first PING since the last PONG on it; 0: all are answered */
    unsigned unanswered; /* outbound: PINGs and MEETs without their PONG, which come in order */
    char peer_ip[CLUSTER_IP_SIZE];  /* inbound only */
    char local_ip[CLUSTER_IP_SIZE]; /* inbound only */
    struct link *next; /* in its bucket */
};

static inline bool link_is_inbound(const struct link *l)
{
    return (l->id & CLUSTER_LINK_INBOUND) != 0;
}

struct blacklist_entry {
    char id[CLUSTER_ID_SIZE + 1];
    msec_t until;
};

/* A block of bytes that actions point into; blocks never move and live until the next step. */
struct arena_block {
    struct arena_block *next;
    size_t size, used;
    uint8_t bytes[];
};

/* A vote to replace a master, given here or heard of. See ballot.h. */
struct ballot {
    struct node *master;
    char candidate[CLUSTER_ID_SIZE + 1];
    uint64_t epoch; /* of the election */
    msec_t at;
    bool failed;   /* the master was held as FAIL: it is not a failover by command */
    uint64_t quit; /* the master said in this epoch that it is none any more; 0: it has not. Not kept by nodes.conf */
};

/* This node's own election; a restart forgets it, and with it the votes. See election.c. */
struct own_election {
    msec_t at; /* when the request leaves or left; 0: none is planned */
    bool sent;
    uint64_t epoch;
    unsigned rank, votes;
    msec_t asked;                      /* first */
    msec_t ask_again, ask_interval_ms; /* those who have not voted */
};

/* A manual failover, on either side. See manual.c. */
struct manual {
    msec_t end; /* 0: none */
    /* On the master. */
    struct node *replica;
    bool paused; /* no write is under way any more */
    /* On the replica. */
    link_t link;   /* on which the master was asked */
    unsigned skip; /* PONGs on it that answer what was said before that */
    msec_t hinted;
    bool target_known;
    uint64_t target; /* the master's offset at the pause */
    bool may_start;
};

struct cluster {
    /* Set once, or by CONFIG. */
    struct cluster_config config;
    struct cluster_keys keys;
    bool replication;
    unsigned planted_bugs;

    struct rng rng;
    msec_t now; /* of the present step; never falls */

    /* The table of nodes; myself is nodes[0] for good. */
    struct node *myself;
    struct node **nodes;
    size_t node_count, node_capacity;
    struct node *node_buckets[NODE_BUCKETS];
    struct link *link_buckets[LINK_BUCKETS];
    link_t next_link;

    /* Slots. */
    struct node *owner[SLOTS];
    struct node *migrating[SLOTS]; /* to */
    struct node *importing[SLOTS]; /* from */
    struct node *imported[SLOTS];  /* taken from it by SETSLOT or CLAIM, and it has not been heard without the slot since */
    uint8_t handed[SLOT_BYTES];    /* of imported: by an atomic migration */
    unsigned assigned_count, migrating_count, importing_count, imported_count;
    uint8_t unclaimed[SLOT_BYTES]; /* the owner stopped claiming it: any claimer may take it */
    uint8_t lost[SLOT_BYTES];      /* SLOT_LOST to be said at the end of this step */
    bool any_lost;
    uint8_t dropping[SLOT_BYTES];  /* lost, and the driver has not yet said that the keys are gone */
    unsigned dropping_count;
    uint8_t arriving[SLOT_BYTES];  /* keys come by an atomic migration: arrival.h */
    unsigned arriving_count;
    uint8_t departing[SLOT_BYTES]; /* offered to the target of an atomic migration: update.c, rule 4 */
    unsigned departing_count;
    struct {                       /* replica: the marks of its master: inherit.h */
        struct node *migrating[SLOTS], *importing[SLOTS];
        unsigned migrating_count, importing_count;
    } inherit;
    uint8_t claimed[SLOT_BYTES];   /* their owner has them by an open claim: claim.h */
    uint64_t claim_number; /* of this node's last one */

    /* Epochs and votes: durable before they are spoken of. */
    uint64_t current_epoch;
    uint64_t last_vote_epoch;
    struct ballot ballots[BALLOTS_MAX];
    unsigned ballot_count;

    /* cluster_state. */
    bool ok;
    bool state_due;          /* recompute at the end of the step */
    msec_t first_state_time; /* of the first computation; 0: none yet */
    msec_t minority_time;    /* when this node last saw itself in a minority */

    struct blacklist_entry *blacklist;
    size_t blacklist_count;

    struct own_election election;
    struct manual manual;

    bool announce_ip_known; /* myself->ip came from announce_ip or from a peer */
    uint64_t ticks;
    msec_t tick_time;
    bool stood_still; /* at this tick: there was none for half a node timeout */
    unsigned voters; /* as of the last tick */
    bool tell_masters; /* a PFAIL is new: PING all masters at the end of this step */
    bool tell_siblings; /* my master is FAIL, or an election is planned: PONG to the shard's other replicas */
    bool unpause_due;   /* PAUSE 0, behind everything else */
    bool pong_all;     /* broadcast a PONG at the end of this step */
    bool pong_soon;    /* and at the end of the next tick: for all claims until then */

    uint64_t sent[MESSAGE_TYPES], received[MESSAGE_TYPES];
    uint64_t links_overflowed;
    uint64_t map_version;
    uint64_t gossip_stamp;

    /* This node's data, as the driver last said it (CLUSTER_EVENT_REPLICATION). */
    uint64_t repl_offset;
    bool repl_whole, repl_link_up;
    msec_t repl_heard; /* when the master was last heard, or when the link to it went down */

    /* This step's result. */
    struct cluster_action *actions;
    size_t action_count, action_capacity;
    struct arena_block *arena;
    struct cluster_reply reply;
    bool persist_sync; /* something durable changed since the last PERSIST */
    bool persist_lazy; /* something changed that may be lost in a crash; written at the next tick */
    bool persist_owed; /* a claim of this node is not durable yet: it must be before the next SEND */
    bool map_due;
    bool replicate_due; /* REPLICATE of myself->master, at the end of the step */
    bool promote_due;
    bool flush_due;
};

/* ---- cluster.c: marks that the end of the step (or the next send) acts on ---- */
void cluster_changed_durable(struct cluster *c); /* epoch, vote, claim: PERSIST before the next SEND */
void cluster_changed(struct cluster *c);         /* the table: PERSIST at the next tick */
void cluster_changed_claim(struct cluster *c);   /* lazy_setslot: noted now, durable before the next SEND */
void cluster_map_changed(struct cluster *c);     /* owners, addresses, roles */
uint64_t cluster_slot_keys(const struct cluster *c, slot_t slot);
bool cluster_has_keys(const struct cluster *c);

/* The offset that peers are told: a replica whose data is not whole has none. */
static inline uint64_t cluster_my_offset(const struct cluster *c)
{
    return c->myself->master == NULL || c->repl_whole ? c->repl_offset : 0;
}

static inline bool bit_get(const uint8_t *bits, unsigned at)
{
    return (bits[at >> 3] >> (at & 7)) & 1;
}

static inline void bit_set(uint8_t *bits, unsigned at)
{
    bits[at >> 3] = (uint8_t)(bits[at >> 3] | 1u << (at & 7));
}

static inline void bit_clear(uint8_t *bits, unsigned at)
{
    bits[at >> 3] = (uint8_t)(bits[at >> 3] & ~(1u << (at & 7)));
}

#endif
