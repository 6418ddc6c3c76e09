/*
 * message.c - what this node says.
 *
 * (1) A replica puts its master's slots and config epoch into the header, or peers would correct it forever.
 * (2) Everything goes through action_send, which persists first what must be durable.
 */
#include "cluster/message.h"

#include "cluster/action.h"
#include "cluster/claim.h"
#include "cluster/gossip.h"
#include "cluster/handshake.h"
#include "cluster/manual.h"
#include "cluster/node.h"
#include "cluster/slots.h"

#include <stdio.h>

enum { FLAGS_ON_WIRE = 0x3FF };

static bool node_reachable(const struct node *n)
{
    return n->out != NULL && n->out->connected && !node_is(n, NODE_HANDSHAKE | NODE_MYSELF);
}

/* slots NULL: those of this node or its master. */
static void begin(struct cluster *c, struct buf *b, enum codec_type type, unsigned mflags, const uint8_t *slots)
{
    const struct node *me = c->myself;
    const struct node *owner = me->master != NULL ? me->master : me;
    struct codec_header h = {
        .type = (uint16_t)type,
        .port = node_base_port(c, me),
        .second_port = node_second_port(c, me),
        .bus_port = me->bus_port,
        .flags = (me->flags & FLAGS_ON_WIRE) |
                 (me->master != NULL && node_is(me->master, NODE_FAIL) ? CODEC_FLAG_MASTER_FAILED : 0),
        .state = c->ok ? 0 : 1,
        .mflags = (uint8_t)(mflags | (manual_is_paused(c) ? CODEC_MFLAG_PAUSED : 0)),
        .current_epoch = c->current_epoch,
        .config_epoch = owner->config_epoch,
        .offset = cluster_my_offset(c),
        .slots = slots != NULL ? slots : owner->slots,
    };

    memcpy(h.sender, me->id, sizeof h.sender);
    if (me->master != NULL)
        memcpy(h.master, me->master->id, sizeof h.master);
    memcpy(h.ip, c->config.announce_ip, sizeof h.ip);
    codec_write_header(b, &h);
}

/* The finished message, copied to where it lives until the next step. */
static struct slice end(struct cluster *c, struct buf *b, unsigned gossip_count, unsigned extension_count)
{
    struct slice bytes;

    codec_finish(b, (uint16_t)gossip_count, (uint16_t)extension_count);
    bytes = action_copy(c, buf_slice(b));
    buf_free(b);
    return bytes;
}

static void send_on(struct cluster *c, const struct link *l, enum codec_type type, struct slice bytes)
{
    action_send(c, l->id, bytes);
    c->sent[type]++;
}

static void broadcast(struct cluster *c, enum codec_type type, struct slice bytes)
{
    for (size_t i = 0; i < c->node_count; i++)
        if (node_reachable(c->nodes[i]))
            send_on(c, c->nodes[i]->out, type, bytes);
}

static unsigned write_extensions(struct cluster *c, struct buf *b, const uint8_t *open)
{
    const struct node *me = c->myself;
    unsigned count = 1;

    if (me->hostname[0] != '\0') {
        codec_write_extension_text(b, CODEC_EXT_HOSTNAME, me->hostname);
        count++;
    }
    if (me->nodename[0] != '\0') {
        codec_write_extension_text(b, CODEC_EXT_NODENAME, me->nodename);
        count++;
    }
    if (open != NULL) {
        codec_write_extension_claim(b, me->claim_basis, open);
        count++;
    }
    count += handshake_write_forgotten(c, b);
    codec_write_extension_shard_id(b, me->shard_id);
    return count;
}

static void send_ping(struct cluster *c, struct link *l, enum codec_type type, unsigned mflags)
{
    bool extends = l->extensions || (l->node != NULL && l->node->extensions);
    uint8_t open[SLOT_BYTES], sure[SLOT_BYTES];
    bool claims = node_is_master(c->myself) && claim_slots(c, open, sure), unsaid;
    struct buf b = {0};
    unsigned gossip_count, extension_count = 0;

    if (!l->connected)
        return;
    /* An open claim goes with its basis, or, to a node of which nothing is known yet, not at all. */
    unsaid = claims && !extends && l->pongs == 0;
    begin(c, &b, type, CODEC_MFLAG_EXTENSIONS | mflags, unsaid ? sure : NULL);
    gossip_count = gossip_write(c, &b);
    if (extends)
        extension_count = write_extensions(c, &b, claims ? open : NULL);
    if (type != CODEC_PONG && !link_is_inbound(l)) {
        l->unanswered++;
        l->pings++;
        if (unsaid)
            l->claim_mark = l->pings;
    }
    if (type == CODEC_PING && l->node != NULL && l->node->out == l) {
        if (l->node->ping_sent == 0)
            l->node->ping_sent = c->now;
        if (l->asked == 0)
            l->asked = c->now;
    }
    send_on(c, l, type, end(c, &b, gossip_count, extension_count));
}

