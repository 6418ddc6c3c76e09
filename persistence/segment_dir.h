/*
 * segment_dir.h - the segments of a directory as a list of first positions, and what lies behind a bad place in them.
 */
#ifndef CAIRN_PERSISTENCE_SEGMENT_DIR_H
#define CAIRN_PERSISTENCE_SEGMENT_DIR_H

#include "persistence/segment.h"

struct segment_dir {
    struct vfs *vfs;
    const char *path; /* borrowed */
    uint32_t generation;
    lsn_t *first;     /* ascending */
    size_t count;
};

/*
 * Lists the segments of `generation`; 0: of the newest one there is, which is stored in *out. With `clean`, removes
 * segments of other generations and *.tmp files, which an interrupted reset, sealing or history write left over.
 */
enum err segment_dir_read(struct vfs *vfs, const char *path, uint32_t generation, bool clean,
                          struct segment_dir *out) WARN_UNUSED;
void segment_dir_free(struct segment_dir *d);

enum err segment_dir_open(const struct segment_dir *d, size_t index, struct segment *out) WARN_UNUSED;

/*
 * No frame could be read at `offset` of segment `index`, where `position` is due: looks through the rest of that
 * segment and all later ones. A sealed segment counts as frames that were durable.
 */
enum err segment_dir_behind(const struct segment_dir *d, size_t index, uint64_t offset, lsn_t position,
                            struct segment_behind *out) WARN_UNUSED;

#endif
