/*
 * test_wal_retention.c - which segments of the log are kept, and for whom.
 */
#include "wal_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "persistence/segment.h"
#include "tests/unit/suite.h"

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

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, wal__keeps_what_recovery_needs_whatever_its_size);
    tcase_add_test(tests, wal__keeps_what_is_trimmed_up_to_a_size_and_an_age);
    tcase_add_test(tests, wal__trims_nothing_in_front_of_a_hold);
    tcase_add_test(tests, wal__warns_before_the_disk_is_full);
    tcase_add_test(tests, wal__keeps_nothing_for_replicas_while_the_disk_is_nearly_full);
    return suite_run("wal_retention", tests);
}
