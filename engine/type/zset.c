/*
 * zset.c - members and scores in either form.
 *
 * (1) A sorted set beyond ZSET_PACKED_PAIRS_MAX members or OBJ_PACKED_BYTES_MAX bytes becomes BIG; far below (half of
 *     both) it may become PACKED again.
 * (2) A BIG one has exactly one S row for every E row, with the same score.
 * (3) Removed rows leave marks in the store, between the others too where scores change, and a walk passes them all.
 *     obj_big.first counts them, from MARKS_NONE on; a BIG one that is not too large is written anew, under another id,
 *     when it has a few times more marks than members. Measured with 500 members under increments, pipeline 16:
 *     ZRANGE 0 9 3 k/s, written anew 71 k/s; ZREVRANGE 0 9 below 2 k/s, now 12; increments as fast as before.
 * (4) OBJ_MARK_LARGE is set once a count or a size goes beyond Redis' listpack limits, and stays set.
 */
#include "engine/type/zset.h"

#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "engine/type/effect_run.h"
#include "engine/type/element_walk.h"
#include "engine/type/zset_ends.h"
#include "engine/type/zset_packed.h"
#include "engine/type/zset_range.h"

#define MARKS_NONE ((uint64_t)1 << 63) /* as txn_make_big leaves it */

enum {
    REWRITE_COUNT_MAX = 4096, /* a larger one would keep its slot locked for too long */
    REWRITE_MARKS_MIN = 256,
    REWRITE_MARKS_PER_MEMBER = 2,
};

const char *zset_encoding(const struct obj *o)
{
    return (o->marks & OBJ_MARK_LARGE) != 0 ? "skiplist" : "listpack";
}

/* After a member came in and was counted. */
static void mark(struct obj *o, struct slice member)
{
    if (o->count > ZSET_LISTPACK_ENTRIES_MAX || member.size > ZSET_LISTPACK_VALUE_MAX)
        o->marks |= OBJ_MARK_LARGE;
}

static struct slice score_bytes(const double *score)
{
    return slice_of(score, sizeof *score);
}

static enum err score_read(struct slice value, double *score)
{
    if (value.size != ZSET_SCORE_BYTES)
        return err_set(ERR_CORRUPT, "a score of %zu bytes", value.size);
    memcpy(score, value.data, ZSET_SCORE_BYTES);
    return OK;
}

enum err zset_score(struct txn *t, struct obj *o, struct slice member, double *score)
{
    struct zset_pair pair;
    struct slice value;

    if (o->form == OBJ_BIG) {
        TRY(txn_element_get(t, o, member, &value));
        return score_read(value, score);
    }
    if (!zset_packed_find(o, member, &pair))
        return ERR_NOT_FOUND;
    *score = pair.score;
    return OK;
}

/* ---- BIG ---- */

void zset_big_delete(struct txn *t, struct obj *o, struct slice member, double score)
{
    txn_member_delete(t, o, member, score);
    o->count--;
}

enum err zset_make_big(struct txn *t, struct obj *o)
{
    uint64_t count = o->count;
    struct zset_pair p = {0};
    struct buf run = {0};
    enum err e;

    buf_append_slice(&run, obj_value(o));
    e = txn_make_big(t, o);
    while (e == OK && zset_pair_next(buf_slice(&run), &p))
        txn_member_put(t, o, p.member, p.score, NULL);
    o->count = count;
    buf_free(&run);
    return e;
}

/* ---- One score ---- */

/* -0 becomes 0, as the order of the rows has it. */
static double unsigned_zero(double score)
{
    return score + 0.0;
}

/* What becomes of a member that is there with score `old`. *score: in what was given, out the new one. */
static enum err decide_present(double old, unsigned conditions, double *score, enum zset_change *change)
{
    *change = ZSET_REFUSED;
    if (conditions & ZSET_IF_ABSENT)
        return OK;
    if (conditions & ZSET_INCREMENT)
        *score = unsigned_zero(*score + old);
    if (isnan(*score))
        return ERR_NAN;
    if ((conditions & ZSET_IF_GREATER && *score <= old) || (conditions & ZSET_IF_LESS && *score >= old))
        return OK;
    *change = *score == old ? ZSET_SAME : ZSET_UPDATED;
    return OK;
}

