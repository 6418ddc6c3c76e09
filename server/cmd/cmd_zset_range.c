/*
 * cmd_zset_range.c - commands on a part of a sorted set: ZRANGE in all its forms, counting, removing, storing.
 */
#include "server/cmd/cmd_zset_range.h"

#include "engine/type/zset.h"
#include "engine/type/zset_range.h"
#include "server/cmd/args.h"

/* ---- Words ---- */

/* The two ends from words `low` and `high`. */
static enum err ends_parse(struct call *c, size_t low, size_t high, struct zset_range *r)
{
    switch (r->by) {
    case ZSET_BY_RANK:
        TRY(arg_i64(c, low, &r->start));
        TRY(arg_i64(c, high, &r->stop));
        return OK;
    case ZSET_BY_SCORE:
        if (!zset_range_parse_score(c->argv[low], &r->min, &r->min_exclusive) ||
            !zset_range_parse_score(c->argv[high], &r->max, &r->max_exclusive))
            return reply_error(c, "ERR min or max is not a float");
        return OK;
    default:
        if (!zset_range_parse_lex(c->argv[low], &r->from) || !zset_range_parse_lex(c->argv[high], &r->to))
            return reply_error(c, "ERR min or max not valid string range item");
        return OK;
    }
}

/* A command of the family: what its name says already. */
struct range_form {
    size_t key;          /* the word of the sorted set; the ends follow it */
    bool store;
    bool by_open;        /* BYSCORE and BYLEX may say by what */
    bool direction_open; /* REV may say from where */
    enum zset_by by;
    bool reverse;
};

struct range_words {
    struct zset_range range;
    bool with_scores;
};

static enum err options_parse(struct call *c, const struct range_form *form, struct range_words *out)
{
    bool by_open = form->by_open, direction_open = form->direction_open;
    struct zset_range *r = &out->range;

    for (size_t i = form->key + 3; i < c->argc; i++) {
        struct slice word = c->argv[i];

        if (!form->store && slice_is(word, "WITHSCORES")) {
            out->with_scores = true;
        } else if (slice_is(word, "LIMIT") && i + 2 < c->argc) {
            TRY(arg_i64(c, i + 1, &r->offset));
            TRY(arg_i64(c, i + 2, &r->limit));
            i += 2;
        } else if (direction_open && slice_is(word, "REV")) {
            direction_open = false;
            r->reverse = true;
        } else if (by_open && slice_is(word, "BYLEX")) {
            by_open = false;
            r->by = ZSET_BY_LEX;
        } else if (by_open && slice_is(word, "BYSCORE")) {
            by_open = false;
            r->by = ZSET_BY_SCORE;
        } else {
            return reply_syntax(c);
        }
    }
    return OK;
}

static enum err range_parse(struct call *c, const struct range_form *form, struct range_words *out)
{
    struct zset_range *r = &out->range;
    size_t low = form->key + 1, high = form->key + 2;

    *out = (struct range_words){.range = {.by = form->by, .reverse = form->reverse, .limit = -1}};
    TRY(options_parse(c, form, out));
    if (r->by == ZSET_BY_RANK && r->limit != -1)
        return reply_error(c, "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
    if (r->by == ZSET_BY_LEX && out->with_scores)
        return reply_error(c, "ERR syntax error, WITHSCORES not supported in combination with BYLEX");
    if (r->by != ZSET_BY_RANK && r->reverse)
        return ends_parse(c, high, low, r);
    return ends_parse(c, low, high, r);
}

/* ---- Reading ---- */

static enum err range(struct call *c, const struct range_form *form)
{
    size_t mark = reply_mark(c), at, count = 0;
    struct zset_range_walk w;
    struct range_words words;
    struct obj *o;
    bool pairs;
    enum err e;

