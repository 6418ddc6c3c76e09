/*
 * buf.c - growth of owned bytes.
 */
#include "base/buf.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { CAPACITY_MIN = 64, GROWTH_MAX = 16 << 20, PAGE_BYTES = 4096 };

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

uint8_t *buf_reserve(struct buf *b, size_t more)
{
    if (b->capacity - b->size < more) {
        size_t need = b->size + more;
        size_t slack = need < GROWTH_MAX ? need : GROWTH_MAX; /* double, then grow by a bounded step */
        size_t capacity = need + slack / 2;

        check(need >= more);
        if (capacity < CAPACITY_MIN)
            capacity = CAPACITY_MIN;
        b->data = realloc(b->data, capacity);
        check(b->data != NULL);
        b->capacity = capacity;
    }
    return b->data + b->size;
}

uint8_t *buf_reserve_pages(struct buf *b, size_t more)
{
    volatile uint8_t *at = buf_reserve(b, more);

    for (size_t i = 0; i < more; i += PAGE_BYTES)
        at[i] = 0;
    if (more > 0)
        at[more - 1] = 0;
    return b->data + b->size;
}

void buf_append_str(struct buf *b, const char *text)
{
    buf_append(b, text, strlen(text));
}

void buf_append_format(struct buf *b, const char *format, ...)
{
    va_list args, again;
    int size;

    va_start(args, format);
    va_copy(again, args);
    size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    check(size >= 0);
    vsnprintf((char *)buf_reserve(b, (size_t)size + 1), (size_t)size + 1, format, again);
    va_end(again);
    b->size += (size_t)size;
}

void buf_consume(struct buf *b, size_t count)
{
    check(count <= b->size);
    if (count < b->size)
        memmove(b->data, b->data + count, b->size - count);
    b->size -= count;
}
