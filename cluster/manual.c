/*
 * manual.c - CLUSTER FAILOVER (facts 9.2).
 *
 *   replica: manual_begin -- MFSTART --> master: manual_on_start: PAUSE
 *                                                driver: nothing is under way any more (REPLICATION, paused)
 *   manual_on_hint <-- PING, PAUSED flag --
 *   -- PING --> ; manual_on_pong: target <-- PONG, PAUSED flag, final offset --
 *   driver: applied offset is there (REPLICATION) -> may_start: an election without delay, voters need no FAIL
 *   the winner's PONG --> master: becomes a replica, then PAUSE 0
 *
 * (1) The PAUSED flag leaves only when no write can follow the offset beside it.
 * (2) Only a PONG to a PING that followed MFSTART on the same link names the target: a message that a cut held back may
 *     tell of an earlier pause, after which the master went on.
 * (3) The replica gives up before its master lets writes go on, so it cannot win behind its master's back.
 */
#include "cluster/manual.h"

#include "cluster/action.h"
#include "cluster/election.h"
#include "cluster/epoch.h"
#include "cluster/message.h"
#include "cluster/node.h"

enum { HINT_PAUSE_MS = 20 };

void manual_begin(struct cluster *c, enum manual_kind kind)
{
    manual_reset(c);
    election_cancel(c);
    if (kind == MANUAL_TAKEOVER) {
        action_log(c, LOG_WARNING, "Taking over the master (user request).");
        epoch_bump(c);
        election_take_over(c);
        return;
    }
    c->manual.end = c->now + MANUAL_FAILOVER_MS;
    if (kind == MANUAL_FORCE) {
        action_log(c, LOG_WARNING, "Forced failover user request accepted.");
        c->manual.may_start = true;
        return;
    }
    action_log(c, LOG_WARNING, "Manual failover user request accepted.");
    if (!message_send_plain(c, c->myself->master, CODEC_MFSTART, 0))
        return;
    c->manual.link = c->myself->master->out->id;
    c->manual.skip = c->myself->master->out->unanswered;
    message_send_ping(c, c->myself->master->out, CODEC_PING);
}

void manual_on_start(struct cluster *c, struct node *replica)
{
    if (!c->replication || replica->master != c->myself || !node_is_master(c->myself))
        return;
    manual_reset(c);
    c->unpause_due = false; /* a new pause follows at once */
    c->manual.end = c->now + MANUAL_FAILOVER_MS + MANUAL_GRACE_MS;
    c->manual.replica = replica;
    c->manual.paused = (c->planted_bugs & CLUSTER_BUG_EARLY_OFFSET) != 0;
    action_log(c, LOG_NOTICE, "Manual failover requested by replica %.40s", replica->id);
    action_add(c, CLUSTER_PAUSE)->until_ms = c->now + MANUAL_PAUSE_MS;
    if (c->manual.paused && replica->out != NULL)
        message_send_ping(c, replica->out, CODEC_PING);
}

static void check_target(struct cluster *c)
{
    if (!c->manual.target_known || c->manual.may_start || !c->repl_whole || c->repl_offset < c->manual.target)
        return;
    action_log(c, LOG_WARNING, "All master replication stream processed, manual failover can start.");
    c->manual.may_start = true;
    election_cancel(c);
}

static bool waits_for_pause(const struct cluster *c)
{
    return c->manual.end != 0 && c->manual.link != CLUSTER_LINK_NONE && !c->manual.target_known && !c->manual.may_start;
}

/* Asks the master for its offset, on the link that told it to hold its writes. */
static void ask_offset(struct cluster *c)
{
    const struct node *master = c->myself->master;

    if (waits_for_pause(c) && master != NULL && master->out != NULL && master->out->id == c->manual.link)
        message_send_ping(c, master->out, CODEC_PING);
}

void manual_on_hint(struct cluster *c, const struct node *sender, const struct codec_header *h)
{
    if (sender != c->myself->master || (h->mflags & CODEC_MFLAG_PAUSED) == 0 || h->type == CODEC_PONG ||
        c->now - c->manual.hinted < HINT_PAUSE_MS)
        return;
    c->manual.hinted = c->now;
    ask_offset(c);
}

void manual_on_pong(struct cluster *c, const struct link *l, const struct codec_header *h)
{
    if (!waits_for_pause(c) || l->id != c->manual.link)
        return;
    if (c->manual.skip > 0) {
        c->manual.skip--;
        return;
    }
    if ((h->mflags & CODEC_MFLAG_PAUSED) == 0 || h->offset < c->repl_offset)
        return;
    c->manual.target_known = true;
    c->manual.target = h->offset;
    action_log(c, LOG_WARNING, "Received replication offset for paused master manual failover: %llu",
               (unsigned long long)h->offset);
    action_add(c, CLUSTER_OFFSET_WANTED)->offset = h->offset;
    check_target(c);
}

void manual_on_replication(struct cluster *c, const struct cluster_replication *r)
{
    if (c->manual.end == 0)
        return;
    if (!node_is_master(c->myself)) {
        check_target(c);
    } else if (r->paused && !c->manual.paused && c->manual.replica != NULL) {
        c->manual.paused = true;
        if (c->manual.replica->out != NULL)
            message_send_ping(c, c->manual.replica->out, CODEC_PING);
    }
}

void manual_tick(struct cluster *c)
{
    ask_offset(c);
    if (c->manual.end == 0 || c->now <= c->manual.end)
        return;
    action_log(c, LOG_WARNING, "Manual failover timed out");
    if (c->manual.may_start)
        election_cancel(c); /* votes that come late must not count: the master goes on */
    manual_reset(c);
}

void manual_reset(struct cluster *c)
{
    if (c->manual.end != 0 && c->manual.replica != NULL)
        c->unpause_due = true;
    c->manual = (struct manual){0};
}
