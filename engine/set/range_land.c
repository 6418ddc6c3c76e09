/*
 * range_land.c - rows of other nodes' stores become rows of this one's, one sorted file at a time.
 *
 *   each slot locked: frames into the log, counts   ->  no lock: the file is written, with the frames' positions as last changes
 *   the log is synced through the last frame        ->  the file is ingested
 *
 * (1) All under pass: nobody computes a floor, opens a view or drops the slots between frame and file. A crash between finds
 *     the frames, which replay redoes; behind the ingest each record is at its frame's position, and replay leaves it alone.
 * (2) Memory knows none of the keys: a tombstone that waits for a drain would remove the row. Drains are asked for until it is so.
 * (3) From the first frame on a failure ends the process, as with any change that is in the log and not in the store.
 */
#include "engine/set/range.h"

#include "base/check.h"
#include "base/hash.h"
#include "engine/key/record.h"
#include "engine/key/row.h"
#include "engine/set/script.h"
#include "engine/set/set_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DRAINS_MAX = 16 };

struct landing_row {
    size_t at;               /* in the arena: row, record */
    size_t text_end;         /* of its effects, in the script */
    uint32_t row_size, record_size;
    uint32_t frame;
    slot_t slot;
    msec_t expire_ms;
};

struct landing {
    struct script words;
    struct buf arena;
    struct landing_row *rows;
    size_t count, capacity;
    lsn_t *bases;     /* by frame */
    uint32_t *hints;  /* rows of one slot that expire, by time */
    size_t hint_capacity;
};

struct landing *landing_new(unsigned db)
{
    struct landing *l = calloc(1, sizeof *l);

    check(l != NULL);
    l->words.db = (uint16_t)db;
    return l;
}

void landing_clear(struct landing *l)
{
    script_clear(&l->words);
    buf_clear(&l->arena);
    l->count = 0;
}

void landing_free(struct landing *l)
{
    if (l == NULL)
        return;
    script_free(&l->words);
    buf_free(&l->arena);
    free(l->rows);
    free(l->bases);
    free(l->hints);
    free(l);
}

struct script *landing_words(struct landing *l)
{
    return &l->words;
}

size_t landing_bytes(const struct landing *l)
{
    return l->arena.size;
}

size_t landing_keys(const struct landing *l)
{
    return l->count;
}

static struct slice row_of(const struct landing *l, const struct landing_row *r)
{
    return slice_of(l->arena.data + r->at, r->row_size);
}

enum err landing_add(struct landing *l, slot_t slot, struct slice row, struct slice record, msec_t expire_ms)
{
    if (l->count > 0 && slice_compare(row_of(l, &l->rows[l->count - 1]), row) >= 0)
        return err_set(ERR_CORRUPT, "rows out of order");
    if (l->count == l->capacity) {
        l->capacity = l->capacity != 0 ? l->capacity * 2 : 1024;
        l->rows = realloc(l->rows, l->capacity * sizeof *l->rows);
        check(l->rows != NULL);
    }
    l->rows[l->count++] = (struct landing_row){.at = l->arena.size,
                                               .text_end = l->words.text.size,
                                               .row_size = (uint32_t)row.size,
                                               .record_size = (uint32_t)record.size,
                                               .frame = (uint32_t)(l->words.frame_count - 1),
                                               .slot = slot,
                                               .expire_ms = expire_ms};
    buf_append_slice(&l->arena, row);
    buf_append_slice(&l->arena, record);
    return OK;
}

/* ---- Memory ---- */

/* ERR_BUSY: memory has a tombstone of one of the keys; ERR_EXISTS: the key itself. */
static enum err look_for(struct set *s, struct space *space, const struct landing *l)
{
    enum err e = OK;

