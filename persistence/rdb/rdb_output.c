/*
 * rdb_output.c - primitive forms, shortest first.
 */
#include "persistence/rdb/rdb_output.h"

#include <liblzf/lzf.h>
#include <math.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/num.h"

enum {
    RUN_BYTES = 64 << 10,
    NUMBER_TEXT_MAX = 11,
    LZF_MIN = 21,           /* shorter strings are not worth it */
    LZF_MAX = 16 << 20,     /* longer ones neither: their memory would be needed again */
    LZF_GAIN_MIN = 4,
    LISTPACK_HEAD = 6,
    LISTPACK_COUNT_MAX = 0xFFFF,
};

void rdb_output_init(struct rdb_output *out, rdb_push *push, void *context, bool compress)
{
    *out = (struct rdb_output){.push = push, .context = context, .compress = compress};
}

void rdb_output_fini(struct rdb_output *out)
{
    buf_free(&out->buf);
    buf_free(&out->packed);
    *out = (struct rdb_output){0};
}

enum err rdb_output_flush(struct rdb_output *out)
{
    if (out->push == NULL || out->buf.size == 0)
        return OK;
    out->crc = hash_crc64(out->crc, buf_slice(&out->buf));
    TRY(out->push(out->context, buf_slice(&out->buf)));
    out->offset += out->buf.size;
    buf_clear(&out->buf);
    return OK;
}

enum err rdb_output_flush_some(struct rdb_output *out)
{
    return out->buf.size >= RUN_BYTES ? rdb_output_flush(out) : OK;
}

enum err rdb_output_crc(struct rdb_output *out, uint64_t *crc)
{
    TRY(rdb_output_flush(out));
    *crc = out->push != NULL ? out->crc : hash_crc64(0, buf_slice(&out->buf));
    return OK;
}

void rdb_put_byte(struct rdb_output *out, uint8_t byte)
{
    buf_append_byte(&out->buf, byte);
}

void rdb_put_u64(struct rdb_output *out, uint64_t value)
{
    buf_append(&out->buf, &value, sizeof value);
}

void rdb_put_double(struct rdb_output *out, double value)
{
    buf_append(&out->buf, &value, sizeof value);
}

void rdb_put_length(struct rdb_output *out, uint64_t length)
{
    uint8_t bytes[9];
    int size = 0;

    if (length < 64) {
        bytes[size++] = (uint8_t)length;
    } else if (length < 16384) {
        bytes[size++] = (uint8_t)(0x40 | length >> 8);
        bytes[size++] = (uint8_t)length;
    } else {
        int width = length <= UINT32_MAX ? 4 : 8;

        bytes[size++] = width == 4 ? 0x80 : 0x81;
        while (width-- > 0)
            bytes[size++] = (uint8_t)(length >> 8 * width);
    }
    buf_append(&out->buf, bytes, (size_t)size);
}

static bool put_number(struct rdb_output *out, struct slice text)
{
    int64_t value;
    int size;
    uint8_t bytes[5];

    if (text.size == 0 || text.size > NUMBER_TEXT_MAX || !num_parse_i64(text, &value) || value < INT32_MIN ||
        value > INT32_MAX)
        return false;
    size = value >= INT8_MIN && value <= INT8_MAX ? 1 : value >= INT16_MIN && value <= INT16_MAX ? 2 : 4;
    bytes[0] = size == 1 ? 0xC0 : size == 2 ? 0xC1 : 0xC2;
    for (int i = 0; i < size; i++)
        bytes[1 + i] = (uint8_t)((uint64_t)value >> 8 * i);
    buf_append(&out->buf, bytes, 1 + (size_t)size);
    return true;
}

