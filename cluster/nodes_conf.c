/*
 * nodes_conf.c - one node a line, then "vars".
 *
 *   id ip:port@bus[,hostname[,aux=value...]] flags master ping pong epoch link part...
 *   part: slot, first-last, [slot->-id] or [slot-<-id]
 *   vars currentEpoch N lastVoteEpoch N [droppingSlots first-last,...] [arrivingSlots first-last,...]
 *       [departingSlots first-last,...]
 *       [masterOpen id>first-last,...;id<...;]
 *       [claimedSlots first-last,... claimBasis N] [ballots master:candidate:epoch,...]
 *
 * (1) What is printed loads to the same nodes, slots, marks, epochs and vote.
 *     The bracketed ones are ours; Redis skips variables that it does not know.
 * (2) Any text either loads or gives ERR_CORRUPT: exactly one myself, each id defined once, no slot out of range.
 */
#include "cluster/nodes_conf.h"

#include "base/num.h"
#include "cluster/arrival.h"
#include "cluster/ballot.h"
#include "cluster/claim.h"
#include "cluster/codec.h"
#include "cluster/inherit.h"
#include "cluster/node.h"
#include "cluster/ranges.h"
#include "cluster/slots.h"

#include <stdio.h>

enum { FIELDS_MIN = 8, LINE_TOKENS_MAX = FIELDS_MIN + SLOTS * 2, LOADED = 1u << 15 };

static const struct {
    unsigned flag;
    const char *name;
} flag_names[] = {
    {NODE_MYSELF, "myself"}, {NODE_MASTER, "master"},       {NODE_REPLICA, "slave"}, {NODE_PFAIL, "fail?"},
    {NODE_FAIL, "fail"},     {NODE_HANDSHAKE, "handshake"}, {NODE_NOADDR, "noaddr"}, {NODE_NOFAILOVER, "nofailover"},
};

/* ---- Print ---- */

static void print_flags(const struct node *n, struct buf *out)
{
    size_t start = out->size;

    for (size_t i = 0; i < sizeof flag_names / sizeof flag_names[0]; i++)
        if (n->flags & flag_names[i].flag)
            buf_append_format(out, "%s%s", out->size > start ? "," : "", flag_names[i].name);
    if (out->size == start)
        buf_append_str(out, "noflags");
}

static void print_slots(const struct cluster *c, const struct node *n, struct buf *out)
{
    unsigned next = 0;
    slot_t first, last;

    if (n->slot_count > 0)
        while (slots_next_range(n->slots, &next, &first, &last))
            buf_append_format(out, first == last ? " %u" : " %u-%u", first, last);
    if (n != c->myself || c->migrating_count + c->importing_count == 0)
        return;
    for (unsigned s = 0; s < SLOTS; s++) {
        if (c->migrating[s] != NULL)
            buf_append_format(out, " [%u->-%.40s]", s, c->migrating[s]->id);
        else if (c->importing[s] != NULL)
            buf_append_format(out, " [%u-<-%.40s]", s, c->importing[s]->id);
    }
}

void nodes_conf_print_node(const struct cluster *c, const struct node *n, bool aux, bool tls, struct buf *out)
{
    uint16_t port = aux ? node_base_port(c, n) : cluster_client_port(tls, n->port, n->tls_port);
    bool connected = n == c->myself || (n->out != NULL && n->out->connected);

    buf_append_format(out, "%.40s %s:%u@%u", n->id, n->ip, port, n->bus_port);
    if (n->hostname[0] != '\0' || aux)
        buf_append_format(out, ",%s", n->hostname);
    if (aux) {
        buf_append_format(out, ",%s=%u", c->config.tls_cluster ? "tcp-port" : "tls-port", node_second_port(c, n));
        if (n->nodename[0] != '\0')
            buf_append_format(out, ",nodename=%s", n->nodename);
        buf_append_format(out, ",shard-id=%.40s", n->shard_id);
    }
    buf_append_byte(out, ' ');
    print_flags(n, out);
    buf_append_format(out, " %s %lld %lld %llu %s", n->master != NULL ? n->master->id : "-", (long long)n->ping_sent,
                      (long long)n->pong_received, (unsigned long long)node_effective_epoch(n),
                      connected ? "connected" : "disconnected");
    print_slots(c, n, out);
}

