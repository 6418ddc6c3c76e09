/*
 * execute.h - runs one request of a session: the checks in Redis' order, the slots' locks, the command, its commit.
 *
 * Each thread that runs commands (a worker, a pool thread, replay) has one struct executor. A worker's must not wait:
 * what needs the disk, a held lock or much time comes back as EXECUTE_AWAY, without effect, and is run again by a pool
 * thread, whose executor may wait. Replies may leave only after the journal's tail of then is as safe as appendfsync
 * wants (node_await); the caller sees to that once per turn.
 */
#ifndef CAIRN_SERVER_RUN_EXECUTE_H
#define CAIRN_SERVER_RUN_EXECUTE_H

#include "base/buf.h"
#include "base/types.h"
#include "server/run/call.h"
#include "server/run/keys.h"
#include "server/run/registry.h"
#include "server/run/session.h"

struct stats_shard;

struct prepared { /* the first member of what a command leaves */
    void (*free)(struct prepared *p);
};

/* What a worker found out about a request before it executes it: see execute_plan. */
struct plan {
    const struct command *command; /* NULL: unknown */
    slot_t slot;                   /* of the only key */
    uint32_t hash;
    bool single;                   /* slot and hash are set */
};

struct executor {
    struct node *node;
    struct txn *txn;
    struct stats_shard *stats;
    bool may_wait;
    msec_t now_ms;     /* the owner sets it at the start of each turn */
    uint64_t clock_ns; /* when the last command ended, if the next follows directly; 0: read the clock */
    msec_t block_ms;   /* after EXECUTE_BLOCKED: for how long; 0: for ever */
    lsn_t end;         /* largest log position of this turn's changes */
    struct buf scratch;
    struct key_places places;
    struct slice *keys;
    slot_t *slots;
    size_t key_capacity, slot_capacity, key_count, slot_count;
    struct slice *words; /* of a queued command */
    size_t word_capacity;
    struct buf ready;    /* server/run/waiting.c: keys whose waiters are to be served */
    bool serving;
    struct prepared *prepared; /* by the command that is about to run (COMMAND_PREPARES); NULL: nothing */
    bool held;           /* a command without a transaction met what it may not write now, and said ERR_BUSY */
};

void executor_init(struct executor *x, struct node *node, uint64_t seed, bool may_wait);
void executor_fini(struct executor *x);

enum executed {
    EXECUTE_DONE,    /* the reply (perhaps none) is in out */
    EXECUTE_AWAY,    /* nothing happened; run it again on an executor that may wait */
    EXECUTE_HELD,    /* nothing happened; CLIENT PAUSE, a key that is being moved away: run it again later */
    EXECUTE_BLOCKED, /* the session waits: server/run/waiting.h, server/run/parked.h */
};

/* argv and raw stay valid until it returns. Appends to out. plan: NULL, or what execute_plan gave for these words. */
enum executed execute(struct executor *x, struct session *s, const struct slice *argv, size_t argc, struct slice raw,
                      const struct plan *plan, struct buf *out) WARN_UNUSED;

/* Looks the command up; for one with a single key, its slot. */
void execute_plan(struct executor *x, const struct slice *argv, size_t argc, struct plan *out);

/* Brings what the requests will touch into the processor's cache, all misses at once. held: as in engine/set/set.h. */
void execute_prefetch(struct executor *x, unsigned db, const struct plan *plans, size_t count, bool held);

/*
 * The parts, for EXEC, scripts and replay: a command inside the transaction that the executor has open. Its slots must
 * be locked. Returns what the command returned (errors of a client are already replies: ERR_REPLIED); ERR_COLD and
 * ERR_BUSY: nothing was done or written.
 */
enum err execute_inside(struct executor *x, struct session *s, const struct command *command, const struct slice *argv,
                        size_t argc, struct slice raw, struct buf *out) WARN_UNUSED;

/* Makes the checks that need no locks: known, arity, NOAUTH, no-multi, NOPERM. False:
 * refused, the error is in out. command: as registry_resolve gave it, NULL included. */
bool execute_check(struct executor *x, struct session *s, const struct command *command, const struct slice *argv,
                   size_t argc, struct buf *out);

/* Adds the command's keys and slots to the executor's lists (emptied by execute_keys_begin; sorted by _end). */
void execute_keys_begin(struct executor *x);
void execute_keys_add(struct executor *x, const struct command *command, const struct slice *argv, size_t argc);
void execute_keys_end(struct executor *x);
void execute_slots_all(struct executor *x);
void execute_slot_add(struct executor *x, slot_t slot);

/* Where the keys are served; the executor's lists hold them. txn as in struct gate. OK, ERR_REPLIED, ERR_COLD. */
enum err execute_route(struct executor *x, struct session *s, const struct command *command, const struct slice *argv,
                       size_t argc, struct txn *txn, struct reply *reply) WARN_UNUSED;
/* Whether the state of the server allows the command. OK, ERR_REPLIED. */
enum err execute_admit(struct executor *x, struct session *s, const struct command *command, const struct slice *argv,
                       size_t argc, struct reply *reply) WARN_UNUSED;

/* Whether the request, which writes, must wait because of keys that are being moved away; the lists hold its keys, its slots
 * are locked. *generation is for execute_hold, which is called with nothing locked: EXECUTE_HELD or EXECUTE_AWAY. */
bool execute_meets_busy(struct executor *x, const struct session *s, unsigned db, uint64_t *generation);
enum executed execute_hold(struct executor *x, uint64_t generation);

/* Commits what the transaction changed and unlocks. s may be NULL. */
enum err execute_commit(struct executor *x, struct session *s) WARN_UNUSED;

/* Gives up a transaction whose command was refused: only what look-ups removed because of its time stays done. */
void execute_abandon(struct executor *x);

/* Whether look-ups leave expired keys where they are: on a replica, while CLIENT PAUSE holds writes back. */
bool execute_keeps_expired(const struct executor *x);

/* Removes the key if its time has come; ERR_NOT_FOUND: it did, or the key is not there. For commands without a transaction on
 * an executor that may wait. */
enum err execute_expire(struct executor *x, unsigned db, struct slice key) WARN_UNUSED;

/* Serves all who wait for keys, after a whole database has changed; nothing is locked. Inside EXEC: at its end. */
void execute_serve_all(struct executor *x, const struct session *s);

/* CLIENT REPLY, and what ASKING leaves: at the end of a request whose reply is in out from `mark` on. */
void execute_settle(struct session *s, struct buf *out, size_t mark);

/* EXEC (server/run/transaction.c). */
enum err transaction_exec(struct call *c);

#endif
