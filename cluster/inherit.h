/*
 * inherit.h - the slots that SETSLOT opened at a master, as its replicas know them.
 *
 * A master's marks (MIGRATING, IMPORTING) are its own: Redis' bus does not tell of them. A Cairn master says them in its stream, and a
 * replica that is promoted goes on as its master would have: it sends clients to the target for keys that are not here any more, takes
 * keys that come, and keeps the keys of a slot that another node claimed meanwhile, until MIGRATE takes them (update.c, rule 4).
 * nodes.conf of a replica remembers them ("masterOpen", which Redis skips).
 *
 * As text: parts of target>slots; or source<slots; with the node's id and slots as in ranges.h. Empty: none.
 */
#ifndef CAIRN_CLUSTER_INHERIT_H
#define CAIRN_CLUSTER_INHERIT_H

#include "cluster/cluster_priv.h"

/* The marks of this node itself, for its replicas. */
void inherit_print_own(const struct cluster *c, struct buf *out);

/* What this replica knows of its master's, for nodes.conf. */
void inherit_print(const struct cluster *c, struct buf *out);

/*
 * The master's marks are exactly these now; nodes that this one does not know are left out. A slot that its master migrates is not
 * dropped at a promotion. False: this is not such a text, and nothing has changed. Outside bytes.
 */
bool inherit_read(struct cluster *c, struct slice text) WARN_UNUSED;

/* The node leaves the table. */
void inherit_forget_node(struct cluster *c, const struct node *n);

/* Another master, or none any more. */
void inherit_forget(struct cluster *c);

/* A promotion, behind the change of the slot map and before arrival_abandon_all: the marks become this node's own. */
void inherit_adopt(struct cluster *c);

#endif
