/*
 * segment.c - names, headers and reading of log files. Everything read is hostile until its sum says otherwise.
 *
 * A raw file is read through a window, so that a tailing reader touches only what is new; a sealed one is decompressed
 * whole. No length from the file is believed before it is compared with the size of the file.
 */
#include "persistence/segment.h"

#include "base/check.h"
#include "base/hash.h"
#include "persistence/vfs.h"

#include <inttypes.h>
#include <stdio.h>
#include <zstd.h>

#define MAGIC_RAW UINT64_C(0x474F4C4E52494143)    /* "CAIRNLOG" */
#define MAGIC_SEALED UINT64_C(0x54535A4E52494143) /* "CAIRNZST" */
enum { VERSION = 1, SEARCH_FACTOR = 64, DECOMPRESS_STEP = 1 << 20 };

struct raw_header {
    uint64_t magic, sum;
    uint32_t version;
    uint16_t db, zero;
    uint64_t first, history, time;
};

_Static_assert(sizeof(struct raw_header) == SEGMENT_HEADER_BYTES, "no padding");

struct sealed_header {
    uint64_t magic, sum;
    uint32_t version, zero;
    uint64_t first, end, time, raw_bytes, raw_sum;
};

_Static_assert(sizeof(struct sealed_header) == SEGMENT_SEALED_HEADER_BYTES, "no padding");

void segment_name(char out[SEGMENT_NAME_MAX], uint32_t generation, lsn_t first)
{
    snprintf(out, SEGMENT_NAME_MAX, "%08" PRIx32 "-%020" PRIu64 ".log", generation, first);
}

bool segment_name_parse(const char *name, uint32_t *generation, lsn_t *first)
{
    char again[SEGMENT_NAME_MAX];
    uint32_t g;
    lsn_t f;

    if (strlen(name) >= sizeof again || sscanf(name, "%8" SCNx32 "-%20" SCNu64 ".log", &g, &f) != 2)
        return false;
    segment_name(again, g, f);
    if (strcmp(name, again) != 0)
        return false;
    *generation = g;
    *first = f;
    return true;
}

void segment_head_write(uint8_t out[SEGMENT_HEADER_BYTES], const struct segment_head *head)
{
    struct raw_header h = {
        .magic = MAGIC_RAW,
        .version = VERSION,
        .db = head->db,
        .first = head->first,
        .history = head->history,
        .time = (uint64_t)head->time_ms,
    };

    h.sum = hash_sum(slice_of((uint8_t *)&h + 16, sizeof h - 16));
    memcpy(out, &h, sizeof h);
}

void segment_seal_head_write(uint8_t out[SEGMENT_SEALED_HEADER_BYTES], const struct segment_seal_head *head)
{
    struct sealed_header h = {
        .magic = MAGIC_SEALED,
        .version = VERSION,
        .first = head->first,
        .end = head->end,
        .time = (uint64_t)head->time_ms,
        .raw_bytes = head->raw_bytes,
        .raw_sum = head->raw_sum,
    };

    h.sum = hash_sum(slice_of((uint8_t *)&h + 16, sizeof h - 16));
    memcpy(out, &h, sizeof h);
}

static enum err head_read_raw(struct segment *s, const uint8_t *bytes)
{
    struct raw_header h;

    memcpy(&h, bytes, sizeof h);
    if (h.sum != hash_sum(slice_of(bytes + 16, sizeof h - 16)))
        return err_set(ERR_CORRUPT, "the checksum of its header does not match");
    if (h.version != VERSION || h.zero != 0)
        return err_set(ERR_CORRUPT, "its version is %u; this program reads %d", h.version, VERSION);
    s->head = (struct segment_head){.first = h.first, .history = h.history, .time_ms = (msec_t)h.time, .db = h.db};
    return OK;
}

static enum err head_read_sealed(struct segment *s, const uint8_t *bytes)
{
    struct sealed_header h;

    memcpy(&h, bytes, sizeof h);
    if (h.sum != hash_sum(slice_of(bytes + 16, sizeof h - 16)))
        return err_set(ERR_CORRUPT, "the checksum of its header does not match");
    if (h.version != VERSION || h.zero != 0 || h.end < h.first || h.raw_bytes < SEGMENT_HEADER_BYTES ||
        h.raw_bytes > SEGMENT_RAW_BYTES_MAX)
        return err_set(ERR_CORRUPT, "its header (version %u) is none that this program reads", h.version);
    s->sealed = true;
    s->head.first = h.first;
    s->sealed_end = h.end;
    s->sealed_time_ms = (msec_t)h.time;
    s->raw_bytes = h.raw_bytes;
    s->raw_sum = h.raw_sum;
    return OK;
}

