/*
 * test_checkpoint.c - a set's files become another set's data: exact to the frame, through drains of both kinds, under writers.
 */
#include "tests/unit/engine/harness.h"
#include "tests/unit/suite.h"

#include "base/check.h"
#include "base/hash.h"
#include "engine/set/checkpoint.h"
#include "engine/set/stage.h"
#include "engine/set/view.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEYS = 3000, VALUE_BYTES = 6000, COMMITS_MAX = 200000, BUDGET = 64 << 20 };
#define REPLID "0123456789abcdef0123456789abcdef01234567"

static void put_string(struct txn *t, struct slice key, struct slice value)
{
    struct obj *o = NULL;

    check(txn_write_or_create(t, key, OBJ_STRING, &o, NULL) == OK);
    obj_value_set(o, value);
    txn_changed(t, o);
    TXN_EFFECT(t, o, SLICE_LITERAL("SET"), key, value);
}

static void put_member(struct txn *t, struct slice key, size_t number)
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

/* Enough at a time for drains by sorted files, in overlapping rounds. */
static void fill(struct harness *h, int rounds)
{
    uint8_t *value = malloc(VALUE_BYTES);
    char name[32];

    check(value != NULL);
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < KEYS; i++) {
            memset(value, 'a' + (int)((i + (size_t)round) % 26), VALUE_BYTES);
            snprintf(name, sizeof name, "key%zu", i);
            put_string(harness_begin(h, name, NULL), slice_str(name), slice_of(value, VALUE_BYTES));
            harness_end(h);
        }
        check(set_drain(h->set) == OK);
    }
    free(value);
}

/* One frame each: a counter, and a member of a big set. */
struct worker {
    struct harness *h;
    atomic_bool stop;
    size_t commits;
    lsn_t *ends;
};

static void *run(void *context)
{
    struct worker *w = context;
    const struct txn_options options = {.now_ms = w->h->now_ms, .may_wait = true};
    struct txn *t = txn_new(w->h->set, 7);
    slot_t slots[2] = {hash_slot(slice_str("counter")), hash_slot(slice_str("members"))};

    if (slots[0] > slots[1]) {
        slot_t larger = slots[0];

        slots[0] = slots[1];
        slots[1] = larger;
    }
    while (!atomic_load(&w->stop) && w->commits < COMMITS_MAX) {
        char text[32];

        snprintf(text, sizeof text, "%zu", w->commits + 1);
        check(txn_begin(t, slots, 2, &options) == OK);
        put_string(t, slice_str("counter"), slice_str(text));
        put_member(t, slice_str("members"), w->commits + 1);
        txn_command_end(t, (struct slice){0}, NULL, 0);
        check(txn_commit(t, &w->ends[w->commits]) == OK);
        txn_end(t);
        w->commits++;
    }
    txn_free(t);
    return NULL;
}

struct seen {
    size_t keys, wrong;
    uint64_t counter, members, rows;
};

static void look(struct harness *h, int rounds, struct seen *seen)
{
    struct set_view_key key;
    struct set_view *v = NULL;
    enum err e;

    *seen = (struct seen){0};
    ck_assert_int_eq(set_view_open(h->set, &v), OK);
    set_view_seek(v, 0, 0, SLOTS - 1);
    while ((e = set_view_next(v, &key)) == OK) {
        char text[32] = {0};

        memcpy(text, key.name.data, key.name.size < 31 ? key.name.size : 31);
        seen->keys++;
        if (strcmp(text, "counter") == 0) {
            char number[32] = {0};

            memcpy(number, key.value.data, key.value.size);
            seen->counter = strtoull(number, NULL, 10);
        } else if (strcmp(text, "members") == 0) {
            struct set_view_row row;

            seen->members = key.count;
            set_view_rows(v, &key, ROW_ELEMENT);
            while (set_view_row(v, &row) == OK)
                seen->rows++;
        } else {
            int letter = 'a' + (int)((strtoull(text + 3, NULL, 10) + (uint64_t)rounds - 1) % 26);

            seen->wrong += key.value.size != VALUE_BYTES || key.value.data[0] != letter;
        }
    }
    ck_assert_int_eq(e, ERR_NOT_FOUND);
    set_view_close(v);
}

static enum err jump(void *context)
{
    struct harness *h = context;

    harness_jump(h, h->end);
    return OK;
}

