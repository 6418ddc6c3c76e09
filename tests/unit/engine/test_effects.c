/*
 * test_effects.c - what commands log, run elsewhere, gives the same data: hashes, sets, keys of any type.
 *
 * Two working sets: random commands run on one, the effects in its journal on the other.
 */
#include "tests/unit/engine/runner.h"
#include "tests/unit/suite.h"

#include "base/check.h"
#include "base/rng.h"
#include "engine/type/element_walk.h"
#include "engine/type/keyspace.h"
#include "engine/type/list.h"
#include "engine/type/string.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct harness *first, *second;
static struct rng rng;

static void setup(void)
{
    first = harness_open(64 << 20);
    second = harness_open(64 << 20);
}

static void teardown(void)
{
    harness_close(first);
    harness_close(second);
}

/* ---- Data as text ---- */

enum { KEYS = 6, ITEMS_MAX = 20000 };

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *item_of(struct slice name, struct slice value)
{
    char *item = malloc(name.size + value.size + 3);

    sprintf(item, "%.*s=%.*s ", (int)name.size, (const char *)name.data, (int)value.size, (const char *)value.data);
    return item;
}

/* The elements sorted, since the two forms have different orders. */
static void dump_elements(struct txn *t, struct obj *o, struct buf *out)
{
    static char *items[ITEMS_MAX];
    struct element_walk w;
    size_t count = 0;
    enum err e;

    ck_assert_int_eq(element_walk_begin(t, o, &w), OK);
    while ((e = element_walk_next(&w)) == OK) {
        check(count < ITEMS_MAX);
        items[count++] = item_of(w.name, w.value);
    }
    ck_assert_int_eq(e, ERR_NOT_FOUND);
    element_walk_end(&w);
    ck_assert_uint_eq(count, o->count);
    qsort(items, count, sizeof *items, by_text);
    for (size_t i = 0; i < count; i++) {
        buf_append_str(out, items[i]);
        free(items[i]);
    }
}

static void dump_list(struct txn *t, struct obj *o, struct buf *out)
{
    struct list_walk w;

    ck_assert_int_eq(list_walk_begin(t, o, 0, false, &w), OK);
    while (list_walk_next(&w) == OK) {
        buf_append_slice(out, w.element);
        buf_append_byte(out, ' ');
    }
    list_walk_end(&w);
}

static void dump_key(struct harness *h, const char *key, struct buf *out)
{
    bool waits = h->may_wait;
    struct buf scratch = {0};
    struct slice value;
    struct txn *t;
    struct obj *o;

    h->may_wait = true;
    t = harness_begin(h, key, NULL);
    if (txn_read(t, slice_str(key), OBJ_ANY, &o) == OK) {
        buf_append_format(out, "%s %s %lld: ", key, keyspace_type_name(o->type), (long long)o->expire_ms);
        if (o->type == OBJ_STRING) {
            ck_assert_int_eq(string_get(t, o, &scratch, &value), OK);
            buf_append_slice(out, value);
        } else if (o->type == OBJ_LIST) {
            dump_list(t, o, out);
        } else {
            dump_elements(t, o, out);
        }
        buf_append_byte(out, '\n');
    }
    harness_end(h);
    buf_free(&scratch);
    h->may_wait = waits;
}

static void check_same(void)
{
    struct buf a = {0}, b = {0};

    for (int i = 0; i < KEYS; i++) {
        char key[8];

        snprintf(key, sizeof key, "k%d", i);
        dump_key(first, key, &a);
        dump_key(second, key, &b);
    }
    buf_append_byte(&a, 0);
    buf_append_byte(&b, 0);
    ck_assert_str_eq((const char *)a.data, (const char *)b.data);
    ck_assert_uint_eq(set_keys(first->set, 0), set_keys(second->set, 0));
    ck_assert_uint_eq(set_expires(first->set, 0), set_expires(second->set, 0));
    buf_free(&a);
    buf_free(&b);
}

/* ---- Random commands ---- */

static int below(int n)
{
    return (int)rng_below(&rng, (uint64_t)n);
}

