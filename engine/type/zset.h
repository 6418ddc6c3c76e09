/*
 * zset.h - sorted sets: members with a score, in the order of (score, member). o->count is the number of members.
 *
 *   PACKED  one run of pairs in that order (engine/type/zset_packed.h)
 *   BIG     for each member an E row (its score, 8 bytes, little-endian double) and an S row (the order)
 *
 * Objects passed in are sorted sets found by txn_read (for reading) or txn_write / txn_create (for changing). A
 * function that changes reads first: ERR_COLD means that nothing was changed. None emits effects unless it says so,
 * except through txn_delete. Members passed in must not point into the object. Scores are never NaN; -0 is kept as 0.
 * Cost: PACKED one walk over the run; BIG a row or two. Ordered walks: engine/type/zset_walk.h; ranges: zset_range.h;
 * all elements in any order: element_walk.h.
 */
#ifndef CAIRN_ENGINE_TYPE_ZSET_H
#define CAIRN_ENGINE_TYPE_ZSET_H

#include "base/err.h"
#include "base/slice.h"
#include "engine/set/obj.h"
#include "engine/set/txn.h"
#include "engine/type/element_sample.h"

/* Redis' defaults of zset-max-listpack-entries and -value: beyond them OBJECT ENCODING says "skiplist". */
enum { ZSET_LISTPACK_ENTRIES_MAX = 128, ZSET_LISTPACK_VALUE_MAX = 64 };

/* OBJECT ENCODING: "listpack" or "skiplist". */
const char *zset_encoding(const struct obj *o);

static inline uint64_t zset_length(const struct obj *o)
{
    return o->count;
}

/* ERR_NOT_FOUND: no such member. */
enum err zset_score(struct txn *t, struct obj *o, struct slice member, double *score) WARN_UNUSED;

enum zset_change {
    ZSET_REFUSED, /* a condition was not met */
    ZSET_SAME,    /* it has this score already */
    ZSET_UPDATED,
    ZSET_ADDED,
};

enum zset_condition {
    ZSET_IF_ABSENT = 1,  /* NX */
    ZSET_IF_PRESENT = 2, /* XX */
    ZSET_IF_GREATER = 4, /* GT: of a member that is there */
    ZSET_IF_LESS = 8,    /* LT: the same */
    ZSET_INCREMENT = 16, /* score is added to the present one (absent: 0) */
};

/* Sets one score; o may be new and empty. *result: the member's score now, unless refused. ERR_NAN: of an increment. */
enum err zset_update(struct txn *t, struct obj *o, struct slice member, double score, unsigned conditions,
                     double *result, enum zset_change *change) WARN_UNUSED;

/* The same without conditions. *added: the member is new. */
enum err zset_add(struct txn *t, struct obj *o, struct slice member, double score, bool *added) WARN_UNUSED;

/* The result of an increment is logged as ZADD key score member: a replica does not compute floats again. */
void zset_log_score(struct txn *t, struct obj *o, struct slice member, double score);

/* Removes these members; *removed counts those that were there. If none is left the key is deleted and o is gone. */
enum err zset_remove(struct txn *t, struct obj *o, const struct slice *members, size_t count,
                     uint64_t *removed) WARN_UNUSED;

/* PACKED to BIG: every pair becomes its rows; the count stays. */
enum err zset_make_big(struct txn *t, struct obj *o) WARN_UNUSED;

/* A member of a BIG one, and a score, that are known to be in it: their rows go, and the count falls. */
void zset_big_delete(struct txn *t, struct obj *o, struct slice member, double score);

/* After so many rows of a BIG one were removed, and some are left: now and then all its rows are written anew, or (when
 * it has fewer members than before) it becomes PACKED. */
enum err zset_tidy(struct txn *t, struct obj *o, uint64_t removed, bool fewer) WARN_UNUSED;

/* ---- Pairs in memory: the value is the score, 8 bytes ---- */

void zset_list_add(struct element_list *l, struct slice member, double score);
double zset_list_score(const struct element_list *l, size_t i);

/* By (score, member). */
void zset_list_sort(struct element_list *l);

/* Makes the key a sorted set of these pairs, whatever it was before; none: the key is deleted. The members are distinct
 * and the list is sorted. Emits its effects. */
enum err zset_store(struct txn *t, struct slice key, const struct element_list *pairs) WARN_UNUSED;

#endif
