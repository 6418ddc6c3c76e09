/*
 * element_sample.c - drawing elements, one at a time or in one walk.
 */
#include "engine/type/element_sample.h"

#include <stdlib.h>

#include "base/check.h"
#include "engine/type/element_walk.h"
#include "engine/type/name_set.h"

enum {
    STEPS_MAX = 8,    /* behind a random hash */
    WALK_SHARE = 20,  /* a sample of at least 1/20 is drawn in one walk: a seek costs about as much as 20 rows */
    TRIES_PER_PICK = 50,
    WINDOW = 16,      /* one of the next so many is taken */
};

void element_list_free(struct element_list *l)
{
    free(l->places);
    buf_free(&l->bytes);
    *l = (struct element_list){0};
}

static struct element_place *place_add(struct element_list *l)
{
    if (l->count == l->capacity) {
        l->capacity = l->capacity != 0 ? l->capacity * 2 : 32;
        l->places = realloc(l->places, l->capacity * sizeof *l->places);
        check(l->places != NULL);
    }
    return &l->places[l->count++];
}

void element_list_add(struct element_list *l, struct slice name, struct slice value)
{
    *place_add(l) = (struct element_place){l->bytes.size, (uint32_t)name.size, (uint32_t)value.size};
    buf_append_slice(&l->bytes, name);
    buf_append_slice(&l->bytes, value);
}

void element_list_again(struct element_list *l, size_t i)
{
    struct element_place *place = place_add(l);

    *place = l->places[i];
}

/* ---- One ---- */

static enum err random_packed(struct txn *t, struct obj *o, struct slice *name, struct slice *value)
{
    uint64_t skip = rng_below(txn_rng(t), o->count);
    struct element_walk w;

    TRY(element_walk_begin(t, o, &w));
    do {
        TRY(element_walk_next(&w));
    } while (skip-- > 0);
    *name = w.name;
    *value = w.value;
    return OK;
}

static enum err random_big(struct txn *t, struct obj *o, struct buf *scratch, struct slice *name, struct slice *value)
{
    uint64_t skip = rng_below(txn_rng(t), STEPS_MAX);
    uint32_t from = (uint32_t)rng_next(txn_rng(t));
    bool whole = false; /* this walk is over all elements */
    struct txn_cursor c;
    size_t size;
    enum err e = txn_element_random(t, o, name, value);

    if (e != ERR_NOT_FOUND)
        return e;
    for (;;) {
        uint64_t before = skip;

        TRY(txn_elements(t, o, from, &c));
        while ((e = txn_cursor_next(&c)) == OK && skip > 0)
            skip--;
        if (e == OK)
            break;
        txn_cursor_close(&c);
        if (e != ERR_NOT_FOUND)
            return e;
        if (whole && before == skip)
            return err_set(ERR_CORRUPT, "a collection of %llu elements has no rows", (unsigned long long)o->count);
        from = 0; /* around the end */
        whole = true;
    }
    buf_clear(scratch);
    buf_append_slice(scratch, c.name);
    buf_append_slice(scratch, c.value);
    size = c.name.size;
    txn_cursor_close(&c);
    *name = slice_of(scratch->data, size);
    *value = slice_of(scratch->data + size, scratch->size - size);
    return OK;
}

enum err element_random(struct txn *t, struct obj *o, struct buf *scratch, struct slice *name, struct slice *value)
{
    check(o->count > 0);
    return o->form == OBJ_BIG ? random_big(t, o, scratch, name, value) : random_packed(t, o, name, value);
}

/* ---- Many ---- */

static void shuffle(struct txn *t, struct element_list *l, size_t from)
{
    for (size_t i = l->count; i > from + 1; i--) {
        size_t other = from + rng_below(txn_rng(t), i - from);
        struct element_place place = l->places[other];

        l->places[other] = l->places[i - 1];
        l->places[i - 1] = place;
    }
}

/* Selection sampling: each element is taken with the chance (still wanted) / (still to come). */
static enum err walk_distinct(struct txn *t, struct obj *o, uint64_t count, struct element_list *l)
{
    uint64_t left = o->count;
    struct element_walk w;
    enum err e = OK;

