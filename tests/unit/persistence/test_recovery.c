/*
 * test_recovery.c - the replay walk: what is handed over, in which order, from which floor.
 */
#include "fake_vfs.h"
#include "persistence/recovery.h"
#include "wal_help.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct fake *disk;
static struct help_fatal fatal;
static struct wal_options options;
static struct wal *wal;

struct seen {
    lsn_t floors[4];
    lsn_t lsns[64];
    unsigned dbs[64];
    enum journal_kind kinds[64];
    size_t applied;
    int64_t keys, expires;
    size_t counts;
    struct buf text;
    lsn_t fail_at;
    lsn_t progress;
};

static struct seen seen;
static struct recovery_figures figures;

static lsn_t floor_of(void *context, unsigned db)
{
    return ((struct seen *)context)->floors[db];
}

static void count(void *context, unsigned db, slot_t slot, lsn_t lsn, int64_t keys, int64_t expires)
{
    struct seen *s = context;

    ck_assert_uint_lt(db, 4);
    ck_assert_uint_lt(slot, SLOTS);
    ck_assert_uint_gt(lsn, 0);
    s->keys += keys;
    s->expires += expires;
    s->counts++;
    ck_assert_uint_eq(s->counts, s->applied + 1); /* the count comes before its effect */
}

static enum err apply(void *context, const struct recovery_effect *effect)
{
    struct seen *s = context;

    ck_assert(effect->kind != JOURNAL_MARK);
    if (effect->lsn == s->fail_at)
        return err_set(ERR_CORRUPT, "told to");
    if (s->applied < 64) {
        s->lsns[s->applied] = effect->lsn;
        s->dbs[s->applied] = effect->db;
        s->kinds[s->applied] = effect->kind;
    }
    s->applied++;
    buf_append_slice(&s->text, effect->text);
    return OK;
}

static void progress(void *context, lsn_t position, lsn_t end)
{
    ck_assert_uint_le(position, end);
    ((struct seen *)context)->progress = position;
}

static enum err run(void)
{
    struct recovery_options o = {
        .databases = 4, .context = &seen, .floor = floor_of, .count = count, .apply = apply, .progress = progress};

    seen.applied = seen.counts = 0;
    seen.keys = seen.expires = 0;
    buf_clear(&seen.text);
    return recovery_run(wal, &o, &figures);
}

static void setup(void)
{
    disk = fake_new(1);
    wal_help_quiet();
    options = help_options(&fatal);
    memset(&seen, 0, sizeof seen);
    ck_assert_int_eq(wal_open(&disk->vfs, "d", &options, NULL, &wal), OK);
}

static void teardown(void)
{
    wal_close(wal);
    buf_free(&seen.text);
    fake_free(disk);
}

START_TEST(recovery__hands_over_every_effect_in_order)
{
    struct buf expected = {0};
    lsn_t a = help_set(wal, 0, 1, 10, &expected), b = help_set(wal, 2, 2, 10, &expected);
    lsn_t c = help_multi(wal, 1, 30, NULL);

    ck_assert_int_eq(wal_sync_to(wal, c), OK);
    ck_assert_int_eq(run(), OK);
    ck_assert_uint_eq(seen.applied, 32);
    ck_assert_uint_eq(seen.keys, 32);
    ck_assert_uint_eq(seen.lsns[0], a);
    ck_assert_uint_eq(seen.lsns[1], b);
    ck_assert_uint_eq(seen.dbs[1], 2);
    ck_assert_uint_eq(seen.lsns[31], c - strlen("*1\r\n$4\r\nEXEC\r\n"));
    ck_assert(memcmp(seen.text.data, expected.data, expected.size) == 0);
    ck_assert_uint_eq(figures.frames, 3);
    ck_assert_uint_eq(figures.applied, 32);
    ck_assert_uint_eq(figures.to, c);
    ck_assert_uint_eq(seen.progress, c);
    buf_free(&expected);
}
END_TEST

START_TEST(recovery__begins_at_each_databases_own_floor)
{
    lsn_t ends[40];

    for (unsigned i = 0; i < 40; i++)
        ends[i] = help_set(wal, i % 2, i, 100, NULL);
    ck_assert_int_eq(wal_sync_to(wal, wal_tail(wal)), OK);
    seen.floors[0] = ends[10];
    seen.floors[1] = ends[21];
    seen.floors[2] = seen.floors[3] = wal_tail(wal) + 1;
    ck_assert_int_eq(run(), OK);
    ck_assert_uint_eq(seen.applied, 15 + 10);
    ck_assert_uint_eq(seen.lsns[0], ends[10]); /* the effect at the floor itself is needed */
    ck_assert_uint_eq(figures.skipped, 5);
    seen.floors[0] = ends[10] + 1;
    ck_assert_int_eq(run(), OK);
    ck_assert_uint_eq(seen.lsns[0], ends[12]);
    for (unsigned db = 0; db < 4; db++)
        seen.floors[db] = wal_tail(wal) + 1;
    ck_assert_int_eq(run(), OK);
    ck_assert_uint_eq(seen.applied, 0);
}
END_TEST

