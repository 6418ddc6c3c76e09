/*
 * test_string.c - strings: the plain and the chunked form behave alike, SET reuses memory, effects have absolute times.
 */
#include "tests/unit/engine/runner.h"
#include "tests/unit/suite.h"

#include "base/check.h"
#include "base/rng.h"
#include "engine/type/lcs.h"
#include "engine/type/string.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct harness *h;

static void setup(void)
{
    h = harness_open(64 << 20);
}

static void teardown(void)
{
    harness_close(h);
}

static struct obj *look(const char *key)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;

    if (txn_read(t, slice_str(key), OBJ_ANY, &o) != OK)
        o = NULL;
    harness_end(h);
    return o;
}

/* ---- Memory ---- */

START_TEST(string__set_reuses_the_memory_of_a_value_of_the_same_size)
{
    struct obj *o;
    uint8_t *value;

    (void)run(h, "SET k 0123456789");
    o = look("k");
    value = o->value;
    (void)run(h, "SET k abcdefghij");
    ck_assert_ptr_eq(look("k"), o);
    ck_assert_ptr_eq(o->value, value);
    ck_assert_str_eq(run(h, "GET k"), "$10 abcdefghij");
}
END_TEST

START_TEST(string__is_chunked_only_beyond_the_plain_limit)
{
    struct buf value = {0};
    struct slice words[3] = {SLICE_LITERAL("SET"), SLICE_LITERAL("k")};

    for (size_t size = OBJ_STRING_PLAIN_MAX; size <= OBJ_STRING_PLAIN_MAX + 1; size++) {
        while (value.size < size)
            buf_append_byte(&value, (uint8_t)value.size);
        words[2] = buf_slice(&value);
        (void)run_words(h, words, 3);
        ck_assert_int_eq(look("k")->form, size > OBJ_STRING_PLAIN_MAX ? OBJ_BIG : OBJ_PLAIN);
        ck_assert_uint_eq(string_length(look("k")), size);
    }
    (void)run(h, "SET k short");
    ck_assert_int_eq(look("k")->form, OBJ_PLAIN);
    ck_assert_str_eq(run(h, "GET k"), "$5 short");
    buf_free(&value);
}
END_TEST

START_TEST(string__far_write_stores_only_the_chunk_concerned)
{
    struct string_walk w;
    struct obj *o = NULL;
    struct txn *t;

    ck_assert_str_eq(run(h, "SETRANGE k 400000000 abc"), ":400000003");
    t = harness_begin(h, "k", NULL);
    ck_assert(txn_read(t, SLICE_LITERAL("k"), OBJ_STRING, &o) == OK);
    ck_assert(string_walk_begin(t, o, 0, UINT64_MAX, &w) == OK);
    ck_assert(string_walk_next(&w) == OK);
    ck_assert_uint_ge(w.offset, 400000000 - OBJ_CHUNK_BYTES);
    ck_assert_uint_eq(w.offset + w.run.size, 400000003);
    ck_assert(string_walk_next(&w) == ERR_NOT_FOUND);
    string_walk_end(&w);
    harness_end(h);
    ck_assert_str_eq(run(h, "GETRANGE k -3 -1"), "$3 abc");
    ck_assert_str_eq(run(h, "BITCOUNT k 0 399999999"), ":0");
}
END_TEST

/* ---- The same as plain bytes ---- */

enum { MODEL_BYTES = 700000 };

struct model {
    uint8_t *bytes;
    size_t size;
};

static void model_write(struct model *m, size_t at, struct slice bytes)
{
    check(at + bytes.size <= MODEL_BYTES);
    if (bytes.size == 0)
        return;
    if (at > m->size)
        memset(m->bytes + m->size, 0, at - m->size);
    memcpy(m->bytes + at, bytes.data, bytes.size);
    if (at + bytes.size > m->size)
        m->size = at + bytes.size;
}

static void expect_bulk(struct slice reply, struct slice value)
{
    char head[32];
    int n = snprintf(head, sizeof head, "$%zu\r\n", value.size);

    ck_assert_uint_eq(reply.size, (size_t)n + value.size + 2);
    ck_assert(memcmp(reply.data, head, (size_t)n) == 0);
    ck_assert(value.size == 0 || memcmp(reply.data + n, value.data, value.size) == 0);
}

