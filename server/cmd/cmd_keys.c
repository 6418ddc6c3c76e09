/*
 * cmd_keys.c - commands about keys of any type.
 */
#include "server/cmd/cmd_keys.h"

#include "engine/type/keyspace.h"
#include "server/cmd/args.h"
#include "server/node.h"
#include "server/run/session.h"

/* ---- Existence ---- */

static enum err del(struct call *c) /* DEL key [key ...] */
{
    int64_t deleted = 0;
    struct obj *o;

    for (size_t i = 1; i < c->argc && c->argc > 2; i++) { /* a disk that is needed is noticed before the first goes */
        enum err e = txn_peek(c->txn, c->argv[i], &o);

        if (e != OK && e != ERR_NOT_FOUND)
            return e;
    }
    for (size_t i = 1; i < c->argc; i++) {
        enum err e = txn_write(c->txn, c->argv[i], OBJ_ANY, &o);

        if (e == OK) {
            txn_delete(c->txn, o);
            deleted++;
        } else if (e != ERR_NOT_FOUND) {
            return e;
        }
    }
    return reply_int(c, deleted);
}

static enum err exists(struct call *c) /* EXISTS key [key ...] */
{
    int64_t found = 0;

    for (size_t i = 1; i < c->argc; i++) {
        struct obj *o;
        enum err e = txn_peek(c->txn, c->argv[i], &o);

        if (e != OK && e != ERR_NOT_FOUND)
            return e;
        found += e == OK;
    }
    return reply_int(c, found);
}

static enum err touch(struct call *c) /* TOUCH key [key ...] */
{
    int64_t found = 0;

    for (size_t i = 1; i < c->argc; i++) {
        struct obj *o;
        enum err e = txn_read(c->txn, c->argv[i], OBJ_ANY, &o);

        if (e != OK && e != ERR_NOT_FOUND)
            return e;
        found += e == OK;
    }
    return reply_int(c, found);
}

static enum err type(struct call *c) /* TYPE key */
{
    struct obj *o;
    enum err e = txn_peek(c->txn, c->argv[1], &o);

    if (e == ERR_NOT_FOUND)
        return reply_status(c, "none");
    TRY(e);
    return reply_status(c, keyspace_type_name(o->type));
}

/* ---- Expiry ---- */

static enum err conditions_parse(struct call *c, unsigned *out)
{
    unsigned conditions = 0;

    for (size_t i = 3; i < c->argc; i++) {
        if (slice_is(c->argv[i], "NX"))
            conditions |= EXPIRE_IF_NONE;
        else if (slice_is(c->argv[i], "XX"))
            conditions |= EXPIRE_IF_SOME;
        else if (slice_is(c->argv[i], "GT"))
            conditions |= EXPIRE_IF_GREATER;
        else if (slice_is(c->argv[i], "LT"))
            conditions |= EXPIRE_IF_LESS;
        else
            return reply_error(c, "ERR Unsupported option %.*s", (int)(c->argv[i].size < 128 ? c->argv[i].size : 128),
                               (const char *)c->argv[i].data);
    }
    if (conditions & EXPIRE_IF_NONE && conditions != EXPIRE_IF_NONE)
        return reply_error(c, "ERR NX and XX, GT or LT options at the same time are not compatible");
    if (conditions & EXPIRE_IF_GREATER && conditions & EXPIRE_IF_LESS)
        return reply_error(c, "ERR GT and LT options at the same time are not compatible");
    *out = conditions;
    return OK;
}

/* unit_ms: of the word. base_ms: what it counts from. */
static enum err expire_at(struct call *c, const char *name, int64_t unit_ms, msec_t base_ms)
{
    unsigned conditions = 0;
    int64_t when;
    bool done;

