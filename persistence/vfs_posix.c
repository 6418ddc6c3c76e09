/*
 * vfs_posix.c - the real body of the vfs.
 */
#include "persistence/vfs.h"

#include "base/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static enum err failed(const char *call, const char *path)
{
    int number = errno;
    enum err e = number == ENOENT                         ? ERR_NOT_FOUND
                 : number == ENOSPC || number == EDQUOT ? ERR_NO_SPACE
                                                          : ERR_IO;

    if (path == NULL)
        return err_set(e, "%s: %s", call, strerror(number));
    return err_set(e, "%s %s: %s", call, path, strerror(number));
}

static enum err posix_open(void *context, const char *path, enum vfs_mode mode, int *handle)
{
    static const int flags[] = {
        [VFS_READ] = O_RDONLY, [VFS_WRITE] = O_RDWR, [VFS_CREATE] = O_RDWR | O_CREAT | O_TRUNC};
    int fd = open(path, flags[mode] | O_CLOEXEC, 0644);

    (void)context;
    if (fd < 0)
        return failed("open", path);
    *handle = fd;
    return OK;
}

static void posix_close(void *context, int handle)
{
    (void)context;
    close(handle);
}

static enum err posix_read_at(void *context, int handle, void *buffer, size_t size, uint64_t offset, size_t *got)
{
    size_t done = 0;

    (void)context;
    while (done < size) {
        ssize_t n = pread(handle, (uint8_t *)buffer + done, size - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed("read", NULL);
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *got = done;
    return OK;
}

static enum err posix_write_at(void *context, int handle, struct slice bytes, uint64_t offset)
{
    size_t done = 0;

    (void)context;
    while (done < bytes.size) {
        ssize_t n = pwrite(handle, bytes.data + done, bytes.size - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed("write", NULL);
        done += (size_t)n;
    }
    return OK;
}

static enum err posix_sync(void *context, int handle)
{
    (void)context;
    return fdatasync(handle) == 0 ? OK : failed("fdatasync", NULL);
}

static enum err posix_truncate(void *context, int handle, uint64_t size)
{
    (void)context;
    return ftruncate(handle, (off_t)size) == 0 ? OK : failed("truncate", NULL);
}

static enum err posix_size(void *context, int handle, uint64_t *size)
{
    struct stat st;

    (void)context;
    if (fstat(handle, &st) != 0)
        return failed("stat", NULL);
    *size = (uint64_t)st.st_size;
    return OK;
}

static enum err posix_rename(void *context, const char *from, const char *to)
{
    (void)context;
    return rename(from, to) == 0 ? OK : failed("rename", from);
}

static enum err posix_unlink(void *context, const char *path)
{
    (void)context;
    return unlink(path) == 0 ? OK : failed("unlink", path);
}

static enum err posix_make_dir(void *context, const char *path)
{
    (void)context;
    return mkdir(path, 0755) == 0 || errno == EEXIST ? OK : failed("mkdir", path);
}

static enum err posix_list(void *context, const char *dir, vfs_each *each, void *each_context)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    enum err e = OK;

    (void)context;
    if (d == NULL)
        return failed("opendir", dir);
    for (errno = 0; (entry = readdir(d)) != NULL; errno = 0)
        if (entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN)
            each(each_context, entry->d_name);
    if (errno != 0)
        e = failed("readdir", dir);
    closedir(d);
    return e;
}

static enum err posix_sync_dir(void *context, const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum err e = OK;

    (void)context;
    if (fd < 0)
        return failed("open", dir);
    if (fsync(fd) != 0)
        e = failed("fsync", dir);
    close(fd);
    return e;
}

static enum err posix_free_space(void *context, const char *dir, uint64_t *bytes)
{
    struct statvfs st;

    (void)context;
    if (statvfs(dir, &st) != 0)
        return failed("statvfs", dir);
    *bytes = (uint64_t)st.f_bavail * st.f_frsize;
    return OK;
}

static msec_t posix_now_ms(void *context)
{
    struct timespec t;

    (void)context;
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return (msec_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t posix_monotonic_us(void *context)
{
    struct timespec t;

    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Unknown is "": never equal to another boot. */
static void posix_boot(void *context, char out[VFS_BOOT_MAX])
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

    (void)context;
    out[0] = '\0';
    if (f == NULL)
        return;
    if (fgets(out, VFS_BOOT_MAX, f) == NULL)
        out[0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    fclose(f);
}

struct vfs *vfs_posix(void)
{
    static struct vfs vfs = {
        .open = posix_open,
        .close = posix_close,
        .read_at = posix_read_at,
        .write_at = posix_write_at,
        .sync = posix_sync,
        .truncate = posix_truncate,
        .size = posix_size,
        .rename = posix_rename,
        .unlink = posix_unlink,
        .make_dir = posix_make_dir,
        .list = posix_list,
        .sync_dir = posix_sync_dir,
        .free_space = posix_free_space,
        .now_ms = posix_now_ms,
        .monotonic_us = posix_monotonic_us,
        .boot = posix_boot,
    };
    return &vfs;
}

void vfs_path(char out[VFS_PATH_MAX], const char *dir, const char *name)
{
    int n = snprintf(out, VFS_PATH_MAX, "%s/%s", dir, name);

    check(n > 0 && n < VFS_PATH_MAX);
}
