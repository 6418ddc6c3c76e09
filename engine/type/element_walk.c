/*
 * element_walk.c - one walk over both forms, and the way from one to the other.
 */
#include "engine/type/element_walk.h"

#include "base/buf.h"

enum err element_walk_begin(struct txn *t, struct obj *o, struct element_walk *w)
{
    w->pairs = element_has_value(o);
    w->big = o->form == OBJ_BIG;
    w->value = (struct slice){0};
    if (w->big)
        return elements_too_many(t, o->count) ? ERR_COLD : txn_elements(t, o, 0, &w->cursor);
    w->packed = packed_begin(obj_value(o));
    return OK;
}

enum err element_walk_next(struct element_walk *w)
{
    if (w->big) {
        TRY(txn_cursor_next(&w->cursor));
        w->name = w->cursor.name;
        w->value = w->cursor.value;
        return OK;
    }
    if (!packed_next(&w->packed))
        return ERR_NOT_FOUND;
    w->name = w->packed.entry;
    if (w->pairs) {
        if (!packed_next(&w->packed))
            return err_set(ERR_CORRUPT, "a packed collection has a name without a value");
        w->value = w->packed.entry;
    }
    return OK;
}

void element_walk_end(struct element_walk *w)
{
    if (w->big)
        txn_cursor_close(&w->cursor);
}

enum err element_make_big(struct txn *t, struct obj *o)
{
    uint64_t count = o->count;
    struct buf run = {0};
    struct packed p;
    enum err e;

    buf_append_slice(&run, obj_value(o));
    e = txn_make_big(t, o);
    p = packed_begin(buf_slice(&run));
    while (e == OK && packed_next(&p)) {
        struct slice name = p.entry, value = {0};

        if (element_has_value(o) && packed_next(&p))
            value = p.entry;
        txn_element_put(t, o, name, value);
    }
    o->count = count;
    buf_free(&run);
    return e;
}

enum err element_warm(struct txn *t, struct obj *o, const struct slice *names, size_t count, size_t step)
{
    if (o->form != OBJ_BIG || count < 2 || txn_has_changes(t))
        return OK;
    for (size_t i = 0; i < count; i++) {
        struct slice value;
        enum err e = txn_element_get(t, o, names[i * step], &value);

        if (e != OK && e != ERR_NOT_FOUND)
            return e;
    }
    return OK;
}
