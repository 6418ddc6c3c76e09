/*
 * test_hash.c - hashes: both forms behave alike, and what is logged rebuilds them.
 */
#include "tests/unit/engine/harness.h"
#include "tests/unit/suite.h"

#include "base/check.h"
#include "base/num.h"
#include "base/rng.h"
#include "engine/type/element_sample.h"
#include "engine/type/element_scan.h"
#include "engine/type/element_walk.h"
#include "engine/type/hash.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct harness *h;

static void setup(void)
{
    h = harness_open(64 << 20);
}

static void teardown(void)
{
    harness_close(h);
}

#define S(text) slice_str(text)

static struct obj *open_hash(struct txn *t)
{
    struct obj *o = NULL;

    ck_assert_int_eq(txn_write_or_create(t, S("h"), OBJ_HASH, &o, NULL), OK);
    return o;
}

static bool put(const char *field, struct slice value)
{
    struct txn *t = harness_begin(h, "h", NULL);
    bool created = false;

    ck_assert_int_eq(hash_set(t, open_hash(t), S(field), value, &created), OK);
    harness_end_as(h, "HSET h f v");
    return created;
}

static uint64_t drop(const char *field)
{
    struct slice fields[1] = {S(field)};
    struct txn *t = harness_begin(h, "h", NULL);
    struct obj *o = NULL;
    uint64_t removed = 0;

    if (txn_write(t, S("h"), OBJ_HASH, &o) == OK)
        ck_assert_int_eq(hash_delete(t, o, fields, 1, &removed), OK);
    harness_end_as(h, "HDEL h f");
    return removed;
}

/* Number of fields; 0: no such key. */
static uint64_t length(enum obj_form *form, const char **encoding)
{
    struct txn *t = harness_begin(h, "h", NULL);
    struct obj *o = NULL;
    uint64_t count = 0;

    if (txn_read(t, S("h"), OBJ_HASH, &o) == OK) {
        count = o->count;
        if (form != NULL)
            *form = o->form;
        if (encoding != NULL)
            *encoding = hash_encoding(o);
    }
    harness_end(h);
    return count;
}

/* ---- The model ---- */

enum { FIELDS = 300, VALUE_MAX = 2600 };

struct model {
    size_t count;
    bool has[FIELDS];
    uint32_t size[FIELDS];
    uint8_t fill[FIELDS];
};

static struct slice value_of(const struct model *m, size_t i, uint8_t bytes[VALUE_MAX])
{
    memset(bytes, m->fill[i], m->size[i]);
    return slice_of(bytes, m->size[i]);
}

static void check_same(const struct model *m)
{
    struct txn *t = harness_begin(h, "h", NULL);
    struct obj *o = NULL;
    enum err e = txn_read(t, S("h"), OBJ_HASH, &o);
    uint8_t bytes[VALUE_MAX];
    bool seen[FIELDS] = {0};
    struct element_walk w;
    size_t count = 0;

    ck_assert_int_eq(e, m->count == 0 ? ERR_NOT_FOUND : OK);
    if (e == OK) {
        ck_assert_uint_eq(o->count, m->count);
        ck_assert_int_eq(element_walk_begin(t, o, &w), OK);
        while ((e = element_walk_next(&w)) == OK) {
            char name[16];
            size_t i;

            ck_assert(w.name.size < sizeof name);
            memcpy(name, w.name.data, w.name.size);
            name[w.name.size] = '\0';
            i = (size_t)atoi(name + 1);
            ck_assert(i < FIELDS && m->has[i] && !seen[i]);
            seen[i] = true;
            ck_assert(slice_equal(w.value, value_of(m, i, bytes)));
            count++;
        }
        element_walk_end(&w);
        ck_assert_int_eq(e, ERR_NOT_FOUND);
        ck_assert_uint_eq(count, m->count);
        for (size_t i = 0; i < FIELDS; i++) {
            char name[16];
            struct slice value;

            snprintf(name, sizeof name, "f%zu", i);
            e = hash_get(t, o, S(name), &value);
            ck_assert_int_eq(e, m->has[i] ? OK : ERR_NOT_FOUND);
            if (e == OK)
                ck_assert(slice_equal(value, value_of(m, i, bytes)));
        }
    }
    harness_end(h);
}