    TRY(conditions_parse(c, &conditions));
    TRY(arg_i64(c, 2, &when));
    if (__builtin_mul_overflow(when, unit_ms, &when) || when > INT64_MAX - base_ms)
        return reply_error(c, "ERR invalid expire time in '%s' command", name);
    TRY(keyspace_expire(c->txn, c->argv[1], when + base_ms, conditions, &done));
    return reply_int(c, done);
}

static enum err expire(struct call *c) /* EXPIRE key seconds [NX|XX|GT|LT] */
{
    return expire_at(c, "expire", 1000, txn_now(c->txn));
}

static enum err pexpire(struct call *c) /* PEXPIRE key milliseconds [NX|XX|GT|LT] */
{
    return expire_at(c, "pexpire", 1, txn_now(c->txn));
}

static enum err expireat(struct call *c) /* EXPIREAT key unix-time-seconds [NX|XX|GT|LT] */
{
    return expire_at(c, "expireat", 1000, 0);
}

static enum err pexpireat(struct call *c) /* PEXPIREAT key unix-time-milliseconds [NX|XX|GT|LT] */
{
    return expire_at(c, "pexpireat", 1, 0);
}

static enum err persist(struct call *c) /* PERSIST key */
{
    bool done;

    TRY(keyspace_persist(c->txn, c->argv[1], &done));
    return reply_int(c, done);
}

/* -2: no such key; -1: it does not expire. Else the time (after base_ms) in units, rounded. */
static enum err time_of(struct call *c, int64_t unit_ms, msec_t base_ms)
{
    struct obj *o;
    msec_t left;
    enum err e = txn_peek(c->txn, c->argv[1], &o);

    if (e == ERR_NOT_FOUND)
        return reply_int(c, -2);
    TRY(e);
    if (o->expire_ms == 0)
        return reply_int(c, -1);
    left = o->expire_ms - base_ms;
    if (left < 0)
        left = 0;
    return reply_int(c, unit_ms == 1 ? left : left / unit_ms + (left % unit_ms >= unit_ms / 2));
}

static enum err ttl(struct call *c) /* TTL key */
{
    return time_of(c, 1000, txn_now(c->txn));
}

static enum err pttl(struct call *c) /* PTTL key */
{
    return time_of(c, 1, txn_now(c->txn));
}

static enum err expiretime(struct call *c) /* EXPIRETIME key */
{
    return time_of(c, 1000, 0);
}

static enum err pexpiretime(struct call *c) /* PEXPIRETIME key */
{
    return time_of(c, 1, 0);
}

/* ---- To another key ---- */

static enum err rename_key(struct call *c) /* RENAME key newkey */
{
    bool done;

    TRY(keyspace_rename(c->txn, c->argv[1], c->argv[2], false, &done));
    return reply_ok(c);
}

static enum err renamenx(struct call *c) /* RENAMENX key newkey */
{
    bool done;

    TRY(keyspace_rename(c->txn, c->argv[1], c->argv[2], true, &done));
    return reply_int(c, done);
}

/* The number of a database other than session's one. */
static enum err database_parse(struct call *c, size_t i, unsigned *out)
{
    int64_t number;

    TRY(arg_int(c, i, &number));
    if (number < 0 || number >= (int64_t)node_databases(c->node))
        return reply_error(c, "ERR DB index is out of range");
    *out = (unsigned)number;
    return OK;
}

static enum err copy(struct call *c) /* COPY source destination [DB destination-db] [REPLACE] */
{
    unsigned db = txn_db(c->txn);
    bool replace = false, done;

    for (size_t i = 3; i < c->argc; i++) {
        if (slice_is(c->argv[i], "REPLACE"))
            replace = true;
        else if (slice_is(c->argv[i], "DB") && i + 1 < c->argc)
            TRY(database_parse(c, ++i, &db));
        else
            return reply_syntax(c);
    }
    if (node_is_cluster(c->node) && db != 0)
        return reply_error(c, "ERR Copying to another database is not allowed in cluster mode");
    if (db == txn_db(c->txn) && slice_equal(c->argv[1], c->argv[2]))
        return reply_error(c, "ERR source and destination objects are the same");
    TRY(keyspace_copy(c->txn, c->argv[1], c->argv[2], db, replace, &done));
    return reply_int(c, done);
}

