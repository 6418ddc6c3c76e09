/*
 * test_sort.c - SORT: orders, limits, other keys, and the stored list.
 */
#include "tests/unit/engine/harness.h"
#include "tests/unit/suite.h"

#include "base/check.h"
#include "base/num.h"
#include "base/rng.h"
#include "engine/type/hash.h"
#include "engine/type/list.h"
#include "engine/type/sets.h"
#include "engine/type/sort.h"
#include "engine/type/string.h"

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
#define K(name) "{k}" name /* all in one slot */

static void list_of(const char *key, const char *words)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;

    ck_assert_int_eq(txn_write_or_create(t, S(key), OBJ_LIST, &o, NULL), OK);
    while (*words != '\0') {
        size_t n = strcspn(words, " ");

        ck_assert_int_eq(list_push(t, o, LIST_TAIL, slice_of(words, n)), OK);
        words += n + (words[n] == ' ');
    }
    harness_end_as(h, "RPUSH key ...");
}

static void set_of(const char *key, const char *words)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;
    bool added;

    ck_assert_int_eq(txn_write_or_create(t, S(key), OBJ_SET, &o, NULL), OK);
    while (*words != '\0') {
        size_t n = strcspn(words, " ");

        ck_assert_int_eq(sets_add(t, o, slice_of(words, n), &added), OK);
        words += n + (words[n] == ' ');
    }
    harness_end_as(h, "SADD key ...");
}

static void string_of(const char *key, const char *value)
{
    struct txn *t = harness_begin(h, key, NULL);

    ck_assert_int_eq(string_store(t, S(key), S(value), NULL), OK);
    harness_end_as(h, "SET key value");
}

static void field_of(const char *key, const char *field, const char *value)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;
    bool created;

    ck_assert_int_eq(txn_write_or_create(t, S(key), OBJ_HASH, &o, NULL), OK);
    ck_assert_int_eq(hash_set(t, o, S(field), S(value), &created), OK);
    harness_end_as(h, "HSET key field value");
}

/* The words joined by spaces, missing ones as "(nil)"; or the error's name. */
static const char *sorted(const char *key, struct sort_options options)
{
    static char text[4096];
    struct txn *t = harness_begin(h, key, NULL);
    struct sort_result r = {0};
    size_t at = 0;
    enum err e = sort_run(t, S(key), &options, &r);

    text[0] = '\0';
    for (size_t i = 0; i < r.count && e == OK; i++) {
        struct slice word = sort_result_at(&r, i);

        at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s", i > 0 ? " " : "",
                               r.words[i].missing ? 5 : (int)word.size,
                               r.words[i].missing ? "(nil)" : (const char *)word.data);
    }
    sort_result_free(&r);
    harness_end(h);
    return e == OK ? text : err_name(e);
}

#define SORTED(key, ...) sorted(key, (struct sort_options){.limit = -1, __VA_ARGS__})

START_TEST(sort__numbers_ascend_and_descend)
{
    list_of(K("l"), "10 9 -1.5 1e2 2");
    ck_assert_str_eq(SORTED(K("l"), .offset = 0), "-1.5 2 9 10 1e2");
    ck_assert_str_eq(SORTED(K("l"), .descending = true), "1e2 10 9 2 -1.5");
    ck_assert_str_eq(SORTED(K("l"), .alpha = true), "-1.5 10 1e2 2 9");
    ck_assert_str_eq(SORTED(K("none"), .alpha = true), "");
}
END_TEST

START_TEST(sort__equal_numbers_are_ordered_by_their_bytes)
{
    list_of(K("l"), "1.0 1 01 1.00");
    ck_assert_str_eq(SORTED(K("l"), .offset = 0), "01 1 1.0 1.00");
}
END_TEST

