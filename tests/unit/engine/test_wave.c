/*
 * test_wave.c - a stream applied in waves by several lanes beside the same stream applied command by command: the same bytes and
 * effects in the journal, the same keys and counts; with cold keys, drains, rows and readers meanwhile. Meant for the thread
 * sanitizer too.
 */
#include "tests/unit/engine/harness.h"
#include "tests/unit/suite.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/rng.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 4, KEYS = 300, WAVE = 48, WAVES = 120, CHUNK = 3000 };

/* What a command does; its words say it too, but for FOREIGN, whose words are another server's. */
enum what { SET_IT, DELETE_IT, ADD_ELEMENT, PUT_CHUNK, EXPIRE_IT, TWO_EFFECTS, FOREIGN, NOTHING, WHATS };

struct command {
    enum what what;
    char key[24], value[24], words[64];
    struct buf stream;
    slot_t slot;
};

static const msec_t LATER_MS = 1900000000000;

/* ---- Commands ---- */

static void bulk(struct buf *out, const char *words)
{
    size_t count = 1;

    for (const char *p = words; *p != '\0'; p++)
        count += *p == ' ';
    buf_append_format(out, "*%zu\r\n", count);
    for (const char *p = words; *p != '\0';) {
        size_t n = strcspn(p, " ");

        buf_append_format(out, "$%zu\r\n%.*s\r\n", n, (int)n, p);
        p += n + (p[n] == ' ');
    }
}

static void command_make(struct command *c, struct rng *r, const char *key)
{
    static const char *const names[] = {"SET", "DEL", "SADD", "APPEND", "PEXPIREAT", "TWO", "FOREIGN", "NOTHING"};
    uint64_t dice = rng_below(r, 16);

    c->what = dice < WHATS ? (enum what)dice : dice < 13 ? SET_IT : ADD_ELEMENT;
    if (key != NULL)
        c->what = SET_IT;
    if (key != NULL)
        snprintf(c->key, sizeof c->key, "%s", key);
    else
        snprintf(c->key, sizeof c->key, "k%lu", (unsigned long)rng_below(r, KEYS));
    snprintf(c->value, sizeof c->value, "v%lu", (unsigned long)rng_below(r, 1000000));
    snprintf(c->words, sizeof c->words, "%s %s %s", names[c->what], c->key, c->value);
    buf_clear(&c->stream);
    bulk(&c->stream, c->words);
    c->slot = hash_slot(slice_str(c->key));
}

static void string_set(struct txn *t, struct obj *o, const char *value)
{
    if (o->type != OBJ_STRING || o->form != OBJ_PLAIN)
        txn_reset(t, o, OBJ_STRING);
    obj_value_set(o, slice_str(value));
    txn_changed(t, o);
}

static void element_add(struct txn *t, struct obj *o, const char *name)
{
    struct slice value;
    enum err e;

    if (o->type != OBJ_SET || o->form != OBJ_BIG) {
        txn_reset(t, o, OBJ_SET);
        check(txn_make_big(t, o) == OK);
    }
    e = txn_element_get(t, o, slice_str(name), &value);
    check(e == OK || e == ERR_NOT_FOUND);
    txn_element_put(t, o, slice_str(name), (struct slice){0});
    o->count += e == ERR_NOT_FOUND;
    txn_changed(t, o);
}

/* A long string: its rows go to the store with the commit, under the gate. */
static void chunk_put(struct txn *t, struct obj *o, const char *value)
{
    static const char filler[CHUNK];

    if (o->type != OBJ_STRING || o->form != OBJ_BIG) {
        txn_reset(t, o, OBJ_STRING);
        check(txn_make_big(t, o) == OK);
    }
    txn_index_put(t, o, 0, slice_of(filler, sizeof filler));
    txn_index_put(t, o, 1, slice_str(value));
    o->count = 2;
    txn_changed(t, o);
}

