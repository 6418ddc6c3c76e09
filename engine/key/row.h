/*
 * row.h - the layout of every key in the store: slot first, so that a slot is one contiguous range.
 *
 *   slot u16 BE | kind u8 | ...
 *   K  key record      hash u32 BE, user key                     value: engine/key/record.h
 *   E  element         id u64 BE, hash u32 BE, name              hash field, set member, sorted-set member (value: score)
 *   E  element         id u64 BE, index u64 BE                   list element, string chunk
 *   S  score           id u64 BE, sortable double u64 BE, member
 *   X  expiry hint     expire_ms u64 BE, user key
 *   G  garbage         id u64 BE                                 elements of this id wait for the reaper
 *   slot 0xFFFF: rows of the node itself: N, name (floor, counts of a slot, ...)
 *
 * Each row_* clears `out` and writes one key. `hash` is hash_name() of the name. The byte order is the logical order:
 * by slot, kind, id, then hash and name, index, or score and member.
 */
#ifndef CAIRN_ENGINE_KEY_ROW_H
#define CAIRN_ENGINE_KEY_ROW_H

#include "base/buf.h"
#include "base/err.h"
#include "base/types.h"

enum row_kind { /* On disk: never renumber. */
    ROW_KEY = 'K',
    ROW_ELEMENT = 'E',
    ROW_SCORE = 'S',
    ROW_EXPIRY = 'X',
    ROW_GARBAGE = 'G',
    ROW_NODE = 'N',
};

void row_key(struct buf *out, slot_t slot, uint32_t hash, struct slice key);
void row_element(struct buf *out, slot_t slot, uint64_t id, uint32_t hash, struct slice name);
void row_index(struct buf *out, slot_t slot, uint64_t id, uint64_t index);
void row_score(struct buf *out, slot_t slot, uint64_t id, double score, struct slice member);
void row_expiry(struct buf *out, slot_t slot, msec_t expire_ms, struct slice key);
void row_garbage(struct buf *out, slot_t slot, uint64_t id);
void row_node(struct buf *out, const char *name, uint32_t number);

/* The first key of a slot, of a kind in a slot, of an id under a kind: lower bounds of ranges. */
void row_slot(struct buf *out, uint32_t slot); /* slot may be SLOT_NODE + 1 - 1 or SLOTS: an upper bound */
void row_kind_start(struct buf *out, slot_t slot, enum row_kind kind);
void row_id_start(struct buf *out, slot_t slot, enum row_kind kind, uint64_t id);

/* Turns a lower bound into the smallest key behind every key that has it as a prefix. */
void row_successor(struct buf *bound);

/* A row key taken apart; slices borrow from the parsed bytes. Fields that the kind does not have stay zero. */
struct row {
    slot_t slot;
    enum row_kind kind;
    uint32_t hash;      /* K, and E of named elements */
    uint64_t id;        /* E, S, G */
    uint64_t index;     /* E of indexed elements */
    double score;       /* S */
    msec_t expire_ms;   /* X */
    struct slice name;  /* K, X: user key; E, S: name or member */
};

/* ERR_CORRUPT if the bytes are no row. E is read as named elements. */
enum err row_parse(struct slice bytes, struct row *out);

/* E of lists and chunks. */
enum err row_parse_index(struct slice bytes, struct row *out);

/* A double as 8 bytes whose memcmp order is the numeric order; -0 becomes 0. Never NaN. */
uint64_t row_sortable(double score);
double row_unsortable(uint64_t bits);

#endif
