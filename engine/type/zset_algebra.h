/*
 * zset_algebra.h - intersection, union and difference of sorted sets and plain sets (whose members have score 1).
 *
 * Keys may repeat; an absent key is an empty set; ERR_WRONG_TYPE if any key holds something else. Nothing is changed,
 * so ERR_COLD may come at any time. Scores are combined in the order of the sets' sizes, smallest first, as in Redis.
 * Cost: an intersection walks the smallest set and probes the others; a union walks all; a difference walks the first
 * and probes the others, or walks all.
 */
#ifndef CAIRN_ENGINE_TYPE_ZSET_ALGEBRA_H
#define CAIRN_ENGINE_TYPE_ZSET_ALGEBRA_H

#include "base/err.h"
#include "base/slice.h"
#include "engine/set/txn.h"
#include "engine/type/element_sample.h"

enum zset_aggregate { ZSET_SUM, ZSET_MIN, ZSET_MAX };

/* One of the sets. */
struct zset_operand {
    struct obj *o;  /* NULL: absent */
    double weight;
};

/* Looks the keys up into operands[0 .. count - 1], each with weight 1. */
enum err zset_operands_find(struct txn *t, const struct slice *keys, size_t count,
                            struct zset_operand *operands) WARN_UNUSED;

/* Each adds its result, sorted, to out, which must be empty; the caller frees it. The operands get another order. */
enum err zset_unite(struct txn *t, struct zset_operand *operands, size_t count, enum zset_aggregate aggregate,
                    struct element_list *out) WARN_UNUSED;
enum err zset_intersect(struct txn *t, struct zset_operand *operands, size_t count, enum zset_aggregate aggregate,
                        struct element_list *out) WARN_UNUSED;

/* What the first has and no other; with the first one's scores. */
enum err zset_subtract(struct txn *t, struct zset_operand *operands, size_t count,
                       struct element_list *out) WARN_UNUSED;

/* How many the intersection has, at most `limit` (0: no limit). */
enum err zset_intersect_count(struct txn *t, struct zset_operand *operands, size_t count, uint64_t limit,
                              uint64_t *result) WARN_UNUSED;

#endif
