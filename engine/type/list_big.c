/*
 * list_big.c - long lists: runs at both ends, rows between, and what pushes and pops do to them.
 *
 * What happens in the middle is in list_big_middle.c.
 */
#include "engine/type/list_big_priv.h"

#include "base/check.h"
#include "base/num.h"

#define FIRST_ROW ((uint64_t)1 << 63)

enum { INTEGER_TEXT_MAX = 20 };
/* ---- Listpack bytes ---- */

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

bool list_big_is_large(uint64_t bytes)
{
    return bytes + LISTPACK_HEAD_BYTES > LISTPACK_BYTES_MAX;
}

/* ---- The value ---- */

enum err list_big_load(const struct obj *o, struct list_big *out)
{
    struct list_big b;

    if (o->value_size < VALUE_HEAD_BYTES)
        return err_set(ERR_CORRUPT, "a list's record has %u bytes", o->value_size);
    memcpy(&b, o->value, sizeof b);
    if (b.ends.head_bytes > o->value_size - VALUE_HEAD_BYTES ||
        (uint64_t)b.ends.head_count + b.ends.tail_count > o->count)
        return err_set(ERR_CORRUPT, "a list's ends do not fit its record");
    *out = b;
    return OK;
}

struct slice list_big_run(const struct obj *o, const struct list_big *b, enum list_end end)
{
    size_t at = run_at(b, end);

    return slice_of(o->value + at, end == LIST_HEAD ? b->ends.head_bytes : o->value_size - at);
}

/* All elements are in the runs: gives them all to one of the two. */
static void run_take_all(struct obj *o, struct list_big *b, enum list_end end)
{
    check(list_big_rows(o, b) == 0);
    b->ends.head_count = end == LIST_HEAD ? (uint32_t)o->count : 0;
    b->ends.head_bytes = end == LIST_HEAD ? o->value_size - VALUE_HEAD_BYTES : 0;
    b->ends.tail_count = end == LIST_HEAD ? 0 : (uint32_t)o->count;
}

enum err list_big_locate(struct slice run, uint64_t index, struct packed *place)
{
    struct packed p = packed_begin(run);

    do {
        if (!packed_next(&p))
            return err_set(ERR_CORRUPT, "an end of a list has fewer elements than it says");
    } while (index-- > 0);
    *place = p;
    return OK;
}

enum err list_big_make(struct txn *t, struct obj *o)
{
    struct list_big b = {.ends = {.head_count = (uint32_t)o->count, .head_bytes = o->value_size}};
    struct buf old = {0};
    struct packed p;
    size_t entries = 0;
    enum err e;

    p = packed_begin(obj_value(o));
    for (; packed_next(&p); entries++)
        b.big.spare += list_big_bytes(p.entry);
    if (entries != o->count)
        return err_set(ERR_CORRUPT, "a packed list has %zu elements, not %llu", entries, (unsigned long long)o->count);
    buf_append_slice(&old, obj_value(o));
    e = txn_make_big(t, o);
    if (e == OK) {
        b.big.id = obj_big_get(o).id;
        b.big.first = FIRST_ROW;
        obj_value_reserve(o, VALUE_HEAD_BYTES + old.size);
        if (old.size > 0)
            memcpy(o->value + VALUE_HEAD_BYTES, old.data, old.size);
        o->value_size = (uint32_t)(VALUE_HEAD_BYTES + old.size);
        save(t, o, &b);
    }
    buf_free(&old);
    return e;
}

enum err list_big_copy(struct txn *t, struct obj *from, struct obj *to)
{
    struct list_big b;
    struct txn_cursor c;
    uint64_t left;
    enum err e = OK;

    TRY(list_big_load(from, &b));
    left = list_big_rows(from, &b);
    if (left > 0)
        TRY(txn_indexes(t, from, b.big.first, false, &c));
    e = txn_make_big(t, to);
    if (e == OK) {
        b.big.id = obj_big_get(to).id;
        obj_value_set(to, obj_value(from));
        memcpy(to->value, &b, sizeof b);
        to->count = from->count;
        to->marks = from->marks;
        txn_changed(t, to);
        for (; left > 0 && (e = txn_cursor_next(&c)) == OK; left--)
            txn_index_put(t, to, c.index, c.value);
    }
    if (list_big_rows(from, &b) > 0)
        txn_cursor_close(&c);
    return e == ERR_NOT_FOUND ? err_set(ERR_CORRUPT, "elements of a list are missing") : e;
}

