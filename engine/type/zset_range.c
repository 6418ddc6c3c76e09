/*
 * zset_range.c - a walk from one end of a range to the other.
 */
#include "engine/type/zset_range.h"

#include <math.h>
#include <stdlib.h>

#include "engine/type/zset.h"
#include "engine/type/zset_ends.h"

enum { SCORE_WORD_MAX = 400 };

/* ---- Words ---- */

/* What strtod reads up to the end or a zero byte, as in Redis: leading space, hex and overflow to infinity too, no NaN. */
bool zset_range_parse_score(struct slice word, double *value, bool *exclusive)
{
    char copy[SCORE_WORD_MAX], *end;
    double number;

    *exclusive = word.size > 0 && word.data[0] == '(';
    if (*exclusive)
        word = slice_of(word.data + 1, word.size - 1);
    if (word.size >= sizeof copy)
        return false;
    if (word.size > 0)
        memcpy(copy, word.data, word.size);
    copy[word.size] = '\0';
    number = strtod(copy, &end);
    if (*end != '\0' || isnan(number))
        return false;
    *value = number;
    return true;
}

bool zset_range_parse_lex(struct slice word, struct zset_lex *out)
{
    if (word.size == 0)
        return false;
    switch (word.data[0]) {
    case '-':
    case '+':
        if (word.size != 1)
            return false;
        *out = (struct zset_lex){.member = {NULL, word.data[0] == '-' ? 0 : SIZE_MAX}};
        return true;
    case '[':
    case '(':
        *out = (struct zset_lex){.member = slice_of(word.data + 1, word.size - 1), .exclusive = word.data[0] == '('};
        return true;
    default:
        return false;
    }
}

/* ---- Bounds ---- */

static bool below_min(const struct zset_range *r, double score, struct slice member)
{
    int order;

    if (r->by == ZSET_BY_SCORE)
        return r->min_exclusive ? score <= r->min : score < r->min;
    if (r->from.member.data == NULL)
        return r->from.member.size != 0;
    order = slice_compare(member, r->from.member);
    return r->from.exclusive ? order <= 0 : order < 0;
}

static bool above_max(const struct zset_range *r, double score, struct slice member)
{
    int order;

    if (r->by == ZSET_BY_SCORE)
        return r->max_exclusive ? score >= r->max : score > r->max;
    if (r->to.member.data == NULL)
        return r->to.member.size == 0;
    order = slice_compare(member, r->to.member);
    return r->to.exclusive ? order >= 0 : order > 0;
}

static bool nothing_by_score(const struct zset_range *r)
{
    return r->min > r->max || (r->min == r->max && (r->min_exclusive || r->max_exclusive));
}

static bool nothing_by_lex(const struct zset_range *r)
{
    struct slice from = r->from.member, to = r->to.member;
    int order;

    if (from.data == NULL || to.data == NULL)
        return (from.data == NULL && from.size != 0) || (to.data == NULL && to.size == 0);
    order = slice_compare(from, to);
    return order > 0 || (order == 0 && (r->from.exclusive || r->to.exclusive));
}

uint64_t zset_range_ranks(const struct zset_range *r, uint64_t count, uint64_t *first)
{
    int64_t n = (int64_t)count, start = r->start, stop = r->stop;

    if (start < 0)
        start = start + n < 0 ? 0 : start + n;
    if (stop < 0)
        stop += n;
    if (start > stop || start >= n)
        return 0;
    if (stop >= n)
        stop = n - 1;
    *first = (uint64_t)start;
    return (uint64_t)(stop - start) + 1;
}

/* ---- Walking ---- */

static enum err begin_by_rank(struct txn *t, struct obj *o, struct zset_range_walk *w)
{
    uint64_t first = 0;

    w->inside = true;
    w->left = zset_range_ranks(w->range, o->count, &first);
    if (w->left == 0)
        return OK;
    TRY(zset_walk_rank(t, o, first, w->range->reverse, &w->walk));
    w->open = true;
    return OK;
}

static enum err begin_by_score(struct txn *t, struct obj *o, struct zset_range_walk *w)
{
    const struct zset_range *r = w->range;
    struct slice member = {0};

