/*
 * slots.h - who owns which slot, which slots move, and which ones their owner stopped claiming.
 */
#ifndef CAIRN_CLUSTER_SLOTS_H
#define CAIRN_CLUSTER_SLOTS_H

#include "cluster/cluster_priv.h"

/* Gives the slot to n (a master), whoever had it; clears the "stopped claiming" mark. */
void slots_assign(struct cluster *c, slot_t slot, struct node *n);
void slots_unassign(struct cluster *c, slot_t slot);
void slots_release_all(struct cluster *c, struct node *n);

/* Also drops the marks that point at n: for a node that leaves the table. */
void slots_forget_node(struct cluster *c, struct node *n);

/* NULL clears. */
void slots_set_migrating(struct cluster *c, slot_t slot, struct node *to);
void slots_set_importing(struct cluster *c, slot_t slot, struct node *from);
/* A slot of this node: NULL, or whose claims must not take it back (update.c). Forgotten when the slot changes hands or is to. */
void slots_set_imported(struct cluster *c, slot_t slot, struct node *from);
void slots_clear_marks(struct cluster *c);

/* "The owner stopped claiming it". */
static inline bool slots_unclaimed(const struct cluster *c, slot_t slot)
{
    return bit_get(c->unclaimed, slot);
}
void slots_set_unclaimed(struct cluster *c, slot_t slot, bool unclaimed);

/* A bit of a set of slots and the number of those set; false: it was so before. */
bool slots_set_bit(uint8_t bits[SLOT_BYTES], unsigned *count, slot_t slot, bool on);

/*
 * Keys of a slot that was lost are being dropped by the driver. Until it says so, the slot may not come back here: old
 * keys must not be found among new ones.
 */
void slots_set_dropping(struct cluster *c, slot_t slot, bool dropping);

/* An atomic migration offers the slot, durably: if it is claimed, its keys here are copies, and dropped (update.c, rule 4). */
void slots_set_departing(struct cluster *c, slot_t slot, bool departing);

/* The next run of set bits at or after *next, which starts at 0 and moves behind it; false at the end. */
bool slots_next_range(const uint8_t *bits, unsigned *next, slot_t *first, slot_t *last);

#endif
