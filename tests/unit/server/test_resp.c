/*
 * test_resp.c - requests: whole, cut anywhere, inline, too large, wrong.
 */
#include "server/net/resp.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/rng.h"
#include "base/words.h"
#include "tests/unit/suite.h"

enum { BULK_MAX = 1 << 20 };

static struct resp_parser parser;
static struct resp_words words;

static void setup(void)
{
    resp_init(&parser, BULK_MAX);
    parser.authenticated = true;
}

static void teardown(void)
{
    resp_fini(&parser);
    resp_words_free(&words);
}

/* Words of one request as "a|b|c", from bytes that come `step` at a time; "more", or "!error". Valid until the next. */
static const char *parsed(const char *bytes, size_t size, size_t step, struct resp_request *out)
{
    static struct buf text;
    uint8_t *data = malloc(size + 1);
    enum resp_status status = RESP_MORE;
    const char *error = NULL;
    size_t have = 0;

    buf_clear(&text);
    resp_rewind(&parser);
    words.count = 0;
    while (status == RESP_MORE && have < size) {
        size_t more = size - have < step ? size - have : step;
        uint8_t *moved = malloc(size + 1); /* the bytes move, and what is behind them is not ours */

        memcpy(moved, data, have);
        memcpy(moved + have, bytes + have, more);
        free(data);
        data = moved;
        have += more;
        status = resp_parse(&parser, data, have, &words, out, &error);
    }
    if (status == RESP_MORE)
        buf_append_str(&text, "more");
    if (status == RESP_ERROR)
        buf_append_format(&text, "!%s", error);
    for (size_t i = 0; status == RESP_REQUEST && i < out->argc; i++) {
        if (i > 0)
            buf_append_byte(&text, '|');
        buf_append_slice(&text, words.words[out->first + i]);
    }
    if (status == RESP_REQUEST && out->raw.size > 0) {
        ck_assert_ptr_eq(out->raw.data, data);
        ck_assert_uint_eq(out->raw.size, out->used);
    }
    buf_append_byte(&text, 0);
    free(data);
    return (const char *)text.data;
}

static void expect(const char *bytes, const char *wanted)
{
    struct resp_request request;
    size_t size = strlen(bytes);

    for (size_t step = 1; step <= size; step++)
        ck_assert_str_eq(parsed(bytes, size, step, &request), wanted);
}

START_TEST(resp__array_cut_at_every_byte_gives_the_same_words)
{
    expect("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhe\r\no\r\n", "SET|k|he\r\no");
    expect("*1\r\n$0\r\n\r\n", "");
    expect("*2\r\n$3\r\nGET\r\n$12\r\n0123456789ab\r\n", "GET|0123456789ab");
}
END_TEST

START_TEST(resp__unfinished_request_asks_for_more)
{
    expect("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r", "more");
    expect("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5", "more");
    expect("*3", "more");
    expect("GET k", "more");
}
END_TEST

START_TEST(resp__several_requests_are_taken_one_by_one)
{
    char bytes[] = "*1\r\n$4\r\nPING\r\nECHO hi\r\n*2\r\n$4\r\nECHO\r\n$2\r\nyo\r\n*1\r\n$4\r\nPI";
    struct resp_request r;
    const char *error;
    size_t at = 0, size = sizeof bytes - 1;
    const char *wanted[] = {"PING", "ECHO", "ECHO"};
    size_t argc[] = {1, 2, 2};

    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(resp_parse(&parser, (uint8_t *)bytes + at, size - at, &words, &r, &error), RESP_REQUEST);
        ck_assert_uint_eq(r.argc, argc[i]);
        ck_assert(slice_is(words.words[r.first], wanted[i]));
        at += r.used;
    }
    ck_assert_int_eq(resp_parse(&parser, (uint8_t *)bytes + at, size - at, &words, &r, &error), RESP_MORE);
}
END_TEST

START_TEST(resp__raw_is_given_for_canonical_arrays_only)
{
    struct resp_request r;

    parsed("*1\r\n$4\r\nPING\r\n", 14, 1, &r);
    ck_assert_uint_eq(r.raw.size, 14);
    parsed("*1\r\n$4\r\nPING\r\n", 14, 14, &r);
    ck_assert_uint_eq(r.raw.size, 14);
    ck_assert_str_eq(parsed("*1\r\n$4\r\nPINGxx", 14, 14, &r), "PING");
    ck_assert_uint_eq(r.raw.size, 0);
    parsed("PING\r\n", 6, 6, &r);
    ck_assert_uint_eq(r.raw.size, 0);
}
END_TEST

