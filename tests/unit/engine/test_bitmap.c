/*
 * test_bitmap.c - bits of strings: what an array of bits gives, in the plain and the chunked form, dense and sparse.
 */
#include "tests/unit/engine/runner.h"
#include "tests/unit/suite.h"

#include "base/check.h"
#include "base/rng.h"
#include "engine/type/bitmap.h"
#include "engine/type/string.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static struct harness *h;

static void setup(void)
{
    h = harness_open(64 << 20);
}

static void teardown(void)
{
    harness_close(h);
}

/* ---- The same as an array ---- */

enum { MODEL_BYTES = 600000 };

struct model {
    uint8_t *bytes;
    size_t size;
};

static bool model_bit(const struct model *m, uint64_t at)
{
    return at / 8 < m->size && ((m->bytes[at / 8] >> (7 - at % 8)) & 1);
}

static void model_set(struct model *m, uint64_t at, bool bit)
{
    uint8_t mask = (uint8_t)(0x80 >> at % 8);

    if (at / 8 >= m->size) {
        memset(m->bytes + m->size, 0, at / 8 + 1 - m->size);
        m->size = at / 8 + 1;
    }
    m->bytes[at / 8] = (uint8_t)(bit ? m->bytes[at / 8] | mask : m->bytes[at / 8] & ~mask);
}

static long long ask(const char *format, ...) __attribute__((format(printf, 1, 2)));
static long long ask(const char *format, ...)
{
    char line[256];
    const char *reply;
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    reply = run(h, line);
    ck_assert_msg(reply[0] == ':', "%s: %s", line, reply);
    return atoll(reply + 1);
}

/* Around the edges of bytes, chunks and the plain form, and anywhere. */
static uint64_t random_bit(struct rng *r)
{
    static const uint64_t edges[] = {0, OBJ_CHUNK_BYTES * 8, OBJ_STRING_PLAIN_MAX * 8, OBJ_STRING_PLAIN_MAX * 16};

    if (rng_below(r, 3) == 0)
        return rng_below(r, MODEL_BYTES * 8 - 64);
    return edges[rng_below(r, 4)] + rng_below(r, 40);
}

static uint64_t model_count(const struct model *m, uint64_t from, uint64_t to)
{
    uint64_t total = 0;

    for (uint64_t at = from; at < to && at < m->size * 8;) {
        bool whole = at % 8 == 0 && at + 8 <= to;

        total += whole ? (uint64_t)__builtin_popcount(m->bytes[at / 8]) : model_bit(m, at);
        at += whole ? 8 : 1;
    }
    return total;
}

static long long model_find(const struct model *m, bool bit, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at++) {
        if (at % 8 == 0 && at + 8 <= to && m->bytes[at / 8] == (bit ? 0 : 0xff))
            at += 7;
        else if (model_bit(m, at) == bit)
            return (long long)at;
    }
    return -1;
}

static void compare_ranges(struct rng *r, const struct model *m)
{
    uint64_t bits = m->size * 8, from = random_bit(r), to = random_bit(r);
    bool bit = rng_below(r, 2) == 0;

    ck_assert_int_eq(ask("GETBIT k %llu", (unsigned long long)from), model_bit(m, from));
    if (from > to) {
        uint64_t swap = from;

        from = to;
        to = swap;
    }
    if (to >= bits)
        to = bits - 1;
    if (from > to)
        return;
    ck_assert_int_eq(ask("BITCOUNT k %llu %llu BIT", (unsigned long long)from, (unsigned long long)to),
                     (long long)model_count(m, from, to + 1));
    ck_assert_int_eq(ask("BITPOS k %d %llu %llu BIT", bit, (unsigned long long)from, (unsigned long long)to),
                     model_find(m, bit, from, to + 1));
    from /= 8;
    to /= 8;
    ck_assert_int_eq(ask("BITCOUNT k %llu %llu", (unsigned long long)from, (unsigned long long)to),
                     (long long)model_count(m, from * 8, to * 8 + 8));
    ck_assert_int_eq(ask("BITPOS k %d %llu %llu", bit, (unsigned long long)from, (unsigned long long)to),
                     model_find(m, bit, from * 8, to * 8 + 8));
}

