/*
 * test_wal_starts.c - what a start of the log does with torn and damaged files.
 */
#include "wal_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "persistence/segment.h"
#include "tests/unit/suite.h"

START_TEST(wal__cuts_a_torn_tail_at_every_byte_of_the_last_frame)
{
    lsn_t before;
    size_t end;
    const char *path;

    open_log();
    help_select(&expected, 0);
    fill(5);
    before = wal_tail(wal);
    path = fake_path(disk, ".log", 0);
    end = fake_bytes(disk, path)->size;
    help_set(wal, 0, 99, 30, NULL);
    ck_assert_int_eq(wal_write(wal), OK);
    kill_log();
    for (size_t size = end; size < fake_bytes(disk, fake_path(disk, ".log", 0))->size; size++) {
        struct fake *whole = disk;

        disk = fake_clone(whole);
        fake_bytes(disk, fake_path(disk, ".log", 0))->size = size;
        open_log();
        ck_assert_uint_eq(wal_tail(wal), before);
        ck_assert_uint_eq(found.torn_bytes, size - end);
        size_t length = expected.size;
        help_set(wal, 0, 7, 20, &expected);
        ck_assert_int_eq(wal_write(wal), OK);
        reads_back(0);
        expected.size = length;
        close_log();
        fake_free(disk);
        disk = whole;
    }
}
END_TEST

static void expect_refusal(const char *path, const char *what)
{
    char offset[64];
    enum err e = wal_open(&disk->vfs, "d", &options, &found, &wal);

    ck_assert_int_eq(e, ERR_CORRUPT);
    ck_assert_msg(strstr(err_text(), path) != NULL && strstr(err_text(), what) != NULL, "%s", err_text());
    snprintf(offset, sizeof offset, "cairn-check");
    ck_assert_msg(strstr(err_text(), offset) != NULL, "%s", err_text());
}

/* Offset of the n-th frame in a raw file. */
static uint64_t frame_offset(const struct buf *file, unsigned n)
{
    uint64_t offset = SEGMENT_HEADER_BYTES, size;

    while (n-- > 0) {
        ck_assert_int_eq(frame_measure(slice_of(file->data + offset, file->size - offset), &size), OK);
        offset += size;
    }
    return offset;
}

START_TEST(wal__refuses_a_flipped_bit_in_front_of_valid_records)
{
    char what[64], path[128];

    open_log();
    fill_slowly(20);
    kill_log();
    snprintf(path, sizeof path, "%s", fake_path(disk, ".log", 1));
    for (uint64_t bit = 0; bit < 8; bit++) {
        struct buf *file = fake_bytes(disk, path);
        uint64_t offset = frame_offset(file, 2);

        snprintf(what, sizeof what, "offset %llu", (unsigned long long)offset);
        file->data[offset + bit * 13] ^= (uint8_t)(1 << bit);
        expect_refusal(path, what);
        file->data[offset + bit * 13] ^= (uint8_t)(1 << bit);
    }
    open_log();
}
END_TEST

START_TEST(wal__refuses_a_bit_flipped_in_synced_bytes_after_a_power_cut)
{
    char path[128];

    open_log();
    fill_slowly(20);
    fill(3); /* their frames prove that those before were synced */
    ck_assert_int_eq(wal_sync_to(wal, wal_tail(wal)), OK);
    kill_log();
    fake_power_cut(disk, FAKE_CUT_DROP);
    snprintf(path, sizeof path, "%s", fake_path(disk, ".log", 0));
    fake_bytes(disk, path)->data[200] ^= 1;
    expect_refusal(path, "offset");
}
END_TEST

START_TEST(wal__refuses_a_frame_that_is_valid_but_not_due)
{
    open_log();
    for (unsigned i = 10; i < 20; i++)
        help_set(wal, 0, i, 10, NULL);
    ck_assert_int_eq(wal_write(wal), OK);
    kill_log();
    struct buf *file = fake_bytes(disk, fake_path(disk, ".log", 0));
    uint64_t second = frame_offset(file, 2), third = frame_offset(file, 3), fourth = frame_offset(file, 4);
    ck_assert_uint_eq(third - second, fourth - third);
    memcpy(file->data + third, file->data + second, third - second);
    expect_refusal(fake_path(disk, ".log", 0), "where");
}
END_TEST

START_TEST(wal__does_not_seal_damage)
{
    struct wal_figures figures;
    struct buf *file;

    options.raw_bytes = 0;
    open_log();
    fill_slowly(20);
    file = fake_bytes(disk, fake_path(disk, ".log", 1));
    file->data[500] ^= 1;
    wal_keep(wal);
    wal_figures(wal, &figures);
    ck_assert_uint_eq(figures.sealed_segments, figures.segments - 2);
    ck_assert_int_eq(help_read(wal, 0, &got), ERR_CORRUPT);
    ck_assert_ptr_eq(fake_bytes(disk, fake_path(disk, ".log", 1)), file);
}
END_TEST

START_TEST(wal__refuses_a_damaged_header_in_front_of_valid_records)
{
    char path[128];

    open_log();
    fill_slowly(20);
    kill_log();
    snprintf(path, sizeof path, "%s", fake_path(disk, ".log", 1));
    fake_bytes(disk, path)->data[17] ^= 1;
    expect_refusal(path, "offset 0");
}
END_TEST