START_TEST(resp__empty_requests_are_skipped)
{
    struct resp_request r;

    expect("*0\r\n", "");
    expect("*-1\r\n", "");
    expect("\r\n", "");
    expect("\n", "");
    expect("   \r\n", "");
    parsed("*0\r\n", 4, 1, &r);
    ck_assert_uint_eq(r.argc, 0);
    ck_assert_uint_eq(r.used, 4);
}
END_TEST

START_TEST(resp__wrong_lengths_are_protocol_errors)
{
    expect("*x\r\n", "!ERR Protocol error: invalid multibulk length");
    expect("*2147483648\r\n", "!ERR Protocol error: invalid multibulk length");
    expect("*03\r\n", "!ERR Protocol error: invalid multibulk length");
    expect("*\r\n", "!ERR Protocol error: invalid multibulk length");
    expect("*1\r\n$-1\r\n", "!ERR Protocol error: invalid bulk length");
    expect("*1\r\n$1048577\r\n", "!ERR Protocol error: invalid bulk length");
    expect("*1\r\n$abc\r\n", "!ERR Protocol error: invalid bulk length");
    expect("*1\r\n+4\r\n", "!ERR Protocol error: expected '$', got '+'");
    expect("*1\r\r\n$4\r\n", "!ERR Protocol error: expected '$', got ' '");
}
END_TEST

START_TEST(resp__headers_without_an_end_are_too_big)
{
    struct resp_request r;
    size_t size = RESP_INLINE_BYTES_MAX + 10;
    char *bytes = malloc(size);

    memset(bytes, '1', size);
    bytes[0] = '*';
    ck_assert_str_eq(parsed(bytes, size, size, &r), "!ERR Protocol error: too big mbulk count string");
    memset(bytes, 'a', size);
    ck_assert_str_eq(parsed(bytes, size, 1000, &r), "!ERR Protocol error: too big inline request");
    memset(bytes, '1', size);
    memcpy(bytes, "*1\r\n$", 5);
    ck_assert_str_eq(parsed(bytes, size, size, &r), "!ERR Protocol error: too big bulk count string");
    free(bytes);
}
END_TEST

START_TEST(resp__strangers_may_send_little)
{
    parser.authenticated = false;
    expect("*11\r\n", "!ERR Protocol error: unauthenticated multibulk length");
    expect("*1\r\n$16385\r\n", "!ERR Protocol error: unauthenticated bulk length");
    expect("*10\r\n", "more");
    expect("*1\r\n$16384\r\n", "more");
}
END_TEST

START_TEST(resp__inline_words_are_split_like_a_shell)
{
    expect("SET k v\r\n", "SET|k|v");
    expect("  SET\tk  v \n", "SET|k|v");
    expect("SET k \"a b\\x41\\n\\\"\"\r\n", "SET|k|a bA\n\"");
    expect("SET k 'a \\'b\\n'\r\n", "SET|k|a 'b\\n");
    expect("SET k \"\"\r\n", "SET|k|");
    expect("SET ab\"c d\"\r\n", "SET|abc d");
    expect("SET k \"abc\r\n", "!ERR Protocol error: unbalanced quotes in request");
    expect("SET k \"abc\"d\r\n", "!ERR Protocol error: unbalanced quotes in request");
    expect("SET k 'abc\r\n", "!ERR Protocol error: unbalanced quotes in request");
}
END_TEST

START_TEST(resp__wanted_tells_the_size_of_a_large_word)
{
    struct resp_request r;
    char bytes[] = "*2\r\n$4\r\nECHO\r\n$100000\r\nabc";

    ck_assert_str_eq(parsed(bytes, sizeof bytes - 1, 5, &r), "more");
    ck_assert_uint_eq(resp_wanted(&parser), strlen("*2\r\n$4\r\nECHO\r\n$100000\r\n") + 100000 + 2);
}
END_TEST

