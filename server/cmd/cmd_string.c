/*
 * cmd_string.c - the string commands.
 *
 * Effects: a plain SET, INCR, APPEND ... are logged as they came; whatever has a relative time, options, several keys
 * or a float is logged as SET or PEXPIREAT of the result.
 */
#include "server/cmd/cmd_string.h"

#include "engine/type/string.h"
#include "server/cmd/args.h"

#include <math.h>

/* ---- Options of SET and GETEX ---- */

enum {
    OPTION_NX = 1,
    OPTION_XX = 2,
    OPTION_GET = 4,
    OPTION_KEEPTTL = 8,
    OPTION_PERSIST = 16,
    OPTION_EX = 32,
    OPTION_PX = 64,
    OPTION_EXAT = 128,
    OPTION_PXAT = 256,
    OPTIONS_EXPIRE = OPTION_EX | OPTION_PX | OPTION_EXAT | OPTION_PXAT,
    OPTIONS_TIME = OPTIONS_EXPIRE | OPTION_KEEPTTL | OPTION_PERSIST, /* at most one of these */
    OPTIONS_SET = OPTION_NX | OPTION_XX | OPTION_GET | OPTIONS_EXPIRE | OPTION_KEEPTTL,
    OPTIONS_GETEX = OPTIONS_EXPIRE | OPTION_PERSIST,
};

static const struct option {
    const char *word;
    unsigned flag, excludes; /* an option may be given twice, and the last value counts */
} option_rows[] = {
    {"NX", OPTION_NX, OPTION_XX},
    {"XX", OPTION_XX, OPTION_NX},
    {"GET", OPTION_GET, 0},
    {"EX", OPTION_EX, OPTIONS_TIME},
    {"PX", OPTION_PX, OPTIONS_TIME},
    {"EXAT", OPTION_EXAT, OPTIONS_TIME},
    {"PXAT", OPTION_PXAT, OPTIONS_TIME},
    {"KEEPTTL", OPTION_KEEPTTL, OPTIONS_TIME},
    {"PERSIST", OPTION_PERSIST, OPTIONS_TIME},
};

struct options {
    unsigned flags;
    struct slice expire;
};

static enum err options_parse(struct call *c, size_t from, unsigned allowed, struct options *out)
{
    for (size_t i = from; i < c->argc; i++) {
        const struct option *found = NULL;

        for (size_t k = 0; k < sizeof option_rows / sizeof *option_rows; k++)
            if ((option_rows[k].flag & allowed) != 0 && slice_is(c->argv[i], option_rows[k].word))
                found = &option_rows[k];
        if (found == NULL || (out->flags & found->excludes & ~found->flag) != 0)
            return ERR_SYNTAX;
        if ((found->flag & OPTIONS_EXPIRE) != 0) {
            if (++i == c->argc)
                return ERR_SYNTAX;
            out->expire = c->argv[i];
        }
        out->flags |= found->flag;
    }
    return OK;
}

/* The absolute time that a word and its unit mean. */
static enum err expire_parse(struct call *c, struct slice word, unsigned flag, const char *name, msec_t *out)
{
    bool seconds = (flag & (OPTION_EX | OPTION_EXAT)) != 0, relative = (flag & (OPTION_EX | OPTION_PX)) != 0;
    int64_t value;

    if (!num_parse_i64(word, &value))
        return ERR_NOT_INTEGER;
    if (value <= 0 || (seconds && __builtin_mul_overflow(value, 1000, &value)) ||
        (relative && __builtin_add_overflow(value, txn_now(c->txn), &value)))
        return reply_error(c, "ERR invalid expire time in '%s' command", name);
    *out = value;
    return OK;
}

/* ---- Reading ---- */

static enum err get(struct call *c) /* GET key */
{
    struct slice value;
    struct obj *o;
    enum err e = txn_read(c->txn, c->argv[1], OBJ_STRING, &o);

    if (e == ERR_NOT_FOUND)
        return reply_null(c);
    if (e != OK)
        return e;
    TRY(string_get(c->txn, o, c->scratch, &value));
    return reply_bulk(c, value);
}

static enum err mget(struct call *c) /* MGET key [key ...] */
{
    size_t mark = reply_mark(c);

    TRY(reply_array(c, c->argc - 1));
    for (size_t i = 1; i < c->argc; i++) {
        struct slice value;
        struct obj *o;
        enum err e = txn_read(c->txn, c->argv[i], OBJ_STRING, &o);

        if (e == OK)
            e = string_get(c->txn, o, c->scratch, &value);
        if (e == OK)
            e = reply_bulk(c, value);
        else if (e == ERR_NOT_FOUND || e == ERR_WRONG_TYPE)
            e = reply_null(c);
        if (e != OK)
            return reply_take_back(c, mark, e);
    }
    return OK;
}

