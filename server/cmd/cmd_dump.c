/*
 * cmd_dump.c - a value out and in. A payload is checked as a whole before anything is changed: whatever a client sends
 * as one either becomes the key's value or leaves everything as it was.
 *
 * A large payload is checked and, but for strings, built before its slot is locked (COMMAND_PREPARES): the slot's other keys wait
 * only for as long as it takes to put it into its place and into the log.
 *
 * Logged as RESTORE key time payload REPLACE ABSTTL, which gives the key its whole state whatever it was before.
 */
#include "server/cmd/cmd_dump.h"

#include "base/check.h"
#include "persistence/rdb/rdb_object.h"
#include "server/cmd/args.h"
#include "server/run/execute.h"

#include <stdlib.h>

enum {
    PAYLOAD_QUICK = 64 << 10, /* bytes that are checked and built in well under a millisecond */
    EFFECT_WORDS = 256,       /* room for what stands around key and payload in the effect */
};

static enum err dump(struct call *c) /* DUMP key */
{
    struct obj *o;
    enum err e = txn_read(c->txn, c->argv[1], OBJ_ANY, &o);

    if (e == ERR_NOT_FOUND)
        return reply_null(c);
    TRY(e);
    TRY(rdb_object_dump(c->txn, o, true, c->scratch));
    return reply_bulk(c, buf_slice(c->scratch));
}

struct restore_options {
    bool replace, absolute;
    int64_t idle_s, freq; /* -1: not said */
};

static enum err options_parse(struct call *c, struct restore_options *o)
{
    *o = (struct restore_options){.idle_s = -1, .freq = -1};
    for (size_t i = 4; i < c->argc; i++) {
        if (slice_is(c->argv[i], "REPLACE")) {
            o->replace = true;
        } else if (slice_is(c->argv[i], "ABSTTL")) {
            o->absolute = true;
        } else if (slice_is(c->argv[i], "IDLETIME") && i + 1 < c->argc && o->freq == -1) {
            TRY(arg_i64(c, ++i, &o->idle_s));
            if (o->idle_s < 0)
                return reply_error(c, "ERR Invalid IDLETIME value, must be >= 0");
        } else if (slice_is(c->argv[i], "FREQ") && i + 1 < c->argc && o->idle_s == -1) {
            TRY(arg_i64(c, ++i, &o->freq));
            if (o->freq < 0 || o->freq > 255)
                return reply_error(c, "ERR Invalid FREQ value, must be >= 0 and <= 255");
        } else {
            return reply_syntax(c);
        }
    }
    return OK;
}

/* The expiry that the third word means; 0: none. */
static enum err expiry_parse(struct call *c, bool absolute, msec_t *out)
{
    int64_t ttl;

    TRY(arg_i64(c, 2, &ttl));
    if (ttl < 0)
        return reply_error(c, "ERR Invalid TTL value, must be >= 0");
    if (ttl != 0 && !absolute && __builtin_add_overflow(ttl, txn_now(c->txn), &ttl))
        return reply_error(c, "ERR invalid expire time in 'restore' command");
    *out = ttl;
    return OK;
}

/* ---- Before the slot is locked ---- */

struct restore_prepared {
    struct prepared base;
    struct slice payload; /* which one this is about */
    enum err verified, checked;
    struct obj *loose;    /* the value; NULL: it is built in place */
};

static void prepared_free(struct prepared *base)
{
    struct restore_prepared *p = (struct restore_prepared *)base;

    txn_loose_free(p->loose);
    free(p);
}

static void build_loose(struct call *c, struct restore_prepared *p, enum obj_type type)
{
    const struct txn_options options = {.now_ms = c->executor->now_ms, .db = c->session->db, .may_wait = true};
    struct txn *t = c->executor->txn;

    if (txn_begin(t, NULL, 0, &options) != OK)
        return;
    p->loose = txn_loose(t, c->argv[1], type);
    if (rdb_payload_apply(t, p->loose, p->payload) != OK) {
        txn_loose_free(p->loose);
        p->loose = NULL;
        err_clear();
    }
    txn_loose_end(t);
    txn_end(t);
}

static enum err restore_prepare(struct call *c)
{
    struct restore_prepared *p;
    enum obj_type type;
    uint64_t count;

