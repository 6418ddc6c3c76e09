/*
 * cmd_debug.c - what tests ask for: pauses, reading everything back from the disk, a fingerprint of all data, replies
 * of every kind. Looks at keys in transactions of its own, slot by slot.
 */
#include "server/cmd/cmd_debug.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/glob.h"
#include "base/hash.h"
#include "base/log.h"
#include "engine/set/set.h"
#include "engine/store/store.h"
#include "engine/type/keyspace.h"
#include "engine/type/string.h"
#include "server/cmd/args.h"
#include "server/cmd/digest.h"
#include "server/cmd/help.h"
#include "server/conf/config.h"
#include "server/drive/cluster_service.h"
#include "server/drive/move.h"
#include "server/net/clients.h"
#include "server/node.h"
#include "server/run/session.h"
#include "server/stat/save.h"
#include "server/stat/watch.h"

enum { KEYS_PAGE = 1000, POPULATE_MAX = 100000000 };

/* ---- Time, log, errors ---- */

/* All clients wait, as if the server stood still; the bus and background work go on. */
static enum err debug_sleep(struct call *c) /* DEBUG SLEEP seconds */
{
    double seconds = 0;

    if (!num_parse_double(c->argv[2], &seconds) || seconds < 0 || seconds > 1e6)
        seconds = 0;
    if (seconds > 0) {
        msec_t until = node_now(c->node) + (msec_t)(seconds * 1000);

        clients_pause(node_clients(c->node), CLIENT_PAUSE_ALL, until);
        clock_nap_ms(until - node_now(c->node));
    }
    return reply_ok(c);
}

static enum err debug_log(struct call *c) /* DEBUG LOG message */
{
    log_event(LOG_WARNING, "DEBUG LOG: %.*s", (int)c->argv[2].size, (const char *)c->argv[2].data);
    return reply_ok(c);
}

static enum err debug_error(struct call *c) /* DEBUG ERROR text */
{
    return reply_error(c, "%.*s", (int)c->argv[2].size, (const char *)c->argv[2].data);
}

static enum err debug_crash(struct call *c) /* DEBUG SEGFAULT, DEBUG PANIC */
{
    log_event(LOG_WARNING, "crash asked for by DEBUG");
    raise(slice_is(c->argv[1], "SEGFAULT") ? SIGSEGV : SIGABRT);
    return reply_ok(c);
}

static enum err debug_expire(struct call *c) /* DEBUG SET-ACTIVE-EXPIRE 0|1 */
{
    set_expire_enable(node_set(c->node), !slice_equal(c->argv[2], SLICE_LITERAL("0")));
    return reply_ok(c);
}

/* How long each step of a slot migration takes at least: for tests that kill nodes in it. */
static enum err debug_migration_delay(struct call *c) /* DEBUG SLOT-MIGRATION-DELAY ms */
{
    int64_t ms;

    TRY(arg_i64(c, 2, &ms));
    if (node_cluster(c->node) == NULL)
        return reply_error(c, "ERR This instance has cluster support disabled");
    moves_set_delay(cluster_service_moves(node_cluster(c->node)), ms);
    return reply_ok(c);
}

/* The encodings that it is about are not kept here: only what OBJECT ENCODING reports would differ. */
static enum err debug_accepted(struct call *c) /* DEBUG QUICKLIST-PACKED-THRESHOLD size */
{
    return reply_ok(c);
}

static enum err debug_match(struct call *c) /* DEBUG STRINGMATCH-LEN length pattern */
{
    struct buf text = {0};
    int64_t size;

    if (!num_parse_i64(c->argv[2], &size) || size < 0 || size > 1 << 24)
        return reply_error(c, "ERR value is not an integer or out of range");
    memset(buf_reserve(&text, (size_t)size + 1), 'a', (size_t)size);
    text.size = (size_t)size;
    (void)reply_int(c, glob_match(c->argv[3], buf_slice(&text), false));
    buf_free(&text);
    return OK;
}

/* ---- To the disk and back ---- */

