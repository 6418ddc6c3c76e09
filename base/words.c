/*
 * words.c - an array of bulk strings. Every logged change passes here, so numbers are written without printf.
 */
#include "base/words.h"

#include "base/num.h"

enum { HEAD_MAX = 24 };

static void head(struct buf *out, char kind, size_t n)
{
    uint8_t *p = buf_reserve(out, HEAD_MAX);
    char digits[20];
    size_t at = sizeof digits, size;

    do
        digits[--at] = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    size = sizeof digits - at;
    p[0] = (uint8_t)kind;
    memcpy(p + 1, digits + at, size);
    p[size + 1] = '\r';
    p[size + 2] = '\n';
    out->size += size + 3;
}

void words_head(struct buf *out, size_t count)
{
    head(out, '*', count);
}

void words_size(struct buf *out, size_t size)
{
    head(out, '$', size);
}

void words_add(struct buf *out, struct slice word)
{
    head(out, '$', word.size);
    buf_append_slice(out, word);
    buf_append(out, "\r\n", 2);
}

void words_add_number(struct buf *out, int64_t number)
{
    char text[NUM_TEXT_MAX];

    words_add(out, slice_of(text, num_format_i64(text, number)));
}

size_t words_append(struct buf *out, const struct slice *words, size_t count)
{
    size_t before = out->size;

    head(out, '*', count);
    for (size_t i = 0; i < count; i++)
        words_add(out, words[i]);
    return out->size - before;
}

size_t words_append_str(struct buf *out, const char *const *words, size_t count)
{
    size_t before = out->size;

    head(out, '*', count);
    for (size_t i = 0; i < count; i++)
        words_add(out, slice_str(words[i]));
    return out->size - before;
}