static enum err update_packed(struct txn *t, struct obj *o, struct slice member, double score, unsigned conditions,
                              double *result, enum zset_change *change)
{
    double wanted = unsigned_zero(score);
    struct zset_place place;

    zset_packed_place(o, member, wanted, &place);
    if (place.found) {
        TRY(decide_present(place.old.score, conditions, &wanted, change));
        if (conditions & ZSET_INCREMENT && *change == ZSET_UPDATED)
            zset_packed_place(o, member, wanted, &place); /* where the sum belongs */
    } else {
        *change = conditions & ZSET_IF_PRESENT ? ZSET_REFUSED : ZSET_ADDED;
    }
    *result = *change == ZSET_ADDED ? score : wanted;
    if (*change < ZSET_UPDATED)
        return OK;
    zset_packed_put(o, &place, member, wanted);
    o->count += *change == ZSET_ADDED;
    mark(o, member);
    txn_changed(t, o);
    return __builtin_expect(zset_packed_outgrown(o), 0) ? zset_make_big(t, o) : OK;
}

static enum err update_big(struct txn *t, struct obj *o, struct slice member, double score, unsigned conditions,
                           double *result, enum zset_change *change)
{
    double old = 0, wanted = unsigned_zero(score);
    enum err e = zset_score(t, o, member, &old);

    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    if (e == OK)
        TRY(decide_present(old, conditions, &wanted, change));
    else
        *change = conditions & ZSET_IF_PRESENT ? ZSET_REFUSED : ZSET_ADDED;
    *result = *change == ZSET_ADDED ? score : wanted;
    if (*change < ZSET_UPDATED)
        return OK;
    txn_member_put(t, o, member, wanted, *change == ZSET_UPDATED ? &old : NULL);
    o->count += *change == ZSET_ADDED;
    mark(o, member);
    zset_ends_added(o, wanted, member);
    if (*change == ZSET_UPDATED)
        zset_ends_removed(o, 1); /* the old row of its score */
    txn_changed(t, o);
    return *change == ZSET_UPDATED ? zset_tidy(t, o, 1, false) : OK;
}

enum err zset_update(struct txn *t, struct obj *o, struct slice member, double score, unsigned conditions,
                     double *result, enum zset_change *change)
{
    if (__builtin_expect(o->form == OBJ_BIG, 0))
        return update_big(t, o, member, score, conditions, result, change);
    return update_packed(t, o, member, score, conditions, result, change);
}

enum err zset_add(struct txn *t, struct obj *o, struct slice member, double score, bool *added)
{
    enum zset_change change;
    double result;

    TRY(zset_update(t, o, member, score, 0, &result, &change));
    *added = change == ZSET_ADDED;
    return OK;
}

void zset_log_score(struct txn *t, struct obj *o, struct slice member, double score)
{
    char text[NUM_TEXT_MAX];

    TXN_EFFECT(t, o, SLICE_LITERAL("ZADD"), obj_key(o), slice_of(text, num_format_double(text, unsigned_zero(score))), member);
}

/* ---- Removing ---- */

static enum err remove_one(struct txn *t, struct obj *o, struct slice member, bool *removed)
{
    struct zset_pair pair;
    double score;

    *removed = false;
    if (o->form == OBJ_BIG) {
        enum err e = zset_score(t, o, member, &score);

        if (e != OK)
            return e == ERR_NOT_FOUND ? OK : e;
        zset_big_delete(t, o, member, score);
        if (o->count > 0) {
            zset_ends_removed(o, 1);
            TRY(zset_tidy(t, o, 1, true));
        }
    } else {
        if (!zset_packed_find(o, member, &pair))
            return OK;
        packed_remove(o, pair.at, pair.next);
        o->count--;
    }
    txn_changed(t, o);
    *removed = true;
    return OK;
}

enum err zset_remove(struct txn *t, struct obj *o, const struct slice *members, size_t count, uint64_t *removed)
{
    uint64_t n = 0;

    TRY(element_warm(t, o, members, count, 1));
    for (size_t i = 0; i < count; i++) {
        bool one;

        TRY(remove_one(t, o, members[i], &one));
        n += one;
        if (o->count == 0) {
            txn_delete(t, o);
            break;
        }
    }
    *removed = n;
    return OK;
}

/* ---- Pairs in memory ---- */

void zset_list_add(struct element_list *l, struct slice member, double score)
{
    element_list_add(l, member, score_bytes(&score));
}

