/*
 * execute_keys.c - the keys that a command names and the slots to lock for them, in the executor's two lists.
 */
#include "server/run/execute.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"

void execute_keys_begin(struct executor *x)
{
    x->key_count = x->slot_count = 0;
}

static void slots_reserve(struct executor *x, size_t more)
{
    if (x->slot_count + more > x->slot_capacity) {
        x->slot_capacity = 2 * (x->slot_count + more);
        x->slots = realloc(x->slots, x->slot_capacity * sizeof *x->slots);
        check(x->slots != NULL);
    }
}

void execute_slot_add(struct executor *x, slot_t slot)
{
    slots_reserve(x, 1);
    x->slots[x->slot_count++] = slot;
}

void execute_slots_all(struct executor *x)
{
    x->slot_count = 0;
    slots_reserve(x, SLOTS);
    for (size_t i = 0; i < SLOTS; i++)
        x->slots[i] = (slot_t)i;
    x->slot_count = SLOTS;
}

void execute_keys_add(struct executor *x, const struct command *command, const struct slice *argv, size_t argc)
{
    /* What does not fit the specification is told by the command itself (a bad numkeys); what was found is locked. */
    (void)keys_find(command, argv, argc, &x->places);
    if (x->key_count + x->places.count > x->key_capacity) {
        x->key_capacity = 2 * (x->key_count + x->places.count);
        x->keys = realloc(x->keys, x->key_capacity * sizeof *x->keys);
        check(x->keys != NULL);
    }
    slots_reserve(x, x->places.count);
    for (size_t i = 0; i < x->places.count; i++) {
        struct slice key = argv[key_places_at(&x->places, i)->index];

        x->keys[x->key_count++] = key;
        x->slots[x->slot_count++] = hash_slot(key);
    }
}

static int slot_order(const void *a, const void *b)
{
    return (int)*(const slot_t *)a - (int)*(const slot_t *)b;
}

void execute_keys_end(struct executor *x)
{
    size_t kept = 0;

    if (x->slot_count < 2)
        return;
    qsort(x->slots, x->slot_count, sizeof *x->slots, slot_order);
    for (size_t i = 0; i < x->slot_count; i++)
        if (i == 0 || x->slots[i] != x->slots[kept - 1])
            x->slots[kept++] = x->slots[i];
    x->slot_count = kept;
}
