/*
 * test_set.c - the working set: what is written is found again, in memory and in the store; counts are exact.
 */
#include "tests/unit/engine/harness.h"
#include "tests/unit/suite.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/num.h"
#include "base/rng.h"
#include "engine/key/record.h"
#include "engine/key/row.h"
#include "engine/store/store.h"

#include <check.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct harness *h;

static void setup(void)
{
    h = harness_open(64 << 20);
}

static void teardown(void)
{
    harness_close(h);
}

static void put(const char *key, const char *value)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;
    char words[256];

    ck_assert(txn_write_or_create(t, slice_str(key), OBJ_STRING, &o, NULL) == OK);
    obj_value_set(o, slice_str(value));
    txn_changed(t, o);
    snprintf(words, sizeof words, "SET %s %s", key, value);
    harness_end_as(h, words);
}

static void delete(const char *key)
{
    struct txn *t = harness_begin(h, key, NULL);
    struct obj *o = NULL;

    if (txn_write(t, slice_str(key), OBJ_ANY, &o) == OK)
        txn_delete(t, o);
    harness_end(h);
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

START_TEST(set__finds_what_was_written_in_memory_and_after_it_went_to_the_store)
{
    put("a", "1");
    put("b", "2");
    ck_assert(is("a", "1"));
    harness_cool(h);
    ck_assert(is("a", "1"));
    ck_assert(is("b", "2"));
    ck_assert(is("c", NULL));
    ck_assert_str_eq(harness_text(h), "SET a 1|SET b 2|");
}
END_TEST

START_TEST(set__deletes_are_seen_before_and_after_the_drain)
{
    put("a", "1");
    harness_cool(h);
    delete("a");
    ck_assert(is("a", NULL));
    ck_assert_uint_eq(set_keys(h->set, 0), 0);
    harness_cool(h);
    ck_assert(is("a", NULL));
    put("a", "2");
    ck_assert(is("a", "2"));
    ck_assert_uint_eq(set_keys(h->set, 0), 1);
}
END_TEST

START_TEST(set__an_expired_key_is_deleted_by_the_write_that_finds_it)
{
    struct txn *t;
    struct obj *o = NULL;

    put("a", "1");
    t = harness_begin(h, "a", NULL);
    ck_assert(txn_write(t, SLICE_LITERAL("a"), OBJ_ANY, &o) == OK);
    txn_expire(t, o, h->now_ms + 10);
    harness_end_as(h, "PEXPIREAT a 1");
    ck_assert_uint_eq(set_expires(h->set, 0), 1);
    h->now_ms += 11;
    harness_text_clear(h);
    put("a", "2");
    ck_assert_str_eq(harness_text(h), "MULTI|DEL a|SET a 2|EXEC|");
    ck_assert_uint_eq(set_keys(h->set, 0), 1);
    ck_assert_uint_eq(set_expires(h->set, 0), 0);
}
END_TEST

static void put_expiring(const char *key, msec_t in_ms)
{
    struct txn *t;
    struct obj *o = NULL;

    put(key, "1");
    t = harness_begin(h, key, NULL);
    ck_assert(txn_write(t, slice_str(key), OBJ_ANY, &o) == OK);
    txn_expire(t, o, h->now_ms + in_ms);
    harness_end_as(h, "PEXPIREAT");
    harness_text_clear(h);
}

START_TEST(set__an_expired_key_is_deleted_by_the_read_that_finds_it)
{
    put_expiring("a", 10);
    harness_cool(h);
    h->now_ms += 11;
    ck_assert(is("a", NULL));
    ck_assert_str_eq(harness_text(h), "DEL a|");
    ck_assert_uint_eq(set_keys(h->set, 0), 0);
    ck_assert_uint_eq(set_expires(h->set, 0), 0);
    harness_cool(h);
    ck_assert(is("a", NULL));
}
END_TEST

START_TEST(set__an_expired_key_is_hidden_but_left_by_a_transaction_that_keeps_them)
{
    const slot_t slot = hash_slot(SLICE_LITERAL("a"));
    struct txn_options options = {.may_wait = true, .keep_expired = true};
    struct obj *o = NULL;

    put_expiring("a", 10);
    options.now_ms = h->now_ms + 11;
    ck_assert_int_eq(txn_begin(h->txn, &slot, 1, &options), OK);
    ck_assert_int_eq(txn_read(h->txn, SLICE_LITERAL("a"), OBJ_ANY, &o), ERR_NOT_FOUND);
    ck_assert_int_eq(txn_peek(h->txn, SLICE_LITERAL("a"), &o), ERR_NOT_FOUND);
    ck_assert(!txn_has_changes(h->txn));
    txn_end(h->txn);
    ck_assert_uint_eq(set_keys(h->set, 0), 1);
}
END_TEST

START_TEST(set__a_cold_look_up_says_so_and_changes_nothing)
{
    struct txn *t;
    struct obj *o = NULL;
    enum err e;

    put("a", "1");
    harness_cool(h);
    h->may_wait = false;
    t = harness_begin(h, "a", NULL);
    e = txn_read(t, SLICE_LITERAL("a"), OBJ_ANY, &o);
    ck_assert(e == OK || e == ERR_COLD); /* the block may be cached by the drain's own reads */
    harness_abort(h);
    h->may_wait = true;
    ck_assert(is("a", "1"));
}
END_TEST

START_TEST(set__big_rows_are_read_in_the_transaction_that_writes_them)
{
    struct txn *t = harness_begin(h, "z", NULL);
    struct obj *o = txn_create(t, SLICE_LITERAL("z"), OBJ_ZSET);
    struct txn_cursor c;
    struct slice value;
    double last = -INFINITY;
    int n = 0;
    enum err e;

    ck_assert(txn_make_big(t, o) == OK);
    for (int i = 0; i < 500; i++) {
        char name[16];
        double score = (i * 37) % 101 - 50;

        snprintf(name, sizeof name, "m%d", i);
        txn_member_put(t, o, slice_str(name), score, NULL);
        o->count++;
    }
    txn_changed(t, o);
    ck_assert(txn_element_get(t, o, SLICE_LITERAL("m7"), &value) == OK);
    ck_assert_uint_eq(value.size, 8);
    ck_assert(txn_element_get(t, o, SLICE_LITERAL("nope"), &value) == ERR_NOT_FOUND);
    harness_end_as(h, "ZADD z ...");
    harness_cool(h);

    t = harness_begin(h, "z", NULL);
    ck_assert(txn_read(t, SLICE_LITERAL("z"), OBJ_ZSET, &o) == OK);
    ck_assert_uint_eq(o->count, 500);
    ck_assert(txn_scores(t, o, -INFINITY, (struct slice){0}, false, &c) == OK);
    while ((e = txn_cursor_next(&c)) == OK) {
        ck_assert(c.score >= last);
        last = c.score;
        n++;
    }
    txn_cursor_close(&c);
    ck_assert(e == ERR_NOT_FOUND);
    ck_assert_int_eq(n, 500);
    ck_assert(txn_scores(t, o, INFINITY, TXN_MEMBER_LAST, true, &c) == OK);
    ck_assert(txn_cursor_next(&c) == OK);
    ck_assert(c.score == 50);
    txn_cursor_close(&c);
    harness_end(h);
}
END_TEST

START_TEST(set__flush_empties_a_database_and_only_it)
{
    lsn_t end;

    put("a", "1");
    harness_cool(h);
    put("b", "1");
    h->db = 1;
    put("c", "1");
    h->db = 0;
    ck_assert(set_flush_db(h->set, 0, &end) == OK);
    ck_assert(is("a", NULL) && is("b", NULL));
    ck_assert_uint_eq(set_keys(h->set, 0), 0);
    ck_assert_uint_eq(set_keys(h->set, 1), 1);
    put("a", "3");
    harness_cool(h);
    ck_assert(is("a", "3") && is("b", NULL));
}
END_TEST

START_TEST(set__swap_exchanges_two_databases)
{
    lsn_t end;

    put("a", "zero");
    h->db = 1;
    put("a", "one");
    ck_assert(set_swap_db(h->set, 0, 1, &end) == OK);
    ck_assert(is("a", "zero"));
    h->db = 0;
    ck_assert(is("a", "one"));
    harness_cool(h);
    ck_assert(is("a", "one"));
}
END_TEST

START_TEST(set__a_database_is_made_only_when_the_log_before_it_is_durable)
{
    put("a", "1");
    ck_assert_uint_lt(harness_synced(h), h->end);
    h->db = 1;
    put("b", "1");
    /* Replay skips what a database was born after: those positions must not be given away a second time. */
    ck_assert_uint_ge(harness_synced(h), store_family_born(store_family(h->store, 1)));
    ck_assert_uint_gt(store_family_born(store_family(h->store, 1)), 0);
}
END_TEST

static void collect(void *context, const struct obj *o)
{
    int *seen = context;
    int64_t i = -1;

    ck_assert(num_parse_i64(slice_of(o->key + 1, o->key_size - 1), &i));
    seen[i]++;
}

START_TEST(set__scan_gives_every_key_once_wherever_it_is)
{
    static int seen[3000];
    uint64_t cursor = 0;
    char key[16];

    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put(key, "v");
        if (i == 1000)
            harness_cool(h);
    }
    for (int i = 500; i < 600; i++) { /* known to both; some gone */
        snprintf(key, sizeof key, "k%d", i);
        delete(key);
    }
    do {
        ck_assert(set_scan(h->set, 0, SLOTS, cursor, 10, h->now_ms, collect, seen, &cursor) == OK);
        ck_assert_uint_le(cursor, INT_MAX);
    } while (cursor != 0);
    for (int i = 0; i < 3000; i++)
        ck_assert_int_eq(seen[i], i < 500 || i >= 600);
    ck_assert_uint_eq(set_keys(h->set, 0), 2900);
}
END_TEST

