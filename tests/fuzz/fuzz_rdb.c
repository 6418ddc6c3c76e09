/*
 * fuzz_rdb.c - any bytes as an RDB file, in pieces, and as the value of a payload: each is read to its end or refused. What is taken
 * as a value is written again, and what was written reads as the same elements.
 */
#include "base/check.h"
#include "persistence/rdb/rdb.h"
#include "persistence/rdb/rdb_encode.h"
#include "persistence/rdb/rdb_object.h"
#include "persistence/rdb/rdb_reader.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ELEMENTS_MAX = 4096 };

/* Elements one behind the other: size, bytes, size, bytes, score. */
struct collected {
    struct buf bytes;
    enum obj_type type;
    uint64_t count, at, given, string_bytes;
};

static enum err collect_begin(void *context, enum obj_type type, uint64_t count)
{
    struct collected *c = context;

    (void)count;
    c->type = type;
    return OK;
}

static enum err collect(void *context, struct slice name, struct slice value, double score)
{
    struct collected *c = context;

    check(score == score);
    if (c->count++ == ELEMENTS_MAX)
        return ERR_TOO_BIG;
    c->string_bytes += name.size;
    buf_append(&c->bytes, &name.size, sizeof name.size);
    buf_append_slice(&c->bytes, name);
    buf_append(&c->bytes, &value.size, sizeof value.size);
    buf_append_slice(&c->bytes, value);
    buf_append(&c->bytes, &score, sizeof score);
    return OK;
}

static struct slice take(struct collected *c)
{
    size_t size;
    struct slice s;

    memcpy(&size, c->bytes.data + c->at, sizeof size);
    s = slice_of(c->bytes.data + c->at + sizeof size, size);
    c->at += sizeof size + size;
    return s;
}

static enum err give(void *context, struct rdb_element *x)
{
    struct collected *c = context;

    if (c->given++ == c->count)
        return ERR_NOT_FOUND;
    x->name = take(c);
    x->value = take(c);
    memcpy(&x->score, c->bytes.data + c->at, sizeof x->score);
    c->at += sizeof x->score;
    return OK;
}

static enum err decode(struct slice bytes, unsigned type, struct collected *c)
{
    const struct rdb_sink sink = {c, collect_begin, collect};
    struct rdb_input in;
    enum err e;

    rdb_input_memory(&in, bytes);
    e = rdb_decode(&in, type, &sink);
    rdb_input_fini(&in);
    return e;
}

static void round_trip(struct collected *first, uint8_t marks)
{
    struct rdb_value v = {.type = first->type, .marks = marks, .context = first, .next = give,
                          .count = first->type == OBJ_STRING ? first->string_bytes : first->count};
    struct collected second = {0};
    struct rdb_output out;

    rdb_output_init(&out, NULL, NULL, true);
    check(rdb_encode(&v, &out) == OK);
    check(decode(buf_slice(&out.buf), rdb_encode_type(&v), &second) == OK);
    check(second.count == first->count || first->type == OBJ_STRING);
    if (first->type != OBJ_STRING && first->type != OBJ_ZSET) /* a score's -0 comes back as 0 */
        check(slice_equal(buf_slice(&first->bytes), buf_slice(&second.bytes)));
    rdb_output_fini(&out);
    buf_free(&second.bytes);
}

static void value(const uint8_t *data, size_t size)
{
    struct collected c = {0};
    struct buf payload = {0};
    uint64_t count;

    if (decode(slice_of(data + 1, size - 1), data[0], &c) == OK)
        round_trip(&c, OBJ_MARK_MIXED | (data[0] & OBJ_MARK_LARGE));
    buf_append(&payload, data, size);
    rdb_payload_finish(&payload, 0);
    check(rdb_payload_verify(buf_slice(&payload)) == OK);
    (void)!rdb_payload_check(buf_slice(&payload), &count);
    buf_free(&payload);
    buf_free(&c.bytes);
}

struct source {
    const uint8_t *data;
    size_t size, at;
};

static enum err pull(void *context, uint8_t *out, size_t room, size_t *got)
{
    struct source *s = context;
    size_t n = s->size - s->at;

    n = n < room ? n : room;
    n = n < 7 ? n : 7;
    memcpy(out, s->data + s->at, n);
    s->at += n;
    *got = n;
    return OK;
}

static void file(const uint8_t *data, size_t size)
{
    struct source source = {data, size, 0};
    const struct rdb_reader_options options = {pull, &source};
    struct rdb_reader *r;
    struct rdb_item item;
    enum err e;

    rdb_reader_open(&options, &r);
    while ((e = rdb_reader_next(r, &item)) == OK)
        if (item.kind == RDB_ITEM_KEY && (e = rdb_reader_value(r, NULL)) != OK)
            break;
    check(e == ERR_NOT_FOUND || e == ERR_CORRUPT || e == ERR_INVALID);
    check(rdb_reader_offset(r) <= size);
    rdb_reader_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    value(data, size);
    file(data, size);
    return 0;
}
