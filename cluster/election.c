/*
 * election.c - a replica replaces its failed master (Redis Cluster spec, replica election and promotion; facts 9.1).
 *
 * The candidate:
 *                 stand: planned              begin: epoch + 1,            on_ack: quorum
 *      no election ------------> waiting -----> request to all ----> asking ------------> master, claims the slots
 *           ^                       |  rank grows: later                |  not answered: asks again, same epoch
 *           +-----------------------+-----------------------------------+
 *             master is back, or no quorum in time (then a new plan)
 *
 * (1) One vote per epoch, also across a crash: last_vote_epoch is durable before the ack leaves.
 * (2) One replacement of a master per 2 x node timeout, so that the winner's news can spread.
 * (3) No vote for a candidate whose claim is older than what is known of its slots.
 * (4) A replica whose data is not whole never stands; one whose data is too old stands only if an operator asks.
 * (5) A vote names the masters that may have been replaced without knowing it; their votes do not count beside it (ballot.h).
 * (6) What the master stopped claiming is another's, of whom the winner may not have heard. It claims that openly (claim.h), by
 *     basis 0: only if nobody else has it.
 * (7) Faster than Redis where it is safe: a candidate that knows itself to be the best of its shard, because every other
 *     reachable replica told it so after the master failed (as newer Valkey does), does not wait; and it asks again
 *     those who have not voted, so that a voter that hears of the failure after the request loses no round.
 */
#include "cluster/election.h"

#include "cluster/action.h"
#include "cluster/arrival.h"
#include "cluster/ballot.h"
#include "cluster/claim.h"
#include "cluster/epoch.h"
#include "cluster/manual.h"
#include "cluster/message.h"
#include "cluster/node.h"
#include "cluster/role.h"
#include "cluster/slots.h"

enum {
    DELAY_MS = 500,      /* FAIL should reach the voters before the request does */
    DELAY_RANDOM_MS = 500,
    DELAY_RANK_MS = 1000,
    WAIT_FACTOR = 2,     /* x node timeout: for the votes; voters do not vote again earlier either */
    WAIT_MIN_MS = 2000,
    ASK_AGAIN_MS = 100,  /* doubles each time */
};

/* ---- The voter ---- */
/* NULL: the vote may be given. */
static const char *refusal(const struct cluster *c, const struct node *candidate, const struct codec_header *h)
{
    const struct node *master = candidate->master;
    bool forced = (h->mflags & CODEC_MFLAG_FORCE_ACK) != 0;

    if (!node_is_voter(c->myself))
        return "this node has no vote";
    if (h->current_epoch < c->current_epoch)
        return "its epoch is old";
    if (c->last_vote_epoch == c->current_epoch && (c->planted_bugs & CLUSTER_BUG_VOTE_TWICE) == 0)
        return "already voted in this epoch";
    if (node_is_master(candidate) || master == NULL)
        return "it is a master, or its master is not known";
    if (!node_is(master, NODE_FAIL) && !forced)
        return "its master is up";
    if (c->now - master->voted_time < c->config.node_timeout_ms * VOTE_PAUSE_FACTOR && master->voted_time != 0 &&
        (c->planted_bugs & CLUSTER_BUG_VOTE_TWICE) == 0)
        return "a vote to replace this master was given a short time ago";
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        const struct node *owner = bit_get(h->slots, slot) ? c->owner[slot] : NULL;

        if (owner != NULL && (owner->config_epoch > h->config_epoch || (owner != master && ballot_epoch_of(c, owner) > h->config_epoch)))
            return "it claims a slot with an old config epoch";
    }
    if (candidate->out == NULL || !candidate->out->connected)
        return "there is no link to tell it";
    return NULL;
}

void election_on_request(struct cluster *c, struct node *candidate, const struct codec_header *h)
{
    uint8_t ballots[CODEC_SLOTS_SIZE];
    const char *why;
    bool known;

    ballot_on_request(c, candidate, h);
    why = refusal(c, candidate, h);
    if (why != NULL) {
        action_log(c, LOG_NOTICE, "Failover auth denied to %.40s for epoch %llu: %s", candidate->id,
                   (unsigned long long)h->current_epoch, why);
        return;
    }
    c->last_vote_epoch = c->current_epoch;
    candidate->master->voted_time = c->now;
    known = ballot_write(c, ballots);
    ballot_cast(c, candidate->master, candidate);
    cluster_changed_durable(c);
    message_send_vote(c, candidate, known ? ballots : NULL);
    action_log(c, LOG_NOTICE, "Failover auth granted to %.40s for epoch %llu", candidate->id,
               (unsigned long long)c->current_epoch);
}

