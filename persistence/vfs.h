/*
 * vfs.h - the few file operations that the log and the atomic files need, as a struct, so that tests can put a disk
 * there that fails the N-th call or loses power.
 *
 * Conventions of every body:
 * (1) ERR_NOT_FOUND: no such file; ERR_NO_SPACE: the disk is full; ERR_IO: anything else; err_text says which call.
 * (2) read_at and write_at do the whole size: read_at stops early only at the end of the file, and a read error is
 *     never an end of file; write_at has written everything when it returns OK and an unknown part of it when not.
 * (3) A name (after create, rename, unlink) is durable after sync_dir, the bytes of a file after sync, and not before.
 * Threads: every operation may be called from any thread.
 */
#ifndef CAIRN_PERSISTENCE_VFS_H
#define CAIRN_PERSISTENCE_VFS_H

#include "base/err.h"
#include "base/slice.h"
#include "base/types.h"

enum vfs_mode {
    VFS_READ,   /* must exist */
    VFS_WRITE,  /* must exist; reads too */
    VFS_CREATE, /* created, or emptied if it exists; reads too */
};

enum { VFS_BOOT_MAX = 64, VFS_PATH_MAX = 4096 };

typedef void vfs_each(void *context, const char *name);

struct vfs {
    void *context;
    enum err (*open)(void *context, const char *path, enum vfs_mode mode, int *handle);
    void (*close)(void *context, int handle);
    enum err (*read_at)(void *context, int handle, void *buffer, size_t size, uint64_t offset, size_t *got);
    enum err (*write_at)(void *context, int handle, struct slice bytes, uint64_t offset);
    enum err (*sync)(void *context, int handle); /* fdatasync */
    enum err (*truncate)(void *context, int handle, uint64_t size);
    enum err (*size)(void *context, int handle, uint64_t *size);
    enum err (*rename)(void *context, const char *from, const char *to); /* replaces `to` atomically */
    enum err (*unlink)(void *context, const char *path);
    enum err (*make_dir)(void *context, const char *path); /* OK if it exists */
    enum err (*list)(void *context, const char *dir, vfs_each *each, void *each_context); /* plain files, any order */
    enum err (*sync_dir)(void *context, const char *dir);
    enum err (*free_space)(void *context, const char *dir, uint64_t *bytes);
    msec_t (*now_ms)(void *context);        /* unix time, a few milliseconds coarse, cheap */
    uint64_t (*monotonic_us)(void *context);
    /* A text that is the same as long as the machine has not restarted: what was written is then still there. */
    void (*boot)(void *context, char out[VFS_BOOT_MAX]);
};

/* The real one; never freed. */
struct vfs *vfs_posix(void);

/* "dir/name" into out; check()s that it fits. */
void vfs_path(char out[VFS_PATH_MAX], const char *dir, const char *name);

#endif
