/*
 * state.c - ok or fail (facts 10).
 *
 * fail: a slot without a working owner (with full coverage), or this node is in a minority.
 * To fail at once; to ok, for a master, only after the delays that let news of a failover arrive first.
 */
#include "cluster/state.h"

#include "cluster/action.h"
#include "cluster/arrival.h"
#include "cluster/ballot.h"
#include "cluster/node.h"

static bool covered(const struct cluster *c)
{
    if (c->assigned_count < SLOTS)
        return false;
    for (size_t i = 0; i < c->node_count; i++)
        if (node_is(c->nodes[i], NODE_FAIL) && c->nodes[i]->slot_count > 0)
            return false;
    return true;
}

/*
 * A voter accepts writes only while a majority is known to have heard it within the node timeout: as long as that is so,
 * no majority can hold it as failing, and no replica can have replaced it without an operator's force. (The others count
 * the timeout from the last they heard of it; this node counts from when it sent what they answered, which is earlier.) A master that
 * was failing, and may have been replaced without knowing it, is not one of them.
 */
static bool reachable(const struct cluster *c, const struct node *n)
{
    if (!node_is_voter(n) || node_is(n, NODE_PFAIL | NODE_FAIL) || (n != c->myself && ballot_doubts(c, n)))
        return false;
    return n == c->myself || !node_is_voter(c->myself) || (c->planted_bugs & CLUSTER_BUG_NO_LEASE) != 0 ||
           c->now - n->heard_us < c->config.node_timeout_ms;
}

static bool in_minority(const struct cluster *c)
{
    unsigned count = 0;

    for (size_t i = 0; i < c->node_count; i++)
        count += reachable(c, c->nodes[i]);
    return count < node_quorum(c);
}

static msec_t clamp(msec_t value, msec_t min, msec_t max)
{
    return value < min ? min : value > max ? max : value;
}

/* How many voters, this one included, are known to have heard it at that time or later. */
static unsigned heard_since(const struct cluster *c, msec_t time)
{
    unsigned count = 1;

    for (size_t i = 1; i < c->node_count; i++)
        count += node_is_voter(c->nodes[i]) && !node_is(c->nodes[i], NODE_PFAIL | NODE_FAIL) &&
                 c->nodes[i]->heard_us >= time && !ballot_doubts(c, c->nodes[i]);
    return count;
}

msec_t cluster_writes_until(const struct cluster *c)
{
    msec_t low = c->now - c->config.node_timeout_ms, high = c->now + 1;

    if (!node_is_voter(c->myself) || node_quorum(c) == 1 || (c->planted_bugs & CLUSTER_BUG_NO_LEASE) != 0)
        return INT64_MAX;
    while (high - low > 1) { /* a majority heard it at low or later (or low is too long ago), none at high */
        msec_t middle = low + (high - low) / 2;

        if (heard_since(c, middle) >= node_quorum(c))
            low = middle;
        else
            high = middle;
    }
    return low + c->config.node_timeout_ms;
}

void state_begin_lease(struct cluster *c)
{
    for (size_t i = 1; i < c->node_count; i++)
        if (!node_is(c->nodes[i], NODE_PFAIL | NODE_FAIL) && c->nodes[i]->heard_us < c->now)
            c->nodes[i]->heard_us = c->now;
}

static msec_t rejoin_ms(const struct cluster *c)
{
    return clamp(c->config.node_timeout_ms, REJOIN_DELAY_MIN_MS, REJOIN_DELAY_MAX_MS);
}

bool state_is_heard(const struct cluster *c)
{
    return !in_minority(c) && (c->minority_time == 0 || c->now - c->minority_time >= rejoin_ms(c));
}

bool state_update(struct cluster *c)
{
    bool minority = in_minority(c), master = node_is_master(c->myself);
    bool ok = !minority && (!c->config.require_full_coverage || covered(c));

    if (c->first_state_time == 0)
        c->first_state_time = c->now;
    /* A master that has just started does not look yet: it knows no peer, which is no minority it has to make up for. */
    if (master && !c->ok && c->now - c->first_state_time < STARTUP_DELAY_MS)
        return false;
    if (minority) {
        c->minority_time = c->now;
        arrival_doubt(c);
    }
    if (ok == c->ok)
        return false;
    if (ok && master && c->minority_time != 0 && c->now - c->minority_time < rejoin_ms(c))
        return false;
    c->ok = ok;
    action_log(c, LOG_NOTICE, "Cluster state changed: %s", ok ? "ok" : "fail");
    return true;
}
