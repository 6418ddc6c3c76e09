/*
 * seal.c - verify, compress, replace atomically. Level 1: a log is written much more often than it is read.
 */
#include "persistence/seal.h"

#include "base/hash.h"
#include "persistence/atomic_file.h"
#include "persistence/segment.h"
#include "persistence/vfs.h"

#include <inttypes.h>
#include <zstd.h>

enum { LEVEL = 1 };

/* Sealing is for good, so a damaged file must not become one with a fresh checksum. */
static enum err verify(struct segment *s, lsn_t end, msec_t *time_ms)
{
    uint64_t offset = SEGMENT_HEADER_BYTES;
    lsn_t position = s->head.first;
    struct frame f;
    enum err e;

    *time_ms = s->head.time_ms;
    while ((e = segment_frame(s, offset, position, &f)) == OK) {
        offset += f.bytes.size;
        position = f.end;
        *time_ms = f.head.time_ms;
    }
    if (e == ERR_NOT_FOUND && position == end)
        return OK;
    if (e == ERR_NOT_FOUND || e == ERR_AGAIN)
        return err_set(ERR_CORRUPT, "%s: ends at position %" PRIu64 ", not %" PRIu64, s->name, position, end);
    return err_context(e, "%s, offset %" PRIu64, s->name, offset);
}

static enum err pack(struct slice raw, const struct segment *s, lsn_t end, msec_t time_ms, struct buf *out)
{
    size_t bound = ZSTD_compressBound(raw.size), n;
    struct segment_seal_head head = {
        .first = s->head.first,
        .end = end,
        .time_ms = time_ms,
        .raw_bytes = raw.size,
        .raw_sum = hash_sum(raw),
    };

    segment_seal_head_write(buf_reserve(out, SEGMENT_SEALED_HEADER_BYTES + bound), &head);
    n = ZSTD_compress(out->data + SEGMENT_SEALED_HEADER_BYTES, bound, raw.data, raw.size, LEVEL);
    if (ZSTD_isError(n))
        return err_set(ERR_NO_MEMORY, "%s: %s", s->name, ZSTD_getErrorName(n));
    out->size = SEGMENT_SEALED_HEADER_BYTES + n;
    return OK;
}

static enum err seal_open(struct segment *s, const char *dir, lsn_t end, uint64_t *bytes)
{
    struct buf packed = {0};
    struct slice raw;
    msec_t time_ms;
    enum err e;

    if (s->sealed) { /* the last attempt failed behind its rename */
        TRY(s->vfs->sync_dir(s->vfs->context, dir));
        *bytes = s->file_bytes;
        return OK;
    }
    TRY(segment_peek(s, 0, s->file_bytes, &raw)); /* all of it: the walk below stays in this window */
    if (raw.size != s->file_bytes)
        return err_set(ERR_IO, "%s: %zu bytes read of %" PRIu64, s->name, raw.size, s->file_bytes);
    TRY(verify(s, end, &time_ms));
    TRY(segment_peek(s, 0, s->file_bytes, &raw));
    e = pack(raw, s, end, time_ms, &packed);
    if (e == OK)
        e = atomic_file_write(s->vfs, dir, s->name, buf_slice(&packed));
    if (e == OK)
        *bytes = packed.size;
    buf_free(&packed);
    return e;
}

enum err seal_segment(struct vfs *vfs, const char *dir, const char *name, lsn_t end, uint64_t *bytes)
{
    struct segment s;
    enum err e;

    TRY(segment_open(vfs, dir, name, &s));
    e = seal_open(&s, dir, end, bytes);
    segment_close(&s);
    return e;
}