static enum err move(struct call *c) /* MOVE key db */
{
    unsigned db;
    bool done;

    if (node_is_cluster(c->node))
        return reply_error(c, "ERR MOVE is not allowed in cluster mode");
    TRY(database_parse(c, 2, &db));
    if (db == txn_db(c->txn))
        return reply_error(c, "ERR source and destination objects are the same");
    TRY(keyspace_move(c->txn, c->argv[1], db, &done));
    return reply_int(c, done);
}

/* ---- OBJECT ---- */

static enum err object_encoding(struct call *c) /* OBJECT ENCODING key */
{
    struct obj *o;
    enum err e = txn_peek(c->txn, c->argv[2], &o);

    if (e == ERR_NOT_FOUND)
        return reply_null(c);
    TRY(e);
    return reply_bulk_str(c, keyspace_encoding(o));
}

static enum err object_refcount(struct call *c) /* OBJECT REFCOUNT key */
{
    struct obj *o;
    enum err e = txn_peek(c->txn, c->argv[2], &o);

    if (e == ERR_NOT_FOUND)
        return reply_null(c);
    TRY(e);
    return reply_int(c, keyspace_references(o));
}

static enum err object_idletime(struct call *c) /* OBJECT IDLETIME key */
{
    int64_t now_s = txn_now(c->txn) / 1000;
    struct obj *o;
    enum err e = txn_peek(c->txn, c->argv[2], &o);

    if (e == ERR_NOT_FOUND)
        return reply_null(c);
    TRY(e);
    /* A key that was not used since it came from the disk does not know. */
    return reply_int(c, o->access_clock == 0 || now_s < o->access_clock ? 0 : now_s - o->access_clock);
}

static enum err object_freq(struct call *c) /* OBJECT FREQ key */
{
    struct obj *o;
    enum err e = txn_peek(c->txn, c->argv[2], &o);

    if (e == ERR_NOT_FOUND)
        return reply_null(c);
    TRY(e);
    return reply_error(c, "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that "
                          "when switching between policies at runtime LRU and LFU data will take some time to adjust.");
}

static enum err object_help(struct call *c) /* OBJECT HELP */
{
    static const char *const lines[] = {
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    Return the name of the encoding that Redis would use for the value of a key.",
        "FREQ <key>",
        "    Return how often a key is used. Not tracked without an LFU maxmemory policy.",
        "IDLETIME <key>",
        "    Return the seconds since a key was last used.",
        "REFCOUNT <key>",
        "    Return the number of references to the value of a key.",
        "HELP",
        "    Print this help.",
    };

    (void)reply_array(c, sizeof lines / sizeof lines[0]);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        (void)reply_status(c, lines[i]);
    return OK;
}

static const struct command_binding rows[] = {
    {"del", del, 0},
    {"unlink", del, 0},
    {"exists", exists, 0},
    {"touch", touch, 0},
    {"type", type, 0},
    {"expire", expire, 0},
    {"pexpire", pexpire, 0},
    {"expireat", expireat, 0},
    {"pexpireat", pexpireat, 0},
    {"persist", persist, 0},
    {"ttl", ttl, 0},
    {"pttl", pttl, 0},
    {"expiretime", expiretime, 0},
    {"pexpiretime", pexpiretime, 0},
    {"rename", rename_key, 0},
    {"renamenx", renamenx, 0},
    {"copy", copy, 0},
    {"move", move, 0},
    {"object|encoding", object_encoding, 0},
    {"object|refcount", object_refcount, 0},
    {"object|idletime", object_idletime, 0},
    {"object|freq", object_freq, 0},
    {"object|help", object_help, COMMAND_NO_TXN | COMMAND_ALONE},
};
const struct command_table cmd_keys_table = COMMAND_TABLE(rows);
