/*
 * micro_set.c - what one SET and one GET cost inside the engine: transaction, table, frame, no network and no disk log.
 *
 *     micro_set [keys] [operations] [value bytes]
 */
#include "base/check.h"
#include "base/hash.h"
#include "base/rng.h"
#include "engine/set/journal.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"
#include "engine/store/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static atomic_ullong tail_at;

static lsn_t append(void *context, const struct journal_effect *effects, size_t count, struct slice text, struct buf *from)
{
    (void)context;
    (void)effects;
    (void)count;
    (void)from;
    return atomic_fetch_add(&tail_at, text.size);
}

static lsn_t tail(void *context)
{
    (void)context;
    return atomic_load(&tail_at);
}

static enum err sync_(void *context, lsn_t lsn)
{
    (void)context;
    (void)lsn;
    return OK;
}

static void trim(void *context, lsn_t floor)
{
    (void)context;
    (void)floor;
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

enum { BATCH = 16 };

struct request {
    char name[32];
    struct slice key;
    slot_t slot;
};

static void execute(struct txn *t, const struct request *q, struct slice value, bool write)
{
    struct txn_options options = {.now_ms = 1, .may_wait = true};
    struct obj *o = NULL;
    lsn_t end;

    check(txn_begin(t, &q->slot, 1, &options) == OK);
    if (write) {
        struct slice words[3] = {SLICE_LITERAL("SET"), q->key, value};

        txn_size_hint(t, value.size);
        check(txn_write_or_create(t, q->key, OBJ_STRING, &o, NULL) == OK);
        obj_value_set(o, value);
        txn_changed(t, o);
        txn_command_end(t, (struct slice){0}, words, 3);
        check(txn_commit(t, &end) == OK);
    } else {
        (void)!txn_read(t, q->key, OBJ_STRING, &o);
    }
    txn_end(t);
}

static double run(struct set *set, struct txn *t, size_t keys, size_t operations, struct slice value, bool write,
                  bool prefetch)
{
    struct rng r;
    double start = seconds();
    struct request q[BATCH];

    rng_seed(&r, write ? 1 : 2);
    for (size_t n = 0; n < operations; n += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            q[i].key = slice_of(q[i].name, (size_t)sprintf(q[i].name, "key:%012lu", rng_below(&r, keys)));
            q[i].slot = hash_slot(q[i].key);
        }
        if (prefetch) {
            for (int i = 0; i < BATCH; i++)
                set_prefetch_slot(set, 0, q[i].slot);
            for (int i = 0; i < BATCH; i++)
                set_prefetch_cell(set, 0, q[i].slot, hash_name(q[i].key), false);
            for (int i = 0; i < BATCH; i++)
                set_prefetch_object(set, 0, q[i].slot, hash_name(q[i].key), false);
        }
        for (int i = 0; i < BATCH; i++)
            execute(t, &q[i], value, write);
    }
    return (seconds() - start) / (double)operations * 1e9;
}

int main(int argc, char **argv)
{
    size_t keys = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    size_t operations = argc > 2 ? strtoul(argv[2], NULL, 10) : 3000000;
    size_t size = argc > 3 ? strtoul(argv[3], NULL, 10) : 128;
    struct journal journal = {NULL, append, tail, sync_, trim, NULL};
    char path[] = "micro_set.XXXXXX", command[64];
    struct store_options store_options = {.block_cache_bytes = 64 << 20, .write_buffer_bytes = 32 << 20};
    struct set_options options = {.journal = &journal, .databases = 1, .budget_bytes = UINT64_C(4) << 30,
                                  .dirty_bytes_max = 256 << 20, .log_bytes_max = UINT64_C(1) << 40};
    struct store *store = NULL;
    struct set *set = NULL;
    struct txn *t;
    void *value = calloc(1, size);

    check(mkdtemp(path) != NULL);
    store_options.path = path;
    check(store_open(&store_options, &store) == OK);
    options.store = store;
    check(set_open(&options, &set) == OK);
    t = txn_new(set, 1);
    printf("SET, new keys              %7.0f ns\n", run(set, t, keys, keys, slice_of(value, size), true, false));
    printf("SET, overwriting           %7.0f ns\n", run(set, t, keys, operations, slice_of(value, size), true, false));
    printf("SET, 16 at a time          %7.0f ns\n", run(set, t, keys, operations, slice_of(value, size), true, true));
    printf("GET                        %7.0f ns\n", run(set, t, keys, operations, slice_of(value, size), false, false));
    printf("GET, 16 at a time          %7.0f ns\n", run(set, t, keys, operations, slice_of(value, size), false, true));
    txn_free(t);
    set_close(set);
    store_close(store);
    free(value);
    snprintf(command, sizeof command, "rm -rf %s", path);
    return system(command) == 0 ? 0 : 1;
}