static struct slice command(const char *name, const char *key, long a, struct slice b, size_t count)
{
    char number[32];
    int n = snprintf(number, sizeof number, "%ld", a);
    struct slice words[4] = {slice_str(name), slice_str(key), slice_of(number, (size_t)n), b};

    return run_words(h, words, count);
}

/* Edges of the plain limit and of chunks are what may go wrong. */
static size_t random_place(struct rng *r)
{
    static const size_t edges[] = {0, OBJ_CHUNK_BYTES, OBJ_STRING_PLAIN_MAX, 2 * OBJ_STRING_PLAIN_MAX};

    if (rng_below(r, 4) == 0)
        return rng_below(r, 600000);
    return edges[rng_below(r, 4)] + rng_below(r, 9);
}

static void random_step(struct rng *r, struct model *m, uint8_t *noise)
{
    size_t kind = rng_below(r, 10), at = random_place(r);
    size_t size = rng_below(r, 8) == 0 ? rng_below(r, 60000) : rng_below(r, 50);
    struct slice bytes = slice_of(noise + rng_below(r, 1000), size);

    if (kind < 4) {
        model_write(m, at, bytes);
        (void)command("SETRANGE", "k", (long)at, bytes, 4);
    } else if (kind == 4 && m->size + size <= MODEL_BYTES) {
        struct slice words[3] = {SLICE_LITERAL("APPEND"), SLICE_LITERAL("k"), bytes};

        model_write(m, m->size, bytes);
        (void)run_words(h, words, 3);
    } else if (kind == 5 && rng_below(r, 4) == 0) {
        struct slice words[3] = {SLICE_LITERAL("SET"), SLICE_LITERAL("k"), slice_of(noise, random_place(r) / 2)};

        m->size = 0;
        model_write(m, 0, words[2]);
        (void)run_words(h, words, 3);
    } else {
        size_t from = rng_below(r, m->size + 1), to = from + size;
        char last[32];
        int n = snprintf(last, sizeof last, "%zu", to);

        if (to >= m->size)
            to = m->size > 0 ? m->size - 1 : 0;
        expect_bulk(command("GETRANGE", "k", (long)from, slice_of(last, (size_t)n), 4),
                    from < m->size ? slice_of(m->bytes + from, to - from + 1) : (struct slice){0});
    }
}

START_TEST(string__random_edits_give_what_an_array_gives_plain_and_chunked_warm_and_cold)
{
    struct model m = {malloc(MODEL_BYTES), 0};
    uint8_t *noise = malloc(MODEL_BYTES);
    unsigned colds = run_colds(), big = 0, plain = 0;
    struct slice get[2] = {SLICE_LITERAL("GET"), SLICE_LITERAL("k")};

    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct rng r;

        rng_seed(&r, seed);
        fprintf(stderr, "string: seed %llu\n", (unsigned long long)seed);
        for (size_t i = 0; i < MODEL_BYTES; i++)
            noise[i] = (uint8_t)rng_next(&r);
        m.size = 0;
        (void)run(h, "SET k \"\"");
        for (int i = 0; i < 120; i++) {
            random_step(&r, &m, noise);
            h->may_wait = rng_below(&r, 2) == 0;
            if (rng_below(&r, 12) == 0)
                harness_cool(h);
            if (i % 20 == 19) {
                expect_bulk(run_words(h, get, 2), slice_of(m.bytes, m.size));
                h->may_wait = true;
                if (look("k")->form == OBJ_BIG)
                    big++;
                else
                    plain++;
            }
        }
        h->may_wait = true;
    }
    ck_assert_uint_gt(big, 2);
    ck_assert_uint_gt(plain, 2);
    ck_assert_uint_gt(run_colds(), colds);
    free(m.bytes);
    free(noise);
}
END_TEST

