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
#include "base/log.h"
#include "base/rng.h"
#include "base/words.h"
#include "engine/key/record.h"
#include "engine/key/row.h"
#include "engine/set/range.h"
#include "engine/set/script.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"
#include "engine/store/store.h"
#include "persistence/recovery.h"
#include "persistence/vfs.h"
#include "persistence/wal.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DBS = 2, KEYS = 40, ROUNDS = 25, ROUND_US_MAX = 120000, NOW = 1000 };

struct state {
    char value[DBS][KEYS][40]; /* "" : absent or big */
    int big[DBS][KEYS];        /* elements; 0: not big */
};

struct ledger {
    struct state acknowledged, next;
    volatile int pending;
    volatile int trouble; /* line of a failed check in the child */
    volatile unsigned long commands, rounds_done;
};

struct node {
    struct store *store;
    struct wal *wal;
    struct journal journal;
    struct set *set;
    struct txn *txn;
};

static struct ledger *ledger;

#define WANT(x)                          \
    do {                                 \
        if (!(x)) {                      \
            ledger->trouble = __LINE__;  \
            _exit(3);                    \
        }                                \
    } while (0)

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

static size_t words_of(struct slice text, struct slice words[4])
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
    struct node *n = context;

    return set_replay_floor(n->set, db);
}

static void count(void *context, unsigned db, slot_t slot, lsn_t lsn, int64_t keys, int64_t expires)
{
    struct node *n = context;

    set_replay_count(n->set, db, slot, lsn, keys, expires);
}

static enum err apply(void *context, const struct recovery_effect *e)
{
    struct node *n = context;
    struct txn_options options = {.now_ms = NOW, .db = e->db, .may_wait = true, .replay = true};
    struct slice words[4];
    size_t words_count = words_of(e->text, words);
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

static void node_open(struct node *n, const char *dir)
{
    char path[128];
    struct store_options store = {.path = path, .block_cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20};
    struct set_options set = {.databases = DBS, .budget_bytes = 16000, .dirty_bytes_max = 6000, .log_bytes_max = 20000};
    struct wal_options wal = wal_options_default();
    struct recovery_options recovery = {.databases = DBS, .context = n, .floor = floor_of, .count = count, .apply = apply};

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

/* ---- Comparing ---- */

static bool equals(struct node *n, const struct state *s)
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
static void drop_slot(struct node *n, unsigned db, int tag, struct state *next)
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
    ledger->pending = 1;
    WANT(range_drop(n->set, db, slot, slot, &following, &keys, &end, never, NULL) == OK);
    WANT(keys == present && following == slot + 1u && set_slot_keys(n->set, db, slot) == 0);
    WANT(end == 0 || wal_write_to(n->wal, end) == OK);
    if (keys == 3)
        WANT(range_compact(n->set, db, slot, slot, &freed) == OK);
}

/* All keys of one tag, which has none, come as rows of another node's store. */
static void land_slot(struct node *n, unsigned db, int tag, struct state *next, struct rng *r)
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
    ledger->pending = 1;
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

static void command(struct node *n, struct rng *r)
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
        ledger->pending = 1;
        WANT(set_flush_db(n->set, db, &end) == OK);
    } else if (kind == 1) {
        for (int i = 0; i < KEYS; i++) {
            memcpy(next->value[0][i], ledger->acknowledged.value[1][i], sizeof next->value[0][i]);
            memcpy(next->value[1][i], ledger->acknowledged.value[0][i], sizeof next->value[0][i]);
            next->big[0][i] = ledger->acknowledged.big[1][i];
            next->big[1][i] = ledger->acknowledged.big[0][i];
        }
        ledger->pending = 1;
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
        ledger->pending = 1;
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
    ledger->pending = 0;
    ledger->commands++;
    if (rng_below(r, 200) == 0)
        WANT(set_drain(n->set) == OK);
}

static void life(const char *dir, uint64_t seed)
{
    struct node n = {0};
    struct rng r;

    rng_seed(&r, seed);
    node_open(&n, dir);
    if (!equals(&n, &ledger->acknowledged)) {
        WANT(ledger->pending);
        WANT(equals(&n, &ledger->next));
        ledger->acknowledged = ledger->next;
    }
    ledger->pending = 0;
    ledger->rounds_done++;
    for (;;)
        command(&n, &r);
}

START_TEST(crash__nothing_acknowledged_is_lost_by_kill_9_at_any_moment)
{
    char dir[64], remove[128];
    uint64_t seed = getenv("SEED") != NULL ? strtoull(getenv("SEED"), NULL, 10) : 3;
    int rounds = getenv("ROUNDS") != NULL ? atoi(getenv("ROUNDS")) : ROUNDS;
    struct rng r;

    printf("SEED=%lu ROUNDS=%d\n", (unsigned long)seed, rounds);
    rng_seed(&r, seed);
    snprintf(dir, sizeof dir, "%s/cairn-crash-XXXXXX", getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    ck_assert(mkdtemp(dir) != NULL);
    ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(ledger != MAP_FAILED);
    for (int round = 0; round < rounds; round++) {
        unsigned long lives = ledger->rounds_done;
        uint64_t life_seed = rng_next(&r), us = rng_below(&r, ROUND_US_MAX);
        int status, waited = 0;
        pid_t child = fork();

        if (child == 0) {
            log_level_set(LOG_NOTHING);
            life(dir, life_seed);
        }
        while (ledger->rounds_done == lives && ledger->trouble == 0 && waited++ < 60000 && waitpid(child, &status, WNOHANG) == 0)
            usleep(1000);
        usleep((useconds_t)us);
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        ck_assert_msg(ledger->trouble == 0, "round %d: line %d of the child", round, ledger->trouble);
        ck_assert_msg(ledger->rounds_done == lives + 1, "round %d: the child did not recover", round);
    }
    printf("%lu commands, %d kills\n", ledger->commands, rounds);
    snprintf(remove, sizeof remove, "rm -rf '%s'", dir);
    ck_assert(system(remove) == 0);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("crash");

    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, crash__nothing_acknowledged_is_lost_by_kill_9_at_any_moment);
    return suite_run("crash", tc);
}
