/*
 * link.c - the life of links.
 *
 *      link_connect            link_on_up                link_on_down, link_close
 *  none ----------> connecting ----------> connected ------------------------------> none
 *                       | link_on_failed: the ping clock is running, cron tries again
 *                       v
 *                      none                link_on_accepted: inbound links start connected, without a node
 */
#include "cluster/link.h"

#include "cluster/action.h"
#include "cluster/message.h"
#include "cluster/node.h"

#include <stdio.h>
#include <stdlib.h>

static struct link **bucket_of(struct cluster *c, link_t id)
{
    return &c->link_buckets[id & (LINK_BUCKETS - 1)];
}

struct link *link_find(const struct cluster *c, link_t id)
{
    struct link *l = c->link_buckets[id & (LINK_BUCKETS - 1)];

    while (l != NULL && l->id != id)
        l = l->next;
    return l;
}

static struct link *link_add(struct cluster *c, link_t id)
{
    struct link *l = calloc(1, sizeof *l);
    struct link **head = bucket_of(c, id);

    check(l != NULL);
    l->id = id;
    l->created = c->now;
    l->next = *head;
    *head = l;
    return l;
}

static void link_forget(struct cluster *c, struct link *l)
{
    struct link **at = bucket_of(c, l->id);

    if (l->node != NULL && l->node->out == l)
        l->node->out = NULL;
    if (l->node != NULL && l->node->in == l)
        l->node->in = NULL;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    free(l);
}

void link_connect(struct cluster *c, struct node *n)
{
    struct link *l = link_add(c, ++c->next_link);

    check(n->out == NULL && n != c->myself);
    l->node = n;
    n->out = l;
    /* A peer that answers nothing at all must be noticed too: the clock runs from the first attempt. */
    if (n->ping_sent == 0 && !node_is(n, NODE_HANDSHAKE))
        n->ping_sent = c->now;
    action_connect(c, l->id, n->ip, n->bus_port);
}

void link_tie(struct cluster *c, struct link *l, struct node *n)
{
    if (l->node == n || !link_is_inbound(l))
        return;
    if (l->node != NULL && l->node->in == l)
        l->node->in = NULL;
    if (n->in != NULL)
        link_close(c, n->in);
    l->node = n;
    n->in = l;
}

void link_close(struct cluster *c, struct link *l)
{
    action_close(c, l->id);
    link_forget(c, l);
}

void link_on_up(struct cluster *c, link_t id)
{
    struct link *l = link_find(c, id);
    struct node *n;

    if (l == NULL || link_is_inbound(l) || l->connected)
        return;
    l->connected = true;
    n = l->node;
    message_send_ping(c, l, node_is(n, NODE_MEET) ? CODEC_MEET : CODEC_PING);
    n->flags &= (uint16_t)~NODE_MEET;
}

void link_on_failed(struct cluster *c, link_t id)
{
    struct link *l = link_find(c, id);

    if (l != NULL && !link_is_inbound(l))
        link_forget(c, l);
}

void link_on_down(struct cluster *c, link_t id, bool overflow)
{
    struct link *l = link_find(c, id);

    if (overflow)
        c->links_overflowed++;
    if (l != NULL)
        link_forget(c, l);
}

void link_on_accepted(struct cluster *c, link_t id, const char *local_ip, const char *peer_ip)
{
    struct link *l;

    check((id & CLUSTER_LINK_INBOUND) != 0 && link_find(c, id) == NULL);
    l = link_add(c, id);
    l->connected = true;
    snprintf(l->local_ip, sizeof l->local_ip, "%s", local_ip != NULL ? local_ip : "");
    snprintf(l->peer_ip, sizeof l->peer_ip, "%s", peer_ip != NULL ? peer_ip : "");
}

void link_free_all(struct cluster *c)
{
    for (size_t i = 0; i < LINK_BUCKETS; i++)
        while (c->link_buckets[i] != NULL)
            link_forget(c, c->link_buckets[i]);
}
