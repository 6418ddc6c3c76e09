/*
 * claim.c - open claims.
 *
 *   none --claim_open, claim_begin--> open --claim_on_pong: a majority agreed--> none (served)
 *                                       '----somebody was elected instead of the source: claim_forget--> none (lost)
 *
 * (1) An answer counts if its PING left after the claim, on the same link, where answers come in order.
 * (2) Who answers has the claim in its nodes.conf before the answer leaves.
 * (3) Who voted for a replica of the source, and does not know that it lost, does not agree (ballot.h).
 */
#include "cluster/claim.h"

#include "cluster/action.h"
#include "cluster/ballot.h"
#include "cluster/message.h"
#include "cluster/node.h"

bool claim_yields(const struct cluster *c, const struct node *n, slot_t slot, uint64_t basis)
{
    const struct node *owner = c->owner[slot];

    /* A replica that takes over from a target goes on with its claim, and takes the other slots of its master too. */
    return owner != NULL && owner != n && !node_same_shard(owner, n) && ballot_epoch_of(c, owner) > basis;
}

bool claim_gives_way(const struct cluster *c, slot_t slot, const struct node *n, uint64_t epoch)
{
    const struct node *owner = c->owner[slot];

    /* Not to the source itself, which has not heard of it; nor to the target from whom its replica took over. */
    return bit_get(c->claimed, slot) && owner->claim_basis < epoch && !node_same_shard(owner, n) &&
           (owner != c->myself || c->imported[slot] != n);
}

void claim_open(struct cluster *c, slot_t slot, uint64_t basis)
{
    struct node *owner = c->owner[slot];

    owner->open_count += !bit_get(c->claimed, slot);
    bit_set(c->claimed, slot);
    owner->claim_basis = basis;
    cluster_changed_durable(c);
    if (owner == c->myself)
        cluster_map_changed(c);
}

void claim_forget(struct cluster *c, slot_t slot)
{
    if (!bit_get(c->claimed, slot))
        return;
    bit_clear(c->claimed, slot);
    c->owner[slot]->open_count--;
    cluster_changed(c);
    cluster_map_changed(c);
}

void claim_forget_all(struct cluster *c, const struct node *owner)
{
    for (unsigned s = 0; s < SLOTS && owner->open_count > 0; s++)
        if (c->owner[s] == owner)
            claim_forget(c, (slot_t)s);
}

struct node *claim_holder(const struct cluster *c)
{
    return c->myself->master != NULL ? c->myself->master : c->myself;
}

bool claim_slots(const struct cluster *c, uint8_t *open, uint8_t *sure)
{
    const struct node *n = claim_holder(c);

    if (n->open_count == 0)
        return false;
    for (unsigned i = 0; i < SLOT_BYTES; i++) {
        open[i] = n->slots[i] & c->claimed[i];
        sure[i] = n->slots[i] & (uint8_t)~c->claimed[i];
    }
    return true;
}

void claim_load(struct cluster *c, slot_t slot, bool on)
{
    if (on && c->owner[slot] != NULL && c->myself != NULL && c->owner[slot] == claim_holder(c))
        claim_open(c, slot, 0);
}

void claim_load_basis(struct cluster *c, uint64_t basis)
{
    if (c->myself != NULL && claim_holder(c)->open_count > 0)
        claim_holder(c)->claim_basis = basis;
}

static void settle(struct cluster *c)
{
    unsigned agreed = 1;

    if (c->myself->open_count == 0)
        return;
    for (size_t i = 1; i < c->node_count; i++)
        agreed += node_is_voter(c->nodes[i]) && c->nodes[i]->agreed == c->claim_number;
    if (agreed < node_quorum(c) && (c->planted_bugs & CLUSTER_BUG_CLAIM_NOT_HEARD) == 0)
        return;
    claim_forget_all(c, c->myself);
    c->pong_all = true; /* it is no open one any more */
}

void claim_begin(struct cluster *c)
{
    if (c->myself->open_count == 0)
        return;
    c->claim_number++;
    for (size_t i = 1; i < c->node_count; i++)
        if (c->nodes[i]->out != NULL)
            c->nodes[i]->out->claim_mark = c->nodes[i]->out->pings;
    c->tell_masters = true;
    settle(c); /* there may be no other master */
}

void claim_on_header(struct cluster *c, const struct node *n, const struct codec_header *h, const struct open_claim *open)
{
    if (open->slots == NULL && n->open_count > 0 && h->config_epoch >= n->config_epoch) /* not one from before */
        claim_forget_all(c, n);
}

void claim_on_pong(struct cluster *c, struct node *n, const struct link *l, const struct codec_header *h)
{
    if (c->myself->open_count == 0 || (h->mflags & CODEC_MFLAG_REFUSED) != 0 || l->pongs <= l->claim_mark)
        return;
    n->agreed = c->claim_number;
    settle(c);
}

void claim_tick(struct cluster *c)
{
    settle(c); /* those who had not agreed may be no masters any more */
    for (size_t i = 1; i < c->node_count && c->myself->open_count > 0; i++) {
        struct node *n = c->nodes[i];

        if (node_is_voter(n) && n->agreed != c->claim_number && n->out != NULL && !node_is(n, NODE_HANDSHAKE))
            message_send_ping(c, n->out, CODEC_PING);
    }
}

bool claim_agreed(const struct cluster *c, const struct node *n, const struct open_claim *open)
{
    for (unsigned s = 0; s < SLOTS; s++)
        if (bit_get(open->slots, s) && c->owner[s] != n)
            return false;
    return true;
}