static void print_bits(const char *name, const uint8_t *bits, struct buf *out)
{
    buf_append_format(out, " %s ", name);
    ranges_print(bits, out);
}

void nodes_conf_print(const struct cluster *c, struct buf *out)
{
    uint8_t open[SLOT_BYTES], sure[SLOT_BYTES];

    for (size_t i = 0; i < c->node_count; i++) {
        if (node_is(c->nodes[i], NODE_HANDSHAKE))
            continue;
        nodes_conf_print_node(c, c->nodes[i], true, false, out);
        buf_append_byte(out, '\n');
    }
    buf_append_format(out, "vars currentEpoch %llu lastVoteEpoch %llu", (unsigned long long)c->current_epoch,
                      (unsigned long long)(c->planted_bugs & CLUSTER_BUG_VOTE_NOT_PERSISTED ? 0 : c->last_vote_epoch));
    if (c->dropping_count > 0)
        print_bits("droppingSlots", c->dropping, out);
    if (c->arriving_count > 0 && (c->planted_bugs & CLUSTER_BUG_ARRIVAL_NOT_MARKED) == 0)
        print_bits("arrivingSlots", c->arriving, out);
    if (c->departing_count > 0)
        print_bits("departingSlots", c->departing, out);
    if (c->inherit.migrating_count + c->inherit.importing_count > 0) {
        buf_append_str(out, " masterOpen ");
        inherit_print(c, out);
    }
    if (claim_slots(c, open, sure)) {
        print_bits("claimedSlots", open, out);
        buf_append_format(out, " claimBasis %llu", (unsigned long long)claim_holder(c)->claim_basis);
    }
    ballot_print(c, out);
    buf_append_byte(out, '\n');
}

/* ---- Load ---- */

/* Cuts the next part off *rest, up to `separator`; false if nothing is left. */
static bool cut(struct slice *rest, char separator, struct slice *part)
{
    const uint8_t *end;

    if (rest->data == NULL)
        return false;
    end = rest->size == 0 ? NULL : memchr(rest->data, separator, rest->size);
    if (end == NULL) {
        *part = *rest;
        *rest = (struct slice){0};
    } else {
        *part = slice_of(rest->data, (size_t)(end - rest->data));
        *rest = slice_of(end + 1, rest->size - part->size - 1);
    }
    return true;
}

/* The next word of a line; quotes around a word are taken off. */
static bool next_word(struct slice *line, struct slice *word)
{
    while (cut(line, ' ', word)) {
        if (word->size == 0)
            continue;
        if (word->size >= 2 && (word->data[0] == '"' || word->data[0] == '\'') &&
            word->data[word->size - 1] == word->data[0])
            *word = slice_of(word->data + 1, word->size - 2);
        return true;
    }
    return false;
}

static enum err corrupt(const char *what, struct slice where)
{
    return err_set(ERR_CORRUPT, "corrupted cluster config file: %s: \"%.*s\"", what,
                   (int)(where.size < 120 ? where.size : 120), (const char *)where.data);
}

static bool copy_text(struct slice text, size_t room, bool (*valid)(const char *), char *out)
{
    if (text.size >= room || (text.size > 0 && memchr(text.data, '\0', text.size) != NULL))
        return false;
    if (text.size > 0)
        memcpy(out, text.data, text.size);
    out[text.size] = '\0';
    return valid(out);
}

static bool parse_id(struct slice text, char out[CLUSTER_ID_SIZE + 1])
{
    return text.size == CLUSTER_ID_SIZE && copy_text(text, CLUSTER_ID_SIZE + 1, codec_id_valid, out);
}

