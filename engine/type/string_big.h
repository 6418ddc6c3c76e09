/*
 * string_big.h - long strings: chunks of OBJ_CHUNK_BYTES, one row each. Only for string.c; others use string.h.
 *
 * Chunk i holds the bytes from i * OBJ_CHUNK_BYTES on. o->count is the length. A missing chunk, and what a chunk's row
 * does not hold of its chunk, are zeros; a row never holds bytes beyond the length.
 */
#ifndef CAIRN_ENGINE_TYPE_STRING_BIG_H
#define CAIRN_ENGINE_TYPE_STRING_BIG_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct obj;
struct txn;

/* PLAIN to BIG, with this content (which must not point into o). */
enum err string_big_make(struct txn *t, struct obj *o, struct slice value) WARN_UNUSED;

/* Bytes [from, from + size), inside the value, put together in scratch. */
enum err string_big_range(struct txn *t, struct obj *o, uint64_t from, uint64_t size, struct buf *scratch,
                          struct slice *out) WARN_UNUSED;

/* Copies bytes out; zeros beyond the end. */
enum err string_big_read(struct txn *t, struct obj *o, uint64_t from, uint8_t *out, size_t size) WARN_UNUSED;

/* Writes bytes at `at`, growing the value; only the chunks concerned are touched. */
enum err string_big_write(struct txn *t, struct obj *o, uint64_t at, struct slice bytes) WARN_UNUSED;

#endif