static void collect_tagged(void *context, const struct obj *o)
{
    int *seen = context;
    int64_t i = -1;

    ck_assert(num_parse_i64(slice_of(o->key + 3, o->key_size - 3), &i));
    seen[i]++;
}

START_TEST(set__scan_does_not_part_keys_that_a_cursor_does_not_tell_apart)
{
    enum { KEYS = 20000 };
    static int seen[KEYS];
    uint64_t cursor = 0;
    char key[16];

    memset(seen, 0, sizeof seen);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "{t}%d", i);
        put(key, "v");
        if (i == KEYS / 2)
            harness_cool(h);
    }
    for (int round = 1; round <= 2; round++) {
        do
            ck_assert(set_scan(h->set, 0, SLOTS, cursor, 7, h->now_ms, collect_tagged, seen, &cursor) == OK);
        while (cursor != 0);
        for (int i = 0; i < KEYS; i++)
            ck_assert_int_eq(seen[i], round);
        harness_cool(h); /* then all of it from the store */
    }
}
END_TEST

START_TEST(set__hidden_slots_are_counted_and_walked_only_by_who_names_them)
{
    slot_t slot = hash_slot(SLICE_LITERAL("{t}"));
    static int seen[10];
    struct buf key = {0};
    uint64_t next;
    lsn_t end;

    memset(seen, 0, sizeof seen);
    put("{t}1", "v");
    put("k5", "v");
    set_hide(h->set, slot, true);
    set_hide(h->set, slot, true);
    put("{t}2", "v");
    put("{t}3", "v");
    delete("{t}1");
    ck_assert_uint_eq(set_keys(h->set, 0), 3);
    ck_assert_uint_eq(set_keys_shown(h->set, 0), 1);
    ck_assert_uint_eq(set_slot_keys(h->set, 0, slot), 2);
    ck_assert(set_scan(h->set, 0, SLOTS, 0, 100, h->now_ms, collect, seen, &next) == OK);
    ck_assert_uint_eq(next, 0);
    ck_assert_int_eq(seen[5], 1);
    ck_assert(set_scan(h->set, 0, slot, 0, 100, h->now_ms, collect_tagged, seen, &next) == OK);
    ck_assert_int_eq(seen[2], 1);
    ck_assert_int_eq(seen[3], 1);
    for (uint64_t random = 0; random < 50; random++) {
        ck_assert(set_random_key(h->set, 0, h->now_ms, random * 77777777777u, &key) == OK);
        ck_assert(slice_equal(buf_slice(&key), SLICE_LITERAL("k5")));
    }
    buf_free(&key);
    ck_assert(is("{t}2", "v"));
    set_hide(h->set, slot, false);
    ck_assert_uint_eq(set_keys_shown(h->set, 0), 3);
    set_hide(h->set, slot, true);
    ck_assert(set_flush_db(h->set, 0, &end) == OK);
    put("{t}4", "v");
    ck_assert_uint_eq(set_keys_shown(h->set, 0), 0);
    set_hide(h->set, slot, false);
    ck_assert_uint_eq(set_keys_shown(h->set, 0), 1);
}
END_TEST

