/*
 * codec.c - the layout of bus messages.
 *
 *  offset size                                      offset size
 *       0    4 "RCmb"                                 2128   40 master's id, zero bytes for a master
 *       4    4 total length                           2168   46 announced ip, zero padded
 *       8    2 version, 1                             2214    2 number of extensions
 *      10    2 base port                              2216   30 zero
 *      12    2 type                                   2246    2 second client port
 *      14    2 number of gossip entries               2248    2 bus port
 *      16    8 current epoch                          2250    2 flags
 *      24    8 config epoch                           2252    1 cluster state
 *      32    8 replication offset                     2253    3 message flags
 *      40   40 sender's id                            2256      body
 *      80 2048 slots, least significant bit first
 *
 * (1) No read happens before codec_check has shown that it is inside the message.
 * (2) Texts come out terminated and harmless: an id is an id, a name holds no separator of nodes.conf.
 */
#include "cluster/codec.h"

#include "base/check.h"

#include <string.h>

enum {
    AT_LENGTH = 4,
    AT_VERSION = 8,
    AT_PORT = 10,
    AT_TYPE = 12,
    AT_COUNT = 14,
    AT_CURRENT_EPOCH = 16,
    AT_CONFIG_EPOCH = 24,
    AT_OFFSET = 32,
    AT_SENDER = 40,
    AT_SLOTS = 80,
    AT_MASTER = 2128,
    AT_IP = 2168,
    AT_EXTENSIONS = 2214,
    AT_SECOND_PORT = 2246,
    AT_BUS_PORT = 2248,
    AT_FLAGS = 2250,
    AT_STATE = 2252,
    AT_MFLAGS = 2253,
    VERSION = 1,
    FRAME_SIZE = 8,
    UPDATE_SIZE = 8 + CLUSTER_ID_SIZE + CODEC_SLOTS_SIZE,
    MODULE_HEAD_SIZE = 8 + 4 + 1,
    EXT_HEAD_SIZE = 8,
};

_Static_assert(AT_MFLAGS + 3 == CODEC_HEADER_SIZE, "header layout");
_Static_assert(AT_SLOTS + CODEC_SLOTS_SIZE == AT_MASTER, "header layout");

/* ---- Integers and texts ---- */

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static uint64_t get64(const uint8_t *p)
{
    return (uint64_t)get32(p) << 32 | get32(p + 4);
}

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, (uint16_t)(v >> 16));
    put16(p + 2, (uint16_t)v);
}

static void put64(uint8_t *p, uint64_t v)
{
    put32(p, (uint32_t)(v >> 32));
    put32(p + 4, (uint32_t)v);
}

static void get_id(const uint8_t *p, char out[CLUSTER_ID_SIZE + 1])
{
    memcpy(out, p, CLUSTER_ID_SIZE);
    out[CLUSTER_ID_SIZE] = '\0';
}

static void get_ip(const uint8_t *p, char out[CLUSTER_IP_SIZE])
{
    memcpy(out, p, CLUSTER_IP_SIZE);
    out[CLUSTER_IP_SIZE - 1] = '\0';
    if (!codec_ip_valid(out))
        out[0] = '\0';
}

static void put_padded(uint8_t *p, const char *text, size_t size)
{
    size_t n = strnlen(text, size);

    memcpy(p, text, n);
    memset(p + n, 0, size - n);
}

static bool char_in(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool codec_id_valid(const char *id)
{
    for (size_t i = 0; i < CLUSTER_ID_SIZE; i++)
        if (!((id[i] >= '0' && id[i] <= '9') || (id[i] >= 'a' && id[i] <= 'z')))
            return false;
    return id[CLUSTER_ID_SIZE] == '\0';
}

bool codec_ip_valid(const char *ip)
{
    if (*ip == '\0')
        return false;
    for (; *ip != '\0'; ip++)
        if (!is_alnum(*ip) && !char_in(*ip, ".:-_%"))
            return false;
    return true;
}

bool codec_hostname_valid(const char *name)
{
    for (; *name != '\0'; name++)
        if (!is_alnum(*name) && *name != '-' && *name != '.')
            return false;
    return true;
}

bool codec_nodename_valid(const char *name)
{
    for (; *name != '\0'; name++)
        if (*name <= ' ' || *name > '~' || char_in(*name, "!#$%&()*+:;<>?@[]^{|}~,='\"\\"))
            return false;
    return true;
}

/* ---- Frames and checks ---- */

enum err cluster_frame(struct slice bytes, size_t *size)
{
    uint32_t total;

    if (bytes.size < FRAME_SIZE)
        return ERR_AGAIN;
    total = get32(bytes.data + AT_LENGTH);
    if (memcmp(bytes.data, "RCmb", 4) != 0 || total < CODEC_HEADER_SIZE || total > CLUSTER_MESSAGE_MAX)
        return ERR_PROTOCOL;
    if (bytes.size < total)
        return ERR_AGAIN;
    *size = total;
    return OK;
}

/* The size of `count` extensions that start at `at`, or 0 if one of them does not fit. */
static bool extensions_fit(struct slice m, size_t at, unsigned count, size_t *end)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t size;

        if (m.size - at < EXT_HEAD_SIZE)
            return false;
        size = get32(m.data + at);
        if (size < EXT_HEAD_SIZE || size % 8 != 0 || size > m.size - at)
            return false;
        at += size;
    }
    *end = at;
    return true;
}