/* ---- Between runs and rows ---- */

enum err list_big_spill(struct txn *t, struct obj *o, struct list_big *b, enum list_end end, bool all, size_t need)
{
    struct slice run = list_big_run(o, b, end);
    uint32_t count = run_count(b, end), keep = 0, moved;
    struct packed p = packed_begin(run);
    uint64_t row;

    if (end == LIST_HEAD) { /* keep what lies before the cut */
        size_t cut = 0;

        while (!all && keep < RUN_ENTRIES_MAX / 2 && packed_next(&p) && p.next <= RUN_BYTES_MAX / 2 &&
               p.next + need <= RUN_BYTES_MAX) {
            keep++;
            cut = p.next;
        }
        moved = count - keep;
        b->big.first -= moved;
        row = b->big.first;
        for (p = (struct packed){.bytes = run, .next = cut}; packed_next(&p);)
            txn_index_put(t, o, row++, p.entry);
        check(row == b->big.first + moved);
        run_remove(o, b, end, cut, run.size, moved);
    } else { /* keep what lies behind the cut */
        row = b->big.first + list_big_rows(o, b);
        for (moved = 0; moved < count; moved++) {
            size_t left = run.size - p.next;

            if (!all && count - moved <= RUN_ENTRIES_MAX / 2 && left <= RUN_BYTES_MAX / 2 &&
                left + need <= RUN_BYTES_MAX)
                break;
            if (!packed_next(&p))
                return err_set(ERR_CORRUPT, "the tail of a list has fewer elements than it says");
            txn_index_put(t, o, row++, p.entry);
        }
        run_remove(o, b, end, 0, p.next, moved);
    }
    save(t, o, b);
    return OK;
}

/* How many rows make about half a run, if they are like the rest of the list. */
static uint64_t rows_for_run(const struct obj *o, const struct list_big *b)
{
    uint64_t n = RUN_BYTES_MAX / 2 / (b->big.spare / o->count + 1), rows = list_big_rows(o, b);

    if (n > RUN_ENTRIES_MAX / 2)
        n = RUN_ENTRIES_MAX / 2;
    if (n < 1)
        n = 1;
    return n < rows ? n : rows;
}

/* Reads rows at one end, in list order (backwards costs a memtable a search per row), and cuts what is too much for a
 * run; *taken may be 0. `run` keeps the rows to take from *at on. */
static enum err read_rows(struct txn *t, struct obj *o, const struct list_big *b, enum list_end end, struct buf *run,
                          size_t *at, uint64_t *taken)
{
    uint64_t rows = list_big_rows(o, b), want = rows_for_run(o, b), n = 0;
    struct txn_cursor c;
    struct packed p;
    enum err e = OK;

    TRY(txn_indexes(t, o, b->big.first + (end == LIST_HEAD ? 0 : rows - want), false, &c));
    for (; n < want && (e = txn_cursor_next(&c)) == OK; n++) {
        if (end == LIST_HEAD && run->size + packed_entry_bytes(c.value.size) > RUN_BYTES_MAX / 2)
            break;
        packed_write(run, c.value);
    }
    txn_cursor_close(&c);
    if (e == ERR_NOT_FOUND)
        return err_set(ERR_CORRUPT, "elements of a list are missing");
    for (p = packed_begin(buf_slice(run)); run->size - p.next > RUN_BYTES_MAX / 2; n--)
        check(packed_next(&p));
    *at = p.next;
    *taken = n;
    return e;
}

static void take_rows(struct txn *t, struct obj *o, struct list_big *b, enum list_end end, struct slice run,
                      uint64_t count)
{
    uint64_t row = end == LIST_HEAD ? b->big.first : b->big.first + list_big_rows(o, b) - count;
    struct packed p = packed_begin(run);

    for (uint64_t i = 0; i < count; i++)
        txn_index_delete(t, o, row + i);
    while (packed_next(&p))
        run_insert(o, b, end, list_big_run(o, b, end).size, p.entry);
    if (end == LIST_HEAD)
        b->big.first += count;
    save(t, o, b);
}

enum err list_big_refill(struct txn *t, struct obj *o, enum list_end end)
{
    struct buf run = {0};
    uint64_t taken = 0;
    struct list_big b;
    size_t at = 0;
    enum err e;

