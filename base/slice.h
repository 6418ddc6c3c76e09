/*
 * slice.h - a borrowed run of bytes: the one way bytes are passed around.
 *
 * A slice never owns; whoever hands one out says how long it stays valid.
 */
#ifndef CAIRN_BASE_SLICE_H
#define CAIRN_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct slice {
    const uint8_t *data;
    size_t size; /* bytes */
};

static inline struct slice slice_of(const void *data, size_t size)
{
    return (struct slice){(const uint8_t *)data, size};
}

/* The bytes of a C string, without its terminator. */
static inline struct slice slice_str(const char *text)
{
    return (struct slice){(const uint8_t *)text, strlen(text)};
}

/* A string literal; its length is known at compile time. */
#define SLICE_LITERAL(text) ((struct slice){(const uint8_t *)(text), sizeof(text) - 1})

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* memcmp order, a prefix before its extensions. */
static inline int slice_compare(struct slice a, struct slice b)
{
    size_t n = a.size < b.size ? a.size : b.size;
    int order = n == 0 ? 0 : memcmp(a.data, b.data, n);

    if (order != 0)
        return order;
    return (a.size > b.size) - (a.size < b.size);
}

/* ASCII case-insensitive comparison with a C string, as Redis compares option words. */
static inline bool slice_is(struct slice s, const char *word)
{
    return strlen(word) == s.size && strncasecmp((const char *)s.data, word, s.size) == 0;
}

#endif
