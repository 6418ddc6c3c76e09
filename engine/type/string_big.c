/*
 * string_big.c - long strings: an edit touches only the chunks concerned.
 *
 * The chunks that are needed for an edit are read before the first is written, so that ERR_COLD changes nothing.
 */
#include "engine/type/string_big.h"

#include "base/check.h"
#include "engine/set/obj.h"
#include "engine/set/txn.h"
#include "engine/type/string.h"

/* What is stored of a chunk; empty if nothing. Borrowed until the next row function. */
static enum err chunk_get(struct txn *t, struct obj *o, uint64_t index, struct slice *out)
{
    struct slice row = {0};

    if (index * OBJ_CHUNK_BYTES < o->count) {
        enum err e = txn_index_get(t, o, index, &row);

        if (e != OK && e != ERR_NOT_FOUND)
            return e;
        if (row.size > OBJ_CHUNK_BYTES)
            return err_set(ERR_CORRUPT, "chunk %llu of a string has %zu bytes", (unsigned long long)index, row.size);
    }
    *out = row;
    return OK;
}

enum err string_big_make(struct txn *t, struct obj *o, struct slice value)
{
    TRY(txn_make_big(t, o));
    for (size_t at = 0; at < value.size; at += OBJ_CHUNK_BYTES) {
        size_t size = value.size - at < OBJ_CHUNK_BYTES ? value.size - at : OBJ_CHUNK_BYTES;

        txn_index_put(t, o, at / OBJ_CHUNK_BYTES, slice_of(value.data + at, size));
    }
    o->count = value.size;
    txn_changed(t, o);
    return OK;
}

enum err string_big_read(struct txn *t, struct obj *o, uint64_t from, uint8_t *out, size_t size)
{
    while (size > 0) {
        size_t skip = from % OBJ_CHUNK_BYTES, want = OBJ_CHUNK_BYTES - skip, have;
        struct slice row;

        if (want > size)
            want = size;
        TRY(chunk_get(t, o, from / OBJ_CHUNK_BYTES, &row));
        have = row.size > skip ? row.size - skip : 0;
        if (have > want)
            have = want;
        if (have > 0)
            memcpy(out, row.data + skip, have);
        memset(out + have, 0, want - have);
        out += want;
        from += want;
        size -= want;
    }
    return OK;
}

enum err string_big_range(struct txn *t, struct obj *o, uint64_t from, uint64_t size, struct buf *scratch,
                          struct slice *out)
{
    struct string_walk w;
    enum err e;

    check(from + size <= o->count);
    buf_clear(scratch);
    buf_reserve(scratch, size);
    if (size <= 2 * OBJ_CHUNK_BYTES) { /* few look-ups are cheaper than a walk */
        TRY(string_big_read(t, o, from, scratch->data, size));
        scratch->size = size;
        *out = buf_slice(scratch);
        return OK;
    }
    TRY(string_walk_begin(t, o, from, from + size, &w));
    while ((e = string_walk_next(&w)) == OK) {
        size_t gap = w.offset - from - scratch->size;

        memset(scratch->data + scratch->size, 0, gap);
        scratch->size += gap;
        buf_append_slice(scratch, w.run);
    }
    string_walk_end(&w);
    if (e != ERR_NOT_FOUND)
        return e;
    memset(scratch->data + scratch->size, 0, size - scratch->size);
    scratch->size = size;
    *out = buf_slice(scratch);
    return OK;
}

enum err string_big_write(struct txn *t, struct obj *o, uint64_t at, struct slice bytes)
{
    uint64_t end = at + bytes.size, last = (end - 1) / OBJ_CHUNK_BYTES;
    uint8_t chunk[OBJ_CHUNK_BYTES];

    check(bytes.size > 0);
    if (end % OBJ_CHUNK_BYTES != 0 && last != at / OBJ_CHUNK_BYTES) {
        struct slice warm; /* the last chunk is read again below, after the first was written */

        TRY(chunk_get(t, o, last, &warm));
    }
    while (bytes.size > 0) {
        uint64_t index = at / OBJ_CHUNK_BYTES;
        size_t low = at % OBJ_CHUNK_BYTES, size = OBJ_CHUNK_BYTES - low, whole;

        if (size > bytes.size)
            size = bytes.size;
        if (size == OBJ_CHUNK_BYTES) {
            txn_changed(t, o);
            txn_index_put(t, o, index, slice_of(bytes.data, size));
        } else {
            struct slice old;

            TRY(chunk_get(t, o, index, &old));
            whole = low + size > old.size ? low + size : old.size;
            if (old.size > 0)
                memcpy(chunk, old.data, old.size);
            if (old.size < low)
                memset(chunk + old.size, 0, low - old.size);
            memcpy(chunk + low, bytes.data, size);
            txn_changed(t, o);
            txn_index_put(t, o, index, slice_of(chunk, whole));
        }
        at += size;
        bytes = slice_of(bytes.data + size, bytes.size - size);
    }
    if (o->count < end)
        o->count = end;
    txn_changed(t, o);
    return OK;
}
