/*
 * set_priv.h - the working set from inside: spaces, slots, tables, transactions, the writer's state.
 *
 * Lock order: pass (one drain, flush or swap of databases at a time) -> slot locks, ascending -> gate -> the journal's
 * own lock. The gate is held for reading from the first row a transaction lands until its frame is in the journal, and
 * for writing while memtables are switched: so a memtable that becomes a file never holds half of an atomic change, and
 * everything in it is in the journal, which is then synced.
 */
#ifndef CAIRN_ENGINE_SET_SET_PRIV_H
#define CAIRN_ENGINE_SET_SET_PRIV_H

#include "base/check.h"
#include "base/hash.h"
#include "engine/set/elements.h"
#include "engine/set/journal.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"
#include "engine/store/store.h"

#include <pthread.h>
#include <stdatomic.h>

enum obj_state {
    STATE_DIRTY = 1,      /* in its slot's dirty list */
    STATE_FLYING = 2,     /* picked by the writer, not yet in the store */
    STATE_TOMB = 4,       /* deleted; stays until the deletion is in the store */
    STATE_REFERENCED = 8, /* used since the eviction hand last passed */
    STATE_HELD = 32,      /* the writer has its address: stays dirty, and so in memory, until the writer has settled it */
    STATE_BLIND = 64,     /* made in replay without asking the store, which may have a BIG record of the key */
    STATE_SURE = 16,      /* the store surely has no row of this key: its tombstone need not be drained */
};

#define NEVER_MS INT64_MAX

/* Open addressing; a cell is the upper 16 bits of the hash over the low 48 bits of the pointer; 0 is empty. */
struct table {
    uint64_t *cells;
    uint32_t capacity; /* 0 or a power of two */
    uint32_t used;
};

struct obj *table_find(const struct table *t, uint32_t hash, struct slice key);
void table_add(struct table *t, struct obj *o);    /* must not be there */
void table_remove(struct table *t, struct obj *o); /* must be there */
void table_free(struct table *t);                  /* not the objects */
static inline struct obj *table_at(const struct table *t, uint32_t i)
{
    return (struct obj *)(uintptr_t)(t->cells[i] & UINT64_C(0xffffffffffff));
}

struct slot { /* Under the slot's lock */
    struct table table;
    uint64_t keys, expires;  /* of all keys, in memory or not */
    uint32_t live;           /* objects in memory that are no tombstones; == keys: the slot is complete */
    uint32_t dirty_count, dirty_capacity;
    struct obj **dirty;      /* objects not (wholly) in the store */
    lsn_t counts_since;      /* first change of keys/expires that is not in a count row; 0: none */
    lsn_t counts_at;         /* of the last saved count row; in replay, of the last delta: the counts hold all through it */
    msec_t next_expire_ms;   /* nothing in memory expires before */
    msec_t cold_expire_ms;   /* nothing that is only in the store expires before */
};

struct space { /* One logical database */
    struct slot slots[SLOTS];
    atomic_uint_fast64_t keys, expires;
    atomic_uint_fast64_t hidden_keys, hidden_expires; /* of them, in slots that are hidden: set_hide */
    atomic_uint uid; /* of its family in the store */
    lsn_t floor;     /* last written for this family; under pass */
    _Atomic msec_t average_ttl_ms; /* of keys with an expiry; what the keeper saw; 0: nothing yet */
};

struct garbage { /* Elements that the reaper has to remove */
    unsigned uid;
    slot_t slot;
    uint64_t id;
};

struct reaper { /* what the keeper is at */
    struct garbage of;
    lsn_t born;        /* of the family */
    struct buf behind; /* the last row that it has removed of this one */
};

struct set {
    /* Set once */
    struct store *store;
    const struct journal *journal;
    unsigned databases; /* twice the visible ones: behind them lies the stage (stage.h) */
    unsigned visible;
    pthread_mutex_t locks[SLOTS];
    struct txn *keeper_txn;
    lsn_t *replay_floors; /* by database, as found at open */
    lsn_t swapped_at;     /* under pass: position of the last SWAPDB that is in the order of databases */
    atomic_bool no_ids;      /* no id was ever given out: the store has no BIG records */
    _Atomic lsn_t replaying; /* oldest position that replay has not passed; 0: started, no replay */

    /* Any thread */
    _Atomic(struct space *) *spaces; /* by database; created when first written */
    pthread_mutex_t spaces_lock;
    uint16_t *uids; /* by database; changed by SWAPDB with the world stopped */
    atomic_uint_fast64_t budget_bytes, dirty_bytes_max, log_bytes_max;
    atomic_int_fast64_t bytes, dirty_bytes, objects;
    atomic_int_fast64_t dirty_grace; /* what replay left dirty: nobody waits for that to drain; 0: it has */
    atomic_uint_fast64_t hits, misses, loads, evictions, expired, drains, drained, drain_ingests, drain_batches, stalls;
    atomic_uint_fast64_t floor; /* persisted */
    atomic_uint eviction_hand;
    atomic_bool expire_enabled;
    atomic_bool following; /* the journal is another node's stream: set_follow */
    atomic_uint_fast64_t string_bytes_max;
    _Atomic msec_t expire_hold_ms; /* no expiry before it */
    atomic_bool still[SLOTS];      /* no key of the slot goes because of its time: set_still */
    atomic_uint still_count;
    atomic_bool hidden[SLOTS];     /* its keys are not listed: set_hide. Changed with the slot locked */
    atomic_uint hidden_count;