static enum err debug_drain(struct call *c) /* DEBUG DRAIN: everything is in the store's files */
{
    TRY(set_drain(node_set(c->node)));
    return reply_ok(c);
}

static enum err debug_evict(struct call *c) /* DEBUG EVICT: clean objects leave memory */
{
    set_evict_all(node_set(c->node));
    return reply_ok(c);
}

static enum err debug_flush_store(struct call *c) /* DEBUG FLUSH-STORE: memtables become files */
{
    TRY(store_flush_begin(node_store(c->node)));
    TRY(store_flush_await(node_store(c->node)));
    return reply_ok(c);
}

/* What Redis does by a dump and a load: afterwards every value comes from the disk. */
static enum err debug_loadaof(struct call *c) /* DEBUG LOADAOF */
{
    TRY(set_drain(node_set(c->node)));
    set_evict_all(node_set(c->node));
    return reply_ok(c);
}

/* The same, and the RDB file is written as by SAVE. It is not what is loaded: the data are there already. */
static enum err debug_reload(struct call *c) /* DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE] */
{
    bool save = true;

    for (size_t i = 2; i < c->argc; i++) {
        if (slice_is(c->argv[i], "NOSAVE"))
            save = false;
        else if (!slice_is(c->argv[i], "MERGE") && !slice_is(c->argv[i], "NOFLUSH"))
            return reply_error(c, "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.");
    }
    if (save && save_now(watch_save(node_watch(c->node))) != OK)
        return reply_error(c, "ERR Error trying to save the DB, check server logs");
    return debug_loadaof(c);
}

/* ---- Looking at keys ---- */

static struct txn *txn_make(struct call *c)
{
    uint64_t seed;
    struct txn *t;

    check(getrandom(&seed, sizeof seed, 0) == sizeof seed);
    t = txn_new(node_set(c->node), seed);
    check(t != NULL);
    return t;
}

static enum err txn_open(struct call *c, struct txn *t, unsigned db, struct slice key)
{
    struct txn_options options = {.now_ms = node_now(c->node), .db = db, .may_wait = true,
                                  .keep_expired = true};
    slot_t slot = hash_slot(key);

    return txn_begin(t, &slot, 1, &options);
}

static void object_text(struct call *c, const struct obj *o)
{
    static const char *const forms[] = {"plain", "packed", "big"};
    uint64_t size = o->form == OBJ_BIG ? o->count : o->value_size;
    unsigned now_s = (unsigned)(node_now(c->node) / 1000);
    char text[320];

    snprintf(
        text, sizeof text,
        "Value at:%p refcount:%lld encoding:%s serializedlength:%llu lru:%u lru_seconds_idle:%u form:%s count:%llu "
        "slot:%u last_change:%llu",
        (const void *)o, (long long)keyspace_references(o), keyspace_encoding(o), (unsigned long long)size,
        o->access_clock & 0xFFFFFF, now_s > o->access_clock ? now_s - o->access_clock : 0,
        o->form <= OBJ_BIG ? forms[o->form] : "?", (unsigned long long)o->count, o->slot,
        (unsigned long long)o->last_change);
    (void)reply_status(c, text);
}

static enum err debug_object(struct call *c) /* DEBUG OBJECT key */
{
    struct txn *t = txn_make(c);
    struct obj *o;
    enum err e = txn_open(c, t, session_db(c->session), c->argv[2]);

    if (e == OK) {
        e = txn_peek(t, c->argv[2], &o);
        if (e == OK)
            object_text(c, o);
        txn_end(t);
    }
    txn_free(t);
    return e == ERR_NOT_FOUND ? ERR_NO_KEY : e;
}

/* ---- Fingerprints ---- */

/* Added to *out. */
static enum err key_digest(struct call *c, struct txn *t, unsigned db, struct slice key, struct digest *out)
{
    struct obj *o;
    enum err e;

    TRY(txn_open(c, t, db, key));
    buf_clear(c->scratch);
    e = txn_peek(t, key, &o);
    if (e == OK)
        e = digest_value(t, o, c->scratch, out);
    txn_end(t);
    return e;
}

struct names {
    struct buf bytes; /* the names, one behind the other */
    size_t *ends;
    size_t count, capacity;
};

