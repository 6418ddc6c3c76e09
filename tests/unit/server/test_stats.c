/*
 * test_stats.c - histograms, quantiles, errors by code.
 */
#include "server/run/stats.h"

#include <check.h>
#include <stdlib.h>

#include "base/buf.h"
#include "tests/unit/suite.h"

static struct stats *stats;
static struct stats_shard *shard, *other;

static void setup(void)
{
    stats = stats_new(3);
    shard = stats_shard_new(stats);
    other = stats_shard_new(stats);
}

static void teardown(void)
{
    stats_free(stats);
}

START_TEST(stats__sums_the_shards)
{
    struct stats_command c;

    stats_record(shard, 1, 1000, STATS_DONE);
    stats_record(other, 1, 3000, STATS_FAILED);
    stats_record(other, 1, 0, STATS_REJECTED);
    stats_command(stats, 1, &c);
    ck_assert_uint_eq(c.calls, 2);
    ck_assert_uint_eq(c.duration_ns, 4000);
    ck_assert_uint_eq(c.failed, 1);
    ck_assert_uint_eq(c.rejected, 1);
    stats_command(stats, 0, &c);
    ck_assert_uint_eq(c.calls, 0);
    ck_assert_uint_eq(stats_calls(stats), 2);
}
END_TEST

/* Each link of a replica and each moved range of slots has an executor of its own. */
START_TEST(stats__threads_that_come_and_go_share_a_shard_and_lose_no_count)
{
    struct stats_command c;

    for (int i = 0; i < 2000; i++) {
        struct stats_shard *mine = stats_shard_new(stats);

        ck_assert_ptr_ne(mine, shard);
        stats_record(mine, 1, 10, STATS_DONE);
        stats_shard_release(mine);
    }
    stats_command(stats, 1, &c);
    ck_assert_uint_eq(c.calls, 2000);
}
END_TEST

START_TEST(stats__buckets_are_in_order_and_hold_their_durations)
{
    for (size_t b = 1; b < 240; b++)
        ck_assert_uint_gt(stats_bucket_ns(b), stats_bucket_ns(b - 1));
    for (uint64_t ns = 1; ns < (uint64_t)1 << 40; ns = ns * 5 / 3 + 1) {
        struct stats_command c;
        size_t bucket = 0;

        stats_reset(stats);
        stats_record(shard, 0, ns, STATS_DONE);
        stats_command(stats, 0, &c);
        while (c.buckets[bucket] == 0)
            bucket++;
        ck_assert_uint_ge(stats_bucket_ns(bucket), ns);
        if (bucket > 0)
            ck_assert_uint_lt(stats_bucket_ns(bucket - 1), ns);
    }
}
END_TEST

START_TEST(stats__quantiles_are_within_a_bucket)
{
    struct stats_command c;

    for (uint64_t i = 1; i <= 1000; i++)
        stats_record(shard, 2, i * 1000, STATS_DONE);
    stats_command(stats, 2, &c);
    ck_assert_uint_ge(stats_quantile_ns(&c, 0.5), 500000);
    ck_assert_uint_le(stats_quantile_ns(&c, 0.5), 625000);
    ck_assert_uint_ge(stats_quantile_ns(&c, 0.99), 990000);
    ck_assert_uint_le(stats_quantile_ns(&c, 1), 1250000);
}
END_TEST

static void collect(void *context, struct slice code, uint64_t count)
{
    buf_append_format(context, "%.*s=%llu ", (int)code.size, (const char *)code.data, (unsigned long long)count);
}

START_TEST(stats__errors_are_told_apart_by_code)
{
    struct buf text = {0};

    stats_error(stats, SLICE_LITERAL("WRONGTYPE"));
    stats_error(stats, SLICE_LITERAL("ERR"));
    stats_error(stats, SLICE_LITERAL("WRONGTYPE"));
    stats_each(stats, collect, &text);
    buf_append_byte(&text, 0);
    ck_assert_str_eq((const char *)text.data, "ERR=1 WRONGTYPE=2 ");
    ck_assert_uint_eq(stats_errors(stats), 3);
    stats_reset(stats);
    ck_assert_uint_eq(stats_errors(stats), 0);
    buf_free(&text);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, stats__sums_the_shards);
    tcase_add_test(tests, stats__threads_that_come_and_go_share_a_shard_and_lose_no_count);
    tcase_add_test(tests, stats__buckets_are_in_order_and_hold_their_durations);
    tcase_add_test(tests, stats__quantiles_are_within_a_bucket);
    tcase_add_test(tests, stats__errors_are_told_apart_by_code);
    return suite_run("stats", tests);
}
