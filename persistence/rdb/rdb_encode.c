/*
 * rdb_encode.c - compact forms are put together in memory (they are small by definition), others stream.
 */
#include "persistence/rdb/rdb_encode.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "persistence/rdb/rdb.h"

enum { INTSET_HEAD = 8, NODE_PACKED = 2, STRING_WHOLE_MAX = 1 << 20 };

unsigned rdb_encode_type(const struct rdb_value *v)
{
    bool large = v->marks & OBJ_MARK_LARGE;

    switch (v->type) {
    case OBJ_LIST:
        return large ? RDB_LIST : RDB_LIST_QUICKLIST_2;
    case OBJ_SET:
        return large || v->marks & OBJ_MARK_MIXED ? RDB_SET : RDB_SET_INTSET;
    case OBJ_ZSET:
        return large ? RDB_ZSET_2 : RDB_ZSET_LISTPACK;
    case OBJ_HASH:
        return large ? RDB_HASH : RDB_HASH_LISTPACK;
    default:
        return RDB_STRING;
    }
}

static enum err ended(const struct rdb_value *v, enum err e, uint64_t seen)
{
    if (e != ERR_NOT_FOUND)
        return e;
    return seen == v->count ? OK
                            : err_set(ERR_CORRUPT, "a value has %llu elements, and its record says %llu",
                                      (unsigned long long)seen, (unsigned long long)v->count);
}

/* What is short is collected, for the forms of numbers and compression; what is long goes as it comes. */
static enum err encode_string(const struct rdb_value *v, struct rdb_output *out)
{
    bool whole = v->count <= STRING_WHOLE_MAX, direct = false;
    struct rdb_element x = {0};
    struct buf text = {0};
    uint64_t seen = 0;
    enum err e;

    if (!whole)
        rdb_put_length(out, v->count);
    while ((e = v->next(v->context, &x)) == OK) {
        seen += x.name.size;
        if (seen > v->count || direct)
            break;
        if (whole && x.name.size == v->count) {
            direct = true;
            rdb_put_string(out, x.name);
        } else if (whole) {
            buf_append_slice(&text, x.name);
        } else {
            buf_append_slice(&out->buf, x.name);
            if ((e = rdb_output_flush_some(out)) != OK)
                break;
        }
    }
    e = ended(v, e == OK ? ERR_NOT_FOUND : e, seen);
    if (e == OK && whole && !direct)
        rdb_put_string(out, buf_slice(&text));
    buf_free(&text);
    return e;
}

static enum err encode_elements(const struct rdb_value *v, struct rdb_output *out)
{
    struct rdb_element x = {0};
    uint64_t seen = 0;
    enum err e;

    rdb_put_length(out, v->count);
    while ((e = v->next(v->context, &x)) == OK) {
        seen++;
        rdb_put_string(out, x.name);
        if (v->type == OBJ_HASH)
            rdb_put_string(out, x.value);
        else if (v->type == OBJ_ZSET)
            rdb_put_double(out, x.score);
        TRY(rdb_output_flush_some(out));
    }
    return ended(v, e, seen);
}

static enum err encode_listpack(const struct rdb_value *v, struct rdb_output *out)
{
    bool pairs = v->type == OBJ_HASH || v->type == OBJ_ZSET;
    struct rdb_element x = {0};
    struct buf pack = {0};
    uint64_t seen = 0;
    enum err e;

    rdb_listpack_begin(&pack);
    while ((e = v->next(v->context, &x)) == OK) {
        seen++;
        rdb_listpack_add(&pack, x.name);
        if (v->type == OBJ_HASH)
            rdb_listpack_add(&pack, x.value);
        else if (v->type == OBJ_ZSET)
            rdb_listpack_add_score(&pack, x.score);
    }
    e = ended(v, e, seen);
    if (e == OK) {
        rdb_listpack_end(&pack, pairs ? 2 * seen : seen);
        if (v->type == OBJ_LIST) {
            rdb_put_length(out, 1); /* nodes */
            rdb_put_length(out, NODE_PACKED);
        }
        rdb_put_string(out, buf_slice(&pack));
    }
    buf_free(&pack);
    return e;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void put_intset(struct rdb_output *out, const int64_t *numbers, size_t count)
{
    int64_t low = count > 0 ? numbers[0] : 0, high = count > 0 ? numbers[count - 1] : 0;
    uint32_t width = low >= INT16_MIN && high <= INT16_MAX ? 2 : low >= INT32_MIN && high <= INT32_MAX ? 4 : 8;
    uint32_t head[2] = {width, (uint32_t)count};
    struct buf bytes = {0};

    buf_append(&bytes, head, INTSET_HEAD);
    for (size_t i = 0; i < count; i++)
        buf_append(&bytes, &numbers[i], width);
    rdb_put_string(out, buf_slice(&bytes));
    buf_free(&bytes);
}

static enum err encode_intset(const struct rdb_value *v, struct rdb_output *out)
{
    struct rdb_element x = {0};
    struct buf numbers = {0};
    uint64_t seen = 0;
    enum err e;

    while ((e = v->next(v->context, &x)) == OK) {
        int64_t number;

        if (!num_parse_i64(x.name, &number)) {
            e = err_set(ERR_CORRUPT, "a set of numbers holds something else");
            break;
        }
        buf_append(&numbers, &number, sizeof number);
        seen++;
    }
    e = ended(v, e, seen);
    if (e == OK) {
        if (seen > 1)
            qsort(numbers.data, seen, sizeof(int64_t), ascending);
        put_intset(out, (const int64_t *)(const void *)numbers.data, seen);
    }
    buf_free(&numbers);
    return e;
}

enum err rdb_encode(const struct rdb_value *v, struct rdb_output *out)
{
    switch (rdb_encode_type(v)) {
    case RDB_STRING:
        return encode_string(v, out);
    case RDB_SET_INTSET:
        return encode_intset(v, out);
    case RDB_LIST:
    case RDB_SET:
    case RDB_HASH:
    case RDB_ZSET_2:
        return encode_elements(v, out);
    default:
        return encode_listpack(v, out);
    }
}