static enum err string_length_of(struct call *c) /* STRLEN key */
{
    struct obj *o;
    enum err e = txn_read(c->txn, c->argv[1], OBJ_STRING, &o);

    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    return reply_int(c, e == OK ? (int64_t)string_length(o) : 0);
}

static enum err getrange(struct call *c) /* GETRANGE key start end */
{
    int64_t start, end, length;
    struct slice value = {0};
    struct obj *o;
    enum err e;

    TRY(arg_i64(c, 2, &start));
    TRY(arg_i64(c, 3, &end));
    e = txn_read(c->txn, c->argv[1], OBJ_STRING, &o);
    if (e == ERR_NOT_FOUND)
        return reply_bulk(c, value);
    if (e != OK)
        return e;
    length = (int64_t)string_length(o);
    if (start < 0 && end < 0 && start > end)
        return reply_bulk(c, value);
    if (start < 0)
        start = start + length < 0 ? 0 : start + length;
    if (end < 0)
        end = end + length < 0 ? 0 : end + length;
    if (end >= length)
        end = length - 1;
    if (start > end || length == 0)
        return reply_bulk(c, value);
    TRY(string_range(c->txn, o, (uint64_t)start, (uint64_t)(end - start + 1), c->scratch, &value));
    return reply_bulk(c, value);
}

/* ---- Setting ---- */

/* The effect SET key value [extra] */
static void effect_set(struct call *c, struct obj *o, struct slice value, const char *extra, msec_t expire_ms)
{
    struct slice words[5] = {SLICE_LITERAL("SET"), obj_key(o), value};
    char text[NUM_TEXT_MAX];
    size_t count = 3;

    if (extra != NULL)
        words[count++] = slice_str(extra);
    if (expire_ms != 0)
        words[count++] = slice_of(text, num_format_i64(text, expire_ms));
    txn_effect(c->txn, o, words, count);
}

/* Sets a key and its expiry: found, if not NULL, is what txn_write found. */
static enum err assign(struct call *c, struct obj *found, struct slice value, bool keep_expiry, msec_t expire_ms)
{
    struct obj *o = found != NULL ? found : txn_create(c->txn, c->argv[1], OBJ_STRING);

    TRY(string_set(c->txn, o, value, keep_expiry));
    if (expire_ms != 0)
        txn_expire(c->txn, o, expire_ms);
    effect_set(c, o, value, expire_ms != 0 ? "PXAT" : keep_expiry ? "KEEPTTL" : NULL, expire_ms);
    return OK;
}

/* Writes the old value as the reply; ERR_WRONG_TYPE if it is no string. */
static enum err reply_old(struct call *c, struct obj *o)
{
    struct slice value;

    if (o == NULL)
        return reply_null(c);
    if (o->type != OBJ_STRING)
        return ERR_WRONG_TYPE;
    TRY(string_get(c->txn, o, c->scratch, &value));
    return reply_bulk(c, value);
}

static enum err set_with_options(struct call *c)
{
    struct options options = {0};
    msec_t expire_ms = 0;
    struct obj *o = NULL;
    size_t mark = reply_mark(c);
    bool gets;
    enum err e;

    TRY(options_parse(c, 3, OPTIONS_SET, &options));
    if ((options.flags & OPTIONS_EXPIRE) != 0)
        TRY(expire_parse(c, options.expire, options.flags, "set", &expire_ms));
    e = txn_write(c->txn, c->argv[1], OBJ_ANY, &o);
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    gets = (options.flags & OPTION_GET) != 0;
    if (gets)
        TRY(reply_old(c, o));
    if (o != NULL ? (options.flags & OPTION_NX) != 0 : (options.flags & OPTION_XX) != 0)
        return gets ? OK : reply_null(c);
    e = assign(c, o, c->argv[2], (options.flags & OPTION_KEEPTTL) != 0, expire_ms);
    if (e != OK)
        return reply_take_back(c, mark, e);
    return gets ? OK : reply_ok(c);
}

static enum err set(struct call *c) /* SET key value [NX|XX] [GET] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL] */
{
    if (c->argc > 3)
        return set_with_options(c);
    TRY(string_store(c->txn, c->argv[1], c->argv[2], NULL));
    return reply_ok(c);
}

static enum err set_with_time(struct call *c, unsigned flag, const char *name)
{
    struct obj *o = NULL;
    msec_t expire_ms;
    enum err e;

