/*
 * test_wal_faults.c - the log on a disk that fails at every call, and on one that loses its power.
 *
 * What is checked each time: what was acknowledged as durable is there; what is there is a prefix of what was
 * appended; a failed write or sync of the log is told to the hook once and nothing is acknowledged after it.
 */
#include "fake_vfs.h"
#include "wal_help.h"

#include "base/log.h"
#include "base/rng.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

struct life {
    struct fake *disk;
    struct help_fatal fatal;
    struct wal_options options;
    struct wal *wal;
    struct buf appended; /* the whole stream */
    lsn_t durable, written;
    bool failed; /* written and durable are where the failure found them */
};

static void life_begin(struct life *l, uint64_t seed)
{
    *l = (struct life){.disk = fake_new(seed)};
    l->options = help_options(&l->fatal);
    l->options.segment_bytes = 700;
    l->options.raw_bytes = 1400;
    l->options.retain_bytes = UINT64_MAX;
    wal_help_quiet();
}

static void life_end(struct life *l)
{
    buf_free(&l->appended);
    fake_free(l->disk);
}

static void acknowledged(struct life *l)
{
    ck_assert_uint_le(l->fatal.count, 1);
    if (l->fatal.count > 0)
        ck_assert_uint_eq(wal_durable(l->wal), l->durable);
    if (l->failed)
        ck_assert_uint_eq(wal_written(l->wal), l->written);
    l->durable = wal_durable(l->wal);
    l->written = wal_written(l->wal); /* a write may have succeeded whose sync failed */
    l->failed = l->fatal.count > 0;
}

/* Appends a change to the log and to what is expected of it; a start may have put a SELECT in front. */
static lsn_t append(struct life *l, unsigned number, size_t size)
{
    struct buf text = {0};
    lsn_t before = wal_tail(l->wal), end = help_set(l->wal, 0, number, size, &text);

    if (end - before != text.size)
        help_select(&l->appended, 0);
    buf_append_slice(&l->appended, buf_slice(&text));
    buf_free(&text);
    ck_assert_uint_eq(l->appended.size, end);
    return end;
}

/* Appends, writes, syncs, seals. Goes on after failures, as no server would. */
static void work(struct life *l, struct rng *rng, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        lsn_t end = append(l, i, 5 + rng_below(rng, 60));
        uint64_t what = rng_below(rng, 8);
        enum err e = OK;

        if (what < 6)
            e = wal_write_to(l->wal, end);
        if (what < 3)
            e = wal_sync_to(l->wal, end);
        if (what < 3 && e == OK)
            ck_assert_uint_ge(wal_durable(l->wal), end);
        if (what == 7)
            wal_keep(l->wal);
        ck_assert_int_eq(e != OK, what < 6 && l->fatal.count > 0);
        acknowledged(l);
    }
}

/* Ends the process (its memory is given back on a disk that refuses everything), then maybe the machine. */
static void crash(struct life *l, int cut)
{
    if (l->wal != NULL) {
        struct fake *left = fake_clone(l->disk);

        l->disk->fail_at = 1;
        l->disk->sticky = true;
        wal_close(l->wal);
        l->wal = NULL;
        fake_free(l->disk);
        l->disk = left;
    }
    l->disk->fail_at = 0;
    fake_process_end(l->disk);
    if (cut >= 0)
        fake_power_cut(l->disk, (enum fake_cut)cut);
    l->fatal = (struct help_fatal){0};
    l->failed = false;
}

/* Opens and compares. keeps: the least that must be there. */
static void reopen(struct life *l, lsn_t keeps)
{
    struct wal_found found;
    struct buf got = {0};
    enum err e = wal_open(&l->disk->vfs, "d", &l->options, &found, &l->wal);

    ck_assert_msg(e == OK, "%s", err_text());
    ck_assert_uint_ge(wal_tail(l->wal), keeps);
    ck_assert_uint_le(wal_tail(l->wal), l->appended.size);
    l->appended.size = wal_tail(l->wal);
    ck_assert_int_eq(help_read(l->wal, 0, &got), ERR_NOT_FOUND);
    ck_assert(slice_equal(buf_slice(&got), buf_slice(&l->appended)));
    buf_free(&got);
    l->durable = l->written = wal_tail(l->wal);
}

static void first_open(struct life *l)
{
    ck_assert_int_eq(wal_open(&l->disk->vfs, "d", &l->options, NULL, &l->wal), OK);
}

