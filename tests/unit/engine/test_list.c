/*
 * test_list.c - lists: when they change their form, what their commands log and reply.
 */
#include "tests/unit/engine/runner.h"
#include "tests/unit/suite.h"

#include "engine/type/list_big.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct harness *h;

static void setup(void)
{
    h = harness_open(64 << 20);
}

static void teardown(void)
{
    harness_close(h);
}

/* The form of key "k": 'p' packed, 'b' big, '-' absent. */
static char form(void)
{
    struct txn *t = harness_begin(h, "k", NULL);
    struct obj *o = NULL;
    enum err e = txn_read(t, SLICE_LITERAL("k"), OBJ_LIST, &o);
    char c = e != OK ? '-' : o->form == OBJ_PACKED ? 'p' : 'b';

    harness_end(h);
    return c;
}

static const char *encoding(void)
{
    struct txn *t = harness_begin(h, "k", NULL);
    struct obj *o = NULL;
    enum err e = txn_read(t, SLICE_LITERAL("k"), OBJ_LIST, &o);
    const char *name = e == OK ? list_encoding(o) : "none";

    harness_end(h);
    return name;
}

/* RPUSH k 0 1 2 ... n-1, one command each. */
static void push_numbers(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char line[32];

        snprintf(line, sizeof line, "RPUSH k %u", i);
        (void)run(h, line);
    }
}

/* ---- Forms ---- */

START_TEST(list__becomes_big_beyond_the_packed_number_of_elements)
{
    char reply[64];

    push_numbers(OBJ_PACKED_ENTRIES_MAX);
    ck_assert_int_eq(form(), 'p');
    snprintf(reply, sizeof reply, ":%d", OBJ_PACKED_ENTRIES_MAX + 1);
    ck_assert_str_eq(run(h, "RPUSH k x"), reply);
    ck_assert_int_eq(form(), 'b');
    snprintf(reply, sizeof reply, "*2 $3 %d $1 x", OBJ_PACKED_ENTRIES_MAX - 1);
    ck_assert_str_eq(run(h, "LRANGE k -2 -1"), reply);
    ck_assert_str_eq(run(h, "LRANGE k 0 1"), "*2 $1 0 $1 1");
}
END_TEST

START_TEST(list__becomes_big_beyond_the_packed_number_of_bytes)
{
    char line[1100] = "LPUSH k ";

    memset(line + 8, 'x', 1000);
    for (size_t bytes = packed_entry_bytes(1000); bytes <= OBJ_PACKED_BYTES_MAX; bytes += packed_entry_bytes(1000)) {
        (void)run(h, line);
        ck_assert_int_eq(form(), 'p');
    }
    (void)run(h, line);
    ck_assert_int_eq(form(), 'b');
}
END_TEST

START_TEST(list__becomes_big_when_an_element_is_replaced_by_a_long_one)
{
    static char line[OBJ_PACKED_BYTES_MAX + 100] = "LSET k 1 ";

    (void)run(h, "RPUSH k a b c");
    memset(line + 9, 'x', OBJ_PACKED_BYTES_MAX);
    ck_assert_str_eq(run(h, line), "+OK");
    ck_assert_int_eq(form(), 'b');
    ck_assert_str_eq(run(h, "LINDEX k 0"), "$1 a");
    ck_assert_str_eq(run(h, "LINDEX k 2"), "$1 c");
}
END_TEST

START_TEST(list__trimmed_to_less_than_half_is_built_anew_and_keeps_its_expiry)
{
    push_numbers(OBJ_PACKED_ENTRIES_MAX + 200);
    (void)run(h, "PEXPIREAT k 1800000000000");
    harness_text_clear(h);
    ck_assert_str_eq(run(h, "LTRIM k 10 12"), "+OK");
    ck_assert_str_eq(harness_text(h), "LTRIM k 10 12|");
    ck_assert_int_eq(form(), 'p');
    ck_assert_str_eq(run(h, "LRANGE k 0 -1"), "*3 $2 10 $2 11 $2 12");
    h->now_ms = 1800000000000;
    ck_assert_str_eq(run(h, "LLEN k"), ":0");
}
END_TEST

