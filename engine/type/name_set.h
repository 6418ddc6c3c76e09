/*
 * name_set.h - distinct byte strings in memory, in the order they came: results of set algebra, samples.
 *
 * Zeroed is empty. Owns copies of the names. Memory: the names plus about 24 bytes each.
 */
#ifndef CAIRN_ENGINE_TYPE_NAME_SET_H
#define CAIRN_ENGINE_TYPE_NAME_SET_H

#include "base/buf.h"
#include "base/slice.h"

struct name_place {
    size_t at;
    uint32_t size, hash;
};

struct name_set {
    size_t count;              /* names in it */
    size_t length;             /* places used: names in it and names taken out again */
    size_t capacity, cells_size; /* cells_size: 0 or a power of two */
    struct name_place *places;
    uint32_t *cells;           /* place + 1; 0 is empty */
    struct buf bytes;
};

void name_set_free(struct name_set *n); /* leaves an empty one */

/* False if it is in it already. */
bool name_set_add(struct name_set *n, struct slice name);

/* The place of the name (0 .. length - 1), new or not: what belongs to names is kept beside them by place. */
size_t name_set_put(struct name_set *n, struct slice name, bool *added);

bool name_set_has(const struct name_set *n, struct slice name);
/* False if it was not in it. */
bool name_set_remove(struct name_set *n, struct slice name);

/* The name at place i (0 .. length - 1), borrowed until the next add; false: it was taken out. */
bool name_set_at(const struct name_set *n, size_t i, struct slice *name);

#endif
