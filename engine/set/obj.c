/*
 * obj.c - an object's memory: header, key and, when it fits, the value in one allocation.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"

#include <stdlib.h>

static bool value_is_inline(const struct obj *o)
{
    return o->value == o->key + o->key_size;
}

struct obj *obj_new(uint32_t hash, struct slice key, size_t value_room)
{
    /* Rounded up so that a value of the same size class fits the next time. */
    size_t whole = (sizeof(struct obj) + key.size + value_room + 15) & ~(size_t)15;
    struct obj *o = malloc(whole);

    check(o != NULL && whole - sizeof *o - key.size <= UINT32_MAX);
    *o = (struct obj){.hash = hash, .key_size = (uint32_t)key.size};
    if (key.size > 0)
        memcpy(o->key, key.data, key.size);
    o->value = o->key + key.size;
    o->value_capacity = (uint32_t)(whole - sizeof *o - key.size);
    return o;
}

void obj_free(struct obj *o)
{
    elements_drop(o->elements);
    if (!value_is_inline(o))
        free(o->value);
    free(o);
}

uint8_t *obj_value_reserve(struct obj *o, size_t size)
{
    size_t capacity;
    uint8_t *value;

    if (size <= o->value_capacity)
        return o->value;
    capacity = size + size / 4;
    check(capacity <= UINT32_MAX);
    if (value_is_inline(o)) {
        value = malloc(capacity);
        check(value != NULL);
        if (o->value_size > 0)
            memcpy(value, o->value, o->value_size);
    } else {
        value = realloc(o->value, capacity);
        check(value != NULL);
    }
    o->value = value;
    o->value_capacity = (uint32_t)capacity;
    return value;
}

void obj_value_set(struct obj *o, struct slice value)
{
    /* A much smaller value gives its memory back. */
    if (!value_is_inline(o) && o->value_capacity > 1024 && value.size < o->value_capacity / 2) {
        free(o->value);
        o->value = o->key + o->key_size;
        o->value_capacity = 0; /* the inline room may be larger; its size is not kept */
        o->value_size = 0;
    }
    obj_value_reserve(o, value.size);
    if (value.size > 0)
        memcpy(o->value, value.data, value.size);
    o->value_size = (uint32_t)value.size;
}

void obj_value_splice(struct obj *o, size_t at, size_t remove, struct slice insert)
{
    size_t tail = o->value_size - at - remove;
    uint8_t *value;

    check(at + remove <= o->value_size);
    value = obj_value_reserve(o, o->value_size - remove + insert.size);
    memmove(value + at + insert.size, value + at + remove, tail);
    if (insert.size > 0)
        memcpy(value + at, insert.data, insert.size);
    o->value_size = (uint32_t)(at + insert.size + tail);
}

struct obj_big obj_big_get(const struct obj *o)
{
    struct obj_big big;

    check(o->form == OBJ_BIG && o->value_size >= sizeof big);
    memcpy(&big, o->value, sizeof big);
    return big;
}

void obj_big_set(struct obj *o, const struct obj_big *big)
{
    check(o->form == OBJ_BIG);
    if (o->value_size < sizeof *big) {
        obj_value_reserve(o, sizeof *big);
        o->value_size = sizeof *big;
    }
    memcpy(o->value, big, sizeof *big);
}

size_t obj_memory(const struct obj *o)
{
    return sizeof *o + o->key_size + o->value_capacity + sizeof(uint64_t);
}
