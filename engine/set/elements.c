/*
 * elements.c - the table of a BIG object's elements, and its changes.
 *
 * (1) Linear hashing over small open-addressing segments: no insertion moves more than a segment's worth of cells,
 *     however many elements there are. A cell is 16 bits of mixed hash over the low 48 bits of the pointer.
 * (2) A flying element is never written, moved or freed.
 * (3) changes holds each active element once, at its `at`.
 */
#include "engine/set/elements.h"

#include "base/check.h"

#include <stdlib.h>

enum {
    SEGMENT_FILL = 96, /* elements per segment before the next one is split */
    CELLS_MIN = 16,
    SCORE_BYTES = sizeof(double),
};

/* ---- Segments ---- */

static uint64_t cell_tag(uint32_t hash)
{
    return (uint64_t)(hash * UINT32_C(0x9E3779B1) >> 16) << 48;
}

/* The lower bits of the hash choose the segment, others the place in it. */
static uint32_t home(uint32_t hash, uint32_t mask)
{
    return hash >> ELEMENTS_PLACE_BIT & mask;
}

static struct segment *segment_of(const struct elements *e, uint32_t hash)
{
    uint32_t i = hash & e->segment_mask;

    if (i >= e->segment_count)
        i &= e->segment_mask >> 1;
    return &e->segments[i];
}

static void place(struct segment *s, struct element *el)
{
    uint32_t mask = s->capacity - 1, i = home(el->hash, mask);

    check((uintptr_t)el >> 48 == 0);
    while (s->cells[i] != 0)
        i = (i + 1) & mask;
    s->cells[i] = cell_tag(el->hash) | (uint64_t)(uintptr_t)el;
    s->used++;
}

static void segment_resize(struct segment *s, uint32_t capacity)
{
    struct segment old = *s;

    s->cells = calloc(capacity, sizeof *s->cells);
    check(s->cells != NULL);
    s->capacity = capacity;
    s->used = 0;
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.cells[i] != 0)
            place(s, element_of_cell(old.cells[i]));
    free(old.cells);
}

static void segment_add(struct elements *e, struct segment *s, struct element *el)
{
    size_t before = s->capacity;

    if (s->capacity == 0)
        segment_resize(s, CELLS_MIN);
    else if ((s->used + 1) * 4 > s->capacity * 3)
        segment_resize(s, s->capacity * 2);
    e->bytes += (s->capacity - before) * sizeof *s->cells;
    if (s->capacity > e->segment_cells)
        e->segment_cells = s->capacity;
    place(s, el);
}

static uint64_t *cell_of(const struct segment *s, const struct element *el)
{
    uint32_t mask = s->capacity - 1, i = home(el->hash, mask);

    while (element_of_cell(s->cells[i]) != el) {
        check(s->cells[i] != 0);
        i = (i + 1) & mask;
    }
    return &s->cells[i];
}

static void segment_remove(struct segment *s, const struct element *el)
{
    uint32_t mask = s->capacity - 1, hole = (uint32_t)(cell_of(s, el) - s->cells);

    /* Each follower moves into the hole unless its home lies behind the hole. */
    for (uint32_t i = (hole + 1) & mask; s->cells[i] != 0; i = (i + 1) & mask) {
        uint32_t from = home(element_of_cell(s->cells[i])->hash, mask);

        if (((i - from) & mask) >= ((i - hole) & mask)) {
            s->cells[hole] = s->cells[i];
            hole = i;
        }
    }
    s->cells[hole] = 0;
    s->used--;
}

/* One more segment: takes from its lower sibling what belongs to it. */
static void grow(struct elements *e)
{
    struct segment old, *low, *high;

    if (e->segment_count == e->segment_capacity) {
        e->segment_capacity *= 2;
        e->segments = realloc(e->segments, e->segment_capacity * sizeof *e->segments);
        check(e->segments != NULL);
    }
    if (e->segment_count > e->segment_mask)
        e->segment_mask = e->segment_mask * 2 + 1;
    low = &e->segments[e->segment_count & (e->segment_mask >> 1)];
    high = &e->segments[e->segment_count++];
    old = *low;
    *low = *high = (struct segment){0};
    e->bytes -= old.capacity * sizeof *old.cells;
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.cells[i] != 0) {
            struct element *el = element_of_cell(old.cells[i]);

            segment_add(e, segment_of(e, el->hash), el);
        }
    free(old.cells);
}

