/*
 * list.c - lists: which form a list has, and the packed form.
 *
 * A list is PACKED up to OBJ_PACKED_ENTRIES_MAX elements and OBJ_PACKED_BYTES_MAX bytes; one that grows beyond becomes
 * BIG and stays it, except when trimmed to less than half, which builds it anew.
 */
#include "engine/type/list.h"

#include "base/check.h"
#include "base/num.h"
#include "engine/type/element_walk.h"
#include "engine/type/list_big.h"

enum { EFFECT_ELEMENTS_MAX = 256 }; /* words of one RPUSH of list_store_all */

const char *list_encoding(const struct obj *o)
{
    bool large = (o->marks & OBJ_MARK_LARGE) != 0;

    if (o->form == OBJ_PACKED) {
        struct packed p = packed_begin(obj_value(o));
        uint64_t bytes = 0;

        while (packed_next(&p))
            bytes += list_big_bytes(p.entry);
        large = list_big_is_large(bytes);
    }
    return large ? "quicklist" : "listpack";
}

static enum err broken(const struct obj *o)
{
    return err_set(ERR_CORRUPT, "a list of %llu elements has fewer", (unsigned long long)o->count);
}

/* Whether a packed list stays one when it gets `elements` more (0: one is exchanged) and `bytes` more. */
static bool fits(const struct obj *o, unsigned elements, int64_t bytes)
{
    return o->count + elements <= OBJ_PACKED_ENTRIES_MAX && (int64_t)o->value_size + bytes <= OBJ_PACKED_BYTES_MAX;
}

/* The place of an element of a packed list. */
static enum err locate(const struct obj *o, uint64_t index, struct packed *place)
{
    struct packed p = packed_begin(obj_value(o));

    do {
        if (!packed_next(&p))
            return broken(o);
    } while (index-- > 0);
    *place = p;
    return OK;
}

/* ---- The ends ---- */

enum err list_push(struct txn *t, struct obj *o, enum list_end end, struct slice element)
{
    if (o->form == OBJ_PACKED) {
        if (fits(o, 1, (int64_t)packed_entry_bytes(element.size))) {
            packed_insert(o, end == LIST_HEAD ? 0 : o->value_size, element);
            o->count++;
            txn_changed(t, o);
            return OK;
        }
        TRY(list_big_make(t, o));
    }
    return list_big_push(t, o, end, element);
}

/* Removes n elements at one end, not all, of a packed list. */
static enum err packed_drop(struct txn *t, struct obj *o, enum list_end end, uint64_t n)
{
    struct packed p;

    if (end == LIST_HEAD) {
        TRY(locate(o, n - 1, &p));
        packed_remove(o, 0, p.next);
    } else {
        TRY(locate(o, o->count - n, &p));
        packed_remove(o, p.at, o->value_size);
    }
    o->count -= n;
    txn_changed(t, o);
    return OK;
}

/* Removes n elements at one end; listpack_bytes is used for BIG ones. */
static enum err drop(struct txn *t, struct obj *o, enum list_end end, uint64_t n, uint64_t listpack_bytes)
{
    if (n == o->count)
        txn_delete(t, o);
    else if (o->form == OBJ_PACKED)
        return packed_drop(t, o, end, n);
    else
        return list_big_drop(t, o, end, n, listpack_bytes);
    return OK;
}

static void append_element(void *context, struct slice element)
{
    buf_append_slice(context, element);
}

enum err list_pop(struct txn *t, struct obj *o, enum list_end end, struct buf *out)
{
    return list_pop_many(t, o, end, 1, append_element, out);
}

enum err list_pop_many(struct txn *t, struct obj *o, enum list_end end, uint64_t n, list_each *each, void *context)
{
    uint64_t listpack_bytes = 0, left = n, start = end == LIST_HEAD ? 0 : o->count - 1;
    struct list_walk w;
    enum err e;

    check(n >= 1 && n <= o->count);
    if (n == 1) {
        struct slice element;

        if (o->form == OBJ_BIG)
            TRY(list_big_refill(t, o, end));
        TRY(list_get(t, o, start, &element));
        if (o->form == OBJ_BIG)
            listpack_bytes = list_big_bytes(element);
        each(context, element);
        return drop(t, o, end, 1, listpack_bytes);
    }
    TRY(list_long_walk(t, o, n));
    TRY(list_walk_begin(t, o, start, end == LIST_TAIL, &w));
    do {
        if ((e = list_walk_next(&w)) != OK)
            break;
        if (o->form == OBJ_BIG)
            listpack_bytes += list_big_bytes(w.element);
        each(context, w.element);
    } while (--left > 0);
    list_walk_end(&w);
    if (e != OK)
        return e;
    return drop(t, o, end, n, listpack_bytes);
}

enum err list_pop_logged(struct txn *t, struct obj *o, enum list_end end, uint64_t n, list_each *each, void *context)
{
    struct slice verb = end == LIST_HEAD ? SLICE_LITERAL("LPOP") : SLICE_LITERAL("RPOP");
    bool remains = n < o->count;
    char text[NUM_TEXT_MAX];

