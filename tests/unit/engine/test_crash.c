/*
 * test_crash.c - kill -9 at any moment, recover, compare: store, working set and log together.
 *
 * A child runs random commands on two databases (strings, big sets, several keys in one frame, FLUSHDB, SWAPDB, whole
 * slots dropped and landed as rows), with tiny limits so that drains, ingests, flushes, evictions and new log segments happen
 * all the time. Shared memory holds what it was told is durable, and what the command under way would make of it. The parent
 * kills it at a random moment; the next child recovers and must find one of the two, with exact counts.
 */
#include "base/check.h"
#include "base/hash.h"
#include "base/rng.h"
#include "base/words.h"
#include "engine/key/record.h"
#include "engine/key/row.h"
#include "engine/set/range.h"
#include "engine/set/script.h"
#include "persistence/wal.h"
#include "tests/unit/engine/crash_node.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum { DBS = 2, KEYS = 40, ROUNDS = 25, ROUND_US_MAX = 120000, NOW = 1000 };

struct state {
    char value[DBS][KEYS][40]; /* "" : absent or big */
    int big[DBS][KEYS];        /* elements; 0: not big */
};

struct ledger {
    struct crash_ledger kill;
    struct state acknowledged, next;
};

static struct ledger *ledger;

static struct slice key_name(int i, char out[32])
{
    return slice_of(out, (size_t)snprintf(out, 32, "{t%d}k%d", i % 7, i));
}

/* ---- The commands, for life and for replay ---- */

static void set_string(struct txn *t, struct slice key, struct slice value)
{
    struct obj *o = NULL;

    WANT(txn_write_or_create(t, key, OBJ_ANY, &o, NULL) == OK);
    if (o->form != OBJ_PLAIN || o->type != OBJ_STRING)
        txn_reset(t, o, OBJ_STRING);
    obj_value_set(o, value);
    txn_changed(t, o);
    TXN_EFFECT(t, o, SLICE_LITERAL("SET"), key, value);
}

static void add_element(struct txn *t, struct slice key, struct slice name)
{
    struct obj *o = NULL;
    struct slice value;

    WANT(txn_write_or_create(t, key, OBJ_ANY, &o, NULL) == OK);
    if (o->form != OBJ_BIG) {
        txn_reset(t, o, OBJ_SET);
        WANT(txn_make_big(t, o) == OK);
    }
    if (txn_element_get(t, o, name, &value) == ERR_NOT_FOUND) {
        txn_element_put(t, o, name, (struct slice){0});
        o->count++;
    }
    txn_changed(t, o);
    TXN_EFFECT(t, o, SLICE_LITERAL("ADD"), key, name);
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
    if (e->kind == JOURNAL_FLUSH || e->kind == JOURNAL_SWAP)
        return set_replay_range(n->set, e->kind, e->kind == JOURNAL_SWAP ? 0 : e->db, e->kind == JOURNAL_SWAP ? 1 : e->db,
                                e->lsn);
    WANT(words_count >= 2);
    WANT(txn_begin(n->txn, &e->slot, 1, &options) == OK);
    if (slice_is(words[0], "ADD"))
        WANT(set_replay_needed(n->txn, words[1], e->lsn, &needed) == OK);
    else
        WANT(set_replay_overwrite(n->txn, words[1], e->lsn, &needed) == OK);
    if (needed) {
        txn_replay_at(n->txn, e->lsn);
        if (slice_is(words[0], "SET"))
            set_string(n->txn, words[1], words[2]);
        else if (slice_is(words[0], "ADD"))
            add_element(n->txn, words[1], words[2]);
        else
            delete_key(n->txn, words[1]);
        txn_command_end(n->txn, (struct slice){0}, words, words_count);
        WANT(txn_commit(n->txn, &end) == OK);
    }
    txn_end(n->txn);
    return OK;
}

/* ---- Comparing ---- */