static void random_history(uint64_t seed, size_t fields, size_t value_max)
{
    struct model *m = calloc(1, sizeof *m);
    uint8_t bytes[VALUE_MAX];
    struct rng rng;

    printf("seed %llu, fields %zu, values up to %zu\n", (unsigned long long)seed, fields, value_max);
    rng_seed(&rng, seed);
    for (int step = 0; step < 3000; step++) {
        size_t i = rng_below(&rng, fields);
        char name[16];

        snprintf(name, sizeof name, "f%zu", i);
        if (rng_below(&rng, 100) < (step / 500 % 2 ? 30 : 70)) {
            bool created;

            m->size[i] = (uint32_t)rng_below(&rng, value_max);
            m->fill[i] = (uint8_t)rng_below(&rng, 256);
            created = put(name, value_of(m, i, bytes));
            ck_assert_int_eq(created, !m->has[i]);
            m->count += created;
            m->has[i] = true;
        } else {
            ck_assert_uint_eq(drop(name), m->has[i]);
            m->count -= m->has[i];
            m->has[i] = false;
        }
        if (rng_below(&rng, 200) == 0)
            harness_cool(h);
        if (rng_below(&rng, 100) == 0)
            check_same(m);
    }
    check_same(m);
    free(m);
}

START_TEST(hash__random_history_that_crosses_the_packed_limit_in_count)
{
    random_history((uint64_t)time(NULL), 300, 12);
}
END_TEST

START_TEST(hash__random_history_that_crosses_the_packed_limit_in_size)
{
    random_history((uint64_t)time(NULL) + 1, 20, VALUE_MAX);
}
END_TEST

START_TEST(hash__random_history_of_a_packed_hash)
{
    random_history((uint64_t)time(NULL) + 2, 30, 20);
}
END_TEST

/* ---- One behaviour each ---- */

START_TEST(hash__becomes_big_beyond_the_packed_entries_and_keeps_listpack_up_to_512)
{
    const char *encoding = NULL;
    enum obj_form form = OBJ_PLAIN;
    char name[16];

    for (int i = 0; i < OBJ_PACKED_ENTRIES_MAX; i++) {
        snprintf(name, sizeof name, "%d", i);
        ck_assert(put(name, S("v")));
    }
    ck_assert_uint_eq(length(&form, &encoding), OBJ_PACKED_ENTRIES_MAX);
    ck_assert_int_eq(form, OBJ_PACKED);
    for (int i = OBJ_PACKED_ENTRIES_MAX; i < HASH_LISTPACK_ENTRIES_MAX; i++) {
        snprintf(name, sizeof name, "%d", i);
        ck_assert(put(name, S("v")));
    }
    ck_assert_uint_eq(length(&form, &encoding), HASH_LISTPACK_ENTRIES_MAX);
    ck_assert_int_eq(form, OBJ_BIG);
    ck_assert_str_eq(encoding, "listpack");
    ck_assert(put("one more", S("v")));
    (void)length(NULL, &encoding);
    ck_assert_str_eq(encoding, "hashtable");
    ck_assert_uint_eq(drop("one more"), 1);
    harness_cool(h);
    (void)length(NULL, &encoding);
    ck_assert_str_eq(encoding, "hashtable");
}
END_TEST

START_TEST(hash__a_value_beyond_64_bytes_makes_it_a_hashtable)
{
    char value[65];
    const char *encoding = NULL;

    memset(value, 'x', sizeof value);
    put("f", slice_of(value, 64));
    (void)length(NULL, &encoding);
    ck_assert_str_eq(encoding, "listpack");
    put("f", slice_of(value, 65));
    (void)length(NULL, &encoding);
    ck_assert_str_eq(encoding, "hashtable");
}
END_TEST

START_TEST(hash__losing_the_last_field_deletes_the_key)
{
    put("a", S("1"));
    harness_text_clear(h);
    ck_assert_uint_eq(drop("a"), 1);
    ck_assert_str_eq(harness_text(h), "DEL h|");
    ck_assert_uint_eq(length(NULL, NULL), 0);
    ck_assert_uint_eq(set_keys(h->set, 0), 0);
}
END_TEST

START_TEST(hash__losing_the_last_row_of_a_big_one_deletes_the_key)
{
    char value[OBJ_PACKED_BYTES_MAX + 1];

    memset(value, 'x', sizeof value);
    put("a", slice_of(value, sizeof value));
    harness_cool(h);
    harness_text_clear(h);
    ck_assert_uint_eq(drop("b"), 0);
    ck_assert_uint_eq(drop("a"), 1);
    ck_assert_str_eq(harness_text(h), "DEL h|");
    ck_assert_uint_eq(length(NULL, NULL), 0);
}
END_TEST

START_TEST(hash__set_many_counts_a_field_named_twice_once)
{
    struct slice words[] = {S("a"), S("1"), S("b"), S("2"), S("a"), S("3")};
    struct txn *t = harness_begin(h, "h", NULL);
    struct obj *o = open_hash(t);
    struct slice value;
    uint64_t created = 0;

    ck_assert_int_eq(hash_set_many(t, o, words, 3, &created), OK);
    ck_assert_uint_eq(created, 2);
    ck_assert_int_eq(hash_get(t, o, S("a"), &value), OK);
    ck_assert(slice_equal(value, S("3")));
    harness_end_as(h, "HSET h a 1 b 2 a 3");
    ck_assert_str_eq(harness_text(h), "HSET h a 1 b 2 a 3|");
}
END_TEST

