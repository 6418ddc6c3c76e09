/*
 * txn.h - a transaction: one command, or all commands of one EXEC, on objects in memory and rows in the store.
 *
 * The types are written against this header alone. A transaction is used by one thread, which holds the locks of all
 * its slots from txn_begin to txn_end; what it changes becomes one atomic frame of the log at txn_commit.
 *
 * Rules for a type:
 * (1) Read before you write. A look-up may answer ERR_COLD (the disk is needed and this thread must not wait); the
 *     command then returns ERR_COLD and is run again from its start on a thread that may wait. That is only right
 *     while nothing was changed: after the first change look-ups wait for the disk by themselves.
 * (2) After changing an object call txn_changed (txn_create, txn_delete, txn_expire and txn_reset do it by themselves).
 * (3) Effects. What goes to the log and to replicas is RESP commands, each of which reads and writes ONE key and is
 *     deterministic. If a command changes something and emits no effect, its own words are logged as they came: right
 *     for SET k v, HSET, LPUSH, INCR ... Otherwise (several keys, relative times, randomness, floats) the type
 *     calls txn_effect for each key, right after it changed that key. txn_delete emits DEL by itself: whatever makes a
 *     key disappear, also the removal of its last element, goes through txn_delete and needs no further effect.
 * (4) A collection never stays empty: when its last element goes, call txn_delete.
 */
#ifndef CAIRN_ENGINE_SET_TXN_H
#define CAIRN_ENGINE_SET_TXN_H

#include "base/buf.h"
#include "base/err.h"
#include "base/rng.h"
#include "engine/set/obj.h"
#include "engine/set/order.h"

struct txn;
struct set;

/* ---- What the types use ---- */

/*
 * Finds a live key. type: the type it must have, or OBJ_ANY; another type gives ERR_WRONG_TYPE.
 * ERR_NOT_FOUND: absent, or its expiry has passed. *out stays untouched on failure and is valid until txn_end.
 * All three look-ups delete an expired key that they meet (with its own effect), unless the transaction keeps them:
 * then only txn_write does, for a key about to be changed.
 */
enum err txn_read(struct txn *t, struct slice key, enum obj_type type, struct obj **out) WARN_UNUSED;
enum err txn_write(struct txn *t, struct slice key, enum obj_type type, struct obj **out) WARN_UNUSED;

/* txn_read of any type that does not count as a use of the key: TYPE, TTL, EXISTS, OBJECT. */
enum err txn_peek(struct txn *t, struct slice key, struct obj **out) WARN_UNUSED;

/* A new empty object for a key that txn_write has just found absent. Form: PLAIN for strings, else PACKED. */
struct obj *txn_create(struct txn *t, struct slice key, enum obj_type type);

/* How large the value of the next txn_create will be, bytes: it is then allocated in one piece with the object. */
void txn_size_hint(struct txn *t, size_t value_bytes);

/* txn_write, then txn_create if it was absent; *created tells (may be NULL). */
enum err txn_write_or_create(struct txn *t, struct slice key, enum obj_type type, struct obj **out, bool *created) WARN_UNUSED;

/* Says that value, count, marks or form of o changed. */
void txn_changed(struct txn *t, struct obj *o);

/* The same for a BIG object none of whose rows changed: its record alone goes to the store, with the next drain, as a
 * small object's does. Rows that a later change writes take the record as it is then with them in one batch. */
void txn_changed_record(struct txn *t, struct obj *o);

/* Removes the key and its elements; emits DEL. The object must not be used afterwards. */
void txn_delete(struct txn *t, struct obj *o);

/* Empties the object and gives it another type, same key: what SET and the *STORE commands do to an old value. Drops
 * elements, marks and the expiry. Emits nothing. */
void txn_reset(struct txn *t, struct obj *o, enum obj_type type);

/* Sets the expiry (unix ms; 0 = none) and keeps the counts. Emits nothing. */
void txn_expire(struct txn *t, struct obj *o, msec_t expire_ms);

/* Adds one effect about o's key (o may have been changed or created in this transaction). Words are copied. */
void txn_effect(struct txn *t, struct obj *o, const struct slice *words, size_t count);
#define TXN_EFFECT(t, o, ...)                                                         \
    txn_effect((t), (o), (const struct slice[]){__VA_ARGS__},                          \
               sizeof((const struct slice[]){__VA_ARGS__}) / sizeof(struct slice))

/* True once this command has changed anything (since txn_begin or the last txn_command_end). */
bool txn_has_changes(const struct txn *t);

/* Whether look-ups may wait for the disk now. What is about to take long and may not says ERR_COLD before it changes
 * anything, and is run again on a thread where it keeps no other client waiting. */
