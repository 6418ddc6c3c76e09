/*
 * test_range.c - keys of whole slots that come and go as ranges of rows.
 */
#include "tests/unit/engine/harness.h"
#include "tests/unit/suite.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/words.h"
#include "engine/key/record.h"
#include "engine/key/row.h"
#include "engine/set/range.h"
#include "engine/set/script.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUDGET = 16 << 20 };

static bool never(void *context)
{
    (void)context;
    return false;
}

static bool always(void *context)
{
    (void)context;
    return true;
}

static void set_value(struct harness *h, const char *key, const char *value, msec_t expire_ms)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;

    ck_assert(txn_write_or_create(t, slice_str(key), OBJ_STRING, &o, NULL) == OK);
    obj_value_set(o, slice_str(value));
    txn_changed(t, o);
    if (expire_ms != 0)
        txn_expire(t, o, expire_ms);
    TXN_EFFECT(t, o, SLICE_LITERAL("SET"), slice_str(key), slice_str(value));
    harness_end(h);
}

static void add_members(struct harness *h, const char *key, int count)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;
    char text[32];

    ck_assert(txn_write_or_create(t, slice_str(key), OBJ_SET, &o, NULL) == OK);
    ck_assert(txn_make_big(t, o) == OK);
    for (int i = 0; i < count; i++) {
        snprintf(text, sizeof text, "m%d", i);
        txn_element_put(t, o, slice_str(text), (struct slice){0});
        o->count++;
    }
    txn_changed(t, o);
    TXN_EFFECT(t, o, SLICE_LITERAL("SADD"), slice_str(key), SLICE_LITERAL("m0"));
    harness_end(h);
}

static bool has(struct harness *h, const char *key)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;
    enum err e = txn_read(t, slice_str(key), OBJ_ANY, &o);

    harness_end(h);
    ck_assert(e == OK || e == ERR_NOT_FOUND);
    return e == OK;
}

static uint64_t drop(struct harness *h, slot_t first, slot_t last)
{
    uint64_t keys = 0, sum = 0;
    unsigned next = first;
    lsn_t end = 0;

    while (next <= last) {
        ck_assert(range_drop(h->set, 0, (slot_t)next, last, &next, &keys, &end, never, NULL) == OK);
        sum += keys;
    }
    return sum;
}

START_TEST(range__drop_takes_every_key_of_the_slots_and_no_other)
{
    struct harness *h = harness_open(BUDGET);
    slot_t slot = hash_slot(slice_str("{a}"));

    set_value(h, "{a}stored", "1", 0);
    set_value(h, "{a}expires", "2", h->now_ms + 100000);
    add_members(h, "{a}set", 1000);
    set_value(h, "{b}other", "3", 0);
    harness_cool(h); /* all in the store, nothing in memory */
    set_value(h, "{a}memory", "4", h->now_ms + 100000);
    set_value(h, "{a}stored", "5", 0);
    ck_assert_uint_eq(set_slot_keys(h->set, 0, slot), 4);
    harness_text_clear(h);

    ck_assert_uint_eq(drop(h, slot, slot), 4);

    ck_assert_uint_eq(set_slot_keys(h->set, 0, slot), 0);
    ck_assert_uint_eq(set_keys(h->set, 0), 1);
    ck_assert_uint_eq(set_expires(h->set, 0), 0);
    ck_assert(strncmp(harness_text(h), "MULTI|DEL {a}", 13) == 0);
    ck_assert(!has(h, "{a}stored") && !has(h, "{a}expires") && !has(h, "{a}set") && !has(h, "{a}memory"));
    harness_cool(h);
    ck_assert(!has(h, "{a}stored") && !has(h, "{a}expires") && !has(h, "{a}set") && !has(h, "{a}memory"));
    ck_assert(has(h, "{b}other"));
    harness_close(h);
}
END_TEST

START_TEST(range__a_key_that_comes_after_the_drop_stays)
{
    struct harness *h = harness_open(BUDGET);
    slot_t slot = hash_slot(slice_str("{a}"));
    uint64_t freed;

    set_value(h, "{a}k", "1", 0);
    harness_cool(h);
    ck_assert_uint_eq(drop(h, slot, slot), 1);
    set_value(h, "{a}k", "2", 0);
    ck_assert(range_compact(h->set, 0, slot, slot, &freed) == OK);
    harness_cool(h);
    ck_assert(has(h, "{a}k"));
    ck_assert_uint_eq(set_keys(h->set, 0), 1);
    harness_close(h);
}
END_TEST

START_TEST(range__drop_goes_through_many_slots_in_pieces_and_one_key_is_no_transaction)
{
    struct harness *h = harness_open(BUDGET);
    slot_t slot = hash_slot(slice_str("one"));
    char key[32];

    set_value(h, "one", "1", 0);
    harness_text_clear(h);
    ck_assert_uint_eq(drop(h, slot, slot), 1);
    ck_assert_str_eq(harness_text(h), "DEL one|");
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "key%d", i);
        set_value(h, key, "value", 0);
    }
    ck_assert_uint_eq(drop(h, 0, SLOTS - 1), 2000);
    ck_assert_uint_eq(set_keys(h->set, 0), 0);
    ck_assert_uint_eq(drop(h, 0, SLOTS - 1), 0);
    harness_close(h);
}
END_TEST