    TRY(element_walk_begin(t, o, &w));
    while (count > 0 && left > 0 && (e = element_walk_next(&w)) == OK) {
        if (rng_below(txn_rng(t), left) < count) {
            element_list_add(l, w.name, w.value);
            count--;
        }
        left--;
    }
    element_walk_end(&w);
    return e == ERR_NOT_FOUND ? OK : e;
}

static int position_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Random positions, sorted, are met in one walk. */
static enum err walk_repeats(struct txn *t, struct obj *o, uint64_t count, struct element_list *l)
{
    uint64_t *positions = malloc(count * sizeof *positions), position = 0;
    struct element_walk w;
    enum err e;

    check(positions != NULL);
    for (uint64_t i = 0; i < count; i++)
        positions[i] = rng_below(txn_rng(t), o->count);
    qsort(positions, count, sizeof *positions, position_order);
    if ((e = element_walk_begin(t, o, &w)) != OK)
        goto out;
    for (uint64_t i = 0; i < count; position++) {
        if ((e = element_walk_next(&w)) != OK)
            break;
        if (positions[i] != position)
            continue;
        element_list_add(l, w.name, w.value);
        while (++i < count && positions[i] == position)
            element_list_again(l, l->count - 1);
    }
    element_walk_end(&w);
out:
    free(positions);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err pick_one_by_one(struct txn *t, struct obj *o, uint64_t count, bool repeats, struct element_list *l)
{
    uint64_t tries = count * TRIES_PER_PICK;
    struct name_set taken = {0};
    struct buf scratch = {0};
    enum err e = OK;

    while (count > 0 && tries-- > 0) {
        struct slice name, value;

        if ((e = element_random(t, o, &scratch, &name, &value)) != OK)
            break;
        if (!repeats && !name_set_add(&taken, name))
            continue;
        element_list_add(l, name, value);
        count--;
    }
    name_set_free(&taken);
    buf_free(&scratch);
    return e;
}

enum err element_sample(struct txn *t, struct obj *o, uint64_t count, bool repeats, struct element_list *l)
{
    size_t from = l->count;

    if (!repeats && count > o->count)
        count = o->count;
    if (count == 0)
        return OK;
    if (o->form == OBJ_BIG && elements_too_many(t, count * WALK_SHARE))
        return ERR_COLD;
    if (o->form == OBJ_BIG && count < o->count / WALK_SHARE)
        return pick_one_by_one(t, o, count, repeats, l);
    TRY(repeats ? walk_repeats(t, o, count, l) : walk_distinct(t, o, count, l));
    if (repeats || count < o->count) /* all elements come as they are */
        shuffle(t, l, from);
    return OK;
}

/* ---- For removal ---- */

struct taking {
    uint64_t skip, left;
    bool seen;
    uint32_t place; /* hash of the first element met */
};

/* Goes from a hash up to (not including) another; UINT64_MAX: to the end. */
static enum err take_between(struct txn *t, struct obj *o, uint32_t from, uint64_t to, struct taking *taking,
                             struct element_list *l)
{
    struct txn_cursor c;
    enum err e = OK;

    TRY(txn_elements(t, o, from, &c));
    while (taking->left > 0 && (e = txn_cursor_next(&c)) == OK && c.hash < to) {
        if (!taking->seen)
            taking->place = c.hash;
        taking->seen = true;
        if (taking->skip > 0) {
            taking->skip--;
            continue;
        }
        element_list_add(l, c.name, c.value);
        taking->left--;
    }
    txn_cursor_close(&c);
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err element_take(struct txn *t, struct obj *o, uint64_t count, struct element_list *l)
{
    struct obj_big big = obj_big_get(o);
    uint32_t from = big.spare != 0 ? (uint32_t)big.spare : (uint32_t)rng_next(txn_rng(t));
    struct taking taking = {.left = count};

    check(count < o->count);
    if (count < WINDOW)
        taking.skip = rng_below(txn_rng(t), o->count - count < WINDOW ? o->count - count + 1 : WINDOW);
    TRY(take_between(t, o, from, UINT64_MAX, &taking, l));
    if (taking.left > 0)
        TRY(take_between(t, o, 0, from, &taking, l));
    big.spare = UINT64_C(1) << 32 | taking.place;
    obj_big_set(o, &big);
    return OK;
}
