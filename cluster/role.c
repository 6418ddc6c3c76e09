/*
 * role.c - this node's own role. Both changes are durable before they are obeyed or heard of.
 */
#include "cluster/role.h"

#include "cluster/action.h"
#include "cluster/node.h"
#include "cluster/slots.h"

void role_follow(struct cluster *c, struct node *master)
{
    check(master != c->myself && c->replication);
    role_manual_reset(c);
    slots_clear_marks(c);
    node_make_replica(c, c->myself, master);
    /* The data set is replaced as a whole. */
    memset(c->lost, 0, sizeof c->lost);
    memset(c->dropping, 0, sizeof c->dropping);
    c->any_lost = false;
    c->dropping_count = 0;
    c->replicate_due = true;
    c->promote_due = false;
    c->state_due = true;
    cluster_changed_durable(c);
}

void role_promote(struct cluster *c)
{
    if (node_is_master(c->myself))
        return;
    node_make_master(c, c->myself);
    c->promote_due = true;
    c->replicate_due = false;
    c->state_due = true;
    cluster_changed_durable(c);
}

void role_manual_reset(struct cluster *c)
{
    if (c->manual_end != 0 && c->manual_replica != NULL)
        action_add(c, CLUSTER_PAUSE)->until_ms = 0;
    c->manual_end = 0;
    c->manual_replica = NULL;
}
