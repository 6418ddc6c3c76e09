/*
 * test_crash_elements.c - kill -9 at any moment under changes of big sorted sets: members, rows by score and counts agree.
 *
 * As test_crash, with few keys of many members: they are added, given other scores, removed and read in order, in
 * transactions of one key or two, under limits so small that changes of elements are in every state when the end comes.
 * The model is the score of every member; a recovered node must equal what was acknowledged, or that and the command
 * under way, in its members, in its order by score, and in its counts.
 */
#include "base/hash.h"
#include "base/rng.h"
#include "persistence/wal.h"
#include "tests/unit/engine/crash_node.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 5, MEMBERS = 60, ROUNDS = 25, ROUND_US_MAX = 120000, NOW = 1000 };

struct state {
    int score[KEYS][MEMBERS]; /* 0: no member */
};

struct ledger {
    struct crash_ledger kill;
    struct state acknowledged, next;
};

static struct ledger *ledger;

static struct slice key_name(int i, char out[32])
{
    return slice_of(out, (size_t)snprintf(out, 32, "{t%d}k%d", i % 3, i));
}

static struct slice member_name(int i, char out[32])
{
    return slice_of(out, (size_t)snprintf(out, 32, "member:%d", i));
}

/* ---- The commands, for life and for replay ---- */

static double old_score(struct txn *t, struct obj *o, struct slice member, bool *has)
{
    struct slice value;
    double score = 0;
    enum err e = txn_element_get(t, o, member, &value);

    WANT(e == OK || e == ERR_NOT_FOUND);
    *has = e == OK;
    if (e == OK)
        memcpy(&score, value.data, sizeof score);
    return score;
}

static void add(struct txn *t, struct slice key, struct slice member, struct slice text)
{
    double old, score = atof((const char *)text.data); /* a CRLF or a NUL follows */
    struct obj *o = NULL;
    bool has;

    WANT(txn_write_or_create(t, key, OBJ_ZSET, &o, NULL) == OK);
    if (o->form != OBJ_BIG)
        WANT(txn_make_big(t, o) == OK);
    old = old_score(t, o, member, &has);
    txn_member_put(t, o, member, score, has ? &old : NULL);
    o->count += !has;
    txn_changed(t, o);
    TXN_EFFECT(t, o, SLICE_LITERAL("ZADD"), key, member, text);
}

static void take(struct txn *t, struct slice key, struct slice member)
{
    struct obj *o = NULL;
    double old;
    bool has;

    if (txn_write(t, key, OBJ_ZSET, &o) != OK)
        return;
    old = old_score(t, o, member, &has);
    if (!has)
        return;
    if (o->count == 1) {
        txn_delete(t, o);
        return;
    }
    txn_member_delete(t, o, member, old);
    o->count--;
    txn_changed(t, o);
    TXN_EFFECT(t, o, SLICE_LITERAL("ZREM"), key, member);
}

static void delete_key(struct txn *t, struct slice key)
{
    struct obj *o = NULL;

    if (txn_write(t, key, OBJ_ANY, &o) == OK)
        txn_delete(t, o);
}

/* ---- Opening and replay ---- */

static enum err apply(void *context, const struct recovery_effect *e)
{
    struct crash_node *n = context;
    struct txn_options options = {.now_ms = NOW, .db = e->db, .may_wait = true, .replay = true};
    struct slice words[4];
    size_t words_count = crash_words(e->text, words);
    bool needed;
    lsn_t end;

    set_replay_position(n->set, e->lsn);
    WANT(words_count >= 2);
    WANT(txn_begin(n->txn, &e->slot, 1, &options) == OK);
    if (slice_is(words[0], "DEL"))
        WANT(set_replay_overwrite(n->txn, words[1], e->lsn, &needed) == OK);
    else
        WANT(set_replay_needed(n->txn, words[1], e->lsn, &needed) == OK);
    if (needed) {
        txn_replay_at(n->txn, e->lsn);
        if (slice_is(words[0], "ZADD"))
            add(n->txn, words[1], words[2], words[3]);
        else if (slice_is(words[0], "ZREM"))
            take(n->txn, words[1], words[2]);
        else
            delete_key(n->txn, words[1]);
        txn_command_end(n->txn, (struct slice){0}, words, words_count);
        WANT(txn_commit(n->txn, &end) == OK);
    }
    txn_end(n->txn);
    return OK;
}

/* ---- Comparing ---- */

/* The rows in order by score are the members, once each, with the model's scores. */
static bool ordered(struct txn *t, struct obj *o, const int score[MEMBERS], int members)
{
    struct txn_cursor c;
    double last = -INFINITY;
    int n = 0;

    WANT(txn_scores(t, o, -INFINITY, (struct slice){0}, false, &c) == OK);
    while (txn_cursor_next(&c) == OK) {
        char name[32] = "";
        int i;

        memcpy(name, c.name.data, c.name.size < sizeof name ? c.name.size : sizeof name - 1);
        i = atoi(name + strlen("member:"));
        if (i < 0 || i >= MEMBERS || c.score < last || c.score != score[i])
            n = MEMBERS + 1;
        last = c.score;
        n++;
    }
    txn_cursor_close(&c);
    return n == members;
}

