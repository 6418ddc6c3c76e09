/*
 * zset_ends.h - where the lowest and the highest member of a BIG sorted set are, at least about.
 *
 * Rows that were removed leave marks in the store until it is compacted, and a walk from the lowest score would pass
 * all of them: a queue served by ZPOPMIN would get slower with every member served. So a BIG sorted set remembers two
 * bounds: no member is below the one or above the other. Walks start there. They are looked up anew by the next walk
 * after ZSET_ENDS_REMOVALS removals, and widened by what is added; pops tell the new end exactly. That a walk has looked
 * them up changes the object in memory only: it is no change of the key, and may be forgotten.
 *
 * obj_big.spare counts the removals. Behind struct obj_big, only once the bounds are known:
 *   offset  size
 *        0     8  score of the low bound, little-endian double
 *        8     8  score of the high bound
 *       16     1  size of the low bound's member
 *       17     1  size of the high bound's member, 255: behind every member of that score
 *       18     .  low member, high member
 * On disk inside key records: never change. Bytes that do not fit this mean that nothing is known.
 */
#ifndef CAIRN_ENGINE_TYPE_ZSET_ENDS_H
#define CAIRN_ENGINE_TYPE_ZSET_ENDS_H

#include "base/slice.h"
#include "engine/set/txn.h"

enum { ZSET_ENDS_REMOVALS = 32 };

/* Where a walk over a BIG set may start that was asked to start at (score, member): there or nearer to the set. The
 * member borrows from the object until it changes. */
void zset_ends_narrow(const struct obj *o, bool reverse, double *score, struct slice *member);

/* A member came in. */
void zset_ends_added(struct obj *o, double score, struct slice member);

/* One side is known exactly: this is the lowest member, or (reverse) the highest. */
void zset_ends_known(struct obj *o, bool reverse, double score, struct slice member);

/* Members were removed, and some are left. Call it after the changes and before txn_changed. */
void zset_ends_removed(struct obj *o, uint64_t count);

/* Before a walk: looks the bounds up if many members were removed since. */
void zset_ends_renew(struct txn *t, struct obj *o);

#endif
