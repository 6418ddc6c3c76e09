/*
 * args.h - what command functions share: numbers in their words, and taking a half-written reply back.
 */
#ifndef CAIRN_SERVER_CMD_ARGS_H
#define CAIRN_SERVER_CMD_ARGS_H

#include "base/err.h"
#include "base/num.h"
#include "server/run/call.h"

/* ERR_NOT_INTEGER if the word is none. */
static inline enum err arg_i64(const struct call *c, size_t i, int64_t *out)
{
    return num_parse_i64(c->argv[i], out) ? OK : ERR_NOT_INTEGER;
}

/* An integer of at least `least`, else the error reply `text`, also for what is no integer. */
static inline enum err arg_at_least(struct call *c, size_t i, int64_t least, const char *text, int64_t *out)
{
    if (!num_parse_i64(c->argv[i], out) || *out < least)
        return reply_error(c, "ERR %s", text);
    return OK;
}

/* A number that Redis keeps in an int: of a database. */
static inline enum err arg_int(struct call *c, size_t i, int64_t *out)
{
    TRY(arg_i64(c, i, out));
    if (*out < INT32_MIN || *out > INT32_MAX)
        return reply_error(c, "ERR value is out of range, value must between -2147483648 and 2147483647");
    return OK;
}

/* How many random elements are wanted: any number but the least, whose opposite is none. */
static inline enum err arg_count(struct call *c, size_t i, int64_t *out)
{
    TRY(arg_i64(c, i, out));
    if (*out < -INT64_MAX)
        return reply_error(c, "ERR value is out of range, value must between -9223372036854775807 and "
                              "9223372036854775807");
    return OK;
}

/* The timeout of a blocking command: seconds, with a fraction, as milliseconds; 0: for ever. */
static inline enum err arg_timeout(struct call *c, size_t i, msec_t *out)
{
    double seconds;

    if (!num_parse_double(c->argv[i], &seconds))
        return reply_error(c, "ERR timeout is not a float or out of range");
    if (seconds < 0)
        return reply_error(c, "ERR timeout is negative");
    if (seconds > (double)(INT64_MAX / 1000 / 2))
        return reply_error(c, "ERR timeout is out of range");
    *out = (msec_t)(seconds * 1000);
    if (*out == 0 && seconds > 0)
        *out = 1;
    return OK;
}

/* The words of LMPOP, ZMPOP and those that wait: numkeys key [key ...] LEFT|RIGHT or MIN|MAX [COUNT count]. */
struct mpop {
    size_t first, keys; /* the keys' words */
    bool second;        /* RIGHT, MAX */
    int64_t count;      /* at least 1 */
};

/* From word `at` on; one, two: the names of the ends. An error reply if they are not so. */
static inline enum err arg_mpop(struct call *c, size_t at, const char *one, const char *two, struct mpop *out)
{
    int64_t keys;

    TRY(arg_at_least(c, at, 1, "numkeys should be greater than 0", &keys));
    if ((uint64_t)keys > c->argc - at - 2)
        return reply_syntax(c);
    *out = (struct mpop){.first = at + 1, .keys = (size_t)keys, .count = 1};
    at += 1 + (size_t)keys;
    out->second = slice_is(c->argv[at], two);
    if (!out->second && !slice_is(c->argv[at], one))
        return reply_syntax(c);
    if (++at == c->argc)
        return OK;
    if (at + 1 == c->argc || !slice_is(c->argv[at], "COUNT"))
        return reply_syntax(c);
    TRY(arg_at_least(c, at + 1, 1, "count should be greater than 0", &out->count));
    return at + 2 == c->argc ? OK : reply_syntax(c);
}

/* A reply that is written while rows are read is taken back when a read fails: ERR_COLD must leave nothing behind. */
static inline size_t reply_mark(const struct call *c)
{
    return c->reply->out->size;
}

static inline enum err reply_take_back(struct call *c, size_t mark, enum err e)
{
    c->reply->out->size = mark;
    return e;
}

#endif