static enum err check_ping(struct slice m)
{
    size_t at = CODEC_HEADER_SIZE + (size_t)get16(m.data + AT_COUNT) * CODEC_GOSSIP_SIZE;

    if (at > m.size)
        return ERR_PROTOCOL;
    if ((m.data[AT_MFLAGS] & CODEC_MFLAG_EXTENSIONS) != 0 &&
        !extensions_fit(m, at, get16(m.data + AT_EXTENSIONS), &at))
        return ERR_PROTOCOL;
    return at == m.size ? OK : ERR_PROTOCOL;
}

static enum err check_body(struct slice m, uint64_t head, const size_t *lengths_at, unsigned lengths)
{
    uint64_t need = CODEC_HEADER_SIZE + head;

    if (m.size < need)
        return ERR_PROTOCOL;
    for (unsigned i = 0; i < lengths; i++)
        need += get32(m.data + CODEC_HEADER_SIZE + lengths_at[i]);
    return need == m.size ? OK : ERR_PROTOCOL;
}

enum err codec_check(struct slice m)
{
    char sender[CLUSTER_ID_SIZE + 1];

    if (m.size < CODEC_HEADER_SIZE || get32(m.data + AT_LENGTH) != m.size || get16(m.data + AT_VERSION) != VERSION)
        return ERR_PROTOCOL;
    get_id(m.data + AT_SENDER, sender);
    if (!codec_id_valid(sender) || get64(m.data + AT_CURRENT_EPOCH) > CODEC_EPOCH_MAX ||
        get64(m.data + AT_CONFIG_EPOCH) > CODEC_EPOCH_MAX)
        return ERR_PROTOCOL;
    switch (get16(m.data + AT_TYPE)) {
    case CODEC_PING:
    case CODEC_PONG:
    case CODEC_MEET:
        return check_ping(m);
    case CODEC_FAIL:
        return check_body(m, CLUSTER_ID_SIZE, NULL, 0);
    case CODEC_PUBLISH:
    case CODEC_PUBLISH_SHARD:
        return check_body(m, 8, (const size_t[]){0, 4}, 2);
    case CODEC_AUTH_REQUEST:
    case CODEC_AUTH_ACK:
    case CODEC_MFSTART:
        return check_body(m, 0, NULL, 0);
    case CODEC_UPDATE:
        return check_body(m, UPDATE_SIZE, NULL, 0);
    case CODEC_MODULE:
        return check_body(m, MODULE_HEAD_SIZE, (const size_t[]){8}, 1);
    default:
        return ERR_NOT_FOUND;
    }
}

/* ---- Reading ---- */

void codec_read_header(struct slice m, struct codec_header *out)
{
    const uint8_t *p = m.data;

    out->type = get16(p + AT_TYPE);
    out->count = get16(p + AT_COUNT);
    out->extensions = get16(p + AT_EXTENSIONS);
    out->port = get16(p + AT_PORT);
    out->second_port = get16(p + AT_SECOND_PORT);
    out->bus_port = get16(p + AT_BUS_PORT);
    out->flags = get16(p + AT_FLAGS);
    out->state = p[AT_STATE];
    out->mflags = p[AT_MFLAGS];
    out->current_epoch = get64(p + AT_CURRENT_EPOCH);
    out->config_epoch = get64(p + AT_CONFIG_EPOCH);
    out->offset = get64(p + AT_OFFSET);
    get_id(p + AT_SENDER, out->sender);
    get_id(p + AT_MASTER, out->master);
    get_ip(p + AT_IP, out->ip);
    out->slots = p + AT_SLOTS;
}

bool codec_read_gossip(struct slice m, unsigned at, struct codec_gossip *out)
{
    const uint8_t *p = m.data + CODEC_HEADER_SIZE + (size_t)at * CODEC_GOSSIP_SIZE;

    get_id(p, out->id);
    out->ping_sent_s = get32(p + 40);
    out->pong_received_s = get32(p + 44);
    get_ip(p + 48, out->ip);
    out->port = get16(p + 94);
    out->bus_port = get16(p + 96);
    out->flags = get16(p + 98);
    out->second_port = get16(p + 100);
    return codec_id_valid(out->id);
}