    pthread_rwlock_t gate;

    pthread_mutex_t pass; /* one drain at a time */
    struct flight *flight; /* Under pass */

    pthread_mutex_t threads_lock; /* guards the list of transactions */
    struct txn *threads;

    pthread_mutex_t ids_lock;
    uint64_t next_id, id_limit; /* Under ids_lock */

    pthread_mutex_t wake_lock; /* guards the rest */
    pthread_cond_t wake, landed;
    uint64_t passes_wanted, passes_done;
    bool in_air;               /* records are picked that are not in the store yet */
    _Atomic bool stopping;
    bool writing, started;
    enum err drain_error;
    pthread_t writer, keeper;

    pthread_mutex_t garbage_lock;
    struct garbage *garbage; /* Under garbage_lock */
    size_t garbage_count, garbage_capacity;
    atomic_bool garbage_wanted; /* families came with garbage of their own: the keeper looks for it */
};

struct touched {
    struct obj *o;
    struct space *space;
    uint32_t effect; /* index in effects; EFFECT_NONE until one is emitted */
    slot_t slot;
    uint16_t db;
    int8_t keys, expires; /* what it changes in the counts */
    bool through;    /* rows of it have landed, or wait in the batch: so must its record with this commit */
};
enum { EFFECT_NONE = UINT32_MAX };

/* What one command of a lane becomes (wave.c): touched and effects up to `touched_end` and `effect_count` are its own. */
struct lane_frame {
    size_t touched_end, effects, effect_count;
    struct slice stream;
    size_t text_at, text_size; /* in translated, if local: text that is not the stream's own */
    bool local;
    lsn_t base;                /* once it is appended */
};

struct txn {
    struct set *set;
    struct txn *next_thread;
    struct rng rng;
    atomic_uint_fast64_t hits, misses; /* of txn_read; written by the owner only */
    atomic_uint_fast64_t active_since; /* journal position from before its frame; 0: none in the making */

    /* While it runs */
    struct txn_options options;
    unsigned db;
    struct space *space; /* of db; NULL until first written */
    slot_t *slots;
    size_t slot_count, slot_capacity;
    bool changed;   /* since txn_begin */
    bool command_changed;
    bool gate_held;
    bool failed;    /* a write to the store failed: fatal */
    lsn_t replay_lsn;
    struct slice stream; /* of a primary: txn_follow */
    unsigned stream_db;
    struct buf translated;

    /* Of a lane; 0 and false in any other transaction */
    bool lent;                /* locks and gate are held by the wave's owner */
    size_t frame_effects, frame_touched; /* where the command's own begin */
    struct lane_frame *frames;
    size_t frame_count, frame_capacity;

    struct touched *touched;
    size_t touched_count, touched_capacity, unbound;
    struct journal_effect *effects;
    size_t effect_count, effect_capacity, command_effects;
    struct garbage *garbage;  /* ids dropped by this transaction */
    size_t garbage_count, garbage_capacity;
    struct elements **dropped; /* nobody's any more; freed when no slot is locked */
    size_t dropped_count, dropped_capacity;
    struct buf text;          /* of the effects, behind room for MULTI */
    struct batch *batch;      /* rows not landed yet */
    struct buf row, row2;     /* scratch for keys of rows */
    struct buf record;        /* scratch for records */
    struct store_value value; /* what the last row look-up pinned */
    size_t size_hint;
    int64_t bytes_delta;      /* not yet in set->bytes */
    int64_t objects_delta;
};

/* flush.c */
void set_stop_world(struct set *s); /* the pass lock, then all slots */
void set_go_on(struct set *s);
/* All objects of a slot leave memory, whatever the store has of them; counts stay. pass is held, so nothing flies. */
void set_forget_slot(struct set *s, struct slot *slot);
void set_forget_all(struct set *s, struct space *space, lsn_t at);

/* obj.c */
struct obj *obj_new(uint32_t hash, struct slice key, size_t value_room);
void obj_free(struct obj *o);

/* set.c */
struct space *set_space(struct set *s, unsigned db); /* NULL if never written */
struct space *set_space_make(struct set *s, unsigned db);
static inline struct family *set_family(struct set *s, struct space *space)
{
    return store_family(s->store, atomic_load_explicit(&space->uid, memory_order_relaxed));
}
enum err set_order_save(struct set *s);
uint64_t set_new_id(struct set *s);
/* Ids below the limit are another node's from now on. */
enum err set_ids_pass(struct set *s, uint64_t limit);
void set_garbage_add(struct set *s, const struct garbage *g);
void set_garbage_forget(struct set *s, unsigned uid); /* its family is gone; all slots are locked */
void set_wake_writer(struct set *s);
void gate_read(struct txn *t);
void gate_done(struct txn *t);