/* One of these words, for a key k0 .. k5 each K, a member M, a number N, some members R. */
static const char *const forms[] = {
    "HSET K M N",           "HSET K M N M N M N",   "HSETNX K M N",        "HDEL K M M M",         "HINCRBY K M N",
    "HINCRBYFLOAT K M 0.5", "SADD K R",             "SADD K R",            "SADD K M",             "SREM K M M M",
    "SPOP K",               "SPOP K N",             "SMOVE K K M",         "SUNIONSTORE K K K",    "SINTERSTORE K K K",
    "SDIFFSTORE K K K",     "RENAME K K",           "RENAMENX K K",        "COPY K K REPLACE",     "COPY K K",
    "DEL K",                "PEXPIRE K 100000",     "EXPIRE K 100 GT",     "PEXPIRE K -1",         "PERSIST K",
    "SORT K ALPHA STORE K", "SORT K BY x STORE K",  "SET K N",             "RPUSH K M M M",        "GETDEL K",
    "PEXPIREAT K 9",        "SRANDMEMBER K -3",     "HRANDFIELD K 3",      "SMEMBERS K",           "HGETALL K",
    "LPUSH K R",            "HSET K R",             "PEXPIRE K 3 NX",
};

static void append_form(struct buf *line, char kind, bool many)
{
    switch (kind) {
    case 'K': buf_append_format(line, "k%d", below(KEYS)); break;
    case 'M': buf_append_format(line, "m%d", below(many ? 400 : 12)); break;
    case 'N': buf_append_format(line, "%d", below(1000)); break;
    default:
        for (int i = 0, n = 2 * (1 + below(many ? 150 : 3)); i < n; i++)
            buf_append_format(line, "%sm%d", i > 0 ? " " : "", below(400));
    }
}

static const char *random_line(struct buf *line)
{
    const char *form = forms[below((int)(sizeof forms / sizeof forms[0]))];
    bool many = below(4) == 0;

    buf_clear(line);
    for (const char *p = form; *p != '\0'; p++) {
        bool word = (p == form || p[-1] == ' ') && (p[1] == ' ' || p[1] == '\0') && strchr("KMNR", *p) != NULL;

        if (word)
            append_form(line, *p, many);
        else
            buf_append_byte(line, (uint8_t)*p);
    }
    buf_append_byte(line, 0);
    return (const char *)line->data;
}

static void play(uint64_t seed, int steps)
{
    struct buf line = {0};

    printf("seed %llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    for (int i = 0; i < steps; i++) {
        first->may_wait = below(2) == 0;
        (void)run(first, random_line(&line));
        if (below(10) == 0) {
            run_effects(first, second);
            second->now_ms = first->now_ms += below(3);
        }
        if (below(300) == 0)
            harness_cool(below(2) ? first : second);
        if (below(40) == 0) {
            run_effects(first, second);
            check_same();
        }
    }
    run_effects(first, second);
    check_same();
    buf_free(&line);
}

START_TEST(effects__of_random_commands_rebuild_the_data)
{
    play((uint64_t)time(NULL) + (uint64_t)_i, 4000);
}
END_TEST

START_TEST(effects__are_none_for_commands_that_change_nothing)
{
    static const char *const lines[] = {
        "HDEL k0 a", "SREM k0 a", "SPOP k0", "SMOVE k0 k1 a", "SUNIONSTORE k0 k1", "RENAMENX h h", "COPY none k0",
        "DEL none",
        "PERSIST h", "EXPIRE none 10", "EXPIRE h 10 XX", "HSETNX h f x", "HDEL h none", "SADD s a", "SREM s none",
        "SMOVE s s a", "SORT none STORE k0", "TOUCH h", "EXISTS h", "HINCRBY h f 1", "HINCRBY s f 1", "RENAME none x",
    };

    run(first, "HSET h f text");
    run(first, "SADD s a");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        harness_text_clear(first);
        (void)run(first, lines[i]);
        ck_assert_msg(harness_text(first)[0] == '\0', "%s logged %s", lines[i], harness_text(first));
    }
}
END_TEST