/* Runs it in an open transaction, up to and with txn_command_end. */
static void command_run(struct txn *t, const struct command *c)
{
    struct slice key = slice_str(c->key), raw = buf_slice(&c->stream);
    struct obj *o = NULL;
    bool made;

    if (c->what == NOTHING || c->what == DELETE_IT || c->what == EXPIRE_IT) {
        if (txn_write(t, key, OBJ_ANY, &o) == OK && c->what == DELETE_IT)
            txn_delete(t, o);
        else if (o != NULL && c->what == EXPIRE_IT)
            txn_expire(t, o, o->expire_ms == 0 ? LATER_MS : 0);
        txn_command_end(t, raw, NULL, 0);
        return;
    }
    check(txn_write_or_create(t, key, OBJ_ANY, &o, &made) == OK);
    if (made)
        txn_reset(t, o, OBJ_STRING);
    if (c->what == ADD_ELEMENT)
        element_add(t, o, c->value);
    else if (c->what == PUT_CHUNK)
        chunk_put(t, o, c->value);
    else
        string_set(t, o, c->value);
    if (c->what == TWO_EFFECTS || c->what == FOREIGN)
        TXN_EFFECT(t, o, SLICE_LITERAL("SET"), key, slice_str(c->value));
    if (c->what == TWO_EFFECTS) {
        txn_expire(t, o, LATER_MS);
        TXN_EFFECT(t, o, SLICE_LITERAL("PEXPIREAT"), key, SLICE_LITERAL("1900000000000"));
    }
    txn_command_end(t, raw, NULL, 0);
}

static void one_by_one(struct harness *h, const struct command *commands, size_t count)
{
    const struct txn_options options = {.now_ms = h->now_ms, .may_wait = true, .follow = true};

    for (size_t i = 0; i < count; i++) {
        lsn_t end;

        check(txn_begin(h->txn, &commands[i].slot, 1, &options) == OK);
        command_run(h->txn, &commands[i]);
        txn_follow(h->txn, buf_slice(&commands[i].stream), 0);
        check(txn_commit(h->txn, &end) == OK);
        txn_end(h->txn);
    }
}

/* ---- Waves ---- */

struct lane {
    pthread_t thread;
    struct team *team;
    struct txn *txn;
    size_t number;
};

struct team {
    struct harness *h;
    struct lane lanes[LANES];
    pthread_barrier_t given, executed, appended, landed;
    const struct command *commands;
    size_t count; /* 0: the end */
};

static void *lane_run(void *context)
{
    struct lane *l = context;
    struct team *team = l->team;
    const struct txn_options options = {.now_ms = team->h->now_ms, .may_wait = true, .follow = true};

    for (;;) {
        pthread_barrier_wait(&team->given);
        if (team->count == 0)
            return NULL;
        txn_lane_begin(l->txn, &options);
        for (size_t i = 0; i < team->count; i++) {
            const struct command *c = &team->commands[i];

            if (c->slot % LANES != l->number)
                continue;
            txn_lane_slot(l->txn, c->slot);
            command_run(l->txn, c);
            txn_lane_frame(l->txn, buf_slice(&c->stream), 0);
        }
        pthread_barrier_wait(&team->executed);
        pthread_barrier_wait(&team->appended);
        txn_lane_land(l->txn);
        pthread_barrier_wait(&team->landed);
        txn_lane_end(l->txn);
    }
}

static void team_start(struct team *team, struct harness *h)
{
    *team = (struct team){.h = h};
    pthread_barrier_init(&team->given, NULL, LANES + 1);
    pthread_barrier_init(&team->executed, NULL, LANES + 1);
    pthread_barrier_init(&team->appended, NULL, LANES + 1);
    pthread_barrier_init(&team->landed, NULL, LANES + 1);
    for (size_t i = 0; i < LANES; i++) {
        team->lanes[i] = (struct lane){.team = team, .number = i, .txn = txn_new(h->set, i + 7)};
        pthread_create(&team->lanes[i].thread, NULL, lane_run, &team->lanes[i]);
    }
}

static void team_stop(struct team *team)
{
    team->count = 0;
    pthread_barrier_wait(&team->given);
    for (size_t i = 0; i < LANES; i++) {
        pthread_join(team->lanes[i].thread, NULL);
        txn_free(team->lanes[i].txn);
    }
    pthread_barrier_destroy(&team->given);
    pthread_barrier_destroy(&team->executed);
    pthread_barrier_destroy(&team->appended);
    pthread_barrier_destroy(&team->landed);
}

static int by_number(const void *a, const void *b)
{
    return (int)*(const slot_t *)a - (int)*(const slot_t *)b;
}