START_TEST(list__encoding_follows_the_bytes_that_a_listpack_would_need)
{
    char line[5000] = "RPUSH k ";

    (void)run(h, "RPUSH k a");
    ck_assert_str_eq(encoding(), "listpack");
    memset(line + 8, 'x', 4000);
    (void)run(h, line);
    (void)run(h, line);
    ck_assert_str_eq(encoding(), "listpack"); /* 8016 bytes and a bit */
    (void)run(h, line);
    ck_assert_str_eq(encoding(), "quicklist");
    (void)run(h, "RPOP k");
    ck_assert_str_eq(encoding(), "quicklist"); /* only at half of it */
    (void)run(h, "RPOP k");
    ck_assert_str_eq(encoding(), "listpack");
}
END_TEST

static void expect_number(const char *line, int number)
{
    char digits[32], reply[64];
    int n = snprintf(digits, sizeof digits, "%d", number);

    snprintf(reply, sizeof reply, "$%d %s", n, digits);
    ck_assert_str_eq(run(h, line), reply);
}

/* The element that goes in at one end comes out at the other LENGTH steps later. */
START_TEST(list__serves_as_a_queue_in_both_directions_when_big)
{
    enum { LENGTH = OBJ_PACKED_ENTRIES_MAX + 72, STEPS = 3 * LENGTH };
    char line[64];

    push_numbers(LENGTH);
    for (int i = 0; i < STEPS; i++) {
        snprintf(line, sizeof line, "RPUSH k %d", LENGTH + i);
        (void)run(h, line);
        expect_number("LPOP k", i);
    }
    for (int i = STEPS; i-- > 0;) { /* and back */
        snprintf(line, sizeof line, "LPUSH k %d", i);
        (void)run(h, line);
        expect_number("RPOP k", LENGTH + i);
    }
    expect_number("LINDEX k 100", 100);
    ck_assert_int_eq(form(), 'b');
}
END_TEST

/* ---- Effects ---- */

START_TEST(list__logs_one_effect_per_key)
{
    (void)run(h, "RPUSH a 1 2 3");
    (void)run(h, "LPUSH b x");
    harness_text_clear(h);
    ck_assert_str_eq(run(h, "LMOVE a b LEFT RIGHT"), "$1 1");
    ck_assert_str_eq(harness_text(h), "MULTI|LPOP a|RPUSH b 1|EXEC|");
    harness_text_clear(h);
    ck_assert_str_eq(run(h, "RPOPLPUSH a b"), "$1 3");
    ck_assert_str_eq(harness_text(h), "MULTI|RPOP a|LPUSH b 3|EXEC|");
    harness_text_clear(h);
    ck_assert_str_eq(run(h, "RPOPLPUSH a new"), "$1 2");
    ck_assert_str_eq(harness_text(h), "MULTI|DEL a|LPUSH new 2|EXEC|");
    harness_text_clear(h);
    ck_assert_str_eq(run(h, "RPOPLPUSH b b"), "$1 1");
    ck_assert_str_eq(harness_text(h), "LMOVE b b RIGHT LEFT|");
    harness_text_clear(h);
    ck_assert_str_eq(run(h, "LMPOP 2 none b RIGHT COUNT 2"), "*2 $1 b *2 $1 x $1 3");
    ck_assert_str_eq(harness_text(h), "RPOP b 2|");
    harness_text_clear(h);
    ck_assert_str_eq(run(h, "LMPOP 1 b LEFT COUNT 9"), "*2 $1 b *1 $1 1");
    ck_assert_str_eq(harness_text(h), "DEL b|");
    harness_text_clear(h);
    ck_assert_str_eq(run(h, "LMOVE new new LEFT RIGHT"), "$1 2");
    ck_assert_str_eq(harness_text(h), "LMOVE new new LEFT RIGHT|");
}
END_TEST

START_TEST(list__that_loses_its_last_element_is_deleted)
{
    static const char *const last[] = {"LPOP k", "RPOP k 5", "LREM k 0 a", "LTRIM k 1 0", "LTRIM k 5 9",
                                       "RPOPLPUSH k other"};

    for (size_t i = 0; i < sizeof last / sizeof *last; i++) {
        (void)run(h, "RPUSH k a");
        harness_text_clear(h);
        (void)run(h, last[i]);
        ck_assert_int_eq(form(), '-');
        ck_assert(strstr(harness_text(h), "DEL k|") != NULL);
    }
}
END_TEST

