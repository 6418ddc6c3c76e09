/*
 * flight.h - what the writer has picked and not landed yet: rows in key order, and where they came from.
 *
 * Small rows (records, hints, garbage) are copied while their slot is locked. Changed elements of BIG objects are only
 * taken: they stay as they are until they are settled, and their rows are made from them when they are asked for.
 * One user, under the set's `pass`. Kept from pass to pass: fresh memory for each would be a tenth of the writer's time
 * in page faults (perf).
 */
#ifndef CAIRN_ENGINE_SET_FLIGHT_H
#define CAIRN_ENGINE_SET_FLIGHT_H

#include "engine/set/set_priv.h"

/* A row in the arena, or one of an element. */
struct flight_row {
    union {
        size_t key_at; /* the value lies behind the key */
        const struct element *element;
    };
    uint32_t key_size, value_size; /* in the arena */
    uint32_t elements;             /* of an element: which of the flight's elements_flight */
    uint8_t which;                 /* of an element: enum element_row */
    bool of_element, tomb;
};

struct flown {
    struct obj *o;
    slot_t slot;
};

struct flight {
    struct space *space;
    struct buf arena, key, record;
    struct flight_row *rows;
    size_t row_count, row_capacity;
    size_t bytes; /* of all rows, about */
    struct flown *objects;
    size_t object_count, object_capacity;
    struct elements_flight *elements;
    size_t elements_count, elements_capacity, elements_rowed;
    struct flight_sort *sort; /* scratch */
    size_t sort_capacity;
    lsn_t last;          /* the journal must be synced through it first */
    struct batch *batch; /* count rows and the floor */
    unsigned file_number;
};

struct flight *flight_new(void);
void flight_free(struct flight *f);
void flight_clear(struct flight *f); /* all but the batch */

/* Slot locked: adds f->key and f->record as a row; an object; what its elements changed, if anything. */
void flight_add_row(struct flight *f, bool tomb);
void flight_add_object(struct flight *f, struct obj *o, slot_t slot);

/* After a slot, no lock: rows of its elements; brings the slot's rows, those from `first` on, into order. */
void flight_finish(struct flight *f, size_t first);

/* A row for the store; both borrow until the next call. */
void flight_row_get(struct flight *f, size_t i, struct slice *key, struct slice *value, bool *tomb);

#endif
