/*
 * element_scan.c - pages over both forms.
 */
#include "engine/type/element_scan.h"

#include "engine/type/element_walk.h"

static enum err scan_packed(struct txn *t, struct obj *o, element_scan_each *each, void *context)
{
    struct element_walk w;
    enum err e;

    TRY(element_walk_begin(t, o, &w));
    while ((e = element_walk_next(&w)) == OK)
        each(context, w.name, w.value);
    element_walk_end(&w);
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err element_scan(struct txn *t, struct obj *o, uint64_t cursor, uint64_t count, element_scan_each *each,
                      void *context, uint64_t *next)
{
    uint64_t given = 0, go_on = 0;
    uint32_t last = 0;
    struct txn_cursor c;
    enum err e;

    *next = 0;
    if (o->form != OBJ_BIG)
        return scan_packed(t, o, each, context);
    if (cursor > UINT32_MAX)
        return OK;
    TRY(txn_elements(t, o, (uint32_t)cursor, &c));
    while ((e = txn_cursor_next(&c)) == OK) {
        if (given >= count && c.hash != last) {
            go_on = c.hash; /* beyond the hash of a name before it, so not 0 */
            break;
        }
        each(context, c.name, c.value);
        last = c.hash;
        given++;
    }
    txn_cursor_close(&c);
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    *next = go_on;
    return OK;
}
