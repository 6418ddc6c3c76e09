/*
 * multi.h - MULTI's queue and WATCH's list of one session.
 */
#ifndef CAIRN_SERVER_RUN_MULTI_H
#define CAIRN_SERVER_RUN_MULTI_H

#include "base/buf.h"
#include "base/err.h"
#include "base/types.h"

struct command;
struct txn;

struct multi_command {
    const struct command *command;
    size_t argc;
    size_t words_at; /* index of argv[0] in multi.words */
    size_t raw_size; /* 0: the request did not come as an array */
    size_t raw_at;   /* in multi.bytes */
};

/* A word by its place, since the bytes move while the queue grows. */
struct multi_word {
    size_t at, size;
};

struct multi_watch {
    unsigned db;
    bool present;
    lsn_t last_change;
    size_t key_size;
    uint8_t *key; /* owned */
};

struct multi {
    bool open;   /* between MULTI and EXEC or DISCARD */
    bool failed; /* a command was refused while queueing: EXEC aborts */
    size_t count, capacity;
    struct multi_command *commands;
    size_t word_count, word_capacity;
    struct multi_word *words;
    struct buf bytes;
    size_t watch_count, watch_capacity, watch_bytes;
    struct multi_watch *watches;
};

void multi_fini(struct multi *m);

/* Copies the request. raw may be empty. */
void multi_queue(struct multi *m, const struct command *command, const struct slice *argv, size_t argc, struct slice raw);

/* Does EXEC count as a write? It does when one of its commands may write. */
bool multi_may_write(const struct multi *m);

/* The words of the i-th command into argv (room for its argc); borrowed from the queue until it changes. */
void multi_words(const struct multi *m, size_t i, struct slice *argv);
struct slice multi_raw(const struct multi *m, size_t i);

/* Ends the transaction: not open, not failed, empty; and watches nothing if `unwatch`. */
void multi_clear(struct multi *m, bool unwatch);
void multi_unwatch(struct multi *m);

/* Remembers the key of the transaction's database as it is now; its slot is locked by t. ERR_COLD: needs the disk. */
enum err multi_watch(struct multi *m, struct txn *t, struct slice key) WARN_UNUSED;

/* Whether any watched key differs from what was remembered; the slots are locked by t. ERR_COLD as above. */
enum err multi_touched(const struct multi *m, struct txn *t, bool *touched) WARN_UNUSED;

/* Memory of the queue, bytes (CLIENT LIST multi-mem). */
size_t multi_memory(const struct multi *m);

#endif
