/*
 * lost_writes.h - what only this node's log has, saved to a file before a copy of another history takes its place.
 *
 *   lost-writes-20261121T121314Z-<8 digits of the history>-<from>-<to>-<commands>.resp
 *
 * The file holds the commands of the positions from .. to as RESP, as they were sent to replicas, with a SELECT in front where
 * the database changes: `redis-cli --pipe` would run them again. Pings and other marks that change nothing are left out.
 * A file has its name only when it is whole and durable. All files together are bounded: the oldest go first.
 */
#ifndef CAIRN_PERSISTENCE_LOST_WRITES_H
#define CAIRN_PERSISTENCE_LOST_WRITES_H

#include "base/err.h"
#include "base/types.h"

#include <stdbool.h>

struct vfs;
struct wal;

enum { LOST_WRITES_NAME_MAX = 160 };

struct lost_writes {
    char name[LOST_WRITES_NAME_MAX]; /* "": nothing to save */
    uint64_t commands, bytes;        /* in the file */
    uint64_t of_databases;           /* of them: FLUSHDB (FLUSHALL is one for each database) and SWAPDB. 0 for a file that was found */
    bool cut;                        /* there was more than bytes_max: the last commands are missing */
    bool late;                       /* the log no longer reaches back to `from`: the first commands are missing */
};

/*
 * Saves what the log has behind position `from` to a file in dir; a file that an earlier call made of the same positions is
 * found and kept. bytes_max: of this file. On failure the folder is as before. The log must not grow meanwhile.
 */
enum err lost_writes_save(struct vfs *vfs, struct wal *wal, const char *dir, lsn_t from, uint64_t bytes_max,
                          struct lost_writes *out) WARN_UNUSED;

struct lost_writes_sum {
    uint64_t files, commands, bytes;
    char last[LOST_WRITES_NAME_MAX]; /* the newest; "" */
};
enum err lost_writes_sum(struct vfs *vfs, const char *dir, struct lost_writes_sum *out) WARN_UNUSED;

/* Removes the oldest files until all have at most bytes_max; the newest stays. */
enum err lost_writes_bound(struct vfs *vfs, const char *dir, uint64_t bytes_max) WARN_UNUSED;

#endif
