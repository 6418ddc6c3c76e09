/*
 * atomic_file.c - write aside, sync, rename, sync the directory.
 *
 * The order matters: a rename before the sync can leave an empty file under the final name after a power cut.
 */
#include "persistence/atomic_file.h"

#include "base/check.h"
#include "persistence/vfs.h"

#include <stdio.h>

static enum err write_aside(struct vfs *vfs, const char *path, struct slice content)
{
    int handle;
    enum err e;

    TRY(vfs->open(vfs->context, path, VFS_CREATE, &handle));
    e = vfs->write_at(vfs->context, handle, content, 0);
    if (e == OK)
        e = vfs->sync(vfs->context, handle);
    vfs->close(vfs->context, handle);
    return e;
}

enum err atomic_file_write(struct vfs *vfs, const char *dir, const char *name, struct slice content)
{
    char path[VFS_PATH_MAX], aside[VFS_PATH_MAX], aside_name[256];
    int n = snprintf(aside_name, sizeof aside_name, "%s.tmp", name);
    enum err e;

    check(n > 0 && (size_t)n < sizeof aside_name);
    vfs_path(path, dir, name);
    vfs_path(aside, dir, aside_name);
    e = write_aside(vfs, aside, content);
    if (e == OK)
        e = vfs->rename(vfs->context, aside, path);
    if (e == OK)
        return vfs->sync_dir(vfs->context, dir);
    (void)err_context(e, "writing %s", path);
    char text[512];

    snprintf(text, sizeof text, "%s", err_text()); /* the removal below must not replace it */
    if (vfs->unlink(vfs->context, aside) != OK)
        err_clear();
    return err_set(e, "%s", text);
}

enum err atomic_file_read(struct vfs *vfs, const char *dir, const char *name, size_t size_max, struct buf *out)
{
    char path[VFS_PATH_MAX];
    uint64_t size;
    size_t got = 0;
    int handle;
    enum err e;

    vfs_path(path, dir, name);
    TRY(vfs->open(vfs->context, path, VFS_READ, &handle));
    e = vfs->size(vfs->context, handle, &size);
    if (e == OK && size > size_max)
        e = err_set(ERR_TOO_BIG, "%s has %llu bytes, more than %zu", path, (unsigned long long)size, size_max);
    if (e == OK)
        e = vfs->read_at(vfs->context, handle, buf_reserve(out, size + 1), size, 0, &got);
    if (e == OK && got != size)
        e = err_set(ERR_IO, "%s: %zu bytes read of %llu", path, got, (unsigned long long)size);
    vfs->close(vfs->context, handle);
    if (e == OK)
        out->size += got;
    return e;
}
