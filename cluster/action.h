/*
 * action.h - the step's list of actions, and the rule "persist before send".
 */
#ifndef CAIRN_CLUSTER_ACTION_H
#define CAIRN_CLUSTER_ACTION_H

#include "cluster/cluster_priv.h"

/* Empties the list and what its actions borrowed. */
void action_reset(struct cluster *c);
void action_free(struct cluster *c);

/* Bytes that live until the next step. */
void *action_take(struct cluster *c, size_t size);
struct slice action_copy(struct cluster *c, struct slice bytes);
const char *action_text(struct cluster *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

void action_connect(struct cluster *c, link_t link, const char *ip, uint16_t port);
void action_close(struct cluster *c, link_t link);

/* bytes must come from action_take or action_copy. Puts a PERSIST in front if something durable changed. */
void action_send(struct cluster *c, link_t link, struct slice bytes);

/* Writes nodes.conf if something changed: durable things always, the rest only with lazy. */
void action_persist(struct cluster *c, bool lazy);

void action_log(struct cluster *c, enum log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* An action of a type without special rules; the caller fills in the rest. */
struct cluster_action *action_add(struct cluster *c, enum cluster_action_type type);

#endif
