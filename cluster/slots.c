/*
 * slots.c - the slot map.
 *
 * (1) owner[s] == n if and only if bit s of n->slots is set; counts agree with the bits.
 * (2) Only masters own slots.
 */
#include "cluster/slots.h"

#include "cluster/claim.h"
#include "cluster/inherit.h"
#include "cluster/node.h"

#include <endian.h>

static bool any_master_has_replicas(const struct cluster *c)
{
    for (size_t i = 0; i < c->node_count; i++)
        if (node_is_master(c->nodes[i]) && c->nodes[i]->replica_count > 0)
            return true;
    return false;
}

static void changed(struct cluster *c)
{
    c->state_due = true;
    cluster_changed(c);
    cluster_map_changed(c);
}

void slots_unassign(struct cluster *c, slot_t slot)
{
    struct node *n = c->owner[slot];

    if (n == NULL)
        return;
    slots_set_unclaimed(c, slot, false);
    slots_set_imported(c, slot, NULL);
    claim_forget(c, slot);
    bit_clear(n->slots, slot);
    n->slot_count--;
    c->owner[slot] = NULL;
    c->assigned_count--;
    changed(c);
}

void slots_assign(struct cluster *c, slot_t slot, struct node *n)
{
    check(node_is_master(n));
    if (c->owner[slot] == n) {
        slots_set_unclaimed(c, slot, false);
        return;
    }
    slots_unassign(c, slot);
    /* Its first slot, in a cluster that keeps replicas: replicas may migrate to it. */
    if (n->slot_count == 0 && any_master_has_replicas(c))
        n->flags |= NODE_MIGRATE_TO;
    bit_set(n->slots, slot);
    n->slot_count++;
    c->owner[slot] = n;
    c->assigned_count++;
    changed(c);
}

void slots_release_all(struct cluster *c, struct node *n)
{
    for (unsigned s = 0; s < SLOTS && n->slot_count > 0; s++)
        if (c->owner[s] == n)
            slots_unassign(c, (slot_t)s);
}

void slots_forget_node(struct cluster *c, struct node *n)
{
    slots_release_all(c, n);
    inherit_forget_node(c, n);
    for (unsigned s = 0; s < SLOTS && c->migrating_count + c->importing_count + c->imported_count > 0; s++) {
        if (c->migrating[s] == n)
            slots_set_migrating(c, (slot_t)s, NULL);
        if (c->importing[s] == n)
            slots_set_importing(c, (slot_t)s, NULL);
        if (c->imported[s] == n)
            slots_set_imported(c, (slot_t)s, NULL);
    }
}

static void set_mark(struct cluster *c, struct node **mark, unsigned *count, struct node *n)
{
    if (*mark == n)
        return;
    *count = *count - (*mark != NULL) + (n != NULL);
    *mark = n;
    changed(c);
}

void slots_set_migrating(struct cluster *c, slot_t slot, struct node *to)
{
    if (to != NULL)
        slots_set_imported(c, slot, NULL);
    set_mark(c, &c->migrating[slot], &c->migrating_count, to);
}

void slots_set_importing(struct cluster *c, slot_t slot, struct node *from)
{
    set_mark(c, &c->importing[slot], &c->importing_count, from);
}

void slots_set_imported(struct cluster *c, slot_t slot, struct node *from)
{
    c->imported_count = c->imported_count - (c->imported[slot] != NULL) + (from != NULL);
    c->imported[slot] = from;
    bit_clear(c->handed, slot);
}

void slots_clear_marks(struct cluster *c)
{
    for (unsigned s = 0; s < SLOTS && c->migrating_count + c->importing_count > 0; s++) {
        slots_set_migrating(c, (slot_t)s, NULL);
        slots_set_importing(c, (slot_t)s, NULL);
    }
    memset(c->departing, 0, sizeof c->departing);
    c->departing_count = 0;
}

void slots_set_unclaimed(struct cluster *c, slot_t slot, bool unclaimed)
{
    if (slots_unclaimed(c, slot) == unclaimed)
        return;
    if (unclaimed) {
        bit_set(c->unclaimed, slot);
        c->owner[slot]->unclaimed_count++;
    } else {
        bit_clear(c->unclaimed, slot);
        c->owner[slot]->unclaimed_count--;
    }
}

bool slots_set_bit(uint8_t bits[SLOT_BYTES], unsigned *count, slot_t slot, bool on)
{
    if (bit_get(bits, slot) == on)
        return false;
    if (on)
        bit_set(bits, slot);
    else
        bit_clear(bits, slot);
    *count += on ? 1u : -1u;
    return true;
}

void slots_set_dropping(struct cluster *c, slot_t slot, bool dropping)
{
    if (slots_set_bit(c->dropping, &c->dropping_count, slot, dropping))
        cluster_changed(c);
}

void slots_set_departing(struct cluster *c, slot_t slot, bool departing)
{
    if (!slots_set_bit(c->departing, &c->departing_count, slot, departing))
        return;
    if (departing)
        cluster_changed_durable(c);
    else
        cluster_changed(c);
}

/* The first slot at or after s whose bit is `value`, or SLOTS. 64 bits at a time: byte order makes them one number. */
static unsigned find_bit(const uint8_t *bits, unsigned s, bool value)
{
    while (s < SLOTS) {
        uint64_t word;

        memcpy(&word, bits + s / 64 * 8, sizeof word);
        word = le64toh(word);
        if (!value)
            word = ~word;
        word &= ~UINT64_C(0) << s % 64;
        if (word != 0)
            return s / 64 * 64 + (unsigned)__builtin_ctzll(word);
        s = (s / 64 + 1) * 64;
    }
    return SLOTS;
}

bool slots_next_range(const uint8_t *bits, unsigned *next, slot_t *first, slot_t *last)
{
    unsigned s = find_bit(bits, *next, true);

    if (s >= SLOTS)
        return false;
    *first = (slot_t)s;
    *next = find_bit(bits, s, false);
    *last = (slot_t)(*next - 1);
    return true;
}
