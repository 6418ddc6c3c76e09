/*
 * packed.h - a small collection in one run of bytes: entries one behind the other.
 *
 *   entry = size (varint, 7 bits a byte, low first) | bytes
 *
 * Hash: field, value, field, value ... in insertion order. List: elements, head first. Set: members in insertion
 * order. Sorted set: member, score (8 bytes, little-endian double), ... ascending by (score, member).
 * On disk inside key records: never change. Limits: OBJ_PACKED_*; a collection beyond them becomes BIG.
 */
#ifndef CAIRN_ENGINE_TYPE_PACKED_H
#define CAIRN_ENGINE_TYPE_PACKED_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "engine/set/obj.h"

/* A place in a packed run. `at` is the byte where the entry begins, `next` the byte behind it. */
struct packed {
    struct slice bytes; /* borrowed: the run */
    size_t at, next;
    struct slice entry; /* borrowed from the run */
};

/* Starts in front of the first entry. */
struct packed packed_begin(struct slice bytes);

/* Moves to the next entry; false at the end. Malformed bytes end the walk. */
bool packed_next(struct packed *p);

/* The first of the entries 0, step, 2 * step ... that equals `entry`; false if there is none. */
bool packed_find(struct slice bytes, struct slice entry, size_t step, struct packed *place);

/* Whether the bytes are a whole number of well-formed entries, and how many (bytes from disk or wire). */
bool packed_valid(struct slice bytes, size_t *entries);

/* Bytes that an entry of this size takes. */
size_t packed_entry_bytes(size_t size);

/* Appends one entry to a run under construction. */
void packed_write(struct buf *out, struct slice entry);

/* Edits the object's value in place; count and txn_changed are the caller's. `entry` may not point into the value. */
void packed_append(struct obj *o, struct slice entry);
void packed_insert(struct obj *o, size_t at, struct slice entry);                  /* in front of byte at */
void packed_replace(struct obj *o, const struct packed *place, struct slice entry); /* the entry at place */
void packed_remove(struct obj *o, size_t from, size_t to);                          /* bytes [from, to) */

#endif
