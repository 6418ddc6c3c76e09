/*
 * bitmap.h - strings as arrays of bits: bit 0 is the most significant bit of byte 0.
 *
 * Objects are strings, as in string.h; where a function only reads, NULL stands for an absent key: all zeros, length 0.
 */
#ifndef CAIRN_ENGINE_TYPE_BITMAP_H
#define CAIRN_ENGINE_TYPE_BITMAP_H

#include "base/buf.h"
#include "base/err.h"
#include "engine/set/obj.h"
#include "engine/set/txn.h"

#include <stdbool.h>
#include <stdint.h>

/* Bits beyond the end are 0. */
enum err bitmap_get(struct txn *t, struct obj *o, uint64_t offset, bool *bit) WARN_UNUSED;

/* Grows the value to hold the bit; changes nothing if it is held and already so. *old: what it was. */
enum err bitmap_set(struct txn *t, struct obj *o, uint64_t offset, bool bit, bool *old) WARN_UNUSED;

/* Ones in bits [from, to). */
enum err bitmap_count(struct txn *t, struct obj *o, uint64_t from, uint64_t to, uint64_t *count) WARN_UNUSED;

/* The first bit in [from, to) that equals `bit`; ERR_NOT_FOUND if none does. to is at most the length in bits. */
enum err bitmap_find(struct txn *t, struct obj *o, bool bit, uint64_t from, uint64_t to, uint64_t *at) WARN_UNUSED;

enum bitmap_operation { BITMAP_AND, BITMAP_OR, BITMAP_XOR, BITMAP_NOT };

/* Replaces out by the operation over the values, shorter ones padded with zeros; its size is the longest's. */
enum err bitmap_combine(struct txn *t, enum bitmap_operation operation, struct obj *const *values, size_t count,
                        struct buf *out) WARN_UNUSED;

/* ---- Fields: integers of 1 to 64 bits at any bit offset (BITFIELD) ---- */

enum bitmap_overflow { BITMAP_WRAP, BITMAP_SATURATE, BITMAP_FAIL };

struct bitmap_field {
    uint64_t offset; /* bits */
    uint8_t bits;    /* 1 .. 64 signed, 1 .. 63 unsigned */
    bool is_signed;
};

enum err bitmap_field_get(struct txn *t, struct obj *o, struct bitmap_field f, int64_t *value) WARN_UNUSED;
enum err bitmap_field_set(struct txn *t, struct obj *o, struct bitmap_field f, int64_t value) WARN_UNUSED;

/*
 * value + increment as the field can hold it. False if it overflows and `overflow` is BITMAP_FAIL. `value` of an
 * unsigned field is taken as 64 bits without sign, so that -1 is too large.
 */
bool bitmap_field_add(struct bitmap_field f, int64_t value, int64_t increment, enum bitmap_overflow overflow,
                      int64_t *out);

#endif