static void wave(struct team *team, const struct command *commands, size_t count)
{
    const struct txn_options options = {.now_ms = team->h->now_ms, .may_wait = true, .follow = true};
    struct txn *w = team->h->txn;
    slot_t slots[WAVE];
    size_t unique = 0, next[LANES] = {0};
    lsn_t end = 0;

    for (size_t i = 0; i < count; i++)
        slots[i] = commands[i].slot;
    qsort(slots, count, sizeof *slots, by_number);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || slots[i] != slots[unique - 1])
            slots[unique++] = slots[i];
    check(txn_begin(w, slots, unique, &options) == OK);
    txn_wave_begin(w);
    team->commands = commands;
    team->count = count;
    pthread_barrier_wait(&team->given);
    pthread_barrier_wait(&team->executed);
    for (size_t i = 0; i < count; i++) {
        size_t lane = commands[i].slot % LANES;
        lsn_t at = txn_wave_append(w, team->lanes[lane].txn, next[lane]++);

        check(at == end + commands[i].stream.size || end == 0);
        end = at;
    }
    pthread_barrier_wait(&team->appended);
    pthread_barrier_wait(&team->landed);
    txn_wave_end(w);
    txn_end(w);
}

/* ---- Others meanwhile ---- */

struct others {
    struct harness *h;
    atomic_bool stop, torn;
    atomic_uint looks;
};

/* Every wave sets both to the same value, at its two ends: nobody who locks both slots sees one without the other. */
static void *read_pairs(void *context)
{
    struct others *o = context;
    const struct txn_options options = {.now_ms = o->h->now_ms, .may_wait = true};
    struct txn *t = txn_new(o->h->set, 99);
    slot_t a = hash_slot(SLICE_LITERAL("first")), b = hash_slot(SLICE_LITERAL("last"));
    const slot_t slots[2] = {a < b ? a : b, a < b ? b : a};

    while (!atomic_load(&o->stop)) {
        struct obj *x = NULL, *y = NULL;
        enum err e, f;

        check(txn_begin(t, slots, 2, &options) == OK);
        e = txn_read(t, SLICE_LITERAL("first"), OBJ_STRING, &x);
        f = txn_read(t, SLICE_LITERAL("last"), OBJ_STRING, &y);
        if (e != f || (e == OK && !slice_equal(obj_value(x), obj_value(y))))
            atomic_store(&o->torn, true);
        txn_end(t);
        atomic_fetch_add(&o->looks, 1);
        sched_yield();
    }
    txn_free(t);
    return NULL;
}

static void *drain(void *context)
{
    struct others *o = context;

    while (!atomic_load(&o->stop))
        check(set_drain(o->h->set) == OK); /* with a switch of memtables: it wants the gate */
    return NULL;
}

/* ---- Tests ---- */

static uint64_t seed(void)
{
    return getenv("SEED") != NULL ? strtoull(getenv("SEED"), NULL, 10) : 5;
}

static void compare_key(struct harness *a, struct harness *b, const char *key)
{
    struct txn *t = harness_begin(a, key, NULL), *u = harness_begin(b, key, NULL);
    struct obj *x = NULL, *y = NULL;
    enum err e = txn_read(t, slice_str(key), OBJ_ANY, &x), f = txn_read(u, slice_str(key), OBJ_ANY, &y);

    ck_assert_msg(e == f, "%s: %s and %s", key, err_name(e), err_name(f));
    if (e == OK) {
        ck_assert_msg(x->type == y->type && x->form == y->form && x->count == y->count && x->expire_ms == y->expire_ms &&
                      x->last_change == y->last_change, "%s differs", key);
        if (x->form == OBJ_PLAIN) {
            ck_assert_msg(slice_equal(obj_value(x), obj_value(y)), "%s differs", key);
        } else if (x->type == OBJ_STRING) {
            struct slice v, w;

            ck_assert_int_eq(txn_index_get(t, x, 1, &v), OK);
            ck_assert_int_eq(txn_index_get(u, y, 1, &w), OK);
            ck_assert_msg(slice_equal(v, w), "%s differs", key);
        } else {
            struct txn_cursor c, d;
            enum err next;

            ck_assert_int_eq(txn_elements(t, x, 0, &c), OK);
            ck_assert_int_eq(txn_elements(u, y, 0, &d), OK);
            while ((next = txn_cursor_next(&c)) == OK) {
                ck_assert_int_eq(txn_cursor_next(&d), OK);
                ck_assert_msg(slice_equal(c.name, d.name), "%s differs", key);
            }
            ck_assert_int_eq(next, ERR_NOT_FOUND);
            ck_assert_int_eq(txn_cursor_next(&d), ERR_NOT_FOUND);
            txn_cursor_close(&c);
            txn_cursor_close(&d);
        }
    }
    harness_end(a);
    harness_end(b);
}