static bool equals(struct crash_node *n, const struct state *s)
{
    for (unsigned db = 0; db < DBS; db++) {
        uint64_t keys = 0;

        for (int i = 0; i < KEYS; i++) {
            struct txn_options options = {.now_ms = NOW, .db = db, .may_wait = true};
            char name[32];
            struct slice key = key_name(i, name);
            slot_t slot = hash_slot(key);
            struct obj *o = NULL;
            struct txn_cursor c;
            bool same;
            enum err e;
            int elements = 0;

            WANT(txn_begin(n->txn, &slot, 1, &options) == OK);
            e = txn_read(n->txn, key, OBJ_ANY, &o);
            if (s->big[db][i] > 0) {
                same = e == OK && o->form == OBJ_BIG && o->count == (uint64_t)s->big[db][i];
                if (same) {
                    WANT(txn_elements(n->txn, o, 0, &c) == OK);
                    while (txn_cursor_next(&c) == OK)
                        elements++;
                    txn_cursor_close(&c);
                    same = elements == s->big[db][i];
                }
            } else if (s->value[db][i][0] != '\0') {
                same = e == OK && o->form == OBJ_PLAIN && slice_equal(obj_value(o), slice_str(s->value[db][i]));
            } else {
                same = e == ERR_NOT_FOUND;
            }
            keys += s->big[db][i] > 0 || s->value[db][i][0] != '\0';
            txn_end(n->txn);
            if (!same) {
                fprintf(stderr, "db%u key %d: err %d form %d count %lu, want value '%s' big %d\n", db, i, (int)e,
                        e == OK ? o->form : -1, e == OK ? (unsigned long)o->count : 0, s->value[db][i], s->big[db][i]);
                return false;
            }
        }
        if (set_keys(n->set, db) != keys) {
            fprintf(stderr, "db%u: %lu keys counted, want %lu\n", db, (unsigned long)set_keys(n->set, db), (unsigned long)keys);
            return false;
        }
    }
    return true;
}

/* ---- One life ---- */

static bool never(void *context)
{
    (void)context;
    return false;
}

/* All keys of one tag go as a range of rows (and nothing of another slot's). */
static void drop_slot(struct crash_node *n, unsigned db, int tag, struct state *next)
{
    char name[32];
    slot_t slot = hash_slot(key_name(tag, name));
    uint64_t keys = 0, freed, present = 0;
    unsigned following = 0;
    lsn_t end = 0;

    for (int i = tag; i < KEYS; i += 7) {
        present += next->big[db][i] > 0 || next->value[db][i][0] != '\0';
        next->value[db][i][0] = '\0';
        next->big[db][i] = 0;
    }
    ledger->kill.pending = 1;
    WANT(range_drop(n->set, db, slot, slot, &following, &keys, &end, never, NULL) == OK);
    WANT(keys == present && following == slot + 1u && set_slot_keys(n->set, db, slot) == 0);
    WANT(end == 0 || wal_write_to(n->wal, end) == OK);
    if (keys == 3)
        WANT(range_compact(n->set, db, slot, slot, &freed) == OK);
}

/* All keys of one tag, which has none, come as rows of another node's store. */
static void land_slot(struct crash_node *n, unsigned db, int tag, struct state *next, struct rng *r)
{
    struct landing *l = landing_new(db);
    struct script *words = landing_words(l);
    struct buf rows[KEYS] = {0}, record = {0};
    int order[KEYS], count_ = 0;
    lsn_t end = 0;
    char name[32];
    slot_t slot = hash_slot(key_name(tag, name));

    for (int i = tag; i < KEYS; i += 7) {
        int at = count_++;

        row_key(&rows[i], slot, hash_name(key_name(i, name)), key_name(i, name));
        for (; at > 0 && slice_compare(buf_slice(&rows[order[at - 1]]), buf_slice(&rows[i])) > 0; at--)
            order[at] = order[at - 1];
        order[at] = i;
        snprintf(next->value[db][i], sizeof next->value[db][i], "l%lu", (unsigned long)rng_next(r));
    }
    ledger->kill.pending = 1;
    for (int i = 0; i < count_; i++) {
        int k = order[i];
        size_t at = script_key(words, slot);
        struct record value = {.type = OBJ_STRING, .form = OBJ_PLAIN, .last_change = 77, .value = slice_str(next->value[db][k])};

        WORDS(&words->text, SLICE_LITERAL("SET"), key_name(k, name), value.value);
        (void)script_effect(words, at, 1, 0);
        buf_clear(&record);
        record_encode(&record, &value);
        WANT(landing_add(l, slot, buf_slice(&rows[k]), buf_slice(&record), 0) == OK);
    }
    WANT(range_land(n->set, l, &end, never, NULL) == OK);
    WANT(end != 0 && wal_write_to(n->wal, end) == OK);
    WANT(set_slot_keys(n->set, db, slot) == (uint64_t)count_);
    for (int i = 0; i < KEYS; i++)
        buf_free(&rows[i]);
    buf_free(&record);
    landing_free(l);
}

static bool is_empty(const struct state *s, unsigned db, int tag)
{
    for (int i = tag; i < KEYS; i += 7)
        if (s->big[db][i] > 0 || s->value[db][i][0] != '\0')
            return false;
    return true;
}

