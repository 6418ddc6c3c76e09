/*
 * command.h - commands are data: a row per command binds a name to its function and its facts.
 *
 * Each type has one table (server/cmd/cmd_hash.c: cmd_hash_table). The facts that Redis publishes about a command
 * (arity, flags, key positions, categories, summary) come from server/cmd/commands.tsv, compiled in at build time.
 */
#ifndef CAIRN_SERVER_RUN_COMMAND_H
#define CAIRN_SERVER_RUN_COMMAND_H

#include "base/err.h"
#include "base/slice.h"

struct call;

enum { /* How the executor runs it, beyond what the facts say. */
    COMMAND_NO_TXN = 1,  /* touches no keys through a transaction: PING, CONFIG, SCAN, DBSIZE, FLUSHALL ... */
    COMMAND_SLOW = 2,    /* may take long or wait for the disk: always run on a pool thread (KEYS, SCAN, SAVE) */
    COMMAND_CONNECTION = 4, /* changes the connection itself; run by server/run directly (MULTI, EXEC, AUTH, HELLO, QUIT) */
    COMMAND_COLD_EXEC = 8, /* NO_TXN, and takes slot locks itself (RANDOMKEY, SCAN, FLUSHALL): inside EXEC it runs between
                            * two frames, with no slot locked */
    COMMAND_ALL_SLOTS = 16, /* in a transaction that holds every slot */
    COMMAND_ALONE = 32,     /* NO_TXN, takes no slot lock and is quick: inside EXEC it runs with the slots locked */
    COMMAND_NOT_QUEUED = 64, /* runs at once also between MULTI and EXEC (EXEC, DISCARD, MULTI, WATCH, QUIT, RESET) */
    COMMAND_PREPARES = 256, /* on a thread that may wait it is first run with no slot locked and txn NULL: what takes long and
                             * needs no keys it leaves in executor.prepared. Not inside EXEC */
    COMMAND_LONG = 512,      /* SLOW, and waits for other nodes: on a thread beside the pool's */
    COMMAND_DISABLED = 128, /* set by registry_disable: clients are told that there is no such command */
};

struct command_binding {
    const char *name; /* lower case; a subcommand is "config|get" */
    enum err (*run)(struct call *c);
    unsigned how;     /* COMMAND_* */
};

struct command_table {
    const struct command_binding *rows;
    size_t count;
};

#define COMMAND_TABLE(rows_) {(rows_), sizeof(rows_) / sizeof(rows_)[0]}

#endif
