/*
 * test_order.c - the order of a sorted set in memory against a sorted array; the table of elements against a model.
 */
#include "base/check.h"
#include "base/hash.h"
#include "base/rng.h"
#include "engine/set/elements.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MEMBERS = 1500, STEPS = 30000, SCORES = 40 };

static struct slice member_name(int i, char out[16])
{
    return slice_of(out, (size_t)snprintf(out, 16, "m%04d", i));
}

struct model {
    struct elements *e;
    double score[MEMBERS]; /* NAN: no member */
    int count;
};

static int sorted(const struct model *m, int out[MEMBERS])
{
    int n = 0;

    for (int s = 0; s < SCORES; s++)
        for (int i = 0; i < MEMBERS; i++)
            if (m->score[i] == s)
                out[n++] = i;
    return n;
}

static void put(struct model *m, int i, double score)
{
    char name[16];
    struct slice member = member_name(i, name);
    bool has = !isnan(m->score[i]);

    elements_put(m->e, hash_name(member), member, slice_of(&score, sizeof score), has ? &m->score[i] : NULL);
    m->count += !has;
    m->score[i] = score;
}

static void take(struct model *m, int i)
{
    char name[16];
    struct slice member = member_name(i, name);

    if (isnan(m->score[i]))
        return;
    elements_remove(m->e, hash_name(member), member, &m->score[i]);
    m->score[i] = NAN;
    m->count--;
}

/* Walks both ways, ranks and places are the sorted array's. */
static void compare(struct model *m, struct rng *r)
{
    struct order *o = elements_order(m->e);
    struct order_place up = order_at(o, 0), down = order_at(o, o->count);
    int all[MEMBERS], n = sorted(m, all);
    char name[16];

    ck_assert_int_eq(n, m->count);
    ck_assert_uint_eq(o->count, (uint64_t)n);
    for (int i = 0; i < n; i++) {
        const struct order_entry *a = order_next(o, &up, false), *b = order_next(o, &down, true);

        ck_assert(a != NULL && slice_equal(element_name(a->element), member_name(all[i], name)));
        ck_assert(a->score == m->score[all[i]]);
        ck_assert(b != NULL && slice_equal(element_name(b->element), member_name(all[n - 1 - i], name)));
    }
    ck_assert(order_next(o, &up, false) == NULL);
    ck_assert(order_next(o, &down, true) == NULL);
    for (int k = 0; k < 20; k++) {
        int score = (int)rng_below(r, SCORES), member = (int)rng_below(r, MEMBERS), below = 0, through = 0;

        for (int i = 0; i < n; i++) {
            below += m->score[all[i]] < score || (m->score[all[i]] == score && all[i] < member);
            through += m->score[all[i]] <= score;
        }
        ck_assert_uint_eq(order_rank(o, order_find(o, score, member_name(member, name))), (uint64_t)below);
        ck_assert_uint_eq(order_rank(o, order_find(o, score, (struct slice){NULL, SIZE_MAX})), (uint64_t)through);
    }
}

START_TEST(order__agrees_with_a_sorted_array_through_changes_and_flights)
{
    uint64_t seed = getenv("SEED") != NULL ? strtoull(getenv("SEED"), NULL, 10) : 21;
    struct model m = {.e = elements_new(OBJ_ZSET, true)};
    struct elements_flight flight = {0};
    struct rng r;

    printf("SEED=%lu\n", (unsigned long)seed);
    rng_seed(&r, seed);
    for (int i = 0; i < MEMBERS; i++)
        m.score[i] = NAN;
    for (int step = 0; step < STEPS; step++) {
        int range = step / 6000 % 2 == 0 ? MEMBERS : 60, i = (int)rng_below(&r, (uint64_t)range);
        bool shrinks = step / 3000 % 2 == 1;

        if (rng_below(&r, 10) < (shrinks ? 7 : 3))
            take(&m, i);
        else
            put(&m, i, (double)rng_below(&r, SCORES));
        if (rng_below(&r, 500) == 0 && flight.elements == NULL && m.e->change_count > 0) {
            elements_take(m.e, &flight);
            for (size_t k = 0; k < flight.count; k++)
                if (flight.list[k]->tomb) {
                    flight.tombs = realloc(flight.tombs, (flight.tomb_count + 1) * sizeof *flight.tombs);
                    flight.tombs[flight.tomb_count++] = flight.list[k];
                }
        } else if (rng_below(&r, 300) == 0 && flight.elements != NULL) {
            elements_settle(&flight);
        }
        if (rng_below(&r, 1000) == 0)
            elements_order_drop(m.e);
        if (rng_below(&r, 200) == 0)
            compare(&m, &r);
    }
    if (flight.elements != NULL)
        elements_settle(&flight);
    compare(&m, &r);
    elements_drop(m.e);
}
END_TEST

START_TEST(elements__what_is_clean_is_forgotten_and_what_changed_is_not)
{
    struct elements *e = elements_new(OBJ_HASH, true);
    struct elements_flight flight = {0};
    char name[16];

    for (int i = 0; i < 1000; i++) {
        struct slice field = member_name(i, name);

        elements_put(e, hash_name(field), field, SLICE_LITERAL("value"), NULL);
    }
    ck_assert_uint_eq(elements_trim(e, true, SIZE_MAX, 0), 0); /* all is changed */
    ck_assert(e->complete);
    elements_take(e, &flight);
    for (int i = 0; i < 10; i++) {
        struct slice field = member_name(i, name);

        elements_put(e, hash_name(field), field, SLICE_LITERAL("newer"), NULL);
    }
    ck_assert_uint_eq(elements_trim(e, true, SIZE_MAX, 0), 0); /* all flies, or is changed */
    elements_settle(&flight);
    ck_assert(elements_trim(e, true, SIZE_MAX, 0) > 0);
    ck_assert(!e->complete);
    ck_assert_uint_eq(e->count, 10);
    for (int i = 0; i < 20; i++) {
        struct slice field = member_name(i, name);
        struct element *el = elements_find(e, hash_name(field), field);

        ck_assert(i < 10 ? el != NULL && slice_is(element_value(el), "newer") : el == NULL);
    }
    elements_drop(e);
}
END_TEST

START_TEST(elements__what_the_store_never_had_leaves_no_tomb)
{
    struct elements *e = elements_new(OBJ_SET, true);
    struct elements_flight flight = {0};
    struct slice a = SLICE_LITERAL("a"), b = SLICE_LITERAL("b");

    elements_put(e, hash_name(a), a, (struct slice){0}, NULL);
    elements_remove(e, hash_name(a), a, NULL);
    ck_assert_uint_eq(e->change_count, 0);
    ck_assert_uint_eq(e->count, 0);
    elements_put(e, hash_name(b), b, (struct slice){0}, NULL);
    elements_take(e, &flight);
    elements_remove(e, hash_name(b), b, NULL); /* while it flies: the store will have it */
    ck_assert_uint_eq(e->change_count, 1);
    ck_assert(elements_find(e, hash_name(b), b)->tomb);
    elements_settle(&flight);
    ck_assert(elements_find(e, hash_name(b), b)->tomb);
    elements_landed(e);
    ck_assert(elements_find(e, hash_name(b), b) == NULL);
    elements_drop(e);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("order");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, order__agrees_with_a_sorted_array_through_changes_and_flights);
    tcase_add_test(tc, elements__what_is_clean_is_forgotten_and_what_changed_is_not);
    tcase_add_test(tc, elements__what_the_store_never_had_leaves_no_tomb);
    return suite_run("order", tc);
}
