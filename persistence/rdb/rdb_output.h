/*
 * rdb_output.h - bytes of an RDB file or payload, collected and handed on in runs; numbers, lengths and strings as the
 * format has them; listpacks.
 */
#ifndef CAIRN_PERSISTENCE_RDB_RDB_OUTPUT_H
#define CAIRN_PERSISTENCE_RDB_RDB_OUTPUT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Takes the bytes, which are borrowed for the call. An error ends the writing. */
typedef enum err rdb_push(void *context, struct slice bytes);

struct rdb_output {
    struct buf buf;    /* not handed on yet; with push NULL: everything */
    bool compress;     /* LZF for long strings (rdbcompression) */
    uint64_t offset;   /* bytes handed on */
    rdb_push *push;    /* private from here */
    void *context;
    uint64_t crc;      /* of what was handed on */
    struct buf packed; /* scratch */
};

/* push NULL: all bytes stay in buf. */
void rdb_output_init(struct rdb_output *out, rdb_push *push, void *context, bool compress);
void rdb_output_fini(struct rdb_output *out);

/* Hands on what has come together, if it is enough; call it between the pieces of something long. */
enum err rdb_output_flush_some(struct rdb_output *out) WARN_UNUSED;
enum err rdb_output_flush(struct rdb_output *out) WARN_UNUSED;

/* CRC64 of everything from the beginning. Flushes. */
enum err rdb_output_crc(struct rdb_output *out, uint64_t *crc) WARN_UNUSED;

/* All bytes so far. */
static inline uint64_t rdb_output_size(const struct rdb_output *out)
{
    return out->offset + out->buf.size;
}

void rdb_put_byte(struct rdb_output *out, uint8_t byte);
void rdb_put_length(struct rdb_output *out, uint64_t length);
void rdb_put_u64(struct rdb_output *out, uint64_t value); /* little endian */
void rdb_put_double(struct rdb_output *out, double value);
/* In its shortest form: a number, compressed, or plain. */
void rdb_put_string(struct rdb_output *out, struct slice text);

/* ---- Listpacks: begin, entries, end; the bytes are then a string to be put ---- */

void rdb_listpack_begin(struct buf *pack);
void rdb_listpack_add(struct buf *pack, struct slice entry); /* a canonical number is kept as one */
void rdb_listpack_add_score(struct buf *pack, double score);
void rdb_listpack_end(struct buf *pack, uint64_t entries);

#endif
