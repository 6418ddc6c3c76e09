/*
 * handover.c - the decisions of an atomic migration.
 *
 * (1) One of the two owns the slots at any time, by an epoch: the source's until the claim, which has a greater one.
 * (2) Neither side takes slots while no majority hears it. A target in a minority would claim what the source's replica is being elected
 *     for, a source in a minority would take back, by a greater epoch, what the target has served since.
 */
#include "cluster/handover.h"

#include "cluster/ballot.h"
#include "cluster/cluster_priv.h"
#include "cluster/epoch.h"
#include "cluster/node.h"
#include "cluster/state.h"

enum {
    UNHEARD_TIMEOUTS = 3, /* x node timeout: a target that does not answer is given up */
    EPOCH_AHEAD = 8,      /* above what a claim that was not heard of may have */
};

static bool is(const struct node *n, const char *id)
{
    return n != NULL && memcmp(n->id, id, CLUSTER_ID_SIZE) == 0;
}

struct handover_owners handover_owners(const struct cluster *core, const struct handover *h)
{
    struct handover_owners o = {.current = epoch_max(core)};

    for (size_t i = 0; i < h->slot_count; i++) {
        const struct node *owner = core->owner[h->slots[i]];

        if (owner == core->myself) {
            o.mine++;
            o.epoch = owner->config_epoch;
        } else if (is(owner, h->target)) {
            o.targets++;
        } else {
            o.others++;
        }
    }
    return o;
}

static enum handover_problem slot_problem(const struct cluster *core, const struct handover *h, slot_t slot)
{
    if (!is(core->owner[slot], h->source))
        return HANDOVER_NOT_SOURCES;
    if (cluster_slot_is_open(core, slot))
        return HANDOVER_OPEN;
    if (cluster_slot_dropping(core, slot) || cluster_slot_arriving(core, slot))
        return HANDOVER_DROPPING;
    return cluster_slot_keys(core, slot) > 0 ? HANDOVER_HAS_KEYS : HANDOVER_FINE;
}

enum handover_problem handover_may_arrive(const struct cluster *core, const struct handover *h, slot_t *slot)
{
    enum handover_problem problem = HANDOVER_FINE;

    *slot = 0;
    if (!is(core->myself, h->target))
        return HANDOVER_NOT_ME;
    if (!node_is_master(core->myself))
        return HANDOVER_NO_MASTER;
    for (size_t i = 0; i < h->slot_count && problem == HANDOVER_FINE; i++) {
        *slot = h->slots[i];
        problem = slot_problem(core, h, *slot);
    }
    return problem;
}

/* By a failover by command: whom this node has voted for leads here by that vote's epoch, which no claim may beat. */
static bool is_being_replaced(const struct cluster *core)
{
    return ballot_epoch_of(core, core->myself) != core->myself->config_epoch;
}

bool handover_may_claim(const struct cluster *core, const struct handover *h)
{
    if (!node_is_master(core->myself) || (!state_is_heard(core) && (core->planted_bugs & CLUSTER_BUG_CLAIM_CUT_OFF) == 0))
        return false;
    if (core->myself->open_count > 0 || is_being_replaced(core))
        return false;
    for (size_t i = 0; i < h->slot_count; i++)
        if ((!is(core->owner[h->slots[i]], h->source) && (core->planted_bugs & CLUSTER_BUG_CLAIM_OF_OTHERS) == 0) ||
            !cluster_slot_arriving(core, h->slots[i]))
            return false;
    return true;
}

bool handover_is_settled(const struct cluster *core)
{
    return core->myself->open_count == 0;
}

bool handover_reserved(const struct cluster *core, uint64_t above)
{
    return epoch_is_reserved(core, above) || (core->planted_bugs & CLUSTER_BUG_CLAIM_NOT_HEARD) != 0;
}

bool handover_may_finish(const struct cluster *core, const struct handover *h)
{
    return handover_owners(core, h).mine == h->slot_count && !is_being_replaced(core);
}

bool handover_claimed(const struct cluster *core, const struct handover *h)
{
    return handover_owners(core, h).mine > 0;
}

enum handover_verdict handover_judge(const struct cluster *core, const struct handover *h, msec_t *since)
{
    struct handover_owners o = handover_owners(core, h);

    if (o.mine < h->slot_count)
        return o.targets > 0 ? HANDOVER_CLAIMED : HANDOVER_NOT_CLAIMED; /* or somebody else's, who was elected */
    if (*since == 0 || (!state_is_heard(core) && (core->planted_bugs & CLUSTER_BUG_TAKE_BACK_CUT_OFF) == 0))
        *since = core->now;
    return core->now - *since > UNHEARD_TIMEOUTS * core->config.node_timeout_ms ? HANDOVER_TAKE_BACK : HANDOVER_UNKNOWN;
}

bool handover_may_take_back(const struct cluster *core, const struct handover *h)
{
    return handover_owners(core, h).mine == h->slot_count &&
           (state_is_heard(core) || (core->planted_bugs & CLUSTER_BUG_TAKE_BACK_CUT_OFF) != 0);
}

uint64_t handover_above(const struct handover_owners *o)
{
    return o->current + EPOCH_AHEAD;
}
