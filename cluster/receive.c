/*
 * receive.c - what a message does (facts 6).
 *
 * (1) Nothing is used before codec_check said OK.
 * (2) Any step here may close the link or remove a node; so the link is looked up again by its id after such a step.
 * (3) Only a known sender changes anything, apart from MEET, which starts a handshake.
 */
#include "cluster/receive.h"

#include "cluster/action.h"
#include "cluster/ballot.h"
#include "cluster/claim.h"
#include "cluster/codec.h"
#include "cluster/election.h"
#include "cluster/epoch.h"
#include "cluster/failure.h"
#include "cluster/gossip.h"
#include "cluster/handshake.h"
#include "cluster/link.h"
#include "cluster/manual.h"
#include "cluster/message.h"
#include "cluster/node.h"
#include "cluster/update.h"

struct incoming {
    link_t link;
    struct slice bytes;
    struct codec_header h;
    struct node *sender; /* NULL: not known, or still in handshake; never myself */
    struct codec_extensions ext; /* of a PING, PONG or MEET; borrows */
    struct open_claim open;      /* of a master's; borrows */
};

/* ---- Any type ---- */

static void apply_header(struct cluster *c, struct incoming *in)
{
    struct node *n = in->sender;

    n->data_received = c->now;
    n->repl_offset = in->h.offset;
    n->master_failed = (in->h.flags & CODEC_FLAG_MASTER_FAILED) != 0;
    manual_on_hint(c, n, &in->h);
    if (in->h.current_epoch > n->seen_epoch)
        n->seen_epoch = in->h.current_epoch;
    epoch_see(c, in->h.current_epoch);
    /* A replica's header carries its master's epoch, which the master tells by itself. */
    if (in->h.master[0] == '\0' && in->h.config_epoch > n->config_epoch) {
        node_set_config_epoch(c, n, in->h.config_epoch);
        epoch_see(c, in->h.config_epoch);
    }
}

/* ---- PING, PONG, MEET ---- */

static void apply_pong(struct cluster *c, struct incoming *in)
{
    struct link *l = link_find(c, in->link);
    struct node *n;

    if (in->h.type != CODEC_PONG || l == NULL || link_is_inbound(l) || l->node != in->sender)
        return;
    n = in->sender;
    manual_on_pong(c, l, &in->h);
    l->pongs++;
    if (l->unanswered > 0)
        l->unanswered--;
    n->pong_received = n->answered = c->now;
    n->ping_sent = 0;
    if (l->asked > n->heard_us)
        n->heard_us = l->asked;
    ballot_on_pong(c, n, &in->h, l->asked);
    l->asked = 0;
    failure_on_pong(c, n);
    claim_on_pong(c, n, l, &in->h);
}

/*
 * What comes behind later news (on the other link): a master's claim from before it took a greater epoch, which lacks what it has claimed
 * since; what a replica said before it won its election. Either would give slots back to whoever claims them next. Of the latter,
 * its master's epoch is an old one, and no later election is known to it; a real change of role is said again.
 */
static bool is_late(const struct cluster *c, const struct incoming *in)
{
    const struct node *n = in->sender;

    if (in->h.master[0] == '\0')
        return node_is_master(n) && in->h.config_epoch < n->config_epoch;
    return node_is_voter(n) && in->h.config_epoch < n->config_epoch &&
           in->h.current_epoch <= n->config_epoch && c->now - n->master_since < 2 * c->config.node_timeout_ms;
}

static void apply_role(struct cluster *c, struct incoming *in)
{
    struct node *n = in->sender, *master;

    node_set_flags(c, n, in->h.flags & NODE_NOFAILOVER, NODE_NOFAILOVER & ~in->h.flags);
    if (in->h.master[0] == '\0') {
        node_make_master(c, n);
        return;
    }
    master = node_find(c, in->h.master);
    if (master == n || (master != NULL && node_is(master, NODE_HANDSHAKE)))
        master = NULL;
    if (!node_is(n, NODE_REPLICA) || (master != NULL && n->master != master))
        node_make_replica(c, n, master);
}

