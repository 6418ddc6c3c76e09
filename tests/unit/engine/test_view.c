/*
 * test_view.c - views of all databases: one moment, exact to the frame, whatever goes on meanwhile.
 */
#include "tests/unit/engine/harness.h"
#include "tests/unit/suite.h"

#include "base/check.h"
#include "base/hash.h"
#include "engine/set/view.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 2, COMMITS_MAX = 60000, VIEWS = 12, BUDGET = 16 << 20 };

/* Counts in a string, and adds a member to a big set, in one frame each time. */
struct worker {
    struct harness *h;
    int number;
    atomic_bool *stop;
    pthread_barrier_t *begun;
    size_t commits;
    lsn_t *ends; /* of each commit */
};

static void set_number(struct txn *t, struct slice key, size_t number)
{
    struct obj *o = NULL;
    char text[32];

    check(txn_write_or_create(t, key, OBJ_STRING, &o, NULL) == OK);
    snprintf(text, sizeof text, "%zu", number);
    obj_value_set(o, slice_str(text));
    txn_changed(t, o);
    TXN_EFFECT(t, o, SLICE_LITERAL("SET"), key, slice_str(text));
}

static void add_member(struct txn *t, struct slice key, size_t number)
{
    struct obj *o = NULL;
    char text[32];

    check(txn_write_or_create(t, key, OBJ_SET, &o, NULL) == OK);
    if (o->form != OBJ_BIG)
        check(txn_make_big(t, o) == OK);
    snprintf(text, sizeof text, "m%zu", number);
    txn_element_put(t, o, slice_str(text), (struct slice){0});
    o->count++;
    txn_changed(t, o);
    TXN_EFFECT(t, o, SLICE_LITERAL("SADD"), key, slice_str(text));
}

static void *run(void *context)
{
    struct worker *w = context;
    const struct txn_options options = {.now_ms = w->h->now_ms, .may_wait = true};
    struct txn *t = txn_new(w->h->set, (uint64_t)w->number);
    char counter[16], members[16];
    slot_t slots[2];

    snprintf(counter, sizeof counter, "counter%d", w->number);
    snprintf(members, sizeof members, "members%d", w->number);
    slots[0] = hash_slot(slice_str(counter));
    slots[1] = hash_slot(slice_str(members));
    if (slots[0] > slots[1]) {
        slot_t larger = slots[0];

        slots[0] = slots[1];
        slots[1] = larger;
    }
    while (!atomic_load(w->stop) && w->commits < COMMITS_MAX) {
        check(txn_begin(t, slots, 2, &options) == OK);
        set_number(t, slice_str(counter), w->commits + 1);
        add_member(t, slice_str(members), w->commits + 1);
        txn_command_end(t, (struct slice){0}, NULL, 0);
        check(txn_commit(t, &w->ends[w->commits]) == OK);
        txn_end(t);
        if (w->commits++ == 0)
            pthread_barrier_wait(w->begun);
    }
    txn_free(t);
    return NULL;
}

struct seen {
    lsn_t lsn;
    uint64_t counter[THREADS], members[THREADS], rows[THREADS];
};

static void look(struct harness *h, struct seen *seen)
{
    struct set_view_key key;
    struct set_view *v = NULL;
    enum err e;

    *seen = (struct seen){0};
    ck_assert_int_eq(set_view_open(h->set, &v), OK);
    seen->lsn = set_view_lsn(v);
    set_view_seek(v, 0, 0, SLOTS - 1);
    while ((e = set_view_next(v, &key)) == OK) {
        int number = key.name.data[key.name.size - 1] - '0';

        if (key.type == OBJ_STRING) {
            char text[32] = {0};

            memcpy(text, key.value.data, key.value.size);
            seen->counter[number] = strtoull(text, NULL, 10);
        } else {
            struct set_view_row row;

            seen->members[number] = key.count;
            set_view_rows(v, &key, ROW_ELEMENT);
            while (set_view_row(v, &row) == OK)
                seen->rows[number]++;
        }
    }
    ck_assert_int_eq(e, ERR_NOT_FOUND);
    set_view_close(v);
}

