/*
 * value_copy.c - one walk over the source writes the target's rows and its effects.
 */
#include "engine/type/value_copy.h"

#include "base/check.h"
#include "base/num.h"
#include "engine/set/txn.h"
#include "engine/type/effect_run.h"
#include "engine/type/element_walk.h"
#include "engine/type/list.h"
#include "engine/type/string.h"

static double score_of(struct slice value)
{
    double score = 0;

    if (value.size == sizeof score)
        memcpy(&score, value.data, sizeof score);
    return score;
}

/* ---- Reading once ---- */

static enum err warm_rows(struct txn_cursor *c)
{
    enum err e;

    while ((e = txn_cursor_next(c)) == OK)
        continue;
    txn_cursor_close(c);
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err value_warm(struct txn *t, struct obj *o)
{
    struct txn_cursor c;

    if (o->form != OBJ_BIG || txn_has_changes(t))
        return OK;
    if (elements_too_many(t, o->type == OBJ_STRING ? o->count / OBJ_CHUNK_BYTES : o->count))
        return ERR_COLD;
    if (o->type == OBJ_STRING || o->type == OBJ_LIST)
        TRY(txn_indexes(t, o, 0, false, &c));
    else
        TRY(txn_elements(t, o, 0, &c));
    return warm_rows(&c);
}

/* ---- Copying ---- */

static enum err copy_string(struct txn *t, struct obj *from, struct obj *to)
{
    struct buf whole = {0};
    struct slice value;
    struct txn_cursor c;
    enum err e = OK;

    if (to->form == OBJ_BIG) {
        TRY(txn_indexes(t, from, 0, false, &c));
        while ((e = txn_cursor_next(&c)) == OK)
            txn_index_put(t, to, c.index, c.value);
        txn_cursor_close(&c);
        if (e != ERR_NOT_FOUND)
            return e;
    }
    e = string_get(t, from, &whole, &value);
    if (e == OK)
        TXN_EFFECT(t, to, SLICE_LITERAL("SET"), obj_key(to), value);
    buf_free(&whole);
    return e;
}

static enum err log_list(struct txn *t, struct obj *from, struct effect_run *run)
{
    struct list_walk w;
    enum err e;

    TRY(list_walk_begin(t, from, 0, false, &w));
    while ((e = list_walk_next(&w)) == OK)
        effect_run_add(run, w.element);
    list_walk_end(&w);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err copy_elements(struct txn *t, struct obj *from, struct obj *to, struct effect_run *run)
{
    char text[NUM_TEXT_MAX];
    struct element_walk w;
    enum err e;

    TRY(element_walk_begin(t, from, &w));
    while ((e = element_walk_next(&w)) == OK) {
        if (to->form == OBJ_BIG && to->type != OBJ_ZSET)
            txn_element_put(t, to, w.name, w.value);
        if (from->type == OBJ_SET) {
            effect_run_add(run, w.name);
        } else if (from->type == OBJ_HASH) {
            effect_run_add2(run, w.name, w.value);
        } else {
            double score = score_of(w.value);

            if (to->form == OBJ_BIG)
                txn_member_put(t, to, w.name, score, NULL);
            effect_run_add2(run, slice_of(text, num_format_double(text, score)), w.name);
        }
    }
    element_walk_end(&w);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err copy_collection(struct txn *t, struct obj *from, struct obj *to)
{
    static const char *const verbs[] = {
        [OBJ_LIST] = "RPUSH", [OBJ_SET] = "SADD", [OBJ_ZSET] = "ZADD", [OBJ_HASH] = "HSET"};
    struct effect_run run;
    enum err e;

    check(from->type <= OBJ_HASH);
    effect_run_begin(&run, t, to, verbs[from->type]);
    e = from->type == OBJ_LIST ? log_list(t, from, &run) : copy_elements(t, from, to, &run);
    effect_run_end(&run);
    return e;
}

enum err value_copy(struct txn *t, struct obj *from, struct obj *to)
{
    check(to->type == from->type && to->count == 0 && to->value_size == 0);
    if (from->type == OBJ_LIST) {
        TRY(list_copy(t, from, to));
        return copy_collection(t, from, to);
    }
    if (from->form == OBJ_BIG) {
        struct obj_big big, source = obj_big_get(from);

        TRY(txn_make_big(t, to));
        big = obj_big_get(to);
        big.first = source.first;
        big.spare = source.spare;
        obj_big_set(to, &big);
    } else {
        to->form = from->form;
        obj_value_set(to, obj_value(from));
    }
    to->count = from->count;
    to->marks = from->marks;
    txn_changed(t, to);
    return from->type == OBJ_STRING ? copy_string(t, from, to) : copy_collection(t, from, to);
}
