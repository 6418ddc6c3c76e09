/*
 * cmd_set.c - the set commands. SADD and SREM log themselves; what is random or about several keys logs what it did.
 */
#include "server/cmd/cmd_set.h"

#include "engine/type/element_sample.h"
#include "engine/type/element_walk.h"
#include "engine/type/name_set.h"
#include "engine/type/set_algebra.h"
#include "engine/type/sets.h"
#include "server/cmd/args.h"

/* The set, or NULL in *out when the key is absent. */
static enum err find(struct call *c, struct obj **out)
{
    struct obj *o;
    enum err e = txn_read(c->txn, c->argv[1], OBJ_SET, &o);

    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    *out = e == OK ? o : NULL;
    return OK;
}

/* ---- Members ---- */

static enum err sadd(struct call *c) /* SADD key member [member ...] */
{
    uint64_t added;
    struct obj *o;

    TRY(txn_write_or_create(c->txn, c->argv[1], OBJ_SET, &o, NULL));
    TRY(sets_add_many(c->txn, o, c->argv + 2, c->argc - 2, &added));
    return reply_int(c, (int64_t)added);
}

static enum err srem(struct call *c) /* SREM key member [member ...] */
{
    uint64_t removed;
    struct obj *o;
    enum err e = txn_write(c->txn, c->argv[1], OBJ_SET, &o);

    if (e == ERR_NOT_FOUND)
        return reply_int(c, 0);
    TRY(e);
    TRY(sets_remove(c->txn, o, c->argv + 2, c->argc - 2, &removed));
    return reply_int(c, (int64_t)removed);
}

static enum err smove(struct call *c) /* SMOVE source destination member */
{
    bool moved;

    TRY(sets_move(c->txn, c->argv[1], c->argv[2], c->argv[3], &moved));
    return reply_int(c, moved);
}

static enum err sismember(struct call *c) /* SISMEMBER key member */
{
    bool has = false;
    struct obj *o;

    TRY(find(c, &o));
    if (o != NULL)
        TRY(sets_has(c->txn, o, c->argv[2], &has));
    return reply_int(c, has);
}

static enum err smismember(struct call *c) /* SMISMEMBER key member [member ...] */
{
    size_t mark = reply_mark(c);
    struct obj *o;

    TRY(find(c, &o));
    TRY(reply_array(c, c->argc - 2));
    for (size_t i = 2; i < c->argc; i++) {
        bool has = false;
        enum err e = o != NULL ? sets_has(c->txn, o, c->argv[i], &has) : OK;

        if (e != OK)
            return reply_take_back(c, mark, e);
        (void)reply_int(c, has);
    }
    return OK;
}

static enum err scard(struct call *c) /* SCARD key */
{
    struct obj *o;

    TRY(find(c, &o));
    return reply_int(c, o != NULL ? (int64_t)o->count : 0);
}

static enum err smembers(struct call *c) /* SMEMBERS key */
{
    size_t mark = reply_mark(c), at, count = 0;
    struct element_walk w;
    struct obj *o;
    enum err e;

    TRY(find(c, &o));
    if (o == NULL)
        return reply_set(c, 0);
    TRY(element_walk_begin(c->txn, o, &w));
    at = reply_defer(c);
    while ((e = element_walk_next(&w)) == OK) {
        (void)reply_bulk(c, w.name);
        count++;
    }
    element_walk_end(&w);
    if (e != ERR_NOT_FOUND)
        return reply_take_back(c, mark, e);
    reply_defer_set(c, at, count);
    return OK;
}

/* ---- Random ---- */

static void reply_names(struct call *c, const struct element_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        (void)reply_bulk(c, element_list_name(list, i));
}

static enum err spop_many(struct call *c)
{
    struct element_list list = {0};
    struct obj *o;
    int64_t count;
    enum err e;

    TRY(arg_at_least(c, 2, 0, "value is out of range, must be positive", &count));
    e = txn_write(c->txn, c->argv[1], OBJ_SET, &o);
    if (e == ERR_NOT_FOUND || (e == OK && count == 0))
        return reply_set(c, 0);
    TRY(e);
    e = sets_pop_many(c->txn, o, (uint64_t)count, &list);
    if (e == OK) {
        (void)reply_set(c, list.count);
        reply_names(c, &list);
    }
    element_list_free(&list);
    return e;
}