START_TEST(sort__text_is_no_number_unless_alpha)
{
    list_of(K("l"), "3 b a");
    ck_assert_str_eq(SORTED(K("l"), .offset = 0), err_name(ERR_NOT_FLOAT));
    ck_assert_str_eq(SORTED(K("l"), .alpha = true), "3 a b");
    string_of(K("s"), "x");
    ck_assert_str_eq(SORTED(K("s"), .offset = 0), err_name(ERR_WRONG_TYPE));
}
END_TEST

START_TEST(sort__limit_cuts_and_takes_any_number)
{
    list_of(K("l"), "5 4 3 2 1");
    ck_assert_str_eq(sorted(K("l"), (struct sort_options){.offset = 1, .limit = 2}), "2 3");
    ck_assert_str_eq(sorted(K("l"), (struct sort_options){.offset = -5, .limit = 2}), "1 2");
    ck_assert_str_eq(sorted(K("l"), (struct sort_options){.offset = 3, .limit = -1}), "4 5");
    ck_assert_str_eq(sorted(K("l"), (struct sort_options){.offset = 3, .limit = INT64_MAX}), "4 5");
    ck_assert_str_eq(sorted(K("l"), (struct sort_options){.offset = 5, .limit = 1}), "");
    ck_assert_str_eq(sorted(K("l"), (struct sort_options){.offset = 0, .limit = 0}), "");
}
END_TEST

START_TEST(sort__by_other_keys_and_by_fields)
{
    list_of(K("l"), "1 2 3");
    string_of(K("w1"), "30");
    string_of(K("w2"), "10");
    field_of(K("h1"), "f", "c");
    field_of(K("h2"), "f", "b");
    field_of(K("h3"), "f", "a");
    ck_assert_str_eq(SORTED(K("l"), .has_by = true, .by = S(K("w*"))), "3 2 1"); /* w3 is absent: 0 */
    ck_assert_str_eq(SORTED(K("l"), .has_by = true, .by = S(K("h*->f")), .alpha = true), "3 2 1");
    ck_assert_str_eq(SORTED(K("l"), .has_by = true, .by = S(K("h*->none")), .alpha = true), "1 2 3");
    ck_assert_str_eq(SORTED(K("l"), .has_by = true, .by = S("nosort")), "1 2 3");
    ck_assert_str_eq(SORTED(K("l"), .has_by = true, .by = S("nosort"), .descending = true), "3 2 1");
    ck_assert_str_eq(sorted(K("l"), (struct sort_options){.has_by = true, .by = S("x"), .offset = 1, .limit = 1}), "2");
    ck_assert_str_eq(sorted(K("l"), (struct sort_options){.has_by = true, .by = S("x"), .offset = 3, .limit = 1}), "");
    ck_assert_str_eq(sorted(K("l"), (struct sort_options){.has_by = true, .by = S("x"), .offset = 1, .limit = 5,
                                                          .descending = true}), "2 1");
}
END_TEST

START_TEST(sort__get_looks_up_strings_fields_and_the_element)
{
    struct slice gets[] = {S("#"), S(K("w*")), S(K("h*->f")), S("constant"), S(K("h*"))};

    list_of(K("l"), "2 1");
    string_of(K("w1"), "one");
    field_of(K("h2"), "f", "two");
    ck_assert_str_eq(SORTED(K("l"), .gets = gets, .get_count = 5),
                     "1 one (nil) (nil) (nil) 2 (nil) two (nil) (nil)");
}
END_TEST

START_TEST(sort__an_unordered_set_is_sorted_when_it_must_be_the_same_everywhere)
{
    set_of(K("s"), "c a b");
    ck_assert_str_eq(SORTED(K("s"), .has_by = true, .by = S("nosort"), .deterministic = true), "a b c");
    ck_assert_str_eq(SORTED(K("s"), .has_by = true, .by = S("nosort"), .deterministic = true, .descending = true), "c b a");
}
END_TEST

