/*
 * role.c - this node's own role. Both changes are durable before they are obeyed or heard of.
 */
#include "cluster/role.h"

#include "cluster/action.h"
#include "cluster/claim.h"
#include "cluster/election.h"
#include "cluster/inherit.h"
#include "cluster/manual.h"
#include "cluster/node.h"
#include "cluster/slots.h"

void role_follow(struct cluster *c, struct node *master)
{
    check(master != c->myself && c->replication);
    manual_reset(c);
    election_cancel(c);
    slots_clear_marks(c);
    claim_forget_all(c, c->myself);
    node_make_replica(c, c->myself, master);
    /* The data set is replaced as a whole. */
    memset(c->lost, 0, sizeof c->lost);
    memset(c->dropping, 0, sizeof c->dropping);
    c->any_lost = false;
    memset(c->arriving, 0, sizeof c->arriving);
    c->dropping_count = c->arriving_count = 0;
    inherit_forget(c);
    c->repl_whole = c->repl_link_up = false;
    c->repl_heard = c->now;
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
    election_cancel(c);
    c->promote_due = true;
    c->replicate_due = false;
    c->state_due = true;
    cluster_changed_durable(c);
}