START_TEST(range__drop_that_is_forbidden_changes_nothing)
{
    struct harness *h = harness_open(BUDGET);
    slot_t slot = hash_slot(slice_str("{a}"));
    uint64_t keys = 0;
    unsigned next = 0;
    lsn_t end = 0;

    set_value(h, "{a}k", "1", 0);
    ck_assert(range_drop(h->set, 0, slot, slot, &next, &keys, &end, always, NULL) == ERR_INVALID);
    ck_assert(end == 0 && has(h, "{a}k"));
    harness_close(h);
}
END_TEST

/* ---- Keys that come ---- */

/* Rows come in the store's order: one key is always right. */
static enum err come(struct landing *l, const char *key, const char *value, msec_t expire_ms)
{
    struct script *words = landing_words(l);
    struct record r = {.type = OBJ_STRING, .form = OBJ_PLAIN, .last_change = 12345, .expire_ms = expire_ms, .value = slice_str(value)};
    slot_t slot = hash_slot(slice_str(key));
    struct buf row = {0}, record = {0};
    size_t at = script_key(words, slot);
    enum err e;

    WORDS_STR(&words->text, "SET", key, value);
    at = script_effect(words, at, 1, 0);
    if (expire_ms != 0) {
        WORDS_STR(&words->text, "PEXPIREAT", key, "9");
        (void)script_effect(words, at, 0, 1);
    }
    row_key(&row, slot, hash_name(slice_str(key)), slice_str(key));
    record_encode(&record, &r);
    e = landing_add(l, slot, buf_slice(&row), buf_slice(&record), expire_ms);
    buf_free(&row);
    buf_free(&record);
    return e;
}

static bool holds(struct harness *h, const char *key, const char *value, lsn_t *last_change)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;
    bool same = txn_read(t, slice_str(key), OBJ_STRING, &o) == OK && slice_equal(obj_value(o), slice_str(value));

    if (same && last_change != NULL)
        *last_change = o->last_change;
    harness_end(h);
    return same;
}

START_TEST(range__rows_that_land_are_read_counted_and_stand_at_their_frames_end)
{
    struct harness *h = harness_open(BUDGET);
    struct landing *l = landing_new(0);
    slot_t slot = hash_slot(slice_str("one"));
    lsn_t end = 0, at = 0;

    set_value(h, "other", "x", 0);
    harness_text_clear(h);
    ck_assert(come(l, "one", "1", h->now_ms + 1000) == OK);
    ck_assert(range_land(h->set, l, &end, never, NULL) == OK);
    ck_assert_str_eq(harness_text(h), "MULTI|SET one 1|PEXPIREAT one 9|EXEC|");
    ck_assert_uint_ge(harness_synced(h), end);
    ck_assert_uint_eq(set_slot_keys(h->set, 0, slot), 1);
    ck_assert_uint_eq(set_keys(h->set, 0), 2);
    ck_assert_uint_eq(set_expires(h->set, 0), 1);
    ck_assert(holds(h, "one", "1", &at) && at == end - 14); /* in front of EXEC */
    h->now_ms += 2000;
    ck_assert(!has(h, "one"));
    landing_free(l);
    harness_close(h);
}
END_TEST

START_TEST(range__rows_land_where_tombstones_of_their_keys_wait_for_a_drain)
{
    struct harness *h = harness_open(BUDGET);
    struct landing *l = landing_new(0);
    struct obj *o = NULL;
    lsn_t end = 0;

    set_value(h, "one", "old", 0);
    harness_cool(h);
    ck_assert(txn_write(harness_begin(h, "one", NULL), slice_str("one"), OBJ_ANY, &o) == OK);
    txn_delete(h->txn, o);
    harness_end(h);
    ck_assert(come(l, "one", "new", 0) == OK);
    ck_assert(range_land(h->set, l, &end, never, NULL) == OK);
    harness_cool(h);
    ck_assert(holds(h, "one", "new", NULL));
    landing_free(l);
    harness_close(h);
}
END_TEST

START_TEST(range__rows_of_keys_that_are_here_or_may_not_come_change_nothing)
{
    struct harness *h = harness_open(BUDGET);
    struct landing *l = landing_new(0);
    lsn_t end = 0;

    set_value(h, "one", "mine", 0);
    harness_text_clear(h);
    ck_assert(come(l, "one", "1", 0) == OK);
    ck_assert(range_land(h->set, l, &end, never, NULL) == ERR_EXISTS);
    landing_clear(l);
    ck_assert(come(l, "two", "2", 0) == OK);
    ck_assert(range_land(h->set, l, &end, always, NULL) == ERR_INVALID);
    ck_assert_str_eq(harness_text(h), "");
    ck_assert(end == 0 && holds(h, "one", "mine", NULL) && !has(h, "two"));
    ck_assert_uint_eq(set_keys(h->set, 0), 1);
    ck_assert(come(l, "two", "2", 0) == ERR_CORRUPT); /* the same row again */
    landing_free(l);
    harness_close(h);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("range");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, range__drop_takes_every_key_of_the_slots_and_no_other);
    tcase_add_test(tests, range__a_key_that_comes_after_the_drop_stays);
    tcase_add_test(tests, range__drop_goes_through_many_slots_in_pieces_and_one_key_is_no_transaction);
    tcase_add_test(tests, range__drop_that_is_forbidden_changes_nothing);
    tcase_add_test(tests, range__rows_that_land_are_read_counted_and_stand_at_their_frames_end);
    tcase_add_test(tests, range__rows_land_where_tombstones_of_their_keys_wait_for_a_drain);
    tcase_add_test(tests, range__rows_of_keys_that_are_here_or_may_not_come_change_nothing);
    return suite_run("range", tests);
}
