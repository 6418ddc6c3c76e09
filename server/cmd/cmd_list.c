/*
 * cmd_list.c - the list commands that do not block. LMOVE and LMPOP log what they did key by key, the others
 * themselves.
 */
#include "server/cmd/cmd_list.h"

#include "engine/type/list.h"
#include "server/cmd/args.h"

/* ---- Words ---- */

bool cmd_list_end(struct slice word, enum list_end *out)
{
    if (slice_is(word, "LEFT"))
        *out = LIST_HEAD;
    else if (slice_is(word, "RIGHT"))
        *out = LIST_TAIL;
    else
        return false;
    return true;
}

/* The elements [*from, *from + *count) that start and end mean in a list of this length. */
static void range_resolve(int64_t start, int64_t end, uint64_t length, uint64_t *from, uint64_t *count)
{
    int64_t size = (int64_t)length;

    if (start < 0)
        start = start + size < 0 ? 0 : start + size;
    if (end < 0)
        end += size;
    if (end >= size)
        end = size - 1;
    *from = *count = 0;
    if (start <= end) {
        *from = (uint64_t)start;
        *count = (uint64_t)(end - start + 1);
    }
}

/* ---- Push ---- */

static enum err push(struct call *c, enum list_end end, bool create)
{
    struct obj *o;
    enum err e;

    if (create) {
        TRY(txn_write_or_create(c->txn, c->argv[1], OBJ_LIST, &o, NULL));
    } else {
        e = txn_write(c->txn, c->argv[1], OBJ_LIST, &o);
        if (e == ERR_NOT_FOUND)
            return reply_int(c, 0);
        if (e != OK)
            return e;
    }
    for (size_t i = 2; i < c->argc; i++)
        TRY(list_push(c->txn, o, end, c->argv[i]));
    return reply_int(c, (int64_t)list_length(o));
}

static enum err lpush(struct call *c) /* LPUSH key element [element ...] */
{
    return push(c, LIST_HEAD, true);
}

static enum err rpush(struct call *c) /* RPUSH key element [element ...] */
{
    return push(c, LIST_TAIL, true);
}

static enum err lpushx(struct call *c) /* LPUSHX key element [element ...] */
{
    return push(c, LIST_HEAD, false);
}

static enum err rpushx(struct call *c) /* RPUSHX key element [element ...] */
{
    return push(c, LIST_TAIL, false);
}

/* ---- Pop ---- */

static void reply_each(void *context, struct slice element)
{
    (void)reply_bulk(context, element);
}

static enum err pop(struct call *c, enum list_end end)
{
    size_t mark = reply_mark(c);
    int64_t count = 1;
    struct obj *o;
    enum err e;

    if (c->argc > 3)
        return reply_arity(c);
    if (c->argc == 3)
        TRY(arg_at_least(c, 2, 0, "value is out of range, must be positive", &count));
    e = txn_write(c->txn, c->argv[1], OBJ_LIST, &o);
    if (e == ERR_NOT_FOUND)
        return c->argc == 3 ? reply_null_array(c) : reply_null(c);
    if (e != OK)
        return e;
    if (count > (int64_t)list_length(o))
        count = (int64_t)list_length(o);
    if (c->argc == 3)
        TRY(reply_array(c, (size_t)count));
    if (count == 0)
        return OK;
    e = list_pop_many(c->txn, o, end, (uint64_t)count, reply_each, c);
    return e == OK ? OK : reply_take_back(c, mark, e);
}

static enum err lpop(struct call *c) /* LPOP key [count] */
{
    return pop(c, LIST_HEAD);
}

static enum err rpop(struct call *c) /* RPOP key [count] */
{
    return pop(c, LIST_TAIL);
}

/* The first list of the keys argv[first] ... that exists; NULL if none does. */
static enum err first_list(struct call *c, size_t first, size_t count, struct obj **out)
{
    *out = NULL;
    for (size_t i = 0; i < count; i++) {
        enum err e = txn_write(c->txn, c->argv[first + i], OBJ_LIST, out);

        if (e != ERR_NOT_FOUND)
            return e;
    }
    return OK;
}

enum err cmd_list_mpop(struct call *c, const struct mpop *words, struct obj *o)
{
    size_t mark = reply_mark(c);
    int64_t count = words->count;
    enum err e;

    if ((uint64_t)count > list_length(o))
        count = (int64_t)list_length(o);
    (void)reply_array(c, 2);
    (void)reply_bulk(c, obj_key(o));
    (void)reply_array(c, (size_t)count);
    e = list_pop_logged(c->txn, o, words->second ? LIST_TAIL : LIST_HEAD, (uint64_t)count, reply_each, c);
    return e == OK ? OK : reply_take_back(c, mark, e);
}

static enum err lmpop(struct call *c) /* LMPOP numkeys key [key ...] LEFT|RIGHT [COUNT count] */
{
    struct mpop words;
    struct obj *o;

    TRY(arg_mpop(c, 1, "LEFT", "RIGHT", &words));
    TRY(first_list(c, words.first, words.keys, &o));
    return o != NULL ? cmd_list_mpop(c, &words, o) : reply_null_array(c);
}

