/*
 * election.c - the voter's rules (Redis Cluster spec, replica election and promotion; facts 9.1).
 *
 * (1) One vote per epoch, also across a crash: last_vote_epoch is durable before the ack leaves.
 * (2) One replacement of a master per 2 x node timeout, so that the winner's news can spread.
 * (3) No vote for a candidate whose claim is older than what is known of its slots.
 */
#include "cluster/election.h"

#include "cluster/action.h"
#include "cluster/message.h"
#include "cluster/node.h"

/* NULL: the vote may be given. */
static const char *refusal(const struct cluster *c, const struct node *candidate, const struct codec_header *h)
{
    const struct node *master = candidate->master;
    bool forced = (h->mflags & CODEC_MFLAG_FORCE_ACK) != 0;

    if (!node_is_voter(c->myself))
        return "this node has no vote";
    if (h->current_epoch < c->current_epoch)
        return "its epoch is old";
    if (c->last_vote_epoch == c->current_epoch)
        return "already voted in this epoch";
    if (node_is_master(candidate) || master == NULL)
        return "it is a master, or its master is not known";
    if (!node_is(master, NODE_FAIL) && !forced)
        return "its master is up";
    if (c->now - master->voted_time < c->config.node_timeout_ms * VOTE_PAUSE_FACTOR && master->voted_time != 0)
        return "a vote to replace this master was given a short time ago";
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (bit_get(h->slots, slot) && c->owner[slot] != NULL && c->owner[slot]->config_epoch > h->config_epoch)
            return "it claims a slot with an old config epoch";
    if (candidate->out == NULL || !candidate->out->connected)
        return "there is no link to tell it";
    return NULL;
}

void election_on_request(struct cluster *c, struct node *candidate, const struct codec_header *h)
{
    const char *why = refusal(c, candidate, h);

    if (why != NULL) {
        action_log(c, LOG_NOTICE, "Failover auth denied to %.40s for epoch %llu: %s", candidate->id,
                   (unsigned long long)h->current_epoch, why);
        return;
    }
    c->last_vote_epoch = c->current_epoch;
    candidate->master->voted_time = c->now;
    cluster_changed_durable(c);
    message_send_plain(c, candidate, CODEC_AUTH_ACK, 0);
    action_log(c, LOG_NOTICE, "Failover auth granted to %.40s for epoch %llu", candidate->id,
               (unsigned long long)c->current_epoch);
}
