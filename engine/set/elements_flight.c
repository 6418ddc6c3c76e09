/*
 * elements_flight.c - changes of elements on their way to the store, and the forgetting of what is there.
 *
 * (1) One flight at a time: what was taken is settled before anything is taken again.
 * (2) What has landed is clean at once, by its generation; only tombs and replaced elements are touched one by one.
 */
#include "engine/set/elements.h"

#include "base/check.h"
#include "engine/key/row.h"

#include <stdlib.h>

enum { NEAR_BITS = 5 }; /* so many neighbours */

/* ---- Rows ---- */

uint32_t elements_index(uint64_t index, uint8_t name[8])
{
    uint32_t mixed = (uint32_t)((index >> NEAR_BITS) * UINT64_C(0x9E3779B97F4A7C15) >> 32);

    for (int i = 0; i < 8; i++)
        name[i] = (uint8_t)(index >> (56 - 8 * i));
    /* Neighbours meet in one segment, in cells side by side: lists are written and read in order. */
    return mixed ^ (uint32_t)(index << ELEMENTS_PLACE_BIT);
}

uint64_t elements_index_of(struct slice name)
{
    uint64_t index = 0;

    check(name.size == sizeof index);
    for (int i = 0; i < 8; i++)
        index = index << 8 | name.data[i];
    return index;
}

static double score_at(const uint8_t *bytes)
{
    double score;

    memcpy(&score, bytes, sizeof score);
    return score;
}

bool element_score(const struct element *el, enum element_row which, double *score)
{
    const uint8_t *value = el->bytes + el->name_size;
    double stored = el->was ? score_at(value + el->value_size) : 0, is = el->tomb ? 0 : score_at(value);

    if (el->was && !el->tomb && row_sortable(stored) == row_sortable(is))
        return false; /* the row stays */
    *score = which == ELEMENT_OLD_SCORE ? stored : is;
    return which == ELEMENT_OLD_SCORE ? el->was : !el->tomb;
}

void element_row(const struct element *el, enum element_row which, enum obj_type type, slot_t slot, uint64_t id,
                 struct buf *key, struct slice *value, bool *tomb)
{
    double score = 0;

    *value = (struct slice){0};
    *tomb = which == ELEMENT_OLD_SCORE || el->tomb;
    if (which != ELEMENT_ITSELF) {
        check(element_score(el, which, &score));
        row_score(key, slot, id, score, element_name(el));
        return;
    }
    if (type == OBJ_LIST)
        row_index(key, slot, id, elements_index_of(element_name(el)));
    else
        row_element(key, slot, id, el->hash, element_name(el));
    if (!el->tomb)
        *value = element_value(el);
}

/* ---- Flights ---- */

void elements_take(struct elements *e, struct elements_flight *f)
{
    check(!e->flying && e->change_count > 0 && e->generation < UINT32_MAX);
    f->elements = e;
    f->list = e->changes;
    f->count = e->change_count;
    f->generation = e->generation++;
    f->dirty = e->charged_dirty;
    e->charged_dirty = 0;
    e->flying = true;
    e->changes = NULL;
    e->change_count = e->change_capacity = 0;
    e->change_bytes = 0;
}

void elements_settle(struct elements_flight *f)
{
    struct elements *e = f->elements;

    check(e->flying);
    e->flying = false;
    if (!e->orphan) {
        e->landed = f->generation;
        for (size_t i = 0; i < f->tomb_count; i++)
            if (!f->tombs[i]->replaced)
                elements_forget(e, f->tombs[i]);
        for (size_t i = 0; i < e->dead_count; i++)
            element_free(e, e->dead[i]);
        free(e->dead);
        e->dead = NULL;
        e->dead_count = e->dead_capacity = 0;
    } else {
        elements_drop(e);
    }
    free(f->list);
    free(f->tombs);
    *f = (struct elements_flight){0};
}

void elements_landed(struct elements *e)
{
    for (size_t i = 0; i < e->change_count; i++) {
        struct element *el = e->changes[i];

        el->generation = 0;
        if (el->tomb)
            elements_forget(e, el);
    }
    e->change_count = 0;
    e->change_bytes = 0;
}

/* ---- Forgetting ---- */

size_t elements_trim(struct elements *e, bool all, size_t enough, size_t order_max)
{
    size_t before = e->bytes;

    if (e->order != NULL) {
        if (!all && e->order_used && e->bytes <= order_max) {
            e->order_used = false;
            return 0;
        }
        elements_order_drop(e);
    }
    for (uint32_t n = 0; n < e->segment_count && before - e->bytes < enough; n++) {
        struct segment *s = &e->segments[e->hand++ % e->segment_count];

        for (uint32_t i = 0; i < s->capacity;) {
            struct element *el = s->cells[i] != 0 ? element_of_cell(s->cells[i]) : NULL;

            if (el == NULL || el->generation > e->landed || (!all && el->referenced)) {
                if (el != NULL)
                    el->referenced = 0;
                i++;
                continue;
            }
            elements_forget(e, el); /* may move another into this cell */
            e->complete = false;
        }
    }
    return before - e->bytes;
}