static void read_name(struct slice body, bool (*valid)(const char *), char out[CLUSTER_NAME_SIZE])
{
    size_t n = strnlen((const char *)body.data, body.size);

    if (n >= CLUSTER_NAME_SIZE)
        return;
    memcpy(out, body.data, n);
    out[n] = '\0';
    if (!valid(out))
        out[0] = '\0';
}

struct extension {
    uint16_t type;
    struct slice body;
};

/* Of a checked message: how many it has, and where the first one is. */
static unsigned count_extensions(struct slice m, size_t *at)
{
    *at = CODEC_HEADER_SIZE + (size_t)get16(m.data + AT_COUNT) * CODEC_GOSSIP_SIZE;
    return m.data[AT_MFLAGS] & CODEC_MFLAG_EXTENSIONS ? get16(m.data + AT_EXTENSIONS) : 0;
}

static struct extension next_extension(struct slice m, size_t *at)
{
    uint32_t size = get32(m.data + *at);
    struct extension e = {get16(m.data + *at + 4), slice_of(m.data + *at + EXT_HEAD_SIZE, size - EXT_HEAD_SIZE)};

    *at += size;
    return e;
}

static bool is_forgotten(const struct extension *e)
{
    return e->type == CODEC_EXT_FORGOTTEN && e->body.size >= CLUSTER_ID_SIZE + 8;
}

void codec_read_extensions(struct slice m, struct codec_extensions *out)
{
    size_t at;
    unsigned count = count_extensions(m, &at);

    *out = (struct codec_extensions){0};
    for (unsigned i = 0; i < count; i++) {
        struct extension e = next_extension(m, &at);

        switch (e.type) {
        case CODEC_EXT_HOSTNAME:
            read_name(e.body, codec_hostname_valid, out->hostname);
            break;
        case CODEC_EXT_NODENAME:
            read_name(e.body, codec_nodename_valid, out->nodename);
            break;
        case CODEC_EXT_FORGOTTEN:
            out->forgotten += is_forgotten(&e);
            break;
        case CODEC_EXT_SHARD_ID:
            if (e.body.size < CLUSTER_ID_SIZE)
                break;
            get_id(e.body.data, out->shard_id);
            out->has_shard_id = codec_id_valid(out->shard_id);
            break;
        case CODEC_EXT_CLAIM:
            if (e.body.size < 8 + CODEC_SLOTS_SIZE || get64(e.body.data) > CODEC_EPOCH_MAX)
                break;
            out->claim_basis = get64(e.body.data);
            out->claimed = e.body.data + 8;
            break;
        default: /* from a later version; skipped */
            break;
        }
    }
}

bool codec_read_forgotten(struct slice m, unsigned wanted, struct codec_forgotten *out)
{
    size_t at;
    unsigned count = count_extensions(m, &at), seen = 0;

    for (unsigned i = 0; i < count; i++) {
        struct extension e = next_extension(m, &at);

        if (!is_forgotten(&e) || seen++ != wanted)
            continue;
        get_id(e.body.data, out->id);
        out->ttl_s = get64(e.body.data + CLUSTER_ID_SIZE);
        return codec_id_valid(out->id);
    }
    return false;
}

bool codec_read_fail(struct slice m, char id[CLUSTER_ID_SIZE + 1])
{
    get_id(m.data + CODEC_HEADER_SIZE, id);
    return codec_id_valid(id);
}

bool codec_read_update(struct slice m, struct codec_update *out)
{
    const uint8_t *p = m.data + CODEC_HEADER_SIZE;

    out->config_epoch = get64(p);
    get_id(p + 8, out->id);
    out->slots = p + 8 + CLUSTER_ID_SIZE;
    return codec_id_valid(out->id) && out->config_epoch <= CODEC_EPOCH_MAX;
}

void codec_read_publish(struct slice m, struct codec_publish *out)
{
    const uint8_t *p = m.data + CODEC_HEADER_SIZE;

    out->channel = slice_of(p + 8, get32(p));
    out->message = slice_of(p + 8 + out->channel.size, get32(p + 4));
}

/* ---- Writing ---- */

static uint8_t *append_zeros(struct buf *b, size_t size)
{
    uint8_t *p = buf_reserve(b, size);

    memset(p, 0, size);
    b->size += size;
    return p;
}

