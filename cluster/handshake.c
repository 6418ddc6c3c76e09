/*
 * handshake.c - joining and leaving.
 *
 *  MEET command, or MEET of an unknown sender
 *      handshake_start: random id, HANDSHAKE  --- connect, MEET/PING --->  peer
 *      handshake_on_reply: known id: drop the entry, keep the known node
 *                          unknown id: the entry takes it, HANDSHAKE ends
 *      handshake_expire: after max(node timeout, 1 s) the entry goes
 */
#include "cluster/handshake.h"

#include "cluster/action.h"
#include "cluster/link.h"
#include "cluster/node.h"

#include <stdlib.h>

bool handshake_start(struct cluster *c, const char *ip, uint16_t base, uint16_t second, uint16_t bus, bool meet)
{
    struct node *n;

    if (ip[0] == '\0' || bus == 0 || c->node_count >= NODES_MAX)
        return false;
    for (size_t i = 0; i < c->node_count; i++)
        if (node_is(c->nodes[i], NODE_HANDSHAKE) && node_address_is(c, c->nodes[i], ip, base, bus))
            return true;
    n = node_add(c, NULL, NODE_HANDSHAKE | (meet ? NODE_MEET : 0));
    node_set_address(c, n, ip, base, second, bus);
    return true;
}

static const char *sender_ip(const struct link *l, const struct codec_header *h)
{
    return h->ip[0] != '\0' ? h->ip : l->peer_ip;
}

void handshake_on_ping(struct cluster *c, const struct link *l, const struct codec_header *h, bool known)
{
    struct node *me = c->myself;

    if (c->config.announce_ip[0] == '\0' && l->local_ip[0] != '\0' &&
        (h->type == CODEC_MEET || me->ip[0] == '\0') && strcmp(me->ip, l->local_ip) != 0) {
        node_set_address(c, me, l->local_ip, node_base_port(c, me), node_second_port(c, me), me->bus_port);
        action_log(c, LOG_NOTICE, "IP address for this node updated to %s", me->ip);
    }
    if (!known && h->type == CODEC_MEET)
        handshake_start(c, sender_ip(l, h), h->port, h->second_port, h->bus_port, false);
}

bool handshake_on_reply(struct cluster *c, struct link *l, const struct codec_header *h)
{
    struct node *n = l->node, *known = node_find(c, h->sender);

    if (known == n)
        return true;
    if (node_is(n, NODE_HANDSHAKE)) {
        if (known != NULL) {
            /* It is known already, perhaps under another address. */
            const char *ip = h->ip[0] != '\0' ? h->ip : n->ip;

            if (known != c->myself && !node_address_is(c, known, ip, h->port, h->bus_port)) {
                if (known->out != NULL)
                    link_close(c, known->out);
                node_set_address(c, known, ip, h->port, h->second_port, h->bus_port);
                node_set_flags(c, known, 0, NODE_NOADDR);
            }
            node_remove(c, n);
            return false;
        }
        node_rename(c, n, h->sender);
        node_set_flags(c, n, h->master[0] == '\0' ? NODE_MASTER : NODE_REPLICA, NODE_HANDSHAKE | NODE_MEET);
        action_log(c, LOG_NOTICE, "Handshake with node %.40s (%s:%u) completed", n->id, n->ip, n->port);
        return true;
    }
    /* Another node lives at this address now. The ping clock goes on: it is noticed if it does not come back. */
    action_log(c, LOG_NOTICE, "Node %.40s does not answer at %s:%u, node %.40s does", n->id, n->ip, n->port, h->sender);
    node_set_flags(c, n, NODE_NOADDR, 0);
    node_set_address(c, n, "", 0, 0, 0);
    if (n->ping_sent == 0)
        n->ping_sent = c->now;
    link_close(c, l);
    return false;
}

void handshake_update_address(struct cluster *c, struct node *n, const struct link *l, const struct codec_header *h)
{
    const char *ip = sender_ip(l, h);

    if (!link_is_inbound(l) || ip[0] == '\0' ||
        !node_set_address(c, n, ip, h->port, h->second_port, h->bus_port))
        return;
    if (n->out != NULL)
        link_close(c, n->out);
    node_set_flags(c, n, 0, NODE_NOADDR);
    action_log(c, LOG_NOTICE, "Address updated for node %.40s, now %s:%u", n->id, n->ip, n->port);
    if (c->replication && c->myself->master == n) {
        struct cluster_action *a = action_add(c, CLUSTER_REPLICATE);

        memcpy(a->node, n->id, sizeof a->node);
        a->text = action_text(c, "%s", n->ip);
        a->port = node_replication_port(c, n);
    }
}

bool handshake_expire(struct cluster *c, struct node *n)
{
    msec_t limit = c->config.node_timeout_ms > HANDSHAKE_MIN_MS ? c->config.node_timeout_ms : HANDSHAKE_MIN_MS;

    if (!node_is(n, NODE_HANDSHAKE) || c->now - n->created <= limit)
        return false;
    node_remove(c, n);
    return true;
}

/* ---- The blacklist ---- */

static void drop_expired(struct cluster *c)
{
    for (size_t i = c->blacklist_count; i-- > 0;)
        if (c->blacklist[i].until <= c->now)
            c->blacklist[i] = c->blacklist[--c->blacklist_count];
}

bool handshake_forgotten(struct cluster *c, const char *id)
{
    drop_expired(c);
    for (size_t i = 0; i < c->blacklist_count; i++)
        if (memcmp(c->blacklist[i].id, id, CLUSTER_ID_SIZE) == 0)
            return true;
    return false;
}

void handshake_forget(struct cluster *c, const char *id, msec_t ttl_ms)
{
    if (handshake_forgotten(c, id) || c->blacklist_count >= BLACKLIST_MAX)
        return;
    c->blacklist = realloc(c->blacklist, (c->blacklist_count + 1) * sizeof *c->blacklist);
    check(c->blacklist != NULL);
    memcpy(c->blacklist[c->blacklist_count].id, id, CLUSTER_ID_SIZE);
    c->blacklist[c->blacklist_count].id[CLUSTER_ID_SIZE] = '\0';
    c->blacklist[c->blacklist_count++].until = c->now + ttl_ms;
}

void handshake_forget_none(struct cluster *c)
{
    c->blacklist_count = 0;
}

unsigned handshake_write_forgotten(struct cluster *c, struct buf *b)
{
    drop_expired(c);
    for (size_t i = 0; i < c->blacklist_count; i++) {
        struct codec_forgotten f = {.ttl_s = (uint64_t)((c->blacklist[i].until - c->now) / 1000)};

        memcpy(f.id, c->blacklist[i].id, sizeof f.id);
        codec_write_extension_forgotten(b, &f);
    }
    return (unsigned)c->blacklist_count;
}
