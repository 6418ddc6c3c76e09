/*
 * wal_help.h - what the log's tests share: options for a log on a fake disk, changes to append, reading all back.
 */
#ifndef CAIRN_TESTS_WAL_HELP_H
#define CAIRN_TESTS_WAL_HELP_H

#include "base/buf.h"
#include "persistence/wal.h"
#include "persistence/wal_reader.h"

/* Small segments, no threads, nothing sealed, a hook that only remembers. */
struct help_fatal {
    unsigned count;
    enum err e;
    char text[512];
};
struct wal_options help_options(struct help_fatal *fatal);

/* Appends "SET key:<number> <size x 'v'>" to db, and its text to *stream if that is not NULL; returns its end. wal NULL:
 * only the text. */
lsn_t help_set(struct wal *wal, unsigned db, unsigned number, size_t size, struct buf *stream);

/* No event log: the faults are meant. */
void wal_help_quiet(void);

/* The same as one frame of MULTI, n SETs, EXEC. */
lsn_t help_multi(struct wal *wal, unsigned db, unsigned n, struct buf *stream);

/* "*2\r\n$6\r\nSELECT ..." */
void help_select(struct buf *stream, unsigned db);

/* All texts from position `from` on into *stream; returns how the reader ended. Fails the test on gaps. */
enum err help_read(struct wal *wal, lsn_t from, struct buf *stream);
enum err help_read_dir(struct vfs *vfs, const char *dir, struct buf *stream);

#endif
