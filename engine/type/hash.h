/*
 * hash.h - hashes: fields with values, in one packed run (PACKED) or a row each (BIG). o->count is the number of
 * fields.
 *
 * Objects passed in are hashes found by txn_read (for reading) or txn_write / txn_create (for changing). A function
 * that changes reads first: ERR_COLD means that nothing was changed. None emits effects, except through txn_delete.
 * Fields and values passed in must not point into the object. Cost: PACKED O(bytes of the run), BIG one row.
 */
#ifndef CAIRN_ENGINE_TYPE_HASH_H
#define CAIRN_ENGINE_TYPE_HASH_H

#include "base/err.h"
#include "base/num.h"
#include "base/slice.h"
#include "engine/set/obj.h"
#include "engine/set/txn.h"

/* Redis' defaults of hash-max-listpack-entries and -value: beyond them OBJECT ENCODING says "hashtable". */
enum { HASH_LISTPACK_ENTRIES_MAX = 512, HASH_LISTPACK_VALUE_MAX = 64 };

/* OBJECT ENCODING: "listpack" or "hashtable". */
const char *hash_encoding(const struct obj *o);

/* ERR_NOT_FOUND: no such field. *value borrows until the object changes or the next row function. */
enum err hash_get(struct txn *t, struct obj *o, struct slice field, struct slice *value) WARN_UNUSED;

/* o may be new and empty. *created: the field is new. */
enum err hash_set(struct txn *t, struct obj *o, struct slice field, struct slice value, bool *created) WARN_UNUSED;

/* Sets `pairs` fields from words field, value, field, value ...; *created counts the new ones. */
enum err hash_set_many(struct txn *t, struct obj *o, const struct slice *words, size_t pairs,
                       uint64_t *created) WARN_UNUSED;

/* Removes these fields; *removed counts those that were there. If none is left the key is deleted and o is gone. */
enum err hash_delete(struct txn *t, struct obj *o, const struct slice *fields, size_t count,
                     uint64_t *removed) WARN_UNUSED;

/* Adds to the number in the field (absent: 0). ERR_NOT_INTEGER: the field holds something else. ERR_OVERFLOW. */
enum err hash_increment(struct txn *t, struct obj *o, struct slice field, int64_t by, int64_t *result) WARN_UNUSED;

/* The same for long doubles; ERR_NOT_FLOAT, ERR_NAN. Emits the effect HSET key field result. `out` gets the text. */
enum err hash_increment_float(struct txn *t, struct obj *o, struct slice field, long double by,
                              char out[NUM_LONG_TEXT_MAX], size_t *size) WARN_UNUSED;

#endif