static void every_call_fails(bool sticky, int cut)
{
    bool failed = true;

    for (uint64_t n = 1; failed; n++) {
        struct life l;
        struct rng rng;

        life_begin(&l, n);
        first_open(&l);
        rng_seed(&rng, 3);
        l.disk->sticky = sticky;
        l.disk->fail_at = l.disk->changes + n;
        work(&l, &rng, 60);
        failed = l.disk->changes >= l.disk->fail_at;
        crash(&l, cut);
        reopen(&l, l.durable);
        wal_close(l.wal);
        life_end(&l);
    }
}

START_TEST(wal__a_failing_call_is_fatal_and_never_acknowledged)
{
    every_call_fails(false, FAKE_CUT_DROP);
    every_call_fails(false, FAKE_CUT_TEAR);
}
END_TEST

START_TEST(wal__a_disk_that_stays_broken_takes_nothing_back)
{
    every_call_fails(true, FAKE_CUT_DROP);
    every_call_fails(true, -1);
}
END_TEST

START_TEST(wal__a_full_disk_is_fatal)
{
    struct life l;

    life_begin(&l, 1);
    first_open(&l);
    l.disk->fail_with = ERR_NO_SPACE;
    l.disk->fail_at = l.disk->changes + 1;
    lsn_t end = append(&l, 1, 10);
    ck_assert_int_eq(wal_sync_to(l.wal, end), ERR_NO_SPACE);
    ck_assert_uint_eq(l.fatal.count, 1);
    ck_assert_int_eq(l.fatal.e, ERR_NO_SPACE);
    ck_assert_int_eq(wal_sync_to(l.wal, end), ERR_IO); /* final, although the disk works again */
    ck_assert_uint_eq(wal_written(l.wal), 0);
    ck_assert_uint_eq(l.fatal.count, 1);
    crash(&l, -1);
    reopen(&l, 0);
    ck_assert_uint_eq(wal_tail(l.wal), 0); /* the partial write is a torn tail */
    wal_close(l.wal);
    life_end(&l);
}
END_TEST

START_TEST(wal__a_power_cut_loses_only_what_was_not_synced)
{
    struct life l;

    life_begin(&l, 5);
    first_open(&l);
    lsn_t synced = append(&l, 1, 10);
    ck_assert_int_eq(wal_sync_to(l.wal, synced), OK);
    lsn_t written = append(&l, 2, 10);
    ck_assert_int_eq(wal_write_to(l.wal, written), OK);
    struct fake *before = fake_clone(l.disk);
    crash(&l, FAKE_CUT_DROP);
    reopen(&l, synced);
    ck_assert_uint_eq(wal_tail(l.wal), synced);
    wal_close(l.wal);
    fake_free(l.disk);
    l.disk = before; /* the same moment, but only the process ends */
    l.appended.size = synced;
    help_set(NULL, 0, 2, 10, &l.appended);
    l.wal = NULL;
    crash(&l, -1);
    reopen(&l, written);
    ck_assert_uint_eq(wal_tail(l.wal), written);
    wal_close(l.wal);
    life_end(&l);
}
END_TEST

/* Many lives on one disk: a crash never leads to a refusal, and never loses what was acknowledged. */
START_TEST(wal__survives_any_series_of_crashes)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct life l;
        struct rng rng;

        rng_seed(&rng, seed);
        life_begin(&l, seed);
        first_open(&l);
        for (unsigned round = 0; round < 12; round++) {
            int cut = (int)rng_below(&rng, 3) - 1;

            work(&l, &rng, 1 + (unsigned)rng_below(&rng, 30));
            lsn_t keeps = cut < 0 ? l.written : l.durable;
            if (rng_below(&rng, 5) == 0) {
                wal_close(l.wal);
                l.wal = NULL;
                keeps = l.appended.size;
            }
            crash(&l, cut);
            printf("# seed %llu round %u\n", (unsigned long long)seed, round);
            reopen(&l, keeps);
        }
        wal_close(l.wal);
        life_end(&l);
    }
}
END_TEST

START_TEST(wal__a_start_that_fails_can_be_repeated)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        bool failed = true;

        for (uint64_t n = 1; failed; n++) {
            struct life l;
            struct rng rng;

            rng_seed(&rng, seed);
            life_begin(&l, seed);
            first_open(&l);
            work(&l, &rng, 50);
            lsn_t keeps = l.durable;
            crash(&l, FAKE_CUT_TEAR);
            l.disk->fail_at = l.disk->changes + n;
            failed = wal_open(&l.disk->vfs, "d", &l.options, NULL, &l.wal) != OK;
            crash(&l, n % 2 ? FAKE_CUT_DROP : -1);
            reopen(&l, keeps);
            wal_close(l.wal);
            life_end(&l);
        }
    }
}
END_TEST