static enum err spop(struct call *c) /* SPOP key [count] */
{
    struct obj *o;
    enum err e;

    if (c->argc > 3)
        return reply_syntax(c);
    if (c->argc == 3)
        return spop_many(c);
    e = txn_write(c->txn, c->argv[1], OBJ_SET, &o);
    if (e == ERR_NOT_FOUND)
        return reply_null(c);
    TRY(e);
    TRY(sets_pop(c->txn, o, c->scratch));
    return reply_bulk(c, buf_slice(c->scratch));
}

/* ---- Algebra ---- */

static enum err algebra(struct call *c, enum set_operation operation)
{
    struct name_set result = {0};
    struct slice member;
    enum err e = set_algebra(c->txn, operation, c->argv + 1, c->argc - 1, 0, &result);

    if (e == OK) {
        (void)reply_set(c, result.count);
        for (size_t i = 0; i < result.length; i++)
            if (name_set_at(&result, i, &member))
                (void)reply_bulk(c, member);
    }
    name_set_free(&result);
    return e;
}

static enum err algebra_store(struct call *c, enum set_operation operation)
{
    struct name_set result = {0};
    enum err e = set_algebra(c->txn, operation, c->argv + 2, c->argc - 2, 0, &result);

    if (e == OK)
        e = sets_store(c->txn, c->argv[1], &result);
    if (e == OK)
        (void)reply_int(c, (int64_t)result.count);
    name_set_free(&result);
    return e;
}

static enum err sinter(struct call *c) /* SINTER key [key ...] */
{
    return algebra(c, SET_INTERSECT);
}

static enum err sunion(struct call *c) /* SUNION key [key ...] */
{
    return algebra(c, SET_UNITE);
}

static enum err sdiff(struct call *c) /* SDIFF key [key ...] */
{
    return algebra(c, SET_SUBTRACT);
}

static enum err sinterstore(struct call *c) /* SINTERSTORE destination key [key ...] */
{
    return algebra_store(c, SET_INTERSECT);
}

static enum err sunionstore(struct call *c) /* SUNIONSTORE destination key [key ...] */
{
    return algebra_store(c, SET_UNITE);
}

static enum err sdiffstore(struct call *c) /* SDIFFSTORE destination key [key ...] */
{
    return algebra_store(c, SET_SUBTRACT);
}

static enum err sintercard(struct call *c) /* SINTERCARD numkeys key [key ...] [LIMIT limit] */
{
    int64_t keys, limit = 0;
    uint64_t n;

    TRY(arg_at_least(c, 1, 1, "numkeys should be greater than 0", &keys));
    if ((uint64_t)keys > c->argc - 2)
        return reply_error(c, "ERR Number of keys can't be greater than number of args");
    for (size_t i = 2 + (size_t)keys; i < c->argc; i += 2) {
        if (!slice_is(c->argv[i], "LIMIT") || i + 1 == c->argc)
            return reply_syntax(c);
        TRY(arg_at_least(c, i + 1, 0, "LIMIT can't be negative", &limit));
    }
    TRY(set_algebra_count(c->txn, c->argv + 2, (size_t)keys, (uint64_t)limit, &n));
    return reply_int(c, (int64_t)n);
}

static const struct command_binding rows[] = {
    {"sadd", sadd, 0},
    {"srem", srem, 0},
    {"smove", smove, 0},
    {"sismember", sismember, 0},
    {"smismember", smismember, 0},
    {"scard", scard, 0},
    {"smembers", smembers, 0},
    {"spop", spop, 0},
    {"sinter", sinter, 0},
    {"sintercard", sintercard, 0},
    {"sinterstore", sinterstore, 0},
    {"sunion", sunion, 0},
    {"sunionstore", sunionstore, 0},
    {"sdiff", sdiff, 0},
    {"sdiffstore", sdiffstore, 0},
};
const struct command_table cmd_set_table = COMMAND_TABLE(rows);
