/*
 * link.h - connections as numbers: one outbound link to every node, inbound ones from peers.
 */
#ifndef CAIRN_CLUSTER_LINK_H
#define CAIRN_CLUSTER_LINK_H

#include "cluster/cluster_priv.h"

struct link *link_find(const struct cluster *c, link_t id); /* NULL: unknown */

/* Starts n's outbound link (n has none, and an address). */
void link_connect(struct cluster *c, struct node *n);

/* Forgets an inbound link's earlier node if it has one, and ties it to n; an older inbound link of n is closed. */
void link_tie(struct cluster *c, struct link *l, struct node *n);

/* Says CLOSE and forgets the link. */
void link_close(struct cluster *c, struct link *l);

void link_on_up(struct cluster *c, link_t id);
void link_on_failed(struct cluster *c, link_t id);
void link_on_down(struct cluster *c, link_t id, bool overflow);
void link_on_accepted(struct cluster *c, link_t id, const char *local_ip, const char *peer_ip);

void link_free_all(struct cluster *c);

#endif
