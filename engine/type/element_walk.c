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
        return elements_too_many(t, o->count) ? ERR_COLD : txn_elements_all(t, o, &w->cursor);
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

enum { SHRINK_COUNT_MAX = OBJ_PACKED_ENTRIES_MAX / 2, SHRINK_BYTES_MAX = OBJ_PACKED_BYTES_MAX / 2 };

/* All elements as a packed run; false: they are too many bytes, or cannot be read. */
static bool pack(struct txn *t, struct obj *o, struct buf *run)
{
    struct element_walk w;
    size_t count = 0;
    enum err e;

    if (element_walk_begin(t, o, &w) != OK)
        return false;
    while ((e = element_walk_next(&w)) == OK && run->size <= SHRINK_BYTES_MAX && count < SHRINK_COUNT_MAX + 1) {
        packed_write(run, w.name);
        if (w.pairs)
            packed_write(run, w.value);
        count++;
    }
    element_walk_end(&w);
    return e == ERR_NOT_FOUND && count == o->count && run->size <= SHRINK_BYTES_MAX;
}

void element_shrink(struct txn *t, struct obj *o)
{
    bool power_of_two = (o->count & (o->count - 1)) == 0;
    struct buf run = {0};

    if (o->form != OBJ_BIG || o->count == 0 || o->count > SHRINK_COUNT_MAX || !power_of_two)
        return;
    if (pack(t, o, &run)) {
        msec_t expire_ms = o->expire_ms;
        uint64_t count = o->count;
        uint8_t marks = o->marks;

        txn_reset(t, o, (enum obj_type)o->type);
        obj_value_set(o, buf_slice(&run));
        o->count = count;
        o->marks = marks;
        if (expire_ms != 0)
            txn_expire(t, o, expire_ms);
    }
    buf_free(&run);
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