static void apply_slots(struct cluster *c, struct incoming *in)
{
    static const uint8_t none[SLOT_BYTES]; /* what a replica claims is its master's */
    struct node *n = in->sender, *claimant = node_is_master(n) ? n : n->master;

    if (claimant == NULL)
        return;
    if (node_is_master(n)) {
        update_claim(c, n, in->h.config_epoch, &in->open, in->h.slots);
        claim_on_header(c, n, &in->h, &in->open);
    }
    update_heard(c, n, node_is_master(n) ? in->h.slots : none);
    update_correct_sender(c, n, claimant, in->h.config_epoch, &in->open, in->h.slots);
}

static void forget(struct cluster *c, const struct node *sender, const struct codec_forgotten *entry)
{
    struct node *n = node_find(c, entry->id);
    msec_t ttl = entry->ttl_s > BLACKLIST_TTL_MS / 1000 ? BLACKLIST_TTL_MS : (msec_t)entry->ttl_s * 1000;

    if (n == NULL || n == c->myself || n == sender || n == c->myself->master || node_is(n, NODE_HANDSHAKE))
        return;
    action_log(c, LOG_NOTICE, "Node %.40s forgotten, as %.40s says", n->id, sender->id);
    handshake_forget(c, n->id, ttl);
    node_remove(c, n);
}

static void apply_forgotten(struct cluster *c, const struct incoming *in)
{
    struct codec_forgotten entry;

    for (unsigned i = 0; i < in->ext.forgotten; i++)
        if (codec_read_forgotten(in->bytes, i, &entry))
            forget(c, in->sender, &entry);
}

/* In front of its claim: what a claim does to keys depends on the shard (update.c, rule 4). */
static void apply_shard(struct cluster *c, struct incoming *in)
{
    struct node *n = in->sender;
    bool was_ours = node_same_shard(n, c->myself);

    if (!in->ext.has_shard_id) {
        if (n->master != NULL)
            node_set_shard_id(c, n, n->master->shard_id);
        return;
    }
    node_set_shard_id(c, n, in->ext.shard_id);
    if (c->myself->master == n)
        node_set_shard_id(c, c->myself, in->ext.shard_id);
    if (!was_ours)
        update_joined_shard(c, n);
}

static void receive_ping(struct cluster *c, struct incoming *in)
{
    struct link *l = link_find(c, in->link);

    if (in->sender == NULL)
        return;
    apply_pong(c, in);
    if (in->h.type == CODEC_PING)
        handshake_update_address(c, in->sender, l, &in->h);
    ballot_on_role(c, in->sender, &in->h);
    if (!is_late(c, in)) {
        apply_role(c, in);
        apply_shard(c, in);
        apply_slots(c, in);
    }
    epoch_resolve_collision(c, in->sender);
    gossip_read(c, in->sender, &in->h, in->bytes);
    node_set_names(c, in->sender, in->ext.hostname, in->ext.nodename);
    apply_forgotten(c, in);
}

/* ---- Other types ---- */

static void receive_fail(struct cluster *c, struct incoming *in)
{
    char id[CLUSTER_ID_SIZE + 1];
    struct node *n;

    if (codec_read_fail(in->bytes, id) && (n = node_find(c, id)) != NULL)
        failure_on_fail(c, n, in->sender);
}

static void receive_update(struct cluster *c, struct incoming *in)
{
    struct codec_update u;
    struct node *n;

    if (!codec_read_update(in->bytes, &u) || (n = node_find(c, u.id)) == NULL || n == c->myself ||
        node_is(n, NODE_HANDSHAKE) || n->config_epoch >= u.config_epoch)
        return;
    node_make_master(c, n);
    node_set_config_epoch(c, n, u.config_epoch);
    epoch_see(c, u.config_epoch);
    update_claim(c, n, u.config_epoch, NULL, u.slots);
}

