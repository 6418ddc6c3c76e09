/*
 * list_big.h - long lists: a row per element. Only for list.c; others use list.h.
 *
 * Rows are dense: element i is the row of index first + i; a new list begins in the middle of the numbers, so that it
 * may grow at both ends. obj_big.spare is the number of bytes that Redis' listpack would need for the elements:
 * OBJ_MARK_LARGE follows from it as Redis' conversions do (beyond 8 KB on; down to half of it off).
 */
#ifndef CAIRN_ENGINE_TYPE_LIST_BIG_H
#define CAIRN_ENGINE_TYPE_LIST_BIG_H

#include "engine/type/list.h"

/* PACKED to BIG, same elements. */
enum err list_big_make(struct txn *t, struct obj *o) WARN_UNUSED;

void list_big_push(struct txn *t, struct obj *o, enum list_end end, struct slice element);
enum err list_big_get(struct txn *t, struct obj *o, uint64_t index, struct slice *element) WARN_UNUSED;
enum err list_big_set(struct txn *t, struct obj *o, uint64_t index, struct slice element) WARN_UNUSED;
enum err list_big_insert(struct txn *t, struct obj *o, uint64_t index, struct slice element) WARN_UNUSED;

/* Removes n elements at one end, not all; listpack_bytes: list_big_bytes of them all. */
void list_big_drop(struct txn *t, struct obj *o, enum list_end end, uint64_t n, uint64_t listpack_bytes);

/* Removes the elements at these indexes (ascending, `count` of them, not all), all of which equal `element`. */
enum err list_big_remove(struct txn *t, struct obj *o, const uint64_t *indexes, uint64_t count,
                         struct slice element) WARN_UNUSED;

/* Bytes that an element takes in Redis' listpack. */
uint64_t list_big_bytes(struct slice element);

#endif
