/*
 * zset_packed.h - the small form of a sorted set: member, score, member, score ... in one run, ascending.
 *
 * Scores are 8 bytes, little-endian doubles, never NaN and never -0. Every function is one walk over the run and
 * allocates nothing but the run's own growth. Members passed in must not point into the object. Malformed bytes end a
 * walk.
 */
#ifndef CAIRN_ENGINE_TYPE_ZSET_PACKED_H
#define CAIRN_ENGINE_TYPE_ZSET_PACKED_H

#include <stdint.h>

#include "base/slice.h"
#include "engine/set/obj.h"
#include "engine/type/packed.h"

enum {
    ZSET_PACKED_PAIRS_MAX = OBJ_PACKED_ENTRIES_MAX / 2, /* beyond it, or beyond OBJ_PACKED_BYTES_MAX: BIG */
    ZSET_SCORE_BYTES = 8,
};

/* One member with its score, and where it is in the run: bytes [at, next). Zeroed is in front of the first. */
struct zset_pair {
    size_t at, next;
    struct slice member; /* borrowed from the run */
    double score;
};

/* The order of a sorted set: by score, equal ones by the bytes of the member. member.size SIZE_MAX is behind all. */
static inline int zset_order(double score_a, struct slice a, double score_b, struct slice b)
{
    if (score_a != score_b)
        return score_a < score_b ? -1 : 1;
    if (a.size == SIZE_MAX || b.size == SIZE_MAX)
        return (a.size == SIZE_MAX) - (b.size == SIZE_MAX);
    return slice_compare(a, b);
}

/* Pairs whose member is long. */
bool zset_pair_next_long(struct slice run, struct zset_pair *p);

/* Moves to the next pair; false at the end. */
static inline bool zset_pair_next(struct slice run, struct zset_pair *p)
{
    size_t at = p->next, size;

    if (at + 2 + ZSET_SCORE_BYTES > run.size)
        return false;
    size = run.data[at];
    if (__builtin_expect(size >= 0x80, 0))
        return zset_pair_next_long(run, p);
    if (at + 2 + size + ZSET_SCORE_BYTES > run.size || run.data[at + 1 + size] != ZSET_SCORE_BYTES)
        return false;
    p->at = at;
    p->member = slice_of(run.data + at + 1, size);
    memcpy(&p->score, run.data + at + 2 + size, ZSET_SCORE_BYTES);
    p->next = at + 2 + size + ZSET_SCORE_BYTES;
    return true;
}

/* Where a member is, and in front of which byte it belongs with a certain score. */
struct zset_place {
    bool found;
    struct zset_pair old; /* if found */
    size_t insert_at;
};

/* The pair of a member; false if there is none. */
bool zset_packed_find(const struct obj *o, struct slice member, struct zset_pair *pair);

/* Both answers in one walk. */
void zset_packed_place(const struct obj *o, struct slice member, double score, struct zset_place *place);

/* Puts the pair where zset_packed_place said; its old pair, if there was one, goes. The count is the caller's. */
void zset_packed_put(struct obj *o, const struct zset_place *place, struct slice member, double score);

/* Appends a pair that belongs behind all others. */
void zset_packed_append(struct obj *o, struct slice member, double score);

/* Whether it must become BIG. */
static inline bool zset_packed_outgrown(const struct obj *o)
{
    return o->count > ZSET_PACKED_PAIRS_MAX || o->value_size > OBJ_PACKED_BYTES_MAX;
}

#endif