    if (nothing_by_score(r)) {
        w->left = 0;
        return OK;
    }
    /* The far side of an end's score: in front of its members, or behind them. */
    if (r->reverse ? !r->max_exclusive : r->min_exclusive)
        member = TXN_MEMBER_LAST;
    TRY(zset_walk_from(t, o, r->reverse ? r->max : r->min, member, r->reverse, &w->walk));
    w->open = true;
    return OK;
}

/*
 * What the lowest and the highest pair tell: whether all members have one score (*score, *equal), and whether the range
 * has nothing (with different scores Redis looks at no more than these two to say so).
 */
static enum err look_at_ends(struct txn *t, struct obj *o, const struct zset_range *r, double *score, bool *equal,
                             bool *nothing)
{
    double ends[2] = {0};

    for (int reverse = 0; reverse < 2; reverse++) {
        struct zset_walk w;
        enum err e;

        TRY(zset_walk_first(t, o, reverse, &w));
        if ((e = zset_walk_next(&w)) == OK)
            *nothing |= reverse ? below_min(r, w.score, w.member) : above_max(r, w.score, w.member);
        zset_walk_end(&w);
        TRY(e);
        ends[reverse] = w.score;
    }
    *score = ends[0];
    *equal = ends[0] == ends[1];
    return OK;
}

static enum err begin_by_lex(struct txn *t, struct obj *o, struct zset_range_walk *w)
{
    const struct zset_range *r = w->range;
    const struct zset_lex *start = r->reverse ? &r->to : &r->from;
    bool equal = false, nothing = nothing_by_lex(r);
    double score = 0;

    if (!nothing && (r->from.member.data != NULL || r->to.member.data != NULL))
        TRY(look_at_ends(t, o, r, &score, &equal, &nothing));
    if (nothing) {
        w->left = 0;
        return OK;
    }
    if (equal && start->member.data != NULL)
        TRY(zset_walk_from(t, o, score, start->member, r->reverse, &w->walk));
    else
        TRY(zset_walk_first(t, o, r->reverse, &w->walk));
    w->open = true;
    return OK;
}

enum err zset_range_begin(struct txn *t, struct obj *o, const struct zset_range *range, struct zset_range_walk *w)
{
    w->range = range;
    w->open = w->inside = false;
    w->skip = 0;
    if (range->by == ZSET_BY_RANK)
        return begin_by_rank(t, o, w);
    w->left = range->limit < 0 ? UINT64_MAX : (uint64_t)range->limit;
    if (range->offset < 0 || w->left == 0) {
        w->left = 0;
        return OK;
    }
    w->skip = (uint64_t)range->offset;
    return range->by == ZSET_BY_SCORE ? begin_by_score(t, o, w) : begin_by_lex(t, o, w);
}

enum err zset_range_next(struct zset_range_walk *w)
{
    const struct zset_range *r = w->range;

    while (w->left > 0) {
        struct zset_walk *walk = &w->walk;

        TRY(zset_walk_next(walk));
        if (r->by != ZSET_BY_RANK) {
            bool before = !w->inside && (r->reverse ? above_max(r, walk->score, walk->member)
                                                    : below_min(r, walk->score, walk->member));

            if (before)
                continue;
            w->inside = true;
            if (r->reverse ? below_min(r, walk->score, walk->member) : above_max(r, walk->score, walk->member))
                break;
            if (w->skip > 0) {
                w->skip--;
                continue;
            }
        }
        w->left--;
        return OK;
    }
    w->left = 0;
    return ERR_NOT_FOUND;
}

void zset_range_end(struct zset_range_walk *w)
{
    if (w->open)
        zset_walk_end(&w->walk);
    w->open = false;
}

/* ---- Whole ranges ---- */

/* By the ranks of both ends; ERR_NOT_FOUND: they are not known without a walk. */
static enum err count_by_score(struct txn *t, struct obj *o, const struct zset_range *r, uint64_t *count)
{
    uint64_t low = 0, high = 0;

    *count = 0;
    if (nothing_by_score(r))
        return OK;
    TRY(txn_score_rank(t, o, r->min, r->min_exclusive ? TXN_MEMBER_LAST : (struct slice){0}, &low));
    TRY(txn_score_rank(t, o, r->max, r->max_exclusive ? (struct slice){0} : TXN_MEMBER_LAST, &high));
    *count = high - low;
    return OK;
}

