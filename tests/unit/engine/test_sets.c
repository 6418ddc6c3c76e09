/*
 * test_sets.c - Redis' sets: both forms behave alike, algebra agrees with a model, random commands log what they did.
 */
#include "tests/unit/engine/harness.h"
#include "tests/unit/suite.h"

#include "base/check.h"
#include "base/rng.h"
#include "engine/type/element_walk.h"
#include "engine/type/set_algebra.h"
#include "engine/type/sets.h"

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

static bool add(const char *key, const char *member)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;
    bool added = false;
    char words[128];

    ck_assert_int_eq(txn_write_or_create(t, S(key), OBJ_SET, &o, NULL), OK);
    ck_assert_int_eq(sets_add(t, o, S(member), &added), OK);
    snprintf(words, sizeof words, "SADD %s %s", key, member);
    harness_end_as(h, words);
    return added;
}

static uint64_t drop(const char *key, const char *member)
{
    struct slice members[1] = {S(member)};
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;
    uint64_t removed = 0;
    char words[128];

    if (txn_write(t, S(key), OBJ_SET, &o) == OK)
        ck_assert_int_eq(sets_remove(t, o, members, 1, &removed), OK);
    snprintf(words, sizeof words, "SREM %s %s", key, member);
    harness_end_as(h, words);
    return removed;
}

static uint64_t size_of(const char *key)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;
    uint64_t n = txn_read(t, S(key), OBJ_SET, &o) == OK ? o->count : 0;

    harness_end(h);
    return n;
}

static const char *encoding_of(const char *key)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;
    const char *encoding = txn_read(t, S(key), OBJ_SET, &o) == OK ? sets_encoding(o) : "none";

    harness_end(h);
    return encoding;
}

static bool has(const char *key, const char *member)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;
    bool yes = false;

    if (txn_read(t, S(key), OBJ_SET, &o) == OK)
        ck_assert_int_eq(sets_has(t, o, S(member), &yes), OK);
    harness_end(h);
    return yes;
}

static void add_range(const char *key, const char *prefix, int from, int to)
{
    char member[32];

    for (int i = from; i < to; i++) {
        snprintf(member, sizeof member, "%s%d", prefix, i);
        ck_assert(add(key, member));
    }
}

/* ---- Random histories, and algebra over them ---- */

enum { SETS = 4, MEMBERS = 400 };
static const char *const keys[SETS] = {"{s}0", "{s}1", "{s}2", "{s}3"};
static const int reach[SETS] = {20, 100, 250, MEMBERS}; /* members that come into the set */

struct model {
    size_t count[SETS];
    bool has[SETS][MEMBERS];
};

static size_t number_of(struct slice member)
{
    char text[16];

    ck_assert(member.size < sizeof text && member.data[0] == 'm');
    memcpy(text, member.data, member.size);
    text[member.size] = '\0';
    return (size_t)atoi(text + 1);
}

static void check_same(const struct model *m)
{
    for (int k = 0; k < SETS; k++) {
        struct txn *t = harness_begin(h, keys[k], NULL);
        bool seen[MEMBERS] = {0};
        struct element_walk w;
        struct obj *o = NULL;
        enum err e = txn_read(t, S(keys[k]), OBJ_SET, &o);

        ck_assert_int_eq(e, m->count[k] == 0 ? ERR_NOT_FOUND : OK);
        if (e == OK) {
            ck_assert_uint_eq(o->count, m->count[k]);
            ck_assert_int_eq(element_walk_begin(t, o, &w), OK);
            while ((e = element_walk_next(&w)) == OK) {
                size_t i = number_of(w.name);

                ck_assert(m->has[k][i] && !seen[i] && w.value.size == 0);
                seen[i] = true;
            }
            element_walk_end(&w);
            ck_assert(memcmp(seen, m->has[k], sizeof seen) == 0);
        }
        harness_end(h);
    }
}

