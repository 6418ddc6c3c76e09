/*
 * test_follow.c - a working set that follows a primary: its bytes in the journal, what is added beside them, and a whole
 * copy that takes the place of the data.
 */
#include "tests/unit/engine/harness.h"
#include "tests/unit/suite.h"

#include "base/hash.h"
#include "engine/set/stage.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define REPLID "0123456789012345678901234567890123456789"

static struct harness *h;

static void setup(void)
{
    h = harness_open(64 << 20);
}

static void teardown(void)
{
    harness_close(h);
}

/* The primary's words for `SET key value` done here, as a transaction of its stream. */
static lsn_t follow_set(const char *key, const char *value, const char *stream, const char *own)
{
    const struct txn_options options = {.now_ms = h->now_ms, .may_wait = true, .follow = true};
    slot_t slot = hash_slot(slice_str(key));
    struct obj *o = NULL;
    lsn_t end = 0;

    ck_assert_int_eq(txn_begin(h->txn, &slot, 1, &options), OK);
    if (value != NULL) {
        ck_assert_int_eq(txn_write_or_create(h->txn, slice_str(key), OBJ_STRING, &o, NULL), OK);
        obj_value_set(o, slice_str(value));
        txn_changed(h->txn, o);
    }
    txn_command_end(h->txn, slice_str(own), NULL, 0);
    txn_follow(h->txn, slice_str(stream), 0);
    ck_assert_int_eq(txn_commit(h->txn, &end), OK);
    txn_end(h->txn);
    return end;
}

static bool is(const char *key, const char *value)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;
    enum err e = txn_read(t, slice_str(key), OBJ_STRING, &o);
    bool same = value == NULL ? e == ERR_NOT_FOUND : e == OK && slice_equal(obj_value(o), slice_str(value));

    harness_end(h);
    return same;
}

static void put(const char *key, const char *value)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;
    char words[256];

    ck_assert_int_eq(txn_write_or_create(t, slice_str(key), OBJ_STRING, &o, NULL), OK);
    obj_value_set(o, slice_str(value));
    txn_changed(t, o);
    snprintf(words, sizeof words, "SET %s %s", key, value);
    harness_end_as(h, words);
}

#define SET_A "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"
#define COPY_A "*3\r\n$4\r\nCOPY\r\n$1\r\nb\r\n$1\r\na\r\n"

START_TEST(follow__logs_an_effect_as_the_bytes_that_came)
{
    ck_assert_uint_eq(follow_set("a", "1", SET_A, SET_A), strlen(SET_A));
    ck_assert_str_eq(harness_text(h), "SET a 1|");
    ck_assert(is("a", "1"));
}
END_TEST

START_TEST(follow__adds_local_effects_that_count_in_no_position)
{
    ck_assert_uint_eq(follow_set("a", "1", COPY_A, SET_A), strlen(COPY_A));
    ck_assert_str_eq(harness_text(h), "COPY b a|SET a 1|");
    ck_assert_uint_eq(follow_set("a", "2", SET_A, SET_A), strlen(COPY_A) + strlen(SET_A));
}
END_TEST

START_TEST(follow__counts_the_bytes_of_what_changes_nothing)
{
    ck_assert_uint_eq(follow_set("a", NULL, COPY_A, ""), strlen(COPY_A));
    ck_assert_str_eq(harness_text(h), "COPY b a|");
}
END_TEST

START_TEST(follow__counts_a_slots_changes_once_in_a_frame_of_local_effects)
{
    const struct txn_options options = {.now_ms = h->now_ms, .may_wait = true, .follow = true};
    slot_t slot = hash_slot(SLICE_LITERAL("a"));
    struct obj *o = NULL;
    lsn_t end = 0;
    int keys = 0;

    ck_assert_int_eq(txn_begin(h->txn, &slot, 1, &options), OK);
    for (int i = 0; i < 3; i++) { /* there, gone, there, gone, there: all at one position */
        ck_assert_int_eq(txn_write_or_create(h->txn, SLICE_LITERAL("a"), OBJ_STRING, &o, NULL), OK);
        obj_value_set(o, SLICE_LITERAL("1"));
        txn_changed(h->txn, o);
        txn_command_end(h->txn, SLICE_LITERAL(SET_A), NULL, 0);
        if (i == 2)
            break;
        ck_assert_int_eq(txn_write_or_create(h->txn, SLICE_LITERAL("a"), OBJ_STRING, &o, NULL), OK);
        txn_delete(h->txn, o);
        txn_command_end(h->txn, (struct slice){0}, NULL, 0);
    }
    txn_follow(h->txn, SLICE_LITERAL(COPY_A), 0);
    ck_assert_int_eq(txn_commit(h->txn, &end), OK);
    txn_end(h->txn);
    ck_assert_uint_eq(set_keys(h->set, 0), 1);
    ck_assert_uint_eq(harness_deltas(h, &keys), 1); /* replay applies what lies beyond the count row: once a position */
    ck_assert_int_eq(keys, 1);
}
END_TEST

