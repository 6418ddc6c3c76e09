/*
 * string.h - strings: a run of bytes, in the object itself (PLAIN) or, when long, in chunks of the store (BIG).
 *
 * Objects passed in are strings found by txn_read (for reading) or txn_write / txn_create (for changing). A function
 * that changes reads first: ERR_COLD means that nothing was changed. None emits effects. Lengths are bytes.
 */
#ifndef CAIRN_ENGINE_TYPE_STRING_H
#define CAIRN_ENGINE_TYPE_STRING_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "engine/set/obj.h"
#include "engine/set/txn.h"
#include "engine/type/string_big.h"

#define STRING_BYTES_MAX ((uint64_t)512 << 20) /* Redis' default proto-max-bulk-len */

static inline uint64_t string_length(const struct obj *o)
{
    return o->form == OBJ_BIG ? o->count : o->value_size;
}

/* OBJECT ENCODING: "int", "embstr" or "raw". */
const char *string_encoding(const struct obj *o);

/*
 * The whole value. It borrows from the object (until that changes) or, if BIG, is put together in scratch, which is
 * cleared first.
 */
static inline enum err string_get(struct txn *t, struct obj *o, struct buf *scratch, struct slice *out)
{
    if (__builtin_expect(o->form == OBJ_PLAIN, 1)) {
        *out = obj_value(o);
        return OK;
    }
    return string_big_range(t, o, 0, o->count, scratch, out);
}

/* Bytes [from, from + size) of the value, which must lie inside it. Borrows as string_get does. */
enum err string_range(struct txn *t, struct obj *o, uint64_t from, uint64_t size, struct buf *scratch,
                      struct slice *out) WARN_UNUSED;

/* Copies `size` bytes from `from` on; beyond the end they are zeros. For few bytes. */
enum err string_read(struct txn *t, struct obj *o, uint64_t from, uint8_t *out, size_t size) WARN_UNUSED;

/* OK if a value may have bytes [at, at + size), else ERR_TOO_BIG: for a command to ask before it creates the key. */
enum err string_size_check(const struct txn *t, uint64_t at, uint64_t size) WARN_UNUSED;

/* Makes o, of whatever type, the string `value` (which must not point into o). Drops the marks; the expiry too unless
 * it is kept. */
enum err string_set(struct txn *t, struct obj *o, struct slice value, bool keep_expiry) WARN_UNUSED;

/* Makes the key the string `value` without expiry, whatever it was before. *out may be NULL. The way of a plain SET:
 * one look-up, and the object's memory is used again. */
enum err string_store(struct txn *t, struct slice key, struct slice value, struct obj **out) WARN_UNUSED;

/* Edits: the value grows as needed, gaps are zeros. `bytes` must not point into o. ERR_TOO_BIG beyond
 * txn_string_max (not in replay). */
enum err string_append(struct txn *t, struct obj *o, struct slice bytes) WARN_UNUSED;
enum err string_write(struct txn *t, struct obj *o, uint64_t at, struct slice bytes) WARN_UNUSED;
enum err string_grow(struct txn *t, struct obj *o, uint64_t length) WARN_UNUSED; /* a no-op if it is that long */

/*
 * A walk over the bytes [from, to) of a value, in runs; what lies between two runs, and behind the last, is zeros. A
 * long sparse bitmap costs only what is there. `to` may lie beyond the end. The object must not change meanwhile. A
 * long walk where waiting is not allowed answers ERR_COLD when it begins.
 *
 *     struct string_walk w;
 *     TRY(string_walk_begin(t, o, from, to, &w));
 *     while ((e = string_walk_next(&w)) == OK) ... w.offset, w.run ...    (borrowed until the next call)
 *     string_walk_end(&w);
 *     if (e != ERR_NOT_FOUND) return e;
 */
struct string_walk {
    uint64_t offset;  /* of run.data[0] in the value */
    struct slice run; /* never empty */
    struct obj *o;    /* the rest is private */
    uint64_t from, to;
    bool done, open;
    struct txn_cursor cursor;
};
enum err string_walk_begin(struct txn *t, struct obj *o, uint64_t from, uint64_t to, struct string_walk *w) WARN_UNUSED;
enum err string_walk_next(struct string_walk *w) WARN_UNUSED;
void string_walk_end(struct string_walk *w);

#endif