START_TEST(wal__refuses_a_missing_segment)
{
    for (size_t i = 0; i < 3; i++) {
        char path[128];

        open_log();
        fill_slowly(20);
        close_log();
        snprintf(path, sizeof path, "%s", fake_path(disk, ".log", i));
        ck_assert_int_eq(disk->vfs.unlink(disk, path), OK);
        ck_assert_int_eq(wal_open(&disk->vfs, "d", &options, &found, &wal), ERR_CORRUPT);
        fake_free(disk);
        setup();
    }
}
END_TEST

START_TEST(wal__refuses_a_cleanly_closed_log_that_is_shorter)
{
    char path[128];

    open_log();
    fill(5);
    close_log();
    snprintf(path, sizeof path, "%s", fake_path(disk, ".log", 0));
    fake_bytes(disk, path)->size -= 1;
    expect_refusal(path, "was closed at position");
}
END_TEST

START_TEST(wal__cuts_at_damage_when_told_to)
{
    open_log();
    help_select(&expected, 0);
    fill_slowly(20);
    close_log();
    fake_bytes(disk, fake_path(disk, ".log", 1))->data[100] ^= 1;
    options.accept_damage = true;
    open_log();
    ck_assert_uint_gt(found.torn_bytes, 0);
    ck_assert_uint_lt(wal_tail(wal), expected.size);
    ck_assert_uint_gt(fake_count(disk, ".cut"), 0);
    expected.size = wal_tail(wal);
    reads_back(0);
    options.accept_damage = false;
    close_log();
    open_log();
    ck_assert_uint_eq(wal_tail(wal), expected.size);
}
END_TEST

START_TEST(wal__never_takes_a_read_error_for_an_end)
{
    open_log();
    fill(5);
    close_log();
    disk->fail_reads = true;
    ck_assert_int_eq(wal_open(&disk->vfs, "d", &options, &found, &wal), ERR_IO);
    disk->fail_reads = false;
    open_log();
    ck_assert_uint_eq(found.torn_bytes, 0);
    struct wal_reader *r;
    struct frame f;
    ck_assert_int_eq(wal_reader_open(wal, 0, &r), OK);
    disk->fail_reads = true;
    ck_assert_int_eq(wal_reader_next(r, &f), ERR_IO);
    disk->fail_reads = false;
    wal_reader_close(r);
}
END_TEST

START_TEST(wal_reader__tells_a_torn_end_from_damage_in_a_directory)
{
    open_log();
    fill_slowly(20);
    close_log();
    size_t last = fake_count(disk, ".log") - 1;
    ck_assert_int_eq(help_read_dir(&disk->vfs, "d", &got), ERR_NOT_FOUND);
    fake_bytes(disk, fake_path(disk, ".log", last))->size--;
    ck_assert_int_eq(help_read_dir(&disk->vfs, "d", &got), ERR_AGAIN);
    fake_bytes(disk, fake_path(disk, ".log", 1))->data[300] ^= 1;
    ck_assert_int_eq(help_read_dir(&disk->vfs, "d", &got), ERR_CORRUPT);
    ck_assert_msg(strstr(err_text(), fake_path(disk, ".log", 1)) != NULL, "%s", err_text());
}
END_TEST

START_TEST(wal__refuses_to_unseal_damage)
{
    options.raw_bytes = 0;
    open_log();
    fill_slowly(20);
    wal_keep(wal);
    struct buf *file = fake_bytes(disk, fake_path(disk, ".log", 1));
    file->data[file->size / 2] ^= 1;
    ck_assert_int_eq(help_read(wal, 0, &got), ERR_CORRUPT);
    ck_assert_msg(strstr(err_text(), fake_path(disk, ".log", 1)) != NULL, "%s", err_text());
    file->data[file->size / 2] ^= 1;
    file->data[30] ^= 1;
    kill_log();
    fake_power_cut(disk, FAKE_CUT_DROP);
    fake_bytes(disk, fake_path(disk, ".log", 1))->data[30] ^= 1;
    ck_assert_int_eq(wal_open(&disk->vfs, "d", &options, &found, &wal), ERR_CORRUPT);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, wal__cuts_a_torn_tail_at_every_byte_of_the_last_frame);
    tcase_add_test(tests, wal__refuses_a_flipped_bit_in_front_of_valid_records);
    tcase_add_test(tests, wal__refuses_a_bit_flipped_in_synced_bytes_after_a_power_cut);
    tcase_add_test(tests, wal__refuses_a_frame_that_is_valid_but_not_due);
    tcase_add_test(tests, wal__does_not_seal_damage);
    tcase_add_test(tests, wal__refuses_a_damaged_header_in_front_of_valid_records);
    tcase_add_test(tests, wal__refuses_a_missing_segment);
    tcase_add_test(tests, wal__refuses_a_cleanly_closed_log_that_is_shorter);
    tcase_add_test(tests, wal__cuts_at_damage_when_told_to);
    tcase_add_test(tests, wal__never_takes_a_read_error_for_an_end);
    tcase_add_test(tests, wal_reader__tells_a_torn_end_from_damage_in_a_directory);
    tcase_add_test(tests, wal__refuses_to_unseal_damage);
    return suite_run("wal_starts", tests);
}