static void receive_publish(struct cluster *c, struct incoming *in)
{
    struct codec_publish p;
    struct cluster_action *a;

    codec_read_publish(in->bytes, &p);
    a = action_add(c, CLUSTER_DELIVER);
    a->channel = p.channel;
    a->bytes = p.message;
    a->sharded = in->h.type == CODEC_PUBLISH_SHARD;
}

static void dispatch(struct cluster *c, struct incoming *in)
{
    switch (in->h.type) {
    case CODEC_PING:
    case CODEC_PONG:
    case CODEC_MEET:
        receive_ping(c, in);
        return;
    default:
        break;
    }
    if (in->sender == NULL)
        return;
    switch (in->h.type) {
    case CODEC_FAIL:
        receive_fail(c, in);
        break;
    case CODEC_PUBLISH:
    case CODEC_PUBLISH_SHARD:
        receive_publish(c, in);
        break;
    case CODEC_UPDATE:
        receive_update(c, in);
        break;
    case CODEC_AUTH_REQUEST:
        election_on_request(c, in->sender, &in->h);
        break;
    case CODEC_MFSTART:
        manual_on_start(c, in->sender);
        break;
    case CODEC_AUTH_ACK:
        election_on_ack(c, in->sender, &in->h);
        break;
    default: /* MODULE: nothing to do */
        break;
    }
}

/* ---- The frame around it ---- */

static struct node *known_sender(struct cluster *c, const char *id)
{
    struct node *n = node_find(c, id);

    return n == NULL || n == c->myself || node_is(n, NODE_HANDSHAKE) ? NULL : n;
}

static bool is_ping_like(unsigned type)
{
    return type == CODEC_PING || type == CODEC_PONG || type == CODEC_MEET;
}

/* Only now: the answer says that the claim is durable here, or that it is refused. */
static void answer_claim(struct cluster *c, const struct incoming *in)
{
    struct link *l = link_find(c, in->link);
    const struct node *n = known_sender(c, in->h.sender);

    if (l != NULL && link_is_inbound(l) && n != NULL)
        message_answer_claim(c, l, claim_agreed(c, n, &in->open));
}

void receive(struct cluster *c, link_t link, struct slice bytes)
{
    struct incoming in = {.link = link, .bytes = bytes};
    struct link *l = link_find(c, link);
    enum err e;

    if (l == NULL)
        return;
    l->data_received = c->now;
    e = codec_check(bytes);
    if (e != OK) {
        if (e == ERR_PROTOCOL)
            action_log(c, LOG_WARNING, "Dropped a malformed bus message of %zu bytes", bytes.size);
        return;
    }
    codec_read_header(bytes, &in.h);
    c->received[in.h.type]++;
    in.sender = known_sender(c, in.h.sender);
    if (is_ping_like(in.h.type))
        codec_read_extensions(bytes, &in.ext);
    if (in.h.master[0] == '\0')
        in.open = (struct open_claim){in.ext.claimed, in.ext.claim_basis};
    if (in.h.mflags & CODEC_MFLAG_EXTENSIONS) {
        l->extensions = true;
        if (in.sender != NULL)
            in.sender->extensions = true;
    }
    if (link_is_inbound(l)) {
        if (in.sender != NULL)
            link_tie(c, l, in.sender);
        if (in.h.type == CODEC_PING || in.h.type == CODEC_MEET) {
            bool known = in.sender != NULL || memcmp(in.h.sender, c->myself->id, CLUSTER_ID_SIZE) == 0;

            handshake_on_ping(c, l, &in.h, known);
            if (in.sender != NULL)
                apply_header(c, &in); /* the PONG tells what this message taught us */
            if (in.sender == NULL || in.open.slots == NULL)
                message_send_ping(c, l, CODEC_PONG);
        }
    } else if (is_ping_like(in.h.type)) {
        if (!handshake_on_reply(c, l, &in.h))
            return;
        in.sender = known_sender(c, in.h.sender);
    }
    if (in.sender != NULL)
        apply_header(c, &in);
    dispatch(c, &in);
    if (in.h.type == CODEC_PING && in.open.slots != NULL)
        answer_claim(c, &in);
}
