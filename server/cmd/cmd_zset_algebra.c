/*
 * cmd_zset_algebra.c - ZUNION, ZINTER, ZDIFF, their STORE forms and ZINTERCARD. What is stored is logged as DEL, ZADD.
 */
#include "server/cmd/cmd_zset_algebra.h"

#include "engine/type/zset.h"
#include "engine/type/zset_algebra.h"
#include "server/cmd/args.h"
#include "server/run/registry.h"

enum operation { UNION, INTERSECTION, DIFFERENCE, CARDINALITY };

struct form {
    enum operation operation;
    bool store;
};

struct options {
    struct zset_operand *operands; /* in the call's scratch */
    size_t count;
    enum zset_aggregate aggregate;
    bool with_scores;
    int64_t limit;
};

/* The keys, from the word that counts them; *next: the word behind them. All are looked up before options are read. */
static enum err keys_parse(struct call *c, const struct form *form, struct options *out, size_t *next)
{
    size_t at = form->store ? 2 : 1;
    int64_t keys;

    TRY(arg_i64(c, at, &keys));
    if (keys < 1)
        return reply_error(c, "ERR at least 1 input key is needed for '%s' command", c->command->name);
    if ((uint64_t)keys > c->argc - at - 1)
        return reply_syntax(c);
    out->count = (size_t)keys;
    out->operands = (struct zset_operand *)(void *)buf_reserve(c->scratch, out->count * sizeof *out->operands);
    *next = at + 1 + out->count;
    return zset_operands_find(c->txn, c->argv + at + 1, out->count, out->operands);
}

static enum err weights_parse(struct call *c, size_t at, struct options *out)
{
    for (size_t i = 0; i < out->count; i++)
        if (!num_parse_double(c->argv[at + i], &out->operands[i].weight))
            return reply_error(c, "ERR weight value is not a float");
    return OK;
}

static bool aggregate_parse(struct slice word, enum zset_aggregate *out)
{
    if (slice_is(word, "SUM"))
        *out = ZSET_SUM;
    else if (slice_is(word, "MIN"))
        *out = ZSET_MIN;
    else if (slice_is(word, "MAX"))
        *out = ZSET_MAX;
    else
        return false;
    return true;
}

static enum err options_parse(struct call *c, const struct form *form, struct options *out)
{
    bool weighs = form->operation == UNION || form->operation == INTERSECTION;
    size_t i = c->argc;

    *out = (struct options){.aggregate = ZSET_SUM};
    TRY(keys_parse(c, form, out, &i));
    while (i < c->argc) {
        size_t left = c->argc - i;

        if (weighs && left > out->count && slice_is(c->argv[i], "WEIGHTS")) {
            TRY(weights_parse(c, i + 1, out));
            i += 1 + out->count;
        } else if (weighs && left >= 2 && slice_is(c->argv[i], "AGGREGATE")) {
            if (!aggregate_parse(c->argv[i + 1], &out->aggregate))
                return reply_syntax(c);
            i += 2;
        } else if (!form->store && form->operation != CARDINALITY && slice_is(c->argv[i], "WITHSCORES")) {
            out->with_scores = true;
            i++;
        } else if (form->operation == CARDINALITY && left >= 2 && slice_is(c->argv[i], "LIMIT")) {
            TRY(arg_at_least(c, i + 1, 0, "LIMIT can't be negative", &out->limit));
            i += 2;
        } else {
            return reply_syntax(c);
        }
    }
    return OK;
}

static enum err compute(struct call *c, const struct form *form, struct options *options, struct element_list *out)
{
    switch (form->operation) {
    case UNION: return zset_unite(c->txn, options->operands, options->count, options->aggregate, out);
    case INTERSECTION: return zset_intersect(c->txn, options->operands, options->count, options->aggregate, out);
    default: return zset_subtract(c->txn, options->operands, options->count, out);
    }
}

static void reply_pairs(struct call *c, const struct element_list *list, bool scores)
{
    bool pairs = scores && reply_protocol(c) == 3;

    (void)reply_array(c, scores && !pairs ? 2 * list->count : list->count);
    for (size_t i = 0; i < list->count; i++) {
        if (pairs)
            (void)reply_array(c, 2);
        (void)reply_bulk(c, element_list_name(list, i));
        if (scores)
            (void)reply_double(c, zset_list_score(list, i));
    }
}

static enum err algebra(struct call *c, enum operation operation, bool store)
{
    const struct form form = {.operation = operation, .store = store};
    struct element_list result = {0};
    struct options options;
    enum err e;

    TRY(options_parse(c, &form, &options));
    e = compute(c, &form, &options, &result);
    if (e == OK && store)
        e = zset_store(c->txn, c->argv[1], &result);
    if (e == OK && store)
        (void)reply_int(c, (int64_t)result.count);
    else if (e == OK)
        reply_pairs(c, &result, options.with_scores);
    element_list_free(&result);
    return e;
}

static enum err zunion(struct call *c) /* ZUNION numkeys key [key ...] [WEIGHTS] [AGGREGATE] [WITHSCORES] */
{
    return algebra(c, UNION, false);
}

static enum err zinter(struct call *c) /* ZINTER: the same */
{
    return algebra(c, INTERSECTION, false);
}

static enum err zdiff(struct call *c) /* ZDIFF numkeys key [key ...] [WITHSCORES] */
{
    return algebra(c, DIFFERENCE, false);
}

static enum err zunionstore(struct call *c) /* ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS] [AGGREGATE] */
{
    return algebra(c, UNION, true);
}

static enum err zinterstore(struct call *c) /* ZINTERSTORE: the same */
{
    return algebra(c, INTERSECTION, true);
}

static enum err zdiffstore(struct call *c) /* ZDIFFSTORE destination numkeys key [key ...] */
{
    return algebra(c, DIFFERENCE, true);
}

static enum err zintercard(struct call *c) /* ZINTERCARD numkeys key [key ...] [LIMIT limit] */
{
    const struct form form = {.operation = CARDINALITY};
    struct options options;
    uint64_t n;

    TRY(options_parse(c, &form, &options));
    TRY(zset_intersect_count(c->txn, options.operands, options.count, (uint64_t)options.limit, &n));
    return reply_int(c, (int64_t)n);
}

static const struct command_binding rows[] = {
    {"zunion", zunion, 0},
    {"zinter", zinter, 0},
    {"zdiff", zdiff, 0},
    {"zunionstore", zunionstore, 0},
    {"zinterstore", zinterstore, 0},
    {"zdiffstore", zdiffstore, 0},
    {"zintercard", zintercard, 0},
};
const struct command_table cmd_zset_algebra_table = COMMAND_TABLE(rows);