/* ---- Move ---- */

static enum err move(struct call *c, enum list_end from, enum list_end to)
{
    enum err e = list_move(c->txn, c->argv[1], c->argv[2], from, to, c->scratch);

    if (e == ERR_NOT_FOUND)
        return reply_null(c);
    if (e != OK)
        return e;
    return reply_bulk(c, buf_slice(c->scratch));
}

static enum err lmove(struct call *c) /* LMOVE source destination LEFT|RIGHT LEFT|RIGHT */
{
    enum list_end from, to;

    if (!cmd_list_end(c->argv[3], &from) || !cmd_list_end(c->argv[4], &to))
        return ERR_SYNTAX;
    return move(c, from, to);
}

static enum err rpoplpush(struct call *c) /* RPOPLPUSH source destination */
{
    return move(c, LIST_TAIL, LIST_HEAD);
}

/* ---- Reading ---- */

static enum err llen(struct call *c) /* LLEN key */
{
    struct obj *o;
    enum err e = txn_read(c->txn, c->argv[1], OBJ_LIST, &o);

    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    return reply_int(c, e == OK ? (int64_t)list_length(o) : 0);
}

static enum err reply_elements(struct call *c, struct obj *o, uint64_t from, uint64_t count)
{
    struct list_walk w;
    enum err e = OK;

    TRY(reply_array(c, count));
    if (count == 0)
        return OK;
    TRY(list_walk_begin(c->txn, o, from, false, &w));
    for (; count > 0 && (e = list_walk_next(&w)) == OK; count--)
        TRY(reply_bulk(c, w.element));
    list_walk_end(&w);
    return e;
}

static enum err lrange(struct call *c) /* LRANGE key start stop */
{
    size_t mark = reply_mark(c);
    uint64_t from, count;
    int64_t start, end;
    struct obj *o;
    enum err e;

    TRY(arg_i64(c, 2, &start));
    TRY(arg_i64(c, 3, &end));
    e = txn_read(c->txn, c->argv[1], OBJ_LIST, &o);
    if (e == ERR_NOT_FOUND)
        return reply_array(c, 0);
    if (e != OK)
        return e;
    range_resolve(start, end, list_length(o), &from, &count);
    TRY(list_long_walk(c->txn, o, count));
    e = reply_elements(c, o, from, count);
    return e == OK ? OK : reply_take_back(c, mark, e);
}

static enum err lindex(struct call *c) /* LINDEX key index */
{
    struct slice element;
    int64_t index;
    struct obj *o;
    enum err e = txn_read(c->txn, c->argv[1], OBJ_LIST, &o);

    if (e == ERR_NOT_FOUND)
        return reply_null(c);
    if (e != OK)
        return e;
    TRY(arg_i64(c, 2, &index));
    if (index < 0)
        index += (int64_t)list_length(o);
    if (index < 0 || (uint64_t)index >= list_length(o))
        return reply_null(c);
    TRY(list_get(c->txn, o, (uint64_t)index, &element));
    return reply_bulk(c, element);
}

struct lpos_options {
    int64_t rank, count, maxlen;
    bool many;
};

static enum err lpos_parse(struct call *c, struct lpos_options *out)
{
    *out = (struct lpos_options){.rank = 1, .count = 1};
    for (size_t i = 3; i < c->argc; i += 2) {
        if (i + 1 == c->argc)
            return ERR_SYNTAX;
        if (slice_is(c->argv[i], "RANK")) {
            TRY(arg_i64(c, i + 1, &out->rank));
            if (out->rank == INT64_MIN)
                return reply_error(c, "ERR value is out of range, value must between %lld and %lld",
                                   -(long long)INT64_MAX, (long long)INT64_MAX);
            if (out->rank == 0)
                return reply_error(c, "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second "
                                      "... or use negative to start from the end of the list");
        } else if (slice_is(c->argv[i], "COUNT")) {
            TRY(arg_at_least(c, i + 1, 0, "COUNT can't be negative", &out->count));
            out->many = true;
        } else if (slice_is(c->argv[i], "MAXLEN")) {
            TRY(arg_at_least(c, i + 1, 0, "MAXLEN can't be negative", &out->maxlen));
        } else {
            return ERR_SYNTAX;
        }
    }
    return OK;
}

/* Replies the positions found; *found is how many. */
static enum err lpos_reply(struct call *c, struct obj *o, const struct lpos_options *options, size_t *found)
{
    bool reverse = options->rank < 0;
    int64_t skip = (reverse ? -options->rank : options->rank) - 1;
    uint64_t limit = options->count == 0 ? UINT64_MAX : (uint64_t)options->count;
    uint64_t left = options->maxlen == 0 ? UINT64_MAX : (uint64_t)options->maxlen;
    struct list_walk w;
    enum err e = OK;