static void table_insert(struct elements *e, struct element *el)
{
    segment_add(e, segment_of(e, el->hash), el);
    if (++e->count > (size_t)e->segment_count * SEGMENT_FILL)
        grow(e);
}

static void table_take_out(struct elements *e, const struct element *el)
{
    segment_remove(segment_of(e, el->hash), el);
    e->count--;
}

struct element *elements_find(const struct elements *e, uint32_t hash, struct slice name)
{
    const struct segment *s = segment_of(e, hash);
    uint32_t mask = s->capacity - 1;
    uint64_t tag = cell_tag(hash);

    if (s->used == 0)
        return NULL;
    for (uint32_t i = home(hash, mask);; i = (i + 1) & mask) {
        uint64_t cell = s->cells[i];

        if (cell == 0)
            return NULL;
        if (cell >> 48 == tag >> 48) {
            struct element *el = element_of_cell(cell);

            if (el->hash == hash && el->name_size == name.size && memcmp(el->bytes, name.data, name.size) == 0)
                return el;
        }
    }
}

/* ---- Life ---- */

struct elements *elements_new(enum obj_type type, bool complete)
{
    struct elements *e = calloc(1, sizeof *e);

    check(e != NULL);
    e->segment_count = e->segment_capacity = 1;
    e->segments = calloc(1, sizeof *e->segments);
    check(e->segments != NULL);
    e->complete = complete;
    e->scored = type == OBJ_ZSET;
    e->generation = 1;
    e->bytes = sizeof *e + sizeof *e->segments;
    return e;
}

static void release(struct elements *e)
{
    for (uint32_t i = 0; i < e->segment_count; i++) {
        for (uint32_t k = 0; k < e->segments[i].capacity; k++)
            free(element_of_cell(e->segments[i].cells[k]));
        free(e->segments[i].cells);
    }
    for (size_t i = 0; i < e->dead_count; i++)
        free(e->dead[i]);
    order_free(e->order);
    free(e->segments);
    free(e->changes);
    free(e->dead);
    free(e);
}

void elements_drop(struct elements *e)
{
    if (e == NULL)
        return;
    if (e->flying)
        e->orphan = true;
    else
        release(e);
}

/* ---- Changes ---- */

static size_t weight(const struct elements *e, const struct element *el)
{
    return sizeof *el + el->name_size + el->value_size + (e->scored ? SCORE_BYTES : 0);
}

static struct element *element_new(struct elements *e, uint32_t hash, struct slice name, struct slice value)
{
    struct element *el = malloc(sizeof *el + name.size + value.size + (e->scored ? SCORE_BYTES : 0));

    check(el != NULL);
    *el = (struct element){.hash = hash, .name_size = (uint32_t)name.size, .value_size = (uint32_t)value.size,
                           .referenced = 1};
    if (name.size > 0)
        memcpy(el->bytes, name.data, name.size);
    if (value.size > 0)
        memcpy(el->bytes + name.size, value.data, value.size);
    e->bytes += weight(e, el);
    return el;
}

void element_free(struct elements *e, struct element *el)
{
    e->bytes -= weight(e, el);
    free(el);
}

void elements_forget(struct elements *e, struct element *el)
{
    table_take_out(e, el);
    element_free(e, el);
}

static bool active(const struct elements *e, const struct element *el)
{
    return el->generation == e->generation;
}

static bool clean(const struct elements *e, const struct element *el)
{
    return el->generation <= e->landed;
}

static void push(struct element ***list, size_t *count, size_t *capacity, struct element *el)
{
    if (*count == *capacity) {
        *capacity = *capacity != 0 ? *capacity * 2 : 16;
        *list = realloc(*list, *capacity * sizeof **list);
        check(*list != NULL);
    }
    (*list)[(*count)++] = el;
}

static void change_add(struct elements *e, struct element *el)
{
    el->generation = e->generation;
    el->at = (uint32_t)e->change_count;
    check(e->change_count < UINT32_MAX);
    push(&e->changes, &e->change_count, &e->change_capacity, el);
    e->change_bytes += weight(e, el);
}

static void change_remove(struct elements *e, struct element *el)
{
    struct element *last = e->changes[--e->change_count];

    e->changes[el->at] = last;
    last->at = el->at;
    e->change_bytes -= weight(e, el);
}

static double stored_get(const struct element *el)
{
    double score;

    memcpy(&score, el->bytes + el->name_size + el->value_size, sizeof score);
    return score;
}

static void stored_set(struct element *el, double score)
{
    el->was = 1;
    memcpy(el->bytes + el->name_size + el->value_size, &score, sizeof score);
}

