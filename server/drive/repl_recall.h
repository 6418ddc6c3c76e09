/*
 * repl_recall.h - how much of a copy that an earlier life began to receive is still there.
 *
 * Threads: the link's.
 */
#ifndef CAIRN_SERVER_DRIVE_REPL_RECALL_H
#define CAIRN_SERVER_DRIVE_REPL_RECALL_H

#include "base/buf.h"
#include "base/err.h"
#include "server/drive/copy_note.h"

struct repl;

struct recall {
    struct repl *repl;
    const char *dir;          /* of the files */
    struct slice pieces;      /* of the note */
    bool compare;             /* with their sums: what was written may not have reached the disk */
    struct copy_progress *at; /* from the copy's beginning to where it can go on */
};

/* Appends the pieces that are there, up to the first that is not, to *note. ERR_CLOSED: the server stops. */
enum err recall_run(const struct recall *r, struct buf *note) WARN_UNUSED;

#endif