bool txn_may_wait(const struct txn *t);

/* Unix time in ms, frozen for the whole transaction; and a seeded generator. */
msec_t txn_now(const struct txn *t);
struct rng *txn_rng(struct txn *t);

/* The longest string that a command may make, bytes. */
uint64_t txn_string_max(const struct txn *t);

/* The logical database, and a change of it inside EXEC (SELECT). */
unsigned txn_db(const struct txn *t);
void txn_select(struct txn *t, unsigned db);

/* True in replay and for the stream of a primary: nothing expires by the clock, limits are not enforced. */
bool txn_is_replay(const struct txn *t);

/* ---- Rows of BIG objects. All are sorted as engine/key/row.h says; reads see the writes of this transaction. ---- */

/* PACKED (or PLAIN) to BIG: the object gets an id and no elements; first take out what the value held. */
enum err txn_make_big(struct txn *t, struct obj *o) WARN_UNUSED;

/* Named elements (hash fields, set members, sorted-set members). *value borrows until the next call of a txn_ row function. */
enum err txn_element_get(struct txn *t, struct obj *o, struct slice name, struct slice *value) WARN_UNUSED;
void txn_element_put(struct txn *t, struct obj *o, struct slice name, struct slice value);
void txn_element_delete(struct txn *t, struct obj *o, struct slice name);

/* Indexed elements (lists, string chunks). */
enum err txn_index_get(struct txn *t, struct obj *o, uint64_t index, struct slice *value) WARN_UNUSED;
void txn_index_put(struct txn *t, struct obj *o, uint64_t index, struct slice value);
void txn_index_delete(struct txn *t, struct obj *o, uint64_t index);

/* Members of sorted sets: element and row by score in one. old: the score until now, NULL if the member is new. */
void txn_member_put(struct txn *t, struct obj *o, struct slice member, double score, const double *old);
void txn_member_delete(struct txn *t, struct obj *o, struct slice member, double old);

/*
 * A walk over the rows of a BIG object, in order or backwards. It sees the rows as they were when it was opened, so
 * the object may be changed meanwhile. Usage:
 *
 *     struct txn_cursor c;
 *     TRY(txn_elements(t, o, 0, &c));
 *     while ((e = txn_cursor_next(&c)) == OK) ... c.name, c.value ...      (borrowed until the next call)
 *     txn_cursor_close(&c);
 *     if (e != ERR_NOT_FOUND) return e;                                    (ERR_NOT_FOUND is the end)
 */
struct txn_cursor {
    struct slice name;  /* named elements, scores */
    struct slice value;
    uint32_t hash;      /* named elements */
    uint64_t index;     /* indexed elements */
    double score;       /* scores */
    struct txn *txn;    /* the rest is private */
    void *iterator;
    int kind;
    bool reverse, started;
    struct obj *o;
    const struct order *order; /* a walk in memory */
    struct order_place place;
    uint64_t version;
};

/* From the first name whose hash is at or beyond from_hash. */
enum err txn_elements(struct txn *t, struct obj *o, uint32_t from_hash, struct txn_cursor *c) WARN_UNUSED;
/* All, in no order; any one (ERR_NOT_FOUND: not all are in memory), which borrows until the next call. */
enum err txn_elements_all(struct txn *t, struct obj *o, struct txn_cursor *c) WARN_UNUSED;
enum err txn_element_random(struct txn *t, struct obj *o, struct slice *name, struct slice *value) WARN_UNUSED;
bool txn_in_memory(const struct obj *o); /* all elements of it */
bool txn_is_large(const struct obj *o);  /* about a megabyte or more, as far as is known without reading it */
/* From `index` on; reverse: from `index` downwards. */
enum err txn_indexes(struct txn *t, struct obj *o, uint64_t index, bool reverse, struct txn_cursor *c) WARN_UNUSED;
/* From (score, member) on, inclusive; reverse: downwards. For a whole walk use -inf and an empty member, or +inf and
 * TXN_MEMBER_LAST when reverse. */
enum err txn_scores(struct txn *t, struct obj *o, double score, struct slice member, bool reverse,
                    struct txn_cursor *c) WARN_UNUSED;
#define TXN_MEMBER_LAST ((struct slice){NULL, SIZE_MAX}) /* behind every member of that score */

/* From the member of a rank (0: the lowest) on; and how many members lie in front of (score, member). Both know it from
 * memory, and may fill that for it; ERR_NOT_FOUND: this set is too large, it must be walked. */
enum err txn_scores_at(struct txn *t, struct obj *o, uint64_t rank, bool reverse, struct txn_cursor *c) WARN_UNUSED;
enum err txn_score_rank(struct txn *t, struct obj *o, double score, struct slice member, uint64_t *below) WARN_UNUSED;

