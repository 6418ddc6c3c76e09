/*
 * cmd_zset_pop.c - taking out the lowest or the highest members.
 *
 * ZPOPMIN and ZPOPMAX log themselves, the others one of them.
 */
#include "server/cmd/cmd_zset_pop.h"

#include "engine/type/zset.h"
#include "engine/type/zset_range.h"
#include "server/cmd/args.h"

enum end { LOWEST, HIGHEST };

/* How the popped pairs are written. */
struct pop_reply {
    struct call *call;
    bool nested; /* each an array of its own */
};

static void reply_each(void *context, struct slice member, double score)
{
    const struct pop_reply *r = context;

    if (r->nested)
        (void)reply_array(r->call, 2);
    (void)reply_bulk(r->call, member);
    (void)reply_double(r->call, score);
}

/* Pops `count` pairs, which the set has, and writes them without a header. */
static enum err take(struct call *c, struct obj *o, enum end end, int64_t count, bool nested)
{
    struct zset_range range = {.by = ZSET_BY_RANK, .reverse = end == HIGHEST, .stop = count - 1, .limit = -1};
    struct pop_reply r = {.call = c, .nested = nested};
    uint64_t removed;

    return zset_range_take(c->txn, o, &range, reply_each, &r, &removed);
}

static int64_t at_most_all(const struct obj *o, int64_t count)
{
    return count > (int64_t)zset_length(o) ? (int64_t)zset_length(o) : count;
}

static enum err pop(struct call *c, enum end end)
{
    bool nested = c->argc == 3 && reply_protocol(c) == 3;
    size_t mark = reply_mark(c);
    int64_t count = 1;
    struct obj *o;
    enum err e;

    if (c->argc > 3)
        return reply_syntax(c);
    if (c->argc == 3)
        TRY(arg_at_least(c, 2, 0, "value is out of range, must be positive", &count));
    e = txn_write(c->txn, c->argv[1], OBJ_ZSET, &o);
    if (e == ERR_NOT_FOUND)
        return reply_array(c, 0);
    TRY(e);
    count = at_most_all(o, count);
    if (count == 0)
        return reply_array(c, 0);
    (void)reply_array(c, nested ? (size_t)count : 2 * (size_t)count);
    e = take(c, o, end, count, nested);
    return e == OK ? OK : reply_take_back(c, mark, e);
}

static enum err zpopmin(struct call *c) /* ZPOPMIN key [count] */
{
    return pop(c, LOWEST);
}

static enum err zpopmax(struct call *c) /* ZPOPMAX key [count] */
{
    return pop(c, HIGHEST);
}

/* ---- From the first of several keys ---- */

/* The first sorted set of the keys argv[first] ... that exists; NULL if none does. Who waits already is not disturbed by
 * a key of another type. */
static enum err first_set(struct call *c, size_t first, size_t count, struct obj **out)
{
    *out = NULL;
    for (size_t i = 0; i < count; i++) {
        enum err e = txn_write(c->txn, c->argv[first + i], OBJ_ZSET, out);

        if (e == ERR_NOT_FOUND || (e == ERR_WRONG_TYPE && call_was_blocked(c)))
            continue;
        return e;
    }
    return OK;
}

/* Pops what the set has and logs it in the words of the plain command; count 0: one, and the log does not say so. */
static enum err take_logged(struct call *c, struct obj *o, enum end end, int64_t count, bool nested)
{
    struct slice verb = end == LOWEST ? SLICE_LITERAL("ZPOPMIN") : SLICE_LITERAL("ZPOPMAX");
    bool all = (uint64_t)count >= zset_length(o) || zset_length(o) == 1;
    char text[NUM_TEXT_MAX];

    TRY(take(c, o, end, count == 0 ? 1 : count, nested));
    if (all) /* the key is gone, which is logged already */
        return OK;
    if (count == 0)
        TXN_EFFECT(c->txn, o, verb, obj_key(o));
    else
        TXN_EFFECT(c->txn, o, verb, obj_key(o), slice_of(text, num_format_i64(text, count)));
    return OK;
}

static enum err mpop(struct call *c, const struct mpop *words, struct obj *o)
{
    int64_t count = at_most_all(o, words->count);
    size_t mark = reply_mark(c);
    enum err e;

    (void)reply_array(c, 2);
    (void)reply_bulk(c, obj_key(o));
    (void)reply_array(c, (size_t)count);
    e = take_logged(c, o, words->second ? HIGHEST : LOWEST, count, true);
    return e == OK ? OK : reply_take_back(c, mark, e);
}

static enum err zmpop(struct call *c) /* ZMPOP numkeys key [key ...] MIN|MAX [COUNT count] */
{
    struct mpop words;
    struct obj *o;

    TRY(arg_mpop(c, 1, "MIN", "MAX", &words));
    TRY(first_set(c, words.first, words.keys, &o));
    return o != NULL ? mpop(c, &words, o) : reply_null_array(c);
}

/* ---- Waiting for members ---- */

static enum err bzmpop(struct call *c) /* BZMPOP timeout numkeys key [key ...] MIN|MAX [COUNT count] */
{
    struct mpop words;
    msec_t timeout_ms = 0;
    struct obj *o;

    TRY(arg_mpop(c, 2, "MIN", "MAX", &words));
    TRY(arg_timeout(c, 1, &timeout_ms));
    TRY(first_set(c, words.first, words.keys, &o));
    return o != NULL ? mpop(c, &words, o) : call_block(c, timeout_ms);
}

static enum err bzpop(struct call *c, enum end end)
{
    size_t mark = reply_mark(c);
    msec_t timeout_ms = 0;
    struct obj *o;
    enum err e;

    TRY(arg_timeout(c, c->argc - 1, &timeout_ms));
    TRY(first_set(c, 1, c->argc - 2, &o));
    if (o == NULL)
        return call_block(c, timeout_ms);
    (void)reply_array(c, 3);
    (void)reply_bulk(c, obj_key(o));
    e = take_logged(c, o, end, 0, false);
    return e == OK ? OK : reply_take_back(c, mark, e);
}

static enum err bzpopmin(struct call *c) /* BZPOPMIN key [key ...] timeout */
{
    return bzpop(c, LOWEST);
}

static enum err bzpopmax(struct call *c) /* BZPOPMAX key [key ...] timeout */
{
    return bzpop(c, HIGHEST);
}

static const struct command_binding rows[] = {
    {"zpopmin", zpopmin, 0},
    {"zpopmax", zpopmax, 0},
    {"zmpop", zmpop, 0},
    {"bzpopmin", bzpopmin, 0},
    {"bzpopmax", bzpopmax, 0},
    {"bzmpop", bzmpop, 0},
};
const struct command_table cmd_zset_pop_table = COMMAND_TABLE(rows);
