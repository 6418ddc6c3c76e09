/*
 * element_walk.h - all named elements of a hash, a set or a sorted set, whichever form it has.
 *
 * value is empty for sets; for sorted sets it is the score, 8 bytes, little-endian double. PACKED gives the order of
 * the run, BIG the order of the rows (hash of the name, then name). The object must not change while it is PACKED and
 * walked; a BIG one may.
 *
 * A long walk (ELEMENTS_QUICK) where waiting is not allowed answers ERR_COLD when it begins.
 *
 *     struct element_walk w;
 *     TRY(element_walk_begin(t, o, &w));
 *     while ((e = element_walk_next(&w)) == OK) ... w.name, w.value ...    (borrowed until the next call)
 *     element_walk_end(&w);
 *     if (e != ERR_NOT_FOUND) return e;                                    (ERR_NOT_FOUND is the end)
 */
#ifndef CAIRN_ENGINE_TYPE_ELEMENT_WALK_H
#define CAIRN_ENGINE_TYPE_ELEMENT_WALK_H

#include "base/err.h"
#include "base/slice.h"
#include "engine/set/txn.h"
#include "engine/type/packed.h"

enum { ELEMENTS_QUICK = 5000 }; /* about 2 ms */

struct element_walk {
    struct slice name, value;
    bool pairs, big; /* the rest is private */
    struct packed packed;
    struct txn_cursor cursor;
};

enum err element_walk_begin(struct txn *t, struct obj *o, struct element_walk *w) WARN_UNUSED;
enum err element_walk_next(struct element_walk *w) WARN_UNUSED;
void element_walk_end(struct element_walk *w);

/* Whether each name has a value: hashes and sorted sets. */
static inline bool element_has_value(const struct obj *o)
{
    return o->type != OBJ_SET;
}

/* Whether walking so many elements must be left to a thread that may wait. */
static inline bool elements_too_many(const struct txn *t, uint64_t count)
{
    return count > ELEMENTS_QUICK && !txn_may_wait(t);
}

/* Whether a PACKED object has outgrown that form. */
static inline bool element_outgrown(const struct obj *o)
{
    return o->count > OBJ_PACKED_ENTRIES_MAX || o->value_size > OBJ_PACKED_BYTES_MAX;
}

/* PACKED to BIG for hashes and sets: every entry becomes a row; the count stays. */
enum err element_make_big(struct txn *t, struct obj *o) WARN_UNUSED;

/*
 * After an element of a hash or set was removed: a BIG one that has become small is PACKED again. Without this, whoever
 * empties a large set finds its last members between the marks of all removed ones. Tried at few sizes only.
 */
void element_shrink(struct txn *t, struct obj *o);

/* Asks for these names' rows, so that a disk that is needed is noticed (ERR_COLD) before the command changes anything.
 * For commands that name several elements of a BIG object; `step` words apart. */
enum err element_warm(struct txn *t, struct obj *o, const struct slice *names, size_t count, size_t step) WARN_UNUSED;

#endif