START_TEST(wal__the_first_start_can_be_repeated)
{
    bool failed = true;

    for (uint64_t n = 1; failed; n++) {
        struct life l;

        life_begin(&l, n);
        l.disk->fail_at = n;
        failed = wal_open(&l.disk->vfs, "d", &l.options, NULL, &l.wal) != OK;
        crash(&l, n % 2 ? FAKE_CUT_TEAR : FAKE_CUT_DROP);
        reopen(&l, 0);
        wal_close(l.wal);
        life_end(&l);
    }
}
END_TEST

START_TEST(wal__a_reset_happens_or_does_not)
{
    static const char replid[] = "00112233445566778899aabbccddeeff00112233";
    bool failed = true;

    for (uint64_t n = 1; failed; n++) {
        struct life l;
        struct rng rng;
        struct history h;

        rng_seed(&rng, 1);
        life_begin(&l, n);
        first_open(&l);
        work(&l, &rng, 30);
        lsn_t keeps = l.durable;
        l.disk->fail_at = l.disk->changes + n;
        failed = wal_reset(l.wal, replid, 1000000, -1) != OK;
        ck_assert_int_eq(failed, l.fatal.count > 0);
        crash(&l, FAKE_CUT_TEAR);
        ck_assert_int_eq(wal_open(&l.disk->vfs, "d", &l.options, NULL, &l.wal), OK);
        wal_history(l.wal, &h);
        if (strcmp(h.replid, replid) == 0) {
            ck_assert_uint_eq(wal_tail(l.wal), 1000000);
            ck_assert_uint_eq(fake_count(l.disk, ".log"), 1);
        } else {
            ck_assert(failed);
            ck_assert_uint_ge(wal_tail(l.wal), keeps);
            ck_assert_uint_lt(wal_tail(l.wal), 1000000);
        }
        wal_close(l.wal);
        life_end(&l);
    }
}
END_TEST

START_TEST(wal__retention_survives_a_failure_at_every_call)
{
    bool failed = true;

    for (uint64_t n = 1; failed; n++) {
        struct life l;
        struct rng rng;
        struct wal_figures figures;
        struct buf got = {0};

        rng_seed(&rng, 1);
        life_begin(&l, n);
        l.options.retain_bytes = 2000;
        first_open(&l);
        work(&l, &rng, 80);
        ck_assert_int_eq(wal_sync_to(l.wal, wal_tail(l.wal)), OK);
        wal_trim(l.wal, wal_tail(l.wal));
        l.disk->fail_at = l.disk->changes + n;
        wal_keep(l.wal);
        failed = l.disk->changes >= l.disk->fail_at;
        crash(&l, n % 2 ? FAKE_CUT_TEAR : -1);
        ck_assert_int_eq(wal_open(&l.disk->vfs, "d", &l.options, NULL, &l.wal), OK);
        ck_assert_uint_eq(wal_tail(l.wal), l.appended.size);
        wal_figures(l.wal, &figures);
        ck_assert_int_eq(help_read(l.wal, figures.first, &got), ERR_NOT_FOUND);
        ck_assert(slice_equal(buf_slice(&got),
                              slice_of(l.appended.data + figures.first, l.appended.size - figures.first)));
        buf_free(&got);
        wal_close(l.wal);
        life_end(&l);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, wal__a_failing_call_is_fatal_and_never_acknowledged);
    tcase_add_test(tests, wal__a_disk_that_stays_broken_takes_nothing_back);
    tcase_add_test(tests, wal__a_full_disk_is_fatal);
    tcase_add_test(tests, wal__a_power_cut_loses_only_what_was_not_synced);
    tcase_add_test(tests, wal__survives_any_series_of_crashes);
    tcase_add_test(tests, wal__a_start_that_fails_can_be_repeated);
    tcase_add_test(tests, wal__the_first_start_can_be_repeated);
    tcase_add_test(tests, wal__a_reset_happens_or_does_not);
    tcase_add_test(tests, wal__retention_survives_a_failure_at_every_call);
    return suite_run("wal_faults", tests);
}