    TRY(expire_parse(c, c->argv[2], flag, name, &expire_ms));
    e = txn_write(c->txn, c->argv[1], OBJ_ANY, &o);
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    TRY(assign(c, o, c->argv[3], false, expire_ms));
    return reply_ok(c);
}

static enum err setex(struct call *c) /* SETEX key seconds value */
{
    return set_with_time(c, OPTION_EX, "setex");
}

static enum err psetex(struct call *c) /* PSETEX key milliseconds value */
{
    return set_with_time(c, OPTION_PX, "psetex");
}

static enum err setnx(struct call *c) /* SETNX key value */
{
    struct obj *o;
    enum err e = txn_write(c->txn, c->argv[1], OBJ_ANY, &o);

    if (e == OK)
        return reply_int(c, 0);
    if (e != ERR_NOT_FOUND)
        return e;
    TRY(assign(c, NULL, c->argv[2], false, 0));
    return reply_int(c, 1);
}

static enum err getset(struct call *c) /* GETSET key value */
{
    size_t mark = reply_mark(c);
    struct obj *o = NULL;
    enum err e = txn_write(c->txn, c->argv[1], OBJ_STRING, &o);

    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    TRY(reply_old(c, o));
    e = assign(c, o, c->argv[2], false, 0);
    return e == OK ? OK : reply_take_back(c, mark, e);
}

static enum err getdel(struct call *c) /* GETDEL key */
{
    struct obj *o;
    enum err e = txn_write(c->txn, c->argv[1], OBJ_STRING, &o);

    if (e == ERR_NOT_FOUND)
        return reply_null(c);
    if (e != OK)
        return e;
    TRY(reply_old(c, o));
    txn_delete(c->txn, o);
    return OK;
}

static enum err getex(struct call *c) /* GETEX key [EX s|PX ms|EXAT s|PXAT ms|PERSIST] */
{
    struct options options = {0};
    msec_t expire_ms = 0;
    struct obj *o;
    enum err e;

    TRY(options_parse(c, 2, OPTIONS_GETEX, &options));
    e = txn_write(c->txn, c->argv[1], OBJ_STRING, &o);
    if (e == ERR_NOT_FOUND)
        return reply_null(c);
    if (e != OK)
        return e;
    if ((options.flags & OPTIONS_EXPIRE) != 0)
        TRY(expire_parse(c, options.expire, options.flags, "getex", &expire_ms));
    TRY(reply_old(c, o));
    if (expire_ms != 0 && expire_ms <= txn_now(c->txn) && !txn_is_replay(c->txn)) {
        txn_delete(c->txn, o);
    } else if (expire_ms != 0) {
        char text[NUM_TEXT_MAX];

        txn_expire(c->txn, o, expire_ms);
        TXN_EFFECT(c->txn, o, SLICE_LITERAL("PEXPIREAT"), c->argv[1],
                   slice_of(text, num_format_i64(text, expire_ms)));
    } else if ((options.flags & OPTION_PERSIST) != 0 && o->expire_ms != 0) {
        txn_expire(c->txn, o, 0);
        TXN_EFFECT(c->txn, o, SLICE_LITERAL("PERSIST"), c->argv[1]);
    }
    return OK;
}

/* ---- Several keys ---- */

/* Looks all keys of key-value pairs up, so that no look-up waits once something has been changed. */
static enum err look_ahead(struct call *c, bool *any)
{
    *any = false;
    for (size_t i = 1; i < c->argc; i += 2) {
        struct obj *o;
        enum err e = txn_read(c->txn, c->argv[i], OBJ_ANY, &o);

        if (e != OK && e != ERR_NOT_FOUND)
            return e;
        *any |= e == OK;
    }
    return OK;
}

static enum err store_pairs(struct call *c)
{
    for (size_t i = 1; i < c->argc; i += 2) {
        struct obj *o;

        TRY(string_store(c->txn, c->argv[i], c->argv[i + 1], &o));
        effect_set(c, o, c->argv[i + 1], NULL, 0);
    }
    return OK;
}

static enum err mset(struct call *c) /* MSET key value [key value ...] */
{
    bool any;

    if (c->argc % 2 == 0)
        return reply_arity(c);
    if (c->argc > 3)
        TRY(look_ahead(c, &any));
    TRY(store_pairs(c));
    return reply_ok(c);
}

static enum err msetnx(struct call *c) /* MSETNX key value [key value ...] */
{
    bool any;

    if (c->argc % 2 == 0)
        return reply_arity(c);
    TRY(look_ahead(c, &any));
    if (any)
        return reply_int(c, 0);
    TRY(store_pairs(c));
    return reply_int(c, 1);
}

