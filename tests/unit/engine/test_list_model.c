/*
 * test_list_model.c - lists beside a plain array: random operations, packed and big, warm and cold.
 *
 * The rows of a big one are dense, and its effects build the same list elsewhere.
 */
#include "tests/unit/engine/runner.h"
#include "tests/unit/suite.h"

#include "base/check.h"
#include "base/rng.h"
#include "engine/type/list_big.h"

#include <check.h>
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

enum { MODEL_MAX = 4000 };

struct model {
    char *elements[MODEL_MAX];
    size_t count;
};

static void model_insert(struct model *m, size_t at, const char *element)
{
    check(m->count < MODEL_MAX);
    memmove(m->elements + at + 1, m->elements + at, (m->count - at) * sizeof *m->elements);
    m->elements[at] = strdup(element);
    m->count++;
}

static void model_remove(struct model *m, size_t at)
{
    free(m->elements[at]);
    m->count--;
    memmove(m->elements + at, m->elements + at + 1, (m->count - at) * sizeof *m->elements);
}

static void model_clear(struct model *m)
{
    while (m->count > 0)
        model_remove(m, m->count - 1);
}

/* The rows in the store are those between the ends, no more and no fewer. */
static uint64_t expect_dense(struct txn *t, struct obj *o)
{
    struct list_big b;
    struct txn_cursor c;
    uint64_t row;
    enum err e;

    ck_assert(list_big_load(o, &b) == OK);
    ck_assert(txn_indexes(t, o, 0, false, &c) == OK);
    for (row = b.big.first; (e = txn_cursor_next(&c)) == OK; row++)
        ck_assert_uint_eq(c.index, row);
    txn_cursor_close(&c);
    ck_assert_int_eq(e, ERR_NOT_FOUND);
    ck_assert_uint_eq(row - b.big.first, list_big_rows(o, &b));
    return list_big_rows(o, &b);
}

/* What the comparisons met: each form often enough, and rows. */
static uint64_t rows_seen;
static unsigned packed_seen, big_seen;

static void expect_same(struct harness *where, const struct model *m)
{
    struct txn *t = harness_begin(where, "k", NULL);
    struct obj *o = NULL;
    struct list_walk w;
    enum err e = txn_read(t, SLICE_LITERAL("k"), OBJ_LIST, &o);

    ck_assert_int_eq(e, m->count > 0 ? OK : ERR_NOT_FOUND);
    if (e == OK) {
        ck_assert_uint_eq(list_length(o), m->count);
        for (int reverse = 0; reverse < 2; reverse++) {
            uint64_t at = reverse ? m->count - 1 : 0, seen = 0;

            ck_assert(list_walk_begin(t, o, at, reverse, &w) == OK);
            while ((e = list_walk_next(&w)) == OK) {
                ck_assert_uint_eq(w.index, at);
                ck_assert(slice_equal(w.element, slice_str(m->elements[at])));
                at += reverse ? (uint64_t)-1 : 1;
                seen++;
            }
            ck_assert_int_eq(e, ERR_NOT_FOUND);
            ck_assert_uint_eq(seen, m->count);
            list_walk_end(&w);
        }
        if (o->form == OBJ_BIG)
            rows_seen += expect_dense(t, o);
        *(o->form == OBJ_BIG ? &big_seen : &packed_seen) += 1;
    }
    harness_end(where);
}

static void random_element(struct rng *r, char out[600])
{
    size_t size = rng_below(r, 20) == 0 ? 300 + rng_below(r, 250) : rng_below(r, 6) == 0 ? 40 : 1;

    memset(out, (int)('a' + rng_below(r, 5)), size);
    out[size] = '\0';
}

static void step_push(struct rng *r, struct model *m)
{
    bool head = rng_below(r, 2) == 0;
    static char line[20000];
    size_t n = 1 + rng_below(r, m->count < 1500 ? 16 : 2), at = (size_t)sprintf(line, head ? "LPUSH k" : "RPUSH k");
    char reply[32];

    for (size_t i = 0; i < n; i++) {
        char element[600];

        random_element(r, element);
        model_insert(m, head ? 0 : m->count, element);
        at += (size_t)sprintf(line + at, " %s", element);
    }
    snprintf(reply, sizeof reply, ":%zu", m->count);
    ck_assert_str_eq(run(h, line), reply);
}

static void step_pop(struct rng *r, struct model *m)
{
    bool head = rng_below(r, 2) == 0;
    size_t n = rng_below(r, 3) == 0 ? 1 + rng_below(r, 30) : 1, at = 0;
    static char line[64], reply[40 * 1000];

    if (m->count == 0)
        return;
    snprintf(line, sizeof line, head ? "LPOP k %zu" : "RPOP k %zu", n);
    if (n > m->count)
        n = m->count;
    at += (size_t)sprintf(reply, "*%zu", n);
    for (size_t i = 0; i < n; i++) {
        size_t which = head ? 0 : m->count - 1;

        at += (size_t)sprintf(reply + at, " $%zu %s", strlen(m->elements[which]), m->elements[which]);
        model_remove(m, which);
    }
    ck_assert_str_eq(run(h, line), reply);
}

