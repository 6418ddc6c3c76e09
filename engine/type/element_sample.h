/*
 * element_sample.h - random elements of a hash, a set or a sorted set.
 *
 * A PACKED object is sampled exactly. A BIG one has its rows in the order of a hash of the name: one element is found
 * by a seek to a random hash and a few random steps from there (each element's chance then is the mean of several gaps
 * between hashes: nearly uniform); a sample that is a good part of the collection is drawn in one walk, exactly.
 */
#ifndef CAIRN_ENGINE_TYPE_ELEMENT_SAMPLE_H
#define CAIRN_ENGINE_TYPE_ELEMENT_SAMPLE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "engine/set/txn.h"

/* Redis would answer until the memory is gone; commands refuse more repeats than this. */
enum { ELEMENT_REPEATS_MAX = 1 << 26 };

/* Elements in memory, owned. Zeroed is empty. */
struct element_place {
    size_t at; /* the name; the value follows it */
    uint32_t name_size, value_size;
};

struct element_list {
    size_t count, capacity;
    struct element_place *places;
    struct buf bytes;
};

void element_list_free(struct element_list *l); /* leaves an empty one */
void element_list_add(struct element_list *l, struct slice name, struct slice value);
void element_list_again(struct element_list *l, size_t i); /* the element at i once more, without a copy */

/* Borrowed until the next add. */
static inline struct slice element_list_name(const struct element_list *l, size_t i)
{
    return slice_of(l->bytes.data + l->places[i].at, l->places[i].name_size);
}

static inline struct slice element_list_value(const struct element_list *l, size_t i)
{
    return slice_of(l->bytes.data + l->places[i].at + l->places[i].name_size, l->places[i].value_size);
}

/* One element. The slices borrow from the object until it changes, or from scratch, which is cleared first. */
enum err element_random(struct txn *t, struct obj *o, struct buf *scratch, struct slice *name,
                        struct slice *value) WARN_UNUSED;

/* Adds to l `count` elements in random order: with repeats exactly so many; distinct ones at most as many as exist. */
enum err element_sample(struct txn *t, struct obj *o, uint64_t count, bool repeats, struct element_list *l) WARN_UNUSED;

/*
 * Adds to l `count` elements of a BIG object, fewer than it has, which the caller removes next. They are random
 * neighbours in the order of the hash, near a place that is kept in the object (obj_big.spare) and moves on as elements go. Random
 * seeks would not do here: they prefer the element behind the widest gap, and so one gap would grow for ever, full of
 * deletion marks that every seek into it has to pass.
 */
enum err element_take(struct txn *t, struct obj *o, uint64_t count, struct element_list *l) WARN_UNUSED;

#endif
