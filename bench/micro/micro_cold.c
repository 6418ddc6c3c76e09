/*
 * micro_cold.c - what bare RocksDB reads: random point reads of a node's database by many threads, no server above it.
 *
 *     micro_cold DATABASE KEYS READS THREADS [cache megabytes]
 *
 * DATABASE is the store folder of a node that is not running, loaded with keys named key:%012d. Prints reads per second
 * and the processor time of each, to set beside cold GETs of a server.
 */
#include "base/buf.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/rng.h"
#include "engine/key/row.h"
#include "engine/store/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

struct run {
    struct store *store;
    uint64_t keys, reads;
    atomic_uint_fast64_t left, found;
    atomic_uint seed;
};

static double seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *reader(void *argument)
{
    struct run *r = argument;
    struct family *f = store_family(r->store, 0);
    struct buf row = {0};
    struct rng rng;

    rng_seed(&rng, atomic_fetch_add(&r->seed, 1));
    while (atomic_fetch_sub(&r->left, 1) - 1 < r->reads) { /* below zero it wraps */
        struct store_value value = {0};
        char name[32];
        struct slice key = slice_of(name, (size_t)snprintf(name, sizeof name, "key:%012llu",
                                                           (unsigned long long)rng_below(&rng, r->keys)));
        enum err e;

        buf_clear(&row);
        row_key(&row, hash_slot(key), hash_name(key), key);
        e = store_get(r->store, f, STORE_DISK, buf_slice(&row), &value);
        check(e == OK || e == ERR_NOT_FOUND);
        if (e == OK)
            atomic_fetch_add(&r->found, 1);
        store_value_free(&value);
    }
    buf_free(&row);
    return NULL;
}

int main(int argc, char **argv)
{
    struct store_options options = {.write_buffer_bytes = 1 << 20};
    struct run r = {0};
    pthread_t thread[256];
    size_t threads;
    double began, cpu;

    if (argc < 5) {
        fprintf(stderr, "usage: micro_cold DATABASE KEYS READS THREADS [cache megabytes]\n");
        return 2;
    }
    options.path = argv[1];
    r.keys = strtoull(argv[2], NULL, 10);
    r.reads = strtoull(argv[3], NULL, 10);
    threads = strtoull(argv[4], NULL, 10);
    options.block_cache_bytes = (argc > 5 ? strtoull(argv[5], NULL, 10) : 16) << 20;
    check(threads > 0 && threads <= sizeof thread / sizeof thread[0] && r.keys > 0);
    check(store_open(&options, &r.store) == OK && store_family(r.store, 0) != NULL);
    atomic_store(&r.left, r.reads);
    began = seconds(CLOCK_MONOTONIC);
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t i = 0; i < threads; i++)
        check(pthread_create(&thread[i], NULL, reader, &r) == 0);
    for (size_t i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    began = seconds(CLOCK_MONOTONIC) - began;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("%.0f reads/s, %.1f us of CPU each, %.1f %% found\n", (double)r.reads / began, cpu / (double)r.reads * 1e6,
           100.0 * (double)atomic_load(&r.found) / (double)r.reads);
    store_close(r.store);
    return 0;
}