void message_send_ping(struct cluster *c, struct link *l, enum codec_type type)
{
    send_ping(c, l, type, 0);
}

void message_answer_claim(struct cluster *c, struct link *l, bool agreed)
{
    send_ping(c, l, CODEC_PONG, agreed ? 0 : CODEC_MFLAG_REFUSED);
}

void message_broadcast_pong(struct cluster *c)
{
    for (size_t i = 0; i < c->node_count; i++)
        if (node_reachable(c->nodes[i]))
            message_send_ping(c, c->nodes[i]->out, CODEC_PONG);
}

void message_ping_masters(struct cluster *c)
{
    for (size_t i = 0; i < c->node_count; i++)
        if (node_reachable(c->nodes[i]) && node_is_voter(c->nodes[i]))
            message_send_ping(c, c->nodes[i]->out, CODEC_PING);
}

void message_pong_siblings(struct cluster *c)
{
    for (size_t i = 1; i < c->node_count; i++)
        if (node_reachable(c->nodes[i]) && c->nodes[i]->master != NULL && c->nodes[i]->master == c->myself->master)
            message_send_ping(c, c->nodes[i]->out, CODEC_PONG);
}

void message_broadcast_fail(struct cluster *c, const struct node *failing)
{
    struct buf b = {0};

    begin(c, &b, CODEC_FAIL, 0, NULL);
    codec_write_fail(&b, failing->id);
    broadcast(c, CODEC_FAIL, end(c, &b, 0, 0));
}

void message_publish(struct cluster *c, struct slice channel, struct slice bytes, bool sharded)
{
    enum codec_type type = sharded ? CODEC_PUBLISH_SHARD : CODEC_PUBLISH;
    struct codec_publish body = {channel, bytes};
    struct buf b = {0};
    struct slice message;

    if (channel.size + bytes.size > CLUSTER_MESSAGE_MAX - CODEC_HEADER_SIZE - 8)
        return;
    begin(c, &b, type, 0, NULL);
    codec_write_publish(&b, &body);
    message = end(c, &b, 0, 0);
    for (size_t i = 0; i < c->node_count; i++) {
        struct node *n = c->nodes[i];

        if (node_reachable(n) && (!sharded || node_same_shard(n, c->myself)))
            send_on(c, n->out, type, message);
    }
}

void message_send_update(struct cluster *c, struct node *to, const struct node *subject)
{
    uint8_t claimed[SLOT_BYTES];
    struct codec_update body = {.config_epoch = subject->config_epoch, .slots = claimed};
    struct buf b = {0};

    if (!node_reachable(to) || subject->open_count > 0) /* it yields to what we do not know: it speaks for itself (claim.h) */
        return;
    for (size_t i = 0; i < SLOT_BYTES; i++) /* a mark belongs to the owner, so no other node's bit is cut */
        claimed[i] = (uint8_t)(subject->slots[i] & ~c->unclaimed[i]);
    memcpy(body.id, subject->id, sizeof body.id);
    begin(c, &b, CODEC_UPDATE, 0, NULL);
    codec_write_update(&b, &body);
    send_on(c, to->out, CODEC_UPDATE, end(c, &b, 0, 0));
}

void message_send_vote(struct cluster *c, struct node *to, const uint8_t *ballots)
{
    struct buf b = {0};

    if (!node_reachable(to))
        return;
    begin(c, &b, CODEC_AUTH_ACK, ballots != NULL ? CODEC_MFLAG_BALLOTS : 0, ballots);
    send_on(c, to->out, CODEC_AUTH_ACK, end(c, &b, 0, 0));
}

bool message_send_plain(struct cluster *c, struct node *to, enum codec_type type, unsigned mflags)
{
    struct buf b = {0};

    if (!node_reachable(to))
        return false;
    begin(c, &b, type, mflags, NULL);
    send_on(c, to->out, type, end(c, &b, 0, 0));
    return true;
}
