/*
 * zset_walk.h - a sorted set in its order, upwards or downwards, from any place, whichever form it has.
 *
 *     struct zset_walk w;
 *     TRY(zset_walk_first(t, o, false, &w));
 *     while ((e = zset_walk_next(&w)) == OK) ... w.member, w.score ...     (borrowed until the next call)
 *     zset_walk_end(&w);
 *     if (e != ERR_NOT_FOUND) return e;                                    (ERR_NOT_FOUND is the end)
 *
 * A PACKED object must not change while it is walked; a BIG one may: the walk sees it as it was at the beginning.
 * A walk that gets long (ELEMENTS_QUICK) where waiting is not allowed answers ERR_COLD, at its beginning when that is
 * known then, else at a later step.
 * Cost of a beginning: PACKED O(bytes of the run); BIG one seek, except zset_walk_rank, which walks there from the
 * nearer end.
 */
#ifndef CAIRN_ENGINE_TYPE_ZSET_WALK_H
#define CAIRN_ENGINE_TYPE_ZSET_WALK_H

#include "base/err.h"
#include "base/slice.h"
#include "engine/set/txn.h"
#include "engine/type/zset_packed.h"

/* More pairs than fit into a run: a pair takes 10 bytes or more. */
enum { ZSET_WALK_PLACES_MAX = OBJ_PACKED_BYTES_MAX / (2 + ZSET_SCORE_BYTES) + 1 };

struct zset_walk {
    struct slice member;
    double score;
    size_t at, next; /* PACKED: where the pair is in the run */
    /* private */
    struct txn *txn;
    uint64_t steps, count;
    bool big, reverse;
    struct slice run;
    struct txn_cursor cursor;
    size_t places_count;
    uint16_t places[ZSET_WALK_PLACES_MAX]; /* PACKED, reverse: where the pairs still to come begin */
};

/* From the lowest, or reverse from the highest. */
enum err zset_walk_first(struct txn *t, struct obj *o, bool reverse, struct zset_walk *w) WARN_UNUSED;

/* From the pair (score, member), or where it would be; inclusive. member may be TXN_MEMBER_LAST. */
enum err zset_walk_from(struct txn *t, struct obj *o, double score, struct slice member, bool reverse,
                        struct zset_walk *w) WARN_UNUSED;

/* From the pair number `rank`, counted from 0 in the walk's direction; rank < o->count. */
enum err zset_walk_rank(struct txn *t, struct obj *o, uint64_t rank, bool reverse, struct zset_walk *w) WARN_UNUSED;

enum err zset_walk_next(struct zset_walk *w) WARN_UNUSED;
void zset_walk_end(struct zset_walk *w);

/* The rank of a pair that is in the set. BIG: O(distance to the nearer end), about 1 us a pair. */
enum err zset_walk_rank_of(struct txn *t, struct obj *o, double score, struct slice member, bool reverse,
                           uint64_t *rank) WARN_UNUSED;

#endif
