/*
 * rdb_blob.h - the runs of bytes in which Redis keeps small collections: listpack, ziplist, intset, zipmap.
 *
 * A run is outside bytes. rdb_blob_open checks its head; each step checks what it reads; a walk that reached its end
 * has seen a run that is whole: sizes, count and links agree.
 */
#ifndef CAIRN_PERSISTENCE_RDB_RDB_BLOB_H
#define CAIRN_PERSISTENCE_RDB_RDB_BLOB_H

#include "base/err.h"
#include "base/num.h"
#include "base/slice.h"

enum rdb_blob_form { RDB_BLOB_LISTPACK, RDB_BLOB_ZIPLIST, RDB_BLOB_INTSET, RDB_BLOB_ZIPMAP };

struct rdb_blob {
    struct slice entry; /* what the last step found: text; borrowed from the run or from this struct until the next step */
    bool is_number;     /* it was kept as one: `number` */
    int64_t number;
    enum rdb_blob_form form; /* the rest is private */
    struct slice bytes;
    size_t at, entries, last, last_size, count;
    char text[NUM_TEXT_MAX];
};

/* ERR_CORRUPT (with text): the head does not fit the bytes. */
enum err rdb_blob_open(struct rdb_blob *b, enum rdb_blob_form form, struct slice bytes) WARN_UNUSED;

/* The next entry; ERR_NOT_FOUND: the end, and the run is whole; ERR_CORRUPT. */
enum err rdb_blob_next(struct rdb_blob *b) WARN_UNUSED;

/* Walks it all; *entries counts them. */
enum err rdb_blob_check(enum rdb_blob_form form, struct slice bytes, size_t *entries) WARN_UNUSED;

#endif