    TRY(range_parse(c, form, &words));
    e = txn_read(c->txn, c->argv[form->key], OBJ_ZSET, &o);
    if (e == ERR_NOT_FOUND)
        return reply_array(c, 0);
    TRY(e);
    pairs = words.with_scores && reply_protocol(c) == 3;
    TRY(zset_range_begin(c->txn, o, &words.range, &w));
    at = reply_defer(c);
    while ((e = zset_range_next(&w)) == OK) {
        if (pairs)
            (void)reply_array(c, 2);
        (void)reply_bulk(c, w.walk.member);
        if (words.with_scores)
            (void)reply_double(c, w.walk.score);
        count++;
    }
    zset_range_end(&w);
    if (e != ERR_NOT_FOUND)
        return reply_take_back(c, mark, e);
    reply_defer_array(c, at, words.with_scores && !pairs ? 2 * count : count);
    return OK;
}

static enum err zrange(struct call *c) /* ZRANGE key start stop [BYSCORE|BYLEX] [REV] [LIMIT ...] [WITHSCORES] */
{
    return range(c, &(struct range_form){.key = 1, .by_open = true, .direction_open = true});
}

static enum err zrevrange(struct call *c) /* ZREVRANGE key start stop [WITHSCORES] */
{
    return range(c, &(struct range_form){.key = 1, .reverse = true});
}

static enum err zrangebyscore(struct call *c) /* ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count] */
{
    return range(c, &(struct range_form){.key = 1, .by = ZSET_BY_SCORE});
}

static enum err zrevrangebyscore(struct call *c) /* ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count] */
{
    return range(c, &(struct range_form){.key = 1, .by = ZSET_BY_SCORE, .reverse = true});
}

static enum err zrangebylex(struct call *c) /* ZRANGEBYLEX key min max [LIMIT offset count] */
{
    return range(c, &(struct range_form){.key = 1, .by = ZSET_BY_LEX});
}

static enum err zrevrangebylex(struct call *c) /* ZREVRANGEBYLEX key max min [LIMIT offset count] */
{
    return range(c, &(struct range_form){.key = 1, .by = ZSET_BY_LEX, .reverse = true});
}

static enum err zrangestore(struct call *c) /* ZRANGESTORE dst src min max [BYSCORE|BYLEX] [REV] [LIMIT offset count] */
{
    const struct range_form form = {.key = 2, .store = true, .by_open = true, .direction_open = true};
    struct element_list pairs = {0};
    struct range_words words;
    struct obj *o;
    enum err e;

    TRY(range_parse(c, &form, &words));
    e = txn_read(c->txn, c->argv[2], OBJ_ZSET, &o);
    if (e == OK)
        e = zset_range_collect(c->txn, o, &words.range, &pairs);
    if (e == OK || e == ERR_NOT_FOUND) {
        zset_list_sort(&pairs); /* REV */
        e = zset_store(c->txn, c->argv[1], &pairs);
    }
    if (e == OK)
        (void)reply_int(c, (int64_t)pairs.count);
    element_list_free(&pairs);
    return e;
}

/* ---- Counting and removing ---- */

static enum err count(struct call *c, enum zset_by by)
{
    struct zset_range r = {.by = by, .limit = -1};
    uint64_t n = 0;
    struct obj *o;
    enum err e;

    TRY(ends_parse(c, 2, 3, &r));
    e = txn_read(c->txn, c->argv[1], OBJ_ZSET, &o);
    if (e == OK)
        e = zset_range_count(c->txn, o, &r, &n);
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    return reply_int(c, (int64_t)n);
}

static enum err zcount(struct call *c) /* ZCOUNT key min max */
{
    return count(c, ZSET_BY_SCORE);
}

static enum err zlexcount(struct call *c) /* ZLEXCOUNT key min max */
{
    return count(c, ZSET_BY_LEX);
}

static enum err remove_range(struct call *c, enum zset_by by)
{
    struct zset_range r = {.by = by, .limit = -1};
    uint64_t removed = 0;
    struct obj *o;
    enum err e;

    TRY(ends_parse(c, 2, 3, &r));
    e = txn_write(c->txn, c->argv[1], OBJ_ZSET, &o);
    if (e == OK)
        e = zset_range_take(c->txn, o, &r, NULL, NULL, &removed);
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    return reply_int(c, (int64_t)removed);
}

static enum err zremrangebyrank(struct call *c) /* ZREMRANGEBYRANK key start stop */
{
    return remove_range(c, ZSET_BY_RANK);
}

static enum err zremrangebyscore(struct call *c) /* ZREMRANGEBYSCORE key min max */
{
    return remove_range(c, ZSET_BY_SCORE);
}

static enum err zremrangebylex(struct call *c) /* ZREMRANGEBYLEX key min max */
{
    return remove_range(c, ZSET_BY_LEX);
}

static const struct command_binding rows[] = {
    {"zrange", zrange, 0},
    {"zrevrange", zrevrange, 0},
    {"zrangebyscore", zrangebyscore, 0},
    {"zrevrangebyscore", zrevrangebyscore, 0},
    {"zrangebylex", zrangebylex, 0},
    {"zrevrangebylex", zrevrangebylex, 0},
    {"zrangestore", zrangestore, 0},
    {"zcount", zcount, 0},
    {"zlexcount", zlexcount, 0},
    {"zremrangebyrank", zremrangebyrank, 0},
    {"zremrangebyscore", zremrangebyscore, 0},
    {"zremrangebylex", zremrangebylex, 0},
};
const struct command_table cmd_zset_range_table = COMMAND_TABLE(rows);