static void name_add(void *context, const struct obj *o)
{
    struct names *n = context;

    if (n->count == n->capacity) {
        n->capacity = n->capacity > 0 ? 2 * n->capacity : KEYS_PAGE;
        n->ends = realloc(n->ends, n->capacity * sizeof *n->ends);
        check(n->ends != NULL);
    }
    buf_append_slice(&n->bytes, obj_key(o));
    n->ends[n->count++] = n->bytes.size;
}

static enum err page_digest(struct call *c, struct txn *t, unsigned db, const struct names *n, struct digest *sum)
{
    for (size_t i = 0; i < n->count; i++) {
        size_t begin = i > 0 ? n->ends[i - 1] : 0;
        struct slice key = slice_of(n->bytes.data + begin, n->ends[i] - begin);
        struct digest d = {{0}};
        enum err e;

        digest_mix(&d, key);
        e = key_digest(c, t, db, key, &d);
        if (e == ERR_NOT_FOUND)
            continue; /* it went away meanwhile */
        TRY(e);
        digest_add(sum, slice_of(d.bytes, DIGEST_BYTES));
    }
    return OK;
}

static enum err database_digest(struct call *c, struct txn *t, unsigned db, struct digest *sum)
{
    struct names n = {{0}, NULL, 0, 0};
    uint64_t cursor = 0;
    enum err e;

    digest_mix_number(sum, db);
    do {
        n.count = 0;
        buf_clear(&n.bytes);
        e = set_scan(node_set(c->node), db, SLOTS, cursor, KEYS_PAGE, node_now(c->node), name_add, &n, &cursor);
        if (e == OK)
            e = page_digest(c, t, db, &n, sum);
    } while (e == OK && cursor != 0);
    buf_free(&n.bytes);
    free(n.ends);
    return e;
}

static enum err debug_digest(struct call *c) /* DEBUG DIGEST */
{
    struct txn *t = txn_make(c);
    struct digest sum = {{0}};
    struct buf text = {0};
    enum err e = OK;

    for (unsigned db = 0; db < node_databases(c->node) && e == OK; db++)
        if (set_keys(node_set(c->node), db) > 0)
            e = database_digest(c, t, db, &sum);
    txn_free(t);
    TRY(e);
    digest_text(&sum, &text);
    buf_append_byte(&text, 0);
    (void)reply_status(c, (const char *)text.data);
    buf_free(&text);
    return OK;
}

static enum err debug_digest_value(struct call *c) /* DEBUG DIGEST-VALUE key [key ...] */
{
    struct txn *t = txn_make(c);
    size_t mark = reply_mark(c);
    enum err e = OK;

    (void)reply_array(c, c->argc - 2);
    for (size_t i = 2; i < c->argc && e == OK; i++) {
        struct digest d = {{0}};

        e = key_digest(c, t, session_db(c->session), c->argv[i], &d);
        if (e == ERR_NOT_FOUND)
            e = OK;
        buf_clear(c->scratch);
        digest_text(&d, c->scratch);
        buf_append_byte(c->scratch, 0);
        (void)reply_status(c, (const char *)c->scratch->data);
    }
    txn_free(t);
    return e == OK ? OK : reply_take_back(c, mark, e);
}

/* ---- POPULATE ---- */

static enum err populate_one(struct call *c, struct txn *t, struct slice key, struct slice value)
{
    struct slice words[] = {SLICE_LITERAL("SET"), key, value};
    struct obj *o;
    lsn_t end = 0;
    enum err e;

    TRY(txn_open(c, t, session_db(c->session), key));
    e = txn_peek(t, key, &o);
    if (e == ERR_NOT_FOUND) {
        e = string_store(t, key, value, NULL);
        if (e == OK) {
            txn_command_end(t, (struct slice){0}, words, 3);
            e = txn_commit(t, &end);
            call_wait_for(c, end);
        }
    }
    txn_end(t);
    return e;
}