static void compare(struct harness *a, struct harness *b)
{
    ck_assert(strcmp(harness_text(a), harness_text(b)) == 0);
    ck_assert(slice_equal(harness_effects(a), harness_effects(b)));
    ck_assert_uint_eq(set_keys(a->set, 0), set_keys(b->set, 0));
    for (int i = 0; i < KEYS; i++) {
        char key[24];

        snprintf(key, sizeof key, "k%d", i);
        compare_key(a, b, key);
    }
    compare_key(a, b, "first");
}

/* budget: of the set under test; a small one makes most keys cold. */
static void run_stream(uint64_t budget, bool with_others)
{
    struct harness *plain = harness_open(64 << 20), *waved = harness_open(budget);
    struct others others = {.h = waved};
    static struct command commands[WAVE];
    struct team team;
    pthread_t reader, drainer;
    struct rng r;

    printf("SEED=%lu\n", (unsigned long)seed());
    rng_seed(&r, seed());
    team_start(&team, waved);
    if (with_others) {
        pthread_create(&reader, NULL, read_pairs, &others);
        pthread_create(&drainer, NULL, drain, &others);
    }
    for (int i = 0; i < WAVES; i++) {
        for (size_t k = 0; k < WAVE; k++)
            command_make(&commands[k], &r, k == 0 ? "first" : k == WAVE - 1 ? "last" : NULL);
        snprintf(commands[0].words, sizeof commands[0].words, "SET first n%d", i);
        snprintf(commands[WAVE - 1].words, sizeof commands[0].words, "SET last n%d", i);
        for (size_t k = 0; k < WAVE; k += WAVE - 1) {
            snprintf(commands[k].value, sizeof commands[k].value, "n%d", i);
            buf_clear(&commands[k].stream);
            bulk(&commands[k].stream, commands[k].words);
        }
        one_by_one(plain, commands, WAVE);
        wave(&team, commands, WAVE);
    }
    atomic_store(&others.stop, true);
    if (with_others) {
        pthread_join(reader, NULL);
        pthread_join(drainer, NULL);
        ck_assert_uint_gt(atomic_load(&others.looks), 0);
    }
    team_stop(&team);
    ck_assert(!atomic_load(&others.torn));
    compare(plain, waved);
    harness_cool(waved);
    for (size_t k = 0; k < WAVE; k++)
        compare_key(plain, waved, commands[k].key);
    for (size_t k = 0; k < WAVE; k++)
        buf_free(&commands[k].stream);
    memset(commands, 0, sizeof commands);
    harness_close(plain);
    harness_close(waved);
}

START_TEST(wave__gives_the_journal_and_the_keys_of_one_command_after_the_other)
{
    run_stream(64 << 20, false);
}
END_TEST

START_TEST(wave__is_one_change_for_readers_through_drains_and_cold_keys)
{
    run_stream(20000, true);
}
END_TEST

/* Deleted and made again, three times, by commands of one wave: each is a frame, and replay counts each. */
START_TEST(wave__keeps_the_counts_of_each_command_in_its_own_frame)
{
    struct harness *h = harness_open(64 << 20);
    struct command commands[6] = {0};
    struct team team;
    struct rng r;
    int keys = 0;

    rng_seed(&r, 1);
    team_start(&team, h);
    for (int i = 0; i < 6; i++) {
        command_make(&commands[i], &r, "a");
        commands[i].what = i % 2 == 0 ? SET_IT : DELETE_IT;
        buf_clear(&commands[i].stream);
        bulk(&commands[i].stream, i % 2 == 0 ? "SET a 1" : "DEL a");
    }
    wave(&team, commands, 5);
    ck_assert_str_eq(harness_text(h), "SET a 1|DEL a|SET a 1|DEL a|SET a 1|");
    ck_assert_uint_eq(harness_deltas(h, &keys), 1);
    ck_assert_int_eq(keys, 1);
    ck_assert_uint_eq(set_keys(h->set, 0), 1);
    wave(&team, commands + 5, 1);
    ck_assert_uint_eq(harness_deltas(h, &keys), 1);
    ck_assert_int_eq(keys, -1);
    ck_assert_uint_eq(set_keys(h->set, 0), 0);
    team_stop(&team);
    for (int i = 0; i < 6; i++)
        buf_free(&commands[i].stream);
    harness_close(h);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, wave__gives_the_journal_and_the_keys_of_one_command_after_the_other);
    tcase_add_test(tests, wave__is_one_change_for_readers_through_drains_and_cold_keys);
    tcase_add_test(tests, wave__keeps_the_counts_of_each_command_in_its_own_frame);
    return suite_run("wave", tests);
}