/* ---- Numbers ---- */

static enum err increment(struct call *c, int64_t by)
{
    char text[NUM_TEXT_MAX];
    struct obj *o = NULL;
    int64_t value = 0;
    enum err e = txn_write(c->txn, c->argv[1], OBJ_STRING, &o);

    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    if (o != NULL && (o->form == OBJ_BIG || !num_parse_i64(obj_value(o), &value)))
        return ERR_NOT_INTEGER;
    if (__builtin_add_overflow(value, by, &value))
        return ERR_OVERFLOW;
    if (o == NULL)
        o = txn_create(c->txn, c->argv[1], OBJ_STRING);
    TRY(string_set(c->txn, o, slice_of(text, num_format_i64(text, value)), true));
    return reply_int(c, value);
}

static enum err incr(struct call *c) /* INCR key */
{
    return increment(c, 1);
}

static enum err decr(struct call *c) /* DECR key */
{
    return increment(c, -1);
}

static enum err incrby(struct call *c) /* INCRBY key increment */
{
    int64_t by;

    TRY(arg_i64(c, 2, &by));
    return increment(c, by);
}

static enum err decrby(struct call *c) /* DECRBY key decrement */
{
    int64_t by;

    TRY(arg_i64(c, 2, &by));
    if (by == INT64_MIN)
        return reply_error(c, "ERR decrement would overflow");
    return increment(c, -by);
}

static enum err incrbyfloat(struct call *c) /* INCRBYFLOAT key increment */
{
    char text[NUM_LONG_TEXT_MAX];
    long double value = 0, by;
    struct obj *o = NULL;
    struct slice result;
    enum err e = txn_write(c->txn, c->argv[1], OBJ_STRING, &o);

    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    if (o != NULL && (o->form == OBJ_BIG || !num_parse_long_double(obj_value(o), &value)))
        return ERR_NOT_FLOAT;
    if (!num_parse_long_double(c->argv[2], &by))
        return ERR_NOT_FLOAT;
    value += by;
    if (isnan(value) || isinf(value))
        return ERR_NAN;
    result = slice_of(text, num_format_long_double(text, value));
    if (o == NULL)
        o = txn_create(c->txn, c->argv[1], OBJ_STRING);
    TRY(string_set(c->txn, o, result, true));
    effect_set(c, o, result, "KEEPTTL", 0);
    return reply_bulk(c, result);
}

/* ---- Edits ---- */

static enum err append(struct call *c) /* APPEND key value */
{
    struct obj *o;
    enum err e = txn_write(c->txn, c->argv[1], OBJ_STRING, &o);

    if (e == OK)
        TRY(string_append(c->txn, o, c->argv[2]));
    else if (e == ERR_NOT_FOUND)
        TRY(string_store(c->txn, c->argv[1], c->argv[2], &o));
    else
        return e;
    return reply_int(c, (int64_t)string_length(o));
}

static enum err setrange(struct call *c) /* SETRANGE key offset value */
{
    struct slice bytes = c->argv[3];
    struct obj *o = NULL;
    int64_t at;
    enum err e;

    TRY(arg_i64(c, 2, &at));
    if (at < 0)
        return reply_error(c, "ERR offset is out of range");
    e = txn_write(c->txn, c->argv[1], OBJ_STRING, &o);
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    if (bytes.size == 0)
        return reply_int(c, o != NULL ? (int64_t)string_length(o) : 0);
    TRY(string_size_check(c->txn, (uint64_t)at, bytes.size));
    if (o == NULL)
        o = txn_create(c->txn, c->argv[1], OBJ_STRING);
    TRY(string_write(c->txn, o, (uint64_t)at, bytes));
    return reply_int(c, (int64_t)string_length(o));
}

static const struct command_binding rows[] = {
    {"append", append, 0},
    {"decr", decr, 0},
    {"decrby", decrby, 0},
    {"get", get, 0},
    {"getdel", getdel, 0},
    {"getex", getex, 0},
    {"getrange", getrange, 0},
    {"getset", getset, 0},
    {"incr", incr, 0},
    {"incrby", incrby, 0},
    {"incrbyfloat", incrbyfloat, 0},
    {"mget", mget, 0},
    {"mset", mset, 0},
    {"msetnx", msetnx, 0},
    {"psetex", psetex, 0},
    {"set", set, 0},
    {"setex", setex, 0},
    {"setnx", setnx, 0},
    {"setrange", setrange, 0},
    {"strlen", string_length_of, 0},
    {"substr", getrange, 0},
};

const struct command_table cmd_string_table = COMMAND_TABLE(rows);
