/*
 * rdb_reader.h - an RDB file of Redis 1 to 7.2, one item at a time, from whatever source delivers its bytes.
 *
 *     rdb_reader_open(&options, &r);
 *     while ((e = rdb_reader_next(r, &item)) == OK)
 *         if (item.kind == RDB_ITEM_KEY) TRY(rdb_reader_value(r, sink or NULL));
 *     rdb_reader_close(r);
 *     if (e != ERR_NOT_FOUND) ... damaged, or the source failed
 *
 * ERR_NOT_FOUND is the end: EOF was read and the checksum is right (or absent: version < 5, or zero). The bytes behind it
 * were not consumed from the format's point of view, but may have been pulled.
 * ERR_CORRUPT, with the offset: the bytes are no RDB file, or a damaged one. ERR_INVALID: something that is not taken, by
 * name: a stream, a module's value, a newer version.
 */
#ifndef CAIRN_PERSISTENCE_RDB_RDB_READER_H
#define CAIRN_PERSISTENCE_RDB_RDB_READER_H

#include "base/err.h"
#include "base/slice.h"
#include "base/types.h"
#include "persistence/rdb/rdb_decode.h"
#include "persistence/rdb/rdb_input.h"

struct rdb_reader;

struct rdb_reader_options {
    rdb_pull *pull; /* may wait */
    void *context;
};

enum rdb_item_kind {
    RDB_ITEM_AUX,      /* name, value: "repl-id", "redis-ver" ... */
    RDB_ITEM_RESIZE,   /* db, keys, expires: a hint */
    RDB_ITEM_FUNCTION, /* value: the source of a function library */
    RDB_ITEM_KEY,      /* db, name, type, expire_ms, idle_s, freq; its value is next */
};

struct rdb_item { /* slices borrow until the next call */
    enum rdb_item_kind kind;
    unsigned db;
    struct slice name, value;
    uint64_t keys, expires;
    unsigned type;    /* enum rdb_type */
    msec_t expire_ms; /* 0: none */
    int64_t idle_s;   /* -1: not said */
    int freq;         /* -1: not said */
};

/* NULL-safe close; the source is the caller's. */
void rdb_reader_open(const struct rdb_reader_options *options, struct rdb_reader **out);
void rdb_reader_close(struct rdb_reader *r);

enum err rdb_reader_next(struct rdb_reader *r, struct rdb_item *item) WARN_UNUSED;

/* After RDB_ITEM_KEY, once: the value goes to the sink; NULL: it is checked and passed over. item.name stays valid until
 * it returns. */
enum err rdb_reader_value(struct rdb_reader *r, const struct rdb_sink *sink) WARN_UNUSED;

uint64_t rdb_reader_offset(const struct rdb_reader *r); /* bytes read */
unsigned rdb_reader_version(const struct rdb_reader *r);

/* After ERR_NOT_FOUND: what was pulled from the source behind the file's end (AOF with an RDB preamble). Borrowed until
 * close. */
struct slice rdb_reader_rest(const struct rdb_reader *r);

#endif