/* ---- The candidate ---- */

static bool is_sibling(const struct cluster *c, const struct node *n)
{
    return n != c->myself && n->master != NULL && n->master == c->myself->master;
}

/* Replicas of the same master whose data is newer (facts 9.1). */
static unsigned rank(const struct cluster *c)
{
    unsigned better = 0;

    for (size_t i = 1; i < c->node_count; i++) {
        const struct node *n = c->nodes[i];

        better += is_sibling(c, n) && !node_is(n, NODE_NOFAILOVER) && n->repl_offset > cluster_my_offset(c);
    }
    return better;
}

/* Every other replica of the shard that could stand holds the master as failed too, and none of them is better. */
static bool known_best(const struct cluster *c)
{
    for (size_t i = 1; i < c->node_count; i++) {
        const struct node *n = c->nodes[i];

        if (!is_sibling(c, n) || node_is(n, NODE_NOFAILOVER | NODE_PFAIL | NODE_FAIL))
            continue;
        if (!n->master_failed || n->repl_offset > cluster_my_offset(c) ||
            (n->repl_offset == cluster_my_offset(c) && memcmp(n->id, c->myself->id, CLUSTER_ID_SIZE) < 0))
            return false;
    }
    return true;
}

static bool data_too_old(const struct cluster *c)
{
    msec_t timeout = c->config.node_timeout_ms, age = c->now - c->repl_heard;

    if (c->config.replica_validity_factor <= 0)
        return false;
    if (age > timeout)
        age -= timeout;
    return age > c->config.repl_ping_period_ms + timeout * c->config.replica_validity_factor;
}

static bool may_stand(const struct cluster *c)
{
    const struct node *me = c->myself, *master = me->master;

    if (!c->replication || node_is_master(me) || master == NULL || master->slot_count == 0)
        return false;
    if (!c->repl_whole && (c->planted_bugs & CLUSTER_BUG_HALF_FULL_ELECTED) == 0)
        return false;
    if (c->manual.may_start)
        return true;
    return node_is(master, NODE_FAIL) && !c->config.replica_no_failover && !data_too_old(c);
}

msec_t election_wait_ms(const struct cluster *c)
{
    msec_t wait = c->config.node_timeout_ms * WAIT_FACTOR;

    return wait > WAIT_MIN_MS ? wait : WAIT_MIN_MS;
}

/* Voters may vote again when the first round is over; Redis waits as long once more. */
static msec_t retry_ms(const struct cluster *c)
{
    return (c->planted_bugs & CLUSTER_REDIS_SCHEDULE) != 0 ? election_wait_ms(c) * 2 : election_wait_ms(c);
}

static void plan(struct cluster *c)
{
    struct own_election *e = &c->election;

    *e = (struct own_election){.at = c->now};
    if (!c->manual.may_start) {
        e->rank = rank(c);
        e->at += DELAY_MS + (msec_t)rng_below(&c->rng, DELAY_RANDOM_MS) + (msec_t)e->rank * DELAY_RANK_MS;
        c->tell_siblings = true;
    }
    action_log(c, LOG_NOTICE, "Start of election delayed for %lld milliseconds (rank #%u, offset %llu).",
               (long long)(e->at - c->now), e->rank, (unsigned long long)c->repl_offset);
}

static void adjust(struct cluster *c)
{
    struct own_election *e = &c->election;
    unsigned now_rank = rank(c);

    if (now_rank > e->rank) {
        e->at += (msec_t)(now_rank - e->rank) * DELAY_RANK_MS;
        e->rank = now_rank;
        action_log(c, LOG_NOTICE, "Replica rank updated to #%u", now_rank);
    }
    if (e->at > c->now && (c->planted_bugs & CLUSTER_REDIS_SCHEDULE) == 0 && known_best(c))
        e->at = c->now;
}