START_TEST(bitmap__random_bits_give_what_an_array_gives_plain_and_chunked_warm_and_cold)
{
    struct model m = {malloc(MODEL_BYTES), 0};
    unsigned colds = run_colds();

    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct rng r;

        rng_seed(&r, seed);
        fprintf(stderr, "bitmap: seed %llu\n", (unsigned long long)seed);
        m.size = 0;
        (void)run(h, "DEL k");
        for (int i = 0; i < 250; i++) {
            uint64_t at = random_bit(&r);
            bool bit = rng_below(&r, 3) != 0;

            if (i < 60) /* plain at first */
                at %= OBJ_STRING_PLAIN_MAX * 8;
            ck_assert_int_eq(ask("SETBIT k %llu %d", (unsigned long long)at, bit), model_bit(&m, at));
            model_set(&m, at, bit);
            if (i % 3 == 0)
                compare_ranges(&r, &m);
            h->may_wait = rng_below(&r, 2) == 0;
            if (rng_below(&r, 40) == 0)
                harness_cool(h);
        }
        ck_assert_int_eq(ask("BITCOUNT k"), (long long)model_count(&m, 0, m.size * 8));
        ck_assert_int_eq(ask("STRLEN k"), (long long)m.size);
        h->may_wait = true;
    }
    ck_assert_uint_gt(run_colds(), colds);
    free(m.bytes);
}
END_TEST

START_TEST(bitmap__ones_over_many_words_are_counted)
{
    struct buf value = {0};
    struct slice words[3] = {SLICE_LITERAL("SET"), SLICE_LITERAL("k")};
    struct model m;

    for (size_t i = 0; i < 5000; i++)
        buf_append_byte(&value, i < 1000 ? 0xff : (uint8_t)(i * 37));
    words[2] = buf_slice(&value);
    (void)run_words(h, words, 3);
    m = (struct model){value.data, value.size};
    for (unsigned from = 0; from < 40; from++)
        ck_assert_int_eq(ask("BITCOUNT k %u -%u", from, 1 + from * 3),
                         (long long)model_count(&m, from * 8, (5000 - from * 3) * 8));
    ck_assert_int_eq(ask("BITPOS k 0"), 8000 + model_find(&(struct model){value.data + 1000, 4000}, false, 0, 32000));
    buf_free(&value);
}
END_TEST

START_TEST(bitmap__sparse_holes_are_zeros)
{
    ck_assert_int_eq(ask("SETBIT k 4294967295 1"), 0);
    ck_assert_int_eq(ask("STRLEN k"), 536870912);
    ck_assert_int_eq(ask("BITCOUNT k"), 1);
    ck_assert_int_eq(ask("BITPOS k 1"), 4294967295);
    ck_assert_int_eq(ask("BITPOS k 0 -1"), 4294967288);
    ck_assert_int_eq(ask("BITPOS k 0"), 0);
    ck_assert_int_eq(ask("GETBIT k 4000000000"), 0);
    ck_assert_int_eq(ask("SETBIT k 8 1"), 0);
    ck_assert_int_eq(ask("BITPOS k 1"), 8);
    ck_assert_int_eq(ask("BITCOUNT k 0 1000"), 1);
}
END_TEST

/* ---- BITOP ---- */

