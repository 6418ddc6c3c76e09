/*
 * cmd_database.c - commands about whole databases. They use the working set directly, which locks slots as it goes.
 */
#include "server/cmd/cmd_database.h"

#include <sys/random.h>

#include "base/check.h"
#include "base/glob.h"
#include "engine/set/set.h"
#include "server/cmd/args.h"
#include "server/drive/cluster_service.h"
#include "server/drive/move.h"
#include "server/node.h"
#include "server/run/execute.h"
#include "server/run/session.h"

enum { KEYS_PAGE = 1000 };

static enum err dbsize(struct call *c) /* DBSIZE */
{
    return reply_int(c, (int64_t)set_keys_shown(node_set(c->node), session_db(c->session)));
}

/* ---- KEYS ---- */

struct listing {
    struct call *call;
    struct slice pattern;
    bool all;
    size_t count;
};

static void list_key(void *context, const struct obj *o)
{
    struct listing *l = context;

    if (l->all || glob_match(l->pattern, obj_key(o), false)) {
        (void)reply_bulk(l->call, obj_key(o));
        l->count++;
    }
}

static enum err keys(struct call *c) /* KEYS pattern */
{
    struct listing l = {c, c->argv[1], slice_equal(c->argv[1], SLICE_LITERAL("*")), 0};
    size_t mark = reply_mark(c), at = reply_defer(c);
    msec_t now_ms = node_now(c->node);
    uint64_t cursor = 0;

    do {
        enum err e = set_scan(node_set(c->node), session_db(c->session), SLOTS, cursor, KEYS_PAGE, now_ms, list_key, &l,
                              &cursor);

        if (e != OK)
            return reply_take_back(c, mark, e);
    } while (cursor != 0);
    reply_defer_array(c, at, l.count);
    return OK;
}

static enum err randomkey(struct call *c) /* RANDOMKEY */
{
    enum { TRIES = 100 }; /* many keys may have expired without being removed yet */

    for (int i = 0; i < TRIES; i++) {
        uint64_t random;
        enum err e;

        check(getrandom(&random, sizeof random, 0) == sizeof random);
        e = set_random_key(node_set(c->node), session_db(c->session), 0, random, c->scratch);
        if (e == ERR_NOT_FOUND)
            return reply_null(c);
        TRY(e);
        e = execute_expire(c->executor, session_db(c->session), buf_slice(c->scratch));
        if (e == OK)
            return reply_bulk(c, buf_slice(c->scratch));
        if (e != ERR_NOT_FOUND)
            return e;
    }
    return reply_null(c);
}

/* ---- Emptying, swapping ---- */

/* [ASYNC|SYNC]: a flush is quick here and done when the reply comes. */
static enum err flush_options(struct call *c)
{
    bool fine = c->argc == 1 || (c->argc == 2 && (slice_is(c->argv[1], "ASYNC") || slice_is(c->argv[1], "SYNC")));

    return fine ? OK : reply_syntax(c);
}

static enum err flush(struct call *c, unsigned db)
{
    lsn_t end = 0;

    if (set_keys(node_set(c->node), db) == 0)
        return OK;
    if (node_cluster(c->node) != NULL)
        moves_note_flush(cluster_service_moves(node_cluster(c->node)));
    TRY(set_flush_db(node_set(c->node), db, &end));
    call_wait_for(c, end);
    return OK;
}

static enum err flushdb(struct call *c) /* FLUSHDB [ASYNC|SYNC] */
{
    TRY(flush_options(c));
    TRY(flush(c, session_db(c->session)));
    return reply_ok(c);
}

static enum err flushall(struct call *c) /* FLUSHALL [ASYNC|SYNC] */
{
    TRY(flush_options(c));
    for (unsigned db = 0; db < node_databases(c->node); db++)
        TRY(flush(c, db));
    return reply_ok(c);
}

static enum err database_parse(struct call *c, size_t i, const char *which, int64_t *out)
{
    if (!num_parse_i64(c->argv[i], out) || *out < INT32_MIN || *out > INT32_MAX)
        return reply_error(c, "ERR invalid %s DB index", which);
    return OK;
}

static enum err swapdb(struct call *c) /* SWAPDB index1 index2 */
{
    int64_t a, b, count = node_databases(c->node);
    lsn_t end = 0;

    if (node_is_cluster(c->node))
        return reply_error(c, "ERR SWAPDB is not allowed in cluster mode");
    TRY(database_parse(c, 1, "first", &a));
    TRY(database_parse(c, 2, "second", &b));
    if (a < 0 || a >= count || b < 0 || b >= count)
        return reply_error(c, "ERR DB index is out of range");
    TRY(set_swap_db(node_set(c->node), (unsigned)a, (unsigned)b, &end));
    call_wait_for(c, end);
    execute_serve_all(c->executor, c->session);
    return reply_ok(c);
}

static const struct command_binding rows[] = {
    {"dbsize", dbsize, COMMAND_NO_TXN | COMMAND_ALONE},
    {"keys", keys, COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_COLD_EXEC},
    {"randomkey", randomkey, COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_COLD_EXEC},
    {"flushdb", flushdb, COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_COLD_EXEC},
    {"flushall", flushall, COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_COLD_EXEC},
    {"swapdb", swapdb, COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_COLD_EXEC},
};
const struct command_table cmd_database_table = COMMAND_TABLE(rows);
