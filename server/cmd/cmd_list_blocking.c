/*
 * cmd_list_blocking.c - pops that wait for an element. The waiting itself is server/run/waiting.c: a command here says
 * call_block when there is nothing, and is run again from its start when one of its keys was written.
 *
 * What is logged is the effect (LPOP, RPOP, LPUSH ...), never the blocking command.
 */
#include "server/cmd/cmd_list_blocking.h"

#include "engine/type/list.h"
#include "server/cmd/args.h"
#include "server/cmd/cmd_list.h"

/* The first list among the keys; ERR_NOT_FOUND. Who waits already is not disturbed by a key of another type. */
static enum err first_list(struct call *c, size_t first, size_t count, struct obj **out)
{
    for (size_t i = 0; i < count; i++) {
        enum err e = txn_write(c->txn, c->argv[first + i], OBJ_LIST, out);

        if (e == ERR_NOT_FOUND || (e == ERR_WRONG_TYPE && call_was_blocked(c)))
            continue;
        return e;
    }
    return ERR_NOT_FOUND;
}

static void reply_each(void *context, struct slice element)
{
    (void)reply_bulk(context, element);
}

static enum err pop(struct call *c, enum list_end end)
{
    size_t mark = reply_mark(c);
    msec_t timeout_ms = 0;
    struct obj *o = NULL;
    enum err e;

    TRY(arg_timeout(c, c->argc - 1, &timeout_ms));
    e = first_list(c, 1, c->argc - 2, &o);
    if (e == ERR_NOT_FOUND)
        return call_block(c, timeout_ms);
    if (e != OK)
        return e;
    (void)reply_array(c, 2);
    (void)reply_bulk(c, obj_key(o));
    e = list_pop_logged(c->txn, o, end, 1, reply_each, c);
    return e == OK ? OK : reply_take_back(c, mark, e);
}

static enum err blpop(struct call *c) /* BLPOP key [key ...] timeout */
{
    return pop(c, LIST_HEAD);
}

static enum err brpop(struct call *c) /* BRPOP key [key ...] timeout */
{
    return pop(c, LIST_TAIL);
}

static enum err blmpop(struct call *c) /* BLMPOP timeout numkeys key [key ...] LEFT|RIGHT [COUNT count] */
{
    msec_t timeout_ms = 0;
    struct mpop words;
    struct obj *o = NULL;
    enum err e;

    TRY(arg_timeout(c, 1, &timeout_ms));
    TRY(arg_mpop(c, 2, "LEFT", "RIGHT", &words));
    e = first_list(c, words.first, words.keys, &o);
    if (e == ERR_NOT_FOUND)
        return call_block(c, timeout_ms);
    return e == OK ? cmd_list_mpop(c, &words, o) : e;
}

static enum err move(struct call *c, enum list_end from, enum list_end to, size_t timeout_at)
{
    msec_t timeout_ms = 0;
    struct obj *o = NULL;
    enum err e;

    TRY(arg_timeout(c, timeout_at, &timeout_ms));
    c->null_bulk = true;
    e = first_list(c, 1, 1, &o);
    if (e == ERR_NOT_FOUND)
        return call_block(c, timeout_ms);
    if (e != OK)
        return e;
    TRY(list_move(c->txn, c->argv[1], c->argv[2], from, to, c->scratch));
    return reply_bulk(c, buf_slice(c->scratch));
}

static enum err blmove(struct call *c) /* BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout */
{
    enum list_end from, to;

    if (!cmd_list_end(c->argv[3], &from) || !cmd_list_end(c->argv[4], &to))
        return ERR_SYNTAX;
    return move(c, from, to, 5);
}

static enum err brpoplpush(struct call *c) /* BRPOPLPUSH source destination timeout */
{
    return move(c, LIST_TAIL, LIST_HEAD, 3);
}

static const struct command_binding rows[] = {
    {"blmove", blmove, 0},
    {"blmpop", blmpop, 0},
    {"blpop", blpop, 0},
    {"brpop", brpop, 0},
    {"brpoplpush", brpoplpush, 0},
};

const struct command_table cmd_list_blocking_table = COMMAND_TABLE(rows);
