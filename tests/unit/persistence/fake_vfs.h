/*
 * fake_vfs.h - a disk in memory that fails when told and forgets what was not synced when its power is cut.
 *
 * A file has its bytes as the processes see them and as they are on stable storage; a directory has its names twice in
 * the same way. One lock: usable from many threads.
 */
#ifndef CAIRN_TESTS_FAKE_VFS_H
#define CAIRN_TESTS_FAKE_VFS_H

#include "base/buf.h"
#include "persistence/vfs.h"

#include <pthread.h>

enum fake_cut {
    FAKE_CUT_DROP, /* every unsynced byte is lost */
    FAKE_CUT_TEAR, /* of every unsynced page and name, by chance */
};

struct fake_file {
    struct buf now, stable;
};

struct fake_name {
    char path[128];
    struct fake_file *file;
};

struct fake_names {
    struct fake_name *all;
    size_t count;
};

struct fake {
    struct vfs vfs;
    pthread_mutex_t lock;
    struct fake_file **files; /* all that ever were */
    size_t files_count;
    struct fake_names now, stable;
    struct fake_file *handles[1024];
    unsigned boot;
    uint64_t random;
    /* Set by tests */
    uint64_t fail_at;        /* this changing call fails, and (sticky) all after it; 0: none */
    bool sticky;
    enum err fail_with;
    bool fail_reads;
    uint64_t free_bytes;
    msec_t now_ms;
    /* Counted */
    uint64_t changes;        /* calls that change something: open to create, write, sync, truncate, rename, unlink ... */
    uint64_t syncs, writes;
};

struct fake *fake_new(uint64_t seed);
void fake_free(struct fake *f);

/* A copy of all files (stable and not), with no open handles. */
struct fake *fake_clone(const struct fake *f);

/* The machine restarts: handles are gone, boot changes. */
void fake_power_cut(struct fake *f, enum fake_cut how);

/* The process ends: handles are gone, all bytes stay. */
void fake_process_end(struct fake *f);

/* What the processes see; NULL: no such file. */
struct buf *fake_bytes(struct fake *f, const char *path);

/* The path of the index-th name that ends in `suffix`, in order of names; NULL beyond the last. */
const char *fake_path(struct fake *f, const char *suffix, size_t index);
size_t fake_count(struct fake *f, const char *suffix);

#endif
