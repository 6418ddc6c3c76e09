/*
 * cmd_hash.c - the hash commands. They log themselves, except HINCRBYFLOAT (HSET of the result).
 */
#include "server/cmd/cmd_hash.h"

#include <inttypes.h>
#include <math.h>

#include "engine/type/element_walk.h"
#include "engine/type/hash.h"
#include "server/cmd/args.h"

/* The hash, or NULL in *out when the key is absent. */
static enum err find(struct call *c, struct obj **out)
{
    struct obj *o;
    enum err e = txn_read(c->txn, c->argv[1], OBJ_HASH, &o);

    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    *out = e == OK ? o : NULL;
    return OK;
}

/* ---- Set ---- */

static enum err set_pairs(struct call *c, uint64_t *created)
{
    struct obj *o;

    if (c->argc % 2 != 0)
        return reply_arity(c);
    TRY(txn_write_or_create(c->txn, c->argv[1], OBJ_HASH, &o, NULL));
    return hash_set_many(c->txn, o, c->argv + 2, (c->argc - 2) / 2, created);
}

static enum err hset(struct call *c) /* HSET key field value [field value ...] */
{
    uint64_t created = 0;

    TRY(set_pairs(c, &created));
    return reply_int(c, (int64_t)created);
}

static enum err hmset(struct call *c) /* HMSET key field value [field value ...] */
{
    uint64_t created;

    TRY(set_pairs(c, &created));
    return reply_ok(c);
}

static enum err hsetnx(struct call *c) /* HSETNX key field value */
{
    struct slice old;
    struct obj *o;
    bool created;
    enum err e = txn_write(c->txn, c->argv[1], OBJ_HASH, &o);

    if (e == OK) {
        e = hash_get(c->txn, o, c->argv[2], &old);
        if (e == OK)
            return reply_int(c, 0);
        if (e != ERR_NOT_FOUND)
            return e;
    } else if (e == ERR_NOT_FOUND) {
        o = txn_create(c->txn, c->argv[1], OBJ_HASH);
    } else {
        return e;
    }
    TRY(hash_set(c->txn, o, c->argv[2], c->argv[3], &created));
    return reply_int(c, 1);
}

static enum err hincrby(struct call *c) /* HINCRBY key field increment */
{
    struct obj *o;
    int64_t by, result;
    enum err e;

    TRY(arg_i64(c, 3, &by));
    TRY(txn_write_or_create(c->txn, c->argv[1], OBJ_HASH, &o, NULL));
    e = hash_increment(c->txn, o, c->argv[2], by, &result);
    if (e == ERR_NOT_INTEGER)
        return reply_error(c, "ERR hash value is not an integer");
    TRY(e);
    return reply_int(c, result);
}

static enum err hincrbyfloat(struct call *c) /* HINCRBYFLOAT key field increment */
{
    char text[NUM_LONG_TEXT_MAX];
    long double by;
    struct obj *o;
    size_t size;
    enum err e;

    if (!num_parse_long_double(c->argv[3], &by))
        return ERR_NOT_FLOAT;
    if (isinf(by) || isnan(by))
        return reply_error(c, "ERR value is NaN or Infinity");
    TRY(txn_write_or_create(c->txn, c->argv[1], OBJ_HASH, &o, NULL));
    e = hash_increment_float(c->txn, o, c->argv[2], by, text, &size);
    if (e == ERR_NOT_FLOAT)
        return reply_error(c, "ERR hash value is not a float");
    TRY(e);
    return reply_bulk(c, slice_of(text, size));
}

static enum err hdel(struct call *c) /* HDEL key field [field ...] */
{
    uint64_t removed;
    struct obj *o;
    enum err e = txn_write(c->txn, c->argv[1], OBJ_HASH, &o);

    if (e == ERR_NOT_FOUND)
        return reply_int(c, 0);
    TRY(e);
    TRY(hash_delete(c->txn, o, c->argv + 2, c->argc - 2, &removed));
    return reply_int(c, (int64_t)removed);
}

/* ---- Get ---- */

