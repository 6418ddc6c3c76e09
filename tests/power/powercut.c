/*
 * powercut.c - a disk that forgets what was not synced. Loaded with LD_PRELOAD into a server.
 *
 * Below the folder POWERCUT_DIR every change goes through to the file system, and what would be needed to take it back is
 * kept until an fsync makes it durable:
 *
 * (1) Of a file: the size that is durable, and the old bytes of whatever overwrote them. fsync, fdatasync, an O_SYNC
 *     write forget them. sync_file_range makes nothing durable.
 * (2) Of a folder: each create, link, unlink, rename and mkdir in it. fsync of the folder forgets them. What an unlink or
 *     rename would destroy lives on under a hidden name in POWERCUT_DIR/.powercut until then.
 * (3) When a byte arrives on the FIFO POWERCUT_FIFO, everything not yet durable is taken back, youngest first, and the
 *     process ends at once with status 99, as if the plug had been pulled.
 *
 * POWERCUT_KEEP=N with N > 0: appended bytes survive in part: a prefix, whose length comes from the seed N. And of the
 * folder changes, the younger ones are lost and the older kept, as a journal would. 0: everything unsynced is lost.
 *
 * POWERCUT_BOOT=UUID: what the program reads as the kernel's boot id, so that a start after a cut looks like one.
 *
 * One lock around everything: tests care for truth, not speed. Writes by stdio are not seen (glibc does not call write
 * through its table), so files written so count as durable; of mappings a shared writable one is reported on stderr.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "disk.h"

#define DECLARE(name) static void *real_##name
#define RESOLVE(name) real_##name = dlsym(RTLD_NEXT, #name)

enum { FDS_MAX = 65536 };

void *real_open, *real_close, *real_write, *real_pwrite, *real_ftruncate, *real_rename, *real_unlink, *real_mkdir; /* disk.c wants them too */
DECLARE(openat);
DECLARE(creat);
DECLARE(writev);
DECLARE(pwritev);
DECLARE(fsync);
DECLARE(fdatasync);
DECLARE(fallocate);
DECLARE(posix_fallocate);
DECLARE(renameat);
DECLARE(unlinkat);
DECLARE(link);
DECLARE(fopen);
DECLARE(dup);
DECLARE(dup2);
DECLARE(sync_file_range);

static unsigned char tracked[FDS_MAX]; /* the descriptor is a regular file below the folder */
static bool resolved;

static void resolve(void)
{
    RESOLVE(open);
    RESOLVE(openat);
    RESOLVE(creat);
    RESOLVE(close);
    RESOLVE(write);
    RESOLVE(pwrite);
    RESOLVE(writev);
    RESOLVE(pwritev);
    RESOLVE(fsync);
    RESOLVE(fdatasync);
    RESOLVE(ftruncate);
    RESOLVE(fallocate);
    RESOLVE(posix_fallocate);
    RESOLVE(rename);
    RESOLVE(renameat);
    RESOLVE(unlink);
    RESOLVE(unlinkat);
    RESOLVE(link);
    RESOLVE(mkdir);
    RESOLVE(fopen);
    RESOLVE(dup);
    RESOLVE(dup2);
    RESOLVE(sync_file_range);
    resolved = true;
}

static inline void ready(void)
{
    if (!resolved)
        resolve();
}

__attribute__((constructor)) static void start(void)
{
    const char *folder = getenv("POWERCUT_DIR"), *fifo = getenv("POWERCUT_FIFO"), *keep = getenv("POWERCUT_KEEP");

    ready();
    if (folder != NULL && fifo != NULL)
        disk_begin(folder, fifo, keep == NULL ? 0 : strtoull(keep, NULL, 10));
}

static bool is_tracked(int fd)
{
    return fd >= 0 && fd < FDS_MAX && tracked[fd];
}

/* ---- What the program calls ---- */

static int opened(int fd, const char *path, bool existed, int flags)
{
    struct stat st;

    if (fd < 0 || fd >= FDS_MAX)
        return fd;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return fd;
    tracked[fd] = 1;
    disk_file(fd, !existed);
    if (!existed && (flags & O_CREAT))
        disk_remember(CREATED, path);
    return fd;
}