/* txn.c: what txn_begin sets and txn_end does, but for the locks and the writer */
void txn_start(struct txn *t, const struct txn_options *options);
void txn_leave(struct txn *t);

/*
 * commit.c: the effects since frame_effects become one frame. Returns whether they are local; *text goes into the journal, borrowed
 * until the next effect. txn_stamp: what the entries from `touched` to `touched_end` changed gets its position; `effect`: the frame's
 * first one.
 */
bool txn_frame(struct txn *t, struct slice *text);
struct stamp {
    size_t touched, touched_end, effect;
    lsn_t base, all_at; /* all_at: where all effects are, or 0: one behind the other from base on */
};
void txn_stamp(struct txn *t, const struct stamp *where);
bool txn_lands_rows(const struct txn *t);
void txn_settle(struct txn *t);
void txn_account(struct txn *t);

/* change.c: the entry that collects what the running effect does to o; touch_record: to its record only */
struct touched *touch(struct txn *t, struct obj *o);
struct touched *touch_record(struct txn *t, struct obj *o);

/* A key's slot: known without hashing while the transaction has one slot. */
static inline slot_t txn_slot(const struct txn *t, struct slice key)
{
    if (t->slot_count == 1) {
        check_slow(hash_slot(key) == t->slots[0]);
        return t->slots[0];
    }
    return hash_slot(key);
}

/* rows.c: record and changed rows of an object into the transaction's batch; it is clean when that has landed */
void write_through(struct txn *t, struct space *space, struct obj *o);
void wait_landed(struct set *s);

enum err rows_down(struct txn *t, struct obj *o); /* before a walk over the store: what memory has beyond it lands */
struct family *family_of(struct txn *t, const struct obj *o);
enum store_tier tier_of(const struct txn *t);

/* ranks.c: a walk by score in memory; ERR_NOT_FOUND: the store must be walked */
enum err order_walk(struct txn *t, struct obj *o, double score, struct slice member, bool reverse, struct txn_cursor *c);
enum err order_walk_next(struct txn_cursor *c);

/* For a BLIND object about to be written: the id of the BIG record that the store has, 0 if none. Clears BLIND. */
uint64_t blind_resolve(struct set *s, struct space *space, struct obj *o, struct buf *scratch);

/* load.c: objects from records; eviction */
enum err load_record(struct set *s, struct space *space, slot_t slot, uint32_t hash, struct slice key,
                     enum store_tier tier, struct buf *scratch, struct obj **out);
void obj_charge(struct txn *t, struct obj *o);
void obj_drop_elements(struct set *s, struct obj *o); /* from memory only; accounts */
struct elements *obj_take_elements(struct set *s, struct obj *o); /* the same, but they are the caller's, who drops them; or NULL */
void obj_forget(struct set *s, struct slot *slot, struct obj *o); /* out of table and memory; accounts */
void evict_some(struct txn *t);

/* writer.c */
void obj_dirty(struct set *s, struct slot *slot, struct obj *o, lsn_t lsn);
void obj_clean(struct set *s, struct slot *slot, struct obj *o); /* written through */
void *writer_run(void *set);
struct flight *flight_new(void);
void flight_free(struct flight *f);
enum err writer_pass(struct set *s, bool flush_always);
enum err writer_flush(struct set *s);
/* locked: the caller holds all slot locks. Always under pass. */
enum err drain_space(struct set *s, struct space *space, lsn_t floor, bool locked);

/*
 * What may be dirty before a drain starts: never more than half of the budget. Replay uses all of that half: its objects
 * were made without asking the store, and a drain has to ask, so draining meanwhile costs more than replay itself.
 */
static inline int64_t dirty_limit(struct set *s)
{
    uint64_t most = atomic_load_explicit(&s->dirty_bytes_max, memory_order_relaxed);
    uint64_t half = atomic_load_explicit(&s->budget_bytes, memory_order_relaxed) / 2;

    return (int64_t)(most < half && atomic_load_explicit(&s->replaying, memory_order_relaxed) == 0 ? most : half);
}
void record_of(const struct obj *o, struct buf *out);

/* counts.c */
enum err counts_load(struct set *s, unsigned db);
void counts_row(struct buf *key, slot_t slot);
void counts_encode(struct buf *out, const struct slot *slot, lsn_t at);
/* With the slot locked: so many more keys and expiries, in all figures. */
void set_count(struct set *s, struct space *space, slot_t number, int64_t keys, int64_t expires);

/* view.c: drains until little is dirty, while commands go on; the journal is then synced through what was there */
enum err set_drain_most(struct set *s);

/* keeper.c */
void *keeper_run(void *set);

/* reaper.c */
void reaper_find(struct set *s); /* what an earlier life left */
void reaper_cycle(struct set *s, struct reaper *r, int64_t until_us);

#endif
