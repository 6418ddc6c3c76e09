/*
 * nodes_conf.h - the file that survives: nodes, slots, epochs and the last vote, as text in Redis' format.
 */
#ifndef CAIRN_CLUSTER_NODES_CONF_H
#define CAIRN_CLUSTER_NODES_CONF_H

#include "base/buf.h"
#include "cluster/cluster_priv.h"

/* All nodes but those in handshake, then the vars line. */
void nodes_conf_print(const struct cluster *c, struct buf *out);

/*
 * Fills an empty core (no nodes yet) from text. ERR_CORRUPT with text otherwise; the core is then only good for
 * cluster_free.
 */
enum err nodes_conf_load(struct cluster *c, struct slice text) WARN_UNUSED;

/* One line without its end. aux: with the auxiliary fields of nodes.conf; tls: show the TLS port (not with aux). */
void nodes_conf_print_node(const struct cluster *c, const struct node *n, bool aux, bool tls, struct buf *out);

#endif
