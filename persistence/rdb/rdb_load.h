/*
 * rdb_load.h - an RDB file into a working set that holds none of its keys: the first start with a file of Redis, and what a
 * replica gets from its primary. The set may not be started yet (set_start), and nothing in it may be newer than the position: counts
 * of a slot that are known through `lsn` already are not added to.
 *
 * Nothing is logged: every key is stamped with one log position, as if the whole file had been one effect there. The caller
 * makes the result durable (set_drain) and begins again with an empty set after a failure or a crash. Big collections are
 * committed in pieces, so nobody may look before it is done.
 */
#ifndef CAIRN_PERSISTENCE_RDB_RDB_LOAD_H
#define CAIRN_PERSISTENCE_RDB_RDB_LOAD_H

#include "base/err.h"
#include "base/slice.h"
#include "base/types.h"
#include "persistence/rdb/rdb_input.h"

struct set;

struct rdb_load_options {
    struct set *set;
    unsigned databases; /* that the file may name */
    unsigned first;     /* database 0 of the file is this one: the stage of engine/set/stage.h; 0: as they are named */
    lsn_t lsn;         /* > 0: the position that all keys get */
    msec_t now_ms;
    bool drop_expired; /* a primary leaves out what has expired; a replica, and the base of an AOF, keep it */

    rdb_pull *pull; /* the file; may wait */
    void *context;

    /* What is no key; each may be NULL. An error ends the load. */
    enum err (*aux)(void *context, struct slice name, struct slice value);
    enum err (*function)(void *context, struct slice source); /* a library; NULL: a file that has one is refused */
    /* Every few thousand keys and at the end. An error ends the load. */
    enum err (*progress)(void *context, uint64_t keys, uint64_t bytes);
    void *hooks;
};

struct rdb_load_figures {
    uint64_t keys, expired, empty; /* loaded; left out */
    uint64_t bytes;                /* of the file */
    unsigned version;
};

/*
 * ERR_CORRUPT, ERR_INVALID: the file is damaged or holds what is not taken; text with offset and key. What was pulled behind the
 * file's end is appended to *rest if that is not NULL (an AOF goes on there). *figures is filled in any case.
 */
enum err rdb_load(const struct rdb_load_options *options, struct buf *rest, struct rdb_load_figures *figures) WARN_UNUSED;

#endif