static bool expected(const struct model *m, enum set_operation operation, const int *operands, size_t count, size_t i)
{
    bool in = m->has[operands[0]][i];

    for (size_t k = 1; k < count; k++) {
        bool other = m->has[operands[k]][i];

        in = operation == SET_UNITE ? in || other : operation == SET_INTERSECT ? in && other : in && !other;
    }
    return in;
}

static void check_algebra(const struct model *m, struct rng *rng)
{
    for (int operation = SET_INTERSECT; operation <= SET_SUBTRACT; operation++) {
        size_t count = 1 + rng_below(rng, 4), want = 0;
        struct slice names[4];
        int operands[4];
        struct name_set out = {0};
        struct txn *t;
        uint64_t n;

        for (size_t k = 0; k < count; k++) {
            operands[k] = (int)rng_below(rng, SETS);
            names[k] = S(keys[operands[k]]);
        }
        t = harness_begin(h, keys[0], NULL);
        ck_assert_int_eq(set_algebra(t, (enum set_operation)operation, names, count, 0, &out), OK);
        for (size_t i = 0; i < MEMBERS; i++) {
            char member[16];
            bool in = expected(m, (enum set_operation)operation, operands, count, i);

            snprintf(member, sizeof member, "m%zu", i);
            ck_assert_int_eq(name_set_has(&out, S(member)), in);
            want += in;
        }
        ck_assert_uint_eq(out.count, want);
        if (operation == SET_INTERSECT) {
            ck_assert_int_eq(set_algebra_count(t, names, count, 0, &n), OK);
            ck_assert_uint_eq(n, want);
            ck_assert_int_eq(set_algebra_count(t, names, count, 3, &n), OK);
            ck_assert_uint_eq(n, want < 3 ? want : 3);
        }
        name_set_free(&out);
        harness_end(h);
    }
}

START_TEST(sets__random_history_and_algebra_agree_with_a_model)
{
    struct model *m = calloc(1, sizeof *m);
    uint64_t seed = (uint64_t)time(NULL);
    struct rng rng;

    printf("seed %llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    for (int step = 0; step < 4000; step++) {
        int k = (int)rng_below(&rng, SETS);
        size_t i = rng_below(&rng, (uint64_t)reach[k]);
        char member[16];

        snprintf(member, sizeof member, "m%zu", i);
        if (rng_below(&rng, 100) < (step / 1000 % 2 ? 30 : 80)) {
            bool added = add(keys[k], member);

            ck_assert_int_eq(added, !m->has[k][i]);
            m->count[k] += added;
            m->has[k][i] = true;
        } else {
            ck_assert_uint_eq(drop(keys[k], member), m->has[k][i]);
            m->count[k] -= m->has[k][i];
            m->has[k][i] = false;
        }
        if (rng_below(&rng, 300) == 0)
            harness_cool(h);
        if (rng_below(&rng, 50) == 0)
            check_algebra(m, &rng);
        if (rng_below(&rng, 200) == 0)
            check_same(m);
    }
    check_same(m);
    free(m);
}
END_TEST

/* ---- Encodings ---- */

START_TEST(sets__512_integers_are_an_intset_and_one_more_a_hashtable)
{
    add_range("k", "", 0, 512);
    ck_assert_str_eq(encoding_of("k"), "intset");
    ck_assert(add("k", "512"));
    ck_assert_str_eq(encoding_of("k"), "hashtable");
    ck_assert_uint_eq(drop("k", "512"), 1);
    ck_assert_str_eq(encoding_of("k"), "hashtable");
}
END_TEST

START_TEST(sets__128_names_are_a_listpack_and_one_more_a_hashtable)
{
    add_range("k", "m", 0, 128);
    ck_assert_str_eq(encoding_of("k"), "listpack");
    ck_assert(add("k", "x"));
    ck_assert_str_eq(encoding_of("k"), "hashtable");
}
END_TEST

