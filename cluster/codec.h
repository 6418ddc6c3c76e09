/*
 * codec.h - bus messages of Redis 7, byte for byte: check, read, write. Knows layouts, not meanings.
 *
 * All integers are big endian. A read view borrows from the message's bytes.
 */
#ifndef CAIRN_CLUSTER_CODEC_H
#define CAIRN_CLUSTER_CODEC_H

#include "base/buf.h"
#include "cluster/cluster.h"

/* On the wire: never renumber. */
enum codec_type {
    CODEC_PING = 0,
    CODEC_PONG = 1,
    CODEC_MEET = 2,
    CODEC_FAIL = 3,
    CODEC_PUBLISH = 4,
    CODEC_AUTH_REQUEST = 5,
    CODEC_AUTH_ACK = 6,
    CODEC_UPDATE = 7,
    CODEC_MFSTART = 8,
    CODEC_MODULE = 9,
    CODEC_PUBLISH_SHARD = 10,
};

/* An epoch beyond this is damage: nobody counts that far, and whoever believed it could not count on. */
#define CODEC_EPOCH_MAX (UINT64_MAX / 4)

enum {
    CODEC_HEADER_SIZE = 2256,
    CODEC_GOSSIP_SIZE = 104,
    CODEC_SLOTS_SIZE = SLOTS / 8,
    CODEC_MFLAG_PAUSED = 1,
    CODEC_MFLAG_FORCE_ACK = 2,
    CODEC_MFLAG_EXTENSIONS = 4,
    CODEC_MFLAG_REFUSED = 0x20, /* Cairn's own, PONG: the slots that were claimed are another's here (claim.h) */
    CODEC_MFLAG_BALLOTS = 0x80, /* Cairn's own, AUTH_ACK: `slots` is a list of ballots (ballot.h). Redis looks at neither */
    CODEC_FLAG_MASTER_FAILED = 0x2000, /* header flags of a replica: it holds its master as FAIL (newer Valkey) */
    CODEC_EXT_HOSTNAME = 0,
    CODEC_EXT_NODENAME = 1,
    CODEC_EXT_FORGOTTEN = 2,
    CODEC_EXT_SHARD_ID = 3,
    CODEC_EXT_CLAIM = 0x6361, /* Cairn's own: an open claim (claim.h). Redis skips what it does not know */
};

struct codec_header {
    uint16_t type;
    uint16_t count;      /* gossip entries */
    uint16_t extensions; /* their number */
    uint16_t port;       /* base client port */
    uint16_t second_port; /* the other of plain and TLS; 0: none */
    uint16_t bus_port;
    uint16_t flags;
    uint8_t state; /* 0 ok, 1 fail */
    uint8_t mflags;
    uint64_t current_epoch, config_epoch, offset;
    char sender[CLUSTER_ID_SIZE + 1];
    char master[CLUSTER_ID_SIZE + 1]; /* "": the sender is a master */
    char ip[CLUSTER_IP_SIZE];         /* "": use the address on the socket */
    const uint8_t *slots;             /* CODEC_SLOTS_SIZE bytes; borrowed */
};

struct codec_gossip {
    char id[CLUSTER_ID_SIZE + 1];
    uint32_t ping_sent_s, pong_received_s; /* unix seconds */
    char ip[CLUSTER_IP_SIZE];
    uint16_t port, bus_port, flags, second_port;
};

struct codec_update {
    uint64_t config_epoch;
    char id[CLUSTER_ID_SIZE + 1];
    const uint8_t *slots; /* borrowed */
};

struct codec_publish {
    struct slice channel, message; /* borrowed */
};

/* What the extensions of one message say; absent ones stay empty. */
struct codec_extensions {
    const uint8_t *claimed; /* CODEC_SLOTS_SIZE bytes; borrowed. NULL: no claim is open */
    uint64_t claim_basis;
    bool has_shard_id;
    char shard_id[CLUSTER_ID_SIZE + 1];
    char hostname[CLUSTER_NAME_SIZE];
    char nodename[CLUSTER_NAME_SIZE];
    unsigned forgotten; /* how many nodes it says are to be forgotten */
};

struct codec_forgotten {
    char id[CLUSTER_ID_SIZE + 1];
    uint64_t ttl_s;
};

/* ---- Reading ---- */

/*
 * Whether a whole message (as cut by cluster_frame) may be read: version, a length that is exactly what its content
 * needs, ids that are ids. ERR_PROTOCOL: drop this message, keep the link. ERR_NOT_FOUND: well formed, type unknown.
 * Everything below may be called only after OK.
 */
enum err codec_check(struct slice message) WARN_UNUSED;
void codec_read_header(struct slice message, struct codec_header *out);

/* Entry `at` < header.count. False if the entry is unusable (no valid id) and must be skipped. */
bool codec_read_gossip(struct slice message, unsigned at, struct codec_gossip *out);

/* What is no name reads as "". */
void codec_read_extensions(struct slice message, struct codec_extensions *out);

/* The at-th of the nodes to be forgotten. False if there is none, or it has no valid id and must be skipped. */
bool codec_read_forgotten(struct slice message, unsigned at, struct codec_forgotten *out);

bool codec_read_fail(struct slice message, char id[CLUSTER_ID_SIZE + 1]); /* false: no valid id */
bool codec_read_update(struct slice message, struct codec_update *out);   /* false: no valid id or epoch */
void codec_read_publish(struct slice message, struct codec_publish *out);

/* ---- Writing: header first, then the body's parts in order, then codec_finish ---- */

/* Appends the header; count, extensions and length are filled in by codec_finish. */
void codec_write_header(struct buf *b, const struct codec_header *h);
void codec_write_gossip(struct buf *b, const struct codec_gossip *g);
void codec_write_extension_text(struct buf *b, uint16_t type, const char *text);
void codec_write_extension_shard_id(struct buf *b, const char *id);
void codec_write_extension_claim(struct buf *b, uint64_t basis, const uint8_t *slots);
void codec_write_extension_forgotten(struct buf *b, const struct codec_forgotten *f);
void codec_write_fail(struct buf *b, const char *id);
void codec_write_update(struct buf *b, const struct codec_update *u);
void codec_write_publish(struct buf *b, const struct codec_publish *p);
void codec_finish(struct buf *b, uint16_t gossip_count, uint16_t extension_count);

/* "ping", "auth-req": as in CLUSTER INFO. */
const char *codec_type_name(unsigned type);

/* ---- Texts that may enter the table (and so nodes.conf) ---- */
bool codec_id_valid(const char *id);       /* 40 of [a-z0-9] and a terminator */
bool codec_ip_valid(const char *ip);       /* an address or a name, no separators; "" is not valid */
bool codec_hostname_valid(const char *name); /* letters, digits, '-', '.'; "" is valid */
bool codec_nodename_valid(const char *name); /* printable, none of the separators of nodes.conf; "" is valid */

#endif
