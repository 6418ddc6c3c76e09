/*
 * test_check_log.c - cairn-check log: its exit status is what scripts rely on.
 */
#include "persistence/vfs.h"
#include "tools/check_log.h"
#include "wal_help.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[256], output[VFS_PATH_MAX];
static char file[VFS_PATH_MAX], last[VFS_PATH_MAX]; /* segments */
static lsn_t tail;

static void note_segment(void *context, const char *name)
{
    const char *dot = strrchr(name, '.');

    if (dot == NULL || strcmp(dot, ".log") != 0)
        return;
    if (file[0] == '\0' || strcmp(name, strrchr(file, '/') + 1) < 0)
        vfs_path(file, context, name);
    if (last[0] == '\0' || strcmp(name, strrchr(last, '/') + 1) > 0)
        vfs_path(last, context, name);
}

static void setup(void)
{
    struct help_fatal none;
    struct wal_options options = help_options(&none);
    struct wal *wal;

    wal_help_quiet();
    snprintf(dir, sizeof dir, "%s/cairn-check-XXXXXX", P_tmpdir);
    ck_assert_ptr_nonnull(mkdtemp(dir));
    vfs_path(output, dir, "output.txt");
    options.fatal = NULL;
    ck_assert_int_eq(wal_open(vfs_posix(), dir, &options, NULL, &wal), OK);
    for (unsigned i = 0; i < 60; i++)
        ck_assert_int_eq(wal_write_to(wal, help_set(wal, i % 2, i, 100, NULL)), OK);
    tail = wal_tail(wal);
    wal_close(wal);
    file[0] = last[0] = '\0';
    ck_assert_int_eq(vfs_posix()->list(NULL, dir, note_segment, dir), OK);
}

static void unlink_each(void *context, const char *name)
{
    char path[VFS_PATH_MAX];

    vfs_path(path, context, name);
    ck_assert_int_eq(unlink(path), 0);
}

static void teardown(void)
{
    ck_assert_int_eq(vfs_posix()->list(NULL, dir, unlink_each, dir), OK);
    ck_assert_int_eq(rmdir(dir), 0);
}

/* Runs with up to three arguments in front of the directory; what it prints goes to a file. */
static int run(const char *a, const char *b, const char *c)
{
    char *argv[6] = {strdup("log")};
    const char *given[] = {a, b, c, dir};
    int argc = 1, status, saved = dup(1);

    for (int i = 0; i < 4; i++)
        if (given[i] != NULL)
            argv[argc++] = strdup(given[i]);
    fflush(stdout);
    ck_assert_ptr_nonnull(freopen(output, "w", stdout));
    status = check_log(argc, argv);
    fflush(stdout);
    dup2(saved, 1);
    close(saved);
    while (argc > 0)
        free(argv[--argc]);
    return status;
}

static bool printed(const char *text)
{
    static char all[1 << 16];
    FILE *f = fopen(output, "r");
    size_t n;

    ck_assert_ptr_nonnull(f);
    n = fread(all, 1, sizeof all - 1, f);
    all[n] = '\0';
    fclose(f);
    return strstr(all, text) != NULL;
}

static void flip(long offset)
{
    FILE *f = fopen(file, "r+");
    int byte;

    ck_assert_ptr_nonnull(f);
    fseek(f, offset, SEEK_SET);
    byte = fgetc(f);
    fseek(f, offset, SEEK_SET);
    fputc(byte ^ 1, f);
    fclose(f);
}

START_TEST(check_log__says_that_a_whole_log_is_whole)
{
    char end[64];

    ck_assert_int_eq(run(NULL, NULL, NULL), 0);
    snprintf(end, sizeof end, "end:%llu\n", (unsigned long long)tail);
    ck_assert(printed("status:ok"));
    ck_assert(printed(end));
    ck_assert(printed("effects:120\n")); /* a SELECT before every one */
    ck_assert_int_eq(run("--stats", NULL, NULL), 0);
    ck_assert(printed("command_SET:effects=60"));
    ck_assert(printed("command_SELECT:effects=60"));
}
END_TEST

START_TEST(check_log__prints_effects)
{
    ck_assert_int_eq(run("--print", "--limit", "2"), 0);
    ck_assert(printed("\"SELECT\" \"0\"\n"));
    ck_assert(printed("keys=+1 expires=+0 \"SET\" \"key:0\""));
    ck_assert(!printed("key:1"));
}
END_TEST

START_TEST(check_log__fails_on_damage_and_cuts_it_when_told)
{
    flip(300);
    ck_assert_int_eq(run(NULL, NULL, NULL), 1);
    ck_assert(printed("status:damaged"));
    ck_assert_int_eq(run("--fix", NULL, NULL), 0);
    ck_assert_int_eq(run(NULL, NULL, NULL), 0);
}
END_TEST

START_TEST(check_log__fails_on_a_log_shorter_than_at_its_clean_stop)
{
    struct stat st;

    ck_assert_int_eq(stat(last, &st), 0);
    ck_assert_int_eq(truncate(last, st.st_size - 1), 0);
    ck_assert_int_eq(run(NULL, NULL, NULL), 1);
    ck_assert(printed("status:damaged"));
}
END_TEST

START_TEST(check_log__refuses_bad_arguments_and_directories)
{
    ck_assert_int_eq(run("--print", "--stats", NULL), 2);
    ck_assert_int_eq(run("--from", "x", NULL), 2);
    char *argv[] = {"log", "no such directory"};
    ck_assert_int_eq(check_log(2, argv), 1);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, check_log__says_that_a_whole_log_is_whole);
    tcase_add_test(tests, check_log__prints_effects);
    tcase_add_test(tests, check_log__fails_on_damage_and_cuts_it_when_told);
    tcase_add_test(tests, check_log__fails_on_a_log_shorter_than_at_its_clean_stop);
    tcase_add_test(tests, check_log__refuses_bad_arguments_and_directories);
    return suite_run("check_log", tests);
}