START_TEST(follow__hides_expired_keys_and_keeps_them)
{
    struct txn *t = harness_begin(h, "a", NULL);
    struct obj *o = txn_create(t, SLICE_LITERAL("a"), OBJ_STRING);

    txn_changed(t, o);
    txn_expire(t, o, h->now_ms + 10);
    harness_end_as(h, "SET a x PXAT 1");
    harness_text_clear(h);
    set_follow(h->set, true);
    h->now_ms += 100;
    ck_assert(is("a", NULL));
    ck_assert_str_eq(harness_text(h), "");
    ck_assert_uint_eq(set_keys(h->set, 0), 1);
    follow_set("a", "1", SET_A, SET_A); /* the primary still had it, and so has its stream */
    set_follow(h->set, false);
}
END_TEST

static void stage_put(const char *key, const char *value)
{
    const struct txn_options options = {.now_ms = h->now_ms, .db = set_stage_first(h->set), .may_wait = true, .replay = true};
    slot_t slot = hash_slot(slice_str(key));
    struct obj *o = NULL;
    lsn_t end;

    ck_assert_int_eq(txn_begin(h->txn, &slot, 1, &options), OK);
    txn_replay_at(h->txn, 1);
    ck_assert_int_eq(txn_write_or_create(h->txn, slice_str(key), OBJ_STRING, &o, NULL), OK);
    obj_value_set(o, slice_str(value));
    txn_changed(h->txn, o);
    txn_command_end(h->txn, (struct slice){0}, NULL, 0);
    ck_assert_int_eq(txn_commit(h->txn, &end), OK);
    txn_end(h->txn);
    set_replay_count(h->set, set_stage_first(h->set), slot, 1, 1, 0);
}

static enum err reset(void *context)
{
    char id[STAGE_ID_BYTES + 1];
    bool pending = false;
    lsn_t lsn = 0;

    ck_assert_int_eq(set_stage_pending(h->store, &pending, id, &lsn), OK);
    ck_assert(pending); /* what a start would complete, should the process end here */
    ck_assert_str_eq(id, REPLID);
    ck_assert_uint_eq(lsn, 500);
    *(bool *)context = true;
    return OK;
}

START_TEST(stage__is_not_seen_before_it_takes_the_place_of_the_data)
{
    bool called = false, pending = true;
    char id[STAGE_ID_BYTES + 1];
    lsn_t lsn;

    put("old", "1");
    put("both", "old");
    ck_assert_int_eq(set_stage_clear(h->set), OK);
    stage_put("new", "2");
    stage_put("both", "new");
    ck_assert(is("old", "1") && is("both", "old") && is("new", NULL));
    ck_assert_uint_eq(set_keys(h->set, 0), 2);
    ck_assert_int_eq(set_stage_commit(h->set, REPLID, 500, reset, &called), OK);
    ck_assert(called);
    ck_assert(is("old", NULL) && is("both", "new") && is("new", "2"));
    ck_assert_uint_eq(set_keys(h->set, 0), 2);
    ck_assert_uint_eq(set_keys(h->set, set_stage_first(h->set)), 0);
    ck_assert_int_eq(set_stage_pending(h->store, &pending, id, &lsn), OK);
    ck_assert(!pending);
    harness_cool(h);
    ck_assert(is("old", NULL) && is("both", "new") && is("new", "2"));
}
END_TEST

START_TEST(stage__can_be_emptied_and_filled_again)
{
    bool called = false;

    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(set_stage_clear(h->set), OK);
        stage_put("half", "a copy");
        ck_assert_int_eq(set_drain(h->set), OK);
        ck_assert_int_eq(set_stage_clear(h->set), OK);
        stage_put("whole", "a copy");
        ck_assert_int_eq(set_stage_commit(h->set, REPLID, 500, reset, &called), OK);
        ck_assert(is("half", NULL) && is("whole", "a copy"));
        ck_assert_uint_eq(set_keys(h->set, 0), 1);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, follow__logs_an_effect_as_the_bytes_that_came);
    tcase_add_test(tests, follow__adds_local_effects_that_count_in_no_position);
    tcase_add_test(tests, follow__counts_the_bytes_of_what_changes_nothing);
    tcase_add_test(tests, follow__counts_a_slots_changes_once_in_a_frame_of_local_effects);
    tcase_add_test(tests, follow__hides_expired_keys_and_keeps_them);
    tcase_add_test(tests, stage__is_not_seen_before_it_takes_the_place_of_the_data);
    tcase_add_test(tests, stage__can_be_emptied_and_filled_again);
    return suite_run("follow", tests);
}
