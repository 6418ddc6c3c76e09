/*
 * test_reaper.c - the rows of deleted collections go, all of them and no others.
 */
#include "tests/unit/engine/harness.h"
#include "tests/unit/suite.h"

#include "base/clock.h"
#include "base/hash.h"
#include "engine/key/row.h"
#include "engine/store/store.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum { MEMBERS = 3000, WAIT_MS = 60000, NAP_MS = 10 };

static struct harness *h;

static void setup(void)
{
    h = harness_open(64 << 20);
}

static void teardown(void)
{
    harness_close(h);
}

/* A collection of rows of its own; a sorted set has two a member. */
static void make(const char *key, enum obj_type type, unsigned from, unsigned to)
{
    struct txn *t = harness_begin(h, key, NULL);
    bool created = false;
    struct obj *o = NULL;

    ck_assert(txn_write_or_create(t, slice_str(key), type, &o, &created) == OK);
    if (created)
        ck_assert(txn_make_big(t, o) == OK);
    for (unsigned i = from; i < to; i++) {
        char name[16];

        snprintf(name, sizeof name, "m%06u", i);
        if (type == OBJ_ZSET)
            txn_member_put(t, o, slice_str(name), i, NULL);
        else
            txn_element_put(t, o, slice_str(name), slice_str("v"));
    }
    txn_changed(t, o);
    harness_end_as(h, "SOME WORDS");
}

static void delete(const char *key)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;

    ck_assert(txn_write(t, slice_str(key), OBJ_ANY, &o) == OK);
    txn_delete(t, o);
    harness_end(h);
}

/* Rows in the slot of a key, by kind. */
static unsigned rows(const char *key, enum row_kind kind)
{
    struct buf prefix = {0};
    struct cursor *c = NULL;
    unsigned count = 0;

    row_kind_start(&prefix, hash_slot(slice_str(key)), kind);
    ck_assert(cursor_open_prefix(h->store, store_family(h->store, 0), STORE_DISK, buf_slice(&prefix), &c) == OK);
    for (cursor_first(c); cursor_valid(c); cursor_next(c))
        count++;
    ck_assert(cursor_end(c) == OK);
    cursor_close(c);
    buf_free(&prefix);
    return count;
}

static void wait_gone(const char *key)
{
    for (int waited = 0; rows(key, ROW_GARBAGE) > 0 && waited < WAIT_MS; waited += NAP_MS)
        clock_nap_ms(NAP_MS);
    ck_assert_uint_eq(rows(key, ROW_GARBAGE), 0);
}

START_TEST(reaper__removes_every_row_of_what_was_deleted_and_no_other)
{
    make("{a}gone", OBJ_HASH, 0, MEMBERS);
    make("{a}scored", OBJ_ZSET, 0, MEMBERS);
    make("{a}stays", OBJ_ZSET, 0, 100);
    harness_cool(h);
    ck_assert_uint_eq(rows("{a}", ROW_ELEMENT), 2 * MEMBERS + 100);
    ck_assert_uint_eq(rows("{a}", ROW_SCORE), MEMBERS + 100);
    delete("{a}gone");
    delete("{a}scored");
    wait_gone("{a}");
    ck_assert_uint_eq(rows("{a}", ROW_ELEMENT), 100);
    ck_assert_uint_eq(rows("{a}", ROW_SCORE), 100);
}
END_TEST

START_TEST(reaper__removes_what_is_deleted_while_it_is_at_something_else)
{
    for (unsigned i = 0; i < 8; i++) {
        char key[16];

        snprintf(key, sizeof key, "{b}%u", i);
        make(key, i % 2 != 0 ? OBJ_ZSET : OBJ_SET, 0, MEMBERS / 2);
        if (i % 3 != 0)
            harness_cool(h);
        make(key, i % 2 != 0 ? OBJ_ZSET : OBJ_SET, MEMBERS / 2, MEMBERS);
        delete(key);
    }
    wait_gone("{b}");
    harness_cool(h);
    ck_assert_uint_eq(rows("{b}", ROW_ELEMENT), 0);
    ck_assert_uint_eq(rows("{b}", ROW_SCORE), 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("reaper");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, reaper__removes_every_row_of_what_was_deleted_and_no_other);
    tcase_add_test(tests, reaper__removes_what_is_deleted_while_it_is_at_something_else);
    return suite_run("reaper", tests);
}
