/*
 * wal_queue.h - frames on their way to the file: small ones one behind the other, a large text where it is.
 *
 * What is appended is copied under the lock that all appends share. A text of megabytes would hold up everybody for the
 * copy and for the memory that it needs; so it lies in a buffer of its own, the appender's if it gives it away, and is only
 * linked here.
 * No locks: the owner's lock guards it. A zeroed queue is empty and valid.
 */
#ifndef CAIRN_PERSISTENCE_WAL_QUEUE_H
#define CAIRN_PERSISTENCE_WAL_QUEUE_H

#include "base/buf.h"
#include "persistence/vfs.h"

enum { WAL_QUEUE_LARGE_BYTES = 256 << 10 }; /* a text from this size on is better linked than copied */

struct wal_queue_large {
    size_t at;          /* it stands behind so many of the queue's bytes */
    struct buf owner;
    struct slice text;  /* of the owner */
};

struct wal_queue {
    struct buf bytes;
    struct wal_queue_large *large;
    size_t large_count, large_capacity;
    uint64_t size; /* of all of it */
};

/* Room for `size` bytes at the end, which now belong to the queue; the caller fills them. Valid until the next call. */
uint8_t *wal_queue_add(struct wal_queue *q, size_t size);

/* Puts text, which lies in *owner, at the end and takes the owner over; *owner is empty afterwards. */
void wal_queue_link(struct wal_queue *q, struct slice text, struct buf *owner);

/* Writes all of it at `offset` of the file. */
enum err wal_queue_write(const struct wal_queue *q, struct vfs *vfs, int handle, uint64_t offset) WARN_UNUSED;

/* Empties it. Keeps the memory of the small frames, if that is not more than `keep` bytes. */
void wal_queue_clear(struct wal_queue *q, size_t keep);

void wal_queue_free(struct wal_queue *q);

#endif