static enum err debug_populate(struct call *c) /* DEBUG POPULATE count [prefix] [size] */
{
    struct slice prefix = c->argc > 3 ? c->argv[3] : SLICE_LITERAL("key");
    struct buf key = {0}, value = {0};
    int64_t count, size = 0;
    struct txn *t;
    enum err e = OK;

    if (!num_parse_i64(c->argv[2], &count) || count < 0 || count > POPULATE_MAX)
        return reply_error(c, "ERR value is out of range, must be positive");
    if (c->argc > 4 && (!num_parse_i64(c->argv[4], &size) || size < 0 || size > (int64_t)STRING_BYTES_MAX))
        return reply_error(c, "ERR value is out of range, must be positive");
    t = txn_make(c);
    for (int64_t i = 0; i < count && e == OK; i++) {
        buf_clear(&key);
        buf_clear(&value);
        buf_append_format(&key, "%.*s:%lld", (int)prefix.size, (const char *)prefix.data, (long long)i);
        buf_append_format(&value, "value:%lld", (long long)i);
        if (size > 0) {
            if ((size_t)size > value.size)
                memset(buf_reserve(&value, (size_t)size - value.size), 0, (size_t)size - value.size);
            value.size = (size_t)size;
        }
        e = populate_one(c, t, buf_slice(&key), buf_slice(&value));
    }
    txn_free(t);
    buf_free(&key);
    buf_free(&value);
    TRY(e);
    return reply_ok(c);
}

/* ---- PROTOCOL: a reply of each kind ---- */

static enum err debug_protocol(struct call *c) /* DEBUG PROTOCOL type */
{
    static const char *const types[] = {"string", "integer", "double", "bignum",   "null", "array", "set",
                                        "map",    "attrib",  "push",   "verbatim", "true", "false"};
    struct buf *out = c->reply->out;
    bool three = reply_protocol(c) >= 3;
    size_t which = 0;

    while (which < 13 && !slice_is(c->argv[2], types[which]))
        which++;
    switch (which) {
    case 0: return reply_bulk_str(c, "Hello World");
    case 1: return reply_int(c, 12345);
    case 2: return reply_double(c, 3.141);
    case 3:
        if (!three)
            return reply_bulk_str(c, "1234567999999999999999999999999999999");
        buf_append_str(out, "(1234567999999999999999999999999999999\r\n");
        return OK;
    case 4: return reply_null(c);
    case 5:
    case 6:
        (void)(which == 5 ? reply_array(c, 3) : reply_set(c, 3));
        for (int i = 0; i < 3; i++)
            (void)reply_int(c, i);
        return OK;
    case 7:
        (void)reply_map(c, 3);
        for (int i = 0; i < 3; i++) {
            (void)reply_int(c, i);
            (void)reply_bool(c, i == 1);
        }
        return OK;
    case 8:
        if (three)
            buf_append_str(out, "|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n");
        return reply_bulk_str(c, "Some real reply following the attribute");
    case 9:
        if (!three)
            return reply_error(c, "ERR RESP2 is not supported by this command");
        (void)reply_push(c, 2);
        (void)reply_bulk_str(c, "server-cpu-usage");
        (void)reply_int(c, 42);
        return reply_bulk_str(c, "Some real reply following the push reply"); /* a push is nobody's reply */
    case 10: return reply_verbatim(c, SLICE_LITERAL("This is a verbatim\nstring"));
    case 11: return reply_bool(c, true);
    case 12: return reply_bool(c, false);
    default:
        return reply_error(
            c, "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|"
               "null|array|set|map|attrib|push|verbatim|true|false");
    }
}

/* ---- The command ---- */

