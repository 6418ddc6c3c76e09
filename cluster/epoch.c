/*
 * epoch.c - epochs only grow, and each change is durable before it is spoken of.
 */
#include "cluster/epoch.h"

#include "cluster/action.h"
#include "cluster/message.h"
#include "cluster/node.h"
#include "cluster/state.h"

void epoch_see(struct cluster *c, uint64_t epoch)
{
    if (epoch <= c->current_epoch)
        return;
    c->current_epoch = epoch;
    cluster_changed_durable(c);
}

uint64_t epoch_max(const struct cluster *c)
{
    uint64_t max = c->current_epoch;

    for (size_t i = 0; i < c->node_count; i++)
        if (c->nodes[i]->config_epoch > max)
            max = c->nodes[i]->config_epoch;
    return max;
}

static void take_new(struct cluster *c)
{
    check(c->current_epoch < UINT64_MAX);
    c->current_epoch++;
    c->myself->config_epoch = c->current_epoch;
    if (c->planted_bugs & CLUSTER_BUG_EPOCH_NOT_PERSISTED)
        c->persist_lazy = true;
    else
        cluster_changed_durable(c);
}

void epoch_resolve_collision(struct cluster *c, const struct node *other)
{
    struct node *me = c->myself;

    /* Who may have been replaced in the meantime must not go beyond the epoch of that election: it is to hear of it first. */
    if (node_is_voter(me) && !state_is_heard(c))
        return;
    if (!node_is_master(other) || !node_is_master(me) || other->config_epoch != me->config_epoch ||
        memcmp(me->id, other->id, CLUSTER_ID_SIZE) >= 0 || (c->planted_bugs & CLUSTER_BUG_NO_COLLISION_RULE))
        return;
    take_new(c);
    action_log(c, LOG_WARNING, "configEpoch collision with node %.40s. Updating my configEpoch to %llu", other->id,
               (unsigned long long)me->config_epoch);
}

bool epoch_bump(struct cluster *c)
{
    struct node *me = c->myself;
    uint64_t max = epoch_max(c);

    if (me->config_epoch != 0 && me->config_epoch == max)
        return false;
    epoch_see(c, max);
    take_new(c);
    action_log(c, LOG_WARNING, "New configEpoch set to %llu", (unsigned long long)me->config_epoch);
    return true;
}

void epoch_bump_above(struct cluster *c, uint64_t above)
{
    epoch_see(c, above);
    if (!epoch_bump(c) && c->myself->config_epoch <= above)
        take_new(c);
}

/* The epoch that a claim would take. */
static uint64_t next_epoch(const struct cluster *c, uint64_t above)
{
    for (size_t i = 0; i < c->node_count; i++)
        if (c->nodes[i]->config_epoch > above)
            above = c->nodes[i]->config_epoch;
    return above + 1;
}

void epoch_reserve(struct cluster *c, uint64_t above)
{
    epoch_see(c, next_epoch(c, above) + 1);
    message_ping_masters(c);
}

bool epoch_is_reserved(const struct cluster *c, uint64_t above)
{
    uint64_t epoch = next_epoch(c, above);
    unsigned count = node_is_voter(c->myself) && c->current_epoch > epoch;

    for (size_t i = 1; i < c->node_count; i++)
        count += node_is_voter(c->nodes[i]) && c->nodes[i]->seen_epoch > epoch;
    return count >= node_quorum(c);
}

bool epoch_take_reserved(struct cluster *c, uint64_t above)
{
    if (!epoch_is_reserved(c, above))
        return false;
    epoch_see(c, next_epoch(c, above));
    c->myself->config_epoch = next_epoch(c, above);
    cluster_changed_durable(c);
    action_log(c, LOG_WARNING, "New configEpoch set to %llu", (unsigned long long)c->myself->config_epoch);
    return true;
}
