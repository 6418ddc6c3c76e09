/*
 * rdb_object.c - an object's elements as the encoder wants them, and back.
 */
#include "persistence/rdb/rdb_object.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/num.h"
#include "engine/type/element_walk.h"
#include "engine/type/hash.h"
#include "engine/type/list.h"
#include "engine/type/packed.h"
#include "engine/type/sets.h"
#include "engine/type/string.h"
#include "engine/type/zset.h"
#include "engine/type/zset_packed.h"
#include "engine/type/zset_walk.h"
#include "persistence/rdb/rdb.h"
#include "persistence/rdb/rdb_encode.h"
#include "persistence/rdb/rdb_input.h"
#include "persistence/rdb/rdb_output.h"

/* ---- Dump ---- */

static enum err next_list(void *context, struct rdb_element *x)
{
    struct list_walk *w = context;

    TRY(list_walk_next(w));
    x->name = w->element;
    return OK;
}

static enum err next_zset(void *context, struct rdb_element *x)
{
    struct zset_walk *w = context;

    TRY(zset_walk_next(w));
    x->name = w->member;
    x->score = w->score;
    return OK;
}

static enum err next_named(void *context, struct rdb_element *x)
{
    struct element_walk *w = context;

    TRY(element_walk_next(w));
    x->name = w->name;
    x->value = w->value;
    return OK;
}

static enum err next_whole(void *context, struct rdb_element *x)
{
    struct slice *whole = context;

    if (whole->data == NULL)
        return ERR_NOT_FOUND;
    x->name = *whole;
    *whole = (struct slice){0};
    return OK;
}

static enum err encode(struct rdb_value *v, void *context, enum err (*next)(void *, struct rdb_element *),
                       struct rdb_output *out)
{
    v->context = context;
    v->next = next;
    return rdb_encode(v, out);
}

static enum err dump_value(struct txn *t, struct obj *o, struct rdb_value *v, struct rdb_output *out)
{
    struct element_walk elements;
    struct zset_walk pairs;
    struct list_walk list;
    struct buf scratch = {0};
    struct slice whole = {0};
    enum err e;

    switch (o->type) {
    case OBJ_STRING:
        e = string_get(t, o, &scratch, &whole);
        if (e == OK && whole.data == NULL)
            whole.data = (const uint8_t *)"";
        if (e == OK)
            e = encode(v, &whole, next_whole, out);
        buf_free(&scratch);
        return e;
    case OBJ_LIST:
        TRY(list_long_walk(t, o, o->count));
        TRY(list_walk_begin(t, o, 0, false, &list));
        e = encode(v, &list, next_list, out);
        list_walk_end(&list);
        return e;
    case OBJ_ZSET:
        TRY(zset_walk_first(t, o, false, &pairs));
        e = encode(v, &pairs, next_zset, out);
        zset_walk_end(&pairs);
        return e;
    default:
        TRY(element_walk_begin(t, o, &elements));
        e = encode(v, &elements, next_named, out);
        element_walk_end(&elements);
        return e;
    }
}

enum err rdb_object_dump(struct txn *t, struct obj *o, bool compress, struct buf *out)
{
    struct rdb_value v = {.type = (enum obj_type)o->type, .marks = o->marks,
                          .count = o->type == OBJ_STRING ? string_length(o) : o->count};
    struct rdb_output bytes;
    enum err e;

    if (o->type > OBJ_HASH)
        return err_set(ERR_INVALID, "a value of type %d cannot be dumped", o->type);
    rdb_output_init(&bytes, NULL, NULL, compress);
    rdb_put_byte(&bytes, (uint8_t)rdb_encode_type(&v));
    e = dump_value(t, o, &v, &bytes);
    if (e == OK) {
        rdb_payload_finish(&bytes.buf, 0);
        buf_append_slice(out, buf_slice(&bytes.buf));
    }
    rdb_output_fini(&bytes);
    return e;
}

void rdb_payload_finish(struct buf *out, size_t from)
{
    uint16_t version = RDB_VERSION;
    uint64_t crc;

    buf_append(out, &version, sizeof version);
    crc = hash_crc64(0, slice_of(out->data + from, out->size - from));
    buf_append(out, &crc, sizeof crc);
}

/* ---- Names ---- */

void rdb_names_free(struct rdb_names *n)
{
    free(n->cells);
    *n = (struct rdb_names){0};
}