START_TEST(view__holds_exactly_the_frames_up_to_its_position)
{
    struct harness *h = harness_open(BUDGET);
    static struct worker workers[THREADS];
    struct seen *seen = calloc(VIEWS, sizeof *seen);
    pthread_t threads[THREADS];
    atomic_bool stop = false;
    pthread_barrier_t begun;

    ck_assert_int_eq(pthread_barrier_init(&begun, NULL, THREADS + 1), 0);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){
            .h = h, .number = i, .stop = &stop, .begun = &begun, .ends = calloc(COMMITS_MAX, sizeof(lsn_t))};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run, &workers[i]), 0);
    }
    pthread_barrier_wait(&begun); /* each has committed something */
    for (int i = 0; i < VIEWS; i++)
        look(h, &seen[i]);
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < VIEWS; i++)
        for (int w = 0; w < THREADS; w++) {
            uint64_t n = seen[i].counter[w];

            ck_assert_uint_eq(seen[i].members[w], n);
            ck_assert_uint_eq(seen[i].rows[w], n);
            ck_assert(n == 0 || workers[w].ends[n - 1] <= seen[i].lsn);
            ck_assert(n == workers[w].commits || workers[w].ends[n] > seen[i].lsn);
        }
    ck_assert_uint_gt(seen[VIEWS - 1].counter[0], 0);
    for (int i = 0; i < THREADS; i++)
        free(workers[i].ends);
    pthread_barrier_destroy(&begun);
    free(seen);
    harness_close(h);
}
END_TEST

static void put(struct harness *h, const char *name, size_t number)
{
    set_number(harness_begin(h, name, NULL), slice_str(name), number);
    harness_end(h);
}

static size_t count_keys(struct set_view *v, unsigned db, slot_t first, slot_t last)
{
    struct set_view_key key;
    size_t n = 0;

    set_view_seek(v, db, first, last);
    while (set_view_next(v, &key) == OK)
        n++;
    return n;
}

START_TEST(view__stays_as_it_was_while_keys_change_and_databases_are_emptied)
{
    struct harness *h = harness_open(BUDGET);
    uint64_t keys = 0, expires = 1, slots = 0;
    struct set_view *v = NULL, *empty = NULL;
    lsn_t end;
    char name[32];

    for (size_t i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "key%zu", i);
        put(h, name, i);
    }
    ck_assert_int_eq(set_view_open(h->set, &v), OK);
    ck_assert(set_view_size(v, 0, &keys, &expires));
    ck_assert_uint_eq(keys, 2000);
    ck_assert_uint_eq(expires, 0);
    ck_assert(!set_view_size(v, 1, NULL, NULL));
    for (size_t i = 1000; i < 3000; i++) {
        snprintf(name, sizeof name, "key%zu", i);
        put(h, name, i + 1);
    }
    ck_assert_int_eq(set_drain(h->set), OK);
    ck_assert_uint_eq(count_keys(v, 0, 0, SLOTS - 1), 2000);
    ck_assert_int_eq(set_flush_db(h->set, 0, &end), OK);
    ck_assert_int_eq(set_drain(h->set), OK);
    ck_assert_int_eq(set_view_open(h->set, &empty), OK);
    ck_assert(!set_view_size(empty, 0, NULL, NULL));
    ck_assert_uint_eq(count_keys(empty, 0, 0, SLOTS - 1), 0);
    ck_assert_uint_eq(count_keys(v, 0, 0, SLOTS - 1), 2000);
    ck_assert_uint_eq(count_keys(v, 0, 0, 8000) + count_keys(v, 0, 8001, SLOTS - 1), 2000);
    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t in_slot = set_view_slot_keys(v, 0, (slot_t)i);

        slots += in_slot;
        if (in_slot > 1)
            ck_assert_uint_eq(count_keys(v, 0, (slot_t)i, (slot_t)i), in_slot);
    }
    ck_assert_uint_eq(slots, 2000);
    set_view_close(empty);
    set_view_close(v);
    harness_close(h);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("all");

    tcase_set_timeout(c, 120);
    tcase_add_test(c, view__holds_exactly_the_frames_up_to_its_position);
    tcase_add_test(c, view__stays_as_it_was_while_keys_change_and_databases_are_emptied);
    return suite_run("view", c);
}
