/*
 * buf.h - an owned, growing run of bytes.
 *
 * A zeroed buf is empty and valid. Memory exhaustion aborts (as in Redis): no append fails.
 */
#ifndef CAIRN_BASE_BUF_H
#define CAIRN_BASE_BUF_H

#include "base/slice.h"

struct buf {
    uint8_t *data;
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
};

void buf_free(struct buf *b); /* leaves an empty, valid buf */

/* Room for at least `more` bytes behind the end; returns where they go. The size is not changed. */
uint8_t *buf_reserve(struct buf *b, size_t more);

/* The same, and the system has given the memory: filling it waits for no page. For large texts that are filled under a lock. */
uint8_t *buf_reserve_pages(struct buf *b, size_t more);

static inline void buf_clear(struct buf *b)
{
    b->size = 0;
}

static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->data, b->size};
}

static inline void buf_append(struct buf *b, const void *data, size_t size)
{
    if (size == 0)
        return;
    if (b->capacity - b->size < size)
        buf_reserve(b, size);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static inline void buf_append_slice(struct buf *b, struct slice s)
{
    buf_append(b, s.data, s.size);
}

static inline void buf_append_byte(struct buf *b, uint8_t byte)
{
    buf_append(b, &byte, 1);
}

void buf_append_str(struct buf *b, const char *text);
void buf_append_format(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Removes the first `count` bytes; the rest moves to the front. */
void buf_consume(struct buf *b, size_t count);

#endif
