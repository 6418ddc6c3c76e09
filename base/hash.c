/*
 * hash.c - table-driven CRCs; xxhash from its library.
 */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <pthread.h>

static uint16_t crc16_table[8][256];
static uint64_t crc64_table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void tables_fill(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint16_t c = (uint16_t)(i << 8);
        uint64_t d = i;

        for (int bit = 0; bit < 8; bit++) {
            c = (uint16_t)(c & 0x8000 ? (c << 1) ^ 0x1021 : c << 1);
            d = d & 1 ? (d >> 1) ^ UINT64_C(0x95AC9329AC4BC9B5) : d >> 1;
        }
        crc16_table[0][i] = c;
        crc64_table[0][i] = d;
    }
    for (unsigned i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++) {
            uint16_t c = crc16_table[k - 1][i];

            crc16_table[k][i] = (uint16_t)((c << 8) ^ crc16_table[0][c >> 8]);
            crc64_table[k][i] = crc64_table[0][crc64_table[k - 1][i] & 0xff] ^ (crc64_table[k - 1][i] >> 8);
        }
}

__attribute__((constructor)) static void tables_init(void)
{
    pthread_once(&once, tables_fill);
}

/* Both CRCs take eight bytes at a time ("slicing by 8"): the tables advance a byte's CRC by 1..8 positions. */
uint16_t hash_crc16(struct slice bytes)
{
    const uint8_t *p = bytes.data;
    size_t left = bytes.size;
    uint16_t crc = 0;

    for (; left >= 8; p += 8, left -= 8)
        crc = crc16_table[7][p[0] ^ (crc >> 8)] ^ crc16_table[6][p[1] ^ (crc & 0xff)] ^ crc16_table[5][p[2]] ^
              crc16_table[4][p[3]] ^ crc16_table[3][p[4]] ^ crc16_table[2][p[5]] ^ crc16_table[1][p[6]] ^ crc16_table[0][p[7]];
    while (left-- > 0)
        crc = (uint16_t)((crc << 8) ^ crc16_table[0][(crc >> 8) ^ *p++]);
    return crc;
}

uint64_t hash_crc64(uint64_t crc, struct slice bytes)
{
    const uint8_t *p = bytes.data;
    size_t left = bytes.size;

    while (left >= 8) {
        uint64_t word;

        memcpy(&word, p, 8);
        crc ^= word;
        crc = crc64_table[7][crc & 0xff] ^ crc64_table[6][(crc >> 8) & 0xff] ^ crc64_table[5][(crc >> 16) & 0xff] ^
              crc64_table[4][(crc >> 24) & 0xff] ^ crc64_table[3][(crc >> 32) & 0xff] ^
              crc64_table[2][(crc >> 40) & 0xff] ^ crc64_table[1][(crc >> 48) & 0xff] ^ crc64_table[0][crc >> 56];
        p += 8;
        left -= 8;
    }
    while (left-- > 0)
        crc = crc64_table[0][(crc ^ *p++) & 0xff] ^ (crc >> 8);
    return crc;
}

slot_t hash_slot(struct slice key)
{
    const uint8_t *open = key.size ? memchr(key.data, '{', key.size) : NULL;

    if (open != NULL) {
        size_t left = (size_t)(key.data + key.size - (open + 1));
        const uint8_t *close = left ? memchr(open + 1, '}', left) : NULL;

        if (close != NULL && close > open + 1)
            key = slice_of(open + 1, (size_t)(close - open - 1));
    }
    return hash_crc16(key) & (SLOTS - 1);
}

uint32_t hash_name(struct slice name)
{
    return XXH32(name.data, name.size, 0);
}

uint64_t hash_sum(struct slice bytes)
{
    return XXH3_64bits(bytes.data, bytes.size);
}

uint64_t hash_sum_two(struct slice first, struct slice second)
{
    XXH3_state_t state;

    if (second.size == 0)
        return hash_sum(first);
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, first.data, first.size);
    XXH3_64bits_update(&state, second.data, second.size);
    return XXH3_64bits_digest(&state);
}