    TRY(list_pop_many(t, o, end, n, each, context));
    if (!remains)
        return OK;
    if (n == 1)
        TXN_EFFECT(t, o, verb, obj_key(o));
    else
        TXN_EFFECT(t, o, verb, obj_key(o), slice_of(text, num_format_u64(text, n)));
    return OK;
}

/* ---- Moves ---- */

static struct slice end_word(enum list_end end)
{
    return end == LIST_HEAD ? SLICE_LITERAL("LEFT") : SLICE_LITERAL("RIGHT");
}

/* Source and destination are one list: a rotation, which is an effect about one key as it is. */
static enum err rotate(struct txn *t, struct obj *o, enum list_end from, enum list_end to, struct buf *out)
{
    struct slice element;
    size_t mark = out->size;

    TRY(list_get(t, o, from == LIST_HEAD ? 0 : o->count - 1, &element));
    if (from == to || o->count == 1) {
        buf_append_slice(out, element);
        txn_changed(t, o);
    } else {
        TRY(list_pop(t, o, from, out));
        TRY(list_push(t, o, to, slice_of(out->data + mark, out->size - mark)));
    }
    TXN_EFFECT(t, o, SLICE_LITERAL("LMOVE"), obj_key(o), obj_key(o), end_word(from), end_word(to));
    return OK;
}

enum err list_move(struct txn *t, struct slice source, struct slice destination, enum list_end from, enum list_end to,
                   struct buf *out)
{
    struct slice verb = to == LIST_HEAD ? SLICE_LITERAL("LPUSH") : SLICE_LITERAL("RPUSH"), element;
    size_t mark = out->size;
    struct obj *src, *dst;
    enum err e;

    TRY(txn_write(t, source, OBJ_LIST, &src));
    if (slice_equal(source, destination))
        return rotate(t, src, from, to, out);
    e = txn_write(t, destination, OBJ_LIST, &dst);
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    TRY(list_pop_logged(t, src, from, 1, append_element, out));
    if (e == ERR_NOT_FOUND)
        dst = txn_create(t, destination, OBJ_LIST);
    element = slice_of(out->data + mark, out->size - mark);
    TRY(list_push(t, dst, to, element));
    TXN_EFFECT(t, dst, verb, destination, element);
    return OK;
}

/* ---- The middle ---- */

enum err list_get(struct txn *t, struct obj *o, uint64_t index, struct slice *element)
{
    struct packed p;

    check(index < o->count);
    if (o->form == OBJ_BIG)
        return list_big_get(t, o, index, element);
    TRY(locate(o, index, &p));
    *element = p.entry;
    return OK;
}

enum err list_set(struct txn *t, struct obj *o, uint64_t index, struct slice element)
{
    struct packed p;

    check(index < o->count);
    if (o->form == OBJ_PACKED) {
        TRY(locate(o, index, &p));
        if (fits(o, 0, (int64_t)packed_entry_bytes(element.size) - (int64_t)(p.next - p.at))) {
            packed_replace(o, &p, element);
            txn_changed(t, o);
            return OK;
        }
        TRY(list_big_make(t, o));
    }
    return list_big_set(t, o, index, element);
}

enum err list_insert(struct txn *t, struct obj *o, uint64_t index, struct slice element)
{
    struct packed p;

    check(index <= o->count);
    if (index == 0 || index == o->count)
        return list_push(t, o, index == 0 ? LIST_HEAD : LIST_TAIL, element);
    if (o->form == OBJ_PACKED) {
        if (fits(o, 1, (int64_t)packed_entry_bytes(element.size))) {
            TRY(locate(o, index, &p));
            packed_insert(o, p.at, element);
            o->count++;
            txn_changed(t, o);
            return OK;
        }
        TRY(list_big_make(t, o));
    }
    return list_big_insert(t, o, index, element);
}

/* The indexes of up to `limit` elements equal to this one, ascending, as uint64_t in `indexes`. */
static enum err matches(struct txn *t, struct obj *o, struct slice element, bool reverse, uint64_t limit,
                        struct buf *indexes)
{
    struct list_walk w;
    uint64_t *found;
    size_t n;
    enum err e;

    TRY(list_long_walk(t, o, o->count));
    TRY(list_walk_begin(t, o, reverse ? o->count - 1 : 0, reverse, &w));
    while ((e = list_walk_next(&w)) == OK) {
        if (!slice_equal(w.element, element))
            continue;
        buf_append(indexes, &w.index, sizeof w.index);
        if (--limit == 0)
            break;
    }
    list_walk_end(&w);
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    found = (uint64_t *)(void *)indexes->data;
    n = indexes->size / sizeof *found;
    for (size_t i = 0; reverse && i < n / 2; i++) {
        uint64_t swap = found[i];

        found[i] = found[n - 1 - i];
        found[n - 1 - i] = swap;
    }
    return OK;
}

