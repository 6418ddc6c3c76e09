/*
 * update.c - the slot update rule.
 *
 * (1) A slot changes hands only to a greater epoch, or when nobody owns it or claims it any more. Equal epochs move
 *     nothing, except a slot that this node itself is giving to the claimant.
 * (2) A slot that is being imported here changes only by command; but who takes over from its owner by a failover is its owner, and the
 *     mark follows. So does the mark of a slot that is being moved from here, when its target is failed over.
 * (3) The source of an import may have a greater epoch than this node knew when it took the slot by command: its claim from before
 *     then must not take the slot back (the keys are here, and would be dropped). Its epoch is beaten instead, as it would
 *     have been at the command.
 * (4) Keys of a slot that was lost are dropped only if others have them: the source's behind the FINISH of an atomic
 *     migration, the target's before its claim is settled, a replica that took over. (And with the whole data set, if that is replaced.)
 *     redis-cli --cluster fix gives a slot to whom it chooses, and moves the keys of the others there afterwards; an operator may
 *     have covered the slot while this node was away. So the keys stay until MIGRATE takes them: the slot remains MIGRATING, or
 *     becomes IMPORTING, as Redis marks keys of other nodes' slots at its start. Redis drops them here. A master that has lost
 *     all slots this way remains one, without slots, instead of following who claimed the last: its data would go. (If the claimant's shard
 *     is heard of behind its claim, in an UPDATE's place, see update_joined_shard.)
 * (5) A claim that no majority is known to have heard yields to an epoch above its basis: claim.h.
 */
#include "cluster/update.h"

#include "cluster/action.h"
#include "cluster/claim.h"
#include "cluster/epoch.h"
#include "cluster/message.h"
#include "cluster/node.h"
#include "cluster/role.h"
#include "cluster/slots.h"

struct claim {
    struct node *s;
    uint64_t epoch;
    const struct open_claim *open;
    struct node *my_master; /* myself, or whom I replicate */
    unsigned claimed;       /* slots in the claim */
    unsigned taken;         /* of these, taken from my_master now */
    unsigned kept;          /* of these, taken from this node, which still has keys of them: rule 4 */
    bool beaten;            /* of these, some are to stay here: rule 3 */
};

static bool is_open(const struct claim *claim, slot_t slot)
{
    return claim->open != NULL && claim->open->slots != NULL && bit_get(claim->open->slots, slot);
}

static bool may_take(const struct cluster *c, slot_t slot, const struct claim *claim)
{
    const struct node *owner = c->owner[slot];

    if (owner == NULL || slots_unclaimed(c, slot))
        return true;
    if (is_open(claim, slot) && claim_yields(c, claim->s, slot, claim->open->basis))
        return false;
    if (owner->config_epoch < claim->epoch)
        return true;
    if (claim_gives_way(c, slot, claim->s, claim->epoch))
        return true;
    /* The target of our own migration took it with an epoch that we have too, bumped without consensus on both sides.
     * Yield before the collision rule gives us a greater epoch: that would take the slot back from where the keys are. */
    if (owner == c->myself && c->migrating[slot] == claim->s && owner->config_epoch == claim->epoch)
        return true;
    return (c->planted_bugs & CLUSTER_BUG_OLD_CLAIM_WINS) != 0;
}

/* By a failover. The old owner may have said already that it is a replica: then nobody has the slot. */
static bool took_over(const struct node *heir, const struct node *from, const struct node *owner)
{
    return (owner == NULL || owner == from) && node_same_shard(heir, from);
}

/* Rule 4, of a slot of this node that s claims. */
static bool has_copy(const struct cluster *c, const struct node *s, slot_t slot)
{
    return bit_get(c->departing, slot) || bit_get(c->claimed, slot) || node_same_shard(s, c->myself);
}