START_TEST(sets__a_name_among_integers_makes_a_listpack_or_a_hashtable_by_size)
{
    char member[66];

    add_range("few", "", 0, 127);
    ck_assert(add("few", "x"));
    ck_assert_str_eq(encoding_of("few"), "listpack");
    add_range("many", "", 0, 128);
    ck_assert(add("many", "x"));
    ck_assert_str_eq(encoding_of("many"), "hashtable");
    memset(member, 'x', 65);
    member[65] = '\0';
    ck_assert(add("long", member));
    ck_assert_str_eq(encoding_of("long"), "hashtable");
}
END_TEST

/* ---- Effects ---- */

START_TEST(sets__pop_logs_the_member_and_the_last_one_as_del)
{
    struct buf out = {0};
    struct txn *t;
    struct obj *o;

    add("k", "a");
    add("k", "b");
    for (int i = 0; i < 2; i++) {
        char text[64];

        harness_text_clear(h);
        buf_clear(&out);
        t = harness_begin(h, "k", NULL);
        ck_assert_int_eq(txn_write(t, S("k"), OBJ_SET, &o), OK);
        ck_assert_int_eq(sets_pop(t, o, &out), OK);
        harness_end(h);
        snprintf(text, sizeof text, i == 0 ? "SREM k %.*s|" : "DEL k|", (int)out.size, (const char *)out.data);
        ck_assert_str_eq(harness_text(h), text);
    }
    ck_assert_uint_eq(size_of("k"), 0);
    buf_free(&out);
}
END_TEST

static void pop_many(uint64_t count, uint64_t left)
{
    struct element_list l = {0};
    struct txn *t = harness_begin(h, "k", NULL);
    struct obj *o = NULL;

    ck_assert_int_eq(txn_write(t, S("k"), OBJ_SET, &o), OK);
    ck_assert_int_eq(sets_pop_many(t, o, count, &l), OK);
    harness_end(h);
    ck_assert_uint_eq(size_of("k"), left);
    for (size_t i = 0; i < l.count; i++) {
        char member[16];

        snprintf(member, sizeof member, "%.*s", (int)element_list_name(&l, i).size,
                 (const char *)element_list_name(&l, i).data);
        ck_assert(!has("k", member));
    }
    element_list_free(&l);
}

static size_t effects_named(const char *verb)
{
    const char *p = harness_text(h);
    size_t n = 0;

    while ((p = strstr(p, verb)) != NULL) {
        n++;
        p += strlen(verb);
    }
    return n;
}

START_TEST(sets__popping_many_takes_them_out_in_bounded_effects)
{
    add_range("k", "m", 0, 3000);
    harness_text_clear(h);
    pop_many(2500, 500);
    ck_assert_uint_eq(effects_named("SREM k "), 3);
    ck_assert(strncmp(harness_text(h), "MULTI|SREM k ", 13) == 0);
    harness_text_clear(h);
    pop_many(10, 490);
    ck_assert_uint_eq(effects_named("SREM k "), 1);
    harness_text_clear(h);
    pop_many(490, 0);
    ck_assert_str_eq(harness_text(h), "DEL k|");
}
END_TEST

static bool move(const char *from, const char *to, const char *member)
{
    struct txn *t = harness_begin(h, from, to, NULL);
    bool moved = false;

    ck_assert_int_eq(sets_move(t, S(from), S(to), S(member), &moved), OK);
    harness_end(h);
    return moved;
}

START_TEST(sets__move_logs_both_keys)
{
    add("a", "1");
    add("a", "2");
    harness_text_clear(h);
    ck_assert(move("a", "b", "1"));
    ck_assert_str_eq(harness_text(h), "MULTI|SREM a 1|SADD b 1|EXEC|");
    harness_text_clear(h);
    ck_assert(!move("a", "b", "1"));
    ck_assert(!move("none", "b", "1"));
    ck_assert(move("a", "a", "2"));
    ck_assert_str_eq(harness_text(h), "");
    add("b", "2");
    harness_text_clear(h);
    ck_assert(move("a", "b", "2"));
    ck_assert_str_eq(harness_text(h), "DEL a|");
    ck_assert_uint_eq(size_of("b"), 2);
}
END_TEST

