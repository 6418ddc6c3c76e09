/*
 * cmd_zset.c - the commands on members of a sorted set. They log themselves, except increments (ZADD of the result).
 */
#include "server/cmd/cmd_zset.h"

#include "engine/type/element_walk.h"
#include "engine/type/zset.h"
#include "engine/type/zset_walk.h"
#include "server/cmd/args.h"
#include "server/cmd/cmd_scan.h"

/* The sorted set, or NULL in *out when the key is absent. */
static enum err find(struct call *c, struct obj **out)
{
    struct obj *o;
    enum err e = txn_read(c->txn, c->argv[1], OBJ_ZSET, &o);

    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    *out = e == OK ? o : NULL;
    return OK;
}

/* ---- Set ---- */

struct zadd_options {
    unsigned conditions;
    bool changed; /* CH */
    size_t first; /* the first score */
    size_t pairs;
};

static unsigned condition_of(struct slice word)
{
    if (slice_is(word, "NX"))
        return ZSET_IF_ABSENT;
    if (slice_is(word, "XX"))
        return ZSET_IF_PRESENT;
    if (slice_is(word, "GT"))
        return ZSET_IF_GREATER;
    if (slice_is(word, "LT"))
        return ZSET_IF_LESS;
    return slice_is(word, "INCR") ? ZSET_INCREMENT : 0;
}

static enum err zadd_parse(struct call *c, struct zadd_options *out)
{
    unsigned all = 0, order = 0;
    size_t i = 2;

    out->changed = false;
    for (; i < c->argc && c->argv[i].size <= 4; i++) { /* no option is longer */
        unsigned one = condition_of(c->argv[i]);

        if (one == 0 && !slice_is(c->argv[i], "CH"))
            break;
        all |= one;
        out->changed |= one == 0;
    }
    out->conditions = all;
    out->first = i;
    out->pairs = (c->argc - i) / 2;
    if (i == c->argc || (c->argc - i) % 2 != 0)
        return reply_syntax(c);
    if (__builtin_expect(all == 0, 1))
        return OK;
    if (all & ZSET_IF_ABSENT && all & ZSET_IF_PRESENT)
        return reply_error(c, "ERR XX and NX options at the same time are not compatible");
    order = all & (ZSET_IF_GREATER | ZSET_IF_LESS);
    if ((order != 0 && all & ZSET_IF_ABSENT) || order == (ZSET_IF_GREATER | ZSET_IF_LESS))
        return reply_error(c, "ERR GT, LT, and/or NX options at the same time are not compatible");
    if (all & ZSET_INCREMENT && out->pairs > 1)
        return reply_error(c, "ERR INCR option supports a single increment-element pair");
    return OK;
}

/* Finds the set for an update; *out NULL: it is absent and must stay so. */
static enum err find_for_update(struct call *c, unsigned conditions, struct obj **out)
{
    enum err e = txn_write(c->txn, c->argv[1], OBJ_ZSET, out);

    if (e != ERR_NOT_FOUND)
        return e;
    *out = conditions & ZSET_IF_PRESENT ? NULL : txn_create(c->txn, c->argv[1], OBJ_ZSET);
    return OK;
}

static enum err increment(struct call *c, unsigned conditions, struct slice by, struct slice member)
{
    enum zset_change change = ZSET_REFUSED;
    double score, result = 0;
    struct obj *o;
    enum err e;

    if (!num_parse_double(by, &score))
        return ERR_NOT_FLOAT;
    TRY(find_for_update(c, conditions, &o));
    if (o == NULL)
        return reply_null(c);
    e = zset_update(c->txn, o, member, score, conditions | ZSET_INCREMENT, &result, &change);
    if (e == ERR_NAN)
        return reply_error(c, "ERR resulting score is not a number (NaN)");
    TRY(e);
    if (change == ZSET_REFUSED)
        return reply_null(c);
    if (change != ZSET_SAME)
        zset_log_score(c->txn, o, member, result);
    return reply_double(c, result);
}

/* All scores are read before anything is changed. */
static enum err scores_parse(struct call *c, const struct zadd_options *options, double **out)
{
    double *scores = (double *)(void *)buf_reserve(c->scratch, options->pairs * sizeof *scores);

    for (size_t i = 0; i < options->pairs; i++)
        if (!num_parse_double(c->argv[options->first + 2 * i], &scores[i]))
            return ERR_NOT_FLOAT;
    *out = scores;
    return OK;
}

static enum err zadd(struct call *c) /* ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member [score member ...] */
{
    struct zadd_options options;
    int64_t added = 0, updated = 0;
    const struct slice *members;
    double *scores;
    struct obj *o;

