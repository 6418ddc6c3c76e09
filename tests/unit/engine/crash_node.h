/*
 * crash_node.h - a small node (log, store, working set) that lives in a child process, and a parent that kills it at any
 * moment, again and again.
 *
 * What both know is in a ledger in shared memory: what the child has acknowledged, and which of its checks failed. Its limits
 * are so small that everything drains, seals, trims and evicts all the time.
 */
#ifndef CAIRN_TESTS_UNIT_ENGINE_CRASH_NODE_H
#define CAIRN_TESTS_UNIT_ENGINE_CRASH_NODE_H

#include "engine/set/journal.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"
#include "persistence/recovery.h"

struct crash_ledger {
    volatile int pending; /* a command is under way: it may be there after the kill, or not */
    volatile int trouble; /* line of a failed check in the child */
    volatile unsigned long commands, lives;
};

struct crash_node {
    struct store *store;
    struct wal *wal;
    struct journal journal;
    struct set *set;
    struct txn *txn;
};

struct crash_node_options {
    unsigned databases;
    uint64_t budget_bytes;
    enum err (*apply)(void *node, const struct recovery_effect *e); /* an effect, redone; node: the struct crash_node */
};

/* In the child: a check that fails is noted, and ends it. */
#define WANT(x)                             \
    do {                                    \
        if (!(x))                           \
            crash_trouble(__LINE__);        \
    } while (0)
void crash_trouble(int line) __attribute__((noreturn));

/* Opens the folder's log and store, and redoes what the store lacks. */
void crash_node_open(struct crash_node *n, const char *dir, const struct crash_node_options *options);

/* The words of an effect, at most four; they borrow from it. */
size_t crash_words(struct slice text, struct slice words[4]);

/* A ledger of so many bytes, zeroed, in shared memory; it begins with a struct crash_ledger, which WANT writes to. */
void *crash_ledger_new(size_t size);

/*
 * So many rounds (or ROUNDS; SEED chooses them): a child begins its life, which counts `lives` when it has recovered and
 * never returns, and is killed up to us_max microseconds later.
 */
void crash_rounds(int rounds, uint64_t us_max, void (*life)(const char *dir, uint64_t seed));

#endif