static uint64_t store(const char *key, enum set_operation operation, const char *a, const char *b)
{
    struct slice names[2] = {S(a), S(b)};
    struct txn *t = harness_begin(h, key, a, b, NULL);
    struct name_set out = {0};
    uint64_t n;

    ck_assert_int_eq(set_algebra(t, operation, names, 2, 0, &out), OK);
    ck_assert_int_eq(sets_store(t, S(key), &out), OK);
    harness_end(h);
    n = out.count;
    name_set_free(&out);
    return n;
}

START_TEST(sets__a_stored_result_is_logged_as_members)
{
    add("a", "1");
    add("a", "2");
    add("b", "2");
    add("b", "3");
    harness_text_clear(h);
    ck_assert_uint_eq(store("c", SET_UNITE, "a", "b"), 3);
    ck_assert_str_eq(harness_text(h), "SADD c 1 2 3|");
    harness_text_clear(h);
    ck_assert_uint_eq(store("a", SET_INTERSECT, "a", "b"), 1);
    ck_assert_str_eq(harness_text(h), "MULTI|DEL a|SADD a 2|EXEC|");
    harness_text_clear(h);
    ck_assert_uint_eq(store("a", SET_SUBTRACT, "a", "b"), 0);
    ck_assert_str_eq(harness_text(h), "DEL a|");
    ck_assert_uint_eq(size_of("a"), 0);
    harness_text_clear(h);
    ck_assert_uint_eq(store("a", SET_SUBTRACT, "a", "b"), 0);
    ck_assert_str_eq(harness_text(h), "");
}
END_TEST

START_TEST(sets__a_large_stored_result_is_logged_in_pieces_and_survives_the_store)
{
    add_range("a", "a", 0, 1500);
    add_range("b", "b", 0, 1000);
    harness_text_clear(h);
    ck_assert_uint_eq(store("c", SET_UNITE, "a", "b"), 2500);
    ck_assert_uint_eq(effects_named("SADD c "), 3);
    harness_cool(h);
    ck_assert_uint_eq(size_of("c"), 2500);
    ck_assert(has("c", "a1499") && has("c", "b0") && !has("c", "b1000"));
}
END_TEST

START_TEST(sets__popping_one_by_one_gives_every_member_once_in_no_fixed_order)
{
    enum { N = 1500 };
    bool seen[N] = {0};
    size_t ascents = 0, last = 0;

    add_range("k", "m", 0, N);
    for (int i = 0; i < N; i++) {
        struct buf out = {0};
        struct txn *t = harness_begin(h, "k", NULL);
        struct obj *o = NULL;
        size_t n;

        ck_assert_int_eq(txn_write(t, S("k"), OBJ_SET, &o), OK);
        ck_assert_int_eq(sets_pop(t, o, &out), OK);
        harness_end(h);
        n = number_of(buf_slice(&out));
        ck_assert(n < N && !seen[n]);
        seen[n] = true;
        ascents += n > last;
        last = n;
        buf_free(&out);
        if (i % 500 == 250)
            harness_cool(h);
    }
    ck_assert_uint_eq(size_of("k"), 0);
    ck_assert(ascents > N / 3 && ascents < N * 2 / 3);
}
END_TEST

START_TEST(sets__emptying_a_big_one_packs_its_last_members_and_keeps_expiry_and_encoding)
{
    msec_t at = h->now_ms + 1000;
    struct txn *t;
    struct obj *o;

    add_range("k", "m", 0, 400);
    t = harness_begin(h, "k", NULL);
    ck_assert_int_eq(txn_write(t, S("k"), OBJ_SET, &o), OK);
    txn_expire(t, o, at);
    harness_end_as(h, "PEXPIREAT k at");
    for (int i = 399; i > 0; i--) {
        char member[16];

        snprintf(member, sizeof member, "m%d", i);
        ck_assert_uint_eq(drop("k", member), 1);
        if (i == 300)
            harness_cool(h);
    }
    t = harness_begin(h, "k", NULL);
    ck_assert_int_eq(txn_read(t, S("k"), OBJ_SET, &o), OK);
    ck_assert_int_eq(o->form, OBJ_PACKED);
    ck_assert_int_eq(o->expire_ms, at);
    ck_assert_str_eq(sets_encoding(o), "hashtable");
    harness_end(h);
    ck_assert_uint_eq(set_expires(h->set, 0), 1);
    ck_assert(has("k", "m0"));
    harness_cool(h);
    ck_assert(has("k", "m0"));
    ck_assert_uint_eq(size_of("k"), 1);
}
END_TEST