START_TEST(resp__random_requests_survive_random_cuts)
{
    struct rng rng;
    uint64_t seed = 20240917;

    rng_seed(&rng, seed);
    for (int round = 0; round < 300; round++) {
        size_t argc = 1 + (size_t)rng_below(&rng, 40);
        struct buf request = {0}, wanted = {0};
        struct resp_request r;

        buf_append_format(&request, "*%zu\r\n", argc);
        for (size_t i = 0; i < argc; i++) {
            size_t size = (size_t)rng_below(&rng, rng_below(&rng, 8) == 0 ? 5000 : 20);

            buf_append_format(&request, "$%zu\r\n", size);
            if (i > 0)
                buf_append_byte(&wanted, '|');
            for (size_t k = 0; k < size; k++) {
                uint8_t byte = (uint8_t)('A' + rng_below(&rng, 26));

                buf_append_byte(&request, byte);
                buf_append_byte(&wanted, byte);
            }
            buf_append_str(&request, "\r\n");
        }
        buf_append_byte(&wanted, 0);
        ck_assert_msg(strcmp(parsed((const char *)request.data, request.size, 1 + (size_t)rng_below(&rng, 700), &r),
                             (const char *)wanted.data) == 0, "seed %llu round %d", (unsigned long long)seed, round);
        ck_assert_uint_eq(r.used, request.size);
        buf_free(&request);
        buf_free(&wanted);
    }
}
END_TEST

START_TEST(resp__a_hundred_thousand_words_in_small_pieces_are_scanned_once)
{
    enum { COUNT = 100000 };
    struct buf request = {0};
    struct resp_request r;
    const char *error;
    enum resp_status status = RESP_MORE;

    buf_append_format(&request, "*%d\r\n", COUNT);
    for (int i = 0; i < COUNT; i++)
        buf_append_str(&request, "$1\r\nx\r\n");
    for (size_t have = 64; status == RESP_MORE; have += 64)
        status = resp_parse(&parser, request.data, have < request.size ? have : request.size, &words, &r, &error);
    ck_assert_int_eq(status, RESP_REQUEST);
    ck_assert_uint_eq(r.argc, COUNT);
    ck_assert_uint_eq(r.raw.size, request.size);
    buf_free(&request);
}
END_TEST

START_TEST(resp__what_words_writes_is_canonical_and_reads_back)
{
    struct resp_request r;
    struct buf request = {0};
    char value[1001] = "";
    size_t size;

    memset(value, 'v', 1000);
    words_head(&request, 3);
    words_add(&request, SLICE_LITERAL("EXPIREAT"));
    words_size(&request, 1000);
    buf_append(&request, value, 1000);
    buf_append_str(&request, "\r\n");
    words_add_number(&request, INT64_MIN);
    ck_assert_str_eq(parsed((char *)request.data, request.size, 7, &r) + 9 + 1000, "|-9223372036854775808");
    ck_assert_uint_eq(r.raw.size, request.size);
    buf_clear(&request);
    size = WORDS(&request, SLICE_LITERAL("SET"), SLICE_LITERAL(""), SLICE_LITERAL("a\r\nb"));
    ck_assert_uint_eq(size, request.size);
    ck_assert_str_eq(parsed((char *)request.data, request.size, 1, &r), "SET||a\r\nb");
    buf_clear(&request);
    (void)WORDS_STR(&request, "PSYNC", "?", "-1");
    ck_assert_str_eq(parsed((char *)request.data, request.size, 1, &r), "PSYNC|?|-1");
    buf_free(&request);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, resp__array_cut_at_every_byte_gives_the_same_words);
    tcase_add_test(tests, resp__unfinished_request_asks_for_more);
    tcase_add_test(tests, resp__several_requests_are_taken_one_by_one);
    tcase_add_test(tests, resp__raw_is_given_for_canonical_arrays_only);
    tcase_add_test(tests, resp__empty_requests_are_skipped);
    tcase_add_test(tests, resp__wrong_lengths_are_protocol_errors);
    tcase_add_test(tests, resp__headers_without_an_end_are_too_big);
    tcase_add_test(tests, resp__strangers_may_send_little);
    tcase_add_test(tests, resp__inline_words_are_split_like_a_shell);
    tcase_add_test(tests, resp__wanted_tells_the_size_of_a_large_word);
    tcase_add_test(tests, resp__random_requests_survive_random_cuts);
    tcase_add_test(tests, resp__a_hundred_thousand_words_in_small_pieces_are_scanned_once);
    tcase_add_test(tests, resp__what_words_writes_is_canonical_and_reads_back);
    return suite_run("resp", tests);
}
