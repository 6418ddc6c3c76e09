/*
 * test_set_threads.c - several threads on one working set, with drains, evictions, flights and big values between them.
 * Meant for the thread sanitizer too.
 */
#include "tests/unit/engine/harness.h"
#include "tests/unit/suite.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/rng.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 3, KEYS = 60, STEPS = 4000 };

struct worker {
    struct harness *h;
    int number;
    uint64_t seed;
    bool failed;
    char model[KEYS][24];
    uint64_t big[KEYS]; /* elements of the key when it is a big set; 0: it is not */
};

static void begin(struct worker *w, struct txn *t, struct slice key)
{
    struct txn_options options = {.now_ms = w->h->now_ms, .may_wait = true};
    slot_t slot = hash_slot(key);

    check(txn_begin(t, &slot, 1, &options) == OK);
}

static void end(struct txn *t)
{
    struct slice words[1] = {SLICE_LITERAL("CHANGE")};
    lsn_t lsn;

    txn_command_end(t, (struct slice){0}, words, 1);
    check(txn_commit(t, &lsn) == OK);
    txn_end(t);
}

static void write_string(struct worker *w, struct txn *t, struct slice key, int i, struct rng *r)
{
    struct obj *o = NULL;

    if (txn_write_or_create(t, key, OBJ_ANY, &o, NULL) == OK && (o->type != OBJ_STRING || o->form != OBJ_PLAIN))
        txn_reset(t, o, OBJ_STRING);
    snprintf(w->model[i], sizeof w->model[i], "v%lu", (unsigned long)rng_next(r));
    w->big[i] = 0;
    obj_value_set(o, slice_str(w->model[i]));
    txn_changed(t, o);
}

/* Turns the key into a big set, or adds to it. */
static void write_big(struct worker *w, struct txn *t, struct slice key, int i)
{
    struct obj *o = NULL;
    char name[16];

    check(txn_write_or_create(t, key, OBJ_ANY, &o, NULL) == OK);
    if (o->form != OBJ_BIG) {
        txn_reset(t, o, OBJ_SET);
        check(txn_make_big(t, o) == OK);
    }
    snprintf(name, sizeof name, "%lu", (unsigned long)o->count);
    txn_element_put(t, o, slice_str(name), (struct slice){0});
    o->count++;
    txn_changed(t, o);
    w->big[i] = o->count;
    w->model[i][0] = '\0';
}

static bool agrees(struct worker *w, struct txn *t, struct slice key, int i)
{
    struct obj *o = NULL;
    enum err e = txn_read(t, key, OBJ_ANY, &o);

    if (w->big[i] > 0) {
        struct txn_cursor c;
        uint64_t n = 0;

        if (e != OK || o->form != OBJ_BIG || o->count != w->big[i] || txn_elements(t, o, 0, &c) != OK)
            return false;
        while (txn_cursor_next(&c) == OK)
            n++;
        txn_cursor_close(&c);
        return n == w->big[i];
    }
    if (w->model[i][0] == '\0')
        return e == ERR_NOT_FOUND;
    return e == OK && slice_equal(obj_value(o), slice_str(w->model[i]));
}

static void *run(void *context)
{
    struct worker *w = context;
    struct txn *t = txn_new(w->h->set, w->seed);
    struct rng r;

    rng_seed(&r, w->seed);
    for (int step = 0; step < STEPS && !w->failed; step++) {
        int i = (int)rng_below(&r, KEYS);
        char name[32];
        struct slice key;
        struct obj *o = NULL;

        snprintf(name, sizeof name, "{tag%d}w%d:%d", i % 5, w->number, i); /* threads share slots */
        key = slice_str(name);
        begin(w, t, key);
        switch (rng_below(&r, 10)) {
        case 0:
            if (txn_write(t, key, OBJ_ANY, &o) == OK)
                txn_delete(t, o);
            w->model[i][0] = '\0';
            w->big[i] = 0;
            break;
        case 1: case 2: case 3:
            write_string(w, t, key, i, &r);
            break;
        case 4: case 5:
            write_big(w, t, key, i);
            break;
        default:
            w->failed = !agrees(w, t, key, i);
        }
        end(t);
        if (rng_below(&r, 400) == 0 && w->number == 0)
            check(set_drain(w->h->set) == OK);
    }
    txn_free(t);
    return NULL;
}

START_TEST(set__threads_see_their_own_writes_through_drains_and_evictions)
{
    struct harness *h = harness_open(20000);
    static struct worker workers[THREADS];
    pthread_t threads[THREADS];
    uint64_t seed = getenv("SEED") != NULL ? strtoull(getenv("SEED"), NULL, 10) : 11, keys = 0;

    printf("SEED=%lu\n", (unsigned long)seed);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.h = h, .number = i, .seed = seed + (uint64_t)i};
        pthread_create(&threads[i], NULL, run, &workers[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_msg(!workers[i].failed, "thread %d", i);
        for (int k = 0; k < KEYS; k++)
            keys += workers[i].model[k][0] != '\0' || workers[i].big[k] > 0;
    }
    ck_assert_uint_eq(set_keys(h->set, 0), keys);
    harness_close(h);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("set_threads");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, set__threads_see_their_own_writes_through_drains_and_evictions);
    return suite_run("set_threads", tc);
}
