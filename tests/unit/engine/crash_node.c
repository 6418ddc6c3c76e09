/*
 * crash_node.c - one ledger and one child at a time.
 */
#include "tests/unit/engine/crash_node.h"

#include "base/log.h"
#include "base/rng.h"
#include "engine/store/store.h"
#include "persistence/vfs.h"
#include "persistence/wal.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct crash_ledger *ledger;

void crash_trouble(int line)
{
    ledger->trouble = line;
    _exit(3);
}

void *crash_ledger_new(size_t size)
{
    ledger = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(ledger != MAP_FAILED);
    return ledger;
}

size_t crash_words(struct slice text, struct slice words[4])
{
    const char *p = (const char *)text.data;
    size_t count = strtoul(p + 1, (char **)&p, 10);

    WANT(count <= 4);
    p += 2;
    for (size_t i = 0; i < count; i++) {
        size_t size = strtoul(p + 1, (char **)&p, 10);

        words[i] = slice_of(p + 2, size);
        p += 2 + size + 2;
    }
    return count;
}

static lsn_t floor_of(void *context, unsigned db)
{
    return set_replay_floor(((struct crash_node *)context)->set, db);
}

static void count(void *context, unsigned db, slot_t slot, lsn_t lsn, int64_t keys, int64_t expires)
{
    set_replay_count(((struct crash_node *)context)->set, db, slot, lsn, keys, expires);
}

void crash_node_open(struct crash_node *n, const char *dir, const struct crash_node_options *options)
{
    char path[128];
    struct store_options store = {.path = path, .block_cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20};
    struct set_options set = {.databases = options->databases, .budget_bytes = options->budget_bytes,
                              .dirty_bytes_max = 6000, .log_bytes_max = 20000};
    struct wal_options wal = wal_options_default();
    struct recovery_options recovery = {.databases = options->databases, .context = n, .floor = floor_of,
                                        .count = count, .apply = options->apply};

    wal.segment_bytes = 8192;
    wal.raw_bytes = 16384;
    wal.seal_age_ms = 0;
    wal.retain_bytes = 32768;
    wal.seed = 5;
    wal.fsync = WAL_FSYNC_NO;
    snprintf(path, sizeof path, "%s/log", dir);
    mkdir(path, 0755);
    WANT(wal_open(vfs_posix(), path, &wal, NULL, &n->wal) == OK);
    n->journal = wal_journal(n->wal);
    snprintf(path, sizeof path, "%s/store", dir);
    WANT(store_open(&store, &n->store) == OK);
    set.store = n->store;
    set.journal = &n->journal;
    WANT(set_open(&set, &n->set) == OK);
    n->txn = txn_new(n->set, 9);
    if (recovery_run(n->wal, &recovery, NULL) != OK) {
        fprintf(stderr, "recovery: %s\n", err_text());
        WANT(false);
    }
    WANT(set_start(n->set) == OK);
}

void crash_rounds(int rounds, uint64_t us_max, void (*life)(const char *dir, uint64_t seed))
{
    char dir[64], remove[128];
    uint64_t seed = getenv("SEED") != NULL ? strtoull(getenv("SEED"), NULL, 10) : 3;
    struct rng r;

    if (getenv("ROUNDS") != NULL)
        rounds = atoi(getenv("ROUNDS"));
    printf("SEED=%lu ROUNDS=%d\n", (unsigned long)seed, rounds);
    rng_seed(&r, seed);
    snprintf(dir, sizeof dir, "%s/cairn-crash-XXXXXX", getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    ck_assert(mkdtemp(dir) != NULL);
    for (int round = 0; round < rounds; round++) {
        unsigned long lives = ledger->lives;
        uint64_t life_seed = rng_next(&r), us = rng_below(&r, us_max);
        int status, waited = 0;
        pid_t child = fork();

        if (child == 0) {
            log_level_set(LOG_NOTHING);
            life(dir, life_seed);
        }
        while (ledger->lives == lives && ledger->trouble == 0 && waited++ < 60000 && waitpid(child, &status, WNOHANG) == 0)
            usleep(1000);
        usleep((useconds_t)us);
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        ck_assert_msg(ledger->trouble == 0, "round %d: line %d of the child", round, ledger->trouble);
        ck_assert_msg(ledger->lives == lives + 1, "round %d: the child did not recover", round);
    }
    printf("%lu commands, %d kills\n", ledger->commands, rounds);
    snprintf(remove, sizeof remove, "rm -rf '%s'", dir);
    ck_assert(system(remove) == 0);
}
