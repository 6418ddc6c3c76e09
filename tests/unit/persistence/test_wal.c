/*
 * test_wal.c - the log on a disk that works: append and read back, segments, sealing, retention, histories, and what a
 * start does with torn and damaged files.
 */
#include "fake_vfs.h"
#include "persistence/segment.h"
#include "wal_help.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct fake *disk;
static struct help_fatal fatal;
static struct wal_options options;
static struct wal *wal;
static struct wal_found found;
static struct buf expected, got;

static void setup(void)
{
    disk = fake_new(1);
    wal_help_quiet();
    options = help_options(&fatal);
    wal = NULL;
}

static void teardown(void)
{
    wal_close(wal);
    buf_free(&expected);
    buf_free(&got);
    fake_free(disk);
}

static void open_log(void)
{
    enum err e = wal_open(&disk->vfs, "d", &options, &found, &wal);

    ck_assert_msg(e == OK, "%s", err_text());
}

static void close_log(void)
{
    wal_close(wal);
    wal = NULL;
}

/* kill -9: nothing is closed. (The test's memory of the log is given back by closing it on a disk that refuses.) */
static void kill_log(void)
{
    struct fake *left = fake_clone(disk);

    disk->fail_at = 1;
    disk->sticky = true;
    close_log();
    fake_free(disk);
    disk = left;
}

static void reads_back(lsn_t from)
{
    buf_clear(&got);
    ck_assert_int_eq(help_read(wal, from, &got), ERR_NOT_FOUND);
    ck_assert(slice_equal(buf_slice(&got), slice_of(expected.data + from, expected.size - from)));
}

static void fill(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        help_set(wal, 0, i, 10 + i % 90, &expected);
    ck_assert_int_eq(wal_write(wal), OK);
}

/* Many writes, so that segments are left. */
static void fill_slowly(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        fill(1 + i % 3);
    ck_assert_int_eq(wal_sync_to(wal, wal_tail(wal)), OK);
}

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

/* ---- Starts after an end that was none ---- */

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

/* ---- Retention ---- */

START_TEST(wal__keeps_what_recovery_needs_whatever_its_size)
{
    options.retain_bytes = 0;
    open_log();
    help_select(&expected, 0);
    fill_slowly(40);
    wal_keep(wal);
    reads_back(0);
    wal_trim(wal, wal_tail(wal) / 2);
    wal_keep(wal);
    struct wal_figures figures;
    wal_figures(wal, &figures);
    ck_assert_uint_gt(figures.first, 0);
    ck_assert_uint_lt(figures.first, wal_tail(wal) / 2);
    reads_back(figures.first);
    ck_assert_int_eq(help_read(wal, figures.first - 1, &got), ERR_RANGE);
    close_log();
    open_log();
    reads_back(figures.first);
}
END_TEST

START_TEST(wal__keeps_what_is_trimmed_up_to_a_size_and_an_age)
{
    struct wal_figures figures;

    options.retain_bytes = 6000;
    open_log();
    fill_slowly(60);
    wal_trim(wal, wal_tail(wal) + 1);
    wal_keep(wal);
    wal_figures(wal, &figures);
    ck_assert_uint_le(figures.bytes, 6000);
    ck_assert_uint_gt(figures.bytes, 3000);
    wal_retention_set(wal, UINT64_MAX, 60000);
    wal_keep(wal);
    lsn_t first = figures.first;
    wal_figures(wal, &figures);
    ck_assert_uint_eq(figures.first, first);
    disk->now_ms += 60001;
    wal_keep(wal);
    wal_figures(wal, &figures);
    ck_assert_uint_eq(figures.segments, 1);
}
END_TEST

START_TEST(wal__trims_nothing_in_front_of_a_hold)
{
    struct wal_figures figures;

    options.retain_bytes = 0;
    open_log();
    fill_slowly(60);
    lsn_t middle = wal_tail(wal) / 2;
    int hold = wal_hold(wal, middle);
    ck_assert_int_ge(hold, 0);
    wal_trim(wal, wal_tail(wal));
    wal_keep(wal);
    wal_figures(wal, &figures);
    ck_assert_uint_le(figures.first, middle);
    ck_assert_uint_gt(figures.first, 0);
    wal_hold_drop(wal, hold);
    wal_keep(wal);
    wal_figures(wal, &figures);
    ck_assert_uint_gt(figures.first, middle);
}
END_TEST

START_TEST(wal__warns_before_the_disk_is_full)
{
    disk->free_bytes = options.space_reserve + 1000;
    open_log();
    ck_assert(!wal_space_low(wal));
    fill(20);
    ck_assert(wal_space_low(wal));
}
END_TEST

START_TEST(wal__keeps_nothing_for_replicas_while_the_disk_is_nearly_full)
{
    struct wal_figures figures;

    open_log();
    fill_slowly(60);
    wal_trim(wal, wal_tail(wal));
    wal_keep(wal);
    wal_figures(wal, &figures);
    ck_assert_uint_eq(figures.first, 0);
    disk->free_bytes = options.space_reserve - 1;
    close_log();
    open_log();
    ck_assert(wal_space_low(wal));
    wal_trim(wal, wal_tail(wal));
    wal_keep(wal);
    wal_figures(wal, &figures);
    ck_assert_uint_gt(figures.first, 0);
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

    ck_assert_uint_eq(j.append(j.context, &effect, 1, text), 23);
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
    Suite *suite = suite_create("wal");
    TCase *tests = tcase_create("all");
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, tests);
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, wal__gives_back_what_was_appended_across_segments_and_starts);
    tcase_add_test(tests, wal__returns_the_position_in_front_of_the_first_effect);
    tcase_add_test(tests, wal__puts_a_select_in_front_when_the_database_changes);
    tcase_add_test(tests, wal__lets_a_lone_ping_be_of_any_database);
    tcase_add_test(tests, wal__adds_nothing_to_a_stream_that_it_follows);
    tcase_add_test(tests, wal__keeps_frames_of_many_effects_together);
    tcase_add_test(tests, wal_reader__begins_at_any_position);
    tcase_add_test(tests, wal_reader__follows_an_open_log);
    tcase_add_test(tests, wal__sealed_segments_read_the_same);
    tcase_add_test(tests, wal__syncs_once_for_all_that_is_written);
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
    tcase_add_test(tests, wal__keeps_what_recovery_needs_whatever_its_size);
    tcase_add_test(tests, wal__keeps_what_is_trimmed_up_to_a_size_and_an_age);
    tcase_add_test(tests, wal__trims_nothing_in_front_of_a_hold);
    tcase_add_test(tests, wal__warns_before_the_disk_is_full);
    tcase_add_test(tests, wal__keeps_nothing_for_replicas_while_the_disk_is_nearly_full);
    tcase_add_test(tests, wal__keeps_its_history_across_starts_and_forks_it_on_demand);
    tcase_add_test(tests, wal__begins_anew_at_a_position);
    tcase_add_test(tests, wal_journal__is_the_log);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
