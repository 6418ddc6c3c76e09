/*
 * reply.c - RESP2 and RESP3 on the wire. Headers of numbers below 64 k come from one small formatter without printf.
 */
#include "server/run/reply.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/num.h"
#include "server/run/call.h"

enum { HEADER_BYTES_MAX = 24, ERROR_BYTES_MAX = 1024 };

/* type, decimal, CR LF. */
static void header(struct buf *out, char type, int64_t value)
{
    uint8_t *at = buf_reserve(out, HEADER_BYTES_MAX);
    size_t size = 1;

    at[0] = (uint8_t)type;
    if (value >= 0 && value < 10)
        at[size++] = (uint8_t)('0' + value);
    else {
        char text[NUM_TEXT_MAX];
        size_t digits = num_format_i64(text, value);

        memcpy(at + size, text, digits);
        size += digits;
    }
    at[size++] = '\r';
    at[size++] = '\n';
    out->size += size;
}

static void bulk(struct buf *out, char type, struct slice value)
{
    header(out, type, (int64_t)value.size);
    buf_reserve(out, value.size + 2);
    buf_append_slice(out, value);
    buf_append(out, "\r\n", 2);
}

int reply_protocol(const struct call *c)
{
    return c->reply->protocol;
}

enum err reply_ok(struct call *c)
{
    buf_append(c->reply->out, "+OK\r\n", 5);
    return OK;
}

enum err reply_status(struct call *c, const char *text)
{
    buf_append_byte(c->reply->out, '+');
    buf_append_str(c->reply->out, text);
    buf_append(c->reply->out, "\r\n", 2);
    return OK;
}

enum err reply_int(struct call *c, int64_t value)
{
    header(c->reply->out, ':', value);
    return OK;
}

enum err reply_bulk(struct call *c, struct slice value)
{
    bulk(c->reply->out, '$', value);
    return OK;
}

enum err reply_bulk_str(struct call *c, const char *text)
{
    return reply_bulk(c, slice_str(text));
}

enum err reply_bulk_int(struct call *c, int64_t value)
{
    char text[NUM_TEXT_MAX];

    return reply_bulk(c, slice_of(text, num_format_i64(text, value)));
}

enum err reply_null(struct call *c)
{
    buf_append_str(c->reply->out, c->reply->protocol >= 3 ? "_\r\n" : "$-1\r\n");
    return OK;
}

enum err reply_null_array(struct call *c)
{
    buf_append_str(c->reply->out, c->reply->protocol >= 3 ? "_\r\n" : "*-1\r\n");
    return OK;
}

enum err reply_double(struct call *c, double value)
{
    char text[NUM_TEXT_MAX];
    size_t size = num_format_double(text, value);

    if (c->reply->protocol < 3)
        return reply_bulk(c, slice_of(text, size));
    buf_append_byte(c->reply->out, ',');
    buf_append(c->reply->out, text, size);
    buf_append(c->reply->out, "\r\n", 2);
    return OK;
}

enum err reply_bool(struct call *c, bool value)
{
    if (c->reply->protocol < 3)
        return reply_int(c, value);
    buf_append_str(c->reply->out, value ? "#t\r\n" : "#f\r\n");
    return OK;
}

enum err reply_verbatim(struct call *c, struct slice text)
{
    struct buf *out = c->reply->out;

    if (c->reply->protocol < 3)
        return reply_bulk(c, text);
    header(out, '=', (int64_t)text.size + 4);
    buf_append(out, "txt:", 4);
    buf_append_slice(out, text);
    buf_append(out, "\r\n", 2);
    return OK;
}

enum err reply_array(struct call *c, size_t count)
{
    header(c->reply->out, '*', (int64_t)count);
    return OK;
}

static char map_type(const struct call *c)
{
    return c->reply->protocol >= 3 ? '%' : '*';
}

enum err reply_map(struct call *c, size_t pairs)
{
    header(c->reply->out, map_type(c), (int64_t)(c->reply->protocol >= 3 ? pairs : 2 * pairs));
    return OK;
}

enum err reply_set(struct call *c, size_t count)
{
    header(c->reply->out, c->reply->protocol >= 3 ? '~' : '*', (int64_t)count);
    return OK;
}

enum err reply_push(struct call *c, size_t count)
{
    header(c->reply->out, c->reply->protocol >= 3 ? '>' : '*', (int64_t)count);
    return OK;
}

enum err reply_error(struct call *c, const char *format, ...)
{
    struct buf *out = c->reply->out;
    size_t begin = out->size, size;
    va_list args;
    int wanted;
    uint8_t *at = buf_reserve(out, ERROR_BYTES_MAX + 4);

    c->reply->error_at = begin;
    *at++ = '-';
    va_start(args, format);
    wanted = vsnprintf((char *)at, ERROR_BYTES_MAX, format, args);
    va_end(args);
    size = wanted < 0 ? 0 : (size_t)wanted < ERROR_BYTES_MAX ? (size_t)wanted : ERROR_BYTES_MAX - 1;
    for (size_t i = 0; i < size; i++)
        if (at[i] == '\r' || at[i] == '\n')
            at[i] = ' ';
    memcpy(at + size, "\r\n", 2);
    out->size = begin + 1 + size + 2;
    return ERR_REPLIED;
}

size_t reply_defer(struct call *c)
{
    struct buf *out = c->reply->out;
    size_t mark = out->size;

    buf_reserve(out, HEADER_BYTES_MAX);
    out->size += HEADER_BYTES_MAX;
    return mark;
}

/* The elements stand behind a gap of the longest header; the unused part of the gap is closed. */
static void defer_fill(struct call *c, size_t mark, char type, size_t count)
{
    struct buf *out = c->reply->out;
    size_t end = out->size, size, from = mark + HEADER_BYTES_MAX;

    out->size = mark;
    header(out, type, (int64_t)count);
    size = out->size;
    memmove(out->data + size, out->data + from, end - from);
    out->size = size + (end - from);
}

void reply_defer_array(struct call *c, size_t mark, size_t count)
{
    defer_fill(c, mark, '*', count);
}

void reply_defer_map(struct call *c, size_t mark, size_t pairs)
{
    defer_fill(c, mark, map_type(c), c->reply->protocol >= 3 ? pairs : 2 * pairs);
}

void reply_defer_set(struct call *c, size_t mark, size_t count)
{
    defer_fill(c, mark, c->reply->protocol >= 3 ? '~' : '*', count);
}