static bool put_compressed(struct rdb_output *out, struct slice text)
{
    unsigned size;

    if (!out->compress || text.size < LZF_MIN || text.size > LZF_MAX)
        return false;
    buf_clear(&out->packed);
    buf_reserve(&out->packed, text.size);
    size = lzf_compress(text.data, (unsigned)text.size, out->packed.data, (unsigned)text.size - LZF_GAIN_MIN);
    if (size == 0)
        return false;
    rdb_put_byte(out, 0xC3);
    rdb_put_length(out, size);
    rdb_put_length(out, text.size);
    buf_append(&out->buf, out->packed.data, size);
    return true;
}

void rdb_put_string(struct rdb_output *out, struct slice text)
{
    if (put_number(out, text) || put_compressed(out, text))
        return;
    rdb_put_length(out, text.size);
    buf_append_slice(&out->buf, text);
}

/* ---- Listpacks ---- */

void rdb_listpack_begin(struct buf *pack)
{
    buf_clear(pack);
    buf_append(pack, "\0\0\0\0\0\0", LISTPACK_HEAD);
}

/* What lies behind `start` is an entry: its size follows it, so that it can be read backwards. */
static void back(struct buf *pack, size_t start)
{
    size_t size = pack->size - start;
    int groups = size < 128 ? 1 : size < 16384 ? 2 : size < 2097152 ? 3 : size < 268435456 ? 4 : 5;

    for (int i = groups; i-- > 0;)
        buf_append_byte(pack, (uint8_t)((size >> 7 * i & 127) | (i < groups - 1 ? 128 : 0)));
}

static void put_integer(struct buf *pack, int64_t value)
{
    size_t start = pack->size;
    int width;

    if (value >= 0 && value <= 127) {
        buf_append_byte(pack, (uint8_t)value);
    } else if (value >= -4096 && value <= 4095) {
        buf_append_byte(pack, (uint8_t)(0xC0 | (value >> 8 & 31)));
        buf_append_byte(pack, (uint8_t)value);
    } else {
        width = value >= INT16_MIN && value <= INT16_MAX         ? 2
                : value >= -(1 << 23) && value < 1 << 23         ? 3
                : value >= INT32_MIN && value <= INT32_MAX       ? 4
                                                                 : 8;
        buf_append_byte(pack, (uint8_t)(width == 8 ? 0xF4 : 0xEF + width));
        buf_append(pack, &value, (size_t)width);
    }
    back(pack, start);
}

void rdb_listpack_add(struct buf *pack, struct slice entry)
{
    size_t start = pack->size;
    int64_t value;

    if (entry.size > 0 && entry.size <= 20 && num_parse_i64(entry, &value)) {
        put_integer(pack, value);
        return;
    }
    if (entry.size < 64) {
        buf_append_byte(pack, (uint8_t)(0x80 | entry.size));
    } else if (entry.size < 4096) {
        buf_append_byte(pack, (uint8_t)(0xE0 | entry.size >> 8));
        buf_append_byte(pack, (uint8_t)entry.size);
    } else {
        uint32_t size = (uint32_t)entry.size;

        buf_append_byte(pack, 0xF0);
        buf_append(pack, &size, sizeof size);
    }
    buf_append_slice(pack, entry);
    back(pack, start);
}

void rdb_listpack_add_score(struct buf *pack, double score)
{
    char text[NUM_TEXT_MAX];

    if (score >= -9.2e18 && score <= 9.2e18 && score == trunc(score))
        put_integer(pack, (int64_t)score);
    else
        rdb_listpack_add(pack, slice_of(text, num_format_double(text, score)));
}

void rdb_listpack_end(struct buf *pack, uint64_t entries)
{
    uint32_t size;
    uint16_t count = (uint16_t)(entries < LISTPACK_COUNT_MAX ? entries : LISTPACK_COUNT_MAX);

    buf_append_byte(pack, 0xFF);
    check(pack->size <= UINT32_MAX);
    size = (uint32_t)pack->size;
    memcpy(pack->data, &size, sizeof size);
    memcpy(pack->data + 4, &count, sizeof count);
}
