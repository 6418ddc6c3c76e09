/*
 * cron.c - the clock's part of the protocol (facts 6.5).
 */
#include "cluster/cron.h"

#include "cluster/arrival.h"
#include "cluster/action.h"
#include "cluster/claim.h"
#include "cluster/failure.h"
#include "cluster/handshake.h"
#include "cluster/link.h"
#include "cluster/manual.h"
#include "cluster/message.h"
#include "cluster/migration.h"
#include "cluster/node.h"
#include "cluster/update.h"

enum { TICKS_PER_RANDOM_PING = 10, RANDOM_PING_DRAWS = 5, VOTER_PING_PART = 10, PING_MS = 10 };

/* Once a second one more ping, to the quietest of a few random nodes: it spreads gossip in a calm cluster. */
static void ping_random_node(struct cluster *c)
{
    struct node *quietest = NULL;

    for (int i = 0; i < RANDOM_PING_DRAWS; i++) {
        struct node *n = c->nodes[rng_below(&c->rng, c->node_count)];

        if (n->out == NULL || !n->out->connected || n->ping_sent != 0 || node_is(n, NODE_MYSELF | NODE_HANDSHAKE))
            continue;
        if (quietest == NULL || n->pong_received < quietest->pong_received)
            quietest = n;
    }
    if (quietest != NULL)
        message_send_ping(c, quietest->out, CODEC_PING);
}

/*
 * The link may be dead without our knowing: make a new one, well before the node counts as failing. A node that is
 * heard on its own link to us is given more time, but not for ever: our link may be dead all the same.
 */
static bool link_is_stale(const struct cluster *c, const struct node *n)
{
    msec_t timeout = c->config.node_timeout_ms, ping_age = c->now - n->ping_sent;

    if (c->now - n->out->created <= timeout || n->ping_sent == 0 || c->stood_still)
        return false;
    if (ping_age > timeout / 2 && c->now - n->data_received > timeout / 2)
        return true;
    return ping_age > timeout && c->now - n->out->data_received > timeout;
}

/*
 * Masters with slots ask each other more often than Redis does: the clock of a failure starts with an unanswered PING,
 * and the right to accept writes is that a majority was heard of lately (state.c). The others may become masters; for
 * them the pace is Redis', but what gossip tells of them does not count. Bounded by a number of PINGs per second.
 */
static bool is_due(const struct cluster *c, const struct node *n)
{
    msec_t timeout = c->config.node_timeout_ms, interval, least;

    if (!node_is_voter(c->myself) || (c->planted_bugs & CLUSTER_REDIS_SCHEDULE) != 0)
        return false;
    interval = node_is_voter(n) ? timeout / VOTER_PING_PART : timeout / 2;
    least = (msec_t)(node_is_voter(n) ? c->voters : c->node_count) * PING_MS;
    return c->now - n->answered > (interval > least ? interval : least);
}

static void tend_link(struct cluster *c, struct node *n)
{
    msec_t timeout = c->config.node_timeout_ms;

    if (n->out != NULL && link_is_stale(c, n))
        link_close(c, n->out);
    if (n->out == NULL || !n->out->connected)
        return;
    if ((n->ping_sent == 0 && (c->now - n->pong_received > timeout / 2 || is_due(c, n))) ||
        (manual_is_paused(c) && c->manual.replica == n))
        message_send_ping(c, n->out, CODEC_PING);
}

static void tend_node(struct cluster *c, struct node *n)
{
    if (n->out == NULL && !node_is(n, NODE_NOADDR) && n->bus_port != 0 && n->ip[0] != '\0')
        link_connect(c, n);
    if (node_is(n, NODE_HANDSHAKE))
        return;
    tend_link(c, n);
    if (!c->stood_still)
        failure_check(c, n);
}

/*
 * A process that was stopped, or a machine that stood still, comes back to a clock that went on: the answers to its PINGs
 * are there, but not read yet. Whom it held as failing now would be told to all, and a report from before makes it FAIL. So silence
 * and links are judged at the next tick, when what was there has been read. (Not twice in a row: a starved node judges too.)
 */
static void notice_standstill(struct cluster *c)
{
    c->stood_still = !c->stood_still && c->tick_time != 0 && c->now - c->tick_time > c->config.node_timeout_ms / 2;
    c->tick_time = c->now;
}

void cron_tick(struct cluster *c)
{
    c->ticks++;
    notice_standstill(c);
    c->voters = node_voters(c);
    c->pong_all |= c->pong_soon;
    c->pong_soon = false;
    for (size_t i = c->node_count; i-- > 1;) /* backwards: a removal moves the last node into the gap */
        handshake_expire(c, c->nodes[i]);
    if (c->ticks % TICKS_PER_RANDOM_PING == 0)
        ping_random_node(c);
    for (size_t i = 1; i < c->node_count; i++)
        tend_node(c, c->nodes[i]);
    claim_tick(c);
    manual_tick(c);
    migration_tick(c);
    update_follow_grand(c);
    if (!node_is_master(c->myself))
        arrival_forget_dropped(c);
    if (!c->ok || node_is_voter(c->myself)) /* a voter's lease runs out by the clock */
        c->state_due = true;
}