    if (c->argv[3].size <= PAYLOAD_QUICK)
        return OK;
    p = calloc(1, sizeof *p);
    check(p != NULL);
    *p = (struct restore_prepared){.base.free = prepared_free, .payload = c->argv[3]};
    c->executor->prepared = &p->base;
    p->verified = rdb_payload_verify(p->payload);
    p->checked = p->verified == OK ? rdb_payload_check(p->payload, &count) : ERR_INVALID;
    if (p->checked == OK && rdb_payload_type(p->payload, &type) == OK && type != OBJ_STRING)
        build_loose(c, p, type);
    if (p->checked == OK)
        txn_effect_room(c->executor->txn, EFFECT_WORDS + c->argv[1].size + p->payload.size);
    err_clear();
    return OK;
}

static struct restore_prepared *prepared_of(const struct call *c)
{
    struct restore_prepared *p = c->executor != NULL ? (struct restore_prepared *)c->executor->prepared : NULL;

    return p != NULL && p->payload.data == c->argv[3].data ? p : NULL;
}

/* ---- RESTORE ---- */

static enum err payload_check(struct call *c)
{
    const struct restore_prepared *p = prepared_of(c);
    uint64_t count;
    enum err e;

    if (p == NULL && c->argv[3].size > PAYLOAD_QUICK && !txn_may_wait(c->txn))
        return ERR_COLD;
    if ((p != NULL ? p->verified : rdb_payload_verify(c->argv[3])) != OK)
        return reply_error(c, "ERR DUMP payload version or checksum are wrong");
    e = p != NULL ? p->checked : rdb_payload_check(c->argv[3], &count);
    return e == OK ? OK : reply_error(c, "ERR Bad data format");
}

static void access_set(struct call *c, struct obj *o, int64_t idle_s)
{
    int64_t now_s = txn_now(c->txn) / 1000;

    if (idle_s >= 0)
        o->access_clock = idle_s < now_s ? (uint32_t)(now_s - idle_s) : 1;
}

static void log_restore(struct call *c, struct obj *o, msec_t expire_ms)
{
    char text[NUM_TEXT_MAX];

    TXN_EFFECT(c->txn, o, SLICE_LITERAL("RESTORE"), obj_key(o), slice_of(text, num_format_i64(text, expire_ms)),
               c->argv[3], SLICE_LITERAL("REPLACE"), SLICE_LITERAL("ABSTTL"));
}

static enum err restore(struct call *c) /* RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ n] */
{
    struct restore_options options;
    struct restore_prepared *p;
    enum obj_type type;
    struct obj *o = NULL;
    msec_t expire_ms = 0;
    enum err e;

    if (c->txn == NULL)
        return restore_prepare(c);
    TRY(options_parse(c, &options));
    e = txn_write(c->txn, c->argv[1], OBJ_ANY, &o);
    if (e == OK && !options.replace)
        return reply_error(c, "BUSYKEY Target key name already exists.");
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    TRY(expiry_parse(c, options.absolute, &expire_ms));
    TRY(payload_check(c));
    TRY(rdb_payload_type(c->argv[3], &type));
    if (expire_ms != 0 && expire_ms <= txn_now(c->txn) && !txn_is_replay(c->txn)) {
        if (o != NULL)
            txn_delete(c->txn, o);
        return reply_ok(c);
    }
    if (o != NULL)
        txn_reset(c->txn, o, type);
    else
        o = txn_create(c->txn, c->argv[1], type);
    p = prepared_of(c);
    if (p != NULL && p->loose != NULL)
        txn_adopt(c->txn, o, p->loose);
    else
        TRY(rdb_payload_apply(c->txn, o, c->argv[3]));
    if (expire_ms != 0)
        txn_expire(c->txn, o, expire_ms);
    access_set(c, o, options.idle_s);
    log_restore(c, o, expire_ms);
    return reply_ok(c);
}

static const struct command_binding rows[] = {
    {"dump", dump, 0},
    {"restore", restore, COMMAND_PREPARES},
    {"restore-asking", restore, COMMAND_PREPARES},
};
const struct command_table cmd_dump_table = COMMAND_TABLE(rows);