double zset_list_score(const struct element_list *l, size_t i)
{
    double score = 0;
    enum err e = score_read(element_list_value(l, i), &score);

    check(e == OK);
    return score;
}

/* a and b may lie outside the list while it is sorted. */
static int by_score(const void *a, const void *b, void *bytes)
{
    const struct element_place *x = a, *y = b;
    const uint8_t *base = bytes;
    double score_x, score_y;

    memcpy(&score_x, base + x->at + x->name_size, sizeof score_x);
    memcpy(&score_y, base + y->at + y->name_size, sizeof score_y);
    return zset_order(score_x, slice_of(base + x->at, x->name_size), score_y, slice_of(base + y->at, y->name_size));
}

void zset_list_sort(struct element_list *l)
{
    if (l->count > 1)
        qsort_r(l->places, l->count, sizeof *l->places, by_score, l->bytes.data);
}

/* An empty sorted set becomes these pairs; they are distinct and sorted, so nothing needs to be looked up. */
static enum err fill(struct txn *t, struct obj *o, const struct element_list *pairs)
{
    if (pairs->count > ZSET_PACKED_PAIRS_MAX)
        TRY(txn_make_big(t, o));
    for (size_t i = 0; i < pairs->count; i++) {
        struct slice member = element_list_name(pairs, i);
        double score = unsigned_zero(zset_list_score(pairs, i));

        if (o->form != OBJ_BIG && o->value_size + member.size > OBJ_PACKED_BYTES_MAX)
            TRY(zset_make_big(t, o));
        if (o->form == OBJ_BIG)
            txn_member_put(t, o, member, score, NULL);
        else
            zset_packed_append(o, member, score);
        o->count++;
        mark(o, member);
    }
    txn_changed(t, o);
    return o->form != OBJ_BIG && zset_packed_outgrown(o) ? zset_make_big(t, o) : OK;
}

/* The same set in new rows, or PACKED. If only_small, not unless it can become PACKED. */
static enum err rewrite(struct txn *t, struct obj *o, bool only_small)
{
    const struct zset_range all = {.by = ZSET_BY_RANK, .stop = -1, .limit = -1};
    msec_t expire_ms = o->expire_ms;
    struct element_list pairs = {0};
    uint8_t marks = o->marks;
    enum err e = zset_range_collect(t, o, &all, &pairs);

    if (e == OK && pairs.count != o->count)
        e = err_set(ERR_CORRUPT, "a sorted set has %zu rows in order, not %llu", pairs.count,
                    (unsigned long long)o->count);
    if (e == OK && (!only_small || pairs.bytes.size <= OBJ_PACKED_BYTES_MAX / 2)) {
        txn_reset(t, o, OBJ_ZSET);
        e = fill(t, o, &pairs);
        o->marks |= marks;
        if (expire_ms != 0)
            txn_expire(t, o, expire_ms);
    }
    element_list_free(&pairs);
    return e;
}

enum err zset_tidy(struct txn *t, struct obj *o, uint64_t removed, bool fewer)
{
    bool power_of_two = (o->count & (o->count - 1)) == 0; /* tried at few sizes only */
    bool small = fewer && power_of_two && o->count <= ZSET_PACKED_PAIRS_MAX / 2;
    struct obj_big big = obj_big_get(o);
    bool worn;

    big.first += removed;
    obj_big_set(o, &big);
    worn = o->count <= REWRITE_COUNT_MAX &&
           big.first - MARKS_NONE >= REWRITE_MARKS_MIN + REWRITE_MARKS_PER_MEMBER * o->count;
    return worn || small ? rewrite(t, o, !worn) : OK;
}

enum err zset_store(struct txn *t, struct slice key, const struct element_list *pairs)
{
    struct effect_run run;
    char text[NUM_TEXT_MAX];
    struct obj *o;
    enum err e = txn_write(t, key, OBJ_ANY, &o);

    if (e == OK)
        txn_delete(t, o);
    else if (e != ERR_NOT_FOUND)
        return e;
    if (pairs->count == 0)
        return OK;
    o = txn_create(t, key, OBJ_ZSET);
    TRY(fill(t, o, pairs));
    effect_run_begin(&run, t, o, "ZADD");
    for (size_t i = 0; i < pairs->count; i++)
        effect_run_add2(&run, slice_of(text, num_format_double(text, zset_list_score(pairs, i))),
                        element_list_name(pairs, i));
    effect_run_end(&run);
    return OK;
}
