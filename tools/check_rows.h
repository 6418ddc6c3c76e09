/*
 * check_rows.h - reads all rows of one database family and counts what the rows themselves say.
 */
#ifndef CAIRN_TOOLS_CHECK_ROWS_H
#define CAIRN_TOOLS_CHECK_ROWS_H

#include "base/err.h"
#include "base/types.h"

#include <stdbool.h>

struct store;
struct family;

/* What is known of a slot from its count row, from its rows, and from the log behind the floor. */
struct check_slot {
    bool count_row;
    uint64_t keys, expires;           /* of the count row */
    lsn_t counted_at;
    uint64_t rows_keys, rows_expires; /* of the key records */
    int64_t later_keys, later_expires; /* of the log's effects behind counted_at */
    bool later;                       /* the log has effects about it at or behind the floor: the rows may be older */
};

struct check_rows {
    uint64_t rows, keys, elements, scores, hints, garbage, big, bytes;
    uint64_t adrift;     /* ids of elements that no record and no garbage row names */
    uint64_t miscounted; /* big collections whose record and elements disagree */
    lsn_t last_change;   /* the newest of all records */
    uint64_t id_max;
    lsn_t floor;         /* 0: no row */
    struct check_slot slots[SLOTS];
};

/* Called for each finding. settled: the log has nothing further about that slot, so no recovery can put it right. */
typedef void check_found(void *context, slot_t slot, const char *text);

/*
 * Walks the family from its first row to its last. Of `out`, count rows, rows_keys and rows_expires of the slots are
 * filled in, and the totals. ERR_CORRUPT: a row or a record cannot be read; ERR_IO.
 */
enum err check_rows(struct store *s, struct family *f, struct check_rows *out, check_found *found,
                    void *context) WARN_UNUSED;

#endif