START_TEST(string__cold_chunks_answer_cold_before_anything_is_changed)
{
    static const char *const lines[] = {"GETRANGE k 150000 150003", "SETRANGE k 150000 abc", "SETRANGE k 163838 abcdef",
                                        "SETBIT k 1200000 0", "BITCOUNT k", "INCRBY k 1"};
    struct buf value = {0};
    struct slice words[3] = {SLICE_LITERAL("SET"), SLICE_LITERAL("k")};
    struct rng r;

    rng_seed(&r, 7);
    while (value.size < 300000)
        buf_append_byte(&value, (uint8_t)rng_next(&r));
    words[2] = buf_slice(&value);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        bool cold = strncmp(lines[i], "INCRBY", 6) == 0, once = false; /* that one needs the record only, which may be warm */

        /* RocksDB publishes a new file a moment after it says that the flush is done: how long, depends on the machine. */
        for (useconds_t moment = 20000; !once || (!cold && moment < 6000000); moment *= 4) {
            unsigned before = run_colds();

            (void)run_words(h, words, 3);
            harness_cool(h);
            usleep(moment);
            h->may_wait = false;
            (void)run(h, lines[i]);
            cold |= run_colds() > before;
            once = true;
            harness_close(h);
            h = harness_open(64 << 20);
        }
        ck_assert_msg(cold, "%s was not cold", lines[i]);
    }
    buf_free(&value);
}
END_TEST

/* ---- Effects ---- */

static void expect_effect(const char *line, const char *effect)
{
    harness_text_clear(h);
    (void)run(h, line);
    ck_assert_str_eq(harness_text(h), effect);
}

START_TEST(string__logs_what_happened_with_absolute_times_and_one_key_each)
{
    h->now_ms = 1700000000000;
    expect_effect("SET k v", "SET k v|");
    expect_effect("SET k v GET", "SET k v|");
    expect_effect("SET k v XX", "SET k v|");
    expect_effect("SET k v NX", "");
    expect_effect("SET k v EX 10", "SET k v PXAT 1700000010000|");
    expect_effect("SET k v PX 10", "SET k v PXAT 1700000000010|");
    expect_effect("SET k v EXAT 1800000000", "SET k v PXAT 1800000000000|");
    expect_effect("SET k w KEEPTTL", "SET k w KEEPTTL|");
    expect_effect("SETEX k 10 v", "SET k v PXAT 1700000010000|");
    expect_effect("PSETEX k 10 v", "SET k v PXAT 1700000000010|");
    expect_effect("GETSET k 5", "SET k 5|");
    expect_effect("INCR k", "INCR k|");
    expect_effect("INCRBYFLOAT k 0.5", "SET k 6.5 KEEPTTL|");
    expect_effect("INCR k", "");
    expect_effect("GETEX k EX 5", "PEXPIREAT k 1700000005000|");
    expect_effect("GETEX k PERSIST", "PERSIST k|");
    expect_effect("GETEX k PERSIST", "");
    expect_effect("GETEX k", "");
    expect_effect("GETEX k PXAT 1", "DEL k|");
    expect_effect("APPEND k abc", "APPEND k abc|");
    expect_effect("SETRANGE k 1 x", "SETRANGE k 1 x|");
    expect_effect("GETDEL k", "DEL k|");
    expect_effect("GETDEL k", "");
    expect_effect("MSET a 1 b 2", "MULTI|SET a 1|SET b 2|EXEC|");
    expect_effect("MSETNX c 1 b 2", "");
    expect_effect("MSETNX c 1 d 2", "MULTI|SET c 1|SET d 2|EXEC|");
    expect_effect("SETNX e 1", "SET e 1|");
    expect_effect("SETNX e 1", "");
}
END_TEST

START_TEST(string__expired_keys_are_deleted_before_the_effect_of_who_finds_them)
{
    h->now_ms = 1700000000000;
    (void)run(h, "SET k 5 PX 10");
    h->now_ms += 10;
    harness_text_clear(h);
    ck_assert_str_eq(run(h, "INCR k"), ":1");
    ck_assert_str_eq(harness_text(h), "MULTI|DEL k|INCR k|EXEC|");
    ck_assert_int_eq(look("k")->expire_ms, 0);
    (void)run(h, "SET k 5 PX 10");
    h->now_ms += 10;
    expect_effect("GET k", "DEL k|");
    expect_effect("GET k", "");
}
END_TEST

