/*
 * stats.c - shards and their sums. A reset does not touch the shards: it remembers the sums as the new zero.
 */
#include "server/run/stats.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"

enum { SHARDS_MAX = 512, ERRORS_MAX = 128, CODE_BYTES_MAX = 32, SUB_BITS = 2 };

struct counters {
    _Atomic uint64_t calls, duration_ns, rejected, failed;
    _Atomic(_Atomic uint32_t *) buckets; /* NULL until the command was first called */
};

struct stats_shard {
    struct stats *stats;
    bool idle; /* Under its lock: nobody writes it */
    struct counters commands[];
};

struct error_count {
    char code[CODE_BYTES_MAX];
    size_t size;
    uint64_t count;
};

struct stats {
    size_t commands; /* Set once */
    _Atomic size_t shards;
    struct stats_shard *shard[SHARDS_MAX];

    pthread_mutex_t lock; /* guards the rest; a leaf */
    struct stats_command *zero;
    struct error_count errors[ERRORS_MAX];
    size_t error_codes;
    uint64_t error_total;
};

struct stats *stats_new(size_t commands)
{
    struct stats *s = calloc(1, sizeof *s);

    check(s != NULL);
    s->commands = commands;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void stats_free(struct stats *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->shards; i++) {
        for (size_t j = 0; j < s->commands; j++)
            free((void *)s->shard[i]->commands[j].buckets);
        free(s->shard[i]);
    }
    pthread_mutex_destroy(&s->lock);
    free(s->zero);
    free(s);
}

struct stats_shard *stats_shard_new(struct stats *s)
{
    struct stats_shard *shard = NULL;

    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->shards && shard == NULL; i++)
        if (s->shard[i]->idle)
            shard = s->shard[i];
    if (shard == NULL) {
        check(s->shards < SHARDS_MAX);
        shard = calloc(1, sizeof *shard + s->commands * sizeof shard->commands[0]);
        check(shard != NULL);
        shard->stats = s;
        s->shard[s->shards] = shard;
        s->shards++;
    }
    shard->idle = false;
    pthread_mutex_unlock(&s->lock);
    return shard;
}

void stats_shard_release(struct stats_shard *shard)
{
    pthread_mutex_lock(&shard->stats->lock);
    shard->idle = true;
    pthread_mutex_unlock(&shard->stats->lock);
}

/* Only the owner writes: no locked instruction is needed. */
#define BUMP(counter, by) \
    atomic_store_explicit(&(counter), atomic_load_explicit(&(counter), memory_order_relaxed) + (by), memory_order_relaxed)

static size_t bucket_of(uint64_t ns)
{
    unsigned top;

    if (ns < (1 << SUB_BITS))
        return (size_t)ns;
    top = 63 - (unsigned)__builtin_clzll(ns);
    return (size_t)(top - SUB_BITS + 1) << SUB_BITS | (ns >> (top - SUB_BITS) & ((1 << SUB_BITS) - 1));
}

uint64_t stats_bucket_ns(size_t bucket)
{
    size_t octave = bucket >> SUB_BITS, sub = bucket & ((1 << SUB_BITS) - 1);

    if (octave == 0)
        return bucket;
    return ((uint64_t)((1 << SUB_BITS) + sub + 1) << (octave - 1)) - 1;
}

void stats_record(struct stats_shard *shard, size_t command, uint64_t duration_ns, enum stats_outcome outcome)
{
    struct counters *c = &shard->commands[command];
    _Atomic uint32_t *buckets;

    if (outcome == STATS_REJECTED) {
        BUMP(c->rejected, 1);
        return;
    }
    BUMP(c->calls, 1);
    BUMP(c->duration_ns, duration_ns);
    if (outcome == STATS_FAILED)
        BUMP(c->failed, 1);
    buckets = atomic_load_explicit(&c->buckets, memory_order_relaxed);
    if (__builtin_expect(buckets == NULL, 0)) {
        buckets = calloc(STATS_BUCKETS, sizeof *buckets);
        check(buckets != NULL);
        atomic_store_explicit(&c->buckets, buckets, memory_order_release);
    }
    BUMP(buckets[bucket_of(duration_ns)], 1);
}

static void sum(struct stats *s, size_t command, struct stats_command *out)
{
    size_t shards = atomic_load(&s->shards);

    *out = (struct stats_command){0};
    for (size_t i = 0; i < shards; i++) {
        struct counters *c = &s->shard[i]->commands[command];
        _Atomic uint32_t *buckets = atomic_load_explicit(&c->buckets, memory_order_acquire);

        out->calls += atomic_load_explicit(&c->calls, memory_order_relaxed);
        out->duration_ns += atomic_load_explicit(&c->duration_ns, memory_order_relaxed);
        out->rejected += atomic_load_explicit(&c->rejected, memory_order_relaxed);
        out->failed += atomic_load_explicit(&c->failed, memory_order_relaxed);
        for (size_t b = 0; buckets != NULL && b < STATS_BUCKETS; b++)
            out->buckets[b] += atomic_load_explicit(&buckets[b], memory_order_relaxed);
    }
}