START_TEST(set__random_operations_agree_with_a_model_under_a_tiny_budget)
{
    enum { KEYS = 300, STEPS = 6000 };
    static char model[KEYS][40];
    static bool there[KEYS];
    struct rng r;
    uint64_t seed = getenv("SEED") != NULL ? strtoull(getenv("SEED"), NULL, 10) : 7, count = 0;

    printf("SEED=%lu\n", (unsigned long)seed);
    rng_seed(&r, seed);
    set_budget(h->set, 8000);
    for (int step = 0; step < STEPS; step++) {
        int i = (int)rng_below(&r, KEYS);
        char key[16];

        snprintf(key, sizeof key, "k%d", i);
        switch (rng_below(&r, 8)) {
        case 0:
            delete(key);
            there[i] = false;
            break;
        case 1: case 2: case 3:
            snprintf(model[i], sizeof model[i], "value-%lu", (unsigned long)rng_next(&r));
            put(key, model[i]);
            there[i] = true;
            break;
        default:
            ck_assert_msg(is(key, there[i] ? model[i] : NULL), "step %d key %s", step, key);
        }
        if (rng_below(&r, 700) == 0)
            harness_cool(h);
    }
    for (int i = 0; i < KEYS; i++)
        count += there[i];
    ck_assert_uint_eq(set_keys(h->set, 0), count);
}
END_TEST