enum err txn_cursor_next(struct txn_cursor *c) WARN_UNUSED;
void txn_cursor_close(struct txn_cursor *c);

/* ---- Objects that are in no table yet ---- */

/*
 * Building a large value takes long; this does it without any slot locked:
 *
 *     txn_begin(t, NULL, 0, &options);
 *     o = txn_loose(t, key, type);        the types fill it in as an object that txn_create gave, but for strings
 *     txn_loose_end(t);                   instead of txn_commit; then txn_end. o lies beside everything
 *     ... txn_begin(t, &slot, ...);       o's value becomes that of an object that txn_create or txn_reset just gave:
 *     txn_adopt(t, mine, o);              O(1); emits nothing
 *     txn_loose_free(o);                  in any case
 */
struct obj *txn_loose(struct txn *t, struct slice key, enum obj_type type);
void txn_loose_end(struct txn *t);
void txn_adopt(struct txn *t, struct obj *o, struct obj *loose); /* both of one type */
void txn_loose_free(struct obj *loose);                         /* accepts NULL */

/* Memory for `bytes` of effects, which the next transaction of t then finds ready, and room in the journal. In none. */
void txn_effect_room(struct txn *t, size_t bytes);

/* ---- What the executor (server/run) and replay use ---- */

struct txn_options {
    msec_t now_ms;
    unsigned db;
    bool may_wait; /* may this thread wait for the disk and for locks? */
    bool replay;
    bool keep_expired; /* reads hide expired keys but leave them: on replicas, while writes are paused */
    bool follow;       /* a command of the primary's stream, see txn_follow; nothing expires by the clock */
    bool timeless;     /* keys that come from another node, which says when they go: nothing expires here */
    bool no_touch;     /* look-ups do not count as a use of the key (CLIENT NO-TOUCH) */
};

/* One per thread that executes commands; NULL only for lack of memory. */
struct txn *txn_new(struct set *set, uint64_t seed);
void txn_free(struct txn *t);

/*
 * Locks the slots (sorted ascending, no doubles; count may be 0) and starts. Without may_wait a held lock gives
 * ERR_BUSY after a short spin and nothing is held.
 */
enum err txn_begin(struct txn *t, const slot_t *slots, size_t count, const struct txn_options *options) WARN_UNUSED;

/*
 * The end of one command of the transaction. If it changed something and emitted no effect, logs its words; `raw` is
 * the RESP array as it came (preferred when not empty), else it is built from words.
 */
void txn_command_end(struct txn *t, struct slice raw, const struct slice *words, size_t count);

/*
 * Hands the frame to the log, stamps the objects, lands the rows. *end: the log position that the reply must wait for
 * (0: nothing was changed). In replay nothing is logged: the effect at `replay_lsn` is what is being redone.
 */
enum err txn_commit(struct txn *t, lsn_t *end) WARN_UNUSED;
void txn_replay_at(struct txn *t, lsn_t lsn);

/*
 * With options.follow, before txn_commit: the bytes of the primary's stream that this transaction is, and the database
 * that is selected behind them. The frame has exactly these bytes in the stream, also when nothing was changed; what the
 * transaction's effects are beyond that becomes local effects. stream is borrowed until txn_commit.
 */
void txn_follow(struct txn *t, struct slice stream, unsigned db);

/*
 * A wave: commands of a primary's stream, each about one slot, that several threads execute (wave.c has the drawing). Its owner has
 * begun a transaction with all their slots; a lane has a transaction of its own, and the slots that no other lane has. options of
 * both: follow, may_wait. Until txn_lane_land the lane's frames borrow the stream's bytes.
 */
void txn_wave_begin(struct txn *w);
/* Puts frame i of a lane into the log, when all lanes have executed all; returns its end. Frames of all lanes in the stream's order. */
lsn_t txn_wave_append(struct txn *w, struct txn *lane, size_t i);
void txn_wave_end(struct txn *w); /* when all lanes have landed; then txn_end */

void txn_lane_begin(struct txn *t, const struct txn_options *options);
void txn_lane_slot(struct txn *t, slot_t slot); /* of the next command */
/* After its txn_command_end, also if it changed nothing: the next frame of this lane. As txn_follow. */
void txn_lane_frame(struct txn *t, struct slice stream, unsigned db);
void txn_lane_land(struct txn *t); /* when all frames of the wave are in the log */
void txn_lane_end(struct txn *t);  /* after it; needs nothing of the wave any more */

/* Unlocks. After ERR_COLD or ERR_BUSY of a command: txn_end without txn_commit. */
void txn_end(struct txn *t);

#endif