void codec_write_header(struct buf *b, const struct codec_header *h)
{
    uint8_t *p = append_zeros(b, CODEC_HEADER_SIZE);

    memcpy(p, "RCmb", 4);
    put16(p + AT_VERSION, VERSION);
    put16(p + AT_PORT, h->port);
    put16(p + AT_TYPE, h->type);
    put64(p + AT_CURRENT_EPOCH, h->current_epoch);
    put64(p + AT_CONFIG_EPOCH, h->config_epoch);
    put64(p + AT_OFFSET, h->offset);
    memcpy(p + AT_SENDER, h->sender, CLUSTER_ID_SIZE);
    memcpy(p + AT_SLOTS, h->slots, CODEC_SLOTS_SIZE);
    put_padded(p + AT_MASTER, h->master, CLUSTER_ID_SIZE);
    put_padded(p + AT_IP, h->ip, CLUSTER_IP_SIZE);
    put16(p + AT_SECOND_PORT, h->second_port);
    put16(p + AT_BUS_PORT, h->bus_port);
    put16(p + AT_FLAGS, h->flags);
    p[AT_STATE] = h->state;
    p[AT_MFLAGS] = h->mflags;
}

void codec_write_gossip(struct buf *b, const struct codec_gossip *g)
{
    uint8_t *p = append_zeros(b, CODEC_GOSSIP_SIZE);

    memcpy(p, g->id, CLUSTER_ID_SIZE);
    put32(p + 40, g->ping_sent_s);
    put32(p + 44, g->pong_received_s);
    put_padded(p + 48, g->ip, CLUSTER_IP_SIZE);
    put16(p + 94, g->port);
    put16(p + 96, g->bus_port);
    put16(p + 98, g->flags);
    put16(p + 100, g->second_port);
}

static uint8_t *append_extension(struct buf *b, uint16_t type, size_t body)
{
    size_t size = EXT_HEAD_SIZE + (body + 7) / 8 * 8;
    uint8_t *p = append_zeros(b, size);

    put32(p, (uint32_t)size);
    put16(p + 4, type);
    return p + EXT_HEAD_SIZE;
}

void codec_write_extension_text(struct buf *b, uint16_t type, const char *text)
{
    size_t size = strlen(text) + 1;

    memcpy(append_extension(b, type, size), text, size);
}

void codec_write_extension_shard_id(struct buf *b, const char *id)
{
    memcpy(append_extension(b, CODEC_EXT_SHARD_ID, CLUSTER_ID_SIZE), id, CLUSTER_ID_SIZE);
}

/* u64 basis, slots */
void codec_write_extension_claim(struct buf *b, uint64_t basis, const uint8_t *slots)
{
    uint8_t *p = append_extension(b, CODEC_EXT_CLAIM, 8 + CODEC_SLOTS_SIZE);

    put64(p, basis);
    memcpy(p + 8, slots, CODEC_SLOTS_SIZE);
}

void codec_write_extension_forgotten(struct buf *b, const struct codec_forgotten *f)
{
    uint8_t *p = append_extension(b, CODEC_EXT_FORGOTTEN, CLUSTER_ID_SIZE + 8);

    memcpy(p, f->id, CLUSTER_ID_SIZE);
    put64(p + CLUSTER_ID_SIZE, f->ttl_s);
}

void codec_write_fail(struct buf *b, const char *id)
{
    buf_append(b, id, CLUSTER_ID_SIZE);
}

void codec_write_update(struct buf *b, const struct codec_update *u)
{
    uint8_t *p = append_zeros(b, UPDATE_SIZE);

    put64(p, u->config_epoch);
    memcpy(p + 8, u->id, CLUSTER_ID_SIZE);
    memcpy(p + 8 + CLUSTER_ID_SIZE, u->slots, CODEC_SLOTS_SIZE);
}

void codec_write_publish(struct buf *b, const struct codec_publish *p)
{
    uint8_t *lengths = append_zeros(b, 8);

    put32(lengths, (uint32_t)p->channel.size);
    put32(lengths + 4, (uint32_t)p->message.size);
    buf_append_slice(b, p->channel);
    buf_append_slice(b, p->message);
}

void codec_finish(struct buf *b, uint16_t gossip_count, uint16_t extension_count)
{
    check(b->size >= CODEC_HEADER_SIZE && b->size <= CLUSTER_MESSAGE_MAX);
    put32(b->data + AT_LENGTH, (uint32_t)b->size);
    put16(b->data + AT_COUNT, gossip_count);
    put16(b->data + AT_EXTENSIONS, extension_count);
}

const char *codec_type_name(unsigned type)
{
    static const char *const names[] = {"ping",     "pong",   "meet",    "fail",   "publish",     "auth-req",
                                        "auth-ack", "update", "mfstart", "module", "publishshard"};

    return type < sizeof names / sizeof names[0] ? names[type] : "unknown";
}