static void step_insert(struct rng *r, struct model *m)
{
    bool after = rng_below(r, 2) == 0;
    char line[1300], pivot[600], element[600], reply[32];
    size_t at = 0;

    random_element(r, pivot);
    random_element(r, element);
    while (at < m->count && strcmp(m->elements[at], pivot) != 0)
        at++;
    if (at < m->count) {
        model_insert(m, at + after, element);
        snprintf(reply, sizeof reply, ":%zu", m->count);
    } else {
        snprintf(reply, sizeof reply, m->count == 0 ? ":0" : ":-1");
    }
    snprintf(line, sizeof line, "LINSERT k %s %s %s", after ? "AFTER" : "BEFORE", pivot, element);
    ck_assert_str_eq(run(h, line), reply);
}

static void step_remove(struct rng *r, struct model *m)
{
    int count = (int)rng_below(r, 7) - 3;
    char line[700], element[600], reply[32];
    size_t removed = 0, limit = count == 0 ? SIZE_MAX : (size_t)abs(count);

    random_element(r, element);
    for (size_t i = 0; i < m->count && removed < limit;) {
        size_t at = count < 0 ? m->count - 1 - i : i;

        if (strcmp(m->elements[at], element) == 0) {
            model_remove(m, at);
            removed++;
        } else {
            i++;
        }
    }
    snprintf(line, sizeof line, "LREM k %d %s", count, element);
    snprintf(reply, sizeof reply, ":%zu", removed);
    ck_assert_str_eq(run(h, line), reply);
}

static void step_set(struct rng *r, struct model *m)
{
    char line[700], element[600];
    size_t at;

    if (m->count == 0)
        return;
    at = rng_below(r, m->count);
    random_element(r, element);
    free(m->elements[at]);
    m->elements[at] = strdup(element);
    snprintf(line, sizeof line, "LSET k %zu %s", at, element);
    ck_assert_str_eq(run(h, line), "+OK");
}

static void step_trim(struct rng *r, struct model *m)
{
    size_t cut = m->count > 0 ? rng_below(r, 8) == 0 ? rng_below(r, m->count) : rng_below(r, 5) : 0;
    size_t head = cut > 0 ? rng_below(r, cut + 1) : 0, tail = cut - head;
    char line[64];

    if (cut >= m->count)
        return;
    snprintf(line, sizeof line, "LTRIM k %zu -%zu", head, tail + 1);
    while (head-- > 0)
        model_remove(m, 0);
    while (tail-- > 0)
        model_remove(m, m->count - 1);
    ck_assert_str_eq(run(h, line), "+OK");
}

static void step_rotate(struct rng *r, struct model *m)
{
    bool from_head = rng_below(r, 2) == 0, to_head = rng_below(r, 2) == 0;
    char line[64], reply[700], moved[600];

    if (m->count == 0)
        return;
    strcpy(moved, m->elements[from_head ? 0 : m->count - 1]);
    model_remove(m, from_head ? 0 : m->count - 1);
    model_insert(m, to_head ? 0 : m->count, moved);
    snprintf(line, sizeof line, "LMOVE k k %s %s", from_head ? "LEFT" : "RIGHT", to_head ? "LEFT" : "RIGHT");
    snprintf(reply, sizeof reply, "$%zu %s", strlen(moved), moved);
    ck_assert_str_eq(run(h, line), reply);
}

static void step_index(struct rng *r, struct model *m)
{
    size_t at = rng_below(r, m->count + 2);
    char line[64], reply[700];

    snprintf(line, sizeof line, "LINDEX k %zu", at);
    if (at < m->count)
        snprintf(reply, sizeof reply, "$%zu %s", strlen(m->elements[at]), m->elements[at]);
    else
        snprintf(reply, sizeof reply, "$-1");
    ck_assert_str_eq(run(h, line), reply);
}

static void (*const steps[])(struct rng *, struct model *) = {
    step_push, step_push, step_push, step_pop, step_insert, step_remove, step_set, step_trim, step_rotate, step_index};

START_TEST(list__random_operations_give_what_an_array_gives_packed_and_big_warm_and_cold)
{
    struct harness *replica = harness_open(64 << 20);
    unsigned colds = run_colds();
    struct model m = {0};

    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct rng r;

        rng_seed(&r, seed);
        fprintf(stderr, "list: seed %llu\n", (unsigned long long)seed);
        for (int i = 0; i < 500; i++) {
            steps[rng_below(&r, sizeof steps / sizeof *steps)](&r, &m);
            if (rng_below(&r, 40) == 0)
                harness_cool(h);
            h->may_wait = rng_below(&r, 2) == 0;
            if (i % 50 == 49) {
                h->may_wait = true;
                expect_same(h, &m);
                run_effects(h, replica);
                expect_same(replica, &m);
            }
        }
        h->may_wait = true;
        (void)run(h, "DEL k");
        model_clear(&m);
    }
    ck_assert_uint_gt(packed_seen, 10);
    ck_assert_uint_gt(big_seen, 10);
    ck_assert_uint_gt(rows_seen, 1000);
    ck_assert_uint_gt(run_colds(), colds);
    harness_close(replica);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("list_model");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, list__random_operations_give_what_an_array_gives_packed_and_big_warm_and_cold);
    return suite_run("list_model", tc);
}