START_TEST(string__expiry_survives_edits_and_not_a_set)
{
    static const char *const keep[] = {"INCR k", "APPEND k 1", "SETRANGE k 0 9", "SETBIT k 3 1", "INCRBYFLOAT k 1",
                                       "SET k 7 KEEPTTL", "SET k 7 NX", "GETEX k"};
    static const char *const drop[] = {"SET k 1", "GETSET k 1", "MSET k 1", "BITOP OR k k", "GETEX k PERSIST"};

    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++) {
        (void)run(h, "SET k 1 EX 100");
        (void)run(h, keep[i]);
        ck_assert_msg(look("k")->expire_ms == h->now_ms + 100000, "%s", keep[i]);
    }
    for (size_t i = 0; i < sizeof drop / sizeof *drop; i++) {
        (void)run(h, "SET k 1 EX 100");
        (void)run(h, drop[i]);
        ck_assert_msg(look("k")->expire_ms == 0, "%s", drop[i]);
    }
}
END_TEST

START_TEST(string__set_replaces_a_value_of_another_type)
{
    (void)run(h, "RPUSH k a b");
    ck_assert_str_eq(run(h, "SET k v GET"), "-WRONGTYPE Operation against a key holding the wrong kind of value");
    ck_assert_str_eq(run(h, "LLEN k"), ":2");
    ck_assert_str_eq(run(h, "SET k v"), "+OK");
    ck_assert_str_eq(run(h, "GET k"), "$1 v");
}
END_TEST