static void many_in_big(struct obj **out)
{
    struct txn *t = harness_begin(h, "h", NULL);
    struct obj *o = open_hash(t);
    char names[1000][8];
    bool created;

    for (int i = 0; i < 1000; i++) {
        snprintf(names[i], sizeof names[i], "n%d", i);
        ck_assert_int_eq(hash_set(t, o, S(names[i]), S(names[i]), &created), OK);
    }
    harness_end_as(h, "HSET h ...");
    *out = o;
}

START_TEST(hash__increment_starts_at_zero_and_refuses_text_and_overflow)
{
    struct txn *t;
    struct obj *o;
    int64_t n = 0;

    put("text", S("x"));
    put("max", S("9223372036854775807"));
    t = harness_begin(h, "h", NULL);
    o = open_hash(t);
    ck_assert_int_eq(hash_increment(t, o, S("n"), 5, &n), OK);
    ck_assert_int_eq(n, 5);
    ck_assert_int_eq(hash_increment(t, o, S("n"), -7, &n), OK);
    ck_assert_int_eq(n, -2);
    ck_assert_int_eq(hash_increment(t, o, S("text"), 1, &n), ERR_NOT_INTEGER);
    ck_assert_int_eq(hash_increment(t, o, S("max"), 1, &n), ERR_OVERFLOW);
    harness_end_as(h, "HINCRBY h n 5");
}
END_TEST

START_TEST(hash__float_increment_is_logged_as_the_result)
{
    char text[NUM_LONG_TEXT_MAX];
    struct txn *t;
    struct obj *o;
    size_t size = 0;

    put("n", S("10.50"));
    put("text", S("x"));
    harness_text_clear(h);
    t = harness_begin(h, "h", NULL);
    o = open_hash(t);
    ck_assert_int_eq(hash_increment_float(t, o, S("text"), 1, text, &size), ERR_NOT_FLOAT);
    ck_assert_int_eq(hash_increment_float(t, o, S("n"), 0.125L, text, &size), OK);
    ck_assert(slice_equal(slice_of(text, size), S("10.625")));
    harness_end(h);
    ck_assert_str_eq(harness_text(h), "HSET h n 10.625|");
}
END_TEST

START_TEST(hash__other_types_are_refused)
{
    struct txn *t = harness_begin(h, "s", NULL);
    struct obj *o = txn_write(t, S("s"), OBJ_ANY, &o) == ERR_NOT_FOUND ? txn_create(t, S("s"), OBJ_STRING) : NULL;

    obj_value_set(o, S("x"));
    txn_changed(t, o);
    harness_end_as(h, "SET s x");
    t = harness_begin(h, "s", NULL);
    ck_assert_int_eq(txn_read(t, S("s"), OBJ_HASH, &o), ERR_WRONG_TYPE);
    ck_assert_int_eq(txn_write(t, S("s"), OBJ_HASH, &o), ERR_WRONG_TYPE);
    harness_end(h);
}
END_TEST

static void scan_each(void *context, struct slice name, struct slice value)
{
    unsigned *seen = context;
    char text[8];

    ck_assert(slice_equal(name, value) && name.size < sizeof text);
    memcpy(text, name.data, name.size);
    text[name.size] = '\0';
    seen[atoi(text + 1)]++;
}

START_TEST(hash__scan_gives_every_field_once_and_takes_any_cursor)
{
    unsigned seen[1000] = {0};
    uint64_t cursor = 0, pages = 0;
    struct txn *t;
    struct obj *o;

    many_in_big(&o);
    do {
        harness_cool(h);
        t = harness_begin(h, "h", NULL);
        ck_assert_int_eq(txn_read(t, S("h"), OBJ_HASH, &o), OK);
        ck_assert_int_eq(element_scan(t, o, cursor, 30, scan_each, seen, &cursor), OK);
        harness_end(h);
        pages++;
    } while (cursor != 0);
    for (int i = 0; i < 1000; i++)
        ck_assert_uint_eq(seen[i], 1);
    ck_assert(pages > 20 && pages < 50);
    t = harness_begin(h, "h", NULL);
    ck_assert_int_eq(txn_read(t, S("h"), OBJ_HASH, &o), OK);
    ck_assert_int_eq(element_scan(t, o, UINT64_MAX, 30, scan_each, seen, &cursor), OK);
    ck_assert_uint_eq(cursor, 0);
    harness_end(h);
}
END_TEST