static enum err head_read(struct segment *s)
{
    uint8_t bytes[SEGMENT_SEALED_HEADER_BYTES] = {0};
    uint64_t magic;
    size_t got;

    TRY(s->vfs->read_at(s->vfs->context, s->handle, bytes, sizeof bytes, 0, &got));
    memcpy(&magic, bytes, sizeof magic);
    if (got >= SEGMENT_HEADER_BYTES && magic == MAGIC_RAW)
        return head_read_raw(s, bytes);
    if (got >= SEGMENT_SEALED_HEADER_BYTES && magic == MAGIC_SEALED)
        return head_read_sealed(s, bytes);
    return err_set(ERR_CORRUPT, "it does not begin with the header of a log segment");
}

/* A damaged sealed file stays a sealed one: what it held was durable, to an end that is not known. */
static enum err head_skip(struct segment *s, lsn_t first)
{
    uint64_t magic = 0;
    size_t got;

    TRY(s->vfs->read_at(s->vfs->context, s->handle, &magic, sizeof magic, 0, &got));
    s->sealed = magic == MAGIC_SEALED && s->file_bytes >= SEGMENT_SEALED_HEADER_BYTES;
    s->sealed_end = s->sealed ? UINT64_MAX : 0;
    s->head.first = first;
    return OK;
}

static enum err open_with(struct vfs *vfs, const char *dir, const char *name, bool header, struct segment *out)
{
    struct segment s = {.vfs = vfs, .handle = -1};
    char path[VFS_PATH_MAX];
    uint32_t generation;
    lsn_t first;
    enum err e;

    check(segment_name_parse(name, &generation, &first));
    snprintf(s.name, sizeof s.name, "%s", name);
    vfs_path(path, dir, name);
    TRY(vfs->open(vfs->context, path, VFS_READ, &s.handle));
    e = vfs->size(vfs->context, s.handle, &s.file_bytes);
    if (e == OK && !header)
        e = head_skip(&s, first);
    if (e == OK && header)
        e = head_read(&s);
    if (e == OK && s.head.first != first)
        e = err_set(ERR_CORRUPT, "its header says that it begins at position %" PRIu64, s.head.first);
    if (e != OK) {
        segment_close(&s);
        return err_context(e, "%s", path);
    }
    *out = s;
    return OK;
}

enum err segment_open(struct vfs *vfs, const char *dir, const char *name, struct segment *out)
{
    return open_with(vfs, dir, name, true, out);
}

enum err segment_open_headless(struct vfs *vfs, const char *dir, const char *name, struct segment *out)
{
    return open_with(vfs, dir, name, false, out);
}

void segment_close(struct segment *s)
{
    if (s->handle >= 0)
        s->vfs->close(s->vfs->context, s->handle);
    s->handle = -1;
    buf_free(&s->window);
    s->window_offset = 0;
}

/* ---- Reading ---- */

/* Decompresses step by step: a header's claim costs no memory before the bytes are really there. */
static enum err decompress(struct segment *s, struct slice packed)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    ZSTD_inBuffer in = {packed.data, packed.size, 0};
    size_t left = 1;
    bool progress = true;

    if (stream == NULL)
        return ERR_NO_MEMORY;
    while (left != 0 && progress && s->window.size <= s->raw_bytes) {
        uint8_t *at = buf_reserve(&s->window, DECOMPRESS_STEP);
        ZSTD_outBuffer out = {at, DECOMPRESS_STEP, 0};
        size_t before = in.pos;

        left = ZSTD_decompressStream(stream, &out, &in);
        progress = !ZSTD_isError(left) && (out.pos > 0 || in.pos > before);
        s->window.size += out.pos;
    }
    ZSTD_freeDStream(stream);
    if (left != 0 || in.pos != in.size || s->window.size != s->raw_bytes || hash_sum(buf_slice(&s->window)) != s->raw_sum)
        return err_set(ERR_CORRUPT, "%s: does not decompress to what was sealed", s->name);
    return OK;
}

static enum err unseal(struct segment *s)
{
    struct buf packed = {0};
    struct raw_header inner;
    size_t size = s->file_bytes - SEGMENT_SEALED_HEADER_BYTES, got;
    enum err e;

    e = s->vfs->read_at(s->vfs->context, s->handle, buf_reserve(&packed, size + 1), size, SEGMENT_SEALED_HEADER_BYTES,
                        &got);
    if (e == OK)
        e = decompress(s, slice_of(packed.data, got));
    if (e == OK) {
        memcpy(&inner, s->window.data, sizeof inner);
        s->head.history = inner.history;
        s->head.db = inner.db;
    } else {
        buf_free(&s->window);
    }
    buf_free(&packed);
    return e;
}

/* Moves the window to begin at offset and to hold at least size bytes, as far as the file has them. */
static enum err window_load(struct segment *s, uint64_t offset, uint64_t size)
{
    uint64_t file, want = size > SEGMENT_WINDOW_BYTES ? size : SEGMENT_WINDOW_BYTES;
    size_t got;

