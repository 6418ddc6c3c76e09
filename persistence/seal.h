/*
 * seal.h - replaces a full raw segment by its compressed form.
 */
#ifndef CAIRN_PERSISTENCE_SEAL_H
#define CAIRN_PERSISTENCE_SEAL_H

#include "base/err.h"
#include "base/types.h"

struct vfs;

/*
 * Reads and verifies the raw segment dir/name, which is durable and must end at `end`, and renames the compressed file
 * over it. *bytes: its new size. ERR_CORRUPT: the raw file is not what was written; it stays as it is. Any other
 * failure leaves the raw file too (or, when only the directory's sync failed, either).
 */
enum err seal_segment(struct vfs *vfs, const char *dir, const char *name, lsn_t end, uint64_t *bytes) WARN_UNUSED;

#endif
