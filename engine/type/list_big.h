/*
 * list_big.h - long lists: their two ends in the object, what lies between as rows. Only for list*.c.
 *
 *   value of the object:   struct obj_big (24 bytes) | struct list_ends (16) | head run | tail run
 *   elements:              head run, then the rows first .. first + n - 1, then tail run
 *
 * A run is packed (packed.h), in list order, and short (the first one may be a whole PACKED value). Pushes and pops
 * move bytes in a run and leave the rows alone; a run that is full hands its inner half to the rows, an empty one takes
 * some back. So a row is written and removed once on an element's way through a queue, many in one batch. Rows are
 * dense: the i-th element behind the head run is row first + i. Without rows the two runs are one, and the border
 * between them may be moved at will.
 *
 * obj_big.spare is the number of bytes that Redis' listpack would need for all elements: OBJ_MARK_LARGE follows from it
 * as Redis' conversions do (beyond 8 KB on; down to half of it off). On disk: never change.
 */
#ifndef CAIRN_ENGINE_TYPE_LIST_BIG_H
#define CAIRN_ENGINE_TYPE_LIST_BIG_H

#include "engine/type/list.h"

struct list_ends {
    uint32_t head_count, head_bytes; /* the head run */
    uint32_t tail_count;             /* the tail run: all bytes behind the head run */
    uint32_t zero;
};

struct list_big {
    struct obj_big big;
    struct list_ends ends;
};

/* ERR_CORRUPT if the value cannot be one. */
enum err list_big_load(const struct obj *o, struct list_big *out) WARN_UNUSED;

static inline uint64_t list_big_rows(const struct obj *o, const struct list_big *b)
{
    return o->count - b->ends.head_count - b->ends.tail_count;
}

/* The bytes of a run; borrowed from the object. */
struct slice list_big_run(const struct obj *o, const struct list_big *b, enum list_end end);

/* PACKED to BIG, same elements. */
enum err list_big_make(struct txn *t, struct obj *o) WARN_UNUSED;

/* `to` is new and empty: it gets the same elements. */
enum err list_big_copy(struct txn *t, struct obj *from, struct obj *to) WARN_UNUSED;

enum err list_big_push(struct txn *t, struct obj *o, enum list_end end, struct slice element) WARN_UNUSED;

/* Before a single pop: an empty run takes elements from the rows. */
enum err list_big_refill(struct txn *t, struct obj *o, enum list_end end) WARN_UNUSED;

enum err list_big_get(struct txn *t, struct obj *o, uint64_t index, struct slice *element) WARN_UNUSED;
enum err list_big_set(struct txn *t, struct obj *o, uint64_t index, struct slice element) WARN_UNUSED;

/* 0 < index < length. */
enum err list_big_insert(struct txn *t, struct obj *o, uint64_t index, struct slice element) WARN_UNUSED;

/* Removes n elements at one end, not all; listpack_bytes: list_big_bytes of them all. */
enum err list_big_drop(struct txn *t, struct obj *o, enum list_end end, uint64_t n,
                       uint64_t listpack_bytes) WARN_UNUSED;

/* Removes the elements at these indexes (ascending, `count` of them, not all), all of which equal `element`. */
enum err list_big_remove(struct txn *t, struct obj *o, const uint64_t *indexes, uint64_t count,
                         struct slice element) WARN_UNUSED;

/* Bytes that an element takes in Redis' listpack. */
uint64_t list_big_bytes(struct slice element);

/* Whether Redis would not have all elements in one listpack, when they take so many bytes. */
bool list_big_is_large(uint64_t bytes);

#endif
