/*
 * list_big_priv.h - the value of a long list, as list_big.c and list_big_middle.c change it: its head, its two runs,
 * and how a run hands elements to the rows. A change ends with save(), which stores the head.
 */
#ifndef CAIRN_ENGINE_TYPE_LIST_BIG_PRIV_H
#define CAIRN_ENGINE_TYPE_LIST_BIG_PRIV_H

#include <string.h>

#include "engine/type/list_big.h"
#include "engine/type/packed.h"

enum {
    LISTPACK_BYTES_MAX = 8192, /* list-max-listpack-size -2 */
    LISTPACK_HEAD_BYTES = 7,
    RUN_ENTRIES_MAX = 128, /* what a push or a pop moves in memory: keep it short */
    RUN_BYTES_MAX = 2048,
    VALUE_HEAD_BYTES = sizeof(struct list_big),
};
_Static_assert(sizeof(struct list_big) == 40, "on disk");

/* Stores the head of the value, after a change of runs or rows (those have told the transaction themselves). */
static inline void save(struct txn *t, struct obj *o, const struct list_big *b)
{
    if (list_big_is_large(b->big.spare))
        o->marks |= OBJ_MARK_LARGE;
    else if (b->big.spare + LISTPACK_HEAD_BYTES <= LISTPACK_BYTES_MAX / 2)
        o->marks &= (uint8_t)~OBJ_MARK_LARGE;
    memcpy(o->value, b, sizeof *b);
    txn_changed_record(t, o);
}

static inline size_t run_at(const struct list_big *b, enum list_end end)
{
    return end == LIST_HEAD ? VALUE_HEAD_BYTES : VALUE_HEAD_BYTES + b->ends.head_bytes;
}

static inline uint32_t run_count(const struct list_big *b, enum list_end end)
{
    return end == LIST_HEAD ? b->ends.head_count : b->ends.tail_count;
}

/* Books what was put into or taken out of a run; the tail's bytes follow from the value's size. */
static inline void run_book(struct list_big *b, enum list_end end, int64_t entries, int64_t bytes)
{
    if (end == LIST_HEAD) {
        b->ends.head_count = (uint32_t)(b->ends.head_count + entries);
        b->ends.head_bytes = (uint32_t)(b->ends.head_bytes + bytes);
    } else {
        b->ends.tail_count = (uint32_t)(b->ends.tail_count + entries);
    }
}

/* Inserts in front of the entry that begins at byte `at` of the run. */
static inline void run_insert(struct obj *o, struct list_big *b, enum list_end end, size_t at, struct slice element)
{
    packed_insert(o, run_at(b, end) + at, element);
    run_book(b, end, 1, (int64_t)packed_entry_bytes(element.size));
}

/* Removes bytes [from, to) of the run, which are `entries` entries. */
static inline void run_remove(struct obj *o, struct list_big *b, enum list_end end, size_t from, size_t to,
                              uint64_t entries)
{
    packed_remove(o, run_at(b, end) + from, run_at(b, end) + to);
    run_book(b, end, -(int64_t)entries, -(int64_t)(to - from));
}

static inline bool run_has_room(const struct obj *o, const struct list_big *b, enum list_end end, size_t need)
{
    return run_count(b, end) < RUN_ENTRIES_MAX && list_big_run(o, b, end).size + need <= RUN_BYTES_MAX;
}

/* The entry number `index` of a run; its place counts from the beginning of the run. ERR_CORRUPT if there are fewer. */
enum err list_big_locate(struct slice run, uint64_t index, struct packed *place) WARN_UNUSED;

/* Moves inner entries of a run to the rows: all, or until it is half empty with room for `need` bytes. Saves. */
enum err list_big_spill(struct txn *t, struct obj *o, struct list_big *b, enum list_end end, bool all,
                        size_t need) WARN_UNUSED;

enum part { PART_HEAD, PART_ROWS, PART_TAIL };

/* Where an element is; *index becomes its number in that part. */
static inline enum part part_of(const struct obj *o, const struct list_big *b, uint64_t *index)
{
    uint64_t rows = list_big_rows(o, b);

    if (*index < b->ends.head_count)
        return PART_HEAD;
    *index -= b->ends.head_count;
    if (*index < rows)
        return PART_ROWS;
    *index -= rows;
    return PART_TAIL;
}

static inline enum list_end run_of(enum part part)
{
    return part == PART_HEAD ? LIST_HEAD : LIST_TAIL;
}

#endif