    TRY(list_big_load(o, &b));
    if (run_count(&b, end) > 0)
        return OK;
    if (list_big_rows(o, &b) == 0) {
        run_take_all(o, &b, end);
        save(t, o, &b);
        return OK;
    }
    e = read_rows(t, o, &b, end, &run, &at, &taken);
    if (e == OK && taken > 0)
        take_rows(t, o, &b, end, slice_of(run.data + at, run.size - at), taken);
    buf_free(&run);
    return e;
}

/* ---- Ends ---- */

enum err list_big_push(struct txn *t, struct obj *o, enum list_end end, struct slice element)
{
    size_t need = packed_entry_bytes(element.size);
    enum list_end other = end == LIST_HEAD ? LIST_TAIL : LIST_HEAD;
    struct list_big b;

    TRY(list_big_load(o, &b));
    if (!run_has_room(o, &b, end, need)) {
        if (list_big_rows(o, &b) == 0 && run_count(&b, other) == 0)
            run_take_all(o, &b, other); /* a run that is not spilled costs no rows */
        else
            TRY(list_big_spill(t, o, &b, end, need > RUN_BYTES_MAX, need));
    }
    if (need > RUN_BYTES_MAX) { /* too long for a run, and the run is empty: a row of its own */
        if (end == LIST_HEAD)
            b.big.first--;
        txn_index_put(t, o, end == LIST_HEAD ? b.big.first : b.big.first + list_big_rows(o, &b), element);
    } else {
        run_insert(o, &b, end, end == LIST_HEAD ? 0 : list_big_run(o, &b, end).size, element);
    }
    o->count++;
    b.big.spare += list_big_bytes(element);
    save(t, o, &b);
    return OK;
}

/* Removes up to n entries at the near end of a run; *n is what is left to remove. */
static enum err run_drop(struct obj *o, struct list_big *b, enum list_end run, enum list_end end, uint64_t *n)
{
    uint32_t count = run_count(b, run);
    uint64_t k = *n < count ? *n : count;
    size_t size = list_big_run(o, b, run).size, from = 0, to = size;
    struct packed p;

    if (k == 0)
        return OK;
    if (k < count && end == LIST_HEAD) {
        TRY(list_big_locate(list_big_run(o, b, run), k - 1, &p));
        to = p.next;
    } else if (k < count) {
        TRY(list_big_locate(list_big_run(o, b, run), count - k, &p));
        from = p.at;
    }
    run_remove(o, b, run, from, to, k);
    o->count -= k;
    *n -= k;
    return OK;
}

enum err list_big_drop(struct txn *t, struct obj *o, enum list_end end, uint64_t n, uint64_t listpack_bytes)
{
    enum list_end far = end == LIST_HEAD ? LIST_TAIL : LIST_HEAD;
    struct list_big b;
    uint64_t rows, k;

    check(n < o->count);
    TRY(list_big_load(o, &b));
    rows = list_big_rows(o, &b);
    TRY(run_drop(o, &b, end, end, &n));
    k = n < rows ? n : rows;
    for (uint64_t i = 0; i < k; i++)
        txn_index_delete(t, o, end == LIST_HEAD ? b.big.first + i : b.big.first + rows - 1 - i);
    if (end == LIST_HEAD)
        b.big.first += k;
    o->count -= k;
    n -= k;
    TRY(run_drop(o, &b, far, end, &n));
    b.big.spare -= listpack_bytes;
    save(t, o, &b);
    return OK;
}

/* ---- Any element ---- */

static enum err row_get(struct txn *t, struct obj *o, const struct list_big *b, uint64_t i, struct slice *element)
{
    enum err e = txn_index_get(t, o, b->big.first + i, element);

    if (e == ERR_NOT_FOUND)
        return err_set(ERR_CORRUPT, "row %llu of a list of %llu is missing", (unsigned long long)i,
                       (unsigned long long)o->count);
    return e;
}

enum err list_big_get(struct txn *t, struct obj *o, uint64_t index, struct slice *element)
{
    struct list_big b;
    struct packed p;
    enum part part;

    TRY(list_big_load(o, &b));
    part = part_of(o, &b, &index);
    if (part == PART_ROWS)
        return row_get(t, o, &b, index, element);
    TRY(list_big_locate(list_big_run(o, &b, run_of(part)), index, &p));
    *element = p.entry;
    return OK;
}