static enum err help(struct call *c) /* DEBUG HELP */
{
    static const char *const lines[] = {
        "DIGEST",
        "    Output a hex signature representing the current DB content.",
        "DIGEST-VALUE <key> [<key> ...]",
        "    Output a hex signature of the values of all the specified keys.",
        "DRAIN",
        "    Write everything that changed into the store's files.",
        "ERROR <string>",
        "    Return a Redis protocol error with <string> as message. Useful for clients",
        "    unit tests to simulate Redis errors.",
        "EVICT",
        "    Drop unchanged objects from memory: they are read from the store again.",
        "FLUSH-STORE",
        "    Write the store's memtables into files.",
        "LOG <message>",
        "    Write <message> to the server log.",
        "OBJECT <key>",
        "    Show low level info about `key` and associated value.",
        "PANIC",
        "    Crash the server simulating a panic.",
        "POPULATE <count> [<prefix>] [<size>]",
        "    Create <count> string keys named key:<num>. If <prefix> is specified then",
        "    it is used instead of the 'key' prefix.",
        "PROTOCOL <type>",
        "    Reply with a test value of the specified type. <type> can be: string,",
        "    integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
        "    true, false.",
        "QUICKLIST-PACKED-THRESHOLD <size>",
        "    Accepted, without effect.",
        "RELOAD",
        "    DRAIN and EVICT: everything is read back from disk.",
        "SEGFAULT",
        "    Crash the server with sigsegv.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Setting it to 0 disables expiring keys in background when they are not",
        "    accessed (otherwise the Redis behavior). Setting it to 1 reenables back the",
        "    default.",
        "SLEEP <seconds>",
        "    Let all clients wait for <seconds>. Decimals allowed.",
        "SLOT-MIGRATION-DELAY <milliseconds>",
        "    How long each step of an atomic slot migration takes at least.",
        "STRINGMATCH-LEN <length> <pattern>",
        "    Match <pattern> against <length> times the letter a.",
        NULL,
    };

    return reply_help(c, lines);
}

static const struct {
    const char *name;
    size_t least, most; /* words in all */
    enum err (*run)(struct call *c);
} subcommands[] = {
    {"SLEEP", 3, 3, debug_sleep},
    {"LOG", 3, 3, debug_log},
    {"ERROR", 3, 3, debug_error},
    {"SEGFAULT", 2, 2, debug_crash},
    {"PANIC", 2, 2, debug_crash},
    {"SET-ACTIVE-EXPIRE", 3, 3, debug_expire},
    {"SLOT-MIGRATION-DELAY", 3, 3, debug_migration_delay},
    {"QUICKLIST-PACKED-THRESHOLD", 3, 3, debug_accepted},
    {"STRINGMATCH-LEN", 4, 4, debug_match},
    {"DRAIN", 2, 2, debug_drain},
    {"EVICT", 2, 2, debug_evict},
    {"FLUSH-STORE", 2, 2, debug_flush_store},
    {"RELOAD", 2, SIZE_MAX, debug_reload},
    {"LOADAOF", 2, 2, debug_loadaof},
    {"OBJECT", 3, 4, debug_object},
    {"DIGEST", 2, 2, debug_digest},
    {"DIGEST-VALUE", 2, SIZE_MAX, debug_digest_value},
    {"POPULATE", 3, 5, debug_populate},
    {"PROTOCOL", 3, 3, debug_protocol},
    {"HELP", 2, 2, help},
};

/* enable-debug-command: no, yes, local. */
static bool is_enabled(const struct call *c)
{
    const struct client *client = c->session->client;
    int64_t how = node_config(c->node) != NULL ? config_int(node_config(c->node), "enable-debug-command") : 1;

    return how == 1 || (how == 2 && client != NULL && client_is_local(client));
}

static enum err debug(struct call *c) /* DEBUG subcommand [...] */
{
    if (!is_enabled(c))
        return reply_error(
            c, "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can "
               "run it from a local connection, otherwise you need to set this option in the configuration "
               "file, and then restart the server.");
    for (size_t i = 0; i < sizeof subcommands / sizeof subcommands[0]; i++)
        if (slice_is(c->argv[1], subcommands[i].name) && c->argc >= subcommands[i].least &&
            c->argc <= subcommands[i].most)
            return subcommands[i].run(c);
    return reply_error(c, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try DEBUG HELP.",
                       (int)(c->argv[1].size < 128 ? c->argv[1].size : 128), (const char *)c->argv[1].data);
}

static const struct command_binding rows[] = {
    {"debug", debug, COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_COLD_EXEC},
};
const struct command_table cmd_debug_table = COMMAND_TABLE(rows);
