/*
 * test_busy.c - marks on keys: who meets them, and how their end is noticed.
 */
#include "server/run/busy.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdlib.h>

static struct busy b;

static void setup(void)
{
    busy_init(&b);
}

static void teardown(void)
{
    busy_fini(&b);
}

START_TEST(busy__a_marked_key_is_met_in_its_database_only)
{
    struct slice key = SLICE_LITERAL("key"), other = SLICE_LITERAL("other"), empty = {0};
    uint64_t generation;

    ck_assert(!busy_any(&b));
    ck_assert(!busy_meets(&b, 0, NULL, 0, &generation));
    ck_assert(busy_mark(&b, 3, key));
    ck_assert(busy_any(&b));
    ck_assert(busy_meets(&b, 3, &key, 1, &generation));
    ck_assert(busy_meets(&b, 3, (struct slice[]){other, key}, 2, &generation));
    ck_assert(busy_meets(&b, 0, NULL, 0, &generation));
    ck_assert(!busy_meets(&b, 0, &key, 1, &generation));
    ck_assert(!busy_meets(&b, 3, &other, 1, &generation));
    ck_assert(!busy_meets(&b, 3, &empty, 1, &generation));
    ck_assert(busy_mark(&b, 3, empty));
    ck_assert(busy_meets(&b, 3, &empty, 1, &generation));
    busy_release(&b, 3, (struct slice[]){key, empty}, 2);
    ck_assert(!busy_any(&b));
    ck_assert(!busy_meets(&b, 3, &key, 1, &generation));
}
END_TEST

START_TEST(busy__a_key_is_marked_once)
{
    struct slice key = SLICE_LITERAL("key");

    ck_assert(busy_mark(&b, 0, key));
    ck_assert(!busy_mark(&b, 0, key));
    ck_assert(busy_mark(&b, 1, key));
    busy_release(&b, 0, &key, 1);
    ck_assert(busy_mark(&b, 0, key));
    busy_release(&b, 0, &key, 1);
    busy_release(&b, 1, &key, 1);
}
END_TEST

START_TEST(busy__a_release_tells_whether_somebody_waits)
{
    struct slice key = SLICE_LITERAL("key"), other = SLICE_LITERAL("other");
    uint64_t generation;

    ck_assert(busy_mark(&b, 0, key));
    ck_assert(!busy_meets(&b, 0, &other, 1, &generation));
    ck_assert(!busy_release(&b, 0, &key, 1));
    ck_assert(busy_mark(&b, 0, key));
    ck_assert(busy_meets(&b, 0, &key, 1, &generation));
    ck_assert(!busy_wait(&b, generation, 1));
    ck_assert(busy_release(&b, 0, &key, 1));
    ck_assert(busy_wait(&b, generation, 60000)); /* a release between looking and waiting is not missed */
    ck_assert(busy_mark(&b, 0, key));
    ck_assert(!busy_release(&b, 0, &key, 1));
}
END_TEST

START_TEST(busy__holds_thousands_of_keys)
{
    enum { MANY = 3000 };
    uint64_t generation;

    for (unsigned i = 0; i < MANY; i++)
        ck_assert(busy_mark(&b, 0, slice_of(&i, sizeof i)));
    for (unsigned i = 0; i < 2 * MANY; i++) {
        struct slice key = slice_of(&i, sizeof i);

        ck_assert_int_eq(busy_meets(&b, 0, &key, 1, &generation), i < MANY);
    }
    for (unsigned i = 0; i < MANY; i++) {
        struct slice key = slice_of(&i, sizeof i);

        busy_release(&b, 0, &key, 1);
        ck_assert(!busy_meets(&b, 0, &key, 1, &generation));
    }
}
END_TEST

START_TEST(busy__a_marked_slot_is_met_by_all_its_keys)
{
    struct slice key = SLICE_LITERAL("{foo}a"), other = SLICE_LITERAL("bar");
    slot_t slots[] = {7, 12182}; /* of foo */
    uint64_t generation;

    busy_mark_slots(&b, slots, 2);
    ck_assert(busy_any(&b));
    ck_assert(!busy_meets(&b, 0, &other, 1, &generation));
    ck_assert(busy_meets(&b, 0, &key, 1, &generation));
    ck_assert(busy_mark(&b, 0, key));
    ck_assert(busy_release_slots(&b, slots, 2)); /* somebody had met it */
    ck_assert(busy_meets(&b, 0, &key, 1, &generation));
    ck_assert(busy_release(&b, 0, &key, 1));
    ck_assert(!busy_any(&b));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("busy");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, busy__a_marked_key_is_met_in_its_database_only);
    tcase_add_test(t, busy__a_key_is_marked_once);
    tcase_add_test(t, busy__a_release_tells_whether_somebody_waits);
    tcase_add_test(t, busy__holds_thousands_of_keys);
    tcase_add_test(t, busy__a_marked_slot_is_met_by_all_its_keys);
    return suite_run("busy", t);
}
