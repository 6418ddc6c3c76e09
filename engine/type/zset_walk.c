/*
 * zset_walk.c - one ordered walk over both forms, and ranks, which rows do not know.
 */
#include "engine/type/zset_walk.h"

#include "base/buf.h"
#include "engine/type/element_walk.h"
#include "engine/type/zset_ends.h"

#include <math.h>

enum { DOWN_COST = 5 }; /* a step downwards in the store costs about as much as so many upwards */

static void init(struct zset_walk *w, struct txn *t, struct obj *o, bool reverse)
{
    w->txn = t;
    w->steps = 0;
    w->big = o->form == OBJ_BIG;
    w->reverse = reverse;
    w->run = w->big ? (struct slice){0} : obj_value(o);
    w->at = w->next = 0;
    w->places_count = 0;
    w->count = o->count;
}

/* ---- PACKED ---- */

static enum err place_add(struct zset_walk *w, size_t at)
{
    if (w->places_count == ZSET_WALK_PLACES_MAX || at > UINT16_MAX)
        return err_set(ERR_CORRUPT, "a packed sorted set of %zu bytes", w->run.size);
    w->places[w->places_count++] = (uint16_t)at;
    return OK;
}

static enum err packed_from(struct zset_walk *w, double score, struct slice member)
{
    struct zset_pair p = {0};

    while (zset_pair_next(w->run, &p)) {
        int order = zset_order(p.score, p.member, score, member);

        if (!w->reverse && order >= 0) {
            w->next = p.at;
            return OK;
        }
        if (w->reverse && order > 0)
            return OK;
        if (w->reverse)
            TRY(place_add(w, p.at));
    }
    w->next = p.next;
    return OK;
}

static enum err packed_rank(struct zset_walk *w, uint64_t rank)
{
    struct zset_pair p = {0};

    if (w->reverse) {
        while (zset_pair_next(w->run, &p))
            TRY(place_add(w, p.at));
        w->places_count -= rank < w->places_count ? rank : w->places_count;
        return OK;
    }
    while (rank > 0 && zset_pair_next(w->run, &p))
        rank--;
    w->next = p.next;
    return OK;
}

static enum err packed_step(struct zset_walk *w)
{
    struct zset_pair p = {.next = w->next};

    if (w->reverse) {
        if (w->places_count == 0)
            return ERR_NOT_FOUND;
        p.next = w->places[--w->places_count];
    }
    if (!zset_pair_next(w->run, &p))
        return ERR_NOT_FOUND;
    w->at = p.at;
    w->next = p.next;
    w->member = p.member;
    w->score = p.score;
    return OK;
}

/* ---- BIG ---- */

static enum err big_from(struct txn *t, struct obj *o, double score, struct slice member, bool reverse,
                         struct txn_cursor *c)
{
    zset_ends_renew(t, o);
    zset_ends_narrow(o, reverse, &score, &member);
    return txn_scores(t, o, score, member, reverse, c);
}

static enum err big_first(struct txn *t, struct obj *o, bool reverse, struct txn_cursor *c)
{
    return big_from(t, o, reverse ? INFINITY : -INFINITY, reverse ? TXN_MEMBER_LAST : (struct slice){0}, reverse, c);
}

/* Opens at an end and passes `count` pairs. */
static enum err big_skip(struct txn *t, struct obj *o, uint64_t count, bool reverse, struct txn_cursor *c)
{
    enum err e = OK;

    TRY(big_first(t, o, reverse, c));
    while (count-- > 0 && (e = txn_cursor_next(c)) == OK)
        continue;
    if (e == OK || e == ERR_NOT_FOUND)
        return OK;
    txn_cursor_close(c);
    return e;
}

/* The pair is nearer to the other end: it is found from there, and the walk begins at it. */
static enum err big_rank_from_behind(struct txn *t, struct obj *o, uint64_t behind, bool reverse, struct txn_cursor *c)
{
    struct buf member = {0};
    double score;
    enum err e;

    TRY(big_skip(t, o, behind, !reverse, c));
    e = txn_cursor_next(c);
    if (e == OK) {
        score = c->score;
        buf_append_slice(&member, c->name);
        txn_cursor_close(c);
        e = txn_scores(t, o, score, buf_slice(&member), reverse, c);
    } else {
        txn_cursor_close(c);
        if (e == ERR_NOT_FOUND)
            e = err_set(ERR_CORRUPT, "a sorted set has fewer rows than members");
    }
    buf_free(&member);
    return e;
}