    for (size_t i = 0; i < l->count && e == OK;) {
        slot_t number = l->rows[i].slot;
        const struct table *table = &space->slots[number].table;

        pthread_mutex_lock(&s->locks[number]);
        for (; i < l->count && l->rows[i].slot == number; i++) {
            const struct obj *o;
            struct row row;

            if (table->used == 0 || e != OK)
                continue;
            check(row_parse(row_of(l, &l->rows[i]), &row) == OK);
            if ((o = table_find(table, row.hash, row.name)) != NULL)
                e = o->state & STATE_TOMB ? ERR_BUSY : err_set(ERR_EXISTS, "a key that comes is here already");
        }
        pthread_mutex_unlock(&s->locks[number]);
    }
    return e;
}

/* ---- The log ---- */

static void append_frame(struct set *s, struct space *space, struct landing *l, size_t i, lsn_t *end)
{
    const struct script_frame *f = &l->words.frames[i];
    struct slot *slot = &space->slots[f->slot];

    l->bases[i] = script_append(&l->words, i, s->journal);
    *end = l->bases[i] + (f->text_end - f->text_at);
    if (slot->counts_since == 0)
        slot->counts_since = *end;
    set_count(s, space, f->slot, f->keys, f->expires);
}

/* Appends slot by slot; *frames: how many, if it is forbidden meanwhile. */
static enum err append(struct set *s, struct space *space, struct landing *l, size_t *frames, lsn_t *end,
                       range_forbidden *forbidden, void *context)
{
    const struct script *words = &l->words;
    enum err e = OK;
    size_t i = 0;

    l->bases = realloc(l->bases, words->frame_count * sizeof *l->bases);
    check(l->bases != NULL);
    while (i < words->frame_count && e == OK) {
        slot_t number = words->frames[i].slot;

        pthread_mutex_lock(&s->locks[number]);
        if (forbidden(context) || atomic_load(&s->following))
            e = err_set(ERR_INVALID, "keys may not come any more");
        for (; e == OK && i < words->frame_count && words->frames[i].slot == number; i++)
            append_frame(s, space, l, i, end);
        pthread_mutex_unlock(&s->locks[number]);
    }
    *frames = i;
    return e;
}

/* ---- The store ---- */

struct file {
    struct set *set;
    struct family *family;
    struct sst *sst;     /* one of the two */
    struct batch *batch;
    struct buf key;
};

static enum err put(struct file *f, struct slice key, struct slice value)
{
    if (f->sst != NULL)
        return sst_put(f->sst, key, value);
    batch_put(f->batch, f->family, key, value);
    return OK;
}

static int by_expiry(const void *a, const void *b, void *landing)
{
    const struct landing *l = landing;
    const struct landing_row *x = &l->rows[*(const uint32_t *)a], *y = &l->rows[*(const uint32_t *)b];
    struct row p, q;

    if (x->expire_ms != y->expire_ms)
        return x->expire_ms < y->expire_ms ? -1 : 1;
    check(row_parse(row_of(l, x), &p) == OK && row_parse(row_of(l, y), &q) == OK);
    return slice_compare(p.name, q.name);
}

static enum err put_hints(struct file *f, struct landing *l, size_t count)
{
    struct row row;

    qsort_r(l->hints, count, sizeof *l->hints, by_expiry, l);
    for (size_t i = 0; i < count; i++) {
        const struct landing_row *r = &l->rows[l->hints[i]];

        TRY(row_parse(row_of(l, r), &row));
        row_expiry(&f->key, r->slot, r->expire_ms, row.name);
        TRY(put(f, buf_slice(&f->key), (struct slice){0}));
    }
    return OK;
}

/* All rows of the first `frames` frames, in the store's order: in a slot the records, then the hints. */
static enum err put_rows(struct file *f, struct landing *l, size_t frames)
{
    size_t hints = 0;

