/*
 * flight.c - collects rows and brings them into key order.
 *
 * Rows of elements are ordered by numbers, not by their keys: an element's row by its hash and the beginning of its name
 * (or its index), a row by score by the sortable score; a radix sort over 16 bytes each. Sorting the keys themselves was
 * a third of the writer's time (perf, HSET on one hash).
 */
#include "engine/set/flight.h"

#include "base/check.h"
#include "engine/key/row.h"

#include <stdlib.h>

struct flight_sort {
    uint64_t number;
    uintptr_t element; /* lowest bit: the row of the old score */
};

enum { SORT_KEPT_MAX = 1 << 18 };

#define GROW(array, count, capacity)                                        \
    do {                                                                    \
        if ((count) == (capacity)) {                                        \
            (capacity) = (capacity) != 0 ? (capacity) * 2 : 1024;            \
            (array) = realloc((array), (capacity) * sizeof *(array));        \
            check((array) != NULL);                                         \
        }                                                                   \
    } while (0)

struct flight *flight_new(void)
{
    struct flight *f = calloc(1, sizeof *f);

    check(f != NULL);
    f->batch = batch_new();
    return f;
}

void flight_free(struct flight *f)
{
    if (f == NULL)
        return;
    batch_free(f->batch);
    buf_free(&f->arena);
    buf_free(&f->key);
    buf_free(&f->record);
    free(f->rows);
    free(f->objects);
    free(f->elements);
    free(f->sort);
    free(f);
}

void flight_clear(struct flight *f)
{
    f->object_count = f->row_count = f->elements_count = f->elements_rowed = 0;
    f->arena.size = 0;
    f->bytes = 0;
    f->last = 0;
    if (f->sort_capacity > SORT_KEPT_MAX) {
        free(f->sort);
        f->sort = NULL;
        f->sort_capacity = 0;
    }
}

/* ---- Slot locked ---- */

void flight_add_row(struct flight *f, bool tomb)
{
    GROW(f->rows, f->row_count, f->row_capacity);
    f->rows[f->row_count++] = (struct flight_row){.key_at = f->arena.size, .key_size = (uint32_t)f->key.size,
                                                  .value_size = (uint32_t)f->record.size, .tomb = tomb};
    buf_append_slice(&f->arena, buf_slice(&f->key));
    buf_append_slice(&f->arena, buf_slice(&f->record));
    f->bytes += f->key.size + f->record.size;
}

void flight_add_object(struct flight *f, struct obj *o, slot_t slot)
{
    struct elements *e = o->elements;
    struct elements_flight *flight;

    GROW(f->objects, f->object_count, f->object_capacity);
    f->objects[f->object_count++] = (struct flown){o, slot};
    if (e == NULL || e->change_count == 0)
        return;
    GROW(f->elements, f->elements_count, f->elements_capacity);
    flight = &f->elements[f->elements_count++];
    *flight = (struct elements_flight){.slot = slot, .type = o->type, .id = obj_big_get(o).id};
    f->bytes += e->change_bytes;
    elements_take(e, flight);
}

/* ---- Order ---- */

static int by_id(const void *a, const void *b)
{
    const struct elements_flight *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

static int by_key(const void *a, const void *b, void *flight)
{
    const struct flight *f = flight;
    const struct flight_row *x = a, *y = b;

    return slice_compare(slice_of(f->arena.data + x->key_at, x->key_size),
                         slice_of(f->arena.data + y->key_at, y->key_size));
}

static int by_name(const void *a, const void *b)
{
    const struct flight_sort *x = a, *y = b;

    return slice_compare(element_name((const struct element *)(x->element & ~(uintptr_t)1)),
                         element_name((const struct element *)(y->element & ~(uintptr_t)1)));
}

/* By number, least significant byte first; what has equal numbers by name. `spare` has room for as many. */
static void sort(struct flight_sort *items, struct flight_sort *spare, size_t count)
{
    struct flight_sort *from = items, *to = spare;
    size_t (*counts)[256] = calloc(8, sizeof *counts);

    check(counts != NULL);
    for (size_t i = 0; i < count; i++)
        for (int digit = 0; digit < 8; digit++)
            counts[digit][items[i].number >> 8 * digit & 255]++;
    for (int digit = 0; digit < 8; digit++) {
        size_t *places = counts[digit], sum = 0;

        if (places[items[0].number >> 8 * digit & 255] == count)
            continue; /* all alike */
        for (int i = 0; i < 256; i++) {
            size_t n = places[i];

            places[i] = sum;
            sum += n;
        }
        for (size_t i = 0; i < count; i++)
            to[places[from[i].number >> 8 * digit & 255]++] = from[i];
        from = to;
        to = from == items ? spare : items;
    }
    if (from != items)
        memcpy(items, from, count * sizeof *items);
    free(counts);
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && items[end].number == items[i].number; end++)
            continue;
        if (end > i + 1)
            qsort(items + i, end - i, sizeof *items, by_name);
    }
}