START_TEST(bitmap__operations_pad_with_zeros_and_span_both_forms)
{
    uint8_t *expected = malloc(MODEL_BYTES);
    struct slice get[2] = {SLICE_LITERAL("GET"), SLICE_LITERAL("d")}, set[3] = {SLICE_LITERAL("SET")}, reply;
    const size_t sizes[3] = {10, 300000, 500000}; /* plain, chunked, chunked with a hole */
    struct buf values[3] = {{0}};
    static const char *const keys[] = {"a", "b", "c"}, *const names[] = {"AND", "OR", "XOR", "NOT"};
    struct rng r;

    rng_seed(&r, 11);
    for (int i = 0; i < 3; i++) {
        for (size_t n = 0; n < sizes[i]; n++)
            buf_append_byte(&values[i], i == 2 && n > 20 && n < 450000 ? 0 : (uint8_t)rng_next(&r));
        set[1] = slice_str(keys[i]);
        set[2] = slice_of(values[i].data, i == 2 ? 21 : sizes[i]);
        (void)run_words(h, set, 3);
    }
    for (size_t at = 450000; at < 500000; at += 10000) { /* the hole in c stays one */
        char place[32];
        struct slice words[4] = {SLICE_LITERAL("SETRANGE"), SLICE_LITERAL("c"), slice_of(place, 0),
                                 slice_of(values[2].data + at, 10000)};

        words[2].size = (size_t)snprintf(place, sizeof place, "%zu", at);
        (void)run_words(h, words, 4);
    }
    for (unsigned op = 0; op < 4; op++) {
        size_t size = sizes[2];
        char line[64];

        for (size_t n = 0; n < size; n++) {
            uint8_t a = n < 10 ? values[0].data[n] : 0, b = n < 300000 ? values[1].data[n] : 0, c = values[2].data[n];

            expected[n] = (uint8_t)(op == 0 ? a & b & c : op == 1 ? a | b | c : op == 2 ? a ^ b ^ c : ~c);
        }
        snprintf(line, sizeof line, op == 3 ? "BITOP %s d c" : "BITOP %s d a b c", names[op]);
        ck_assert_int_eq(ask("%s", line), (long long)size);
        reply = run_words(h, get, 2);
        ck_assert_uint_eq(reply.size, size + 9 + 2);
        ck_assert(memcmp(reply.data + 9, expected, size) == 0);
    }
    for (int i = 0; i < 3; i++)
        buf_free(&values[i]);
    free(expected);
}
END_TEST

START_TEST(bitmap__operation_is_logged_as_its_result)
{
    (void)run(h, "MSET a abc b ab");
    harness_text_clear(h);
    ck_assert_str_eq(run(h, "BITOP AND d a b"), ":3");
    ck_assert_int_eq(ask("STRLEN d"), 3);
    harness_text_clear(h);
    ck_assert_str_eq(run(h, "BITOP OR d a"), ":3");
    ck_assert_str_eq(harness_text(h), "SET d abc|");
    harness_text_clear(h);
    ck_assert_str_eq(run(h, "BITOP XOR d none"), ":0");
    ck_assert_str_eq(harness_text(h), "DEL d|");
    harness_text_clear(h);
    ck_assert_str_eq(run(h, "BITOP XOR d none"), ":0");
    ck_assert_str_eq(harness_text(h), "");
}
END_TEST

/* ---- Fields ---- */

static int64_t model_field(const struct model *m, struct bitmap_field f)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < f.bits; i++)
        value = value << 1 | model_bit(m, f.offset + i);
    if (f.is_signed && f.bits < 64 && (value >> (f.bits - 1)) != 0)
        value |= UINT64_MAX << f.bits;
    return (int64_t)value;
}

