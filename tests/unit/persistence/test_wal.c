/*
 * test_wal.c - the log on a disk that works: append and read back, segments, sealing, histories.
 */
#include "wal_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "persistence/segment.h"
#include "persistence/wal_queue.h"
#include "tests/unit/suite.h"

START_TEST(wal__gives_back_what_was_appended_across_segments_and_starts)
{
    open_log();
    help_select(&expected, 0);
    fill_slowly(40);
    ck_assert_uint_gt(fake_count(disk, ".log"), 3);
    ck_assert_uint_eq(wal_tail(wal), expected.size);
    reads_back(0);
    close_log();
    open_log();
    ck_assert(found.lossless);
    ck_assert_uint_eq(found.torn_bytes, 0);
    ck_assert_uint_eq(wal_tail(wal), expected.size);
    ck_assert_uint_eq(wal_durable(wal), expected.size);
    fill_slowly(10);
    reads_back(0);
}
END_TEST

START_TEST(wal__returns_the_position_in_front_of_the_first_effect)
{
    open_log();
    ck_assert_uint_eq(wal_tail(wal), 0);
    ck_assert_uint_eq(help_set(wal, 0, 1, 1, &got), 23 + got.size);
    size_t one = got.size;
    ck_assert_uint_eq(help_set(wal, 0, 1, 1, &got), 23 + 2 * one);
    ck_assert_uint_eq(wal_tail(wal), 23 + 2 * one);
    ck_assert_uint_eq(wal_written(wal), 0);
}
END_TEST

START_TEST(wal__puts_a_select_in_front_when_the_database_changes)
{
    open_log();
    help_select(&expected, 0);
    help_set(wal, 0, 1, 5, &expected);
    help_set(wal, 0, 2, 5, &expected);
    help_select(&expected, 11);
    help_multi(wal, 11, 3, &expected);
    help_set(wal, 11, 3, 5, &expected);
    help_select(&expected, 0);
    help_set(wal, 0, 4, 5, &expected);
    ck_assert_int_eq(wal_write(wal), OK);
    close_log();
    open_log();
    help_set(wal, 0, 5, 5, &expected); /* the selected database is remembered */
    wal_select_again(wal);
    help_select(&expected, 0);
    help_set(wal, 0, 6, 5, &expected);
    ck_assert_int_eq(wal_write(wal), OK);
    reads_back(0);
}
END_TEST

START_TEST(wal__lets_a_lone_ping_be_of_any_database)
{
    struct slice ping = SLICE_LITERAL("*1\r\n$4\r\nPING\r\n");
    struct journal_effect effect = {.bytes = 14, .slot = SLOT_NODE, .db = 0, .kind = JOURNAL_MARK};

    open_log();
    wal_append(wal, &effect, 1, ping);
    buf_append_slice(&expected, ping);
    help_select(&expected, 5);
    help_set(wal, 5, 1, 5, &expected);
    wal_append(wal, &effect, 1, ping);
    buf_append_slice(&expected, ping);
    ck_assert_int_eq(wal_write(wal), OK);
    close_log();
    open_log();
    help_set(wal, 5, 2, 5, &expected);
    ck_assert_int_eq(wal_write(wal), OK);
    reads_back(0);
}
END_TEST

START_TEST(wal__adds_nothing_to_a_stream_that_it_follows)
{
    open_log();
    wal_follow(wal, true);
    help_set(wal, 3, 1, 5, &expected);
    help_set(wal, 0, 1, 5, &expected);
    wal_follow(wal, false);
    help_select(&expected, 0);
    help_set(wal, 0, 1, 5, &expected);
    ck_assert_int_eq(wal_write(wal), OK);
    reads_back(0);
}
END_TEST

START_TEST(wal__keeps_frames_of_many_effects_together)
{
    open_log();
    help_select(&expected, 0);
    help_multi(wal, 0, 500, &expected); /* larger than a segment */
    ck_assert_int_eq(wal_write(wal), OK);
    help_set(wal, 0, 1, 100000, &expected);
    ck_assert_int_eq(wal_write(wal), OK);
    help_set(wal, 0, 2, 1, &expected);
    close_log();
    open_log();
    reads_back(0);
    ck_assert_uint_eq(fake_count(disk, ".log"), 3);
}
END_TEST

