/*
 * rdb_save.h - a view of all databases (engine/set/view.h) as an RDB file: what SAVE writes and what a Redis replica gets.
 */
#ifndef CAIRN_PERSISTENCE_RDB_RDB_SAVE_H
#define CAIRN_PERSISTENCE_RDB_RDB_SAVE_H

#include "base/err.h"
#include "base/slice.h"
#include "base/types.h"
#include "persistence/rdb/rdb_encode.h"
#include "persistence/rdb/rdb_writer.h"

struct set_view;
struct set_view_key;

struct rdb_save_options {
    rdb_push *push; /* takes the file's bytes, in runs of about 64 kB; may wait */
    void *context;
    bool compress, no_checksum;
    bool no_keys;   /* the file has no database: somebody wants the rest only */

    /* AUX fields; the offset of the view itself is known. */
    const char *redis_version; /* "redis-ver" */
    msec_t now_ms;             /* "ctime" */
    uint64_t used_memory;      /* "used-mem" */
    struct slice repl_id;      /* 40 hex digits; empty: no repl-* fields */
    lsn_t repl_offset;         /* 0: the view's */
    int repl_db;               /* "repl-stream-db": selected in the stream at that offset; a real replica goes on with it */
    bool aof_base;

    /* Sources of function libraries, one a call; ERR_NOT_FOUND: no more. NULL: none. Borrowed until the next call. */
    enum err (*function)(void *context, size_t index, struct slice *source);
    void *function_context;

    /* Now and then: how many keys have gone; true: stop with ERR_CLOSED. NULL: not wanted. */
    bool (*progress)(void *context, uint64_t keys);
    void *progress_context;
};

struct rdb_save_figures {
    uint64_t keys, bytes;
};

/* Writes all databases. *figures may be NULL. Errors: those of push and of the disk; ERR_CORRUPT. */
enum err rdb_save(struct set_view *view, const struct rdb_save_options *options,
                  struct rdb_save_figures *figures) WARN_UNUSED;

/*
 * One key of a view for the encoder (rdb_writer_key, rdb_encode): the value is read while it is written. `w` and the key must stay
 * where they are until then.
 */
struct rdb_view_walk { /* private */
    struct set_view *view;
    const struct set_view_key *key;
    struct slice run, tail; /* packed runs still to be walked */
    size_t at;
    uint64_t rows, position; /* rows still to come; bytes of a string given */
    bool rows_open;
    struct slice chunk;      /* of a string: read, not given yet */
    uint64_t chunk_at;
};
void rdb_view_value(struct rdb_view_walk *w, struct set_view *view, const struct set_view_key *key,
                    struct rdb_value *out);

#endif
