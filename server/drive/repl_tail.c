/*
 * repl_tail.c - see repl_tail.h.
 */
#include "server/drive/repl_tail.h"

#include "base/buf.h"
#include "base/hash.h"
#include "base/log.h"
#include "persistence/wal.h"
#include "persistence/wal_reader.h"

static enum err sum_between(struct wal *wal, lsn_t from, lsn_t end, uint64_t *sum)
{
    struct wal_reader *reader = NULL;
    struct buf bytes = {0};
    enum err e = wal_write_to(wal, end); /* a reader sees what is written */

    if (e == OK)
        e = wal_reader_open(wal, from, &reader);
    for (lsn_t at = from; e == OK && at < end;) {
        struct frame f;
        size_t skip, size;

        if ((e = wal_reader_next(reader, &f)) != OK)
            break;
        skip = at > f.head.start ? (size_t)(at - f.head.start) : 0;
        size = f.text.size - skip;
        if (f.end > end)
            size -= (size_t)(f.end - end);
        buf_append(&bytes, f.text.data + skip, size);
        at = f.end;
    }
    wal_reader_close(reader);
    if (e == OK)
        *sum = hash_sum(buf_slice(&bytes));
    buf_free(&bytes);
    return e;
}

enum err repl_tail_take(struct wal *wal, lsn_t end, struct repl_tail *out)
{
    struct wal_figures w;

    wal_figures(wal, &w);
    if (end <= w.first)
        return ERR_NOT_FOUND;
    out->from = end - w.first > REPL_TAIL_BYTES ? end - REPL_TAIL_BYTES : w.first;
    return sum_between(wal, out->from, end, &out->sum);
}

bool repl_tail_differs(struct wal *wal, lsn_t end, const struct repl_tail *of)
{
    uint64_t sum = 0;
    enum err e;

    if (of->from >= end || end - of->from > REPL_TAIL_BYTES)
        return false; /* it says nothing about what is before this offset */
    e = sum_between(wal, of->from, end, &sum);
    if (e != OK && e != ERR_RANGE)
        log_event(LOG_WARNING, "replica_tail_not_compared from=%llu to=%llu error=\"%s\"", (unsigned long long)of->from,
                  (unsigned long long)end, err_text());
    return e == OK && sum != of->sum;
}