static bool parse_u16(struct slice text, uint16_t max, uint16_t *out)
{
    uint64_t value;

    if (!num_parse_u64(text, &value) || value > max)
        return false;
    *out = (uint16_t)value;
    return true;
}

static bool cut_last(struct slice *text, char separator, struct slice *tail)
{
    const uint8_t *at = text->size == 0 ? NULL : memrchr(text->data, separator, text->size);

    if (at == NULL)
        return false;
    *tail = slice_of(at + 1, text->size - (size_t)(at + 1 - text->data));
    text->size = (size_t)(at - text->data);
    return true;
}

static bool parse_aux(struct node *n, struct slice pair, bool *main_is_tls)
{
    struct slice value = pair, name;

    if (!cut(&value, '=', &name) || value.data == NULL)
        return false;
    if (slice_equal(name, SLICE_LITERAL("shard-id")))
        return parse_id(value, n->shard_id);
    if (slice_equal(name, SLICE_LITERAL("nodename")))
        return copy_text(value, CLUSTER_NAME_SIZE, codec_nodename_valid, n->nodename);
    if (slice_equal(name, SLICE_LITERAL("tls-port")))
        return parse_u16(value, UINT16_MAX, &n->tls_port);
    if (slice_equal(name, SLICE_LITERAL("tcp-port"))) {
        /* The line's main port, already stored as the plain one, is the TLS port. */
        *main_is_tls = true;
        n->tls_port = n->port;
        return parse_u16(value, UINT16_MAX, &n->port);
    }
    /* Valkey's: nothing here uses them, but a node may come over with its file. */
    return slice_equal(name, SLICE_LITERAL("client-ipv4")) || slice_equal(name, SLICE_LITERAL("client-ipv6")) ||
           slice_equal(name, SLICE_LITERAL("availability-zone"));
}

static bool parse_address(struct node *n, struct slice text)
{
    struct slice address, part, rest = text;
    bool main_is_tls = false;

    if (!cut(&rest, ',', &address))
        return false;
    if (cut_last(&address, '@', &part)) {
        if (!parse_u16(part, UINT16_MAX, &n->bus_port))
            return false;
    }
    if (!cut_last(&address, ':', &part) || !parse_u16(part, UINT16_MAX, &n->port))
        return false;
    if (n->bus_port == 0 && n->port != 0 && n->port <= UINT16_MAX - CLUSTER_PORT_INCREMENT)
        n->bus_port = (uint16_t)(n->port + CLUSTER_PORT_INCREMENT);
    if (address.size > 0 && !copy_text(address, CLUSTER_IP_SIZE, codec_ip_valid, n->ip))
        return false;
    if (cut(&rest, ',', &part) && !copy_text(part, CLUSTER_NAME_SIZE, codec_hostname_valid, n->hostname))
        return false;
    while (cut(&rest, ',', &part))
        if (!parse_aux(n, part, &main_is_tls))
            return false;
    return true;
}

static bool parse_flags(struct node *n, struct slice text)
{
    struct slice word;

    while (cut(&text, ',', &word)) {
        unsigned flag = 0;

        for (size_t i = 0; i < sizeof flag_names / sizeof flag_names[0]; i++)
            if (slice_equal(word, slice_str(flag_names[i].name)))
                flag = flag_names[i].flag;
        if (flag == 0 && !slice_equal(word, SLICE_LITERAL("noflags")))
            return false;
        n->flags |= (uint16_t)flag;
    }
    return !(node_is(n, NODE_MASTER) && node_is(n, NODE_REPLICA)) && !node_is(n, NODE_HANDSHAKE);
}

/* The node with this id, made if no line has named it yet. */
static struct node *refer(struct cluster *c, struct slice id)
{
    char text[CLUSTER_ID_SIZE + 1];
    struct node *n;

    if (!parse_id(id, text))
        return NULL;
    n = node_find(c, text);
    if (n == NULL && c->node_count < NODES_MAX)
        n = node_add(c, text, 0);
    return n;
}

