/*
 * stats.h - what commands cost: calls, time, failures, a histogram of durations; errors by code.
 *
 * Each thread that executes commands has a shard that only it writes, with plain relaxed stores; readers sum them up.
 */
#ifndef CAIRN_SERVER_RUN_STATS_H
#define CAIRN_SERVER_RUN_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct stats;
struct stats_shard;

struct stats *stats_new(size_t commands);
void stats_free(struct stats *s);

/* A thread's own until it releases it; what it counted stays, and the shard is given to the next that asks. */
struct stats_shard *stats_shard_new(struct stats *s);
void stats_shard_release(struct stats_shard *shard);

enum stats_outcome { STATS_DONE, STATS_FAILED, STATS_REJECTED };
/* Owner thread only. REJECTED counts no call and no time. */
void stats_record(struct stats_shard *shard, size_t command, uint64_t duration_ns, enum stats_outcome outcome);

/* An error reply's code, any thread. At most 128 codes are kept apart. */
void stats_error(struct stats *s, struct slice code);

enum { STATS_BUCKETS = 256 };
struct stats_command {
    uint64_t calls, duration_ns, rejected, failed;
    uint64_t buckets[STATS_BUCKETS]; /* see stats_bucket_ns */
};
/* Since the start or the last reset. Any thread. */
void stats_command(struct stats *s, size_t command, struct stats_command *out);

/* The largest duration that falls into the bucket, ns. */
uint64_t stats_bucket_ns(size_t bucket);
/* The duration, ns, that `quantile` (0 .. 1) of the calls did not exceed; 0 without calls. */
uint64_t stats_quantile_ns(const struct stats_command *c, double quantile);

uint64_t stats_calls(struct stats *s);  /* all commands together */
uint64_t stats_time_ns(struct stats *s); /* that they took together */
uint64_t stats_errors(struct stats *s); /* error replies */

typedef void stats_each_error(void *context, struct slice code, uint64_t count);
void stats_each(struct stats *s, stats_each_error *each, void *context); /* ordered by code */

void stats_reset(struct stats *s); /* CONFIG RESETSTAT */

/* Nanoseconds of a monotonic clock. */
uint64_t stats_clock_ns(void);

#endif