START_TEST(list__commands_that_change_nothing_log_nothing)
{
    static const char *const lines[] = {"LPUSHX none a",   "RPUSHX none a",     "LPOP none",         "LREM k 0 zz",
                                        "LPOP k 0",        "LINSERT k AFTER zz a", "LMOVE none k LEFT LEFT",
                                        "LMPOP 1 none LEFT", "LTRIM none 0 1",  "LSET k 9 x",        "LRANGE k 0 -1"};

    (void)run(h, "RPUSH k a b");
    harness_text_clear(h);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        (void)run(h, lines[i]);
    ck_assert_str_eq(harness_text(h), "");
}
END_TEST

START_TEST(list__stored_whole_replaces_whatever_was_there)
{
    struct slice elements[600];
    struct txn *t;

    for (size_t i = 0; i < 600; i++)
        elements[i] = SLICE_LITERAL("e");
    (void)run(h, "SET k old");
    harness_text_clear(h);
    t = harness_begin(h, "k", NULL);
    ck_assert(list_store_all(t, SLICE_LITERAL("k"), elements, 2) == OK);
    harness_end(h);
    ck_assert_str_eq(harness_text(h), "MULTI|DEL k|RPUSH k e e|EXEC|");
    t = harness_begin(h, "k", NULL);
    ck_assert(list_store_all(t, SLICE_LITERAL("k"), elements, 600) == OK);
    harness_end(h);
    ck_assert_str_eq(run(h, "LLEN k"), ":600");
    harness_text_clear(h);
    t = harness_begin(h, "k", NULL);
    ck_assert(list_store_all(t, SLICE_LITERAL("k"), elements, 0) == OK);
    harness_end(h);
    ck_assert_str_eq(harness_text(h), "DEL k|");
    ck_assert_int_eq(form(), '-');
}
END_TEST

/* ---- Replies ---- */

