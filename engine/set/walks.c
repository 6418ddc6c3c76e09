/*
 * walks.c - walks over the elements of BIG objects: in memory where all that is walked over is there, else in the store.
 *
 * (1) A walk in the store sees the rows as they were when it was opened; what memory had beyond the store landed first.
 * (2) A walk in memory ends with an error when the object is changed under it: no type does that.
 * (3) A list is walked from memory as far as its elements are there, and goes on in the store.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"
#include "engine/key/row.h"

enum { RANDOM_TRIES = 400, LARGE_BYTES = 1 << 20, LARGE_COUNT = 5000 };

enum { WALK_NAMES, WALK_INDEXES, WALK_SCORES, WALK_ALL, WALK_LIST };

/* Opens over all rows of the object's kind and seeks to t->row (or backwards from it). */
static enum err walk(struct txn *t, struct obj *o, int kind, bool reverse, struct txn_cursor *c)
{
    enum row_kind rows = kind == WALK_SCORES ? ROW_SCORE : ROW_ELEMENT;
    struct cursor *cursor = NULL;

    row_id_start(&t->row2, o->slot, rows, obj_big_get(o).id);
    TRY(cursor_open_prefix(t->set->store, family_of(t, o), tier_of(t), buf_slice(&t->row2), &cursor));
    if (reverse)
        cursor_seek_back(cursor, buf_slice(&t->row));
    else
        cursor_seek(cursor, buf_slice(&t->row));
    *c = (struct txn_cursor){.txn = t, .iterator = cursor, .kind = kind, .reverse = reverse};
    /* A cold walk is noticed here, before the command has done anything. */
    if (!cursor_valid(cursor) && cursor_error(cursor) == ERR_COLD) {
        txn_cursor_close(c);
        return ERR_COLD;
    }
    return OK;
}

enum err txn_elements(struct txn *t, struct obj *o, uint32_t from_hash, struct txn_cursor *c)
{
    TRY(rows_down(t, o));
    row_element(&t->row, o->slot, obj_big_get(o).id, from_hash, (struct slice){0});
    return walk(t, o, WALK_NAMES, false, c);
}

static enum err store_indexes(struct txn *t, struct obj *o, uint64_t index, bool reverse, struct txn_cursor *c)
{
    TRY(rows_down(t, o));
    row_index(&t->row, o->slot, obj_big_get(o).id, index);
    return walk(t, o, WALK_INDEXES, reverse, c);
}

static struct element *list_element(const struct obj *o, uint64_t index)
{
    uint8_t name[8];
    uint32_t hash = elements_index(index, name);

    return elements_find(o->elements, hash, slice_of(name, sizeof name));
}

enum err txn_indexes(struct txn *t, struct obj *o, uint64_t index, bool reverse, struct txn_cursor *c)
{
    struct element *el = o->type == OBJ_LIST && o->elements != NULL ? list_element(o, index) : NULL;

    if (el == NULL || el->tomb) /* also where a walk begins in front of the first */
        return store_indexes(t, o, index, reverse, c);
    *c = (struct txn_cursor){.txn = t, .o = o, .kind = WALK_LIST, .reverse = reverse, .version = index};
    return OK;
}

static enum err list_next(struct txn_cursor *c)
{
    struct element *el = list_element(c->o, c->version);

    if (el == NULL && !c->o->elements->complete) {
        TRY(store_indexes(c->txn, c->o, c->version, c->reverse, c));
        return txn_cursor_next(c);
    }
    if (el == NULL || el->tomb)
        return ERR_NOT_FOUND;
    c->index = c->version;
    c->value = element_value(el);
    c->version = c->reverse ? c->version - 1 : c->version + 1;
    return OK;
}

enum err txn_scores(struct txn *t, struct obj *o, double score, struct slice member, bool reverse, struct txn_cursor *c)
{
    bool last = member.size == SIZE_MAX;
    enum err e = order_walk(t, o, score, member, reverse, c);

    if (e != ERR_NOT_FOUND)
        return e;
    TRY(rows_down(t, o));
    row_score(&t->row, o->slot, obj_big_get(o).id, score, last ? (struct slice){0} : member);
    if (last)
        row_successor(&t->row); /* behind every member of that score */
    return walk(t, o, WALK_SCORES, reverse, c);
}

/* ---- All, in no order; and any ---- */

bool txn_in_memory(const struct obj *o)
{
    return o->form == OBJ_BIG && o->elements != NULL && o->elements->complete;
}

bool txn_is_large(const struct obj *o)
{
    const struct elements *e = o->elements;

    if (o->form != OBJ_BIG)
        return false;
    if (o->type == OBJ_STRING)
        return o->count >= LARGE_BYTES;
    return (e != NULL && e->bytes >= LARGE_BYTES) || ((e == NULL || !e->complete) && o->count >= LARGE_COUNT);
}

enum err txn_elements_all(struct txn *t, struct obj *o, struct txn_cursor *c)
{
    if (!txn_in_memory(o))
        return txn_elements(t, o, 0, c);
    *c = (struct txn_cursor){.txn = t, .o = o, .kind = WALK_ALL, .version = o->elements->changed};
    return OK;
}

static enum err all_next(struct txn_cursor *c)
{
    const struct elements *e = c->o->elements;

    if (e == NULL || c->version != e->changed)
        return err_set(ERR_CORRUPT, "a collection was changed under a walk");
    for (; c->place.block < e->segment_count; c->place = (struct order_place){c->place.block + 1, 0}) {
        const struct segment *s = &e->segments[c->place.block];

        while (c->place.at < s->capacity) {
            const struct element *el = element_of_cell(s->cells[c->place.at++]);

            if (el == NULL || el->tomb)
                continue;
            c->name = element_name(el);
            c->value = element_value(el);
            c->hash = el->hash;
            return OK;
        }
    }
    return ERR_NOT_FOUND;
}

enum err txn_element_random(struct txn *t, struct obj *o, struct slice *name, struct slice *value)
{
    const struct elements *e = o->elements;

    if (!txn_in_memory(o))
        return ERR_NOT_FOUND;
    for (int i = 0; i < RANDOM_TRIES; i++) {
        const struct segment *s = &e->segments[rng_below(txn_rng(t), e->segment_count)];
        uint64_t at = rng_below(txn_rng(t), e->segment_cells); /* of the largest: so each cell is as likely as any other */
        const struct element *el = at < s->capacity ? element_of_cell(s->cells[at]) : NULL;

        if (el == NULL || el->tomb)
            continue;
        *name = element_name(el);
        *value = element_value(el);
        return OK;
    }
    return ERR_NOT_FOUND;
}

/* ---- Steps ---- */

enum err txn_cursor_next(struct txn_cursor *c)
{
    struct cursor *cursor = c->iterator;
    struct row row;

    if (c->order != NULL)
        return order_walk_next(c);
    if (c->kind == WALK_ALL)
        return all_next(c);
    if (c->kind == WALK_LIST)
        return list_next(c);
    if (c->started) {
        if (c->reverse)
            cursor_back(cursor);
        else
            cursor_next(cursor);
    }
    c->started = true;
    if (!cursor_valid(cursor))
        return cursor_error(cursor);
    TRY(c->kind == WALK_INDEXES ? row_parse_index(cursor_key(cursor), &row) : row_parse(cursor_key(cursor), &row));
    c->name = row.name;
    c->hash = row.hash;
    c->index = row.index;
    c->score = row.score;
    c->value = cursor_value(cursor);
    return OK;
}

void txn_cursor_close(struct txn_cursor *c)
{
    cursor_close(c->iterator);
    c->iterator = NULL;
}
