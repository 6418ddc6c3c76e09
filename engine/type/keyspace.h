/*
 * keyspace.h - what holds for keys of every type: expiry, type names, and values that go to another key.
 *
 * Effects are emitted here. A value that goes to another key is logged as one-key commands that build it (SET, RPUSH,
 * SADD, HSET, ZADD in pieces; then PEXPIREAT), and the source's end as DEL. Cost of those: O(size of the value).
 */
#ifndef CAIRN_ENGINE_TYPE_KEYSPACE_H
#define CAIRN_ENGINE_TYPE_KEYSPACE_H

#include "base/err.h"
#include "base/slice.h"
#include "engine/set/obj.h"
#include "engine/set/txn.h"

/* "string", "list", ...: what TYPE says. */
const char *keyspace_type_name(enum obj_type type);

/* What OBJECT ENCODING and OBJECT REFCOUNT say. */
const char *keyspace_encoding(const struct obj *o);
int64_t keyspace_references(const struct obj *o);

/* ---- Expiry ---- */

enum expire_if { /* conditions of EXPIRE; may be or-ed: XX with GT or LT */
    EXPIRE_IF_NONE = 1,    /* NX */
    EXPIRE_IF_SOME = 2,    /* XX */
    EXPIRE_IF_GREATER = 4, /* GT: later than the present one; none counts as never */
    EXPIRE_IF_LESS = 8,    /* LT */
};

/* Lets the key expire at this unix time (a time that has passed deletes it). *done: the conditions held. */
enum err keyspace_expire(struct txn *t, struct slice key, msec_t at_ms, unsigned conditions, bool *done) WARN_UNUSED;

/* *done: the key had an expiry. Its effect is the command's own words. */
enum err keyspace_persist(struct txn *t, struct slice key, bool *done) WARN_UNUSED;

/* ---- To another key. The slots of both keys are locked. ---- */

/* ERR_NO_KEY: no such source. With only_new an existing target stays, and *done is false. */
enum err keyspace_rename(struct txn *t, struct slice from, struct slice to, bool only_new, bool *done) WARN_UNUSED;

/* *done false: no such source, or the target exists and may not be replaced. Source and target must differ. */
enum err keyspace_copy(struct txn *t, struct slice from, struct slice to, unsigned to_db, bool replace,
                       bool *done) WARN_UNUSED;

/* To another database. *done false: no such source, or the target exists. */
enum err keyspace_move(struct txn *t, struct slice key, unsigned to_db, bool *done) WARN_UNUSED;

#endif