START_TEST(bitmap__fields_of_any_width_and_place_are_read_and_written_alone)
{
    struct model m = {malloc(MODEL_BYTES), 0};
    struct rng r;

    rng_seed(&r, 5);
    for (int i = 0; i < 600; i++) {
        struct bitmap_field f = {.offset = random_bit(&r), .is_signed = rng_below(&r, 2) == 0};
        char line[128], reply[64];
        int64_t old, value = (int64_t)rng_next(&r);
        bool wide = rng_below(&r, 2) == 0;

        f.bits = (uint8_t)(1 + rng_below(&r, wide ? (f.is_signed ? 64 : 63) : 9));
        if (i == 300) { /* chunked from here on */
            model_set(&m, MODEL_BYTES * 8 - 1, true);
            (void)ask("SETBIT k %d 1", MODEL_BYTES * 8 - 1);
        }
        if (i < 300)
            f.offset %= 5000;
        old = model_field(&m, f);
        snprintf(line, sizeof line, "BITFIELD k SET %c%u %llu %lld", f.is_signed ? 'i' : 'u', f.bits,
                 (unsigned long long)f.offset, (long long)value);
        snprintf(reply, sizeof reply, "*1 :%lld", (long long)old);
        ck_assert_str_eq(run(h, line), reply);
        model_set(&m, f.offset + f.bits - 1, model_bit(&m, f.offset + f.bits - 1)); /* grows */
        for (unsigned b = 0; b < f.bits; b++)
            model_set(&m, f.offset + b, ((uint64_t)value >> (f.bits - 1 - b)) & 1);
        ck_assert_int_eq(ask("BITCOUNT k"), (long long)model_count(&m, 0, m.size * 8));
        snprintf(line, sizeof line, "BITFIELD_RO k GET %c%u %llu", f.is_signed ? 'i' : 'u', f.bits,
                 (unsigned long long)f.offset);
        snprintf(reply, sizeof reply, "*1 :%lld", (long long)model_field(&m, f));
        ck_assert_str_eq(run(h, line), reply);
    }
    free(m.bytes);
}
END_TEST

START_TEST(bitmap__field_additions_wrap_saturate_or_fail)
{
    static const struct {
        bool is_signed;
        uint8_t bits;
        int64_t value, increment;
        bool held;
        int64_t wrapped, saturated;
    } rows[] = {
        {false, 8, 250, 5, true, 255, 255},
        {false, 8, 250, 6, false, 0, 255},
        {false, 8, 3, -4, false, 255, 0},
        {false, 8, -1, 0, false, 255, 255},
        {false, 63, INT64_MAX, 1, false, 0, INT64_MAX},
        {true, 8, 120, 8, false, -128, 127},
        {true, 8, -120, -9, false, 127, -128},
        {true, 64, INT64_MAX, 1, false, INT64_MIN, INT64_MAX},
        {true, 64, INT64_MIN, -1, false, INT64_MAX, INT64_MIN},
        {true, 64, INT64_MIN, INT64_MAX, true, -1, -1},
        {true, 1, 0, 1, false, -1, 0},
        {true, 5, -1000, 0, false, -8, -16},
        {true, 5, INT64_MIN, 0, false, 0, 15}, /* as Redis, whose 64-bit difference wraps */
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bitmap_field f = {.bits = rows[i].bits, .is_signed = rows[i].is_signed};
        int64_t out = 4711;

        ck_assert_int_eq(bitmap_field_add(f, rows[i].value, rows[i].increment, BITMAP_FAIL, &out), rows[i].held);
        ck_assert_int_eq(out, rows[i].held ? rows[i].wrapped : 4711);
        ck_assert(bitmap_field_add(f, rows[i].value, rows[i].increment, BITMAP_WRAP, &out));
        ck_assert_int_eq(out, rows[i].wrapped);
        ck_assert(bitmap_field_add(f, rows[i].value, rows[i].increment, BITMAP_SATURATE, &out));
        ck_assert_int_eq(out, rows[i].saturated);
    }
}
END_TEST

/* ---- Replies ---- */

