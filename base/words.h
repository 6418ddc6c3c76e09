/*
 * words.h - a RESP request, and so an effect of the log: an array of bulk strings ("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n").
 *
 * Either all at once (words_append, WORDS), or words_head and then exactly as many words_add. Memory exhaustion aborts.
 */
#ifndef CAIRN_BASE_WORDS_H
#define CAIRN_BASE_WORDS_H

#include "base/buf.h"

/* "*count\r\n": the next `count` words are one request. */
void words_head(struct buf *out, size_t count);

/* "$size\r\n": the caller appends the `size` bytes and "\r\n" himself, perhaps elsewhere. */
void words_size(struct buf *out, size_t size);

void words_add(struct buf *out, struct slice word);
void words_add_number(struct buf *out, int64_t number); /* decimal */

/* A whole request; returns how many bytes it takes. */
size_t words_append(struct buf *out, const struct slice *words, size_t count);

/* WORDS(&out, SLICE_LITERAL("GET"), key): a whole request of slices. */
#define WORDS(out, ...)                                                                                                \
    words_append((out), (const struct slice[]){__VA_ARGS__},                                                           \
                 sizeof((const struct slice[]){__VA_ARGS__}) / sizeof(struct slice))

/* The same of C strings: WORDS_STR(&out, "PSYNC", id, offset). */
size_t words_append_str(struct buf *out, const char *const *words, size_t count);
#define WORDS_STR(out, ...)                                                                                            \
    words_append_str((out), (const char *const[]){__VA_ARGS__},                                                        \
                     sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

#endif