START_TEST(list__commands_reply_as_redis_does)
{
    static const struct {
        const char *line, *reply;
    } rows[] = {
        {"LPUSH l c b a", ":3"},
        {"LRANGE l 0 -1", "*3 $1 a $1 b $1 c"},
        {"LRANGE l -100 100", "*3 $1 a $1 b $1 c"},
        {"LRANGE l 2 1", "*0"},
        {"LRANGE none 0 -1", "*0"},
        {"LRANGE none x 1", "-ERR value is not an integer or out of range"},
        {"LPOP l x", "-ERR value is out of range, must be positive"},
        {"LPOP l -1", "-ERR value is out of range, must be positive"},
        {"LPOP l 0", "*0"},
        {"LPOP l 1 1", "-ERR wrong number of arguments for 'lpop' command"},
        {"LPOP none", "$-1"},
        {"LPOP none 1", "*-1"},
        {"LINDEX l -1", "$1 c"},
        {"LINDEX l 3", "$-1"},
        {"LINDEX l x", "-ERR value is not an integer or out of range"},
        {"LINDEX none x", "$-1"},
        {"LSET l 3 x", "-ERR index out of range"},
        {"LSET l -4 x", "-ERR index out of range"},
        {"LSET none x x", "-ERR no such key"},
        {"LINSERT l before b x", ":4"},
        {"LINSERT l sideways b x", "-ERR syntax error"},
        {"LINSERT l AFTER zz x", ":-1"},
        {"LINSERT none AFTER a x", ":0"},
        {"LRANGE l 0 -1", "*4 $1 a $1 x $1 b $1 c"},
        {"RPUSH l x", ":5"},
        {"LPOS l x", ":1"},
        {"LPOS l x RANK -1", ":4"},
        {"LPOS l x RANK 2", ":4"},
        {"LPOS l x RANK 3", "$-1"},
        {"LPOS l x COUNT 0", "*2 :1 :4"},
        {"LPOS l x COUNT 0 MAXLEN 2", "*1 :1"},
        {"LPOS l x COUNT 0 RANK -1", "*2 :4 :1"},
        {"LPOS none x", "$-1"},
        {"LPOS none x COUNT 1", "*0"},
        {"LPOS l x RANK 0", "-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or "
                            "use negative to start from the end of the list"},
        {"LPOS l x RANK -9223372036854775808", "-ERR value is out of range, value must between -9223372036854775807 "
                                               "and 9223372036854775807"},
        {"LPOS l x COUNT -1", "-ERR COUNT can't be negative"},
        {"LPOS l x MAXLEN -1", "-ERR MAXLEN can't be negative"},
        {"LPOS l x FOO 1", "-ERR syntax error"},
        {"LREM l -1 x", ":1"},
        {"LRANGE l 0 -1", "*4 $1 a $1 x $1 b $1 c"},
        {"LTRIM l 1 -2", "+OK"},
        {"LRANGE l 0 -1", "*2 $1 x $1 b"},
        {"LMPOP 0 l LEFT", "-ERR numkeys should be greater than 0"},
        {"LMPOP 2 l LEFT", "-ERR syntax error"},
        {"LMPOP 1 l UP", "-ERR syntax error"},
        {"LMPOP 1 l LEFT COUNT 0", "-ERR count should be greater than 0"},
        {"LMPOP 1 none LEFT", "*-1"},
        {"LMOVE l l LEFT UP", "-ERR syntax error"},
        {"LMOVE none l LEFT LEFT", "$-1"},
        {"SET s v", "+OK"},
        {"LPUSH s a", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"LMOVE l s LEFT LEFT", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"LMPOP 2 none s LEFT", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"LLEN l", ":2"},
        {"LLEN none", ":0"},
        {"RPUSH l \"\"", ":3"},
        {"LINDEX l 2", "$0 "},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_str_eq(run(h, rows[i].line), rows[i].reply);
}
END_TEST

/* ---- Cold ---- */

START_TEST(list__cold_big_lists_answer_cold_before_anything_is_changed)
{
    static const char *const lines[] = {"LPOP k 100",     "RPOP k 100",    "LINDEX k 150",          "LRANGE k 0 -1",
                                        "LSET k 100 x",   "LREM k 1 none", "LINSERT k AFTER none x", "LTRIM k 100 -100",
                                        "LTRIM k 0 150"};
    char line[400];

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        bool cold = false;

        /* RocksDB publishes a new file a moment after it says that the flush is done: how long, depends on the machine. */
        for (useconds_t moment = 20000; !cold && moment < 6000000; moment *= 4) {
            unsigned before = run_colds();

            for (int n = 0; n < 300; n++) { /* many blocks: the set's own threads warm those at the ends */
                snprintf(line, sizeof line, "RPUSH k %0300d", n);
                (void)run(h, line);
            }
            harness_cool(h);
            usleep(moment);
            h->may_wait = false;
            ck_assert_str_ne(run(h, lines[i]), "*-1");
            cold = run_colds() > before; /* nothing was written: the runner checks */
            harness_close(h);            /* in a store of its own, or the reaper warms the cache for the next one */
            h = harness_open(64 << 20);
        }
        ck_assert_msg(cold, "%s was not cold", lines[i]);
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("list");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, list__becomes_big_beyond_the_packed_number_of_elements);
    tcase_add_test(tc, list__becomes_big_beyond_the_packed_number_of_bytes);
    tcase_add_test(tc, list__becomes_big_when_an_element_is_replaced_by_a_long_one);
    tcase_add_test(tc, list__trimmed_to_less_than_half_is_built_anew_and_keeps_its_expiry);
    tcase_add_test(tc, list__encoding_follows_the_bytes_that_a_listpack_would_need);
    tcase_add_test(tc, list__serves_as_a_queue_in_both_directions_when_big);
    tcase_add_test(tc, list__logs_one_effect_per_key);
    tcase_add_test(tc, list__that_loses_its_last_element_is_deleted);
    tcase_add_test(tc, list__commands_that_change_nothing_log_nothing);
    tcase_add_test(tc, list__stored_whole_replaces_whatever_was_there);
    tcase_add_test(tc, list__commands_reply_as_redis_does);
    tcase_add_test(tc, list__cold_big_lists_answer_cold_before_anything_is_changed);
    return suite_run("list", tc);
}
