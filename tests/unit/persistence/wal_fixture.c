#include "wal_fixture.h"

#include <check.h>

struct fake *disk;
struct help_fatal fatal;
struct wal_options options;
struct wal *wal;
struct wal_found found;
struct buf expected, got;

void setup(void)
{
    disk = fake_new(1);
    wal_help_quiet();
    options = help_options(&fatal);
    wal = NULL;
}

void teardown(void)
{
    wal_close(wal);
    buf_free(&expected);
    buf_free(&got);
    fake_free(disk);
}

void open_log(void)
{
    enum err e = wal_open(&disk->vfs, "d", &options, &found, &wal);

    ck_assert_msg(e == OK, "%s", err_text());
}

void close_log(void)
{
    wal_close(wal);
    wal = NULL;
}

/* kill -9: nothing is closed. (The test's memory of the log is given back by closing it on a disk that refuses.) */
void kill_log(void)
{
    struct fake *left = fake_clone(disk);

    disk->fail_at = 1;
    disk->sticky = true;
    close_log();
    fake_free(disk);
    disk = left;
}

void reads_back(lsn_t from)
{
    buf_clear(&got);
    ck_assert_int_eq(help_read(wal, from, &got), ERR_NOT_FOUND);
    ck_assert(slice_equal(buf_slice(&got), slice_of(expected.data + from, expected.size - from)));
}

void fill(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        help_set(wal, 0, i, 10 + i % 90, &expected);
    ck_assert_int_eq(wal_write(wal), OK);
}

/* Many writes, so that segments are left. */
void fill_slowly(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        fill(1 + i % 3);
    ck_assert_int_eq(wal_sync_to(wal, wal_tail(wal)), OK);
}
