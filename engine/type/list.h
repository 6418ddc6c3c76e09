/*
 * list.h - lists: elements in one packed run (PACKED), or a run at each end and a row each between (BIG).
 *
 * Objects passed in are lists found by txn_read (for reading) or txn_write / txn_create (for changing). A function
 * that changes reads first: ERR_COLD means that nothing was changed. Indexes count from the head, from 0, and must lie
 * inside the list. A list that loses its last element is deleted (txn_delete) and its object must not be used again.
 * No function emits effects unless it says so. Elements passed in must not point into the object.
 *
 * Cost: both ends, get and set O(1); walks O(elements walked); insert, remove, trim move the shorter side.
 */
#ifndef CAIRN_ENGINE_TYPE_LIST_H
#define CAIRN_ENGINE_TYPE_LIST_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "engine/set/obj.h"
#include "engine/set/txn.h"
#include "engine/type/packed.h"

enum list_end { LIST_HEAD, LIST_TAIL };

static inline uint64_t list_length(const struct obj *o)
{
    return o->count;
}

/* OBJECT ENCODING: "listpack" or "quicklist". */
const char *list_encoding(const struct obj *o);

/* o may be new and empty. */
enum err list_push(struct txn *t, struct obj *o, enum list_end end, struct slice element) WARN_UNUSED;

/* Appends the element to out and removes it. */
enum err list_pop(struct txn *t, struct obj *o, enum list_end end, struct buf *out) WARN_UNUSED;

/* Hands n elements (1 .. length) from this end to `each`, then removes them. After an error `each` may have been
 * called, and nothing was removed. */
typedef void list_each(void *context, struct slice element);
enum err list_pop_many(struct txn *t, struct obj *o, enum list_end end, uint64_t n, list_each *each,
                       void *context) WARN_UNUSED;

/* The same, and emits the effect LPOP or RPOP (DEL if the list is emptied): for commands whose own words must not be
 * logged. */
enum err list_pop_logged(struct txn *t, struct obj *o, enum list_end end, uint64_t n, list_each *each,
                         void *context) WARN_UNUSED;

/* Moves one element between lists (or within one), with its effects, and appends it to out. The destination is created
 * if absent. ERR_NOT_FOUND: no such source. */
enum err list_move(struct txn *t, struct slice source, struct slice destination, enum list_end from, enum list_end to,
                   struct buf *out) WARN_UNUSED;

/* Borrowed until the object changes or the next row function. */
enum err list_get(struct txn *t, struct obj *o, uint64_t index, struct slice *element) WARN_UNUSED;
enum err list_set(struct txn *t, struct obj *o, uint64_t index, struct slice element) WARN_UNUSED;

/* In front of the element at index; index may be the length. */
enum err list_insert(struct txn *t, struct obj *o, uint64_t index, struct slice element) WARN_UNUSED;

/* Removes up to |count| elements equal to this one (0: all), from the tail if count is negative. */
enum err list_remove(struct txn *t, struct obj *o, struct slice element, int64_t count, uint64_t *removed) WARN_UNUSED;

/* Keeps `n` elements from `start` on; n = 0 deletes the list. */
enum err list_trim(struct txn *t, struct obj *o, uint64_t start, uint64_t n) WARN_UNUSED;

/* Whether walking so many elements must be left to a thread that may wait: ERR_COLD, before anything is changed. */
enum err list_long_walk(const struct txn *t, const struct obj *o, uint64_t n) WARN_UNUSED;

/* `to` is a new, empty list and gets the same elements. Emits nothing. */
enum err list_copy(struct txn *t, struct obj *from, struct obj *to) WARN_UNUSED;

/* Makes the key a list of these elements, whatever it was before; none: the key is deleted. Emits its effects. */
enum err list_store_all(struct txn *t, struct slice key, const struct slice *elements, size_t count) WARN_UNUSED;

/*
 * A walk from `start` to the tail, or in reverse to the head. The list must not change meanwhile.
 *
 *     struct list_walk w;
 *     TRY(list_walk_begin(t, o, start, reverse, &w));
 *     while ((e = list_walk_next(&w)) == OK) ... w.index, w.element ...     (borrowed until the next call)
 *     list_walk_end(&w);
 *     if (e != ERR_NOT_FOUND) return e;      (ERR_NOT_FOUND is the end)
 */
struct list_walk {
    uint64_t index;
    struct slice element;
    struct txn *txn; /* the rest is private */
    struct obj *o;
    uint64_t next, left;
    uint64_t head, rows, first; /* elements in the first run and in rows; number of the first row */
    uint64_t entry;             /* reverse: the entry of the run that is next */
    struct slice runs[2];
    int part;
    bool reverse, open;
    struct packed place;
    uint16_t offsets[OBJ_PACKED_ENTRIES_MAX]; /* reverse: where the entries of the run begin */
    struct txn_cursor cursor;
};
enum err list_walk_begin(struct txn *t, struct obj *o, uint64_t start, bool reverse, struct list_walk *w) WARN_UNUSED;
enum err list_walk_next(struct list_walk *w) WARN_UNUSED;
void list_walk_end(struct list_walk *w);

#endif
