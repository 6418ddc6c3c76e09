/*
 * segment.h - one file of the log: its name, its header, and reading it, raw or sealed.
 *
 * Name: "<generation, 8 hex>-<first position, 20 decimal>.log". A sealed segment has the same name: the compressed file
 * is renamed over the raw one, so at every moment there is exactly one; the magic tells which.
 *
 *   raw     offset  size                                 sealed  offset  size
 *                0     8  magic "CAIRNLOG"                            0     8  magic "CAIRNZST"
 *                8     8  sum: XXH3 of bytes 16 .. 47                 8     8  sum: XXH3 of bytes 16 .. 63
 *               16     4  version, 1                                 16     4  version, 1
 *               20     2  db selected before its first frame         20     4  zero
 *                         (0xFFFF: none)                             24     8  first position
 *               22     2  zero                                       32     8  end position
 *               24     8  first position                             40     8  time of the last frame, unix ms
 *               32     8  history id at its beginning                48     8  bytes of the raw file
 *               40     8  time it was begun, unix ms                 56     8  sum: XXH3 of the raw file
 *               48        frames, one behind the other               64        the raw file as one zstd frame
 *
 * Frames in a segment are contiguous: each begins at the position where the one before ended, the first at `first`. Zeros from behind
 * a frame to the end of a raw file are no part of the log: room for what comes (wal_room.c).
 */
#ifndef CAIRN_PERSISTENCE_SEGMENT_H
#define CAIRN_PERSISTENCE_SEGMENT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/types.h"
#include "persistence/frame.h"

struct vfs;

enum {
    SEGMENT_HEADER_BYTES = 48,
    SEGMENT_SEALED_HEADER_BYTES = 64,
    SEGMENT_NAME_MAX = 40,
    SEGMENT_WINDOW_BYTES = 256 << 10,
    SEGMENT_DB_NONE = 0xFFFF,
};
#define SEGMENT_RAW_BYTES_MAX (UINT64_C(1) << 40) /* a sealed header that claims more is damage */

void segment_name(char out[SEGMENT_NAME_MAX], uint32_t generation, lsn_t first);
bool segment_name_parse(const char *name, uint32_t *generation, lsn_t *first);

struct segment_head {
    lsn_t first;
    uint64_t history;
    msec_t time_ms;
    uint16_t db;
};

void segment_head_write(uint8_t out[SEGMENT_HEADER_BYTES], const struct segment_head *head);

struct segment_seal_head {
    lsn_t first, end;
    msec_t time_ms;
    uint64_t raw_bytes, raw_sum;
};

void segment_seal_head_write(uint8_t out[SEGMENT_SEALED_HEADER_BYTES], const struct segment_seal_head *head);

/* An open segment. One thread at a time. */
struct segment {
    struct vfs *vfs;
    char name[SEGMENT_NAME_MAX];
    int handle;             /* -1: closed */
    bool sealed;
    struct segment_head head;
    lsn_t sealed_end;       /* sealed: from its header */
    msec_t sealed_time_ms;
    uint64_t raw_bytes;     /* sealed: of the raw file */
    uint64_t raw_sum;
    uint64_t file_bytes;    /* on disk, when it was opened */
    struct buf window;      /* raw: a part of the file from window_offset on; sealed: the raw file, or empty */
    uint64_t window_offset;
};

/*
 * Opens dir/name and reads its header. ERR_NOT_FOUND: no file. ERR_CORRUPT: no valid header (as after a power cut just
 * behind its creation). A sealed file is decompressed when its frames are first read.
 */
enum err segment_open(struct vfs *vfs, const char *dir, const char *name, struct segment *out) WARN_UNUSED;

/* The same without believing the header: the file is taken for a raw one that begins where its name says. For
 * looking through what a damaged file still holds. */
enum err segment_open_headless(struct vfs *vfs, const char *dir, const char *name, struct segment *out) WARN_UNUSED;

void segment_close(struct segment *s); /* closed already is fine */

/*
 * The bytes at `offset` of the raw file, at least `size` if the file has them, else what it has (down to none). They
 * are borrowed until the next call. ERR_IO: could not be read. ERR_CORRUPT: a sealed file does not decompress.
 */
enum err segment_peek(struct segment *s, uint64_t offset, uint64_t size, struct slice *out) WARN_UNUSED;

/*
 * The frame at `offset` of the raw file, which must begin at `position`. Borrowed until the next call.
 * ERR_NOT_FOUND: the file ends exactly here, or has nothing but zeros from here on. ERR_AGAIN: it ends inside the frame.
 * ERR_CORRUPT: no such frame.
 */
enum err segment_frame(struct segment *s, uint64_t offset, lsn_t position, struct frame *out) WARN_UNUSED;

/* What was found behind a place where no frame could be read. */
struct segment_behind {
    uint64_t frames;   /* valid frames whose start is beyond the place */
    uint64_t offset;   /* of the first of them */
    lsn_t position;    /* its start */
    lsn_t synced;      /* the largest position that they prove to have been durable */
    bool gave_up;      /* too many false beginnings: it is not known what is there */
};

/* Looks at every byte from `offset` on for frames that begin beyond `position`; adds to *io (zeroed before the first). */
enum err segment_search(struct segment *s, uint64_t offset, lsn_t position, struct segment_behind *io) WARN_UNUSED;

#endif
