/*
 * value_copy.h - a value of any type and form, copied to another key of the same type.
 */
#ifndef CAIRN_ENGINE_TYPE_VALUE_COPY_H
#define CAIRN_ENGINE_TYPE_VALUE_COPY_H

#include "base/err.h"

struct obj;
struct txn;

/* Reads a BIG value once, if nothing was changed yet: a disk that is needed is then noticed (ERR_COLD) in time. */
enum err value_warm(struct txn *t, struct obj *o) WARN_UNUSED;

/*
 * `to` is new and empty, of from's type, and gets its value, count and marks, not its expiry. Emits one-key effects
 * that build it: SET, RPUSH, SADD, HSET or ZADD, in pieces. The key of a BIG value gets rows of its own.
 */
enum err value_copy(struct txn *t, struct obj *from, struct obj *to) WARN_UNUSED;

#endif
