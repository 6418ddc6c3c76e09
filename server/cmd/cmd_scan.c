/*
 * cmd_scan.c - the SCAN family. A page is collected in the call's scratch, since the cursor is written in front of it.
 */
#include "server/cmd/cmd_scan.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/glob.h"
#include "base/num.h"
#include "engine/set/set.h"
#include "engine/type/element_scan.h"
#include "engine/type/keyspace.h"
#include "server/cmd/args.h"
#include "server/node.h"
#include "server/run/execute.h"
#include "server/run/session.h"

enum { COUNT_DEFAULT = 10, CURSOR_TEXT_MAX = 40 };

struct page {
    struct call *call;
    struct slice pattern; /* data NULL: everything matches */
    struct slice type;    /* data NULL: any */
    uint64_t count;
    bool no_values, scores;
    size_t words;
    msec_t now_ms;        /* keys: those whose time has come are collected in `expired` instead */
    struct buf expired;   /* size, bytes; size, bytes ... */
};

/* What strtoull reads up to the end or a zero byte, as in Redis: signs, leading zeros and no digits at all included. */
static bool cursor_parse(struct slice text, uint64_t *out)
{
    char copy[CURSOR_TEXT_MAX], *end;

    if (text.size >= sizeof copy)
        return false;
    if (text.size > 0)
        memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    if (isspace((unsigned char)copy[0]))
        return false;
    errno = 0;
    *out = strtoull(copy, &end, 10);
    return *end == '\0' && errno != ERANGE;
}

/* The options from word `first` on. */
static enum err options_parse(struct call *c, size_t first, bool keys, bool hash, struct page *p)
{
    *p = (struct page){.call = c, .count = COUNT_DEFAULT};
    for (size_t i = first; i < c->argc; i++) {
        bool more = i + 1 < c->argc;
        int64_t count;

        if (slice_is(c->argv[i], "COUNT") && more) {
            TRY(arg_i64(c, ++i, &count));
            if (count < 1)
                return reply_syntax(c);
            p->count = (uint64_t)count;
        } else if (slice_is(c->argv[i], "MATCH") && more) {
            p->pattern = c->argv[++i];
            if (slice_equal(p->pattern, SLICE_LITERAL("*")))
                p->pattern.data = NULL;
        } else if (slice_is(c->argv[i], "TYPE") && more && keys) {
            p->type = c->argv[++i];
        } else if (slice_is(c->argv[i], "NOVALUES") && hash) {
            p->no_values = true;
        } else {
            return reply_syntax(c);
        }
    }
    return OK;
}

static void word_add(struct page *p, struct slice word)
{
    buf_append(p->call->scratch, &word.size, sizeof word.size);
    buf_append_slice(p->call->scratch, word);
    p->words++;
}

static bool matches(const struct page *p, struct slice name)
{
    return p->pattern.data == NULL || glob_match(p->pattern, name, false);
}

static enum err page_reply(struct page *p, uint64_t next)
{
    struct call *c = p->call;
    const uint8_t *at = c->scratch->data;
    char text[NUM_TEXT_MAX];

    (void)reply_array(c, 2);
    (void)reply_bulk(c, slice_of(text, num_format_u64(text, next)));
    (void)reply_array(c, p->words);
    for (size_t i = 0; i < p->words; i++) {
        size_t size;

        memcpy(&size, at, sizeof size);
        (void)reply_bulk(c, slice_of(at + sizeof size, size));
        at += sizeof size + size;
    }
    return OK;
}

/* ---- Elements ---- */

static void element_each(void *context, struct slice name, struct slice value)
{
    struct page *p = context;
    char text[NUM_TEXT_MAX];
    double score = 0;

    if (!matches(p, name))
        return;
    word_add(p, name);
    if (p->scores) {
        if (value.size == sizeof score)
            memcpy(&score, value.data, sizeof score);
        word_add(p, slice_of(text, num_format_double(text, score)));
    } else if (!p->no_values) {
        word_add(p, value);
    }
}

enum err cmd_scan_elements(struct call *c, enum obj_type type)
{
    uint64_t cursor, next;
    struct page p = {.call = c};
    struct obj *o;
    enum err e;

    if (!cursor_parse(c->argv[2], &cursor))
        return reply_error(c, "ERR invalid cursor");
    e = txn_read(c->txn, c->argv[1], type, &o);
    if (e == ERR_NOT_FOUND)
        return page_reply(&p, 0);
    TRY(e);
    TRY(options_parse(c, 3, false, type == OBJ_HASH, &p));
    p.scores = type == OBJ_ZSET;
    p.no_values |= type == OBJ_SET;
    TRY(element_scan(c->txn, o, cursor, p.count, element_each, &p, &next));
    return page_reply(&p, next);
}

static enum err hscan(struct call *c) /* HSCAN key cursor [MATCH pattern] [COUNT count] [NOVALUES] */
{
    return cmd_scan_elements(c, OBJ_HASH);
}

static enum err sscan(struct call *c) /* SSCAN key cursor [MATCH pattern] [COUNT count] */
{
    return cmd_scan_elements(c, OBJ_SET);
}

/* ---- Keys ---- */

static void key_each(void *context, const struct obj *o)
{
    struct page *p = context;

    if (o->expire_ms != 0 && o->expire_ms <= p->now_ms) {
        struct slice key = obj_key(o);

        buf_append(&p->expired, &key.size, sizeof key.size);
        buf_append_slice(&p->expired, key);
        return;
    }
    if (p->type.data != NULL && !slice_is(p->type, keyspace_type_name(o->type)))
        return;
    if (matches(p, obj_key(o)))
        word_add(p, obj_key(o));
}

/* Who walks over keys that have expired takes them along, as in Redis. */
static enum err expired_remove(struct page *p)
{
    struct call *c = p->call;
    enum err e = OK;

    for (size_t at = 0, size; at < p->expired.size && e == OK; at += sizeof size + size) {
        memcpy(&size, p->expired.data + at, sizeof size);
        e = execute_expire(c->executor, session_db(c->session), slice_of(p->expired.data + at + sizeof size, size));
        if (e == ERR_NOT_FOUND)
            e = OK;
    }
    buf_free(&p->expired);
    return e;
}

static enum err scan(struct call *c) /* SCAN cursor [MATCH pattern] [COUNT count] [TYPE type] */
{
    uint64_t cursor, next;
    struct page p;
    enum err e;

    if (!cursor_parse(c->argv[1], &cursor))
        return reply_error(c, "ERR invalid cursor");
    TRY(options_parse(c, 2, true, false, &p));
    p.now_ms = node_now(c->node);
    /* 0: expired keys come too */
    e = set_scan(node_set(c->node), session_db(c->session), SLOTS, cursor, p.count, 0, key_each, &p, &next);
    if (e == OK)
        e = expired_remove(&p);
    buf_free(&p.expired);
    return e == OK ? page_reply(&p, next) : e;
}

static const struct command_binding rows[] = {
    {"hscan", hscan, 0},
    {"sscan", sscan, 0},
    {"scan", scan, COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_COLD_EXEC},
};
const struct command_table cmd_scan_table = COMMAND_TABLE(rows);