START_TEST(hash__samples_are_distinct_or_repeat_as_asked)
{
    static const uint64_t counts[] = {1, 10, 49, 51, 400, 999, 1000, 5000};
    struct txn *t;
    struct obj *o;

    many_in_big(&o);
    t = harness_begin(h, "h", NULL);
    ck_assert_int_eq(txn_read(t, S("h"), OBJ_HASH, &o), OK);
    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
        struct element_list l = {0}, repeats = {0};
        unsigned seen[1000] = {0};

        ck_assert_int_eq(element_sample(t, o, counts[k], false, &l), OK);
        ck_assert_uint_eq(l.count, counts[k] < 1000 ? counts[k] : 1000);
        for (size_t i = 0; i < l.count; i++)
            scan_each(seen, element_list_name(&l, i), element_list_value(&l, i));
        for (int i = 0; i < 1000; i++)
            ck_assert(seen[i] <= 1);
        ck_assert_int_eq(element_sample(t, o, counts[k], true, &repeats), OK);
        ck_assert_uint_eq(repeats.count, counts[k]);
        for (size_t i = 0; i < repeats.count; i++)
            scan_each(seen, element_list_name(&repeats, i), element_list_value(&repeats, i));
        element_list_free(&l);
        element_list_free(&repeats);
    }
    harness_end(h);
}
END_TEST

/* 20 draws per element on average; the bounds are far from what chance could give. */
START_TEST(hash__single_draws_reach_all_of_a_big_hash_evenly)
{
    unsigned seen[1000] = {0}, zero = 0, most = 0;
    struct buf scratch = {0};
    struct txn *t;
    struct obj *o;

    many_in_big(&o);
    t = harness_begin(h, "h", NULL);
    ck_assert_int_eq(txn_read(t, S("h"), OBJ_HASH, &o), OK);
    for (int i = 0; i < 20000; i++) {
        struct slice name, value;

        ck_assert_int_eq(element_random(t, o, &scratch, &name, &value), OK);
        scan_each(seen, name, value);
    }
    for (int i = 0; i < 1000; i++) {
        zero += seen[i] == 0;
        most = seen[i] > most ? seen[i] : most;
    }
    ck_assert_uint_lt(zero, 5);
    ck_assert_uint_lt(most, 80);
    buf_free(&scratch);
    harness_end(h);
}
END_TEST

START_TEST(hash__a_cold_look_up_changes_nothing)
{
    struct slice words[] = {S("n1"), S("x"), S("new"), S("x")};
    uint64_t created = 0;
    bool cold = false;
    struct txn *t;
    struct obj *o;

    many_in_big(&o);
    harness_cool(h);
    harness_text_clear(h);
    h->may_wait = false;
    t = harness_begin(h, "h", NULL);
    if (txn_write(t, S("h"), OBJ_HASH, &o) == ERR_COLD || hash_set_many(t, o, words, 2, &created) == ERR_COLD) {
        cold = true;
        ck_assert(!txn_has_changes(t));
        harness_abort(h);
    } else {
        harness_end_as(h, "HSET h n1 x new x");
    }
    h->may_wait = true;
    ck_assert(cold);
    ck_assert_str_eq(harness_text(h), "");
    t = harness_begin(h, "h", NULL);
    ck_assert_int_eq(txn_write(t, S("h"), OBJ_HASH, &o), OK);
    ck_assert_uint_eq(o->count, 1000);
    ck_assert_int_eq(hash_set_many(t, o, words, 2, &created), OK);
    ck_assert_uint_eq(created, 1);
    ck_assert_uint_eq(o->count, 1001);
    harness_end_as(h, "HSET h n1 x new x");
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("hash");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, hash__random_history_that_crosses_the_packed_limit_in_count);
    tcase_add_test(c, hash__random_history_that_crosses_the_packed_limit_in_size);
    tcase_add_test(c, hash__random_history_of_a_packed_hash);
    tcase_add_test(c, hash__becomes_big_beyond_the_packed_entries_and_keeps_listpack_up_to_512);
    tcase_add_test(c, hash__a_value_beyond_64_bytes_makes_it_a_hashtable);
    tcase_add_test(c, hash__losing_the_last_field_deletes_the_key);
    tcase_add_test(c, hash__losing_the_last_row_of_a_big_one_deletes_the_key);
    tcase_add_test(c, hash__set_many_counts_a_field_named_twice_once);
    tcase_add_test(c, hash__increment_starts_at_zero_and_refuses_text_and_overflow);
    tcase_add_test(c, hash__float_increment_is_logged_as_the_result);
    tcase_add_test(c, hash__other_types_are_refused);
    tcase_add_test(c, hash__scan_gives_every_field_once_and_takes_any_cursor);
    tcase_add_test(c, hash__samples_are_distinct_or_repeat_as_asked);
    tcase_add_test(c, hash__single_draws_reach_all_of_a_big_hash_evenly);
    tcase_add_test(c, hash__a_cold_look_up_changes_nothing);
    return suite_run("hash", c);
}
