/*
 * rdb_input.h - bytes of an RDB file or payload, taken from the front: from memory, or from a source that is asked for
 * more. Numbers, lengths and strings as the format has them.
 *
 * The bytes are outside bytes: whatever they say, no read goes beyond them, and no memory is allocated for bytes that
 * have not arrived. What does not fit the format, and an early end, is ERR_CORRUPT with the offset in the text.
 */
#ifndef CAIRN_PERSISTENCE_RDB_RDB_INPUT_H
#define CAIRN_PERSISTENCE_RDB_RDB_INPUT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Puts up to `room` bytes at `out`, waiting for at least one; *got 0 is the end. An error ends the reading. */
typedef enum err rdb_pull(void *context, uint8_t *out, size_t room, size_t *got);

enum { RDB_WINDOW_BYTES = 256 << 10 };
#define RDB_STRING_BYTES_MAX ((uint64_t)1 << 32) /* longer ones are refused */

struct rdb_input { /* private, but for whoever embeds it */
    const uint8_t *data; /* the window */
    size_t at, size;
    size_t summed;       /* bytes of the window that are in crc already */
    uint64_t base;       /* offset of data[0] in the whole */
    uint64_t crc;
    bool sums;           /* whether crc is wanted */
    uint8_t *window;     /* owned; NULL: memory */
    rdb_pull *pull;
    void *context;
};

/* The bytes are borrowed until rdb_input_fini. */
void rdb_input_memory(struct rdb_input *in, struct slice bytes);
void rdb_input_stream(struct rdb_input *in, rdb_pull *pull, void *context);
void rdb_input_fini(struct rdb_input *in);

/* Bytes taken so far. */
static inline uint64_t rdb_input_offset(const struct rdb_input *in)
{
    return in->base + in->at;
}

/* CRC64 of everything taken since the beginning; only with in->sums set before the first byte. */
uint64_t rdb_input_crc(struct rdb_input *in);

/* ERR_CORRUPT with the offset in front of the text. */
enum err rdb_bad(const struct rdb_input *in, const char *format, ...) __attribute__((format(printf, 2, 3)));

enum err rdb_get_bytes(struct rdb_input *in, void *out, size_t size) WARN_UNUSED;
enum err rdb_get_byte(struct rdb_input *in, uint8_t *out) WARN_UNUSED;
enum err rdb_get_u32(struct rdb_input *in, uint32_t *out) WARN_UNUSED; /* little endian */
enum err rdb_get_u64(struct rdb_input *in, uint64_t *out) WARN_UNUSED;
enum err rdb_get_double(struct rdb_input *in, double *out) WARN_UNUSED; /* binary; NaN is refused */
enum err rdb_get_double_text(struct rdb_input *in, double *out) WARN_UNUSED; /* the form of type 3 */
enum err rdb_get_length(struct rdb_input *in, uint64_t *out) WARN_UNUSED;

/* A whole string of any form. *out borrows from the window or from scratch: until the next call with either. */
enum err rdb_get_string(struct rdb_input *in, struct buf *scratch, struct slice *out) WARN_UNUSED;

/*
 * The same for a value that may be long: when it is a plain run of more than `whole_max` bytes, *rest says how many are
 * to be taken by rdb_get_run, *out is empty, and nothing is read ahead. Else *rest is 0.
 */
enum err rdb_get_string_head(struct rdb_input *in, size_t whole_max, struct buf *scratch, struct slice *out,
                             uint64_t *rest) WARN_UNUSED;

/* The next 1 .. max bytes of such a run, as they lie in the window; borrowed until the next call. */
enum err rdb_get_run(struct rdb_input *in, uint64_t max, struct slice *out) WARN_UNUSED;

#endif