    s->window.size = 0;
    s->window_offset = offset;
    TRY(s->vfs->size(s->vfs->context, s->handle, &file));
    if (file <= offset)
        return OK;
    if (want > file - offset)
        want = file - offset;
    TRY(s->vfs->read_at(s->vfs->context, s->handle, buf_reserve(&s->window, want), want, offset, &got));
    s->window.size = got;
    return OK;
}

enum err segment_peek(struct segment *s, uint64_t offset, uint64_t size, struct slice *out)
{
    uint64_t skip;

    if (s->sealed && s->window.size == 0)
        TRY(unseal(s));
    if (!s->sealed &&
        (offset < s->window_offset || offset - s->window_offset > s->window.size ||
         size > s->window.size - (offset - s->window_offset)))
        TRY(window_load(s, offset, size));
    skip = offset - s->window_offset;
    if (skip > s->window.size)
        skip = s->window.size;
    *out = slice_of(s->window.data + skip, s->window.size - skip);
    return OK;
}

/* Nothing but zeros from here to the end of the file? */
static enum err is_room(struct segment *s, uint64_t offset, bool *room)
{
    struct slice bytes;

    for (*room = true; *room; offset += bytes.size) {
        TRY(segment_peek(s, offset, 1, &bytes));
        if (bytes.size == 0)
            return OK;
        *room = bytes.data[0] == 0 && memcmp(bytes.data, bytes.data + 1, bytes.size - 1) == 0;
    }
    return OK;
}

enum err segment_frame(struct segment *s, uint64_t offset, lsn_t position, struct frame *out)
{
    struct slice bytes;
    struct frame f;
    uint64_t size;
    bool room;
    enum err e;

    TRY(segment_peek(s, offset, FRAME_HEADER_BYTES, &bytes));
    if (bytes.size == 0)
        return ERR_NOT_FOUND;
    e = frame_measure(bytes, &size);
    if (e != OK) {
        TRY(is_room(s, offset, &room));
        return room ? ERR_NOT_FOUND : e;
    }
    if (bytes.size < size)
        TRY(segment_peek(s, offset, size, &bytes));
    TRY(frame_decode(bytes, &f));
    if (f.head.start != position)
        return err_set(ERR_CORRUPT, "a frame begins at position %" PRIu64 " where %" PRIu64 " is due", f.head.start,
                       position);
    *out = f;
    return OK;
}

/* ---- Behind a damaged place ---- */

/* A frame at `offset` that begins beyond `position`? *hashed grows by the bytes that had to be looked at. */
static enum err search_at(struct segment *s, uint64_t offset, lsn_t position, struct frame *f, uint64_t *hashed)
{
    struct slice bytes;
    uint64_t size;

    TRY(segment_peek(s, offset, FRAME_HEADER_BYTES, &bytes));
    TRY(frame_measure(bytes, &size));
    TRY(segment_peek(s, offset, size, &bytes));
    if (bytes.size < size)
        return ERR_AGAIN;
    *hashed += size;
    TRY(frame_decode(bytes, f));
    return f->head.start > position ? OK : ERR_CORRUPT;
}

enum err segment_search(struct segment *s, uint64_t offset, lsn_t position, struct segment_behind *io)
{
    uint64_t hashed = 0, budget;
    const uint32_t magic = FRAME_MAGIC;
    struct slice bytes;
    struct frame f;

    TRY(segment_peek(s, offset, FRAME_HEADER_BYTES, &bytes));
    budget = SEARCH_FACTOR * (uint64_t)(s->sealed ? s->raw_bytes : s->file_bytes);
    while (bytes.size >= FRAME_HEADER_BYTES) {
        const uint8_t *at = memmem(bytes.data + 8, bytes.size - 8, &magic, sizeof magic);
        enum err e;

        if (hashed > budget) {
            io->gave_up = true;
            return OK;
        }
        if (at == NULL) { /* the magic may straddle the window's end */
            offset += bytes.size - FRAME_HEADER_BYTES + 1;
        } else {
            offset += (uint64_t)(at - 8 - bytes.data);
            e = search_at(s, offset, position, &f, &hashed);
            if (e == ERR_IO)
                return e;
            if (e == OK) {
                lsn_t synced = f.head.start - f.head.unsynced;

                if (io->frames++ == 0) {
                    io->offset = offset;
                    io->position = f.head.start;
                }
                if (synced > io->synced)
                    io->synced = synced;
            }
            offset += e == OK ? f.bytes.size : 1;
        }
        TRY(segment_peek(s, offset, FRAME_HEADER_BYTES, &bytes));
    }
    err_clear();
    return OK;
}
