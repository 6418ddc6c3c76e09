/*
 * harness.h - a working set over a real store in a temporary folder, with a journal in memory, for tests of the types.
 *
 *     struct harness *h = harness_open(budget);                    budget: bytes of objects in memory
 *     struct txn *t = harness_begin(h, "key", NULL);               locks the slots of the named keys
 *     ... hash_set(t, ...) ...
 *     harness_end(h);                                              ends the command, commits, unlocks
 *     harness_text(h)                                              RESP text of the frames since harness_text_clear
 *     harness_close(h);
 *
 * The clock stands still at h->now_ms until a test moves it.
 */
#ifndef CAIRN_TESTS_UNIT_ENGINE_HARNESS_H
#define CAIRN_TESTS_UNIT_ENGINE_HARNESS_H

#include "base/buf.h"
#include "base/types.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"

#include <stddef.h>

struct harness {
    struct store *store;
    struct set *set;
    struct txn *txn;
    msec_t now_ms;
    unsigned db;
    bool may_wait; /* true unless a test wants to see ERR_COLD */
    lsn_t end;     /* of the last commit */
    struct harness_journal *journal;
    char path[64];
};

struct harness *harness_open(uint64_t budget_bytes);
void harness_close(struct harness *h);

/* NULL-terminated list of C-string keys; aborts the test on failure. */
struct txn *harness_begin(struct harness *h, const char *key, ...) __attribute__((sentinel));

/* Ends the command without own words (for changes that emit effects); or with the given words, space separated. */
void harness_end(struct harness *h);
void harness_end_as(struct harness *h, const char *words);

/* Unlocks without a commit: after ERR_COLD. */
void harness_abort(struct harness *h);

/* The text of all frames, "DEL a|SET b 1|": words joined by spaces, effects by bars; MULTI, EXEC, SELECT included. */
const char *harness_text(struct harness *h);
void harness_text_clear(struct harness *h);

/* All struct journal_effect since then, one behind the other. */
struct slice harness_effects(struct harness *h);

/* How many effects of the last frame change the counts of their slots, and the number of keys in all. */
unsigned harness_deltas(struct harness *h, int *keys);

/* How far the journal was asked to be durable. */
lsn_t harness_synced(struct harness *h);

/* The journal goes on at this position, as after a reset. */
void harness_jump(struct harness *h, lsn_t lsn);

/* Everything to the store, then out of memory: the next look-ups read rows. */
void harness_cool(struct harness *h);

#endif