/* Closes the gaps in place. */
static void packed_remove_at(struct txn *t, struct obj *o, const uint64_t *indexes, size_t count)
{
    struct packed p = packed_begin(obj_value(o));
    size_t to = 0, next = 0;

    for (uint64_t i = 0; packed_next(&p); i++) {
        if (next < count && indexes[next] == i) {
            next++;
            continue;
        }
        memmove(o->value + to, o->value + p.at, p.next - p.at);
        to += p.next - p.at;
    }
    o->value_size = (uint32_t)to;
    o->count -= count;
    txn_changed(t, o);
}

enum err list_remove(struct txn *t, struct obj *o, struct slice element, int64_t count, uint64_t *removed)
{
    uint64_t limit = count == 0 ? UINT64_MAX : count > 0 ? (uint64_t)count : 0 - (uint64_t)count;
    struct buf indexes = {0};
    enum err e = matches(t, o, element, count < 0, limit, &indexes);
    size_t n = indexes.size / sizeof(uint64_t);
    const uint64_t *at = (const uint64_t *)(void *)indexes.data;

    if (e == OK && n > 0) {
        if (n == o->count)
            txn_delete(t, o);
        else if (o->form == OBJ_PACKED)
            packed_remove_at(t, o, at, n);
        else
            e = list_big_remove(t, o, at, n, element);
    }
    buf_free(&indexes);
    if (e == OK)
        *removed = n;
    return e;
}

/* The listpack bytes of elements [from, to). */
static enum err measure(struct txn *t, struct obj *o, uint64_t from, uint64_t to, uint64_t *bytes)
{
    struct list_walk w;
    enum err e = OK;

    *bytes = 0;
    if (from == to)
        return OK;
    TRY(list_walk_begin(t, o, from, false, &w));
    for (; from < to && (e = list_walk_next(&w)) == OK; from++)
        *bytes += list_big_bytes(w.element);
    list_walk_end(&w);
    return e;
}

/* Builds the list anew from a few of its elements; the old ones are left to the reaper. */
static enum err rebuild(struct txn *t, struct obj *o, uint64_t start, uint64_t n)
{
    msec_t expire_ms = o->expire_ms;
    struct buf run = {0};
    struct list_walk w;
    struct packed p;
    enum err e;

    TRY(list_walk_begin(t, o, start, false, &w));
    for (e = OK; n > 0 && (e = list_walk_next(&w)) == OK; n--)
        packed_write(&run, w.element);
    list_walk_end(&w);
    if (e == OK) {
        txn_reset(t, o, OBJ_LIST);
        if (expire_ms != 0)
            txn_expire(t, o, expire_ms);
        p = packed_begin(buf_slice(&run));
        while (e == OK && packed_next(&p))
            e = list_push(t, o, LIST_TAIL, p.entry);
    }
    buf_free(&run);
    return e;
}

enum err list_trim(struct txn *t, struct obj *o, uint64_t start, uint64_t n)
{
    uint64_t tail = o->count - start - n, head_bytes = 0, tail_bytes = 0;

    check(start + n <= o->count);
    if (n == 0) {
        txn_delete(t, o);
        return OK;
    }
    if (o->form == OBJ_BIG) {
        TRY(list_long_walk(t, o, n < start + tail ? n : start + tail));
        if (n < start + tail)
            return rebuild(t, o, start, n);
        TRY(measure(t, o, 0, start, &head_bytes));
        TRY(measure(t, o, start + n, o->count, &tail_bytes));
    }
    txn_changed(t, o); /* also when everything is kept: whoever watches the key is told */
    if (tail > 0)
        TRY(drop(t, o, LIST_TAIL, tail, tail_bytes));
    if (start > 0)
        TRY(drop(t, o, LIST_HEAD, start, head_bytes));
    return OK;
}

/* ---- The whole ---- */

enum err list_long_walk(const struct txn *t, const struct obj *o, uint64_t n)
{
    return o->form == OBJ_BIG && elements_too_many(t, n) ? ERR_COLD : OK;
}

enum err list_copy(struct txn *t, struct obj *from, struct obj *to)
{
    if (from->form == OBJ_BIG)
        return list_big_copy(t, from, to);
    obj_value_set(to, obj_value(from));
    to->count = from->count;
    to->marks = from->marks;
    txn_changed(t, to);
    return OK;
}

enum err list_store_all(struct txn *t, struct slice key, const struct slice *elements, size_t count)
{
    struct slice words[2 + EFFECT_ELEMENTS_MAX] = {SLICE_LITERAL("RPUSH"), key};
    struct obj *o;
    enum err e = txn_write(t, key, OBJ_ANY, &o);

    if (e == OK)
        txn_delete(t, o);
    else if (e != ERR_NOT_FOUND)
        return e;
    if (count == 0)
        return OK;
    o = txn_create(t, key, OBJ_LIST);
    while (count > 0) {
        size_t n = count < EFFECT_ELEMENTS_MAX ? count : EFFECT_ELEMENTS_MAX;

        for (size_t i = 0; i < n; i++) {
            TRY(list_push(t, o, LIST_TAIL, elements[i]));
            words[2 + i] = elements[i];
        }
        txn_effect(t, o, words, 2 + n);
        elements += n;
        count -= n;
    }
    return OK;
}