START_TEST(recovery__hands_over_range_effects)
{
    struct slice text = SLICE_LITERAL("*1\r\n$7\r\nFLUSHDB\r\n");
    static const enum journal_kind kinds[] = {JOURNAL_FLUSH, JOURNAL_SWAP, JOURNAL_DROP, JOURNAL_BEGIN, JOURNAL_DONE};

    for (size_t i = 0; i < 5; i++) {
        struct journal_effect effect = {.bytes = (uint32_t)text.size, .slot = SLOT_NODE, .kind = kinds[i]};

        wal_append(wal, &effect, 1, text);
    }
    ck_assert_int_eq(wal_sync_to(wal, wal_tail(wal)), OK);
    ck_assert_int_eq(run(), OK);
    ck_assert_uint_eq(seen.applied, 5);
    for (size_t i = 0; i < 5; i++)
        ck_assert_int_eq(seen.kinds[i], kinds[i]);
    seen.floors[0] = wal_tail(wal) + 1; /* an exchange of databases is not for one floor to leave out */
    ck_assert_int_eq(run(), OK);
    ck_assert_uint_eq(seen.applied, 1);
    ck_assert_int_eq(seen.kinds[0], JOURNAL_SWAP);
}
END_TEST

START_TEST(recovery__stops_where_an_effect_fails)
{
    help_set(wal, 0, 1, 10, NULL);
    seen.fail_at = help_set(wal, 0, 2, 10, NULL);
    help_set(wal, 0, 3, 10, NULL);
    ck_assert_int_eq(wal_sync_to(wal, wal_tail(wal)), OK);
    ck_assert_int_eq(run(), ERR_CORRUPT);
    ck_assert_uint_eq(seen.applied, 1);
    char position[32];
    snprintf(position, sizeof position, "position %llu", (unsigned long long)seen.fail_at);
    ck_assert_msg(strstr(err_text(), position) != NULL, "%s", err_text());
}
END_TEST

START_TEST(recovery__refuses_data_of_another_log)
{
    options.segment_bytes = 300;
    options.retain_bytes = 0;
    wal_close(wal);
    ck_assert_int_eq(wal_open(&disk->vfs, "d", &options, NULL, &wal), OK);
    for (unsigned i = 0; i < 30; i++)
        ck_assert_int_eq(wal_sync_to(wal, help_set(wal, 0, i, 100, NULL)), OK);
    seen.floors[0] = wal_tail(wal) + 2; /* data ahead of the log */
    ck_assert_int_eq(run(), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err_text(), "do not belong together"));
    wal_trim(wal, wal_tail(wal));
    wal_keep(wal);
    seen.floors[0] = 1; /* data older than what the log still holds */
    ck_assert_int_eq(run(), ERR_CORRUPT);
    seen.floors[0] = wal_tail(wal);
    ck_assert_int_eq(run(), OK);
    ck_assert_uint_eq(seen.applied, 1);
}
END_TEST

START_TEST(recovery__refuses_a_database_that_is_not_there)
{
    ck_assert_int_eq(wal_sync_to(wal, help_set(wal, 4, 1, 10, NULL)), OK);
    ck_assert_int_eq(run(), ERR_CORRUPT);
}
END_TEST

START_TEST(recovery__finds_damage_in_sealed_segments)
{
    options.segment_bytes = 300;
    options.raw_bytes = 0;
    wal_close(wal);
    ck_assert_int_eq(wal_open(&disk->vfs, "d", &options, NULL, &wal), OK);
    for (unsigned i = 0; i < 30; i++)
        ck_assert_int_eq(wal_sync_to(wal, help_set(wal, 0, i, 100, NULL)), OK);
    wal_keep(wal);
    struct buf *file = fake_bytes(disk, fake_path(disk, ".log", 3));
    file->data[file->size - 9] ^= 2;
    ck_assert_int_eq(run(), ERR_CORRUPT);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, recovery__hands_over_every_effect_in_order);
    tcase_add_test(tests, recovery__begins_at_each_databases_own_floor);
    tcase_add_test(tests, recovery__hands_over_range_effects);
    tcase_add_test(tests, recovery__stops_where_an_effect_fails);
    tcase_add_test(tests, recovery__refuses_data_of_another_log);
    tcase_add_test(tests, recovery__refuses_a_database_that_is_not_there);
    tcase_add_test(tests, recovery__finds_damage_in_sealed_segments);
    return suite_run("recovery", tests);
}