START_TEST(string__encoding_is_what_redis_would_have_chosen)
{
    static const struct {
        const char *line, *encoding;
    } rows[] = {
        {"SET k 123", "int"},      {"SET k 9223372036854775807", "int"},  {"SET k 9223372036854775808", "embstr"},
        {"SET k 007", "embstr"},   {"APPEND k 1", "raw"},                 {"SET k 1", "int"},
        {"SETRANGE k 0 1", "raw"}, {"INCR k", "int"},                     {"SETBIT k 1 1", "raw"},
        {"SET k aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "embstr"}, {"GETSET k 1", "int"},
        {"SET k aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "raw"},   {"BITOP NOT k k", "raw"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        (void)run(h, rows[i].line);
        ck_assert_str_eq(string_encoding(look("k")), rows[i].encoding);
    }
}
END_TEST

/* ---- Replies ---- */

START_TEST(string__commands_reply_as_redis_does)
{
    static const struct {
        const char *line, *reply;
    } rows[] = {
        {"SET k v", "+OK"},
        {"SET k w NX", "$-1"},
        {"SET k w NX GET", "$1 v"},
        {"SET none w XX", "$-1"},
        {"SET none w XX GET", "$-1"},
        {"SET k w xx get", "$1 v"},
        {"SET k w NX XX", "-ERR syntax error"},
        {"SET k w EX", "-ERR syntax error"},
        {"SET k w EX 1 PX 1", "-ERR syntax error"},
        {"SET k w KEEPTTL EX 1", "-ERR syntax error"},
        {"SET k w PERSIST", "-ERR syntax error"},
        {"SET k w EX 0", "-ERR invalid expire time in 'set' command"},
        {"SET k w EX x", "-ERR value is not an integer or out of range"},
        {"SET k w EX 9223372036854775807", "-ERR invalid expire time in 'set' command"},
        {"SET k w PX 9223372036854775807", "-ERR invalid expire time in 'set' command"},
        {"SET k w EX 1 EX 2", "+OK"},
        {"SET k w EXAT 1", "+OK"},
        {"GET k", "$-1"},
        {"SETEX k 0 v", "-ERR invalid expire time in 'setex' command"},
        {"PSETEX k -1 v", "-ERR invalid expire time in 'psetex' command"},
        {"GETEX none EX 0", "$-1"},
        {"SET k v", "+OK"},
        {"GETEX k EX 0", "-ERR invalid expire time in 'getex' command"},
        {"GETEX k KEEPTTL", "-ERR syntax error"},
        {"GETEX k PERSIST EX 1", "-ERR syntax error"},
        {"MSET a 1 b", "-ERR wrong number of arguments for 'mset' command"},
        {"MSET a 1 a 2", "+OK"},
        {"MGET a none l", "*3 $1 2 $-1 $-1"},
        {"SET n 9223372036854775807", "+OK"},
        {"INCR n", "-ERR increment or decrement would overflow"},
        {"DECRBY n -1", "-ERR increment or decrement would overflow"},
        {"DECRBY n -9223372036854775808", "-ERR decrement would overflow"},
        {"INCRBY n x", "-ERR value is not an integer or out of range"},
        {"INCR k", "-ERR value is not an integer or out of range"},
        {"DECR new", ":-1"},
        {"INCRBYFLOAT k 1", "-ERR value is not a valid float"},
        {"INCRBYFLOAT f inf", "-ERR increment would produce NaN or Infinity"},
        {"INCRBYFLOAT f nan", "-ERR value is not a valid float"},
        {"SET f 5.0e3", "+OK"},
        {"INCRBYFLOAT f 2.0e2", "$4 5200"},
        {"INCRBYFLOAT g 1e-10", "$12 0.0000000001"},
        {"SET g 0.1", "+OK"},
        {"INCRBYFLOAT g 0.2", "$3 0.3"},
        {"SET s Hello", "+OK"},
        {"GETRANGE s 0 -1", "$5 Hello"},
        {"GETRANGE s -3 -2", "$2 ll"},
        {"GETRANGE s 5 9", "$0 "},
        {"GETRANGE s -1 -5", "$0 "},
        {"SUBSTR s 1 2", "$2 el"},
        {"GETRANGE s x 1", "-ERR value is not an integer or out of range"},
        {"SETRANGE s 1 u", ":5"},
        {"GET s", "$5 Hullo"},
        {"SETRANGE s -1 u", "-ERR offset is out of range"},
        {"SETRANGE s 536870912 u", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"},
        {"SETRANGE new2 536870912 u", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"},
        {"SETRANGE new2 600000000 \"\"", ":0"},
        {"STRLEN s", ":5"},
        {"STRLEN new2", ":0"},
        {"RPUSH l a", ":1"},
        {"GET l", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"APPEND l a", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"SETRANGE l 0 \"\"", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"MGET l s", "*2 $-1 $5 Hullo"},
        {"MSET a ohmytext b mynewtext", "+OK"},
        {"LCS a b", "$6 mytext"},
        {"LCS a b LEN", ":6"},
        {"LCS a b IDX", "*4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6"},
        {"LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN", "*4 $7 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 $3 len :6"},
        {"LCS a none", "$0 "},
        {"LCS a b LEN IDX", "-ERR If you want both the length and indexes, please just use IDX."},
        {"LCS a b FOO", "-ERR syntax error"},
        {"LCS a l", "-ERR The specified keys must contain string values"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_str_eq(run(h, rows[i].line), rows[i].reply);
}
END_TEST

START_TEST(string__lcs_beyond_the_bound_of_its_table_is_refused)
{
    struct buf a = {0}, text = {0};
    uint64_t length;

    buf_reserve(&a, 20000);
    memset(a.data, 'a', 20000);
    a.size = 20000;
    ck_assert(lcs_length(buf_slice(&a), buf_slice(&a), &length) == ERR_TOO_BIG);
    ck_assert(lcs_find(buf_slice(&a), buf_slice(&a), &text, NULL) == ERR_TOO_BIG);
    a.size = 100;
    ck_assert(lcs_length(buf_slice(&a), slice_of(a.data, 60), &length) == OK);
    ck_assert_uint_eq(length, 60);
    buf_free(&a);
    buf_free(&text);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("string");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, string__set_reuses_the_memory_of_a_value_of_the_same_size);
    tcase_add_test(tc, string__is_chunked_only_beyond_the_plain_limit);
    tcase_add_test(tc, string__far_write_stores_only_the_chunk_concerned);
    tcase_add_test(tc, string__random_edits_give_what_an_array_gives_plain_and_chunked_warm_and_cold);
    tcase_add_test(tc, string__cold_chunks_answer_cold_before_anything_is_changed);
    tcase_add_test(tc, string__logs_what_happened_with_absolute_times_and_one_key_each);
    tcase_add_test(tc, string__expired_keys_are_deleted_before_the_effect_of_who_finds_them);
    tcase_add_test(tc, string__expiry_survives_edits_and_not_a_set);
    tcase_add_test(tc, string__set_replaces_a_value_of_another_type);
    tcase_add_test(tc, string__encoding_is_what_redis_would_have_chosen);
    tcase_add_test(tc, string__commands_reply_as_redis_does);
    tcase_add_test(tc, string__lcs_beyond_the_bound_of_its_table_is_refused);
    return suite_run("string", tc);
}