START_TEST(row__sortable_doubles_keep_their_order)
{
    double values[] = {-INFINITY, -1e300, -1.5, -1, -1e-300, 0, 1e-300, 1, 1.5, 1e300, INFINITY};

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        ck_assert(row_unsortable(row_sortable(values[i])) == values[i]);
        for (size_t k = 0; k < i; k++)
            ck_assert(row_sortable(values[k]) < row_sortable(values[i]));
    }
    ck_assert(row_sortable(-0.0) == row_sortable(0.0));
}
END_TEST

START_TEST(record__damaged_bytes_are_refused_and_whole_ones_come_back)
{
    struct record r = {.type = 4, .form = 1, .marks = 2, .last_change = 77, .expire_ms = 1234567, .count = 300,
                       .value = SLICE_LITERAL("value")}, back;
    struct buf b = {0};

    record_encode(&b, &r);
    ck_assert(record_decode(buf_slice(&b), &back) == OK);
    ck_assert(back.type == 4 && back.form == 1 && back.marks == 2 && back.last_change == 77);
    ck_assert(back.expire_ms == 1234567 && back.count == 300 && slice_equal(back.value, r.value));
    for (size_t n = 0; n < b.size - r.value.size; n++)
        ck_assert(record_decode(slice_of(b.data, n), &back) == ERR_CORRUPT);
    buf_free(&b);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("set");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, set__finds_what_was_written_in_memory_and_after_it_went_to_the_store);
    tcase_add_test(tc, set__deletes_are_seen_before_and_after_the_drain);
    tcase_add_test(tc, set__an_expired_key_is_deleted_by_the_write_that_finds_it);
    tcase_add_test(tc, set__an_expired_key_is_deleted_by_the_read_that_finds_it);
    tcase_add_test(tc, set__an_expired_key_is_hidden_but_left_by_a_transaction_that_keeps_them);
    tcase_add_test(tc, set__a_cold_look_up_says_so_and_changes_nothing);
    tcase_add_test(tc, set__big_rows_are_read_in_the_transaction_that_writes_them);
    tcase_add_test(tc, set__flush_empties_a_database_and_only_it);
    tcase_add_test(tc, set__swap_exchanges_two_databases);
    tcase_add_test(tc, set__a_database_is_made_only_when_the_log_before_it_is_durable);
    tcase_add_test(tc, set__scan_gives_every_key_once_wherever_it_is);
    tcase_add_test(tc, set__scan_does_not_part_keys_that_a_cursor_does_not_tell_apart);
    tcase_add_test(tc, set__hidden_slots_are_counted_and_walked_only_by_who_names_them);
    tcase_add_test(tc, set__random_operations_agree_with_a_model_under_a_tiny_budget);
    tcase_add_test(tc, row__sortable_doubles_keep_their_order);
    tcase_add_test(tc, record__damaged_bytes_are_refused_and_whole_ones_come_back);
    return suite_run("set", tc);
}