static enum err hget(struct call *c) /* HGET key field */
{
    struct slice value;
    struct obj *o;
    enum err e = txn_read(c->txn, c->argv[1], OBJ_HASH, &o);

    if (e == OK)
        e = hash_get(c->txn, o, c->argv[2], &value);
    if (e == ERR_NOT_FOUND)
        return reply_null(c);
    TRY(e);
    return reply_bulk(c, value);
}

static enum err hmget(struct call *c) /* HMGET key field [field ...] */
{
    size_t mark = reply_mark(c);
    struct obj *o;

    TRY(find(c, &o));
    TRY(reply_array(c, c->argc - 2));
    for (size_t i = 2; i < c->argc; i++) {
        struct slice value;
        enum err e = o != NULL ? hash_get(c->txn, o, c->argv[i], &value) : ERR_NOT_FOUND;

        if (e == OK)
            (void)reply_bulk(c, value);
        else if (e == ERR_NOT_FOUND)
            (void)reply_null(c);
        else
            return reply_take_back(c, mark, e);
    }
    return OK;
}

static enum err hexists(struct call *c) /* HEXISTS key field */
{
    struct slice value;
    struct obj *o;
    enum err e = txn_read(c->txn, c->argv[1], OBJ_HASH, &o);

    if (e == OK)
        e = hash_get(c->txn, o, c->argv[2], &value);
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    return reply_int(c, e == OK);
}

static enum err hstrlen(struct call *c) /* HSTRLEN key field */
{
    struct slice value = {0};
    struct obj *o;
    enum err e = txn_read(c->txn, c->argv[1], OBJ_HASH, &o);

    if (e == OK)
        e = hash_get(c->txn, o, c->argv[2], &value);
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    return reply_int(c, e == OK ? (int64_t)value.size : 0);
}

static enum err hlen(struct call *c) /* HLEN key */
{
    struct obj *o;

    TRY(find(c, &o));
    return reply_int(c, o != NULL ? (int64_t)o->count : 0);
}

/* ---- Everything ---- */

enum part { FIELDS = 1, VALUES = 2 };

static enum err get_all(struct call *c, unsigned parts)
{
    size_t mark = reply_mark(c), at, count = 0;
    struct element_walk w;
    struct obj *o;
    enum err e;

    TRY(find(c, &o));
    if (o == NULL)
        return parts == (FIELDS | VALUES) ? reply_map(c, 0) : reply_array(c, 0);
    TRY(element_walk_begin(c->txn, o, &w));
    at = reply_defer(c);
    while ((e = element_walk_next(&w)) == OK) {
        if (parts & FIELDS)
            (void)reply_bulk(c, w.name);
        if (parts & VALUES)
            (void)reply_bulk(c, w.value);
        count++;
    }
    element_walk_end(&w);
    if (e != ERR_NOT_FOUND)
        return reply_take_back(c, mark, e);
    if (parts == (FIELDS | VALUES))
        reply_defer_map(c, at, count);
    else
        reply_defer_array(c, at, count);
    return OK;
}

static enum err hgetall(struct call *c) /* HGETALL key */
{
    return get_all(c, FIELDS | VALUES);
}

static enum err hkeys(struct call *c) /* HKEYS key */
{
    return get_all(c, FIELDS);
}

static enum err hvals(struct call *c) /* HVALS key */
{
    return get_all(c, VALUES);
}

static const struct command_binding rows[] = {
    {"hset", hset, 0},
    {"hmset", hmset, 0},
    {"hsetnx", hsetnx, 0},
    {"hincrby", hincrby, 0},
    {"hincrbyfloat", hincrbyfloat, 0},
    {"hdel", hdel, 0},
    {"hget", hget, 0},
    {"hmget", hmget, 0},
    {"hexists", hexists, 0},
    {"hstrlen", hstrlen, 0},
    {"hlen", hlen, 0},
    {"hgetall", hgetall, 0},
    {"hkeys", hkeys, 0},
    {"hvals", hvals, 0},
};
const struct command_table cmd_hash_table = COMMAND_TABLE(rows);