/* What travels: the description, and the files, whose links move. */
static void carry(struct harness *from, struct harness *to, struct set_checkpoint *c)
{
    char dir[96];

    snprintf(dir, sizeof dir, "%s/copy", from->path);
    ck_assert_int_eq(mkdir(dir, 0755), 0);
    ck_assert_int_eq(set_checkpoint_take(from->set, dir, c), OK);
    ck_assert_int_eq(set_stage_clear(to->set), OK);
    ck_assert_int_eq(set_checkpoint_place(to->set, c, dir), OK);
    to->end = c->lsn;
    ck_assert_int_eq(set_stage_commit(to->set, REPLID, c->lsn, jump, to), OK);
    ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(checkpoint__is_the_data_at_its_position_in_another_set)
{
    struct harness *a = harness_open(BUDGET), *b = harness_open(BUDGET);
    struct worker w = {.h = a, .ends = calloc(COMMITS_MAX, sizeof(lsn_t))};
    struct set_checkpoint c = {0};
    struct set_figures figures;
    struct seen seen;
    pthread_t thread;

    fill(a, 3);
    fill(b, 1);
    set_figures(a->set, &figures);
    ck_assert_uint_gt(figures.drain_ingests, 0); /* files with a sequence number that is not in them */
    put_member(harness_begin(b, "old", NULL), slice_str("old"), 1); /* an id of its own */
    harness_end(b);
    for (int turn = 0; turn < 3; turn++) {
        atomic_store(&w.stop, false);
        ck_assert_int_eq(pthread_create(&thread, NULL, run, &w), 0);
        usleep(50000);
        carry(a, b, &c);
        atomic_store(&w.stop, true);
        pthread_join(thread, NULL);
        look(b, 3, &seen);
        ck_assert_uint_eq(seen.wrong, 0);
        ck_assert_uint_eq(seen.keys, KEYS + 2);
        ck_assert_uint_eq(set_keys(b->set, 0), KEYS + 2);
        ck_assert_uint_eq(seen.members, seen.counter);
        ck_assert_uint_eq(seen.rows, seen.counter);
        ck_assert_uint_gt(seen.counter, 0);
        ck_assert(w.ends[seen.counter - 1] <= c.lsn);
        ck_assert(seen.counter == w.commits || w.ends[seen.counter] > c.lsn);
        set_checkpoint_free(&c);
    }
    /* It lives on: memory, new ids, deletions, drains over the imported files. */
    fill(b, 2);
    for (size_t i = 0; i < 300; i++) {
        put_member(harness_begin(b, "members", NULL), slice_str("members"), 1000000 + i);
        harness_end(b);
        put_member(harness_begin(b, "new", NULL), slice_str("new"), i);
        harness_end(b);
    }
    harness_cool(b);
    look(b, 2, &(struct seen){0});
    ck_assert_uint_eq(set_keys(b->set, 0), KEYS + 3);
    free(w.ends);
    harness_close(a);
    harness_close(b);
}
END_TEST

START_TEST(checkpoint__of_nothing_empties)
{
    struct harness *a = harness_open(BUDGET), *b = harness_open(BUDGET);
    struct set_checkpoint c = {0};

    fill(b, 1);
    carry(a, b, &c);
    ck_assert_uint_eq(c.count, 0);
    ck_assert_uint_eq(set_keys(b->set, 0), 0);
    set_checkpoint_free(&c);
    harness_close(a);
    harness_close(b);
}
END_TEST

START_TEST(checkpoint__with_a_damaged_file_is_refused_and_leaves_the_data)
{
    struct harness *a = harness_open(BUDGET), *b = harness_open(BUDGET);
    struct set_checkpoint c = {0};
    char dir[96], path[STORE_PATH_BYTES];

    fill(a, 1);
    put_member(harness_begin(b, "old", NULL), slice_str("old"), 1);
    harness_end(b);
    snprintf(dir, sizeof dir, "%s/copy", a->path);
    ck_assert_int_eq(mkdir(dir, 0755), 0);
    ck_assert_int_eq(set_checkpoint_take(a->set, dir, &c), OK);
    store_files_path(path, dir, 0);
    unlink(path);
    ck_assert_int_eq(set_stage_clear(b->set), OK);
    ck_assert_int_ne(set_checkpoint_place(b->set, &c, dir), OK);
    ck_assert_int_eq(set_stage_clear(b->set), OK);
    ck_assert_uint_eq(set_keys(b->set, 0), 1);
    harness_cool(b);
    ck_assert_uint_eq(set_keys(b->set, 0), 1);
    set_checkpoint_free(&c);
    harness_close(a);
    harness_close(b);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("all");

    tcase_set_timeout(c, 240);
    tcase_add_test(c, checkpoint__is_the_data_at_its_position_in_another_set);
    tcase_add_test(c, checkpoint__of_nothing_empties);
    tcase_add_test(c, checkpoint__with_a_damaged_file_is_refused_and_leaves_the_data);
    return suite_run("checkpoint", c);
}
