/*
 * rdb_writer.h - an RDB file (version RDB_VERSION), written piece by piece to whatever takes the bytes.
 *
 *     rdb_writer_open(&options, &w)                     the header
 *     rdb_writer_aux(w, name, value) ...                as many as wanted, rdb_writer_function
 *     rdb_writer_db(w, db, keys, expires)               before the first key of a database
 *     rdb_writer_key(w, key, expire_ms, value) ...
 *     rdb_writer_end(w)                                 EOF and checksum; everything is handed on
 *     rdb_writer_close(w)                               after success or failure
 *
 * After an error of the sink nothing more may be written.
 */
#ifndef CAIRN_PERSISTENCE_RDB_RDB_WRITER_H
#define CAIRN_PERSISTENCE_RDB_RDB_WRITER_H

#include "base/err.h"
#include "base/slice.h"
#include "base/types.h"
#include "persistence/rdb/rdb_encode.h"
#include "persistence/rdb/rdb_output.h"

struct rdb_writer;

struct rdb_writer_options {
    rdb_push *push; /* may wait */
    void *context;
    bool compress;    /* rdbcompression */
    bool no_checksum; /* rdbchecksum no: eight zero bytes */
};

enum err rdb_writer_open(const struct rdb_writer_options *options, struct rdb_writer **out) WARN_UNUSED;
void rdb_writer_close(struct rdb_writer *w); /* accepts NULL */

enum err rdb_writer_aux(struct rdb_writer *w, struct slice name, struct slice value) WARN_UNUSED;
enum err rdb_writer_aux_number(struct rdb_writer *w, struct slice name, int64_t value) WARN_UNUSED;
enum err rdb_writer_function(struct rdb_writer *w, struct slice source) WARN_UNUSED;
enum err rdb_writer_db(struct rdb_writer *w, unsigned db, uint64_t keys, uint64_t expires) WARN_UNUSED;

/* expire_ms 0: none. */
enum err rdb_writer_key(struct rdb_writer *w, struct slice key, msec_t expire_ms,
                        const struct rdb_value *value) WARN_UNUSED;
enum err rdb_writer_end(struct rdb_writer *w) WARN_UNUSED;

uint64_t rdb_writer_bytes(const struct rdb_writer *w); /* written so far */

#endif
