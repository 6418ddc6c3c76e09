/*
 * list_walk.c - walks over lists: one run (PACKED), or head run, rows and tail run (BIG).
 */
#include "engine/type/list_big.h"

#include "base/check.h"

enum { PART_NONE, PART_HEAD, PART_ROWS, PART_TAIL };

enum err list_walk_begin(struct txn *t, struct obj *o, uint64_t start, bool reverse, struct list_walk *w)
{
    check(start < o->count);
    w->txn = t;
    w->o = o;
    w->next = start;
    w->left = reverse ? start + 1 : o->count - start;
    w->reverse = reverse;
    w->part = PART_NONE;
    w->open = false;
    w->head = o->count; /* a packed list is all head */
    w->rows = 0;
    if (o->form == OBJ_BIG) {
        struct list_big b;

        TRY(list_big_load(o, &b));
        w->head = b.ends.head_count;
        w->rows = list_big_rows(o, &b);
        w->first = b.big.first;
        w->runs[0] = list_big_run(o, &b, LIST_HEAD);
        w->runs[1] = list_big_run(o, &b, LIST_TAIL);
    } else {
        w->runs[0] = obj_value(o);
    }
    return OK;
}

static enum err broken(const struct list_walk *w)
{
    return err_set(ERR_CORRUPT, "element %llu of a list of %llu is missing", (unsigned long long)w->next,
                   (unsigned long long)w->o->count);
}

/* Goes to entry number `at` of a run: in front of it, or, in reverse, with the beginnings of all up to it. */
static enum err enter_run(struct list_walk *w, struct slice run, uint64_t at)
{
    w->place = packed_begin(run);
    if (w->reverse && (at >= OBJ_PACKED_ENTRIES_MAX || run.size > UINT16_MAX))
        return err_set(ERR_CORRUPT, "a run of a list has more than %d elements", OBJ_PACKED_ENTRIES_MAX);
    for (uint64_t i = 0; i < at + w->reverse; i++) {
        if (!packed_next(&w->place))
            return broken(w);
        if (w->reverse)
            w->offsets[i] = (uint16_t)w->place.at;
    }
    w->entry = at;
    return OK;
}

static enum err enter(struct list_walk *w, int part)
{
    enum err e = OK;

    list_walk_end(w);
    if (part == PART_HEAD) {
        e = enter_run(w, w->runs[0], w->next);
    } else if (part == PART_TAIL) {
        e = enter_run(w, w->runs[1], w->next - w->head - w->rows);
    } else {
        e = txn_indexes(w->txn, w->o, w->first + (w->next - w->head), w->reverse, &w->cursor);
        w->open = e == OK;
    }
    if (e == OK)
        w->part = part;
    return e;
}

enum err list_walk_next(struct list_walk *w)
{
    int part = w->next < w->head ? PART_HEAD : w->next < w->head + w->rows ? PART_ROWS : PART_TAIL;

    if (w->left == 0)
        return ERR_NOT_FOUND;
    if (part != w->part)
        TRY(enter(w, part));
    if (part == PART_ROWS) {
        enum err e = txn_cursor_next(&w->cursor);

        if (e == ERR_NOT_FOUND || (e == OK && w->cursor.index != w->first + (w->next - w->head)))
            return broken(w);
        if (e != OK)
            return e;
        w->element = w->cursor.value;
    } else {
        if (w->reverse)
            w->place.next = w->offsets[w->entry--];
        if (!packed_next(&w->place))
            return broken(w);
        w->element = w->place.entry;
    }
    w->index = w->next;
    w->next = w->reverse ? w->next - 1 : w->next + 1;
    w->left--;
    return OK;
}

void list_walk_end(struct list_walk *w)
{
    if (w->open)
        txn_cursor_close(&w->cursor);
    w->open = false;
}
