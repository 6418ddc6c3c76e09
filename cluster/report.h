/*
 * report.h - what CLUSTER's reading subcommands show, as text or as plain arrays. Nothing here changes the core.
 *
 * The caller holds the driver's lock. Arrays are allocated and freed with the _free beside them; the strings in them
 * borrow from the core until its next step.
 */
#ifndef CAIRN_CLUSTER_REPORT_H
#define CAIRN_CLUSTER_REPORT_H

#include "base/buf.h"
#include "cluster/cluster.h"

/* CLUSTER NODES: one line a node, each ended by "\n". tls: the client speaks TLS, so TLS ports are shown. */
void report_nodes(const struct cluster *c, bool tls, struct buf *out);

/* CLUSTER INFO: "\r\n" lines in Redis' order. */
void report_info(const struct cluster *c, struct buf *out);

/* The numbers of CLUSTER INFO, for metrics and HTTP. */
struct report_counts {
    bool ok;
    unsigned slots_assigned, slots_ok, slots_pfail, slots_fail;
    unsigned known_nodes, size;
    uint64_t current_epoch, my_epoch;
    uint64_t messages_sent, messages_received, links_overflowed;
    unsigned slots_migrating, slots_importing;
};
void report_counts(const struct cluster *c, struct report_counts *out);

struct report_node {
    const char *id;
    const char *ip;       /* "" while unknown */
    const char *hostname; /* "" if none */
    uint16_t port;        /* plain text, 0: none */
    uint16_t tls_port;    /* 0: none */
    bool myself;
    bool replica;
    bool failed;     /* FAIL flag */
    uint64_t offset; /* replication offset; for myself the last CLUSTER_EVENT_REPLICATION */
};

struct report_range {
    slot_t first, last;             /* inclusive */
    size_t node_first, node_count;  /* in report_slots.nodes: the owner, then its replicas */
};

/* CLUSTER SLOTS: assigned ranges in slot order; replicas that failed or have offset 0 are left out. */
struct report_slots {
    struct report_range *ranges;
    size_t range_count;
    struct report_node *nodes;
    size_t node_count;
};
void report_slots(const struct cluster *c, struct report_slots *out);
void report_slots_free(struct report_slots *r);

struct report_shard {
    const char *id;
    size_t range_first, range_count; /* in report_shards.ranges */
    size_t node_first, node_count;   /* in report_shards.nodes; masters first */
};

/* CLUSTER SHARDS: every known node is in exactly one shard, handshakes are not shown. */
struct report_shards {
    struct report_shard *shards;
    size_t shard_count;
    struct report_range *ranges; /* first and last only */
    size_t range_count;
    struct report_node *nodes;
    size_t node_count;
};
void report_shards(const struct cluster *c, struct report_shards *out);
void report_shards_free(struct report_shards *r);

/* CLUSTER LINKS: the links that are tied to a node; buffers and events are the driver's to add, by link id. */
struct report_link {
    link_t link;
    bool inbound;
    const char *node; /* id */
    msec_t create_time_ms;
};
size_t report_links(const struct cluster *c, struct report_link **out); /* free() the array */

/* The endpoint shown for a node by cluster-preferred-endpoint-type: NULL means null (unknown-endpoint). */
const char *report_endpoint(const struct cluster *c, const struct report_node *node);

/* CLUSTER MYSHARDID. Borrowed until the next step. */
const char *report_my_shard_id(const struct cluster *c);

/*
 * CLUSTER REPLICAS id: one CLUSTER NODES line a replica, each ended by "\n".
 * ERR_INVALID with the reply's text in err_text ("ERR Unknown node ...") otherwise.
 */
enum err report_replicas(const struct cluster *c, struct slice id, bool tls, struct buf *out) WARN_UNUSED;

/* Slots owned by this node or, on a replica, by its master: true and the owner's count for CLUSTER SLOT-STATS. */
bool report_slot_is_mine(const struct cluster *c, slot_t slot);

#endif
