/*
 * hash.c - fields of a hash in either form.
 *
 * (1) A hash beyond OBJ_PACKED_ENTRIES_MAX fields or OBJ_PACKED_BYTES_MAX bytes becomes BIG; far below (half of both)
 *     it may become PACKED again.
 * (2) OBJ_MARK_LARGE is set once a field count or a size goes beyond Redis' listpack limits, and stays set.
 */
#include "engine/type/hash.h"

#include <math.h>

#include "engine/type/element_walk.h"
#include "engine/type/packed.h"

const char *hash_encoding(const struct obj *o)
{
    return (o->marks & OBJ_MARK_LARGE) != 0 ? "hashtable" : "listpack";
}

/* The places of a field and its value in a PACKED hash. */
static bool find(const struct obj *o, struct slice field, struct packed *name, struct packed *value)
{
    if (!packed_find(obj_value(o), field, 2, name))
        return false;
    *value = *name;
    return packed_next(value);
}

enum err hash_get(struct txn *t, struct obj *o, struct slice field, struct slice *value)
{
    struct packed name, place;

    if (__builtin_expect(o->form == OBJ_BIG, 0))
        return txn_element_get(t, o, field, value);
    if (!find(o, field, &name, &place))
        return ERR_NOT_FOUND;
    *value = place.entry;
    return OK;
}

static void mark(struct obj *o, struct slice field, struct slice value)
{
    if (o->count > HASH_LISTPACK_ENTRIES_MAX || field.size > HASH_LISTPACK_VALUE_MAX ||
        value.size > HASH_LISTPACK_VALUE_MAX)
        o->marks |= OBJ_MARK_LARGE;
}

static enum err set_packed(struct txn *t, struct obj *o, struct slice field, struct slice value, bool *created)
{
    struct packed name, place;

    if (find(o, field, &name, &place)) {
        packed_replace(o, &place, value);
        *created = false;
    } else {
        packed_append(o, field);
        packed_append(o, value);
        o->count++;
        *created = true;
    }
    mark(o, field, value);
    txn_changed(t, o);
    return __builtin_expect(element_outgrown(o), 0) ? element_make_big(t, o) : OK;
}

enum err hash_set(struct txn *t, struct obj *o, struct slice field, struct slice value, bool *created)
{
    struct slice old;
    enum err e;

    if (__builtin_expect(o->form != OBJ_BIG, 1))
        return set_packed(t, o, field, value, created);
    e = txn_element_get(t, o, field, &old);
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    *created = e == ERR_NOT_FOUND;
    txn_element_put(t, o, field, value);
    o->count += *created;
    mark(o, field, value);
    txn_changed(t, o);
    return OK;
}

enum err hash_set_many(struct txn *t, struct obj *o, const struct slice *words, size_t pairs, uint64_t *created)
{
    uint64_t n = 0;

    TRY(element_warm(t, o, words, pairs, 2));
    for (size_t i = 0; i < pairs; i++) {
        bool one = false;

        TRY(hash_set(t, o, words[2 * i], words[2 * i + 1], &one));
        n += one;
    }
    if (pairs > HASH_LISTPACK_ENTRIES_MAX)
        o->marks |= OBJ_MARK_LARGE;
    *created = n;
    return OK;
}

static enum err delete_one(struct txn *t, struct obj *o, struct slice field, bool *removed)
{
    struct packed name, place;
    struct slice old;
    enum err e;

    *removed = false;
    if (o->form == OBJ_BIG) {
        e = txn_element_get(t, o, field, &old);
        if (e != OK)
            return e == ERR_NOT_FOUND ? OK : e;
        txn_element_delete(t, o, field);
    } else {
        if (!find(o, field, &name, &place))
            return OK;
        packed_remove(o, name.at, place.next);
    }
    o->count--;
    txn_changed(t, o);
    element_shrink(t, o);
    *removed = true;
    return OK;
}

enum err hash_delete(struct txn *t, struct obj *o, const struct slice *fields, size_t count, uint64_t *removed)
{
    uint64_t n = 0;

    TRY(element_warm(t, o, fields, count, 1));
    for (size_t i = 0; i < count; i++) {
        bool one;

        TRY(delete_one(t, o, fields[i], &one));
        n += one;
        if (o->count == 0) {
            txn_delete(t, o);
            break;
        }
    }
    *removed = n;
    return OK;
}

enum err hash_increment(struct txn *t, struct obj *o, struct slice field, int64_t by, int64_t *result)
{
    char text[NUM_TEXT_MAX];
    struct slice old;
    int64_t number = 0;
    bool created;
    enum err e = hash_get(t, o, field, &old);

    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    if (e == OK && !num_parse_i64(old, &number))
        return ERR_NOT_INTEGER;
    if (__builtin_add_overflow(number, by, &number))
        return ERR_OVERFLOW;
    TRY(hash_set(t, o, field, slice_of(text, num_format_i64(text, number)), &created));
    *result = number;
    return OK;
}

enum err hash_increment_float(struct txn *t, struct obj *o, struct slice field, long double by,
                              char out[NUM_LONG_TEXT_MAX], size_t *size)
{
    long double number = 0;
    struct slice old;
    bool created;
    enum err e = hash_get(t, o, field, &old);
    size_t n;

    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    if (e == OK && !num_parse_long_double(old, &number))
        return ERR_NOT_FLOAT;
    number += by;
    if (isnan(number) || isinf(number))
        return ERR_NAN;
    n = num_format_long_double(out, number);
    TRY(hash_set(t, o, field, slice_of(out, n), &created));
    TXN_EFFECT(t, o, SLICE_LITERAL("HSET"), obj_key(o), field, slice_of(out, n));
    *size = n;
    return OK;
}