/* ---- Both ---- */

enum err zset_walk_first(struct txn *t, struct obj *o, bool reverse, struct zset_walk *w)
{
    init(w, t, o, reverse);
    return w->big ? big_first(t, o, reverse, &w->cursor) : packed_rank(w, 0);
}

enum err zset_walk_from(struct txn *t, struct obj *o, double score, struct slice member, bool reverse,
                        struct zset_walk *w)
{
    init(w, t, o, reverse);
    return w->big ? big_from(t, o, score, member, reverse, &w->cursor) : packed_from(w, score, member);
}

enum err zset_walk_rank(struct txn *t, struct obj *o, uint64_t rank, bool reverse, struct zset_walk *w)
{
    uint64_t behind = o->count - 1 - rank;
    bool near;
    enum err e;

    init(w, t, o, reverse);
    if (!w->big)
        return packed_rank(w, rank);
    e = txn_scores_at(t, o, reverse ? behind : rank, reverse, &w->cursor);
    if (e != ERR_NOT_FOUND)
        return e;
    near = reverse ? rank * DOWN_COST <= behind : rank <= behind * DOWN_COST;
    if (elements_too_many(t, near ? rank : behind))
        return ERR_COLD;
    if (near)
        return big_skip(t, o, rank, reverse, &w->cursor);
    return big_rank_from_behind(t, o, behind, reverse, &w->cursor);
}

enum err zset_walk_next(struct zset_walk *w)
{
    if (!w->big)
        return packed_step(w);
    if (w->steps++ == w->count)
        return ERR_NOT_FOUND; /* behind the last there may be marks of removed rows, without end */
    if (__builtin_expect(elements_too_many(w->txn, w->steps), 0))
        return ERR_COLD;
    TRY(txn_cursor_next(&w->cursor));
    w->member = w->cursor.name;
    w->score = w->cursor.score;
    return OK;
}

void zset_walk_end(struct zset_walk *w)
{
    if (w->big)
        txn_cursor_close(&w->cursor);
}

/* ---- Ranks ---- */

static uint64_t packed_rank_of(const struct obj *o, struct slice member)
{
    struct slice run = obj_value(o);
    struct zset_pair p = {0};
    uint64_t below = 0;

    while (zset_pair_next(run, &p) && !slice_equal(p.member, member))
        below++;
    return below;
}

/*
 * Two walks upwards, in turns: from the lowest pair to this one, and from this one to the end; the one that is through
 * first tells. Downwards would cost several times as much.
 */
static enum err big_rank_of(struct txn *t, struct obj *o, double score, struct slice member, uint64_t *below)
{
    struct txn_cursor under, over;
    bool found = false;
    enum err e;

    TRY(big_first(t, o, false, &under));
    e = txn_scores(t, o, score, member, false, &over);
    if (e != OK) {
        txn_cursor_close(&under);
        return e;
    }
    for (uint64_t n = 0; e == OK && !found; n++) {
        if ((e = txn_cursor_next(&under)) != OK)
            break;
        found = under.score == score && slice_equal(under.name, member);
        if (found) {
            *below = n;
        } else if ((e = txn_cursor_next(&over)) == ERR_NOT_FOUND && n > 0) { /* n pairs: this one and those above */
            *below = o->count - n;
            found = true;
        } else if (e == OK && elements_too_many(t, 2 * n)) {
            e = ERR_COLD;
        }
    }
    txn_cursor_close(&under);
    txn_cursor_close(&over);
    if (found)
        return OK;
    return e == ERR_NOT_FOUND ? err_set(ERR_CORRUPT, "a member of a sorted set is not in its order") : e;
}

enum err zset_walk_rank_of(struct txn *t, struct obj *o, double score, struct slice member, bool reverse,
                           uint64_t *rank)
{
    uint64_t below = 0;

    if (o->form != OBJ_BIG) {
        below = packed_rank_of(o, member);
    } else {
        enum err e = txn_score_rank(t, o, score, member, &below);

        if (e == ERR_NOT_FOUND)
            e = big_rank_of(t, o, score, member, &below);
        TRY(e);
    }
    *rank = reverse ? o->count - 1 - below : below;
    return OK;
}