/* To all, then again to those who did not vote; always in the election's epoch, or a vote could count twice. */
static void ask(struct cluster *c)
{
    struct own_election *e = &c->election;

    for (size_t i = 1; i < c->node_count; i++) {
        struct node *n = c->nodes[i];

        if (e->ask_interval_ms == 0 || (node_is_voter(n) && n->vote_epoch != e->epoch))
            message_send_plain(c, n, CODEC_AUTH_REQUEST, c->manual.may_start ? CODEC_MFLAG_FORCE_ACK : 0);
    }
    e->ask_interval_ms = e->ask_interval_ms == 0 ? ASK_AGAIN_MS : e->ask_interval_ms * 2;
    e->ask_again = c->now + e->ask_interval_ms;
}

static void begin(struct cluster *c)
{
    struct own_election *e = &c->election;

    epoch_see(c, c->current_epoch + 1);
    e->epoch = c->current_epoch;
    e->sent = true;
    e->asked = c->now;
    action_log(c, LOG_NOTICE, "Starting a failover election for epoch %llu.", (unsigned long long)e->epoch);
    ask(c);
}

void election_run(struct cluster *c)
{
    struct own_election *e = &c->election;

    if (!may_stand(c)) {
        if (e->at != 0 && !e->sent)
            *e = (struct own_election){0};
        return;
    }
    if (e->at == 0 || c->now - e->at > retry_ms(c))
        plan(c);
    if (!e->sent && !c->manual.may_start)
        adjust(c);
    if (c->now < e->at)
        return;
    if (!e->sent)
        begin(c);
    else if (c->now >= e->ask_again && c->current_epoch == e->epoch && (c->planted_bugs & CLUSTER_REDIS_SCHEDULE) == 0)
        ask(c);
}

void election_cancel(struct cluster *c)
{
    c->election = (struct own_election){0};
}

/* ---- The winner ---- */

void election_take_over(struct cluster *c)
{
    struct node *me = c->myself, *old = me->master;
    uint64_t basis;
    bool goes_on; /* with an open claim of the master's */

    check(old != NULL && (c->repl_whole || (c->planted_bugs & CLUSTER_BUG_HALF_FULL_ELECTED) != 0));
    manual_reset(c);
    arrival_found(c);
    role_promote(c);
    goes_on = old->open_count > 0;
    basis = goes_on ? old->claim_basis : 0;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        bool open = bit_get(c->claimed, slot), given_up = slots_unclaimed(c, (slot_t)slot);

        if (c->owner[slot] != old)
            continue;
        if (given_up && goes_on) { /* one claim at a time */
            slots_unassign(c, (slot_t)slot);
            continue;
        }
        slots_assign(c, (slot_t)slot, me);
        if (open || given_up)
            claim_open(c, (slot_t)slot, basis);
    }
    c->pong_all = true;
    claim_begin(c);
}

/* Those of this election that count. */
static unsigned votes(const struct cluster *c)
{
    uint64_t epoch = c->election.epoch;
    unsigned count = 0;

    for (size_t i = 1; i < c->node_count; i++)
        count += node_is_voter(c->nodes[i]) && c->nodes[i]->vote_epoch == epoch && c->nodes[i]->refused_epoch != epoch;
    return count;
}

void election_on_ack(struct cluster *c, struct node *voter, const struct codec_header *h)
{
    struct own_election *e = &c->election;
    unsigned needed = (c->planted_bugs & CLUSTER_BUG_MINORITY_WINS) != 0 ? 1 : node_quorum(c);

    /* A voter answers in the epoch of the request: any other epoch is not this election's. */
    if (!e->sent || !may_stand(c) || !node_is_voter(voter) || h->current_epoch != e->epoch ||
        voter->vote_epoch == e->epoch || c->now - e->at > election_wait_ms(c))
        return;
    voter->vote_epoch = e->epoch;
    if (voter->heard_us < e->asked)
        voter->heard_us = e->asked;
    if (h->mflags & CODEC_MFLAG_BALLOTS)
        ballot_read(c, h->slots, e->epoch);
    e->votes = votes(c);
    if (e->votes < needed)
        return;
    action_log(c, LOG_NOTICE, "Failover election won: I'm the new master. configEpoch set to %llu after %u votes",
               (unsigned long long)e->epoch, e->votes);
    node_set_config_epoch(c, c->myself, e->epoch);
    election_take_over(c);
}
