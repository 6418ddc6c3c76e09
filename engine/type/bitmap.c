/*
 * bitmap.c - bits of strings. Sparse values cost what is there: chunks that are missing are skipped, not read.
 */
#include "engine/type/bitmap.h"

#include "base/check.h"
#include "engine/type/string.h"

enum { FIELD_BYTES_MAX = 9 }; /* 64 bits that begin inside a byte */

enum err bitmap_get(struct txn *t, struct obj *o, uint64_t offset, bool *bit)
{
    uint8_t byte = 0;

    if (o != NULL)
        TRY(string_read(t, o, offset / 8, &byte, 1));
    *bit = (byte >> (7 - offset % 8)) & 1;
    return OK;
}

enum err bitmap_set(struct txn *t, struct obj *o, uint64_t offset, bool bit, bool *old)
{
    uint8_t byte, mask = (uint8_t)(0x80 >> offset % 8);
    bool was;

    TRY(string_read(t, o, offset / 8, &byte, 1));
    was = (byte & mask) != 0;
    if (was != bit) {
        byte ^= mask;
        TRY(string_write(t, o, offset / 8, slice_of(&byte, 1)));
    } else {
        TRY(string_grow(t, o, offset / 8 + 1));
    }
    *old = was;
    return OK;
}

/* ---- Count and find ---- */

static inline uint64_t word_at(const uint8_t *data)
{
    uint64_t word;

    memcpy(&word, data, sizeof word);
    return word;
}

static uint64_t ones(const uint8_t *data, size_t size)
{
    const uint64_t m1 = 0x5555555555555555u, m2 = 0x3333333333333333u, m4 = 0x0f0f0f0f0f0f0f0fu;
    uint64_t total = 0;

    while (size >= 8) { /* sums of up to 31 words fit the bytes of one */
        size_t words = size / 8 < 31 ? size / 8 : 31;
        uint64_t sum = 0;

        for (size_t i = 0; i < words; i++) {
            uint64_t w = word_at(data + 8 * i);

            w -= (w >> 1) & m1;
            w = (w & m2) + ((w >> 2) & m2);
            sum += (w + (w >> 4)) & m4;
        }
        sum = (sum & 0x00ff00ff00ff00ffu) + ((sum >> 8) & 0x00ff00ff00ff00ffu);
        total += (sum * 0x0001000100010001u) >> 48;
        data += 8 * words;
        size -= 8 * words;
    }
    for (size_t i = 0; i < size; i++)
        total += (uint64_t)__builtin_popcount(data[i]);
    return total;
}

/* The bits of byte number `at` that lie in [from, to). */
static uint8_t byte_mask(uint64_t at, uint64_t from, uint64_t to)
{
    uint8_t mask = 0xff;

    if (at * 8 < from)
        mask &= (uint8_t)(0xff >> (from - at * 8));
    if (at * 8 + 8 > to)
        mask &= (uint8_t)(0xff << (at * 8 + 8 - to));
    return mask;
}

enum err bitmap_count(struct txn *t, struct obj *o, uint64_t from, uint64_t to, uint64_t *count)
{
    struct string_walk w;
    uint64_t total = 0;
    enum err e;

    if (o == NULL || from >= to) {
        *count = 0;
        return OK;
    }
    TRY(string_walk_begin(t, o, from / 8, (to + 7) / 8, &w));
    while ((e = string_walk_next(&w)) == OK) {
        uint64_t last = w.offset + w.run.size - 1;
        uint8_t outside;

        total += ones(w.run.data, w.run.size);
        outside = (uint8_t)~byte_mask(w.offset, from, to);
        total -= (uint64_t)__builtin_popcount(w.run.data[0] & outside);
        if (last != w.offset) {
            outside = (uint8_t)~byte_mask(last, from, to);
            total -= (uint64_t)__builtin_popcount(w.run.data[w.run.size - 1] & outside);
        }
    }
    string_walk_end(&w);
    if (e != ERR_NOT_FOUND)
        return e;
    *count = total;
    return OK;
}

/* The first bit equal to `bit` in a run that begins at byte `offset`, within bits [from, to). */
static bool run_find(struct slice run, uint64_t offset, bool bit, uint64_t from, uint64_t to, uint64_t *at)
{
    uint8_t flip = bit ? 0 : 0xff;
    uint64_t skip = bit ? 0 : UINT64_MAX;
    size_t i = 0;

    while (i < run.size) {
        uint8_t byte = (uint8_t)((run.data[i] ^ flip) & byte_mask(offset + i, from, to));

        if (byte != 0) {
            *at = (offset + i) * 8 + (uint64_t)__builtin_clz(byte) - 24;
            return true;
        }
        i++;
        while (run.size - i >= 8 && word_at(run.data + i) == skip)
            i += 8;
    }
    return false;
}

enum err bitmap_find(struct txn *t, struct obj *o, bool bit, uint64_t from, uint64_t to, uint64_t *at)
{
    uint64_t behind = from / 8; /* the byte behind everything seen */
    struct string_walk w;
    bool found = false;
    enum err e;

    if (o == NULL || from >= to)
        return ERR_NOT_FOUND;
    TRY(string_walk_begin(t, o, from / 8, (to + 7) / 8, &w));
    while (!found && (e = string_walk_next(&w)) == OK) {
        if (!bit && w.offset > behind)
            break;
        found = run_find(w.run, w.offset, bit, from, to, at);
        behind = w.offset + w.run.size;
    }
    string_walk_end(&w);
    if (found)
        return OK;
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    if (bit || behind * 8 >= to)
        return ERR_NOT_FOUND;
    *at = behind * 8 > from ? behind * 8 : from; /* a gap: zeros */
    return OK;
}

