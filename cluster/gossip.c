/*
 * gossip.c - nodes tell each other about nodes.
 *
 * (1) Every message carries all PFAIL nodes: a quorum of reports must not wait for luck.
 * (2) Only a known sender adds nodes, and never one that was forgotten here within the last minute.
 */
#include "cluster/gossip.h"

#include "cluster/action.h"
#include "cluster/failure.h"
#include "cluster/handshake.h"
#include "cluster/link.h"
#include "cluster/node.h"

enum { GOSSIP_MIN = 3, GOSSIP_PART = 10, DRAWS_PER_ENTRY = 3, GOSSIP_MAX = 0xFFFF };

static void write_entry(struct cluster *c, struct buf *b, struct node *n)
{
    struct codec_gossip g = {
        .ping_sent_s = (uint32_t)(n->ping_sent / 1000),
        .pong_received_s = (uint32_t)(n->pong_received / 1000),
        .port = node_base_port(c, n),
        .second_port = node_second_port(c, n),
        .bus_port = n->bus_port,
        .flags = n->flags,
    };

    memcpy(g.id, n->id, sizeof g.id);
    memcpy(g.ip, n->ip, sizeof g.ip);
    codec_write_gossip(b, &g);
    n->stamp = c->gossip_stamp;
}

unsigned gossip_write(struct cluster *c, struct buf *b)
{
    size_t known = c->node_count;
    size_t wanted = known / GOSSIP_PART > GOSSIP_MIN ? known / GOSSIP_PART : GOSSIP_MIN;
    unsigned count = 0;

    if (known < 3)
        wanted = 0;
    else if (wanted > known - 2)
        wanted = known - 2;
    c->gossip_stamp++;
    for (size_t draws = wanted * DRAWS_PER_ENTRY; draws > 0 && count < wanted; draws--) {
        struct node *n = c->nodes[rng_below(&c->rng, known)];

        if (node_is(n, NODE_MYSELF | NODE_PFAIL | NODE_HANDSHAKE | NODE_NOADDR) || n->stamp == c->gossip_stamp ||
            (n->out == NULL && n->slot_count == 0))
            continue;
        write_entry(c, b, n);
        count++;
    }
    for (size_t i = 0; i < known && count < GOSSIP_MAX; i++) {
        struct node *n = c->nodes[i];

        if (!node_is(n, NODE_PFAIL) || node_is(n, NODE_HANDSHAKE | NODE_NOADDR))
            continue;
        write_entry(c, b, n);
        count++;
    }
    return count;
}

/* The sender sees a node well at another address than the one at which we fail to reach it. */
static void learn_address(struct cluster *c, struct node *n, const struct codec_gossip *g)
{
    if (!node_is(n, NODE_FAIL | NODE_PFAIL) || (g->flags & (NODE_NOADDR | NODE_FAIL | NODE_PFAIL)) != 0 ||
        g->ip[0] == '\0' || node_address_is(c, n, g->ip, g->port, g->bus_port))
        return;
    if (n->out != NULL)
        link_close(c, n->out);
    node_set_address(c, n, g->ip, g->port, g->second_port, g->bus_port);
    node_set_flags(c, n, 0, NODE_NOADDR);
}

static void learn_health(struct cluster *c, struct node *sender, struct node *n, const struct codec_gossip *g)
{
    bool bad = (g->flags & (NODE_PFAIL | NODE_FAIL)) != 0;
    msec_t pong = (msec_t)g->pong_received_s * 1000;

    if (node_is_master(sender)) {
        if (bad)
            failure_report_add(c, n, sender);
        else
            failure_report_remove(c, n, sender);
    }
    if (!bad && n->ping_sent == 0 && failure_report_count(c, n) == 0 && pong <= c->now + GOSSIP_FUTURE_MS &&
        pong > n->pong_received)
        n->pong_received = pong;
}

static void learn_node(struct cluster *c, struct node *sender, const struct codec_gossip *g)
{
    struct node *n;

    if ((g->flags & (NODE_NOADDR | NODE_HANDSHAKE)) != 0 || g->ip[0] == '\0' || handshake_forgotten(c, g->id) ||
        c->node_count >= NODES_MAX)
        return;
    n = node_add(c, g->id, g->flags & (NODE_MASTER | NODE_REPLICA | NODE_FAIL | NODE_NOFAILOVER | NODE_MIGRATE_TO));
    if (node_is(n, NODE_MASTER))
        n->flags &= (uint16_t)~NODE_REPLICA;
    if (node_is(n, NODE_FAIL))
        n->fail_time = c->now;
    node_set_address(c, n, g->ip, g->port, g->second_port, g->bus_port);
    action_log(c, LOG_VERBOSE, "Node %.40s (%s:%u) learnt from gossip of %.40s", n->id, n->ip, n->port, sender->id);
}

void gossip_read(struct cluster *c, struct node *sender, const struct codec_header *h, struct slice message)
{
    for (unsigned i = 0; i < h->count; i++) {
        struct codec_gossip g;
        struct node *n;

        if (!codec_read_gossip(message, i, &g))
            continue;
        n = node_find(c, g.id);
        if (n == NULL) {
            learn_node(c, sender, &g);
        } else if (n != c->myself && n != sender) {
            learn_health(c, sender, n, &g);
            learn_address(c, n, &g);
        }
    }
}