    *found = 0;
    TRY(list_long_walk(c->txn, o, left < list_length(o) ? left : list_length(o)));
    TRY(list_walk_begin(c->txn, o, reverse ? list_length(o) - 1 : 0, reverse, &w));
    for (; left > 0 && *found < limit && (e = list_walk_next(&w)) == OK; left--) {
        if (!slice_equal(w.element, c->argv[2]) || skip-- > 0)
            continue;
        TRY(reply_int(c, (int64_t)w.index));
        (*found)++;
    }
    list_walk_end(&w);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err lpos(struct call *c) /* LPOS key element [RANK rank] [COUNT count] [MAXLEN length] */
{
    size_t mark = reply_mark(c), header = 0, found = 0;
    struct lpos_options options;
    struct obj *o;
    enum err e;

    TRY(lpos_parse(c, &options));
    e = txn_read(c->txn, c->argv[1], OBJ_LIST, &o);
    if (e == ERR_NOT_FOUND)
        return options.many ? reply_array(c, 0) : reply_null(c);
    if (e != OK)
        return e;
    if (options.many)
        header = reply_defer(c);
    e = lpos_reply(c, o, &options, &found);
    if (e != OK)
        return reply_take_back(c, mark, e);
    if (options.many)
        reply_defer_array(c, header, found);
    else if (found == 0)
        return reply_null(c);
    return OK;
}

/* ---- The middle ---- */

static enum err lset(struct call *c) /* LSET key index element */
{
    int64_t index;
    struct obj *o;
    enum err e = txn_write(c->txn, c->argv[1], OBJ_LIST, &o);

    if (e == ERR_NOT_FOUND)
        return ERR_NO_KEY;
    if (e != OK)
        return e;
    TRY(arg_i64(c, 2, &index));
    if (index < 0)
        index += (int64_t)list_length(o);
    if (index < 0 || (uint64_t)index >= list_length(o))
        return ERR_RANGE;
    TRY(list_set(c->txn, o, (uint64_t)index, c->argv[3]));
    return reply_ok(c);
}

/* Where the first element equal to the pivot is; ERR_NOT_FOUND. */
static enum err pivot_find(struct call *c, struct obj *o, struct slice pivot, uint64_t *index)
{
    struct list_walk w;
    enum err e;

    TRY(list_long_walk(c->txn, o, list_length(o)));
    TRY(list_walk_begin(c->txn, o, 0, false, &w));
    while ((e = list_walk_next(&w)) == OK && !slice_equal(w.element, pivot))
        ;
    list_walk_end(&w);
    if (e == OK)
        *index = w.index;
    return e;
}

static enum err linsert(struct call *c) /* LINSERT key BEFORE|AFTER pivot element */
{
    bool after = slice_is(c->argv[2], "AFTER");
    uint64_t index;
    struct obj *o;
    enum err e;

    if (!after && !slice_is(c->argv[2], "BEFORE"))
        return ERR_SYNTAX;
    e = txn_write(c->txn, c->argv[1], OBJ_LIST, &o);
    if (e == ERR_NOT_FOUND)
        return reply_int(c, 0);
    if (e != OK)
        return e;
    e = pivot_find(c, o, c->argv[3], &index);
    if (e == ERR_NOT_FOUND)
        return reply_int(c, -1);
    if (e != OK)
        return e;
    TRY(list_insert(c->txn, o, after ? index + 1 : index, c->argv[4]));
    return reply_int(c, (int64_t)list_length(o));
}

static enum err lrem(struct call *c) /* LREM key count element */
{
    uint64_t removed;
    int64_t count;
    struct obj *o;
    enum err e;

    TRY(arg_i64(c, 2, &count));
    e = txn_write(c->txn, c->argv[1], OBJ_LIST, &o);
    if (e == ERR_NOT_FOUND)
        return reply_int(c, 0);
    if (e != OK)
        return e;
    TRY(list_remove(c->txn, o, c->argv[3], count, &removed));
    return reply_int(c, (int64_t)removed);
}

static enum err ltrim(struct call *c) /* LTRIM key start stop */
{
    uint64_t from, count;
    int64_t start, end;
    struct obj *o;
    enum err e;

    TRY(arg_i64(c, 2, &start));
    TRY(arg_i64(c, 3, &end));
    e = txn_write(c->txn, c->argv[1], OBJ_LIST, &o);
    if (e == ERR_NOT_FOUND)
        return reply_ok(c);
    if (e != OK)
        return e;
    range_resolve(start, end, list_length(o), &from, &count);
    TRY(list_trim(c->txn, o, from, count));
    return reply_ok(c);
}

static const struct command_binding rows[] = {
    {"lindex", lindex, 0},
    {"linsert", linsert, 0},
    {"llen", llen, 0},
    {"lmove", lmove, 0},
    {"lmpop", lmpop, 0},
    {"lpop", lpop, 0},
    {"lpos", lpos, 0},
    {"lpush", lpush, 0},
    {"lpushx", lpushx, 0},
    {"lrange", lrange, 0},
    {"lrem", lrem, 0},
    {"lset", lset, 0},
    {"ltrim", ltrim, 0},
    {"rpop", rpop, 0},
    {"rpoplpush", rpoplpush, 0},
    {"rpush", rpush, 0},
    {"rpushx", rpushx, 0},
};

const struct command_table cmd_list_table = COMMAND_TABLE(rows);
