/*
 * test_wal_room.c - zeros behind the log's end: never a part of it, whatever ends the process.
 */
#include "wal_fixture.h"

#include <check.h>
#include <stdlib.h>

#include "persistence/wal_queue.h"
#include "tests/unit/suite.h"

enum { LARGE = WAL_QUEUE_LARGE_BYTES * 3 + 5 };

static struct buf *segment_file(size_t index)
{
    return fake_bytes(disk, fake_path(disk, ".log", index));
}

/* Some frames, and room behind them. Returns where they end in the file. */
static size_t begin_with_room(void)
{
    size_t end;

    options.segment_bytes = 16 << 20;
    open_log();
    help_select(&expected, 0);
    fill(5);
    end = segment_file(0)->size;
    wal_room(wal, LARGE);
    ck_assert_uint_eq(segment_file(0)->size, end + LARGE);
    return end;
}

START_TEST(wal_room__is_filled_by_what_comes)
{
    size_t end = begin_with_room();

    reads_back(0);
    help_set(wal, 0, 1, WAL_QUEUE_LARGE_BYTES * 2, &expected);
    ck_assert_int_eq(wal_write(wal), OK);
    ck_assert_uint_eq(segment_file(0)->size, end + LARGE);
    reads_back(0);
    help_set(wal, 0, 2, LARGE, &expected);
    ck_assert_int_eq(wal_write(wal), OK);
    ck_assert_uint_gt(segment_file(0)->size, end + LARGE);
    reads_back(0);
    close_log();
    open_log();
    reads_back(0);
}
END_TEST

START_TEST(wal_room__of_little_is_none)
{
    size_t end;

    open_log();
    help_select(&expected, 0);
    fill(2);
    end = segment_file(0)->size;
    wal_room(wal, WAL_QUEUE_LARGE_BYTES - 1);
    ck_assert_uint_eq(segment_file(0)->size, end);
}
END_TEST

START_TEST(wal_room__is_bounded)
{
    size_t end = begin_with_room();

    for (int i = 0; i < 20; i++)
        wal_room(wal, 10 << 20);
    ck_assert_uint_le(segment_file(0)->size, end + (64 << 20));
    reads_back(0);
}
END_TEST

START_TEST(wal_room__is_no_torn_tail_behind_a_kill)
{
    size_t end = begin_with_room();

    kill_log();
    ck_assert_int_eq(help_read_dir(&disk->vfs, "d", &got), ERR_NOT_FOUND);
    open_log();
    ck_assert(found.lossless);
    ck_assert_uint_eq(found.torn_bytes, 0);
    ck_assert_uint_eq(segment_file(0)->size, end);
    help_set(wal, 0, 1, 20, &expected);
    ck_assert_int_eq(wal_write(wal), OK);
    reads_back(0);
}
END_TEST

START_TEST(wal_room__does_not_hide_a_torn_frame)
{
    size_t end = begin_with_room(), size;
    lsn_t before = wal_tail(wal);

    help_set(wal, 0, 1, 1000, NULL);
    ck_assert_int_eq(wal_write(wal), OK);
    kill_log();
    size = segment_file(0)->size;
    memset(segment_file(0)->data + end + 500, 0, 1000); /* the rest of its write did not come */
    open_log();
    ck_assert_uint_eq(wal_tail(wal), before);
    ck_assert_uint_eq(found.torn_bytes, size - end);
    reads_back(0);
}
END_TEST

START_TEST(wal_room__is_cut_off_at_a_clean_stop_and_when_a_segment_is_left)
{
    size_t end = begin_with_room();

    close_log();
    ck_assert_uint_eq(segment_file(0)->size, end);
    options.segment_bytes = end + 1;
    open_log();
    wal_room(wal, LARGE);
    help_set(wal, 0, 1, 20, &expected);
    ck_assert_int_eq(wal_write(wal), OK);
    end = segment_file(0)->size - LARGE;
    help_set(wal, 0, 2, 20, &expected);
    ck_assert_int_eq(wal_write(wal), OK);
    ck_assert_uint_eq(fake_count(disk, ".log"), 2);
    ck_assert_uint_lt(segment_file(0)->size, LARGE);
    ck_assert_uint_gt(segment_file(0)->size, end);
    reads_back(0);
    options.raw_bytes = 0;
    close_log();
    open_log();
    wal_keep(wal); /* seals it */
    reads_back(0);
}
END_TEST

/* The cut was not durable, the next segment was. */
START_TEST(wal_room__may_come_back_in_front_of_another_segment)
{
    static const uint8_t zeros[300000];

    open_log();
    help_select(&expected, 0);
    fill_slowly(20);
    close_log();
    ck_assert_uint_gt(fake_count(disk, ".log"), 2);
    buf_append(segment_file(0), zeros, sizeof zeros);
    ck_assert_int_eq(help_read_dir(&disk->vfs, "d", &got), ERR_NOT_FOUND);
    ck_assert_uint_eq(got.size, expected.size);
    options.raw_bytes = 0;
    open_log();
    ck_assert_uint_eq(found.torn_bytes, 0);
    ck_assert_uint_lt(segment_file(0)->size, sizeof zeros);
    reads_back(0);
    wal_keep(wal);
    reads_back(0);
}
END_TEST

START_TEST(wal_room__that_cannot_be_made_does_no_harm)
{
    size_t end;

    open_log();
    help_select(&expected, 0);
    fill(3);
    end = segment_file(0)->size;
    disk->fail_with = ERR_NO_SPACE;
    disk->fail_at = disk->changes + 1;
    wal_room(wal, LARGE);
    ck_assert_uint_eq(fatal.count, 0);
    ck_assert_uint_lt(segment_file(0)->size, end + LARGE); /* the disk may have taken a part of it */
    fill(3);
    reads_back(0);
    end = segment_file(0)->size;
    close_log();
    ck_assert_uint_le(segment_file(0)->size, end);
    open_log();
    reads_back(0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, wal_room__is_filled_by_what_comes);
    tcase_add_test(tests, wal_room__of_little_is_none);
    tcase_add_test(tests, wal_room__is_bounded);
    tcase_add_test(tests, wal_room__is_no_torn_tail_behind_a_kill);
    tcase_add_test(tests, wal_room__does_not_hide_a_torn_frame);
    tcase_add_test(tests, wal_room__is_cut_off_at_a_clean_stop_and_when_a_segment_is_left);
    tcase_add_test(tests, wal_room__may_come_back_in_front_of_another_segment);
    tcase_add_test(tests, wal_room__that_cannot_be_made_does_no_harm);
    return suite_run("wal_room", tests);
}
