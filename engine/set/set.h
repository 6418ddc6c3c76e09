/*
 * set.h - the working set: the objects in memory per slot, over the store, bounded by a budget.
 *
 * Commands reach it through transactions (txn.h). This header is for its owner (server composition), for commands
 * about the whole keyspace, and for background work. Threads: every function may be called from any thread unless it
 * says otherwise; those that iterate lock one slot at a time and may wait for the disk.
 */
#ifndef CAIRN_ENGINE_SET_SET_H
#define CAIRN_ENGINE_SET_SET_H

#include "base/buf.h"
#include "base/err.h"
#include "base/types.h"
#include "engine/set/obj.h"

struct set;
struct store;
struct journal;

struct set_options {
    struct store *store;           /* open; outlives the set */
    const struct journal *journal; /* outlives the set */
    unsigned databases;            /* 1 .. 16384 */
    uint64_t budget_bytes;         /* objects in memory; may be changed at run time */
    uint64_t dirty_bytes_max;      /* drain at this much */
    uint64_t log_bytes_max;        /* drain when the log behind the floor is this long */
};

enum err set_open(const struct set_options *options, struct set **out) WARN_UNUSED;

/* Stops background threads; drains nothing by itself (set_drain before, for a clean stop). */
void set_close(struct set *s);

/* The end of replay: the floor may move, the keeper (expiry, garbage) starts. Before that only replay may run. */
enum err set_start(struct set *s) WARN_UNUSED;

/* ---- Keyspace ---- */

uint64_t set_keys(struct set *s, unsigned db);            /* exact, O(1), hidden ones too */
uint64_t set_expires(struct set *s, unsigned db);
msec_t set_average_ttl(struct set *s, unsigned db); /* of keys with an expiry, from samples in memory; 0: unknown */
uint64_t set_slot_keys(struct set *s, unsigned db, slot_t slot); /* exact, O(1): COUNTKEYSINSLOT */

/*
 * The keys of a hidden slot are there for who names them or the slot, but not for who walks over all slots: set_scan of all,
 * set_random_key, the two figures below. For slots that arrive or are being dropped while another node has them. Any
 * thread, with no slot locked.
 */
void set_hide(struct set *s, slot_t slot, bool hide);
uint64_t set_keys_shown(struct set *s, unsigned db); /* exact, O(1): DBSIZE */
uint64_t set_expires_shown(struct set *s, unsigned db);

/*
 * One page of a scan. cursor: 0 starts; *next 0 is the end. Calls `each` for at least one key (unless the end is
 * reached) and about `count` of them; keys whose expiry has passed are left out. The object passed is the record
 * (type, form, count) and borrowed for the call; its value may be absent. slot: SLOTS for all that are not hidden; else
 * one page of this one, cursor is the hash to begin at, *next 0. Cursors are below 2^31: redis-cli's import keeps them in an int.
 */
typedef void set_each(void *context, const struct obj *o);
enum err set_scan(struct set *s, unsigned db, unsigned slot, uint64_t cursor, size_t count, msec_t now_ms,
                  set_each *each, void *context, uint64_t *next) WARN_UNUSED;

/* A live key, nearly uniform; ERR_NOT_FOUND if there is none. */
enum err set_random_key(struct set *s, unsigned db, msec_t now_ms, uint64_t random, struct buf *key) WARN_UNUSED;

/* Empties a database; *end is the log position that the reply must wait for. */
enum err set_flush_db(struct set *s, unsigned db, lsn_t *end) WARN_UNUSED;
enum err set_swap_db(struct set *s, unsigned a, unsigned b, lsn_t *end) WARN_UNUSED;

/*
 * Brings what a look-up will touch into the processor's cache. A worker that has parsed several commands calls the three
 * steps in turn for all of them, then executes: the misses of one command overlap with those of the others. Hints only:
 * nothing is changed, and a slot that is locked by somebody else is left out. held: the slots are locked on the caller's behalf
 * (a lane, txn.h). set_prefetch_lock alone is for who locks them for others.
 */
void set_prefetch_lock(struct set *s, slot_t slot);
void set_prefetch_slot(struct set *s, unsigned db, slot_t slot);
void set_prefetch_cell(struct set *s, unsigned db, slot_t slot, uint32_t hash, bool held);
void set_prefetch_object(struct set *s, unsigned db, slot_t slot, uint32_t hash, bool held);