void rdb_names_clear(struct rdb_names *n)
{
    if (n->capacity > 4096)
        rdb_names_free(n);
    else if (n->count > 0)
        memset(n->cells, 0, n->capacity * sizeof *n->cells);
    n->count = 0;
    n->has_zero = false;
}

/* False: it is there already. */
static bool cells_add(uint64_t *cells, size_t capacity, uint64_t sum)
{
    size_t i = sum & (capacity - 1);

    for (; cells[i] != 0; i = (i + 1) & (capacity - 1))
        if (cells[i] == sum)
            return false;
    cells[i] = sum;
    return true;
}

bool rdb_names_add(struct rdb_names *n, struct slice name)
{
    uint64_t sum = hash_sum(name);

    if (n->count * 4 >= n->capacity * 3) {
        size_t capacity = n->capacity != 0 ? n->capacity * 2 : 64;
        uint64_t *cells = calloc(capacity, sizeof *cells);

        check(cells != NULL);
        for (size_t i = 0; i < n->capacity; i++)
            if (n->cells[i] != 0)
                (void)cells_add(cells, capacity, n->cells[i]);
        free(n->cells);
        n->cells = cells;
        n->capacity = capacity;
    }
    if (sum == 0) {
        bool first = !n->has_zero;

        n->has_zero = true;
        return first;
    }
    if (!cells_add(n->cells, n->capacity, sum))
        return false;
    n->count++;
    return true;
}

/* ---- Building ---- */

static enum err build_string(struct rdb_build *b, struct slice piece)
{
    if (b->o->form == OBJ_PLAIN && b->o->value_size == 0)
        return string_set(b->txn, b->o, piece, true);
    return string_append(b->txn, b->o, piece);
}

static enum err build_hash(struct rdb_build *b, struct slice field, struct slice value)
{
    struct obj *o = b->o;

    o->count++;
    if (o->count > HASH_LISTPACK_ENTRIES_MAX || field.size > HASH_LISTPACK_VALUE_MAX ||
        value.size > HASH_LISTPACK_VALUE_MAX)
        o->marks |= OBJ_MARK_LARGE;
    if (o->form == OBJ_BIG) {
        txn_element_put(b->txn, o, field, value);
        return OK;
    }
    packed_append(o, field);
    packed_append(o, value);
    txn_changed(b->txn, o);
    return element_outgrown(o) ? element_make_big(b->txn, o) : OK;
}

static enum err build_set(struct rdb_build *b, struct slice member)
{
    struct obj *o = b->o;
    int64_t number;

    o->count++;
    if (member.size > 20 || !num_parse_i64(member, &number)) {
        o->marks |= OBJ_MARK_MIXED;
        if (member.size > SETS_LISTPACK_VALUE_MAX)
            o->marks |= OBJ_MARK_LARGE;
    }
    if (o->count > (o->marks & OBJ_MARK_MIXED ? SETS_LISTPACK_ENTRIES_MAX : SETS_INTSET_ENTRIES_MAX))
        o->marks |= OBJ_MARK_LARGE;
    if (o->form == OBJ_BIG) {
        txn_element_put(b->txn, o, member, (struct slice){0});
        return OK;
    }
    packed_append(o, member);
    txn_changed(b->txn, o);
    return element_outgrown(o) ? element_make_big(b->txn, o) : OK;
}

/* Small ones usually come in order: then they are appended. */
static void build_packed_pair(struct rdb_build *b, struct slice member, double score)
{
    struct obj *o = b->o;

    if (o->count == 0 || zset_order(b->last_score, buf_slice(&b->last), score, member) < 0) {
        zset_packed_append(o, member, score);
        b->last_score = score;
        buf_clear(&b->last);
        buf_append_slice(&b->last, member);
    } else {
        struct zset_place place;

        zset_packed_place(o, member, score, &place);
        zset_packed_put(o, &place, member, score);
    }
    o->count++;
}

static enum err build_zset(struct rdb_build *b, struct slice member, double score)
{
    struct obj *o = b->o;

    score += 0.0; /* -0 becomes 0, as everywhere */
    if (o->form == OBJ_BIG) {
        txn_member_put(b->txn, o, member, score, NULL);
        o->count++;
    } else {
        build_packed_pair(b, member, score);
        txn_changed(b->txn, o);
    }
    if (o->count > ZSET_LISTPACK_ENTRIES_MAX || member.size > ZSET_LISTPACK_VALUE_MAX)
        o->marks |= OBJ_MARK_LARGE;
    return o->form != OBJ_BIG && zset_packed_outgrown(o) ? zset_make_big(b->txn, o) : OK;
}