void stats_command(struct stats *s, size_t command, struct stats_command *out)
{
    check(command < s->commands);
    sum(s, command, out);
    pthread_mutex_lock(&s->lock);
    if (s->zero != NULL) {
        const struct stats_command *zero = &s->zero[command];

        out->calls -= zero->calls;
        out->duration_ns -= zero->duration_ns;
        out->rejected -= zero->rejected;
        out->failed -= zero->failed;
        for (size_t b = 0; b < STATS_BUCKETS; b++)
            out->buckets[b] -= zero->buckets[b];
    }
    pthread_mutex_unlock(&s->lock);
}

uint64_t stats_quantile_ns(const struct stats_command *c, double quantile)
{
    uint64_t total = 0, seen = 0;
    double wanted;

    for (size_t b = 0; b < STATS_BUCKETS; b++)
        total += c->buckets[b];
    wanted = quantile * (double)total;
    for (size_t b = 0; b < STATS_BUCKETS; b++) {
        seen += c->buckets[b];
        if (c->buckets[b] > 0 && (double)seen >= wanted)
            return stats_bucket_ns(b);
    }
    return 0;
}

uint64_t stats_calls(struct stats *s)
{
    uint64_t calls = 0;
    size_t shards = atomic_load(&s->shards);

    for (size_t i = 0; i < shards; i++)
        for (size_t j = 0; j < s->commands; j++)
            calls += atomic_load_explicit(&s->shard[i]->commands[j].calls, memory_order_relaxed);
    pthread_mutex_lock(&s->lock);
    for (size_t j = 0; s->zero != NULL && j < s->commands; j++)
        calls -= s->zero[j].calls;
    pthread_mutex_unlock(&s->lock);
    return calls;
}

uint64_t stats_time_ns(struct stats *s)
{
    uint64_t sum = 0;
    size_t shards = atomic_load(&s->shards);

    for (size_t i = 0; i < shards; i++)
        for (size_t j = 0; j < s->commands; j++)
            sum += atomic_load_explicit(&s->shard[i]->commands[j].duration_ns, memory_order_relaxed);
    pthread_mutex_lock(&s->lock);
    for (size_t j = 0; s->zero != NULL && j < s->commands; j++)
        sum -= s->zero[j].duration_ns;
    pthread_mutex_unlock(&s->lock);
    return sum;
}

void stats_error(struct stats *s, struct slice code)
{
    size_t i = 0;

    if (code.size > CODE_BYTES_MAX)
        code.size = CODE_BYTES_MAX;
    pthread_mutex_lock(&s->lock);
    s->error_total++;
    while (i < s->error_codes && slice_compare(slice_of(s->errors[i].code, s->errors[i].size), code) < 0)
        i++;
    if (i < s->error_codes && slice_equal(slice_of(s->errors[i].code, s->errors[i].size), code)) {
        s->errors[i].count++;
    } else if (s->error_codes < ERRORS_MAX) {
        memmove(&s->errors[i + 1], &s->errors[i], (s->error_codes - i) * sizeof s->errors[0]);
        memcpy(s->errors[i].code, code.data, code.size);
        s->errors[i].size = code.size;
        s->errors[i].count = 1;
        s->error_codes++;
    }
    pthread_mutex_unlock(&s->lock);
}

uint64_t stats_errors(struct stats *s)
{
    uint64_t total;

    pthread_mutex_lock(&s->lock);
    total = s->error_total;
    pthread_mutex_unlock(&s->lock);
    return total;
}

void stats_each(struct stats *s, stats_each_error *each, void *context)
{
    struct error_count copy[ERRORS_MAX];
    size_t count;

    pthread_mutex_lock(&s->lock);
    count = s->error_codes;
    memcpy(copy, s->errors, count * sizeof copy[0]);
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < count; i++)
        each(context, slice_of(copy[i].code, copy[i].size), copy[i].count);
}

void stats_reset(struct stats *s)
{
    struct stats_command *zero = calloc(s->commands, sizeof *zero), *old;

    check(zero != NULL);
    for (size_t j = 0; j < s->commands; j++)
        sum(s, j, &zero[j]);
    pthread_mutex_lock(&s->lock);
    old = s->zero;
    s->zero = zero;
    s->error_codes = 0;
    s->error_total = 0;
    pthread_mutex_unlock(&s->lock);
    free(old);
}

uint64_t stats_clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