/* What the store's row by score will be when everything before this change has landed. */
static void inherit(const struct elements *e, struct element *el, const struct element *before, const double *old)
{
    double score;

    if (!e->scored)
        return;
    if (before == NULL) {
        if (old != NULL)
            stored_set(el, *old);
    } else if (active(e, before)) {
        if (before->was)
            stored_set(el, stored_get(before));
    } else if (!before->tomb) {
        memcpy(&score, before->bytes + before->name_size, sizeof score);
        stored_set(el, score);
    }
}

/* ---- Order ---- */

static double score_of(const struct element *el)
{
    double score;

    memcpy(&score, el->bytes + el->name_size, sizeof score);
    return score;
}

static void order_weigh(struct elements *e)
{
    size_t bytes = e->order != NULL ? order_bytes(e->order) : 0;

    e->bytes += bytes;
    e->bytes -= e->order_bytes;
    e->order_bytes = bytes;
}

static void order_leave(struct elements *e, const struct element *el)
{
    if (__builtin_expect(e->order == NULL, 1) || el == NULL || el->tomb)
        return;
    order_remove(e->order, score_of(el), el);
    order_weigh(e);
}

static void order_enter(struct elements *e, struct element *el)
{
    if (__builtin_expect(e->order == NULL, 1) || el->tomb)
        return;
    order_insert(e->order, score_of(el), el);
    order_weigh(e);
}

struct order *elements_order(struct elements *e)
{
    struct order_entry *entries;
    size_t n = 0;

    check(e->scored && e->complete);
    e->order_used = true;
    if (e->order != NULL)
        return e->order;
    entries = malloc((e->count + 1) * sizeof *entries);
    check(entries != NULL);
    for (uint32_t i = 0; i < e->segment_count; i++)
        for (uint32_t k = 0; k < e->segments[i].capacity; k++) {
            struct element *el = element_of_cell(e->segments[i].cells[k]);

            if (el != NULL && !el->tomb)
                entries[n++] = (struct order_entry){score_of(el), el};
        }
    e->order = order_new(entries, n);
    free(entries);
    order_weigh(e);
    return e->order;
}

void elements_order_drop(struct elements *e)
{
    order_free(e->order);
    e->order = NULL;
    order_weigh(e);
}

/* ---- Putting, removing ---- */

/* el takes the place of `before` (NULL: of none) in table and changes. */
static void change(struct elements *e, struct element *before, struct element *el, const double *old)
{
    e->changed++;
    order_leave(e, before);
    inherit(e, el, before, old);
    el->sure = before == NULL ? e->complete : active(e, before) && before->sure;
    order_enter(e, el);
    if (before == NULL) {
        table_insert(e, el);
        change_add(e, el);
        return;
    }
    *cell_of(segment_of(e, el->hash), before) = cell_tag(el->hash) | (uint64_t)(uintptr_t)el;
    if (active(e, before)) {
        el->generation = e->generation;
        el->at = before->at;
        e->changes[el->at] = el;
        e->change_bytes += weight(e, el);
        e->change_bytes -= weight(e, before);
        element_free(e, before);
        return;
    }
    change_add(e, el);
    if (clean(e, before)) {
        element_free(e, before);
    } else {
        before->replaced = 1;
        push(&e->dead, &e->dead_count, &e->dead_capacity, before);
    }
}

void elements_put(struct elements *e, uint32_t hash, struct slice name, struct slice value, const double *old)
{
    struct element *before = elements_find(e, hash, name);

    if (before != NULL && active(e, before) && !before->tomb && before->value_size == value.size) {
        order_leave(e, before);
        if (value.size > 0)
            memmove(before->bytes + before->name_size, value.data, value.size);
        order_enter(e, before);
        return;
    }
    change(e, before, element_new(e, hash, name, value), old);
}

void elements_remove(struct elements *e, uint32_t hash, struct slice name, const double *old)
{
    struct element *before = elements_find(e, hash, name), *el;

    if (before != NULL && before->tomb)
        return;
    if (before == NULL && e->complete)
        return; /* neither here nor in the store */
    if (before != NULL && active(e, before) && before->sure) {
        e->changed++;
        order_leave(e, before);
        change_remove(e, before);
        elements_forget(e, before);
        return;
    }
    el = element_new(e, hash, name, (struct slice){0});
    el->tomb = 1;
    change(e, before, el, old);
}

void elements_remember(struct elements *e, uint32_t hash, struct slice name, struct slice value)
{
    table_insert(e, element_new(e, hash, name, value));
}