/* ---- BITOP ---- */

static void apply(enum bitmap_operation operation, uint8_t *to, const uint8_t *from, size_t size)
{
    switch (operation) {
    case BITMAP_AND:
        for (size_t i = 0; i < size; i++)
            to[i] &= from[i];
        break;
    case BITMAP_OR:
        for (size_t i = 0; i < size; i++)
            to[i] |= from[i];
        break;
    case BITMAP_XOR:
        for (size_t i = 0; i < size; i++)
            to[i] ^= from[i];
        break;
    case BITMAP_NOT:
        for (size_t i = 0; i < size; i++)
            to[i] = (uint8_t)~from[i];
        break;
    }
}

/* One value over out; the gaps between its runs, and what lies behind it, are zeros. */
static enum err combine_one(struct txn *t, enum bitmap_operation operation, struct obj *o, struct buf *out)
{
    bool clears = operation == BITMAP_AND; /* AND with a gap; the others leave a gap's bytes as they are */
    size_t behind = 0;
    struct string_walk w;
    enum err e = ERR_NOT_FOUND;

    if (o != NULL) {
        TRY(string_walk_begin(t, o, 0, out->size, &w));
        while ((e = string_walk_next(&w)) == OK) {
            if (clears)
                memset(out->data + behind, 0, w.offset - behind);
            apply(operation, out->data + w.offset, w.run.data, w.run.size);
            behind = w.offset + w.run.size;
        }
        string_walk_end(&w);
    }
    if (clears && out->size > behind)
        memset(out->data + behind, 0, out->size - behind);
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err bitmap_combine(struct txn *t, enum bitmap_operation operation, struct obj *const *values, size_t count,
                        struct buf *out)
{
    uint64_t size = 0;

    check(operation != BITMAP_NOT || count == 1);
    for (size_t i = 0; i < count; i++)
        if (values[i] != NULL && string_length(values[i]) > size)
            size = string_length(values[i]);
    buf_clear(out);
    if (size == 0)
        return OK;
    buf_reserve(out, size);
    memset(out->data, operation == BITMAP_AND || operation == BITMAP_NOT ? 0xff : 0, size);
    out->size = size;
    for (size_t i = 0; i < count; i++)
        TRY(combine_one(t, operation, values[i], out));
    return OK;
}

/* ---- Fields ---- */

enum err bitmap_field_get(struct txn *t, struct obj *o, struct bitmap_field f, int64_t *value)
{
    unsigned shift = f.offset % 8, bytes = (shift + f.bits + 7) / 8;
    uint8_t raw[FIELD_BYTES_MAX] = {0};
    unsigned __int128 window = 0;
    uint64_t bits;

    if (o != NULL)
        TRY(string_read(t, o, f.offset / 8, raw, bytes));
    for (unsigned i = 0; i < bytes; i++)
        window = window << 8 | raw[i];
    window >>= bytes * 8 - shift - f.bits;
    bits = (uint64_t)window;
    if (f.bits < 64) {
        bits &= ((uint64_t)1 << f.bits) - 1;
        if (f.is_signed && (bits >> (f.bits - 1)) != 0)
            bits |= UINT64_MAX << f.bits;
    }
    *value = (int64_t)bits;
    return OK;
}

enum err bitmap_field_set(struct txn *t, struct obj *o, struct bitmap_field f, int64_t value)
{
    unsigned shift = f.offset % 8, bytes = (shift + f.bits + 7) / 8, tail = bytes * 8 - shift - f.bits;
    unsigned __int128 window = 0, mask = ((unsigned __int128)1 << f.bits) - 1;
    uint8_t raw[FIELD_BYTES_MAX];

    TRY(string_read(t, o, f.offset / 8, raw, bytes));
    for (unsigned i = 0; i < bytes; i++)
        window = window << 8 | raw[i];
    window = (window & ~(mask << tail)) | (((unsigned __int128)(uint64_t)value & mask) << tail);
    for (unsigned i = bytes; i-- > 0; window >>= 8)
        raw[i] = (uint8_t)window;
    return string_write(t, o, f.offset / 8, slice_of(raw, bytes));
}

bool bitmap_field_add(struct bitmap_field f, int64_t value, int64_t increment, enum bitmap_overflow overflow,
                      int64_t *out)
{
    __int128 low, high, sum = f.is_signed ? (__int128)value : (__int128)(uint64_t)value;
    uint64_t bits;

    if (f.is_signed) {
        high = ((__int128)1 << (f.bits - 1)) - 1;
        low = -high - 1;
    } else {
        high = ((__int128)1 << f.bits) - 1;
        low = 0;
    }
    sum += increment;
    if (sum >= low && sum <= high) {
        *out = (int64_t)sum;
        return true;
    }
    if (overflow == BITMAP_FAIL)
        return false;
    if (overflow == BITMAP_SATURATE) {
        /* A value set so far below that Redis' 64-bit high - value wraps saturates at the top there; replicas of both
         * kinds must agree. */
        if (f.is_signed && f.bits < 64 && value < high - INT64_MAX)
            sum = high + 1;
        *out = (int64_t)(sum > high ? high : low);
        return true;
    }
    bits = (uint64_t)sum;
    if (f.bits < 64) {
        bits &= ((uint64_t)1 << f.bits) - 1;
        if (f.is_signed && (bits >> (f.bits - 1)) != 0)
            bits |= UINT64_MAX << f.bits;
    }
    *out = (int64_t)bits;
    return true;
}
