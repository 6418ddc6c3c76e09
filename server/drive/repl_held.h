/*
 * repl_held.h - checkpoints that are held while replicas copy them.
 *
 * Several replicas share one. One that nobody uses stays for repl-copy-hold-seconds, so that a replica whose link broke, or that
 * is started again, goes on where it stopped; less when the disk fills up. Its files are hard links: they cost nothing until
 * the store has replaced its own.
 * Threads: any; taking one waits for the disk.
 */
#ifndef CAIRN_SERVER_DRIVE_REPL_HELD_H
#define CAIRN_SERVER_DRIVE_REPL_HELD_H

#include "persistence/history.h"
#include "persistence/vfs.h"
#include "server/drive/copy_frame.h"

struct repl;

struct held { /* constant but for the last group */
    char id[COPY_ID_BYTES + 1];
    char replid[HISTORY_ID_BYTES + 1]; /* of the history that the position is on */
    char dir[VFS_PATH_MAX];
    lsn_t lsn;
    struct buf manifest;
    uint64_t *file_bytes; /* by number */
    size_t files;
    uint64_t bytes;
    int hold;             /* the log behind the position stays readable */
    /* Under the lock of all */
    struct held *next;
    unsigned users;
    msec_t unused_ms;
};

struct helds;
struct helds *helds_open(struct repl *r); /* removes what an earlier life left */
void helds_close(struct helds *all);      /* and removes all; NULL is fine. Nobody uses one */

/*
 * The checkpoint that the replica knows, else a young one, else a new one. ERR_INVALID: the data cannot be copied by
 * files; ERR_NO_SPACE: the disk is nearly full. Every get needs a put.
 */
enum err held_get(struct helds *all, const struct copy_place *known, struct held **out) WARN_UNUSED;
void held_put(struct helds *all, struct held *h);
/* Drops what is unused for too long, of another history, or in the way on a full disk. */
void helds_tick(struct helds *all, msec_t now_ms);
void helds_figures(struct helds *all, size_t *count, uint64_t *bytes);

/* Removes a folder of plain files and folders of such. */
void folder_remove(const char *path);

#endif
