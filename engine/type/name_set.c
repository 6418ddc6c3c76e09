/*
 * name_set.c - open addressing over places; a name taken out keeps its place, marked by REMOVED.
 */
#include "engine/type/name_set.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"

enum { CELLS_MIN = 64 };
#define REMOVED UINT32_MAX /* as size */

void name_set_free(struct name_set *n)
{
    free(n->places);
    free(n->cells);
    buf_free(&n->bytes);
    *n = (struct name_set){0};
}

bool name_set_at(const struct name_set *n, size_t i, struct slice *name)
{
    const struct name_place *p = &n->places[i];

    check(i < n->length);
    if (p->size == REMOVED)
        return false;
    *name = slice_of(n->bytes.data + p->at, p->size);
    return true;
}

/* The cell of the name, or the empty one where it would go. */
static size_t cell_of(const struct name_set *n, struct slice name, uint32_t hash)
{
    size_t mask = n->cells_size - 1, i = hash & mask;

    for (; n->cells[i] != 0; i = (i + 1) & mask) {
        const struct name_place *p = &n->places[n->cells[i] - 1];

        if (p->hash == hash && p->size == name.size && slice_equal(slice_of(n->bytes.data + p->at, p->size), name))
            break;
    }
    return i;
}

static void grow(struct name_set *n)
{
    size_t size = n->cells_size != 0 ? n->cells_size * 2 : CELLS_MIN;

    free(n->cells);
    n->cells = calloc(size, sizeof *n->cells);
    check(n->cells != NULL);
    n->cells_size = size;
    for (size_t i = 0; i < n->length; i++) {
        size_t cell = n->places[i].hash & (size - 1);

        if (n->places[i].size == REMOVED)
            continue;
        while (n->cells[cell] != 0)
            cell = (cell + 1) & (size - 1);
        n->cells[cell] = (uint32_t)(i + 1);
    }
    if (n->capacity < size / 2) {
        n->capacity = size / 2;
        n->places = realloc(n->places, n->capacity * sizeof *n->places);
        check(n->places != NULL);
    }
}

size_t name_set_put(struct name_set *n, struct slice name, bool *added)
{
    uint32_t hash = hash_name(name);
    size_t cell;

    check(name.size < REMOVED && n->length < UINT32_MAX - 1);
    if (n->length == n->capacity)
        grow(n);
    cell = cell_of(n, name, hash);
    *added = n->cells[cell] == 0;
    if (!*added)
        return n->cells[cell] - 1;
    n->places[n->length] = (struct name_place){n->bytes.size, (uint32_t)name.size, hash};
    buf_append_slice(&n->bytes, name);
    n->cells[cell] = (uint32_t)++n->length;
    n->count++;
    return n->length - 1;
}

bool name_set_add(struct name_set *n, struct slice name)
{
    bool added;

    (void)name_set_put(n, name, &added);
    return added;
}

bool name_set_has(const struct name_set *n, struct slice name)
{
    return n->count > 0 && n->cells[cell_of(n, name, hash_name(name))] != 0;
}

bool name_set_remove(struct name_set *n, struct slice name)
{
    size_t cell;

    if (n->count == 0)
        return false;
    cell = cell_of(n, name, hash_name(name));
    if (n->cells[cell] == 0)
        return false;
    n->places[n->cells[cell] - 1].size = REMOVED; /* the cell stays, so that probing goes on behind it */
    n->count--;
    return true;
}