    if (l->hint_capacity < l->count) {
        l->hint_capacity = l->count;
        l->hints = realloc(l->hints, l->hint_capacity * sizeof *l->hints);
        check(l->hints != NULL);
    }
    for (size_t i = 0; i < l->count && l->rows[i].frame < frames; i++) {
        const struct landing_row *r = &l->rows[i];
        const struct script_frame *frame = &l->words.frames[r->frame];
        uint8_t *record = l->arena.data + r->at + r->row_size;

        record_set_last_change(record, l->bases[r->frame] + (r->text_end - frame->text_at));
        TRY(put(f, row_of(l, r), slice_of(record, r->record_size)));
        if (r->expire_ms != 0)
            l->hints[hints++] = (uint32_t)i;
        if (hints > 0 && (i + 1 == l->count || l->rows[i + 1].slot != r->slot || l->rows[i + 1].frame >= frames)) {
            TRY(put_hints(f, l, hints));
            hints = 0;
        }
    }
    return OK;
}

static enum err by_file(struct file *f, struct landing *l, size_t frames, lsn_t end)
{
    struct set *s = f->set;
    char path[4096];
    uint64_t bytes;
    enum err e;

    snprintf(path, sizeof path, "%s/land.sst", store_path(s->store));
    unlink(path);
    TRY(sst_open_lasting(s->store, path, &f->sst));
    e = put_rows(f, l, frames);
    if (e == OK)
        e = sst_finish(f->sst, &bytes);
    sst_free(f->sst);
    f->sst = NULL;
    if (e == OK)
        e = s->journal->sync(s->journal->context, end);
    if (e == OK && (e = store_ingest(s->store, f->family, path)) == ERR_AGAIN && (e = writer_flush(s)) == OK)
        e = store_ingest(s->store, f->family, path);
    if (e != OK)
        unlink(path);
    return e;
}

static enum err by_batch(struct file *f, struct landing *l, size_t frames)
{
    enum err e;

    f->batch = batch_new();
    e = put_rows(f, l, frames);
    if (e == OK)
        e = store_write(f->set->store, f->batch);
    batch_free(f->batch);
    f->batch = NULL;
    return e;
}

static void hint_slots(struct set *s, struct space *space, const struct landing *l, size_t frames)
{
    for (size_t i = 0; i < l->count && l->rows[i].frame < frames; i++) {
        const struct landing_row *r = &l->rows[i];
        struct slot *slot = &space->slots[r->slot];

        if (r->expire_ms == 0)
            continue;
        pthread_mutex_lock(&s->locks[r->slot]);
        if (r->expire_ms < slot->cold_expire_ms)
            slot->cold_expire_ms = r->expire_ms;
        pthread_mutex_unlock(&s->locks[r->slot]);
    }
}

static enum err land(struct set *s, struct space *space, struct landing *l, lsn_t *end, range_forbidden *forbidden, void *context)
{
    struct file f = {.set = s, .family = set_family(s, space)};
    size_t frames = 0;
    enum err refused, e;

    TRY(look_for(s, space, l));
    refused = append(s, space, l, &frames, end, forbidden, context);
    if (frames > 0) {
        if ((e = by_file(&f, l, frames, *end)) == ERR_AGAIN)
            e = by_batch(&f, l, frames);
        check(e == OK); /* the log has it: end, and replay it after the cause is gone */
        hint_slots(s, space, l, frames);
    }
    buf_free(&f.key);
    return refused;
}

enum err range_land(struct set *s, struct landing *l, lsn_t *end, range_forbidden *forbidden, void *context)
{
    struct space *space = set_space_make(s, l->words.db);
    enum err e = ERR_BUSY;

    if (l->count == 0)
        return OK;
    script_end(&l->words);
    for (int i = 0; i < DRAINS_MAX && e == ERR_BUSY; i++) {
        pthread_mutex_lock(&s->pass);
        e = land(s, space, l, end, forbidden, context);
        pthread_mutex_unlock(&s->pass);
        if (e == ERR_BUSY)
            TRY(writer_pass(s, false));
    }
    return e;
}