START_TEST(wal__keeps_large_texts_in_order_among_small_ones)
{
    static const size_t sizes[] = {1, WAL_QUEUE_LARGE_BYTES, 7, 5, WAL_QUEUE_LARGE_BYTES * 3, WAL_QUEUE_LARGE_BYTES, 2};

    open_log();
    help_select(&expected, 0);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 7; i++)
            help_set(wal, 0, i, sizes[i], &expected); /* all of a round by one write */
        help_select(&expected, 1);
        help_set(wal, 1, 8, WAL_QUEUE_LARGE_BYTES, &expected);
        help_select(&expected, 0);
        help_set(wal, 0, 9, 1, &expected);
        ck_assert_uint_gt(wal_pending_bytes(wal), WAL_QUEUE_LARGE_BYTES * 6);
        ck_assert_int_eq(wal_write(wal), OK);
        ck_assert_uint_eq(wal_pending_bytes(wal), 0);
        reads_back(0);
    }
    close_log();
    open_log();
    ck_assert(found.lossless);
    reads_back(0);
}
END_TEST

START_TEST(wal__takes_a_large_text_over_where_it_lies_and_leaves_a_small_one)
{
    static const size_t sizes[] = {WAL_QUEUE_LARGE_BYTES, 10, WAL_QUEUE_LARGE_BYTES + 1, 1};
    enum { FRONT = 15, BEHIND = 9 }; /* the buffer holds more than the text */

    open_log();
    help_select(&expected, 0);
    for (unsigned i = 0; i < 4; i++) {
        size_t before = expected.size;
        struct buf from = {0};

        help_set(NULL, 0, i, sizes[i], &expected);
        buf_append(&from, "front of a text", FRONT);
        buf_append(&from, expected.data + before, expected.size - before);
        buf_append(&from, "behind it", BEHIND);
        struct slice text = slice_of(from.data + FRONT, from.size - FRONT - BEHIND);
        struct journal_effect effect = {.bytes = (uint32_t)text.size, .keys = 1};

        ck_assert_uint_eq(wal_append_from(wal, &effect, 1, text, &from), before);
        ck_assert((from.data == NULL) == (sizes[i] >= WAL_QUEUE_LARGE_BYTES));
        buf_free(&from);
    }
    ck_assert_int_eq(wal_write(wal), OK);
    reads_back(0);
    close_log();
}
END_TEST

START_TEST(wal_reader__begins_at_any_position)
{
    open_log();
    help_select(&expected, 0);
    fill_slowly(12);
    options.raw_bytes = 0;
    close_log();
    open_log();
    wal_keep(wal);
    fill_slowly(3);
    for (lsn_t from = 0; from <= wal_tail(wal); from += 1 + from % 3)
        reads_back(from);
    ck_assert_int_eq(help_read(wal, wal_tail(wal) + 1, &got), ERR_RANGE);
}
END_TEST

START_TEST(wal_reader__follows_an_open_log)
{
    struct wal_reader *r;
    struct frame f;

    open_log();
    ck_assert_int_eq(wal_reader_open(wal, 0, &r), OK);
    ck_assert_int_eq(wal_reader_next(r, &f), ERR_NOT_FOUND);
    for (unsigned i = 0; i < 200; i++) {
        lsn_t end = help_set(wal, 0, i, i, NULL);

        ck_assert_int_eq(wal_reader_next(r, &f), ERR_NOT_FOUND); /* not written yet */
        ck_assert_int_eq(wal_write_to(wal, end), OK);
        ck_assert_int_eq(wal_reader_next(r, &f), OK);
        ck_assert_uint_eq(f.end, end);
        ck_assert_int_eq(wal_reader_next(r, &f), ERR_NOT_FOUND);
    }
    wal_reader_close(r);
}
END_TEST

START_TEST(wal__sealed_segments_read_the_same)
{
    struct wal_figures figures;
    uint64_t before;

    open_log();
    help_select(&expected, 0);
    fill_slowly(60);
    wal_figures(wal, &figures);
    before = figures.bytes;
    close_log();
    options.raw_bytes = 0;
    open_log();
    wal_keep(wal);
    wal_figures(wal, &figures);
    ck_assert_uint_eq(figures.sealed_segments, figures.segments - 1);
    ck_assert_uint_gt(figures.segments, 5);
    ck_assert_uint_lt(figures.bytes, before / 2);
    reads_back(0);
    close_log();
    ck_assert_int_eq(help_read_dir(&disk->vfs, "d", &got), ERR_NOT_FOUND);
    open_log();
    fill_slowly(5);
    reads_back(0);
}
END_TEST

START_TEST(wal__syncs_once_for_all_that_is_written)
{
    open_log();
    lsn_t a = help_set(wal, 0, 1, 1, NULL), b = help_set(wal, 0, 2, 1, NULL);
    uint64_t syncs = disk->syncs, writes = disk->writes;

    ck_assert_int_eq(wal_sync_to(wal, a), OK);
    ck_assert_uint_eq(wal_durable(wal), b);
    ck_assert_int_eq(wal_sync_to(wal, b), OK);
    ck_assert_uint_eq(disk->syncs, syncs + 1);
    ck_assert_uint_eq(disk->writes, writes + 1);
}
END_TEST

/* ---- Histories ---- */

