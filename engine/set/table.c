/*
 * table.c - a slot's objects by key: open addressing, linear probing, removal by shifting back.
 *
 * (1) Load is at most three quarters.
 * (2) Every object is reachable from its home cell without an empty cell between.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"

#include <stdlib.h>

enum { CAPACITY_MIN = 8 };

static uint64_t cell_of(struct obj *o)
{
    check((uintptr_t)o >> 48 == 0);
    return (uint64_t)(o->hash >> 16) << 48 | (uint64_t)(uintptr_t)o;
}

struct obj *table_find(const struct table *t, uint32_t hash, struct slice key)
{
    uint32_t mask = t->capacity - 1;

    if (t->used == 0)
        return NULL;
    for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
        uint64_t cell = t->cells[i];

        if (cell == 0)
            return NULL;
        if (cell >> 48 == hash >> 16) {
            struct obj *o = table_at(t, i);

            if (o->hash == hash && o->key_size == key.size && memcmp(o->key, key.data, key.size) == 0)
                return o;
        }
    }
}

static void place(struct table *t, uint64_t cell, uint32_t hash)
{
    uint32_t mask = t->capacity - 1, i = hash & mask;

    while (t->cells[i] != 0)
        i = (i + 1) & mask;
    t->cells[i] = cell;
}

static void resize(struct table *t, uint32_t capacity)
{
    struct table old = *t;

    t->cells = calloc(capacity, sizeof *t->cells);
    check(t->cells != NULL);
    t->capacity = capacity;
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.cells[i] != 0)
            place(t, old.cells[i], table_at(&old, i)->hash);
    free(old.cells);
}

void table_add(struct table *t, struct obj *o)
{
    if (t->capacity == 0)
        resize(t, CAPACITY_MIN);
    else if ((t->used + 1) * 4 > t->capacity * 3)
        resize(t, t->capacity * 2);
    place(t, cell_of(o), o->hash);
    t->used++;
}

void table_remove(struct table *t, struct obj *o)
{
    uint32_t mask = t->capacity - 1, hole = o->hash & mask;

    while (table_at(t, hole) != o) {
        check(t->cells[hole] != 0);
        hole = (hole + 1) & mask;
    }
    /* Each follower moves into the hole unless its home lies behind the hole. */
    for (uint32_t i = (hole + 1) & mask; t->cells[i] != 0; i = (i + 1) & mask) {
        uint32_t home = table_at(t, i)->hash & mask;

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            t->cells[hole] = t->cells[i];
            hole = i;
        }
    }
    t->cells[hole] = 0;
    t->used--;
    if (t->used == 0) {
        free(t->cells);
        *t = (struct table){0};
    } else if (t->capacity > CAPACITY_MIN && t->used * 8 < t->capacity) {
        resize(t, t->capacity / 2);
    }
}

void table_free(struct table *t)
{
    free(t->cells);
    *t = (struct table){0};
}
