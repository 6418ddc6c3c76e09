/*
 * test_wal_threads.c - the log on a real disk, with its background threads and many appending ones. Meant for a build
 * with -DCAIRN_SANITIZE=thread too.
 */
#include "persistence/vfs.h"
#include "wal_help.h"

#include "base/check.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { WRITERS = 6, CHANGES = 800 };

static char dir[256];
static struct wal_options options;
static struct wal *wal;
static _Atomic bool done;

static void setup(void)
{
    struct help_fatal none;

    snprintf(dir, sizeof dir, "%s/cairn-wal-XXXXXX", P_tmpdir);
    ck_assert_ptr_nonnull(mkdtemp(dir));
    options = help_options(&none);
    options.foreground = false;
    options.fatal = NULL;
    options.segment_bytes = 20000;
    options.raw_bytes = 40000;
    options.space_reserve = 0;
    atomic_store(&done, false);
    wal = NULL;
    wal_help_quiet();
}

static void unlink_each(void *context, const char *name)
{
    char path[VFS_PATH_MAX];

    (void)context;
    vfs_path(path, dir, name);
    ck_assert_int_eq(unlink(path), 0);
}

static void teardown(void)
{
    wal_close(wal);
    ck_assert_int_eq(vfs_posix()->list(NULL, dir, unlink_each, NULL), OK);
    ck_assert_int_eq(rmdir(dir), 0);
}

static void open_log(void)
{
    enum err e = wal_open(vfs_posix(), dir, &options, NULL, &wal);

    ck_assert_msg(e == OK, "%s", err_text());
}

static void *append_many(void *context)
{
    unsigned self = (unsigned)(uintptr_t)context;
    lsn_t last = 0;

    for (unsigned i = 0; i < CHANGES; i++) {
        lsn_t end = help_set(wal, self % 2, self * CHANGES + i, i % 50, NULL);

        check(end > last);
        last = end;
        if (i % 2 == 0)
            check(wal_write_to(wal, end) == OK && wal_written(wal) >= end);
        if (i % 64 == self)
            check(wal_sync_to(wal, end) == OK && wal_durable(wal) >= end);
        check(wal_tail(wal) >= end);
    }
    return NULL;
}

/* Reads along until the writers are done and all is read; returns the number of changes that it has seen. */
static void *read_along(void *context)
{
    struct wal_reader *r;
    struct frame f;
    lsn_t position = 0;
    uintptr_t seen = 0;

    (void)context;
    check(wal_reader_open(wal, 0, &r) == OK);
    for (;;) {
        bool was_done = atomic_load(&done);
        enum err e = wal_reader_next(r, &f);

        if (e == ERR_NOT_FOUND && was_done)
            break;
        if (e == ERR_NOT_FOUND) {
            usleep(200);
            continue;
        }
        if (e != OK)
            fprintf(stderr, "%s\n", err_text());
        check(e == OK && f.head.start == position);
        position = f.end;
        for (uint32_t i = 0; i < f.effects; i++)
            seen += frame_effect(&f, i).kind == JOURNAL_KEY;
    }
    wal_reader_close(r);
    return (void *)seen;
}

START_TEST(wal__takes_changes_from_many_threads_while_it_is_read_sealed_and_synced)
{
    pthread_t writers[WRITERS], readers[2];
    void *seen;

    open_log();
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, read_along, NULL), 0);
    for (int i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_create(&writers[i], NULL, append_many, (void *)(uintptr_t)i), 0);
    wal_fsync_policy_set(wal, WAL_FSYNC_NO);
    for (int i = 0; i < 20; i++) {
        struct wal_figures figures;

        wal_figures(wal, &figures);
        wal_keep(wal);
    }
    ck_assert_int_eq(wal_history_adopt(wal, "00112233445566778899aabbccddeeff00112233"), OK);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    ck_assert_int_eq(wal_write(wal), OK);
    atomic_store(&done, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(readers[i], &seen);
        ck_assert_uint_eq((uintptr_t)seen, WRITERS * CHANGES);
    }
    wal_keep(wal);
    struct wal_figures figures;
    wal_figures(wal, &figures);
    ck_assert_uint_gt(figures.sealed_segments, 3);
    ck_assert_uint_eq(figures.durable >= figures.tail || figures.written == figures.tail, 1);
    wal_close(wal);
    open_log();
    ck_assert_ptr_eq(read_along(NULL), (void *)(uintptr_t)(WRITERS * CHANGES));
}
END_TEST

START_TEST(wal__syncs_every_second_by_itself)
{
    open_log();
    lsn_t end = help_set(wal, 0, 1, 10, NULL);
    for (int i = 0; i < 5000 && wal_durable(wal) < end; i++)
        usleep(10000);
    ck_assert_uint_ge(wal_durable(wal), end);
}
END_TEST

START_TEST(wal__does_not_sync_by_itself_under_no)
{
    options.fsync = WAL_FSYNC_NO;
    open_log();
    lsn_t end = help_set(wal, 0, 1, 10, NULL);
    for (int i = 0; i < 5000 && wal_written(wal) < end; i++)
        usleep(10000);
    ck_assert_uint_ge(wal_written(wal), end);
    ck_assert_uint_lt(wal_durable(wal), end);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, wal__takes_changes_from_many_threads_while_it_is_read_sealed_and_synced);
    tcase_add_test(tests, wal__syncs_every_second_by_itself);
    tcase_add_test(tests, wal__does_not_sync_by_itself_under_no);
    return suite_run("wal_threads", tests);
}
