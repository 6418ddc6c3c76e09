/*
 * test_lost_writes.c - where two histories part, and the file of what only one of them has.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_vfs.h"
#include "persistence/lost_writes.h"
#include "wal_help.h"
#include "tests/unit/suite.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define ID_C "cccccccccccccccccccccccccccccccccccccccc"

static struct history history(const char *id)
{
    struct history h = {0};

    strcpy(h.replid, id);
    return h;
}

START_TEST(histories__part_where_the_shared_ancestor_ends)
{
    struct history old = history(ID_A), new = history(ID_A);
    lsn_t at = 0;

    ck_assert(history_branch(&old, 100, &new, 80, &at)); /* a replica that is behind */
    ck_assert_uint_eq(at, 80);
    ck_assert(history_branch(&old, 70, &new, 80, &at));
    ck_assert_uint_eq(at, 70);
    history_fork(&new, ID_B, 80);
    ck_assert(history_branch(&old, 100, &new, 500, &at));
    ck_assert_uint_eq(at, 80);
    history_fork(&new, ID_C, 300);
    ck_assert(history_branch(&old, 100, &new, 500, &at));
    ck_assert_uint_eq(at, 80);
    history_fork(&old, "dddddddddddddddddddddddddddddddddddddddd", 100); /* a start after a loss */
    ck_assert(history_branch(&old, 120, &new, 500, &at));
    ck_assert_uint_eq(at, 80);
    old = history("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
    ck_assert(!history_branch(&old, 100, &new, 500, &at));
}
END_TEST

static struct wal *a_log(struct fake *f, struct help_fatal *fatal)
{
    struct wal_options options = help_options(fatal);
    struct wal *wal = NULL;

    ck_assert_int_eq(f->vfs.make_dir(f->vfs.context, "data"), OK);
    ck_assert_int_eq(wal_open(&f->vfs, "data/log", &options, NULL, &wal), OK);
    return wal;
}

START_TEST(the_file__has_the_commands_behind_the_branch_and_their_databases)
{
    struct fake *f = fake_new(1);
    struct help_fatal fatal = {0};
    struct wal *wal = a_log(f, &fatal);
    struct journal_effect ping = {.bytes = 14, .slot = SLOT_NODE, .kind = JOURNAL_MARK, .db = 2};
    struct lost_writes saved, again;
    struct lost_writes_sum sum;
    struct buf expected = {0}, *found;
    lsn_t branch;
    char path[256];

    help_set(wal, 0, 1, 10, NULL);
    branch = help_set(wal, 2, 2, 10, NULL);
    help_select(&expected, 2);
    help_set(wal, 2, 3, 100, &expected);
    (void)wal_append(wal, &ping, 1, SLICE_LITERAL("*1\r\n$4\r\nPING\r\n"));
    help_multi(wal, 2, 3, &expected);
    ck_assert_int_eq(lost_writes_save(&f->vfs, wal, "data", branch, 1 << 20, &saved), OK);
    ck_assert_uint_eq(saved.commands, 4);
    ck_assert(!saved.cut && !saved.late);
    snprintf(path, sizeof path, "data/%s", saved.name);
    found = fake_bytes(f, path);
    ck_assert_ptr_nonnull(found);
    ck_assert(slice_equal(buf_slice(found), buf_slice(&expected)));
    /* The same once more: the same file. */
    f->now_ms += 5000;
    ck_assert_int_eq(lost_writes_save(&f->vfs, wal, "data", branch, 1 << 20, &again), OK);
    ck_assert_str_eq(again.name, saved.name);
    ck_assert_uint_eq(again.commands, 4);
    ck_assert_int_eq(lost_writes_sum(&f->vfs, "data", &sum), OK);
    ck_assert_uint_eq(sum.files, 1);
    ck_assert_uint_eq(sum.commands, 4);
    ck_assert_uint_eq(sum.bytes, expected.size);
    ck_assert_str_eq(sum.last, saved.name);
    /* Nothing behind the end. */
    ck_assert_int_eq(lost_writes_save(&f->vfs, wal, "data", wal_tail(wal), 1 << 20, &again), OK);
    ck_assert_str_eq(again.name, "");
    buf_free(&expected);
    wal_close(wal);
    fake_free(f);
}
END_TEST

START_TEST(a_bound__cuts_a_file_and_removes_the_oldest)
{
    struct fake *f = fake_new(1);
    struct help_fatal fatal = {0};
    struct wal *wal = a_log(f, &fatal);
    struct lost_writes first, second;
    struct lost_writes_sum sum;

    for (unsigned i = 0; i < 20; i++)
        help_set(wal, 0, i, 100, NULL);
    ck_assert_int_eq(lost_writes_save(&f->vfs, wal, "data", 0, 1000, &first), OK);
    ck_assert(first.cut);
    ck_assert_uint_le(first.bytes, 1000);
    ck_assert_uint_ge(first.commands, 4);
    f->now_ms += 2000;
    help_set(wal, 0, 99, 100, NULL);
    ck_assert_int_eq(lost_writes_save(&f->vfs, wal, "data", 0, 1000, &second), OK);
    ck_assert_int_eq(lost_writes_bound(&f->vfs, "data", 1500), OK);
    ck_assert_int_eq(lost_writes_sum(&f->vfs, "data", &sum), OK);
    ck_assert_uint_eq(sum.files, 1);
    ck_assert_str_eq(sum.last, second.name);
    wal_close(wal);
    fake_free(f);
}
END_TEST

/* Fail the N-th changing call, for every N: an error and no file, or the whole file. */
START_TEST(a_failure__leaves_no_half_file)
{
    bool done = false;

    for (unsigned n = 1; !done; n++) {
        struct fake *f = fake_new(1);
        struct help_fatal fatal = {0};
        struct wal *wal = a_log(f, &fatal);
        struct lost_writes saved = {0};
        struct lost_writes_sum sum;
        enum err e;

        wal_help_quiet();
        for (unsigned i = 0; i < 20; i++)
            help_set(wal, 0, i, 100, NULL);
        ck_assert_int_eq(wal_write(wal), OK);
        f->fail_at = f->changes + n;
        f->fail_with = ERR_NO_SPACE;
        e = lost_writes_save(&f->vfs, wal, "data", 0, 1 << 20, &saved);
        done = f->changes < f->fail_at;
        f->fail_at = 0;
        ck_assert_int_eq(lost_writes_sum(&f->vfs, "data", &sum), OK);
        ck_assert(e == OK || sum.files == 0 || n >= 4); /* 4: only the folder's sync was left */
        ck_assert(e != OK || (sum.files == 1 && sum.commands == 20));
        ck_assert_int_eq(lost_writes_save(&f->vfs, wal, "data", 0, 1 << 20, &saved), OK);
        ck_assert_uint_eq(saved.commands, 20);
        wal_close(wal);
        fake_free(f);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, histories__part_where_the_shared_ancestor_ends);
    tcase_add_test(tests, the_file__has_the_commands_behind_the_branch_and_their_databases);
    tcase_add_test(tests, a_bound__cuts_a_file_and_removes_the_oldest);
    tcase_add_test(tests, a_failure__leaves_no_half_file);
    return suite_run("lost_writes", tests);
}
