/*
 * rdb_input.c - the window over the source, and the primitive forms.
 *
 * A string that lies in the window whole is handed out where it lies; a longer one is collected in scratch, which grows
 * with what has arrived.
 */
#include "persistence/rdb/rdb_input.h"

#include <liblzf/lzf.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/num.h"

enum {
    LZF_RATIO_MAX = 264, /* the longest match: 264 bytes from 3; so no honest claim goes beyond */
    LZF_BYTES_MAX = 1 << 30,
    FORM_INT8 = 0,
    FORM_INT16 = 1,
    FORM_INT32 = 2,
    FORM_LZF = 3,
};

void rdb_input_memory(struct rdb_input *in, struct slice bytes)
{
    *in = (struct rdb_input){.data = bytes.data, .size = bytes.size};
}

void rdb_input_stream(struct rdb_input *in, rdb_pull *pull, void *context)
{
    *in = (struct rdb_input){.pull = pull, .context = context, .window = malloc(RDB_WINDOW_BYTES)};
    check(in->window != NULL);
    in->data = in->window;
}

void rdb_input_fini(struct rdb_input *in)
{
    free(in->window);
    *in = (struct rdb_input){0};
}

static void sum(struct rdb_input *in)
{
    if (in->sums && in->at > in->summed)
        in->crc = hash_crc64(in->crc, slice_of(in->data + in->summed, in->at - in->summed));
    in->summed = in->at;
}

uint64_t rdb_input_crc(struct rdb_input *in)
{
    sum(in);
    return in->crc;
}

enum err rdb_bad(const struct rdb_input *in, const char *format, ...)
{
    char text[400];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return err_set(ERR_CORRUPT, "offset %llu: %s", (unsigned long long)rdb_input_offset(in), text);
}

/* At least `want` bytes (at most the window's size) lie in the window from `at` on. */
static enum err fill(struct rdb_input *in, size_t want)
{
    if (in->size - in->at >= want)
        return OK;
    if (in->pull == NULL)
        return rdb_bad(in, "the end comes too early");
    sum(in);
    memmove(in->window, in->window + in->at, in->size - in->at);
    in->base += in->at;
    in->size -= in->at;
    in->at = in->summed = 0;
    while (in->size < want) {
        size_t got = 0;

        TRY(in->pull(in->context, in->window + in->size, RDB_WINDOW_BYTES - in->size, &got));
        if (got == 0)
            return rdb_bad(in, "the end comes too early");
        check(got <= RDB_WINDOW_BYTES - in->size);
        in->size += got;
    }
    return OK;
}

enum err rdb_get_bytes(struct rdb_input *in, void *out, size_t size)
{
    TRY(fill(in, size));
    memcpy(out, in->data + in->at, size);
    in->at += size;
    return OK;
}

enum err rdb_get_byte(struct rdb_input *in, uint8_t *out)
{
    return rdb_get_bytes(in, out, 1);
}

enum err rdb_get_u32(struct rdb_input *in, uint32_t *out)
{
    return rdb_get_bytes(in, out, sizeof *out);
}

enum err rdb_get_u64(struct rdb_input *in, uint64_t *out)
{
    return rdb_get_bytes(in, out, sizeof *out);
}

enum err rdb_get_double(struct rdb_input *in, double *out)
{
    double value;

    TRY(rdb_get_bytes(in, &value, sizeof value));
    if (isnan(value))
        return rdb_bad(in, "a score is not a number");
    *out = value;
    return OK;
}

enum err rdb_get_double_text(struct rdb_input *in, double *out)
{
    uint8_t size, text[256];

    TRY(rdb_get_byte(in, &size));
    if (size >= 253) {
        if (size == 253)
            return rdb_bad(in, "a score is not a number");
        *out = size == 254 ? INFINITY : -INFINITY;
        return OK;
    }
    TRY(rdb_get_bytes(in, text, size));
    return num_parse_double(slice_of(text, size), out) ? OK : rdb_bad(in, "a score is no number");
}

/* A length, or the form of a specially encoded string (*form; -1: none). */
static enum err get_head(struct rdb_input *in, uint64_t *length, int *form)
{
    uint8_t first, bytes[8];

    TRY(rdb_get_byte(in, &first));
    *form = -1;
    switch (first >> 6) {
    case 0:
        *length = first & 63;
        return OK;
    case 1:
        TRY(rdb_get_byte(in, bytes));
        *length = (uint64_t)(first & 63) << 8 | bytes[0];
        return OK;
    case 2:
        if (first > 0x81)
            return rdb_bad(in, "a length of an unknown form");
        TRY(rdb_get_bytes(in, bytes, first == 0x80 ? 4 : 8));
        *length = 0;
        for (int i = 0; i < (first == 0x80 ? 4 : 8); i++)
            *length = *length << 8 | bytes[i];
        return OK;
    default:
        *form = first & 63;
        return OK;
    }
}