enum err rdb_build_element(struct rdb_build *b, struct slice name, struct slice value, double score)
{
    if (b->names != NULL && b->o->type != OBJ_STRING && b->o->type != OBJ_LIST && !rdb_names_add(b->names, name))
        return err_set(ERR_CORRUPT, "a name comes twice");
    switch (b->o->type) {
    case OBJ_STRING:
        return build_string(b, name);
    case OBJ_LIST:
        return list_push(b->txn, b->o, LIST_TAIL, name);
    case OBJ_SET:
        return build_set(b, name);
    case OBJ_ZSET:
        return build_zset(b, name, score);
    default:
        return build_hash(b, name, value);
    }
}

/* ---- Payloads ---- */

enum err rdb_payload_verify(struct slice payload)
{
    const uint8_t *footer;
    uint64_t crc;

    if (payload.size < RDB_FOOTER_BYTES)
        return ERR_INVALID;
    footer = payload.data + payload.size - RDB_FOOTER_BYTES;
    memcpy(&crc, footer + 2, sizeof crc);
    if ((unsigned)(footer[0] | footer[1] << 8) > RDB_VERSION_MAX ||
        crc != hash_crc64(0, slice_of(payload.data, payload.size - sizeof crc)))
        return ERR_INVALID;
    return OK;
}

struct checker {
    enum obj_type type;
    uint64_t count;
    struct rdb_names names;
};

static enum err check_begin(void *context, enum obj_type type, uint64_t count)
{
    struct checker *c = context;

    c->type = type;
    if (type == OBJ_STRING && count > STRING_BYTES_MAX)
        return err_set(ERR_CORRUPT, "a string of %llu bytes", (unsigned long long)count);
    return OK;
}

static enum err check_element(void *context, struct slice name, struct slice value, double score)
{
    struct checker *c = context;

    (void)value;
    (void)score;
    c->count++;
    if (c->type == OBJ_STRING || c->type == OBJ_LIST || rdb_names_add(&c->names, name))
        return OK;
    return err_set(ERR_CORRUPT, "a name comes twice");
}

static struct slice payload_body(struct slice payload)
{
    check(payload.size >= RDB_FOOTER_BYTES);
    return slice_of(payload.data, payload.size - RDB_FOOTER_BYTES);
}

enum err rdb_payload_check(struct slice payload, uint64_t *count)
{
    struct slice body = payload_body(payload);
    struct checker c = {0};
    const struct rdb_sink sink = {.context = &c, .begin = check_begin, .element = check_element};
    struct rdb_input in;
    enum err e;

    if (body.size == 0)
        return err_set(ERR_CORRUPT, "no value");
    rdb_input_memory(&in, slice_of(body.data + 1, body.size - 1));
    e = rdb_decode(&in, body.data[0], &sink);
    if (e == OK && c.count == 0)
        e = err_set(ERR_CORRUPT, "a collection without elements");
    rdb_names_free(&c.names);
    rdb_input_fini(&in);
    if (e == OK)
        *count = c.count;
    return e;
}

enum err rdb_payload_type(struct slice payload, enum obj_type *out)
{
    struct slice body = payload_body(payload);

    return body.size > 0 && rdb_type_of(body.data[0], out) ? OK : ERR_INVALID;
}

static enum err apply_begin(void *context, enum obj_type type, uint64_t count)
{
    struct rdb_build *b = context;

    (void)count;
    check(b->o->type == type);
    return OK;
}

static enum err apply_element(void *context, struct slice name, struct slice value, double score)
{
    return rdb_build_element(context, name, value, score);
}

enum err rdb_payload_apply(struct txn *t, struct obj *o, struct slice payload)
{
    struct slice body = payload_body(payload);
    struct rdb_build b = {.txn = t, .o = o};
    const struct rdb_sink sink = {.context = &b, .begin = apply_begin, .element = apply_element};
    struct rdb_input in;
    enum err e;

    rdb_input_memory(&in, slice_of(body.data + 1, body.size - 1));
    e = rdb_decode(&in, body.data[0], &sink);
    if (e == OK)
        txn_changed(t, o);
    buf_free(&b.last);
    rdb_input_fini(&in);
    return e;
}
