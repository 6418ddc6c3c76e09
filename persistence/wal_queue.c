/*
 * wal_queue.c - frames on their way to the file.
 */
#include "persistence/wal_queue.h"

#include "base/check.h"

#include <stdlib.h>

uint8_t *wal_queue_add(struct wal_queue *q, size_t size)
{
    uint8_t *at = buf_reserve(&q->bytes, size);

    q->bytes.size += size;
    q->size += size;
    return at;
}

void wal_queue_link(struct wal_queue *q, struct slice text, struct buf *owner)
{
    check(text.data >= owner->data && text.data + text.size <= owner->data + owner->size);
    if (q->large_count == q->large_capacity) {
        q->large_capacity = q->large_capacity != 0 ? q->large_capacity * 2 : 4;
        q->large = realloc(q->large, q->large_capacity * sizeof *q->large);
        check(q->large != NULL);
    }
    q->large[q->large_count++] = (struct wal_queue_large){.at = q->bytes.size, .owner = *owner, .text = text};
    q->size += text.size;
    *owner = (struct buf){0};
}

enum err wal_queue_write(const struct wal_queue *q, struct vfs *vfs, int handle, uint64_t offset)
{
    size_t done = 0;

    for (size_t i = 0; i <= q->large_count; i++) {
        size_t end = i < q->large_count ? q->large[i].at : q->bytes.size;
        struct slice small = slice_of(q->bytes.data + done, end - done);

        if (small.size > 0)
            TRY(vfs->write_at(vfs->context, handle, small, offset));
        offset += small.size;
        done = end;
        if (i == q->large_count)
            break;
        TRY(vfs->write_at(vfs->context, handle, q->large[i].text, offset));
        offset += q->large[i].text.size;
    }
    return OK;
}

void wal_queue_clear(struct wal_queue *q, size_t keep)
{
    for (size_t i = 0; i < q->large_count; i++)
        buf_free(&q->large[i].owner);
    q->large_count = 0;
    if (q->bytes.capacity > keep)
        buf_free(&q->bytes);
    buf_clear(&q->bytes);
    q->size = 0;
}

void wal_queue_free(struct wal_queue *q)
{
    wal_queue_clear(q, 0);
    free(q->large);
    *q = (struct wal_queue){0};
}
