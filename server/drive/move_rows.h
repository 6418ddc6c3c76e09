/*
 * move_rows.h - rows of slots as they travel from one node to another: CLUSTER SYNCSLOTS ROWS frame. Little endian.
 *
 *     0   8  sum of everything behind it: XXH3          24      per row, ascending by key:
 *     8   4  magic "CNmr"                                        0  4  bytes of the key
 *    12   2  version 1                                           4  4  bytes of the value
 *    14   2  zero                                                8     key (engine/key/row.h), value (engine/key/record.h)
 *    16   4  rows, at least 1
 *    20   4  bytes of the rows
 *
 * Keys and records are those of the source's store; their positions in its log (last change) mean nothing to others.
 */
#ifndef CAIRN_SERVER_DRIVE_MOVE_ROWS_H
#define CAIRN_SERVER_DRIVE_MOVE_ROWS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "base/types.h"
#include "engine/set/view.h"

enum { MOVE_ROWS_HEAD_BYTES = 24, MOVE_ROWS_VERSION = 1 };

/* Encoding: begin appends room for the head to `out`, which has nothing else in it; end fills it in. */
void move_rows_begin(struct buf *out);
void move_rows_add(struct buf *out, struct slice key, struct slice value);
void move_rows_end(struct buf *out, uint32_t rows);

/* A walk over the rows of a frame; what it gives borrows from the frame. ERR_CORRUPT: no frame, or altered. */
struct move_rows {
    struct slice rest;
    uint32_t left;
};
enum err move_rows_open(struct slice frame, struct move_rows *out) WARN_UNUSED;
/* ERR_NOT_FOUND: the end. */
enum err move_rows_next(struct move_rows *r, struct slice *key, struct slice *value) WARN_UNUSED;

/*
 * A row as a key: a record that is all of its value, sound enough to be read by anybody. ERR_CORRUPT if it is something else;
 * the slot is what the row says, and the name's.
 */
enum { MOVE_ROWS_PACKED_BYTES = 8 << 10, MOVE_ROWS_PACKED_ELEMENTS = 255 }; /* one command makes it */
bool move_rows_suits(const struct set_view_key *key); /* the key can go as a row: it is small */
enum err move_rows_key(struct slice row, struct slice record, struct set_view_key *out) WARN_UNUSED;

#endif
