/*
 * micro_wal.c - what one append costs: processor time per frame in memory, wall time with the group write, and from several threads.
 *
 *   micro_wal DIR [threads]      DIR is an existing directory; the log is written to DIR/log and left there
 */
#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "persistence/vfs.h"
#include "persistence/wal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { FRAMES = 2000000, TURN = 64 };

static struct wal *wal;
static size_t text_bytes;

static double seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A turn of TURN commands, then its bytes go to the kernel. */
static void *run(void *context)
{
    struct journal_effect effect = {.bytes = (uint32_t)text_bytes, .slot = 1, .keys = 1};
    uint8_t *text = calloc(1, text_bytes);
    double *append = context, begun;
    lsn_t end = 0;

    check(text != NULL);
    for (unsigned i = 0; i < FRAMES; i += TURN) {
        begun = seconds(CLOCK_THREAD_CPUTIME_ID);
        for (unsigned k = 0; k < TURN; k++)
            end = wal_append(wal, &effect, 1, slice_of(text, text_bytes)) + text_bytes;
        *append += seconds(CLOCK_THREAD_CPUTIME_ID) - begun;
        if (wal_write_to(wal, end) != OK)
            abort();
    }
    free(text);
    return NULL;
}

static void measure(unsigned threads)
{
    pthread_t ids[64];
    double append[64] = {0}, begun = seconds(CLOCK_MONOTONIC), all, sum = 0;

    for (unsigned i = 0; i < threads; i++)
        check(pthread_create(&ids[i], NULL, run, &append[i]) == 0);
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        sum += append[i];
    }
    all = seconds(CLOCK_MONOTONIC) - begun;
    printf("threads=%u text=%zu append_ns=%.0f all_ns=%.0f frames_per_second=%.0f\n", threads, text_bytes,
           sum / threads / FRAMES * 1e9, all / FRAMES / threads * 1e9, FRAMES * threads / all);
}

int main(int argc, char **argv)
{
    struct wal_options options = wal_options_default();
    static const size_t sizes[] = {40, 250, 1000};
    unsigned threads = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    char path[VFS_PATH_MAX];

    if (argc < 2 || threads == 0 || threads > 64) {
        fprintf(stderr, "micro_wal DIR [threads]\n");
        return 2;
    }
    vfs_path(path, argv[1], "log");
    options.retain_bytes = 128 << 20;
    if (wal_open(vfs_posix(), path, &options, NULL, &wal) != OK) {
        fprintf(stderr, "%s\n", err_text());
        return 1;
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        text_bytes = sizes[i];
        measure(threads);
        wal_trim(wal, wal_tail(wal));
    }
    wal_close(wal);
    return 0;
}
