/*
 * atomic_file.h - small files that are replaced as a whole: after a crash there is the old content or the new one.
 */
#ifndef CAIRN_PERSISTENCE_ATOMIC_FILE_H
#define CAIRN_PERSISTENCE_ATOMIC_FILE_H

#include "base/buf.h"
#include "base/err.h"

struct vfs;

/*
 * Writes dir/name.tmp, syncs it, renames it over dir/name, syncs the directory. On OK the new content is durable; on
 * failure there is the old content, or (only if the last step failed) either. The temporary file is removed.
 */
enum err atomic_file_write(struct vfs *vfs, const char *dir, const char *name, struct slice content) WARN_UNUSED;

/* The whole file behind the end of *out. ERR_NOT_FOUND: there is none. ERR_TOO_BIG: beyond size_max. */
enum err atomic_file_read(struct vfs *vfs, const char *dir, const char *name, size_t size_max,
                          struct buf *out) WARN_UNUSED;

#endif
