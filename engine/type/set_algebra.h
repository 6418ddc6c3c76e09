/*
 * set_algebra.h - intersection, union and difference of sets.
 *
 * Keys may repeat; an absent key is an empty set; ERR_WRONG_TYPE if any key holds something else. Nothing is changed,
 * so ERR_COLD may come at any time.
 */
#ifndef CAIRN_ENGINE_TYPE_SET_ALGEBRA_H
#define CAIRN_ENGINE_TYPE_SET_ALGEBRA_H

#include "base/err.h"
#include "base/slice.h"
#include "engine/set/txn.h"
#include "engine/type/name_set.h"

enum set_operation { SET_INTERSECT, SET_UNITE, SET_SUBTRACT };

/* The result in out, which must be empty; the caller frees it. `limit`: an intersection stops at so many (0: none). */
enum err set_algebra(struct txn *t, enum set_operation operation, const struct slice *keys, size_t count,
                     uint64_t limit, struct name_set *out) WARN_UNUSED;

/* How many the intersection has, at most `limit` (0: no limit), without collecting them. */
enum err set_algebra_count(struct txn *t, const struct slice *keys, size_t count, uint64_t limit,
                           uint64_t *result) WARN_UNUSED;

#endif