static void command(struct crash_node *n, struct rng *r)
{
    struct state *next = &ledger->next;
    unsigned db = (unsigned)rng_below(r, DBS);
    struct txn_options options = {.now_ms = NOW, .db = db, .may_wait = true};
    int keys[2], count_ = rng_below(r, 4) == 0 ? 2 : 1;
    lsn_t end = 0;
    uint64_t kind = rng_below(r, 400);

    *next = ledger->acknowledged;
    if (kind == 0) {
        memset(next->value[db], 0, sizeof next->value[db]);
        memset(next->big[db], 0, sizeof next->big[db]);
        ledger->kill.pending = 1;
        WANT(set_flush_db(n->set, db, &end) == OK);
    } else if (kind == 1) {
        for (int i = 0; i < KEYS; i++) {
            memcpy(next->value[0][i], ledger->acknowledged.value[1][i], sizeof next->value[0][i]);
            memcpy(next->value[1][i], ledger->acknowledged.value[0][i], sizeof next->value[0][i]);
            next->big[0][i] = ledger->acknowledged.big[1][i];
            next->big[1][i] = ledger->acknowledged.big[0][i];
        }
        ledger->kill.pending = 1;
        WANT(set_swap_db(n->set, 0, 1, &end) == OK);
    } else if (kind < 8) { /* 0 .. 5 of 7 tags; 6 comes and goes key by key */
        int tag = (int)kind - 2;

        if (is_empty(next, db, tag))
            land_slot(n, db, tag, next, r);
        else
            drop_slot(n, db, tag, next);
        if (rng_below(r, 2) == 0) { /* what follows a drop at once is a landing, over its tombstones */
            ledger->acknowledged = *next;
            if (is_empty(next, db, tag))
                land_slot(n, db, tag, next, r);
        }
    } else {
        slot_t slots[2];
        size_t slot_count = 0;
        char names[2][32];
        struct slice names_of[2];
        uint64_t what[2];

        for (int i = 0; i < count_; i++) {
            keys[i] = (int)rng_below(r, KEYS);
            what[i] = rng_below(r, 10);
            names_of[i] = key_name(keys[i], names[i]);
            slots[slot_count++] = hash_slot(names_of[i]);
        }
        if (slot_count == 2 && slots[0] == slots[1])
            slot_count = 1;
        if (slot_count == 2 && slots[0] > slots[1]) {
            slot_t swap = slots[0];

            slots[0] = slots[1];
            slots[1] = swap;
        }
        for (int i = 0; i < count_; i++) {
            int k = keys[i];

            if (what[i] < 5) {
                next->big[db][k] = 0;
                snprintf(next->value[db][k], sizeof next->value[db][k], "v%lu", (unsigned long)rng_next(r));
            } else if (what[i] < 8) {
                next->value[db][k][0] = '\0';
                next->big[db][k]++;
            } else {
                next->value[db][k][0] = '\0';
                next->big[db][k] = 0;
            }
        }
        ledger->kill.pending = 1;
        WANT(txn_begin(n->txn, slots, slot_count, &options) == OK);
        for (int i = 0; i < count_; i++) {
            int k = keys[i];

            if (what[i] < 5) {
                /* A key named twice ends with the last value; the effects in between are harmless. */
                set_string(n->txn, names_of[i], slice_str(next->value[db][k][0] ? next->value[db][k] : "x"));
            } else if (what[i] < 8) {
                char element[16];
                struct obj *o = NULL;
                uint64_t have = txn_write(n->txn, names_of[i], OBJ_ANY, &o) == OK && o->form == OBJ_BIG ? o->count : 0;

                snprintf(element, sizeof element, "e%lu", (unsigned long)have);
                add_element(n->txn, names_of[i], slice_str(element));
            } else {
                delete_key(n->txn, names_of[i]);
            }
        }
        txn_command_end(n->txn, (struct slice){0}, NULL, 0);
        WANT(txn_commit(n->txn, &end) == OK);
        txn_end(n->txn);
        WANT(wal_write_to(n->wal, end) == OK);
    }
    ledger->acknowledged = *next;
    ledger->kill.pending = 0;
    ledger->kill.commands++;
    if (rng_below(r, 200) == 0)
        WANT(set_drain(n->set) == OK);
}

static void life(const char *dir, uint64_t seed)
{
    struct crash_node_options options = {.databases = DBS, .budget_bytes = 16000, .apply = apply};
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

START_TEST(crash__nothing_acknowledged_is_lost_by_kill_9_at_any_moment)
{
    ledger = crash_ledger_new(sizeof *ledger);
    crash_rounds(ROUNDS, ROUND_US_MAX, life);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("crash");

    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, crash__nothing_acknowledged_is_lost_by_kill_9_at_any_moment);
    return suite_run("crash", tc);
}
