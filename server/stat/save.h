/*
 * save.h - SAVE and BGSAVE: all databases as they are at one moment, in an RDB file (dir, dbfilename) that Redis reads. The
 * file is written beside the old one, synced, and takes its place. Cairn itself does not need it.
 *
 * A checkpoint is something else: everything changed so far is drained into the store's files and the log is synced, so that
 * a start after it has next to nothing to replay. Each save begins with one.
 *
 * Threads: everything from any thread.
 */
#ifndef CAIRN_SERVER_STAT_SAVE_H
#define CAIRN_SERVER_STAT_SAVE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/types.h"

struct save;
struct node;

struct save *save_new(struct node *n);
void save_free(struct save *s); /* a save that is under way is stopped; no checkpoint may be; accepts NULL */

/* Waits for the disk. ERR_AGAIN: one is under way already. */
enum err save_now(struct save *s) WARN_UNUSED;

/* Returns at once; a thread of its own does it. ERR_AGAIN as above. */
enum err save_in_background(struct save *s) WARN_UNUSED;

/* Returns at once; a pool thread makes a checkpoint. ERR_AGAIN: one is being made. */
enum err save_checkpoint(struct save *s) WARN_UNUSED;

struct save_figures {
    bool running;
    bool background;    /* and not SAVE itself */
    bool checkpoint;    /* one is being made */
    bool ok;            /* the last one; true before the first */
    int64_t last_s;     /* unix time of the last that succeeded, or of the start */
    int64_t duration_s; /* of the last; -1: none yet */
    int64_t running_s;  /* since it began; -1: none is under way */
    uint64_t count;     /* that succeeded */
    uint64_t changes;   /* frames of the log since the last one */
    uint64_t keys, keys_total; /* of the one that is running */
    uint64_t pause_us;  /* for which the last one stopped commands */
};
void save_figures(struct save *s, struct save_figures *out);

#endif