START_TEST(sort__a_set_has_no_order_that_descending_could_turn_round)
{
    char up[100];

    set_of(K("s"), "c a b d");
    snprintf(up, sizeof up, "%s", SORTED(K("s"), .has_by = true, .by = S("nosort")));
    ck_assert_str_eq(SORTED(K("s"), .has_by = true, .by = S("nosort"), .descending = true), up);
}
END_TEST

START_TEST(sort__a_stored_result_replaces_the_target_and_is_logged_as_a_list)
{
    struct sort_options options = {.limit = -1};
    struct sort_result r = {0};
    struct txn *t;
    struct obj *o;

    list_of(K("l"), "2 3 1");
    string_of(K("d"), "old");
    harness_text_clear(h);
    t = harness_begin(h, K("l"), NULL);
    ck_assert_int_eq(sort_run(t, S(K("l")), &options, &r), OK);
    ck_assert_int_eq(sort_store(t, S(K("d")), &r), OK);
    harness_end(h);
    ck_assert_str_eq(harness_text(h), "MULTI|DEL {k}d|RPUSH {k}d 1 2 3|EXEC|");
    sort_result_free(&r);
    harness_text_clear(h);
    t = harness_begin(h, K("d"), NULL);
    ck_assert_int_eq(sort_store(t, S(K("d")), &r), OK);
    ck_assert_int_eq(txn_read(t, S(K("d")), OBJ_ANY, &o), ERR_NOT_FOUND);
    harness_end(h);
    ck_assert_str_eq(harness_text(h), "DEL {k}d|");
}
END_TEST

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

START_TEST(sort__a_big_list_comes_in_the_order_of_a_plain_sort)
{
    enum { N = 3000 };
    uint64_t seed = (uint64_t)time(NULL);
    struct sort_options options = {.limit = -1};
    struct sort_result r = {0};
    struct obj *o = NULL;
    struct txn *t;
    struct rng rng;
    static int numbers[N];

    printf("seed %llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    t = harness_begin(h, K("l"), NULL);
    o = txn_write(t, S(K("l")), OBJ_LIST, &o) == ERR_NOT_FOUND ? txn_create(t, S(K("l")), OBJ_LIST) : NULL;
    for (int i = 0; i < N; i++) {
        char text[NUM_TEXT_MAX];

        numbers[i] = (int)rng_below(&rng, 10000) - 5000;
        ck_assert_int_eq(list_push(t, o, LIST_TAIL, slice_of(text, num_format_i64(text, numbers[i]))), OK);
    }
    harness_end_as(h, "RPUSH ...");
    harness_cool(h);
    qsort(numbers, N, sizeof *numbers, by_number);
    t = harness_begin(h, K("l"), NULL);
    ck_assert_int_eq(sort_run(t, S(K("l")), &options, &r), OK);
    ck_assert_uint_eq(r.count, N);
    for (int i = 0; i < N; i++) {
        int64_t number;

        ck_assert(num_parse_i64(sort_result_at(&r, (size_t)i), &number) && number == numbers[i]);
    }
    sort_result_free(&r);
    harness_end(h);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("sort");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, sort__numbers_ascend_and_descend);
    tcase_add_test(c, sort__equal_numbers_are_ordered_by_their_bytes);
    tcase_add_test(c, sort__text_is_no_number_unless_alpha);
    tcase_add_test(c, sort__limit_cuts_and_takes_any_number);
    tcase_add_test(c, sort__by_other_keys_and_by_fields);
    tcase_add_test(c, sort__get_looks_up_strings_fields_and_the_element);
    tcase_add_test(c, sort__an_unordered_set_is_sorted_when_it_must_be_the_same_everywhere);
    tcase_add_test(c, sort__a_set_has_no_order_that_descending_could_turn_round);
    tcase_add_test(c, sort__a_stored_result_replaces_the_target_and_is_logged_as_a_list);
    tcase_add_test(c, sort__a_big_list_comes_in_the_order_of_a_plain_sort);
    return suite_run("sort", c);
}