/* [slot->-id] or [slot-<-id] */
static bool parse_mark(struct cluster *c, struct node *n, struct slice text)
{
    const size_t tail = 3 + CLUSTER_ID_SIZE; /* "->-" and the id */
    struct node *other;
    uint16_t slot;
    const char *arrow;

    if (n != c->myself || text.size < tail + 3 || text.data[text.size - 1] != ']')
        return false;
    text = slice_of(text.data + 1, text.size - 2);
    arrow = (const char *)text.data + text.size - tail;
    if (!parse_u16(slice_of(text.data, text.size - tail), SLOTS - 1, &slot))
        return false;
    other = refer(c, slice_of(arrow + 3, CLUSTER_ID_SIZE));
    if (other == NULL || other == n)
        return false;
    if (memcmp(arrow, "->-", 3) == 0)
        slots_set_migrating(c, slot, other);
    else if (memcmp(arrow, "-<-", 3) == 0)
        slots_set_importing(c, slot, other);
    else
        return false;
    return true;
}

static bool parse_bits(struct cluster *c, struct slice text, void (*set)(struct cluster *c, slot_t slot, bool on))
{
    uint8_t bits[SLOT_BYTES] = {0};

    if (!ranges_parse(text, bits))
        return false;
    for (unsigned s = 0; s < SLOTS; s++)
        if (bit_get(bits, s))
            set(c, (slot_t)s, true);
    return true;
}

static bool parse_slots(struct cluster *c, struct node *n, struct slice text)
{
    slot_t a, b;

    if (text.data[0] == '[')
        return parse_mark(c, n, text);
    if (!ranges_parse_one(text, &a, &b))
        return false;
    if (node_is_master(n))
        for (unsigned s = a; s <= b; s++)
            if (c->owner[s] == NULL)
                slots_assign(c, (slot_t)s, n);
    return true;
}

static void make_first(struct cluster *c, struct node *n)
{
    struct node *first = c->nodes[0];

    c->nodes[0] = n;
    c->nodes[n->index] = first;
    first->index = n->index;
    n->index = 0;
    c->myself = n;
}

static bool parse_times(struct cluster *c, struct node *n, struct slice ping, struct slice pong, struct slice epoch)
{
    int64_t ping_ms, pong_ms;
    uint64_t value;

    if (!num_parse_i64(ping, &ping_ms) || !num_parse_i64(pong, &pong_ms) || !num_parse_u64(epoch, &value) ||
        value > EPOCH_MAX)
        return false;
    /* What was outstanding then says nothing about now: the clocks start again at the first step. */
    n->ping_sent = ping_ms != 0 ? c->now : 0;
    n->pong_received = pong_ms != 0 ? c->now : 0;
    n->config_epoch = node_is(n, NODE_REPLICA) ? 0 : value;
    if (value > c->current_epoch)
        c->current_epoch = value;
    return true;
}

static enum err load_node(struct cluster *c, struct slice line)
{
    struct slice field[FIELDS_MIN], word, rest = line;
    struct node *n;

    for (size_t i = 0; i < FIELDS_MIN; i++)
        if (!next_word(&rest, &field[i]))
            return corrupt("too few fields", line);
    n = refer(c, field[0]);
    if (n == NULL)
        return corrupt("not a node id", field[0]);
    if (n->flags & LOADED)
        return corrupt("node defined twice", field[0]);
    n->flags |= LOADED;
    if (!parse_address(n, field[1]))
        return corrupt("bad address", field[1]);
    if (!parse_flags(n, field[2]))
        return corrupt("bad flags", field[2]);
    if (node_is(n, NODE_MYSELF)) {
        if (c->myself != NULL)
            return corrupt("a second myself", field[0]);
        make_first(c, n);
    }
    if (!slice_equal(field[3], SLICE_LITERAL("-"))) {
        struct node *master = refer(c, field[3]);

        if (master == NULL || master == n || node_is_master(n))
            return corrupt("bad master", field[3]);
        node_make_replica(c, n, master);
    }
    if (!parse_times(c, n, field[4], field[5], field[6]))
        return corrupt("bad time or epoch", line);
    while (next_word(&rest, &word))
        if (word.size > 0 && !parse_slots(c, n, word))
            return corrupt("bad slot", word);
    return OK;
}

