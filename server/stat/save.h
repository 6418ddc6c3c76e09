/*
 * save.h - SAVE and BGSAVE: a durable checkpoint. Everything changed so far is drained into the store's files and the
 * log is synced, so that a start after it has next to nothing to replay.
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
void save_free(struct save *s); /* none is under way; accepts NULL */

/* Waits for the disk. ERR_AGAIN: one is under way already. */
enum err save_now(struct save *s) WARN_UNUSED;

/* Returns at once; a pool thread does it. ERR_AGAIN as above. */
enum err save_in_background(struct save *s) WARN_UNUSED;

struct save_figures {
    bool running;
    bool ok;            /* the last one; true before the first */
    int64_t last_s;     /* unix time of the last that succeeded, or of the start */
    int64_t duration_s; /* of the last; -1: none yet */
    int64_t running_s;  /* since it began; -1: none is under way */
    uint64_t count;     /* that succeeded */
    uint64_t changes;   /* frames of the log since the last one */
};
void save_figures(struct save *s, struct save_figures *out);

#endif