static void claim_slot(struct cluster *c, struct claim *claim, slot_t slot)
{
    struct node *owner = c->owner[slot];
    bool has_keys;

    claim->claimed++;
    if (owner == claim->s) {
        slots_set_unclaimed(c, slot, false);
        return;
    }
    /* The source has moved on for other reasons; the slot is ours all the same, and its new epoch is what we took it from. */
    if (owner == c->myself && bit_get(c->claimed, slot) && c->imported[slot] == claim->s && owner->claim_basis < claim->epoch)
        owner->claim_basis = claim->epoch;
    if ((c->importing[slot] != NULL && !took_over(claim->s, c->importing[slot], owner)) || !may_take(c, slot, claim))
        return;
    /* Of an open claim nothing was served: a source that goes beyond it has taken the slots back, or is asked again. */
    if (owner == c->myself && c->imported[slot] == claim->s && !bit_get(c->claimed, slot)) {
        claim->beaten = true;
        return;
    }
    has_keys = (owner == c->myself || (owner != NULL && owner == c->myself->master)) && cluster_slot_keys(c, slot) > 0;
    if (owner == c->myself && has_keys && has_copy(c, claim->s, slot)) {
        bit_set(c->lost, slot);
        c->any_lost = true;
        slots_set_dropping(c, slot, true);
    } else if (owner == c->myself && has_keys && c->migrating[slot] == NULL) {
        slots_set_importing(c, slot, claim->s);
        claim->kept++;
    } else if (owner != c->myself && has_keys && c->inherit.migrating[slot] == NULL) {
        slots_set_dropping(c, slot, true); /* the master does it, unless this replica must take over before the end */
    }
    if (owner != NULL && owner == claim->my_master)
        claim->taken++;
    if (owner == c->myself && c->migrating[slot] == claim->s && !has_keys)
        slots_set_migrating(c, slot, NULL);
    slots_set_departing(c, slot, false);
    slots_assign(c, slot, claim->s);
    if (is_open(claim, slot))
        claim_open(c, slot, claim->open->basis); /* durably: the answer is a promise */
    /* Keys are dropped only behind it; without keys, an old claim of ours would only be corrected once more. */
    c->persist_sync |= owner == c->myself && (!c->config.lazy_setslot || bit_get(c->lost, slot));
}

static bool is_replaced(const struct node *n, const struct node *heir)
{
    return n != NULL && n != heir && n->slot_count == 0 && node_same_shard(n, heir);
}

/* What is open towards a master that was failed over is open towards who leads now. */
static void follow_marks(struct cluster *c, struct node *heir)
{
    for (unsigned s = 0; s < SLOTS && c->migrating_count + c->importing_count > 0; s++) {
        if (is_replaced(c->migrating[s], heir))
            slots_set_migrating(c, (slot_t)s, heir);
        if (is_replaced(c->importing[s], heir))
            slots_set_importing(c, (slot_t)s, heir);
    }
}

void update_follow_grand(struct cluster *c)
{
    struct node *me = c->myself, *grand = me->master != NULL ? me->master->master : NULL;

    if (!c->replication || grand == NULL || grand == me || !node_is_master(grand))
        return;
    action_log(c, LOG_NOTICE, "My master became a replica. Following its master %.40s", grand->id);
    role_follow(c, grand);
}

/* Who took over from this master by a failover. */
static struct node *heir_of(const struct cluster *c, const struct node *n)
{
    for (size_t i = 0; i < c->node_count; i++)
        if (c->nodes[i] != n && node_is_master(c->nodes[i]) && c->nodes[i]->slot_count > 0 && node_same_shard(c->nodes[i], n))
            return c->nodes[i];
    return NULL;
}

/* Keys of lost slots, which a replica of the claimant would lose. */
static bool keeps_keys(const struct cluster *c)
{
    if (!node_is_master(c->myself))
        return false;
    for (unsigned s = 0; s < SLOTS && c->migrating_count + c->importing_count > 0; s++)
        if ((c->migrating[s] != NULL || c->importing[s] != NULL) && cluster_slot_keys(c, (slot_t)s) > 0)
            return true;
    return false;
}