START_TEST(effects__an_expired_key_is_deleted_before_it_is_written_anew)
{
    run(first, "HSET h f 1");
    run(first, "PEXPIRE h 5");
    first->now_ms += 10;
    harness_text_clear(first);
    ck_assert_str_eq(run(first, "HSET h g 2"), ":1");
    ck_assert_str_eq(harness_text(first), "MULTI|DEL h|HSET h g 2|EXEC|");
    ck_assert_str_eq(run(first, "HGETALL h"), "*2 $1 g $1 2");
}
END_TEST

/* ---- Texts ---- */

static const struct {
    const char *line, *reply;
} texts[] = {
    {"HSET h f", "-ERR wrong number of arguments for 'hset' command"},
    {"HINCRBY h f 1", "-ERR hash value is not an integer"},
    {"HINCRBY h f 1.5", "-ERR value is not an integer or out of range"},
    {"HINCRBYFLOAT h f 1", "-ERR hash value is not a float"},
    {"HINCRBYFLOAT h f x", "-ERR value is not a valid float"},
    {"HINCRBYFLOAT h n inf", "-ERR value is NaN or Infinity"},
    {"HINCRBY h max 1", "-ERR increment or decrement would overflow"},
    {"HRANDFIELD h -9223372036854775808",
     "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"},
    {"HGET s f", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"SADD h f", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"SPOP s -1", "-ERR value is out of range, must be positive"},
    {"SINTERCARD 0 s", "-ERR numkeys should be greater than 0"},
    {"SINTERCARD 3 s", "-ERR Number of keys can't be greater than number of args"},
    {"SINTERCARD 1 s LIMIT -1", "-ERR LIMIT can't be negative"},
    {"SUNION none h", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"EXPIRE h 9223372036854775807", "-ERR invalid expire time in 'expire' command"},
    {"PEXPIRE h 9223372036854775807", "-ERR invalid expire time in 'pexpire' command"},
    {"EXPIRE h 1 NX GT", "-ERR NX and XX, GT or LT options at the same time are not compatible"},
    {"EXPIRE h 1 LT GT", "-ERR GT and LT options at the same time are not compatible"},
    {"EXPIRE h 1 FOO", "-ERR Unsupported option FOO"},
    {"RENAME none x", "-ERR no such key"},
    {"COPY h h", "-ERR source and destination objects are the same"},
    {"COPY h x DB 99", "-ERR DB index is out of range"},
    {"MOVE h 0", "-ERR source and destination objects are the same"},
    {"HSCAN h x", "-ERR invalid cursor"},
    {"HSCAN h 0 COUNT 0", "-ERR syntax error"},
    {"HSCAN h 0 NOVALUES MATCH n", "*2 $1 0 *1 $1 n"},
    {"SORT s", "-ERR One or more scores can't be converted into double"},
    {"SORT h", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"SORT_RO s ALPHA STORE x", "-ERR syntax error"},
    {"SRANDMEMBER none", "$-1"},
    {"SRANDMEMBER none 5", "*0"},
    {"SPOP none", "$-1"},
    {"TTL none", ":-2"},
    {"TTL h", ":-1"},
    {"TYPE none", "+none"},
    {"EXISTS h h none", ":2"},
    {"DEL s s", ":1"},
};

START_TEST(effects__replies_of_what_clients_get_wrong_or_ask_at_the_edge)
{
    run(first, "HSET h f text n 1 max 9223372036854775807");
    run(first, "SADD s a b");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        ck_assert_msg(strcmp(run(first, texts[i].line), texts[i].reply) == 0, "%s: %s", texts[i].line,
                      run(first, texts[i].line));
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("effects");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, effects__of_random_commands_rebuild_the_data, 0, 3);
    tcase_add_test(c, effects__are_none_for_commands_that_change_nothing);
    tcase_add_test(c, effects__an_expired_key_is_deleted_before_it_is_written_anew);
    tcase_add_test(c, effects__replies_of_what_clients_get_wrong_or_ask_at_the_edge);
    return suite_run("effects", c);
}
