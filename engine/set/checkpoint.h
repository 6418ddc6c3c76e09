/*
 * checkpoint.h - all databases as they are at one log position, as files: what a whole copy between nodes of this kind is.
 *
 *     TRY(set_checkpoint_take(set, dir, &c));           the source: dir/0.sst ... are hard links
 *     ... the files and what c says about them travel ...
 *     TRY(set_stage_clear(set));                        the destination
 *     TRY(set_checkpoint_place(set, &c, dir));          the stage is these files
 *     TRY(set_stage_commit(set, id, c.lsn, ...));
 *
 * The copy is of one history: positions, last changes, ids and counts mean the same in both places.
 * Threads: any that may wait for the disk and holds no slot.
 */
#ifndef CAIRN_ENGINE_SET_CHECKPOINT_H
#define CAIRN_ENGINE_SET_CHECKPOINT_H

#include "base/err.h"
#include "base/types.h"
#include "engine/store/files.h"

struct set;

enum { SET_CHECKPOINT_DATABASES_MAX = 16384 };

struct set_checkpoint_db {
    unsigned db;
    struct store_files list; /* at least one file */
};

struct set_checkpoint {
    lsn_t lsn;         /* holds exactly the frames up to here */
    uint64_t id_limit; /* ids of collections in it are below */
    struct set_checkpoint_db *dbs; /* ascending by db; files are numbered through all of them, from 0 */
    size_t count;
    uint64_t pause_us; /* how long commands stood still */
};
void set_checkpoint_free(struct set_checkpoint *c); /* leaves an empty one; not the files */
size_t set_checkpoint_files(const struct set_checkpoint *c);
uint64_t set_checkpoint_bytes(const struct set_checkpoint *c);

/*
 * Links the files of all databases into dir, which exists and is empty. Commands stop for the moment that the last drain and
 * flush take. ERR_INVALID: a database has range deletions in its files, and cannot be copied so. What was linked before a
 * failure stays for the caller to remove. The files cost no space until the store has replaced its own.
 */
enum err set_checkpoint_take(struct set *s, const char *dir, struct set_checkpoint *out) WARN_UNUSED;

/*
 * The empty stage becomes the files of the checkpoint, which are durable and are moved. ERR_INVALID: this set has fewer databases.
 * After a failure the stage is to be cleared.
 */
enum err set_checkpoint_place(struct set *s, const struct set_checkpoint *c, const char *dir) WARN_UNUSED;

#endif
