/*
 * recovery.c - the walk from the lowest floor to the end of the log.
 *
 * (1) An effect at the floor itself is needed: the floor is the position of the first change that is not in the store.
 * (2) SWAP concerns two databases and is always handed over, like everything else that is not below its own floor.
 */
#include "persistence/recovery.h"

#include "base/check.h"
#include "persistence/wal.h"
#include "persistence/wal_reader.h"

#include <inttypes.h>
#include <stdlib.h>

enum { PROGRESS_BYTES = 1 << 20 };

struct replay {
    const struct recovery_options *options;
    lsn_t *floors;
    lsn_t end;
    struct recovery_figures figures;
};

static enum err floors_read(struct replay *r, lsn_t first, lsn_t end)
{
    lsn_t lowest = UINT64_MAX;

    for (unsigned db = 0; db < r->options->databases; db++) {
        lsn_t floor = r->options->floor(r->options->context, db);

        if (floor != 0 && floor < first)
            return err_set(ERR_CORRUPT,
                           "database %u needs the log from position %" PRIu64 ", but it begins at %" PRIu64
                           ": log and data do not belong together",
                           db, floor, first);
        if (floor > end + 1)
            return err_set(ERR_CORRUPT,
                           "database %u is at log position %" PRIu64 ", but the log ends at %" PRIu64
                           ": log and data do not belong together, or the log has lost records",
                           db, floor, end);
        r->floors[db] = floor;
        if (floor < lowest)
            lowest = floor;
    }
    if (lowest > 0)
        lowest--; /* a reader begins behind its position */
    r->figures.from = lowest < first ? first : lowest;
    return OK;
}

static enum err effect_redo(struct replay *r, const struct recovery_effect *effect)
{
    const struct recovery_options *o = r->options;

    r->figures.effects++;
    if (effect->kind == JOURNAL_MARK)
        return OK;
    if (effect->db >= o->databases)
        return err_set(ERR_CORRUPT, "database %u; there are %u", effect->db, o->databases);
    if (effect->lsn < r->floors[effect->db] && effect->kind != JOURNAL_SWAP) {
        r->figures.skipped++;
        return OK;
    }
    if (o->count != NULL && (effect->keys != 0 || effect->expires != 0))
        o->count(o->context, effect->db, effect->slot, effect->lsn, effect->keys, effect->expires);
    r->figures.applied++;
    return o->apply(o->context, effect);
}

static enum err frame_redo(struct replay *r, const struct frame *f)
{
    struct frame_walk at = frame_walk_begin(f);
    struct journal_effect record;

    while (frame_walk_next(&at, &record)) {
        struct recovery_effect effect = {
            .db = record.db,
            .slot = record.slot,
            .kind = journal_kind_of(&record),
            .local = journal_is_local(&record),
            .lsn = at.lsn,
            .time_ms = f->head.time_ms,
            .keys = record.keys,
            .expires = record.expires,
            .last = at.next == f->effects,
            .text = at.text,
        };
        enum err e = effect_redo(r, &effect);

        if (e != OK)
            return err_context(e, "redoing the effect at log position %" PRIu64, at.lsn);
    }
    r->figures.frames++;
    r->figures.bytes += f->bytes.size;
    return OK;
}

static enum err walk(struct replay *r, struct wal_reader *reader)
{
    lsn_t told = r->figures.from;
    struct frame f;
    enum err e;

    if (r->options->progress != NULL)
        r->options->progress(r->options->context, told, r->end);
    while ((e = wal_reader_next(reader, &f)) == OK) {
        TRY(frame_redo(r, &f));
        r->figures.to = f.end;
        if (r->options->progress != NULL && f.end - told >= PROGRESS_BYTES)
            r->options->progress(r->options->context, told = f.end, r->end);
    }
    if (e != ERR_NOT_FOUND)
        return e;
    check(r->figures.to == r->end);
    if (r->options->progress != NULL)
        r->options->progress(r->options->context, r->end, r->end);
    return OK;
}

static enum err run(struct replay *r, struct wal *wal)
{
    struct wal_reader *reader;
    struct wal_figures log;
    enum err e;

    wal_figures(wal, &log);
    r->end = log.tail;
    TRY(floors_read(r, log.first, log.tail));
    if (r->figures.from > r->end)
        r->figures.from = r->end;
    r->figures.to = r->figures.from;
    TRY(wal_reader_open(wal, r->figures.from, &reader));
    e = walk(r, reader);
    wal_reader_close(reader);
    return e;
}

enum err recovery_run(struct wal *wal, const struct recovery_options *options, struct recovery_figures *figures)
{
    struct replay r = {.options = options};
    enum err e;

    check(options->databases > 0 && wal_written(wal) == wal_tail(wal));
    r.floors = calloc(options->databases, sizeof *r.floors);
    check(r.floors != NULL);
    e = run(&r, wal);
    free(r.floors);
    if (e == OK && figures != NULL)
        *figures = r.figures;
    return e;
}
