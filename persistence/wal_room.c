/*
 * wal_room.c - zeros behind the log's end, so that a large frame is soon written.
 *
 * Everybody who appended behind a frame waits for its write. What takes time in a write of megabytes is the new pages of the page cache,
 * ten times what the copy into them takes; here they are made before, by writes of zeros in small pieces between which other writes go on.
 *
 * (1) Room is made behind the current segment's end only, and cut off before another segment begins: a segment that is not the last
 *     one ends with its last frame. (A power cut may bring the zeros back; a reader takes zeros up to a file's end for its end:
 *     segment.h.)
 * (2) Room is a favour: if it cannot be made, nothing has happened.
 */
#include "persistence/wal_priv.h"

enum {
    PIECE_BYTES = 256 << 10, /* others wait for the write of one */
    ROOM_MAX = 64 << 20,     /* commands that made room and then changed nothing must not fill the disk */
};

/* Under write_lock. False: there is enough, or no more can be made. */
static bool make_piece(struct wal *wal, size_t size)
{
    static const uint8_t zeros[PIECE_BYTES];
    struct wal_segment current = wal_current_segment(wal);
    uint64_t from = wal->room_end > current.bytes ? wal->room_end : current.bytes;
    enum err e;

    if (current.bytes >= wal->options.segment_bytes || from + size - current.bytes > ROOM_MAX || wal_space_low(wal) ||
        atomic_load_explicit(&wal->failed, memory_order_relaxed))
        return false;
    wal->room_end = from + size; /* even if the write fails: the file may have grown */
    e = wal->vfs->write_at(wal->vfs->context, current.handle, slice_of(zeros, size), from);
    if (e != OK)
        err_clear();
    return e == OK;
}

void wal_room(struct wal *wal, uint64_t bytes)
{
    bool more = bytes >= WAL_QUEUE_LARGE_BYTES;

    while (more && bytes > 0) {
        size_t size = bytes < PIECE_BYTES ? (size_t)bytes : PIECE_BYTES;

        pthread_mutex_lock(&wal->write_lock);
        more = make_piece(wal, size);
        pthread_mutex_unlock(&wal->write_lock);
        bytes -= size;
    }
}

enum err wal_room_cut(struct wal *wal)
{
    struct wal_segment current;
    uint64_t end = wal->room_end;

    if (end == 0) /* the first segment has none in front of it */
        return OK;
    wal->room_end = 0;
    current = wal_current_segment(wal);
    return end > current.bytes ? wal->vfs->truncate(wal->vfs->context, current.handle, current.bytes) : OK;
}