void update_joined_shard(struct cluster *c, struct node *n)
{
    if (!c->replication || !node_is_master(c->myself) || c->myself->slot_count > 0 || !node_is_master(n) ||
        !node_same_shard(n, c->myself) || c->importing_count + c->migrating_count == 0)
        return;
    for (unsigned s = 0; s < SLOTS; s++)
        if ((c->importing[s] != NULL && c->importing[s] != n) ||
            ((c->importing[s] != NULL || c->migrating[s] != NULL) && c->owner[s] != n))
            return;
    action_log(c, LOG_NOTICE, "%.40s has taken over from me. Reconfiguring myself as its replica", n->id);
    role_follow(c, n);
}

/* After a claim took slots of my master (or mine): whom do I follow now? NULL: nobody else. */
static struct node *new_master(const struct cluster *c, const struct claim *claim)
{
    struct node *heir;

    if (claim->taken == 0 || claim->my_master->slot_count > 0)
        return NULL;
    if ((heir = heir_of(c, claim->my_master)) != NULL)
        return heir;
    if (keeps_keys(c) || (!c->config.allow_replica_migration && claim->claimed != claim->taken))
        return NULL;
    return claim->s;
}

static void follow_slots(struct cluster *c, const struct claim *claim)
{
    struct node *master;

    if (!c->replication)
        return;
    if ((master = new_master(c, claim)) != NULL) {
        action_log(c, LOG_NOTICE, "Configuration change detected. Reconfiguring myself as a replica of %.40s", master->id);
        role_follow(c, master);
    } else {
        update_follow_grand(c);
    }
}

void update_claim(struct cluster *c, struct node *s, uint64_t epoch, const struct open_claim *open, const uint8_t *slots)
{
    struct claim claim = {.s = s, .epoch = epoch, .open = open, .my_master = c->myself};

    check(s != c->myself && node_is_master(s));
    if (s->unclaimed_count == 0 && memcmp(s->slots, slots, SLOT_BYTES) == 0)
        return;
    if (c->myself->master != NULL)
        claim.my_master = c->myself->master;
    for (unsigned byte = 0; byte < SLOT_BYTES; byte++) {
        if (slots[byte] == 0 && s->slots[byte] == 0)
            continue;
        for (unsigned slot = byte * 8; slot < byte * 8 + 8; slot++) {
            if (bit_get(slots, slot))
                claim_slot(c, &claim, (slot_t)slot);
            else if (c->owner[slot] == s)
                slots_set_unclaimed(c, (slot_t)slot, true);
        }
    }
    if (claim.kept > 0)
        action_log(c, LOG_WARNING, "%.40s has claimed %u slots of which there are keys here. The keys stay, and the slots are open "
                                   "(importing): run redis-cli --cluster fix", s->id, claim.kept);
    follow_marks(c, s);
    follow_slots(c, &claim);
    if (claim.beaten) {
        epoch_bump_above(c, epoch);
        c->pong_all = true;
    }
}

void update_heard(struct cluster *c, const struct node *n, const uint8_t *slots)
{
    for (unsigned s = 0; s < SLOTS && c->imported_count > 0; s++)
        if (c->imported[s] == n && !bit_get(slots, s))
            slots_set_imported(c, (slot_t)s, NULL);
}

void update_correct_sender(struct cluster *c, struct node *sender, const struct node *claimant, uint64_t epoch,
                           const struct open_claim *open, const uint8_t *slots)
{
    /* Nearly every message claims what is known. */
    if (memcmp(slots, claimant->slots, SLOT_BYTES) == 0)
        return;
    for (unsigned byte = 0; byte < SLOT_BYTES; byte++) {
        if ((slots[byte] & ~claimant->slots[byte]) == 0)
            continue;
        for (unsigned slot = byte * 8; slot < byte * 8 + 8; slot++) {
            const struct node *owner = c->owner[slot];

            if (!bit_get(slots, slot) || owner == NULL || owner == claimant || owner == sender ||
                owner->config_epoch <= (open->slots != NULL && bit_get(open->slots, slot) ? open->basis : epoch) ||
                slots_unclaimed(c, (slot_t)slot))
                continue;
            message_send_update(c, sender, owner);
            return;
        }
    }
}
