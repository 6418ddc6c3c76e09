/*
 * order.h - the members of a sorted set by (score, member), in memory, with ranks.
 *
 * Exists only while all members are in memory and somebody asks for them in order. Entries lie in blocks, in order; a
 * place is a binary search over blocks and one inside; a rank adds up the sizes of the blocks before, side by side in
 * memory: 1 M members are some 10,000 blocks, a microsecond or two.
 * Guarded by the slot's lock. Elements are borrowed: whoever replaces or frees one tells the order first.
 */
#ifndef CAIRN_ENGINE_SET_ORDER_H
#define CAIRN_ENGINE_SET_ORDER_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct element;

struct order_entry {
    double score;
    struct element *element;
};

enum { ORDER_BLOCK_MAX = 128 };

struct order_block {
    struct order_entry entries[ORDER_BLOCK_MAX];
};

struct order {
    struct order_block **blocks;
    uint32_t *sizes; /* of the blocks; none is empty */
    uint32_t block_count, block_capacity;
    uint64_t count;
    uint64_t version; /* of the last change */
};

/* Between two entries, in front of the one at `at` of `block`; block == block_count: at the end. */
struct order_place {
    uint32_t block, at;
};

/* Takes `entries` in any order; they are sorted in place. */
struct order *order_new(struct order_entry *entries, size_t count);
void order_free(struct order *o);
size_t order_bytes(const struct order *o);

void order_insert(struct order *o, double score, struct element *el);
void order_remove(struct order *o, double score, const struct element *el); /* must be there */

/* In front of the first entry at or beyond (score, member). member.size == SIZE_MAX: behind all members of the score. */
struct order_place order_find(const struct order *o, double score, struct slice member);
struct order_place order_at(const struct order *o, uint64_t rank); /* rank <= count */
uint64_t order_rank(const struct order *o, struct order_place place);

/* The entry behind (or, back, in front of) the place, which moves over it; NULL at the end. */
const struct order_entry *order_next(const struct order *o, struct order_place *place, bool back);

#endif
