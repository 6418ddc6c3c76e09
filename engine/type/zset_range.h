/*
 * zset_range.h - a part of a sorted set: by rank, by score or by the bytes of the members.
 *
 *     struct zset_range range = {.by = ZSET_BY_SCORE, .min = 1, .max = 5, .limit = -1};
 *     struct zset_range_walk w;
 *     TRY(zset_range_begin(t, o, &range, &w));
 *     while ((e = zset_range_next(&w)) == OK) ... w.walk.member, w.walk.score ...
 *     zset_range_end(&w);
 *     if (e != ERR_NOT_FOUND) return e;
 *
 * What engine/type/zset_walk.h says about changes and ERR_COLD holds here too. By bytes is meant for members of equal
 * score; with different scores it gives the pairs from the first that is not below the range up to the next beyond it.
 * Cost in BIG sets: one seek and the pairs given; by rank also the way from the nearer end; offset is walked;
 * zset_range_count walks what it counts.
 */
#ifndef CAIRN_ENGINE_TYPE_ZSET_RANGE_H
#define CAIRN_ENGINE_TYPE_ZSET_RANGE_H

#include "base/err.h"
#include "base/slice.h"
#include "engine/set/txn.h"
#include "engine/type/element_sample.h"
#include "engine/type/zset_walk.h"

enum zset_by { ZSET_BY_RANK, ZSET_BY_SCORE, ZSET_BY_LEX };

/* An end of a range by bytes. data NULL: before everything (size 0), or behind everything (size SIZE_MAX). */
struct zset_lex {
    struct slice member;
    bool exclusive;
};

struct zset_range {
    enum zset_by by;
    bool reverse;          /* from the highest; the ends of a range by score or bytes stay min and max */
    int64_t start, stop;   /* by rank, in the walk's direction, inclusive; negative: from the end */
    double min, max;       /* by score */
    bool min_exclusive, max_exclusive;
    struct zset_lex from, to; /* by bytes */
    int64_t offset, limit; /* not by rank. limit < 0: all; offset < 0: nothing */
};

struct zset_range_walk {
    struct zset_walk walk;
    const struct zset_range *range;
    uint64_t skip, left;
    bool open, inside;
};

/* The words of a range as Redis reads them: "1.5", "(1.5", "-inf"; "[a", "(a", "-", "+". False: not valid. */
bool zset_range_parse_score(struct slice word, double *value, bool *exclusive);
bool zset_range_parse_lex(struct slice word, struct zset_lex *out);

/* Borrows the range until the end. */
enum err zset_range_begin(struct txn *t, struct obj *o, const struct zset_range *range,
                          struct zset_range_walk *w) WARN_UNUSED;
enum err zset_range_next(struct zset_range_walk *w) WARN_UNUSED;
void zset_range_end(struct zset_range_walk *w);

/* How many pairs the range has. */
enum err zset_range_count(struct txn *t, struct obj *o, const struct zset_range *range, uint64_t *count) WARN_UNUSED;

/* Adds the pairs of the range to l. */
enum err zset_range_collect(struct txn *t, struct obj *o, const struct zset_range *range,
                            struct element_list *l) WARN_UNUSED;

typedef void zset_range_each(void *context, struct slice member, double score);

/*
 * Removes the pairs of the range, handing each to `each` (may be NULL) before, in the range's order. If none is left
 * the key is deleted and o is gone. After an error `each` may have been called. The range has no offset and no limit.
 */
enum err zset_range_take(struct txn *t, struct obj *o, const struct zset_range *range, zset_range_each *each,
                         void *context, uint64_t *removed) WARN_UNUSED;

/* How many pairs a range by rank has in a set of `count`. */
uint64_t zset_range_ranks(const struct zset_range *range, uint64_t count, uint64_t *first);

#endif