START_TEST(sets__a_long_walk_is_left_to_a_thread_that_may_wait)
{
    struct slice names[2] = {S("a"), S("b")};
    struct name_set out = {0};
    struct element_walk w;
    struct txn *t;
    struct obj *o;

    add_range("a", "m", 0, ELEMENTS_QUICK + 1);
    add_range("b", "m", 0, 3);
    h->may_wait = false;
    t = harness_begin(h, "a", "b", NULL);
    ck_assert_int_eq(txn_read(t, S("a"), OBJ_SET, &o), OK);
    ck_assert_int_eq(element_walk_begin(t, o, &w), ERR_COLD);
    ck_assert_int_eq(set_algebra(t, SET_UNITE, names, 2, 0, &out), ERR_COLD);
    ck_assert_uint_eq(out.count, 0);
    harness_abort(h);
    h->may_wait = true;
    t = harness_begin(h, "a", "b", NULL);
    ck_assert_int_eq(set_algebra(t, SET_UNITE, names, 2, 0, &out), OK);
    ck_assert_uint_eq(out.count, ELEMENTS_QUICK + 1);
    harness_end(h);
    name_set_free(&out);
}
END_TEST

START_TEST(sets__algebra_refuses_other_types_even_when_a_set_is_absent)
{
    struct slice names[2] = {S("none"), S("s")};
    struct txn *t = harness_begin(h, "s", NULL);
    struct name_set out = {0};
    struct obj *o = txn_write(t, S("s"), OBJ_ANY, &o) == ERR_NOT_FOUND ? txn_create(t, S("s"), OBJ_STRING) : NULL;

    obj_value_set(o, S("x"));
    txn_changed(t, o);
    harness_end_as(h, "SET s x");
    t = harness_begin(h, "none", "s", NULL);
    ck_assert_int_eq(set_algebra(t, SET_INTERSECT, names, 2, 0, &out), ERR_WRONG_TYPE);
    ck_assert_int_eq(set_algebra(t, SET_UNITE, names, 2, 0, &out), ERR_WRONG_TYPE);
    harness_end(h);
    name_set_free(&out);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("sets");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, sets__random_history_and_algebra_agree_with_a_model);
    tcase_add_test(c, sets__512_integers_are_an_intset_and_one_more_a_hashtable);
    tcase_add_test(c, sets__128_names_are_a_listpack_and_one_more_a_hashtable);
    tcase_add_test(c, sets__a_name_among_integers_makes_a_listpack_or_a_hashtable_by_size);
    tcase_add_test(c, sets__pop_logs_the_member_and_the_last_one_as_del);
    tcase_add_test(c, sets__popping_many_takes_them_out_in_bounded_effects);
    tcase_add_test(c, sets__move_logs_both_keys);
    tcase_add_test(c, sets__a_stored_result_is_logged_as_members);
    tcase_add_test(c, sets__a_large_stored_result_is_logged_in_pieces_and_survives_the_store);
    tcase_add_test(c, sets__popping_one_by_one_gives_every_member_once_in_no_fixed_order);
    tcase_add_test(c, sets__emptying_a_big_one_packs_its_last_members_and_keeps_expiry_and_encoding);
    tcase_add_test(c, sets__a_long_walk_is_left_to_a_thread_that_may_wait);
    tcase_add_test(c, sets__algebra_refuses_other_types_even_when_a_set_is_absent);
    return suite_run("sets", c);
}
