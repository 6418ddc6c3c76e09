/*
 * keys.h - which words of a request are keys, by the command's key specifications.
 */
#ifndef CAIRN_SERVER_RUN_KEYS_H
#define CAIRN_SERVER_RUN_KEYS_H

#include "base/err.h"
#include "base/slice.h"
#include "server/run/registry.h"

struct key_place {
    uint32_t index; /* in argv */
    uint16_t flags; /* enum key_flag */
};

/* A growing list; zeroed is empty. Small requests need no allocation. */
enum { KEY_PLACES_INLINE = 16 };
struct key_places {
    size_t count, capacity;
    struct key_place *more; /* owned; NULL while the inline places suffice */
    struct key_place few[KEY_PLACES_INLINE];
};

static inline const struct key_place *key_places_at(const struct key_places *k, size_t i)
{
    return (k->more != NULL ? k->more : k->few) + i;
}

void key_places_free(struct key_places *k);

/*
 * Fills k (emptied first) with the keys of a request whose arity fits, in the order that Redis reports them. Words that
 * are only treated like keys (NOT_KEY: shard channels) are included with their flag.
 * ERR_INVALID: the words do not fit the specification (a bad numkeys, say); k then holds what was found.
 */
enum err keys_find(const struct command *c, const struct slice *argv, size_t argc, struct key_places *k);

/*
 * Whether a command flagged COMMAND_ALL_SLOTS needs every slot for these words. SORT and SORT_RO only do when a BY or GET
 * pattern names other keys; in cluster mode such patterns are refused, so there the keys that keys_find gives suffice.
 */
bool keys_everywhere(const struct command *c, const struct slice *argv, size_t argc, bool cluster);

#endif