static int open_any(int folder, const char *path, int flags, mode_t mode)
{
    char full[PATH_MAX];
    struct stat st;
    bool existed;
    int fd;

    ready();
    if (!disk_path(folder, path, full))
        return REAL(openat)(folder, path, flags, mode);
    pthread_mutex_lock(&disk_lock);
    existed = stat(full, &st) == 0;
    if (existed && (flags & O_TRUNC) && S_ISREG(st.st_mode)) {
        int old = REAL(open)(full, O_RDWR | O_CLOEXEC);

        if (old >= 0) {
            struct file *f = disk_file(old, false);

            disk_keep_old(f, old, 0, st.st_size);
            REAL(close)(old);
        }
    }
    fd = opened(REAL(openat)(folder, path, flags, mode), full, existed, flags);
    pthread_mutex_unlock(&disk_lock);
    return fd;
}

#define MODE_OF(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list ap; \
        va_start(ap, flags); \
        mode = va_arg(ap, mode_t); \
        va_end(ap); \
    }

int open(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return open_any(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return open_any(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return open_any(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return open_any(folder, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int fd)
{
    ready();
    if (is_tracked(fd))
        tracked[fd] = 0;
    return REAL(close)(fd);
}

int dup(int fd)
{
    int copy;

    ready();
    copy = REAL(dup)(fd);
    if (is_tracked(fd) && copy >= 0 && copy < FDS_MAX)
        tracked[copy] = 1;
    return copy;
}

int dup2(int fd, int to)
{
    int copy;

    ready();
    copy = REAL(dup2)(fd, to);
    if (copy >= 0 && copy < FDS_MAX)
        tracked[copy] = (unsigned char)is_tracked(fd);
    return copy;
}

#define GUARDED(fd, offset, count, call) \
    ssize_t result; \
    ready(); \
    if (!is_tracked(fd)) \
        return call; \
    pthread_mutex_lock(&disk_lock); \
    disk_before_write(fd, offset, count); \
    result = call; \
    disk_after_write(fd); \
    pthread_mutex_unlock(&disk_lock); \
    return result

static off_t vector_bytes(const struct iovec *parts, int count)
{
    off_t total = 0;

    for (int i = 0; i < count; i++)
        total += (off_t)parts[i].iov_len;
    return total;
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    GUARDED(fd, -1, (off_t)count, REAL(write)(fd, bytes, count));
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    GUARDED(fd, offset, (off_t)count, REAL(pwrite)(fd, bytes, count, offset));
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset)
{
    GUARDED(fd, offset, (off_t)count, REAL(pwrite)(fd, bytes, count, offset));
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    GUARDED(fd, -1, vector_bytes(parts, count), REAL(writev)(fd, parts, count));
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    GUARDED(fd, offset, vector_bytes(parts, count), REAL(pwritev)(fd, parts, count, offset));
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
    GUARDED(fd, offset, vector_bytes(parts, count), REAL(pwritev)(fd, parts, count, offset));
}

static int synced(int fd)
{
    struct stat st;
    char name[64], path[PATH_MAX];
    ssize_t n;

    if (!disk_awake() || fstat(fd, &st) != 0)
        return 0;
    pthread_mutex_lock(&disk_lock);
    if (S_ISREG(st.st_mode) && is_tracked(fd)) {
        disk_make_durable(disk_file(fd, false));
    } else if (S_ISDIR(st.st_mode)) {
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        if ((n = readlink(name, path, sizeof path - 1)) > 0) {
            path[n] = '\0';
            disk_folder_durable(path);
        }
    }
    pthread_mutex_unlock(&disk_lock);
    return 0;
}

int fsync(int fd)
{
    ready();
    return !disk_awake() ? REAL(fsync)(fd) : synced(fd);
}

int fdatasync(int fd)
{
    ready();
    return !disk_awake() ? REAL(fdatasync)(fd) : synced(fd);
}

int sync_file_range(int fd, off64_t offset, off64_t count, unsigned flags)
{
    ready();
    return REAL(sync_file_range)(fd, offset, count, flags);
}

static int truncate_any(int fd, off_t size)
{
    struct file *f;
    int result;

    ready();
    if (!is_tracked(fd))
        return REAL(ftruncate)(fd, size);
    pthread_mutex_lock(&disk_lock);
    if ((f = disk_file(fd, false)) != NULL)
        disk_keep_behind(f, fd, size);
    result = REAL(ftruncate)(fd, size);
    pthread_mutex_unlock(&disk_lock);
    return result;
}

int ftruncate(int fd, off_t size)
{
    return truncate_any(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return truncate_any(fd, size);
}

static int allocate_any(int fd, int mode, off_t offset, off_t count)
{
    struct file *f;
    int result;

    ready();
    if (!is_tracked(fd))
        return REAL(fallocate)(fd, mode, offset, count);
    pthread_mutex_lock(&disk_lock);
    if ((f = disk_file(fd, false)) != NULL)
        disk_keep_old(f, fd, offset, (mode & FALLOC_FL_PUNCH_HOLE) || (mode & FALLOC_FL_ZERO_RANGE) ? count : 0);
    result = REAL(fallocate)(fd, mode, offset, count);
    pthread_mutex_unlock(&disk_lock);
    return result;
}

int fallocate(int fd, int mode, off_t offset, off_t count)
{
    return allocate_any(fd, mode, offset, count);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t count)
{
    return allocate_any(fd, mode, offset, count);
}

int posix_fallocate(int fd, off_t offset, off_t count)
{
    return allocate_any(fd, 0, offset, count) == 0 ? 0 : errno;
}

int posix_fallocate64(int fd, off64_t offset, off64_t count)
{
    return allocate_any(fd, 0, offset, count) == 0 ? 0 : errno;
}

static int rename_any(int from_folder, const char *from, int to_folder, const char *to)
{
    char old_path[PATH_MAX], new_path[PATH_MAX], hidden[PATH_MAX] = "";
    int result;

    ready();
    if (!disk_path(to_folder, to, new_path) || !disk_path(from_folder, from, old_path))
        return REAL(renameat)(from_folder, from, to_folder, to);
    pthread_mutex_lock(&disk_lock);
    disk_hidden_name(hidden);
    if (REAL(link)(new_path, hidden) != 0)
        hidden[0] = '\0';
    result = REAL(renameat)(from_folder, from, to_folder, to);
    if (result == 0) {
        struct change *c = disk_remember(RENAMED, new_path);

        snprintf(c->from, sizeof c->from, "%s", old_path);
        snprintf(c->hidden, sizeof c->hidden, "%s", hidden);
    } else if (hidden[0] != '\0') {
        REAL(unlink)(hidden);
    }
    pthread_mutex_unlock(&disk_lock);
    return result;
}

int rename(const char *from, const char *to)
{
    return rename_any(AT_FDCWD, from, AT_FDCWD, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    return rename_any(from_folder, from, to_folder, to);
}

static int unlink_any(int folder, const char *path, int flags)
{
    char full[PATH_MAX], hidden[PATH_MAX];
    int result;

    ready();
    if (flags != 0 || !disk_path(folder, path, full))
        return REAL(unlinkat)(folder, path, flags);
    pthread_mutex_lock(&disk_lock);
    disk_hidden_name(hidden);
    if (REAL(link)(full, hidden) != 0)
        hidden[0] = '\0';
    result = REAL(unlinkat)(folder, path, flags);
    if (result == 0 && hidden[0] != '\0') {
        struct change *c = disk_remember(UNLINKED, full);

        snprintf(c->hidden, sizeof c->hidden, "%s", hidden);
    } else if (hidden[0] != '\0') {
        REAL(unlink)(hidden);
    }
    pthread_mutex_unlock(&disk_lock);
    return result;
}

int unlink(const char *path)
{
    return unlink_any(AT_FDCWD, path, 0);
}

int unlinkat(int folder, const char *path, int flags)
{
    return unlink_any(folder, path, flags);
}

/* A machine that lost its power has booted since: programs see another boot id. */
static FILE *boot_id(void)
{
    FILE *f = tmpfile();

    if (f != NULL) {
        fprintf(f, "%.36s\n", getenv("POWERCUT_BOOT"));
        rewind(f);
    }
    return f;
}

FILE *fopen(const char *path, const char *mode)
{
    ready();
    if (strcmp(path, "/proc/sys/kernel/random/boot_id") == 0 && getenv("POWERCUT_BOOT") != NULL)
        return boot_id();
    return REAL(fopen)(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    return fopen(path, mode);
}

int link(const char *from, const char *to)
{
    char full[PATH_MAX];
    int result;

    ready();
    if (!disk_path(AT_FDCWD, to, full))
        return REAL(link)(from, to);
    pthread_mutex_lock(&disk_lock);
    if ((result = REAL(link)(from, to)) == 0)
        disk_remember(CREATED, full);
    pthread_mutex_unlock(&disk_lock);
    return result;
}

int mkdir(const char *path, mode_t mode)
{
    char full[PATH_MAX];
    int result;

    ready();
    if (!disk_path(AT_FDCWD, path, full))
        return REAL(mkdir)(path, mode);
    pthread_mutex_lock(&disk_lock);
    if ((result = REAL(mkdir)(path, mode)) == 0)
        disk_remember(MADE_DIR, full);
    pthread_mutex_unlock(&disk_lock);
    return result;
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (is_tracked(fd) && (flags & MAP_SHARED) && (protection & PROT_WRITE))
        disk_complain("a shared writable mapping is not watched", "");
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset); /* allocators come here early */
}
