/*
 * string.c - strings: which form a value has, and edits of the short form.
 *
 * (1) A value of up to OBJ_STRING_PLAIN_MAX bytes that was set whole is PLAIN; one that grows beyond becomes BIG and
 *     stays it until it is set anew.
 * (2) An edit leaves OBJ_MARK_RAW, a set removes it: OBJECT ENCODING depends on it.
 */
#include "engine/type/string.h"

#include "base/check.h"
#include "base/num.h"
#include "engine/type/element_walk.h"

enum { EMBSTR_MAX = 44, INTEGER_TEXT_MAX = 20 };

const char *string_encoding(const struct obj *o)
{
    int64_t number;

    if (o->form == OBJ_BIG || (o->marks & OBJ_MARK_RAW) != 0)
        return "raw";
    if (o->value_size <= INTEGER_TEXT_MAX && num_parse_i64(obj_value(o), &number))
        return "int";
    return o->value_size <= EMBSTR_MAX ? "embstr" : "raw";
}

enum err string_range(struct txn *t, struct obj *o, uint64_t from, uint64_t size, struct buf *scratch,
                      struct slice *out)
{
    check(from + size <= string_length(o));
    if (o->form == OBJ_BIG)
        return string_big_range(t, o, from, size, scratch, out);
    *out = slice_of(o->value + from, size);
    return OK;
}

enum err string_read(struct txn *t, struct obj *o, uint64_t from, uint8_t *out, size_t size)
{
    size_t have;

    if (o->form == OBJ_BIG)
        return string_big_read(t, o, from, out, size);
    have = from < o->value_size ? o->value_size - from : 0;
    if (have > size)
        have = size;
    if (have > 0)
        memcpy(out, o->value + from, have);
    memset(out + have, 0, size - have);
    return OK;
}

enum err string_set(struct txn *t, struct obj *o, struct slice value, bool keep_expiry)
{
    if (__builtin_expect(o->type != OBJ_STRING || o->form != OBJ_PLAIN, 0)) {
        msec_t expire_ms = keep_expiry ? o->expire_ms : 0;

        txn_reset(t, o, OBJ_STRING);
        if (expire_ms != 0)
            txn_expire(t, o, expire_ms);
    } else if (o->expire_ms != 0 && !keep_expiry) {
        txn_expire(t, o, 0);
    }
    o->marks = 0;
    if (value.size > OBJ_STRING_PLAIN_MAX) {
        o->value_size = 0;
        return string_big_make(t, o, value);
    }
    obj_value_set(o, value);
    txn_changed(t, o);
    return OK;
}

enum err string_store(struct txn *t, struct slice key, struct slice value, struct obj **out)
{
    struct obj *o;
    enum err e = txn_write(t, key, OBJ_ANY, &o);

    if (e == ERR_NOT_FOUND) {
        txn_size_hint(t, value.size <= OBJ_STRING_PLAIN_MAX ? value.size : 0);
        o = txn_create(t, key, OBJ_STRING);
    } else if (e != OK) {
        return e;
    }
    TRY(string_set(t, o, value, false));
    if (out != NULL)
        *out = o;
    return OK;
}

enum err string_size_check(const struct txn *t, uint64_t at, uint64_t size)
{
    uint64_t most = txn_string_max(t);
    bool fits = at <= most && size <= most - at;

    return fits || txn_is_replay(t) ? OK : ERR_TOO_BIG;
}

/* The value leaves the object for chunks, unchanged. */
static enum err convert(struct txn *t, struct obj *o)
{
    struct buf old = {0};
    enum err e;

    buf_append_slice(&old, obj_value(o));
    e = string_big_make(t, o, buf_slice(&old));
    buf_free(&old);
    return e;
}

/* Zeros from the end of a PLAIN value up to `length`. */
static void pad(struct obj *o, size_t length)
{
    if (o->value_size < length) {
        obj_value_reserve(o, length);
        memset(o->value + o->value_size, 0, length - o->value_size);
        o->value_size = (uint32_t)length;
    }
}

enum err string_grow(struct txn *t, struct obj *o, uint64_t length)
{
    if (length <= string_length(o))
        return OK;
    TRY(string_size_check(t, 0, length));
    if (o->form == OBJ_PLAIN && length > OBJ_STRING_PLAIN_MAX)
        TRY(convert(t, o));
    if (o->form == OBJ_BIG)
        o->count = length;
    else
        pad(o, length);
    o->marks |= OBJ_MARK_RAW;
    txn_changed(t, o);
    return OK;
}

enum err string_write(struct txn *t, struct obj *o, uint64_t at, struct slice bytes)
{
    uint64_t end = at + bytes.size;

    if (bytes.size == 0)
        return OK;
    TRY(string_size_check(t, at, bytes.size));
    if (o->form == OBJ_PLAIN && end > OBJ_STRING_PLAIN_MAX)
        TRY(convert(t, o));
    if (o->form == OBJ_BIG) {
        TRY(string_big_write(t, o, at, bytes));
        o->marks |= OBJ_MARK_RAW;
        return OK;
    }
    obj_value_reserve(o, end);
    if (at > o->value_size)
        memset(o->value + o->value_size, 0, at - o->value_size);
    memcpy(o->value + at, bytes.data, bytes.size);
    if (o->value_size < end)
        o->value_size = (uint32_t)end;
    o->marks |= OBJ_MARK_RAW;
    txn_changed(t, o);
    return OK;
}

enum err string_append(struct txn *t, struct obj *o, struct slice bytes)
{
    if (bytes.size == 0) { /* also this is an edit, as in Redis */
        o->marks |= OBJ_MARK_RAW;
        txn_changed(t, o);
        return OK;
    }
    return string_write(t, o, string_length(o), bytes);
}

enum err string_walk_begin(struct txn *t, struct obj *o, uint64_t from, uint64_t to, struct string_walk *w)
{
    uint64_t length = string_length(o);

    if (to > length)
        to = length;
    if (from > to)
        from = to;
    *w = (struct string_walk){.o = o, .from = from, .to = to, .done = from == to};
    if (o->form == OBJ_BIG && !w->done) {
        if (elements_too_many(t, (to - from) / OBJ_CHUNK_BYTES))
            return ERR_COLD;
        TRY(txn_indexes(t, o, from / OBJ_CHUNK_BYTES, false, &w->cursor));
        w->open = true;
    }
    return OK;
}

enum err string_walk_next(struct string_walk *w)
{
    if (w->done)
        return ERR_NOT_FOUND;
    if (w->o->form == OBJ_PLAIN) {
        w->done = true;
        w->offset = w->from;
        w->run = slice_of(w->o->value + w->from, w->to - w->from);
        return OK;
    }
    for (;;) {
        uint64_t low, high;

        TRY(txn_cursor_next(&w->cursor));
        if (w->cursor.value.size > OBJ_CHUNK_BYTES || w->cursor.index > STRING_BYTES_MAX)
            return err_set(ERR_CORRUPT, "chunk %llu of a string has %zu bytes", (unsigned long long)w->cursor.index,
                           w->cursor.value.size);
        low = w->cursor.index * OBJ_CHUNK_BYTES;
        if (low >= w->to)
            return ERR_NOT_FOUND;
        high = low + w->cursor.value.size;
        w->offset = low > w->from ? low : w->from;
        if (high > w->to)
            high = w->to;
        if (w->offset >= high)
            continue;
        w->run = slice_of(w->cursor.value.data + (w->offset - low), high - w->offset);
        return OK;
    }
}

void string_walk_end(struct string_walk *w)
{
    if (w->open)
        txn_cursor_close(&w->cursor);
}