/* ---- Durability ---- */

/* Everything changed so far is in the store's SSTs and the floor is beyond it (SAVE, a clean stop, checkpoint). */
enum err set_drain(struct set *s) WARN_UNUSED;

/* Log positions below this are in persisted SSTs of every family: the log may be cut there. */
lsn_t set_floor(struct set *s);

/* ---- Replay (single caller; see persistence/recovery) ---- */

/* Whether the effect at lsn about this key is already in the store; the slot's lock is held by t. */
struct txn;
enum err set_replay_needed(struct txn *t, struct slice key, lsn_t lsn, bool *needed) WARN_UNUSED;
/*
 * The same for an effect that gives the key its whole state whatever it was before (SET without KEEPTTL, DEL): a key that
 * is not in memory is not read but taken as absent and out of date. Redoing such an effect is right even if the store
 * is ahead of it, because every later effect about the key is then redone too. Measured: a read costs 5-18 us, an effect
 * without it 1.
 */
enum err set_replay_overwrite(struct txn *t, struct slice key, lsn_t lsn, bool *needed) WARN_UNUSED;
/*
 * For loading a file (txn in replay): creates a key that the store surely does not have. ERR_EXISTS: memory has it. Its slot's counts
 * are the caller's (set_replay_count).
 */
enum err set_load_create(struct txn *t, struct slice key, enum obj_type type, struct obj **out) WARN_UNUSED;
/* Counts: the deltas of an effect, applied when they are beyond the slot's saved count row. */
void set_replay_count(struct set *s, unsigned db, slot_t slot, lsn_t lsn, int64_t keys, int64_t expires);
/* Effects at or behind this position may be missing in the store's database; the least of all databases. */
lsn_t set_replay_floor(struct set *s, unsigned db);
/* Tells how far replay has come, before the effect at lsn is counted or applied: the floor never passes it. */
void set_replay_position(struct set *s, lsn_t lsn);
/* Redoes FLUSHDB of db (kind JOURNAL_FLUSH) or SWAPDB of db and other (JOURNAL_SWAP), unless the store has it. */
enum err set_replay_range(struct set *s, unsigned kind, unsigned db, unsigned other, lsn_t lsn) WARN_UNUSED;

/* ---- Figures ---- */

struct set_figures {
    uint64_t bytes, dirty_bytes, objects, budget_bytes;
    uint64_t hits, misses, loads, evictions, expired, drains, drained_objects, drain_ingests, drain_batches;
    uint64_t stalls;
};
void set_figures(struct set *s, struct set_figures *out);
void set_budget(struct set *s, uint64_t budget_bytes);

/*
 * Following a primary: nothing is removed because of its time, and the journal gets only what transactions with
 * options.follow and the two calls below give it. When set_follow returns, no transaction that began before is under way.
 */
void set_follow(struct set *s, bool follow);

/* FLUSHDB or FLUSHALL of a primary's stream: databases first .. first + count - 1 are emptied. stream: the bytes; db:
 * selected behind them. */
enum err set_follow_flush(struct set *s, unsigned first, unsigned count, struct slice stream, unsigned db, lsn_t *end);
/* SWAPDB a b of a primary's stream. */
enum err set_follow_swap(struct set *s, unsigned a, unsigned b, struct slice stream, unsigned db, lsn_t *end);

/* Active expiry on or off (DEBUG SET-ACTIVE-EXPIRE, replicas). */
void set_expire_enable(struct set *s, bool enable);

/* Until then (unix ms) the keeper removes no key (CLIENT PAUSE). */
void set_expire_hold(struct set *s, msec_t until_ms);

/*
 * While a slot is still, no key of it is removed because of its time: reads hide what has expired and leave it. For slots on
 * their way to or from another node. Transactions that began before may still remove some.
 */
void set_still(struct set *s, slot_t slot, bool still);

/* The longest string that commands may make, bytes (proto-max-bulk-len): at first 512 MB, at most 4 GB less 64 KB. */
void set_string_max(struct set *s, uint64_t bytes);

/* Drops every clean object from memory (DEBUG): the next look-ups read the store. */
void set_evict_all(struct set *s);

#endif
