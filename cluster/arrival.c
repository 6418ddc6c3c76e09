/*
 * arrival.c - marks of arriving slots.
 *
 *   none --arrival_begin--> arriving --CLAIM--> owned
 *                              '------arrival_abandon, a start, a promotion--> dropping --DROPPED--> none
 *
 * (1) A slot is marked, durably, before its first key comes; the mark goes with the claim or becomes the mark of a drop in the
 *     same nodes.conf.
 * (2) A replica may have the keys, and lead, before it has heard of its master's claim. So it makes the claim itself, openly
 *     (claim.h), of slots that arrived and neither arrive nor are being dropped any more, or that came with the whole data
 *     and that their owner does not claim.
 */
#include "cluster/arrival.h"

#include "cluster/action.h"
#include "cluster/claim.h"
#include "cluster/node.h"
#include "cluster/slots.h"

void arrival_set(struct cluster *c, slot_t slot, bool arriving)
{
    if (slots_set_bit(c->arriving, &c->arriving_count, slot, arriving))
        cluster_changed_durable(c);
}

void arrival_begin(struct cluster *c, const slot_t *slots, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (c->owner[slots[i]] != c->myself)
            arrival_set(c, slots[i], true);
}

/* It may be an open claim: who takes over asks a majority. */
static void claim_in_doubt(struct cluster *c, slot_t slot)
{
    uint64_t basis = c->owner[slot] != NULL ? c->owner[slot]->config_epoch : 0;

    slots_assign(c, slot, c->myself->master);
    if (c->owner[slot]->open_count == 0 || c->owner[slot]->claim_basis == basis)
        claim_open(c, slot, basis);
}

void arrival_found(struct cluster *c)
{
    struct node *master = c->myself->master;
    unsigned count = 0;

    check(master != NULL);
    for (unsigned s = 0; s < SLOTS; s++) {
        const struct node *owner = c->owner[s];

        if (owner == NULL || owner == master || !slots_unclaimed(c, (slot_t)s) || bit_get(c->arriving, s) || bit_get(c->dropping, s) ||
            c->inherit.migrating[s] != NULL || c->inherit.importing[s] != NULL || cluster_slot_keys(c, (slot_t)s) == 0)
            continue;
        claim_in_doubt(c, (slot_t)s);
        count++;
    }
    if (count > 0)
        action_log(c, LOG_NOTICE, "My master had the keys of %u slots that their owners have given up. Claiming them", count);
}

static void abandon(struct cluster *c, slot_t slot)
{
    if (!bit_get(c->arriving, slot))
        return;
    arrival_set(c, slot, false);
    /* The master says no more that it arrives or is being dropped, and there are keys: it was claimed. The bus may be behind the stream. */
    if (c->myself->master != NULL && c->owner[slot] != c->myself->master && cluster_slot_keys(c, slot) > 0)
        claim_in_doubt(c, slot);
    if (!node_is_master(c->myself) || c->owner[slot] == c->myself || cluster_slot_keys(c, slot) == 0)
        return;
    slots_set_dropping(c, slot, true);
    bit_set(c->lost, slot);
    c->any_lost = true;
}

void arrival_claim(struct cluster *c, slot_t slot)
{
    struct node *source = c->owner[slot];

    arrival_set(c, slot, false);
    slots_assign(c, slot, c->myself);
    if (source != NULL && source != c->myself) {
        slots_set_imported(c, slot, source);
        bit_set(c->handed, slot);
    }
}

void arrival_doubt(struct cluster *c)
{
    for (unsigned s = 0; s < SLOTS && c->imported_count > 0; s++)
        if (bit_get(c->handed, s))
            slots_set_imported(c, (slot_t)s, NULL);
}

void arrival_abandon(struct cluster *c, const slot_t *slots, size_t count)
{
    for (size_t i = 0; i < count; i++)
        abandon(c, slots[i]);
}

/* Drops that a crash interrupted, here or on the master that this node takes over from, go on. */
static void resume_drops(struct cluster *c)
{
    for (unsigned s = 0; s < SLOTS && c->dropping_count > 0; s++) {
        if (!bit_get(c->dropping, s))
            continue;
        if (c->owner[s] != c->myself && cluster_slot_keys(c, (slot_t)s) > 0) {
            bit_set(c->lost, s);
            c->any_lost = true;
        } else {
            slots_set_dropping(c, (slot_t)s, false);
        }
    }
}

void arrival_forget_dropped(struct cluster *c)
{
    for (unsigned s = 0; s < SLOTS && c->dropping_count > 0; s++)
        if (bit_get(c->dropping, s) && (cluster_slot_keys(c, (slot_t)s) == 0 || c->owner[s] == c->myself->master))
            slots_set_dropping(c, (slot_t)s, false);
}

void arrival_abandon_all(struct cluster *c)
{
    resume_drops(c);
    if (c->arriving_count > 0)
        action_log(c, LOG_NOTICE, "The keys of %u slots were arriving here from other nodes. Dropping what has come",
                   c->arriving_count);
    for (unsigned s = 0; s < SLOTS && c->arriving_count > 0; s++)
        abandon(c, (slot_t)s);
}