enum err zset_range_count(struct txn *t, struct obj *o, const struct zset_range *range, uint64_t *count)
{
    struct zset_range_walk w;
    uint64_t n = 0;
    enum err e;

    if (range->by == ZSET_BY_SCORE && range->limit < 0 && range->offset == 0 && range->min == -INFINITY &&
        range->max == INFINITY && !range->min_exclusive && !range->max_exclusive) {
        *count = o->count;
        return OK;
    }
    if (o->form == OBJ_BIG && range->by == ZSET_BY_SCORE && range->limit < 0 && range->offset == 0) {
        e = count_by_score(t, o, range, count);
        if (e != ERR_NOT_FOUND)
            return e;
    }
    TRY(zset_range_begin(t, o, range, &w));
    while ((e = zset_range_next(&w)) == OK)
        n++;
    zset_range_end(&w);
    if (e != ERR_NOT_FOUND)
        return e;
    *count = n;
    return OK;
}

enum err zset_range_collect(struct txn *t, struct obj *o, const struct zset_range *range, struct element_list *l)
{
    struct zset_range_walk w;
    enum err e;

    TRY(zset_range_begin(t, o, range, &w));
    while ((e = zset_range_next(&w)) == OK)
        zset_list_add(l, w.walk.member, w.walk.score);
    zset_range_end(&w);
    return e == ERR_NOT_FOUND ? OK : e;
}

/* The pairs of a range lie side by side in the run. */
static enum err take_packed(struct txn *t, struct obj *o, const struct zset_range *range, zset_range_each *each,
                            void *context, uint64_t *removed)
{
    size_t from = SIZE_MAX, to = 0;
    struct zset_range_walk w;
    uint64_t n = 0;
    enum err e;

    TRY(zset_range_begin(t, o, range, &w));
    for (; (e = zset_range_next(&w)) == OK; n++) {
        if (w.walk.at < from)
            from = w.walk.at;
        if (w.walk.next > to)
            to = w.walk.next;
        if (each != NULL)
            each(context, w.walk.member, w.walk.score);
    }
    zset_range_end(&w);
    if (e != ERR_NOT_FOUND)
        return e;
    if (n > 0) {
        packed_remove(o, from, to);
        o->count -= n;
        txn_changed(t, o);
    }
    *removed = n;
    return OK;
}

/* Takes out the pairs of l, of which there are more in the set, from the rows. */
static void take_rows(struct txn *t, struct obj *o, const struct element_list *l, size_t count)
{
    for (size_t i = 0; i < count; i++)
        zset_big_delete(t, o, element_list_name(l, i), zset_list_score(l, i));
}

/*
 * All is read before anything is removed; of a range from an end also the pair behind it, which is the new end. The
 * rows of a set that goes as a whole are left to the reaper.
 */
static enum err take_big(struct txn *t, struct obj *o, const struct zset_range *range, zset_range_each *each,
                         void *context, uint64_t *removed)
{
    bool from_end = range->by == ZSET_BY_RANK && range->start == 0 && range->stop >= 0 && range->stop < INT64_MAX;
    struct zset_range wider = *range;
    struct element_list l = {0};
    size_t n;
    enum err e;

    wider.stop += from_end;
    if ((e = zset_range_collect(t, o, &wider, &l)) != OK)
        goto out;
    n = l.count - (from_end && l.count > (uint64_t)range->stop + 1);
    for (size_t i = 0; i < n && each != NULL; i++)
        each(context, element_list_name(&l, i), zset_list_score(&l, i));
    if (n == o->count) {
        o->count = 0;
    } else if (n > 0) {
        take_rows(t, o, &l, n);
        if (n < l.count)
            zset_ends_known(o, range->reverse, zset_list_score(&l, n), element_list_name(&l, n));
        else
            zset_ends_removed(o, n);
        txn_changed(t, o);
        e = zset_tidy(t, o, n, true);
    }
    *removed = n;
out:
    element_list_free(&l);
    return e;
}

enum err zset_range_take(struct txn *t, struct obj *o, const struct zset_range *range, zset_range_each *each,
                         void *context, uint64_t *removed)
{
    TRY((o->form == OBJ_BIG ? take_big : take_packed)(t, o, range, each, context, removed));
    if (o->count == 0)
        txn_delete(t, o);
    return OK;
}