static void sort_reserve(struct flight *f, size_t count)
{
    if (count > f->sort_capacity) {
        free(f->sort);
        f->sort = malloc(count * sizeof *f->sort);
        check(f->sort != NULL);
        f->sort_capacity = count;
    }
}

/* ---- Rows of elements ---- */

static uint64_t number_of(const struct elements_flight *flight, const struct element *el)
{
    struct slice name = element_name(el);
    uint64_t number = 0;

    if (flight->type == OBJ_LIST)
        return elements_index_of(name);
    for (size_t i = 0; i < 4; i++)
        number = number << 8 | (i < name.size ? name.data[i] : 0);
    return (uint64_t)el->hash << 32 | number;
}

static void add_sorted(struct flight *f, size_t elements, size_t count, bool scores)
{
    if (count == 0)
        return;
    sort(f->sort, f->sort + count, count);
    for (size_t i = 0; i < count; i++) {
        bool old = f->sort[i].element & 1;

        GROW(f->rows, f->row_count, f->row_capacity);
        f->rows[f->row_count++] =
            (struct flight_row){.element = (const struct element *)(f->sort[i].element & ~(uintptr_t)1),
                                .elements = (uint32_t)elements, .of_element = true,
                                .which = scores ? old ? ELEMENT_OLD_SCORE : ELEMENT_SCORE : ELEMENT_ITSELF};
    }
}

static void add_elements(struct flight *f, size_t elements)
{
    struct elements_flight *flight = &f->elements[elements];

    sort_reserve(f, flight->count * 2);
    for (size_t i = 0; i < flight->count; i++) {
        struct element *el = flight->list[i];

        f->sort[i] = (struct flight_sort){number_of(flight, el), (uintptr_t)el};
        if (el->tomb) {
            GROW(flight->tombs, flight->tomb_count, flight->tomb_capacity);
            flight->tombs[flight->tomb_count++] = el;
        }
    }
    add_sorted(f, elements, flight->count, false);
}

static void add_scores(struct flight *f, size_t elements)
{
    struct elements_flight *flight = &f->elements[elements];
    size_t count = 0;

    if (flight->type != OBJ_ZSET)
        return;
    sort_reserve(f, flight->count * 4);
    for (size_t i = 0; i < flight->count; i++) {
        struct element *el = flight->list[i];
        double score;

        if (element_score(el, ELEMENT_OLD_SCORE, &score))
            f->sort[count++] = (struct flight_sort){row_sortable(score), (uintptr_t)el | 1};
        if (element_score(el, ELEMENT_SCORE, &score))
            f->sort[count++] = (struct flight_sort){row_sortable(score), (uintptr_t)el};
    }
    add_sorted(f, elements, count, true);
}

void flight_finish(struct flight *f, size_t first)
{
    size_t small = f->row_count - first, from = f->elements_rowed, before = 0;
    struct flight_row *copies;

    if (small > 1)
        qsort_r(f->rows + first, small, sizeof *f->rows, by_key, f);
    if (from == f->elements_count)
        return;
    /* In a slot: rows E of elements, G and K of the small ones, S by score, X of the small ones. */
    _Static_assert(ROW_ELEMENT < ROW_GARBAGE && ROW_GARBAGE < ROW_KEY && ROW_KEY < ROW_SCORE && ROW_SCORE < ROW_EXPIRY, "");
    copies = malloc(small * sizeof *copies);
    check(copies != NULL);
    memcpy(copies, f->rows + first, small * sizeof *copies);
    while (before < small && f->arena.data[copies[before].key_at + sizeof(slot_t)] < ROW_SCORE)
        before++;
    f->row_count = first;
    qsort(f->elements + from, f->elements_count - from, sizeof *f->elements, by_id);
    for (size_t i = from; i < f->elements_count; i++)
        add_elements(f, i);
    for (size_t i = 0; i < small; i++) {
        if (i == before)
            for (size_t k = from; k < f->elements_count; k++)
                add_scores(f, k);
        GROW(f->rows, f->row_count, f->row_capacity);
        f->rows[f->row_count++] = copies[i];
    }
    for (size_t k = from; before == small && k < f->elements_count; k++)
        add_scores(f, k);
    free(copies);
    f->elements_rowed = f->elements_count;
}

void flight_row_get(struct flight *f, size_t i, struct slice *key, struct slice *value, bool *tomb)
{
    const struct flight_row *row = &f->rows[i];
    const struct elements_flight *flight;

    if (!row->of_element) {
        *key = slice_of(f->arena.data + row->key_at, row->key_size);
        *value = slice_of(key->data + row->key_size, row->value_size);
        *tomb = row->tomb;
        return;
    }
    flight = &f->elements[row->elements];
    element_row(row->element, row->which, flight->type, flight->slot, flight->id, &f->key, value, tomb);
    *key = buf_slice(&f->key);
}
