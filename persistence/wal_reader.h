/*
 * wal_reader.h - the frames of a log in order, from any position: for recovery, replicas and cairn-check.
 *
 * A reader of an open log sees what is written, also while it is being appended to, sealed and trimmed; whoever needs
 * that nothing is trimmed in front of it takes a hold first (wal_hold). A reader of a directory is for logs that
 * nobody has open (of one that is in use it sees some prefix). A reader belongs to one thread.
 */
#ifndef CAIRN_PERSISTENCE_WAL_READER_H
#define CAIRN_PERSISTENCE_WAL_READER_H

#include "base/err.h"
#include "persistence/frame.h"
#include "persistence/segment_dir.h"

struct vfs;
struct wal;
struct wal_reader;

/*
 * from: the first frame that is returned is the one that holds the byte behind position `from` (it may begin before).
 * ERR_RANGE: the log does not reach back so far, or does not go so far; the text says which.
 */
enum err wal_reader_open(struct wal *wal, lsn_t from, struct wal_reader **out) WARN_UNUSED;

/* The same for a directory; from 0: wherever the log begins. ERR_NOT_FOUND: there is no log. */
enum err wal_reader_open_dir(struct vfs *vfs, const char *dir, lsn_t from, struct wal_reader **out) WARN_UNUSED;

void wal_reader_close(struct wal_reader *r); /* accepts NULL */

/*
 * The next frame, borrowed until the next call. ERR_NOT_FOUND: the end (of an open log: for now; later calls go on).
 * ERR_AGAIN: a torn end, directory only: a start would cut here. ERR_CORRUPT: damage, with valid records behind it, or
 * in an open log. ERR_RANGE: trimmed away in front of the reader. ERR_IO. The text names file and offset.
 */
enum err wal_reader_next(struct wal_reader *r, struct frame *out) WARN_UNUSED;

struct wal_reader_place {
    char file[SEGMENT_NAME_MAX];
    bool sealed;
    uint64_t file_bytes; /* on disk, when it was opened */
    uint64_t offset;     /* in the raw file: where the next frame is looked for */
    lsn_t position;      /* which position that must have */
};

/* Where the reader stands: behind the last frame, or at the place that could not be read. */
void wal_reader_place(const struct wal_reader *r, struct wal_reader_place *out);

#endif