/* One that is no number; *good: it made sense. False: it is none of these. */
static bool parse_variable(struct cluster *c, struct slice name, struct slice text, bool *good)
{
    static const struct {
        const char *name;
        void (*set)(struct cluster *c, slot_t slot, bool on);
    } bits[] = {{"droppingSlots", slots_set_dropping},
                {"arrivingSlots", arrival_set},
                {"departingSlots", slots_set_departing},
                {"claimedSlots", claim_load}};

    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        if (slice_equal(name, slice_str(bits[i].name))) {
            *good = parse_bits(c, text, bits[i].set);
            return true;
        }
    if (slice_equal(name, SLICE_LITERAL("ballots")))
        *good = ballot_parse(c, text);
    else if (slice_equal(name, SLICE_LITERAL("masterOpen")))
        *good = inherit_read(c, text);
    else
        return false;
    return true;
}

static bool is_number(struct slice name)
{
    return slice_equal(name, SLICE_LITERAL("currentEpoch")) || slice_equal(name, SLICE_LITERAL("lastVoteEpoch")) ||
           slice_equal(name, SLICE_LITERAL("claimBasis"));
}

/*
 * A number by an unknown name is skipped, as in Redis: a later version says so what does no harm when it is forgotten. Any other text
 * is refused: keys that are half here, votes that were given. Who starts the older version all the same has to take it out by hand.
 */
static enum err load_vars(struct cluster *c, struct slice rest)
{
    struct slice name, text;
    uint64_t value;
    bool good;

    while (next_word(&rest, &name)) {
        if (!next_word(&rest, &text))
            return corrupt("bad variable", name);
        if (parse_variable(c, name, text, &good)) {
            if (!good)
                return corrupt("bad variable", text);
            continue;
        }
        if (!num_parse_u64(text, &value) || value > EPOCH_MAX)
            return corrupt(is_number(name) ? "bad variable" : "variable of a later version", name);
        if (slice_equal(name, SLICE_LITERAL("currentEpoch"))) {
            if (value > c->current_epoch)
                c->current_epoch = value;
        } else if (slice_equal(name, SLICE_LITERAL("lastVoteEpoch"))) {
            c->last_vote_epoch = value;
        } else if (slice_equal(name, SLICE_LITERAL("claimBasis"))) {
            claim_load_basis(c, value);
        }
    }
    return OK;
}

static enum err load_line(struct cluster *c, struct slice line)
{
    struct slice rest, word;

    while (line.size > 0 && (line.data[line.size - 1] == '\r' || line.data[line.size - 1] == '\0'))
        line.size--;
    rest = line;
    if (!next_word(&rest, &word))
        return OK;
    return slice_equal(word, SLICE_LITERAL("vars")) ? load_vars(c, rest) : load_node(c, line);
}

enum err nodes_conf_load(struct cluster *c, struct slice text)
{
    struct slice rest = text, line;

    check(c->node_count == 0 && c->myself == NULL);
    while (cut(&rest, '\n', &line))
        TRY(load_line(c, line));
    if (c->myself == NULL)
        return err_set(ERR_CORRUPT, "corrupted cluster config file: no myself line");
    for (size_t i = c->node_count; i-- > 0;) {
        struct node *n = c->nodes[i];

        if (!(n->flags & LOADED)) /* named as a master or target, but without a line of its own */
            node_remove(c, n);
        else
            n->flags &= (uint16_t)~LOADED;
    }
    for (size_t i = 0; i < c->node_count; i++) /* only now every master has its own */
        if (c->nodes[i]->master != NULL)
            node_set_shard_id(c, c->nodes[i], c->nodes[i]->master->shard_id);
    return OK;
}