START_TEST(wal__keeps_its_history_across_starts_and_forks_it_on_demand)
{
    struct history a, b;

    open_log();
    wal_history(wal, &a);
    fill(3);
    kill_log();
    open_log();
    ck_assert(found.lossless); /* the machine has not restarted */
    wal_history(wal, &b);
    ck_assert_str_eq(a.replid, b.replid);
    fill(3); /* not synced when the history is forked */
    lsn_t end = wal_tail(wal);
    ck_assert_uint_lt(wal_durable(wal), end);
    ck_assert_int_eq(wal_history_fork(wal, 99), OK);
    fill(3);
    kill_log();
    fake_power_cut(disk, FAKE_CUT_DROP);
    open_log();
    ck_assert(!found.lossless);
    wal_history(wal, &b);
    ck_assert_str_ne(a.replid, b.replid);
    ck_assert_str_eq(a.replid, b.ancestors[0].replid);
    ck_assert_uint_eq(b.ancestors[0].end, end);
    ck_assert_uint_ge(wal_tail(wal), end); /* the ancestor was synced to its end */
    ck_assert_int_eq(wal_history_adopt(wal, "no id"), ERR_INVALID);
    ck_assert_int_eq(wal_history_adopt(wal, a.replid), OK);
    wal_history(wal, &b);
    ck_assert_uint_eq(b.ancestors_count, 2);
}
END_TEST

START_TEST(wal__begins_anew_at_a_position)
{
    static const char replid[] = "00112233445566778899aabbccddeeff00112233";
    struct history h;
    struct wal_reader *r;
    struct frame f;

    open_log();
    fill_slowly(20);
    ck_assert_int_eq(wal_reset(wal, replid, 7000, -1), OK);
    ck_assert_uint_eq(wal_tail(wal), 7000);
    ck_assert_uint_eq(fake_count(disk, ".log"), 1);
    help_set(wal, 0, 1, 1, NULL);
    ck_assert_int_eq(wal_write(wal), OK);
    kill_log();
    open_log();
    wal_history(wal, &h);
    ck_assert_str_eq(h.replid, replid);
    ck_assert_uint_eq(h.ancestors_count, 0);
    ck_assert_int_eq(wal_reader_open(wal, 7000, &r), OK);
    ck_assert_int_eq(wal_reader_next(r, &f), OK);
    ck_assert_uint_eq(f.head.start, 7000);
    ck_assert_uint_eq(f.head.history, 0x0011223344556677);
    ck_assert_int_eq(wal_reader_next(r, &f), ERR_NOT_FOUND);
    wal_reader_close(r);
}
END_TEST

START_TEST(wal_journal__is_the_log)
{
    open_log();
    struct journal j = wal_journal(wal);
    struct slice text = SLICE_LITERAL("*2\r\n$3\r\nDEL\r\n$1\r\na\r\n");
    struct journal_effect effect = {.bytes = (uint32_t)text.size, .slot = 15495, .keys = -1};

    ck_assert_uint_eq(j.append(j.context, &effect, 1, text, NULL), 23);
    ck_assert_uint_eq(j.tail(j.context), 23 + text.size);
    ck_assert_int_eq(j.sync(j.context, 23 + text.size), OK);
    ck_assert_uint_eq(wal_durable(wal), 23 + text.size);
    j.trim(j.context, 40);
    struct wal_figures figures;
    wal_figures(wal, &figures);
    ck_assert_uint_eq(figures.floor, 40);
    ck_assert_uint_eq(figures.frames, 1);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, wal__gives_back_what_was_appended_across_segments_and_starts);
    tcase_add_test(tests, wal__returns_the_position_in_front_of_the_first_effect);
    tcase_add_test(tests, wal__puts_a_select_in_front_when_the_database_changes);
    tcase_add_test(tests, wal__lets_a_lone_ping_be_of_any_database);
    tcase_add_test(tests, wal__adds_nothing_to_a_stream_that_it_follows);
    tcase_add_test(tests, wal__keeps_frames_of_many_effects_together);
    tcase_add_test(tests, wal__keeps_large_texts_in_order_among_small_ones);
    tcase_add_test(tests, wal__takes_a_large_text_over_where_it_lies_and_leaves_a_small_one);
    tcase_add_test(tests, wal_reader__begins_at_any_position);
    tcase_add_test(tests, wal_reader__follows_an_open_log);
    tcase_add_test(tests, wal__sealed_segments_read_the_same);
    tcase_add_test(tests, wal__syncs_once_for_all_that_is_written);
    tcase_add_test(tests, wal__keeps_its_history_across_starts_and_forks_it_on_demand);
    tcase_add_test(tests, wal__begins_anew_at_a_position);
    tcase_add_test(tests, wal_journal__is_the_log);
    return suite_run("wal", tests);
}
