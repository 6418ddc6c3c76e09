/*
 * obj.h - one key in memory: its record, and its value when that is small enough to be one run of bytes.
 *
 *   form    value bytes
 *   PLAIN   string: the bytes themselves
 *   PACKED  hash, list, set, sorted set: all elements in one run (engine/type/packed.h)
 *   BIG     struct obj_big: the id under which the elements are rows of the store; behind it a list keeps its ends.
 *           What the store does not have of them yet, and what was used lately, is in memory beside it (elements.h)
 *
 * The pointer of an object stays valid as long as its slot's lock is held. All fields are guarded by that lock.
 * The types read and write key, value, count, marks and form, and tell the transaction (txn_changed); the rest is the
 * working set's.
 */
#ifndef CAIRN_ENGINE_SET_OBJ_H
#define CAIRN_ENGINE_SET_OBJ_H

#include "base/slice.h"
#include "base/types.h"

enum obj_type { /* On disk: never renumber. */
    OBJ_STRING = 0,
    OBJ_LIST = 1,
    OBJ_SET = 2,
    OBJ_ZSET = 3,
    OBJ_HASH = 4,
    OBJ_STREAM = 6, /* reserved */
    OBJ_ANY = 255,  /* in look-ups only */
};

enum obj_form { /* On disk: never renumber. */
    OBJ_PLAIN = 0,
    OBJ_PACKED = 1,
    OBJ_BIG = 2,
};

enum obj_mark { /* On disk: never renumber. For OBJECT ENCODING: what Redis' one-way conversions would have done. */
    OBJ_MARK_RAW = 1,   /* string: was appended to or edited */
    OBJ_MARK_LARGE = 2, /* collection: once went beyond the small encoding's limits */
    OBJ_MARK_MIXED = 4, /* set: once held a member that is no integer */
};

enum {
    OBJ_PACKED_ENTRIES_MAX = 128, /* a collection beyond either becomes BIG */
    OBJ_PACKED_BYTES_MAX = 2048,
    OBJ_STRING_PLAIN_MAX = 256 << 10, /* longer strings are BIG: chunks of OBJ_CHUNK_BYTES */
    OBJ_CHUNK_BYTES = 16 << 10,
};

struct elements;

struct obj {
    uint32_t hash;          /* hash_name(key) */
    uint8_t type;           /* enum obj_type */
    uint8_t form;           /* enum obj_form */
    uint8_t marks;          /* enum obj_mark */
    uint8_t state;          /* working set only */
    uint32_t key_size;
    uint32_t access_clock;  /* seconds, for OBJECT IDLETIME and eviction */
    uint64_t count;         /* elements of a collection; bytes of a BIG string */
    msec_t expire_ms;       /* 0: none. Change it by txn_expire only */
    lsn_t last_change;
    struct elements *elements; /* working set only: of a BIG collection, what is in memory; NULL: nothing */
    lsn_t next_since;       /* working set only: first change after the writer picked it; 0: none */
    uint8_t *value;
    uint32_t value_size;
    uint32_t value_capacity;
    uint32_t charged;       /* working set only: bytes accounted for it */
    uint32_t dirty_index;   /* working set only: position in the slot's dirty list */
    slot_t slot;
    uint16_t db;
    uint8_t key[];          /* key_size bytes, then inline room for a small value */
};

struct obj_big {
    uint64_t id;    /* of its E and S rows */
    uint64_t first; /* lists: index of the first element */
    uint64_t spare; /* the type's own */
};

static inline struct slice obj_key(const struct obj *o)
{
    return slice_of(o->key, o->key_size);
}

static inline struct slice obj_value(const struct obj *o)
{
    return slice_of(o->value, o->value_size);
}

/* Room for `size` value bytes in all; present bytes are kept, value_size is not changed. Returns o->value. */
uint8_t *obj_value_reserve(struct obj *o, size_t size);

/* Replaces the value; `value` must not point into the object's own value. */
void obj_value_set(struct obj *o, struct slice value);

/* At byte `at`, removes `remove` bytes and puts `insert` there (which must not point into the object). */
void obj_value_splice(struct obj *o, size_t at, size_t remove, struct slice insert);

/* BIG only. Setting keeps what lies behind struct obj_big in the value. */
struct obj_big obj_big_get(const struct obj *o);
void obj_big_set(struct obj *o, const struct obj_big *big);

/* Memory that the object occupies, bytes (MEMORY USAGE). */
size_t obj_memory(const struct obj *o);

#endif