    TRY(zadd_parse(c, &options));
    members = c->argv + options.first + 1;
    if (options.conditions & ZSET_INCREMENT)
        return increment(c, options.conditions, members[-1], members[0]);
    TRY(scores_parse(c, &options, &scores));
    TRY(find_for_update(c, options.conditions, &o));
    if (o == NULL)
        return reply_int(c, 0);
    TRY(element_warm(c->txn, o, members, options.pairs, 2));
    for (size_t i = 0; i < options.pairs; i++) {
        enum zset_change change;
        double result;

        TRY(zset_update(c->txn, o, members[2 * i], scores[i], options.conditions, &result, &change));
        added += change == ZSET_ADDED;
        updated += change == ZSET_UPDATED;
    }
    return reply_int(c, options.changed ? added + updated : added);
}

static enum err zincrby(struct call *c) /* ZINCRBY key increment member */
{
    return increment(c, 0, c->argv[2], c->argv[3]);
}

static enum err zrem(struct call *c) /* ZREM key member [member ...] */
{
    uint64_t removed;
    struct obj *o;
    enum err e = txn_write(c->txn, c->argv[1], OBJ_ZSET, &o);

    if (e == ERR_NOT_FOUND)
        return reply_int(c, 0);
    TRY(e);
    TRY(zset_remove(c->txn, o, c->argv + 2, c->argc - 2, &removed));
    return reply_int(c, (int64_t)removed);
}

/* ---- Get ---- */

static enum err zcard(struct call *c) /* ZCARD key */
{
    struct obj *o;

    TRY(find(c, &o));
    return reply_int(c, o != NULL ? (int64_t)zset_length(o) : 0);
}

static enum err zscore(struct call *c) /* ZSCORE key member */
{
    double score;
    struct obj *o;
    enum err e = txn_read(c->txn, c->argv[1], OBJ_ZSET, &o);

    if (e == OK)
        e = zset_score(c->txn, o, c->argv[2], &score);
    if (e == ERR_NOT_FOUND)
        return reply_null(c);
    TRY(e);
    return reply_double(c, score);
}

static enum err zmscore(struct call *c) /* ZMSCORE key member [member ...] */
{
    size_t mark = reply_mark(c);
    struct obj *o;

    TRY(find(c, &o));
    TRY(reply_array(c, c->argc - 2));
    for (size_t i = 2; i < c->argc; i++) {
        double score = 0;
        enum err e = o != NULL ? zset_score(c->txn, o, c->argv[i], &score) : ERR_NOT_FOUND;

        if (e == OK)
            (void)reply_double(c, score);
        else if (e == ERR_NOT_FOUND)
            (void)reply_null(c);
        else
            return reply_take_back(c, mark, e);
    }
    return OK;
}

static enum err rank(struct call *c, bool reverse)
{
    bool with_score = c->argc > 3;
    uint64_t position = 0;
    double score = 0;
    struct obj *o;
    enum err e;

    if (c->argc > 4)
        return reply_arity(c);
    if (with_score && !slice_is(c->argv[3], "WITHSCORE"))
        return reply_syntax(c);
    e = txn_read(c->txn, c->argv[1], OBJ_ZSET, &o);
    if (e == OK)
        e = zset_score(c->txn, o, c->argv[2], &score);
    if (e == OK)
        e = zset_walk_rank_of(c->txn, o, score, c->argv[2], reverse, &position);
    if (e == ERR_NOT_FOUND)
        return with_score ? reply_null_array(c) : reply_null(c);
    TRY(e);
    if (with_score)
        TRY(reply_array(c, 2));
    TRY(reply_int(c, (int64_t)position));
    return with_score ? reply_double(c, score) : OK;
}

static enum err zrank(struct call *c) /* ZRANK key member [WITHSCORE] */
{
    return rank(c, false);
}

static enum err zrevrank(struct call *c) /* ZREVRANK key member [WITHSCORE] */
{
    return rank(c, true);
}

static enum err zscan(struct call *c) /* ZSCAN key cursor [MATCH pattern] [COUNT count] */
{
    return cmd_scan_elements(c, OBJ_ZSET);
}

static const struct command_binding rows[] = {
    {"zadd", zadd, 0},
    {"zincrby", zincrby, 0},
    {"zrem", zrem, 0},
    {"zcard", zcard, 0},
    {"zscore", zscore, 0},
    {"zmscore", zmscore, 0},
    {"zrank", zrank, 0},
    {"zrevrank", zrevrank, 0},
    {"zscan", zscan, 0},
};
const struct command_table cmd_zset_table = COMMAND_TABLE(rows);
