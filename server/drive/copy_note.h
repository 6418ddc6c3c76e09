/*
 * copy_note.h - the file DIR/receive/note, from which a restart knows what it has of a whole copy. Little endian.
 *
 *     0    8  "CNnote1\n"
 *     8   40  the copy's id
 *    48   64  the boot of the machine in which it was written, filled with zeros
 *   112       the copy's MANIFEST, as a frame (copy_frame.h)
 *             then a row per piece, in the order of the copy, without gaps:
 *                 0  4 file     8  8 offset in the file     24  8 XXH3 of bytes 0 .. 23
 *                 4  4 bytes   16  8 XXH3 of the piece
 *
 * A row follows when its piece has been written. Nothing is synced: in the same boot what was written is there; in another one
 * each piece is compared with its sum.
 */
#ifndef CAIRN_SERVER_DRIVE_COPY_NOTE_H
#define CAIRN_SERVER_DRIVE_COPY_NOTE_H

#include "persistence/vfs.h"
#include "server/drive/copy_frame.h"

enum { COPY_NOTE_BYTES_MAX = 256 << 20 };

struct copy_note {
    char id[COPY_ID_BYTES + 1];
    char boot[VFS_BOOT_MAX];
    struct slice manifest, pieces; /* borrowed from the bytes */
};

struct copy_piece {
    uint32_t file, bytes;
    uint64_t offset, sum;
};

/* All but the pieces. */
void copy_note_append(struct buf *out, const struct copy_note *n);
/* ERR_CORRUPT: no note. The manifest and the pieces are not looked into. */
enum err copy_note_parse(struct slice bytes, struct copy_note *out) WARN_UNUSED;

void copy_piece_append(struct buf *out, const struct copy_piece *p);
/* Takes one from the front. False: there is no whole one, or it was altered. */
bool copy_piece_take(struct slice *pieces, struct copy_piece *out);

/* How far a copy has come. */
struct copy_progress {
    const uint64_t *file_bytes; /* by number, borrowed */
    size_t files;
    uint32_t file;              /* the next byte's; files: all is there */
    uint64_t offset, have;      /* in the file; of all files */
};

/* Whether the next piece may be this one. */
bool copy_progress_fits(const struct copy_progress *at, uint32_t file, uint64_t offset, uint64_t bytes);
/* True: the file is whole, the next piece is of another one. */
bool copy_progress_add(struct copy_progress *at, uint64_t bytes);

#endif
