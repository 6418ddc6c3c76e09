/*
 * elements.h - elements of one BIG hash, list, set or sorted set in memory: the working set of its rows.
 *
 *   clean    as in the store; may be forgotten at any time, then the table is no longer complete
 *   active   changed since the writer last took the changes: in `changes`, once each
 *   flying   taken by the writer, not settled yet: its bytes stay as they are; a change makes a new element of it
 *
 * A removed element that the store may have stays as a tomb until its removal has landed. While the table is complete,
 * what is not in it does not exist. Which of the three an element is, its generation tells:
 *
 *   0 .. landed: clean      .. generation - 1: flying      == generation: active
 *
 * so that the writer takes and settles any number of changes in one step, under the slot's lock, and turns them into
 * rows without it. A member of a sorted set has two rows; the second, by score, follows from the first: an element
 * remembers the score that the store's row has (was, stored), and the store is told the difference.
 *
 * Everything here is guarded by the slot's lock, except that the writer reads what is flying without it.
 */
#ifndef CAIRN_ENGINE_SET_ELEMENTS_H
#define CAIRN_ENGINE_SET_ELEMENTS_H

#include "base/buf.h"
#include "base/slice.h"
#include "base/types.h"
#include "engine/set/obj.h"
#include "engine/set/order.h"

struct element {
    uint32_t hash;       /* hash_name(name); of an index: mixed from it */
    uint32_t name_size;
    uint32_t value_size;
    uint32_t at;         /* active: place in changes */
    uint32_t generation;
    uint8_t tomb;
    uint8_t was;         /* sorted set: the store has a row by score of it, with the score `stored` behind the value */
    uint8_t sure;        /* active: the store surely has no row of it */
    uint8_t replaced;    /* flying: no longer in the table, freed when settled */
    uint8_t referenced;  /* used since the eviction hand last passed */
    uint8_t bytes[];     /* name, value, then in sorted sets the stored score */
};

enum { ELEMENTS_PLACE_BIT = 19 }; /* hash bits from here on choose the place in a segment, those from 0 the segment */

struct segment {
    uint64_t *cells;
    uint32_t capacity, used;
};

struct elements {
    struct segment *segments; /* linear hashing: the table grows by one segment at a time */
    uint32_t segment_count, segment_capacity, segment_mask, hand;
    uint32_t segment_cells;   /* capacity of the largest there has been */
    size_t count;             /* tombs included */
    uint64_t changed;         /* counts changes, for walks */
    bool complete;            /* all elements of the object are here */
    bool scored;              /* a sorted set: elements carry a stored score */
    bool orphan;              /* the object is gone; whoever settles frees this */
    bool flying;              /* changes are with the writer, not settled */
    uint32_t generation, landed;
    struct element **changes;
    size_t change_count, change_capacity;
    struct element **dead;    /* replaced while flying */
    size_t dead_count, dead_capacity;
    struct order *order;      /* of a complete sorted set; NULL: not asked for lately */
    size_t order_bytes;       /* its part of bytes */
    bool order_used;          /* since the eviction hand last passed */
    size_t bytes;             /* of everything */
    size_t change_bytes;      /* of what is active */
    size_t charged, charged_dirty; /* what the set's figures have of bytes and change_bytes */
};

/* What the writer takes: a list of flying elements. */
struct elements_flight {
    struct elements *elements;
    struct element **list;
    size_t count;
    struct element **tombs; /* those of the list; found by the writer */
    size_t tomb_count, tomb_capacity;
    size_t dirty;           /* what the set's figures have of it */
    uint64_t id;
    slot_t slot;
    uint8_t type;
    uint32_t generation;
};

struct elements *elements_new(enum obj_type type, bool complete);

/* The object needs it no more. Frees it, or leaves that to elements_settle if changes are with the writer. */
void elements_drop(struct elements *e);

/* Tombs included; NULL if there is none, which tells something only if the table is complete. */
struct element *elements_find(const struct elements *e, uint32_t hash, struct slice name);

static inline struct slice element_name(const struct element *el)
{
    return slice_of(el->bytes, el->name_size);
}

static inline struct slice element_value(const struct element *el)
{
    return slice_of(el->bytes + el->name_size, el->value_size);
}

/* Changes. old: sorted sets only, the score until now, NULL if the member is new (value is the new score). */
void elements_put(struct elements *e, uint32_t hash, struct slice name, struct slice value, const double *old);
void elements_remove(struct elements *e, uint32_t hash, struct slice name, const double *old);

/* An element as the store has it, which must not be in the table. */
void elements_remember(struct elements *e, uint32_t hash, struct slice name, struct slice value);

/* The order of a complete sorted set, made if it is not there; and away with it. */
struct order *elements_order(struct elements *e);
void elements_order_drop(struct elements *e);

/*
 * Forgets clean elements, those in use since the last time only if `all`, until `enough` bytes are freed. An order in
 * use keeps them all, unless it is `all` or there are more than `order_max` bytes of them; else the order goes first.
 */
size_t elements_trim(struct elements *e, bool all, size_t enough, size_t order_max);

/* The writer: takes the changes (there must be some); says that they have landed. */
void elements_take(struct elements *e, struct elements_flight *f);
void elements_settle(struct elements_flight *f);

/* All changes have landed otherwise. */
void elements_landed(struct elements *e);

/* Inside the room: takes an element out of the table and frees it; frees one that is in no table; a cell's element. */
void elements_forget(struct elements *e, struct element *el);
void element_free(struct elements *e, struct element *el);
static inline struct element *element_of_cell(uint64_t cell)
{
    return (struct element *)(uintptr_t)(cell & UINT64_C(0xffffffffffff));
}

/* How the names of list elements are kept: 8 bytes, most significant first; and their hash. */
uint32_t elements_index(uint64_t index, uint8_t name[8]);
uint64_t elements_index_of(struct slice name);

/* The rows of a changed element: itself always; in sorted sets the row of its old score goes, that of its score comes. */
enum element_row { ELEMENT_ITSELF, ELEMENT_OLD_SCORE, ELEMENT_SCORE };

/* Whether there is such a row of a changed member, and by which score. */
bool element_score(const struct element *el, enum element_row which, double *score);

/* Writes the key of a row that there is; value borrows from the element; tomb: the store's row goes. */
void element_row(const struct element *el, enum element_row which, enum obj_type type, slot_t slot, uint64_t id,
                 struct buf *key, struct slice *value, bool *tomb);

#endif
