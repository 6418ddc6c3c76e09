/*
 * list_big_middle.c - long lists: elements that are replaced, inserted and removed anywhere, in a run or between.
 *
 * What moves rows reads all of them into a packed run before it writes the first: then ERR_COLD changes nothing, and
 * rows may be overwritten in any order. Of the rows on both sides of a place the fewer are moved.
 */
#include "engine/type/list_big_priv.h"

#include "base/check.h"

enum err list_big_set(struct txn *t, struct obj *o, uint64_t index, struct slice element)
{
    uint64_t i = index, old_bytes;
    struct list_big b;
    struct slice old;
    enum part part;

    TRY(list_big_load(o, &b));
    TRY(list_big_get(t, o, index, &old));
    old_bytes = list_big_bytes(old);
    part = part_of(o, &b, &i);
    if (part != PART_ROWS) {
        struct slice run = list_big_run(o, &b, run_of(part));
        struct packed p;

        TRY(list_big_locate(run, i, &p));
        if (run.size - (p.next - p.at) + packed_entry_bytes(element.size) > RUN_BYTES_MAX) {
            TRY(list_big_spill(t, o, &b, run_of(part), true, 0));
            i = index - b.ends.head_count;
            part = PART_ROWS;
        } else {
            run_remove(o, &b, run_of(part), p.at, p.next, 1);
            run_insert(o, &b, run_of(part), p.at, element);
        }
    }
    if (part == PART_ROWS)
        txn_index_put(t, o, b.big.first + i, element);
    b.big.spare += list_big_bytes(element) - old_bytes;
    save(t, o, &b);
    return OK;
}

/* Reads rows [from, to) into a packed run, leaving out those with the given ascending numbers. */
static enum err collect(struct txn *t, struct obj *o, const struct list_big *b, uint64_t from, uint64_t to,
                        const uint64_t *skip, uint64_t skips, struct buf *run)
{
    struct txn_cursor c;
    uint64_t s = 0;
    enum err e = OK;

    if (from == to)
        return OK;
    TRY(txn_indexes(t, o, b->big.first + from, false, &c));
    for (uint64_t i = from; i < to && (e = txn_cursor_next(&c)) == OK; i++) {
        while (s < skips && skip[s] < i)
            s++;
        if (s == skips || skip[s] != i)
            packed_write(run, c.value);
    }
    txn_cursor_close(&c);
    return e == ERR_NOT_FOUND ? err_set(ERR_CORRUPT, "elements of a list are missing") : e;
}

/* Writes the entries of a packed run as rows from `row` on. */
static void spread(struct txn *t, struct obj *o, uint64_t row, const struct buf *run)
{
    struct packed p = packed_begin(buf_slice(run));

    while (packed_next(&p))
        txn_index_put(t, o, row++, p.entry);
}

/* In front of row number i; 0 <= i <= rows. Moves the shorter side. */
static enum err row_insert(struct txn *t, struct obj *o, struct list_big *b, uint64_t i, struct slice element)
{
    uint64_t rows = list_big_rows(o, b);
    bool low = i < rows - i;
    struct buf run = {0};
    enum err e = low ? collect(t, o, b, 0, i, NULL, 0, &run) : collect(t, o, b, i, rows, NULL, 0, &run);

    if (e == OK) {
        txn_changed(t, o);
        if (low)
            b->big.first--;
        spread(t, o, low ? b->big.first : b->big.first + i + 1, &run);
        txn_index_put(t, o, b->big.first + i, element);
    }
    buf_free(&run);
    return e;
}

enum err list_big_insert(struct txn *t, struct obj *o, uint64_t index, struct slice element)
{
    size_t need = packed_entry_bytes(element.size);
    struct list_big b;

    TRY(list_big_load(o, &b));
    for (;;) {
        uint64_t head = b.ends.head_count, behind = head + list_big_rows(o, &b);
        enum list_end end = head > 0 && index <= head ? LIST_HEAD : LIST_TAIL;
        struct packed p = {0};

        if (end == LIST_TAIL && (b.ends.tail_count == 0 || index < behind)) {
            TRY(row_insert(t, o, &b, index - head, element));
            break;
        }
        if (!run_has_room(o, &b, end, need)) {
            TRY(list_big_spill(t, o, &b, end, need > RUN_BYTES_MAX, need));
            continue;
        }
        if (end == LIST_HEAD ? index > 0 : index > behind)
            TRY(list_big_locate(list_big_run(o, &b, end), end == LIST_HEAD ? index - 1 : index - behind - 1, &p));
        run_insert(o, &b, end, p.next, element);
        break;
    }
    o->count++;
    b.big.spare += list_big_bytes(element);
    save(t, o, &b);
    return OK;
}

/* Removes the rows with these ascending numbers. Moves the shorter side. */
static enum err rows_remove(struct txn *t, struct obj *o, struct list_big *b, const uint64_t *numbers, uint64_t count)
{
    uint64_t rows = list_big_rows(o, b), low, high;
    struct buf run = {0};
    bool up;
    enum err e;

    if (count == 0)
        return OK;
    low = numbers[0];
    high = numbers[count - 1];
    up = high + 1 - count < rows - low - count; /* the lower side moves up, or the upper one down */
    e = up ? collect(t, o, b, 0, high + 1, numbers, count, &run) : collect(t, o, b, low, rows, numbers, count, &run);
    if (e == OK) {
        uint64_t gone = up ? b->big.first : b->big.first + rows - count;

        txn_changed(t, o);
        spread(t, o, up ? b->big.first + count : b->big.first + low, &run);
        for (uint64_t i = 0; i < count; i++)
            txn_index_delete(t, o, gone + i);
        if (up)
            b->big.first += count;
        o->count -= count;
    }
    buf_free(&run);
    return e;
}

/* Removes the entries with these ascending numbers from a run, from the last to the first. */
static enum err run_remove_at(struct obj *o, struct list_big *b, enum list_end end, const uint64_t *numbers,
                              uint64_t base, uint64_t count)
{
    while (count-- > 0) {
        struct packed p;

        TRY(list_big_locate(list_big_run(o, b, end), numbers[count] - base, &p));
        run_remove(o, b, end, p.at, p.next, 1);
        o->count--;
    }
    return OK;
}

enum err list_big_remove(struct txn *t, struct obj *o, const uint64_t *indexes, uint64_t count, struct slice element)
{
    uint64_t head = 0, middle = 0, bytes = list_big_bytes(element), behind, *numbers;
    struct buf buf = {0};
    struct list_big b;
    enum err e;

    check(count > 0 && count < o->count);
    TRY(list_big_load(o, &b));
    behind = b.ends.head_count + list_big_rows(o, &b);
    while (head < count && indexes[head] < b.ends.head_count)
        head++;
    while (head + middle < count && indexes[head + middle] < behind)
        middle++;
    numbers = (uint64_t *)(void *)buf_reserve(&buf, middle * sizeof *numbers);
    for (uint64_t i = 0; i < middle; i++)
        numbers[i] = indexes[head + i] - b.ends.head_count;
    e = rows_remove(t, o, &b, numbers, middle); /* first: it reads */
    if (e == OK)
        e = run_remove_at(o, &b, LIST_TAIL, indexes + head + middle, behind, count - head - middle);
    if (e == OK)
        e = run_remove_at(o, &b, LIST_HEAD, indexes, 0, head);
    if (e == OK) {
        b.big.spare -= count * bytes;
        save(t, o, &b);
    }
    buf_free(&buf);
    return e;
}
