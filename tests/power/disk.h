/*
 * disk.h - what the disk would forget: of files and folders below one place, everything that no fsync has made durable.
 *
 * Of powercut.c only, which sees the program's calls. All functions but disk_begin and disk_path want disk_lock held.
 * Nothing here is visible outside of the library: it is loaded into a program with names of its own.
 */
#ifndef CAIRN_TESTS_POWER_DISK_H
#define CAIRN_TESTS_POWER_DISK_H

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

/* The C library's own functions: powercut.c finds them. */
#define REAL(name) ((__typeof__(&name))real_##name)
extern void *real_open, *real_close, *real_write, *real_pwrite, *real_ftruncate, *real_rename, *real_unlink, *real_mkdir;

struct file;

enum change_kind { CREATED, UNLINKED, RENAMED, MADE_DIR };

struct change { /* Of a folder; the youngest first. */
    struct change *older;
    enum change_kind kind;
    char path[PATH_MAX];   /* created, unlinked, made: the name. renamed: the new name */
    char from[PATH_MAX];   /* renamed: the old name */
    char hidden[PATH_MAX]; /* where the destroyed file lives on, or "" */
};

extern pthread_mutex_t disk_lock; /* recursive */

/* Changes below folder count from now on, and a byte on the FIFO cuts the power. seed: 0, or that of what survives. */
void disk_begin(const char *folder, const char *fifo, uint64_t seed);
bool disk_awake(void); /* it was begun */

/* The absolute path without "." and "..": false when it is not below the folder. As openat: folder may be AT_FDCWD. */
bool disk_path(int folder, const char *path, char out[PATH_MAX]);
void disk_hidden_name(char out[PATH_MAX]); /* a new one, for a file that is to live on */
void disk_complain(const char *what, const char *path);

/* The regular file behind fd, made known if it is new; fresh: it has just been created. NULL: no regular file. */
struct file *disk_file(int fd, bool fresh);
/* Before bytes [offset, offset + count) change: keeps those of them that are durable. */
void disk_keep_old(struct file *f, int fd, off_t offset, off_t count);
void disk_keep_behind(struct file *f, int fd, off_t size); /* the same for all bytes behind size */
void disk_make_durable(struct file *f);
void disk_before_write(int fd, off_t offset, off_t count); /* offset below 0: where the descriptor stands */
void disk_after_write(int fd);                             /* of O_SYNC and O_DSYNC descriptors: durable */

struct change *disk_remember(enum change_kind kind, const char *path); /* the caller fills in the rest */
void disk_folder_durable(const char *folder);

#pragma GCC visibility pop

#endif
