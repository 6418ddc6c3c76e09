/*
 * fuzz_log.c - hostile bytes for everything that reads the log's files. The first byte chooses:
 *
 *   0  the rest is decoded as a frame
 *   1  the rest is a segment file as it is
 *   2  the rest is the frames of a segment whose header and checksums are made right, so that what lies behind the
 *      checksum is reached
 *   3  the rest is a sealed segment whose header's checksum is made right
 *   4  the rest is the history file
 *
 * A segment is opened as a log (like a start does, with and without "accept damage"), read as a directory, and sealed.
 */
#include "base/hash.h"
#include "base/log.h"
#include "persistence/frame.h"
#include "persistence/history.h"
#include "persistence/seal.h"
#include "persistence/segment.h"
#include "persistence/wal.h"
#include "persistence/wal_reader.h"
#include "tests/unit/persistence/fake_vfs.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIRST UINT64_C(100)

static void fatal(void *context, enum err e, const char *text)
{
    (void)context;
    (void)e;
    (void)text;
    abort(); /* nothing fails on this disk */
}

static void put_file(struct fake *disk, const char *name, struct slice bytes)
{
    char path[VFS_PATH_MAX];
    int handle;

    vfs_path(path, "d", name);
    if (disk->vfs.open(disk, path, VFS_CREATE, &handle) != OK ||
        disk->vfs.write_at(disk, handle, bytes, 0) != OK || disk->vfs.sync(disk, handle) != OK)
        abort();
    disk->vfs.close(disk, handle);
}

static void read_directory(struct fake *disk)
{
    struct wal_reader *r;
    struct frame f;
    lsn_t position = 0;

    if (wal_reader_open_dir(&disk->vfs, "d", 0, &r) != OK)
        return;
    while (wal_reader_next(r, &f) == OK) {
        uint64_t sum = 0;

        if (f.head.start < position)
            abort();
        position = f.end;
        for (uint32_t i = 0; i < f.effects; i++)
            sum += frame_effect(&f, i).bytes;
        if (sum != f.text.size + f.local.size || f.text.size != f.end - f.head.start)
            abort();
    }
    wal_reader_close(r);
}

/* A log that opens takes a change and gives it back after the next start. */
static void open_log(struct fake *disk, bool accept_damage, bool restarted)
{
    struct wal_options options = wal_options_default();
    struct journal_effect effect = {.bytes = 14, .slot = SLOT_NODE, .kind = JOURNAL_FLUSH};
    struct wal *wal;
    lsn_t end;

    options.foreground = true;
    options.accept_damage = accept_damage;
    options.fatal = fatal;
    if (restarted)
        fake_power_cut(disk, FAKE_CUT_DROP);
    if (wal_open(&disk->vfs, "d", &options, NULL, &wal) != OK)
        return;
    if (wal_tail(wal) < UINT64_MAX / 2) {
        wal_append(wal, &effect, 1, SLICE_LITERAL("*1\r\n$4\r\nPING\r\n"));
        if (wal_sync_to(wal, wal_tail(wal)) != OK)
            abort();
    }
    end = wal_tail(wal);
    wal_close(wal);
    if (wal_open(&disk->vfs, "d", &options, NULL, &wal) != OK || wal_tail(wal) != end)
        abort();
    wal_close(wal);
}

static void try_segment(struct slice bytes)
{
    char name[SEGMENT_NAME_MAX];
    struct history h = {.generation = 1, .first = FIRST, .boot = "boot-0"};
    struct fake *disk = fake_new(1);
    uint64_t sealed;

    memset(h.replid, 'a', HISTORY_ID_BYTES);
    segment_name(name, 1, FIRST);
    put_file(disk, name, bytes);
    if (history_save(&disk->vfs, "d", &h) != OK)
        abort();
    read_directory(disk);
    struct fake *copy = fake_clone(disk);
    (void)!seal_segment(&copy->vfs, "d", name, FIRST, &sealed);
    open_log(copy, true, false);
    fake_free(copy);
    copy = fake_clone(disk);
    open_log(copy, false, true);
    fake_free(copy);
    open_log(disk, false, false);
    fake_free(disk);
}

/* Gives every frame that claims to fit its checksum and position, and the segment its header. */
static void mend(struct buf *out, struct slice body)
{
    struct segment_head head = {.first = FIRST, .history = 1, .db = SEGMENT_DB_NONE};
    lsn_t position = FIRST;
    size_t offset = SEGMENT_HEADER_BYTES;

    segment_head_write(buf_reserve(out, SEGMENT_HEADER_BYTES), &head);
    out->size = SEGMENT_HEADER_BYTES;
    buf_append_slice(out, body);
    while (out->size - offset >= FRAME_HEADER_BYTES) {
        uint8_t *frame = out->data + offset;
        uint32_t text, effects;
        uint64_t size, sum;

        memcpy(&text, frame + 12, 4);
        memcpy(&effects, frame + 40, 4);
        size = frame_size(effects, text);
        if (size > out->size - offset)
            break;
        memcpy(frame + 16, &position, 8);
        sum = hash_sum(slice_of(frame + 8, size - 8));
        memcpy(frame, &sum, 8);
        position += text;
        offset += size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data + 1, size - 1);
    struct buf made = {0};
    struct history h;
    struct frame f;

    log_level_set(LOG_NOTHING);
    if (size == 0)
        return 0;
    switch (data[0]) {
    case 0:
        if (frame_decode(rest, &f) == OK && f.bytes.size > rest.size)
            abort();
        break;
    case 1: try_segment(rest); break;
    case 2:
        mend(&made, rest);
        try_segment(buf_slice(&made));
        break;
    case 3:
        buf_append_slice(&made, rest);
        if (made.size >= SEGMENT_SEALED_HEADER_BYTES) {
            uint64_t sum = hash_sum(slice_of(made.data + 16, SEGMENT_SEALED_HEADER_BYTES - 16));

            memcpy(made.data + 8, &sum, 8);
        }
        try_segment(buf_slice(&made));
        break;
    case 4:
        if (history_parse(rest, &h) == OK && !history_id_valid(h.replid))
            abort();
        break;
    default: break;
    }
    buf_free(&made);
    return 0;
}