static bool key_equals(struct txn *t, struct obj *o, const int score[MEMBERS])
{
    struct txn_cursor c;
    int members = 0, rows = 0;

    for (int i = 0; i < MEMBERS; i++) {
        char name[32];
        bool has;
        double is = old_score(t, o, member_name(i, name), &has);

        if (has != (score[i] != 0) || (has && is != score[i])) {
            fprintf(stderr, "member %d: %s %g, want %d\n", i, has ? "has" : "no", is, score[i]);
            return false;
        }
        members += has;
    }
    WANT(txn_elements(t, o, 0, &c) == OK);
    while (txn_cursor_next(&c) == OK)
        rows++;
    txn_cursor_close(&c);
    if (o->count != (uint64_t)members || rows != members || !ordered(t, o, score, members)) {
        fprintf(stderr, "%d members, count %lu, %d rows\n", members, (unsigned long)o->count, rows);
        return false;
    }
    return true;
}

static bool equals(struct crash_node *n, const struct state *s)
{
    uint64_t keys = 0;

    for (int i = 0; i < KEYS; i++) {
        struct txn_options options = {.now_ms = NOW, .may_wait = true};
        char name[32];
        struct slice key = key_name(i, name);
        slot_t slot = hash_slot(key);
        struct obj *o = NULL;
        bool some = false, same;
        enum err e;

        for (int k = 0; k < MEMBERS; k++)
            some |= s->score[i][k] != 0;
        keys += some;
        WANT(txn_begin(n->txn, &slot, 1, &options) == OK);
        e = txn_read(n->txn, key, OBJ_ZSET, &o);
        same = some ? e == OK && key_equals(n->txn, o, s->score[i]) : e == ERR_NOT_FOUND;
        txn_end(n->txn);
        if (!same)
            return false;
    }
    return set_keys(n->set, 0) == keys;
}

/* ---- One life ---- */

/* One step on a key, in the model and in the transaction. */
static void step(struct crash_node *n, struct rng *r, struct state *next, int k)
{
    uint64_t what = rng_below(r, 100);
    int m = (int)rng_below(r, MEMBERS);
    char name[32], member[32], text[16];
    struct slice key = key_name(k, name);
    struct obj *o = NULL;

    if (what == 0) {
        memset(next->score[k], 0, sizeof next->score[k]);
        delete_key(n->txn, key);
    } else if (what < 30) {
        next->score[k][m] = 0;
        take(n->txn, key, member_name(m, member));
    } else if (what < 33) {
        if (txn_read(n->txn, key, OBJ_ZSET, &o) == OK)
            WANT(key_equals(n->txn, o, next->score[k]));
    } else {
        next->score[k][m] = 1 + (int)rng_below(r, 9);
        snprintf(text, sizeof text, "%d", next->score[k][m]);
        add(n->txn, key, member_name(m, member), slice_str(text));
    }
}

static void command(struct crash_node *n, struct rng *r)
{
    struct state *next = &ledger->next;
    struct txn_options options = {.now_ms = NOW, .may_wait = true};
    int a = (int)rng_below(r, KEYS), b = rng_below(r, 4) == 0 ? (int)rng_below(r, KEYS) : a, steps = 1 + (int)rng_below(r, 4);
    char names[2][32];
    slot_t slots[2] = {hash_slot(key_name(a, names[0])), hash_slot(key_name(b, names[1]))};
    size_t slot_count = slots[0] == slots[1] ? 1 : 2;
    lsn_t end = 0;

    if (slots[0] > slots[1]) {
        slot_t swap = slots[0];

        slots[0] = slots[1];
        slots[1] = swap;
    }
    WANT(txn_begin(n->txn, slots, slot_count, &options) == OK);
    *next = ledger->acknowledged;
    for (int i = 0; i < steps; i++)
        step(n, r, next, i % 2 == 0 ? a : b);
    txn_command_end(n->txn, (struct slice){0}, NULL, 0);
    ledger->kill.pending = 1;
    WANT(txn_commit(n->txn, &end) == OK);
    txn_end(n->txn);
    if (end != 0)
        WANT(wal_write_to(n->wal, end) == OK);
    ledger->acknowledged = *next;
    ledger->kill.pending = 0;
    ledger->kill.commands++;
    if (rng_below(r, 200) == 0)
        WANT(set_drain(n->set) == OK);
    if (rng_below(r, 100) == 0)
        set_evict_all(n->set);
}

static void life(const char *dir, uint64_t seed)
{
    /* Every other life has room for all members and their order. */
    struct crash_node_options options = {.databases = 1, .budget_bytes = seed & 1 ? 200000 : 16000, .apply = apply};
    struct crash_node n = {0};
    struct rng r;

    rng_seed(&r, seed);
    crash_node_open(&n, dir, &options);
    if (!equals(&n, &ledger->acknowledged)) {
        WANT(ledger->kill.pending);
        WANT(equals(&n, &ledger->next));
        ledger->acknowledged = ledger->next;
    }
    ledger->kill.pending = 0;
    ledger->kill.lives++;
    for (;;)
        command(&n, &r);
}

START_TEST(crash__members_and_their_order_survive_kill_9_at_any_moment)
{
    ledger = crash_ledger_new(sizeof *ledger);
    crash_rounds(ROUNDS, ROUND_US_MAX, life);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("crash");

    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, crash__members_and_their_order_survive_kill_9_at_any_moment);
    return suite_run("crash of elements", tc);
}