START_TEST(bitmap__commands_reply_as_redis_does)
{
    static const struct {
        const char *line, *reply;
    } rows[] = {
        {"SETBIT k -1 1", "-ERR bit offset is not an integer or out of range"},
        {"SETBIT k 4294967296 1", "-ERR bit offset is not an integer or out of range"},
        {"SETBIT k 1 2", "-ERR bit is not an integer or out of range"},
        {"GETBIT k x", "-ERR bit offset is not an integer or out of range"},
        {"GETBIT k 7", ":0"},
        {"SETBIT k 7 0", ":0"},
        {"STRLEN k", ":1"},
        {"SETBIT k 7 1", ":0"},
        {"SETBIT k 7 1", ":1"},
        {"BITCOUNT k 0", "-ERR syntax error"},
        {"BITCOUNT none 0 x", "-ERR value is not an integer or out of range"},
        {"BITCOUNT none 0 1 FOO", "-ERR syntax error"},
        {"BITCOUNT none", ":0"},
        {"SET s foobar", "+OK"},
        {"BITCOUNT s", ":26"},
        {"BITCOUNT s 0 0", ":4"},
        {"BITCOUNT s 5 30 BIT", ":17"},
        {"BITCOUNT s -2 -5", ":0"},
        {"BITPOS s 2", "-ERR The bit argument must be 1 or 0."},
        {"BITPOS s x", "-ERR value is not an integer or out of range"},
        {"BITPOS s 1 0 1 FOO", "-ERR syntax error"},
        {"BITPOS none 0", ":0"},
        {"BITPOS none 1", ":-1"},
        {"BITPOS s 1 2 -1 BYTE", ":17"},
        {"BITPOS s 1 7 15 BIT", ":9"},
        {"SET e \"\"", "+OK"},
        {"BITPOS e 0", ":-1"},
        {"BITFIELD ones SET u8 0 255", "*1 :0"},
        {"BITPOS ones 0", ":8"},
        {"BITPOS ones 0 0", ":8"},
        {"BITPOS ones 0 0 -1", ":-1"},
        {"BITPOS ones 0 1", ":-1"},
        {"BITOP FOO d s", "-ERR syntax error"},
        {"BITOP NOT d s s", "-ERR BITOP NOT must be called with a single source key."},
        {"BITFIELD f", "*0"},
        {"STRLEN f", ":0"},
        {"BITFIELD f GET u8 0", "*1 :0"},
        {"STRLEN f", ":0"},
        {"BITFIELD f SET u8 #1 0", "*1 :0"},
        {"STRLEN f", ":2"},
        {"BITFIELD f SET u8 0 255 INCRBY u8 0 10 OVERFLOW SAT INCRBY u8 0 250 OVERFLOW FAIL INCRBY u8 0 1 GET i8 0",
         "*5 :0 :9 :255 $-1 :-1"},
        {"BITFIELD f GET u64 0", "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported "
                                 "but i64 is."},
        {"BITFIELD f GET u8 -1", "-ERR bit offset is not an integer or out of range"},
        {"BITFIELD f GET u8 #536870912", "-ERR bit offset is not an integer or out of range"},
        {"BITFIELD f GET u8", "-ERR syntax error"},
        {"BITFIELD f OVERFLOW foo", "-ERR Invalid OVERFLOW type specified"},
        {"BITFIELD f SET u8 0 x", "-ERR value is not an integer or out of range"},
        {"BITFIELD_RO f SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand"},
        {"RPUSH l a", ":1"},
        {"SETBIT l 0 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"BITOP AND d l", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"BITFIELD l GET u8 0", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_str_eq(run(h, rows[i].line), rows[i].reply);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("bitmap");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, bitmap__random_bits_give_what_an_array_gives_plain_and_chunked_warm_and_cold);
    tcase_add_test(tc, bitmap__ones_over_many_words_are_counted);
    tcase_add_test(tc, bitmap__sparse_holes_are_zeros);
    tcase_add_test(tc, bitmap__operations_pad_with_zeros_and_span_both_forms);
    tcase_add_test(tc, bitmap__operation_is_logged_as_its_result);
    tcase_add_test(tc, bitmap__fields_of_any_width_and_place_are_read_and_written_alone);
    tcase_add_test(tc, bitmap__field_additions_wrap_saturate_or_fail);
    tcase_add_test(tc, bitmap__commands_reply_as_redis_does);
    return suite_run("bitmap", tc);
}
