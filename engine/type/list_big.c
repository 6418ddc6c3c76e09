/*
 * list_big.c - long lists: a row per element, dense from obj_big.first on.
 *
 * What moves elements reads all of them into a packed run before it writes the first row: then ERR_COLD changes
 * nothing, and rows may be overwritten in any order.
 */
#include "engine/type/list_big.h"

#include "base/check.h"
#include "base/num.h"

#define FIRST_INDEX ((uint64_t)1 << 63)

enum {
    LISTPACK_BYTES_MAX = 8192, /* list-max-listpack-size -2 */
    LISTPACK_HEAD_BYTES = 7,
    INTEGER_TEXT_MAX = 20,
};

static unsigned integer_bytes(int64_t value)
{
    if (value >= 0 && value <= 127)
        return 1;
    if (value >= -4096 && value <= 4095)
        return 2;
    if (value >= INT16_MIN && value <= INT16_MAX)
        return 3;
    if (value >= -(1 << 23) && value < 1 << 23)
        return 4;
    return value >= INT32_MIN && value <= INT32_MAX ? 5 : 9;
}

uint64_t list_big_bytes(struct slice element)
{
    uint64_t bytes;
    int64_t number;

    if (element.size <= INTEGER_TEXT_MAX && num_parse_i64(element, &number))
        return integer_bytes(number) + 1;
    bytes = element.size + (element.size < 64 ? 1 : element.size < 4096 ? 2 : 5);
    return bytes + (bytes < 128 ? 1 : bytes < 16383 ? 2 : bytes < 2097151 ? 3 : bytes < 268435455 ? 4 : 5);
}

/* Stores the record of the list after a change of its rows. */
static void settle(struct txn *t, struct obj *o, const struct obj_big *big)
{
    uint64_t bytes = big->spare + LISTPACK_HEAD_BYTES;

    if (bytes > LISTPACK_BYTES_MAX)
        o->marks |= OBJ_MARK_LARGE;
    else if (bytes <= LISTPACK_BYTES_MAX / 2)
        o->marks &= (uint8_t)~OBJ_MARK_LARGE;
    obj_big_set(o, big);
    txn_changed(t, o);
}

enum err list_big_make(struct txn *t, struct obj *o)
{
    uint64_t count = o->count, at = FIRST_INDEX;
    struct buf old = {0};
    struct obj_big big;
    struct packed p;
    enum err e;

    buf_append_slice(&old, obj_value(o));
    if ((e = txn_make_big(t, o)) == OK) {
        big = obj_big_get(o);
        big.first = at;
        big.spare = 0;
        p = packed_begin(buf_slice(&old));
        while (packed_next(&p)) {
            txn_index_put(t, o, at++, p.entry);
            big.spare += list_big_bytes(p.entry);
        }
        o->count = count;
        if (at - FIRST_INDEX != count)
            e = err_set(ERR_CORRUPT, "a packed list has %llu elements, not %llu",
                        (unsigned long long)(at - FIRST_INDEX), (unsigned long long)count);
        settle(t, o, &big);
    }
    buf_free(&old);
    return e;
}

void list_big_push(struct txn *t, struct obj *o, enum list_end end, struct slice element)
{
    struct obj_big big = obj_big_get(o);

    if (end == LIST_HEAD)
        txn_index_put(t, o, --big.first, element);
    else
        txn_index_put(t, o, big.first + o->count, element);
    o->count++;
    big.spare += list_big_bytes(element);
    settle(t, o, &big);
}

enum err list_big_get(struct txn *t, struct obj *o, uint64_t index, struct slice *element)
{
    enum err e = txn_index_get(t, o, obj_big_get(o).first + index, element);

    if (e == ERR_NOT_FOUND)
        return err_set(ERR_CORRUPT, "element %llu of a list of %llu is missing", (unsigned long long)index,
                       (unsigned long long)o->count);
    return e;
}

enum err list_big_set(struct txn *t, struct obj *o, uint64_t index, struct slice element)
{
    struct obj_big big = obj_big_get(o);
    struct slice old;

    TRY(list_big_get(t, o, index, &old));
    big.spare += list_big_bytes(element) - list_big_bytes(old);
    txn_changed(t, o);
    txn_index_put(t, o, big.first + index, element);
    settle(t, o, &big);
    return OK;
}

void list_big_drop(struct txn *t, struct obj *o, enum list_end end, uint64_t n, uint64_t listpack_bytes)
{
    struct obj_big big = obj_big_get(o);
    uint64_t from = end == LIST_HEAD ? big.first : big.first + o->count - n;

    check(n < o->count);
    for (uint64_t i = 0; i < n; i++)
        txn_index_delete(t, o, from + i);
    if (end == LIST_HEAD)
        big.first += n;
    o->count -= n;
    big.spare -= listpack_bytes;
    settle(t, o, &big);
}

/* Reads elements [from, to) into a packed run, leaving out those at the given ascending indexes. */
static enum err collect(struct txn *t, struct obj *o, uint64_t from, uint64_t to, const uint64_t *skip, uint64_t skips,
                        struct buf *run)
{
    struct list_walk w;
    enum err e = OK;
    uint64_t s = 0;

    if (from == to)
        return OK;
    TRY(list_walk_begin(t, o, from, false, &w));
    while ((e = list_walk_next(&w)) == OK) {
        while (s < skips && skip[s] < w.index)
            s++;
        if (s == skips || skip[s] != w.index)
            packed_write(run, w.element);
        if (w.index + 1 == to)
            break;
    }
    list_walk_end(&w);
    return e;
}

/* Writes the elements of a packed run as rows from `at` on. */
static void spread(struct txn *t, struct obj *o, uint64_t at, const struct buf *run)
{
    struct packed p = packed_begin(buf_slice(run));

    while (packed_next(&p))
        txn_index_put(t, o, at++, p.entry);
}

enum err list_big_insert(struct txn *t, struct obj *o, uint64_t index, struct slice element)
{
    struct obj_big big = obj_big_get(o);
    bool head = index < o->count - index;
    struct buf run = {0};
    enum err e = head ? collect(t, o, 0, index, NULL, 0, &run) : collect(t, o, index, o->count, NULL, 0, &run);

    if (e == OK) {
        txn_changed(t, o);
        if (head) {
            big.first--;
            spread(t, o, big.first, &run);
        } else {
            spread(t, o, big.first + index + 1, &run);
        }
        txn_index_put(t, o, big.first + index, element);
        o->count++;
        big.spare += list_big_bytes(element);
        settle(t, o, &big);
    }
    buf_free(&run);
    return e;
}

enum err list_big_remove(struct txn *t, struct obj *o, const uint64_t *indexes, uint64_t count, struct slice element)
{
    struct obj_big big = obj_big_get(o);
    uint64_t low = indexes[0], high = indexes[count - 1];
    bool head = high + 1 - count < o->count - low - count; /* move the head's side up, or the tail's side down */
    struct buf run = {0};
    enum err e;

    check(count > 0 && count < o->count);
    if (head)
        e = collect(t, o, 0, high + 1, indexes, count, &run);
    else
        e = collect(t, o, low, o->count, indexes, count, &run);
    if (e == OK) {
        txn_changed(t, o);
        spread(t, o, big.first + (head ? count : low), &run);
        list_big_drop(t, o, head ? LIST_HEAD : LIST_TAIL, count, count * list_big_bytes(element));
    }
    buf_free(&run);
    return e;
}