enum err rdb_get_length(struct rdb_input *in, uint64_t *out)
{
    int form;

    TRY(get_head(in, out, &form));
    return form < 0 ? OK : rdb_bad(in, "a string where a length belongs");
}

enum err rdb_get_run(struct rdb_input *in, uint64_t max, struct slice *out)
{
    size_t size;

    TRY(fill(in, 1));
    size = in->size - in->at;
    *out = slice_of(in->data + in->at, max < size ? (size_t)max : size);
    in->at += out->size;
    return OK;
}

/* `length` plain bytes. */
static enum err get_plain(struct rdb_input *in, uint64_t length, struct buf *scratch, struct slice *out)
{
    if (length > RDB_STRING_BYTES_MAX)
        return rdb_bad(in, "a string of %llu bytes", (unsigned long long)length);
    if (length <= in->size - in->at || (in->pull != NULL && length <= RDB_WINDOW_BYTES / 2)) {
        TRY(fill(in, (size_t)length));
        *out = slice_of(in->data + in->at, (size_t)length);
        in->at += (size_t)length;
        return OK;
    }
    buf_clear(scratch);
    while (length > 0) {
        struct slice run;

        TRY(rdb_get_run(in, length, &run));
        buf_append_slice(scratch, run);
        length -= run.size;
    }
    *out = buf_slice(scratch);
    return OK;
}

static enum err get_lzf(struct rdb_input *in, struct buf *scratch, struct slice *out)
{
    struct buf packed = {0};
    uint64_t packed_size, size;
    struct slice bytes;
    enum err e;

    TRY(rdb_get_length(in, &packed_size));
    TRY(rdb_get_length(in, &size));
    if (packed_size == 0 || size == 0 || packed_size > LZF_BYTES_MAX || size > LZF_BYTES_MAX ||
        size / LZF_RATIO_MAX > packed_size)
        return rdb_bad(in, "compressed data of impossible size");
    e = get_plain(in, packed_size, &packed, &bytes);
    if (e == OK) {
        buf_clear(scratch);
        buf_reserve(scratch, (size_t)size);
        if (lzf_decompress(bytes.data, (unsigned)bytes.size, scratch->data, (unsigned)size) != size)
            e = rdb_bad(in, "compressed data is damaged");
        scratch->size = (size_t)size;
        *out = buf_slice(scratch);
    }
    buf_free(&packed);
    return e;
}

static enum err get_number(struct rdb_input *in, int form, struct buf *scratch, struct slice *out)
{
    uint8_t bytes[4];
    int64_t value;

    TRY(rdb_get_bytes(in, bytes, form == FORM_INT8 ? 1 : form == FORM_INT16 ? 2 : 4));
    if (form == FORM_INT8)
        value = (int8_t)bytes[0];
    else if (form == FORM_INT16)
        value = (int16_t)(bytes[0] | bytes[1] << 8);
    else
        value = (int32_t)((uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                          (uint32_t)bytes[3] << 24);
    buf_clear(scratch);
    scratch->size = num_format_i64((char *)buf_reserve(scratch, NUM_TEXT_MAX), value);
    *out = buf_slice(scratch);
    return OK;
}

enum err rdb_get_string_head(struct rdb_input *in, size_t whole_max, struct buf *scratch, struct slice *out,
                             uint64_t *rest)
{
    uint64_t length;
    int form;

    TRY(get_head(in, &length, &form));
    *rest = 0;
    if (form < 0 && length > whole_max) {
        if (length > RDB_STRING_BYTES_MAX)
            return rdb_bad(in, "a string of %llu bytes", (unsigned long long)length);
        *rest = length;
        *out = (struct slice){0};
        return OK;
    }
    if (form < 0)
        return get_plain(in, length, scratch, out);
    if (form == FORM_LZF)
        return get_lzf(in, scratch, out);
    return form <= FORM_INT32 ? get_number(in, form, scratch, out) : rdb_bad(in, "a string of unknown form %d", form);
}

enum err rdb_get_string(struct rdb_input *in, struct buf *scratch, struct slice *out)
{
    uint64_t rest;

    return rdb_get_string_head(in, SIZE_MAX, scratch, out, &rest);
}
