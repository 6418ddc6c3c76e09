/*
 * keyspace.c - what holds for keys of every type.
 */
#include "engine/type/keyspace.h"

#include "base/check.h"
#include "base/num.h"
#include "engine/type/hash.h"
#include "engine/type/list.h"
#include "engine/type/sets.h"
#include "engine/type/string.h"
#include "engine/type/zset.h"
#include "engine/type/value_copy.h"

enum { SHARED_INTEGERS = 10000 }; /* Redis shares the objects of 0 .. 9999 and says so in OBJECT REFCOUNT */

const char *keyspace_type_name(enum obj_type type)
{
    switch (type) {
    case OBJ_STRING: return "string";
    case OBJ_LIST: return "list";
    case OBJ_SET: return "set";
    case OBJ_ZSET: return "zset";
    case OBJ_HASH: return "hash";
    case OBJ_STREAM: return "stream";
    case OBJ_ANY: break;
    }
    return "none";
}

const char *keyspace_encoding(const struct obj *o)
{
    switch (o->type) {
    case OBJ_STRING: return string_encoding(o);
    case OBJ_LIST: return list_encoding(o);
    case OBJ_SET: return sets_encoding(o);
    case OBJ_ZSET: return zset_encoding(o);
    case OBJ_HASH: return hash_encoding(o);
    case OBJ_STREAM: return "stream";
    default: return "unknown";
    }
}

int64_t keyspace_references(const struct obj *o)
{
    int64_t number;

    if (o->type == OBJ_STRING && o->form == OBJ_PLAIN && (o->marks & OBJ_MARK_RAW) == 0 &&
        num_parse_i64(obj_value(o), &number) && number >= 0 && number < SHARED_INTEGERS)
        return INT32_MAX;
    return 1;
}

/* ---- Expiry ---- */

static void log_expiry(struct txn *t, struct obj *o)
{
    char text[NUM_TEXT_MAX];

    TXN_EFFECT(t, o, SLICE_LITERAL("PEXPIREAT"), obj_key(o), slice_of(text, num_format_i64(text, o->expire_ms)));
}

static bool condition_holds(const struct obj *o, msec_t at_ms, unsigned conditions)
{
    bool has = o->expire_ms != 0;

    if (has ? conditions & EXPIRE_IF_NONE : conditions & (EXPIRE_IF_SOME | EXPIRE_IF_GREATER))
        return false;
    if (conditions & EXPIRE_IF_GREATER && at_ms <= o->expire_ms)
        return false;
    return !(conditions & EXPIRE_IF_LESS && has && at_ms >= o->expire_ms);
}

enum err keyspace_expire(struct txn *t, struct slice key, msec_t at_ms, unsigned conditions, bool *done)
{
    struct obj *o;
    enum err e = txn_write(t, key, OBJ_ANY, &o);

    if (e == ERR_NOT_FOUND) {
        *done = false;
        return OK;
    }
    TRY(e);
    *done = condition_holds(o, at_ms, conditions);
    if (!*done)
        return OK;
    if (txn_is_replay(t)) { /* the primary decides when a key is gone; 0 would mean no expiry */
        txn_expire(t, o, at_ms > 0 ? at_ms : 1);
    } else if (at_ms <= txn_now(t)) {
        txn_delete(t, o);
    } else {
        txn_expire(t, o, at_ms);
        log_expiry(t, o);
    }
    return OK;
}

enum err keyspace_persist(struct txn *t, struct slice key, bool *done)
{
    struct obj *o;
    enum err e = txn_write(t, key, OBJ_ANY, &o);

    *done = false;
    if (e != OK)
        return e == ERR_NOT_FOUND ? OK : e;
    if (o->expire_ms != 0) {
        txn_expire(t, o, 0);
        *done = true;
    }
    return OK;
}

/* ---- To another key ---- */

/* The target, or NULL if absent. */
static enum err target_find(struct txn *t, unsigned db, struct slice key, struct obj **out)
{
    unsigned before = txn_db(t);
    struct obj *o = NULL;
    enum err e;

    txn_select(t, db);
    e = txn_write(t, key, OBJ_ANY, &o);
    txn_select(t, before);
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    *out = e == OK ? o : NULL;
    return OK;
}

/* Makes key the same as `from`; `old` is what it was. */
static enum err target_build(struct txn *t, struct obj *from, unsigned db, struct slice key, struct obj *old)
{
    unsigned before = txn_db(t);
    struct obj *o;
    enum err e;

    txn_select(t, db);
    if (old != NULL)
        txn_delete(t, old);
    o = txn_create(t, key, from->type);
    e = value_copy(t, from, o);
    if (e == OK && from->expire_ms != 0) {
        txn_expire(t, o, from->expire_ms);
        log_expiry(t, o);
    }
    txn_select(t, before);
    return e;
}

enum err keyspace_rename(struct txn *t, struct slice from, struct slice to, bool only_new, bool *done)
{
    struct obj *source, *old;
    enum err e = txn_write(t, from, OBJ_ANY, &source);

    if (e == ERR_NOT_FOUND)
        return ERR_NO_KEY;
    TRY(e);
    if (slice_equal(from, to)) {
        *done = !only_new;
        return OK;
    }
    TRY(target_find(t, txn_db(t), to, &old));
    *done = old == NULL || !only_new;
    if (!*done)
        return OK;
    TRY(value_warm(t, source));
    TRY(target_build(t, source, txn_db(t), to, old));
    txn_delete(t, source);
    return OK;
}

enum err keyspace_copy(struct txn *t, struct slice from, struct slice to, unsigned to_db, bool replace, bool *done)
{
    struct obj *source, *old;
    enum err e = txn_read(t, from, OBJ_ANY, &source);

    check(to_db != txn_db(t) || !slice_equal(from, to));
    *done = false;
    if (e != OK)
        return e == ERR_NOT_FOUND ? OK : e;
    TRY(target_find(t, to_db, to, &old));
    if (old != NULL && !replace)
        return OK;
    TRY(value_warm(t, source));
    *done = true;
    return target_build(t, source, to_db, to, old);
}

enum err keyspace_move(struct txn *t, struct slice key, unsigned to_db, bool *done)
{
    struct obj *source, *old;
    enum err e = txn_write(t, key, OBJ_ANY, &source);

    check(to_db != txn_db(t));
    *done = false;
    if (e != OK)
        return e == ERR_NOT_FOUND ? OK : e;
    TRY(target_find(t, to_db, key, &old));
    if (old != NULL)
        return OK;
    TRY(value_warm(t, source));
    TRY(target_build(t, source, to_db, key, NULL));
    txn_delete(t, source);
    *done = true;
    return OK;
}
