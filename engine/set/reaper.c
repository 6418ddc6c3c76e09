/*
 * reaper.c - elements that nobody can reach any more: the rows of collections that were deleted or overwritten.
 *
 * (1) A garbage row names the id. It goes with the last row of the id, so that a start finds what was left (reaper_find).
 * (2) Rows of an id are removed in their order. None appears behind the reaper: what was in the air has landed before its id
 *     becomes garbage (write_through).
 * (3) It goes on where it stopped. A walk from the start would pass over everything that it has removed and that no compaction has
 *     forgotten yet: of a million rows that was 12 s of processor time.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/key/row.h"

#include <stdlib.h>

enum { REAP_ROWS_MAX = 256 }; /* under one hold of a slot lock */

void set_garbage_add(struct set *s, const struct garbage *g)
{
    pthread_mutex_lock(&s->garbage_lock);
    if (s->garbage_count == s->garbage_capacity) {
        s->garbage_capacity = s->garbage_capacity != 0 ? s->garbage_capacity * 2 : 64;
        s->garbage = realloc(s->garbage, s->garbage_capacity * sizeof *s->garbage);
        check(s->garbage != NULL);
    }
    s->garbage[s->garbage_count++] = *g;
    pthread_mutex_unlock(&s->garbage_lock);
}

void set_garbage_forget(struct set *s, unsigned uid)
{
    size_t kept = 0;

    pthread_mutex_lock(&s->garbage_lock);
    for (size_t i = 0; i < s->garbage_count; i++)
        if (s->garbage[i].uid != uid)
            s->garbage[kept++] = s->garbage[i];
    s->garbage_count = kept;
    pthread_mutex_unlock(&s->garbage_lock);
}

/* Removes some rows of a kind of the id, from r->behind on; *done when none was left. The slot is locked: the family stays. */
static enum err reap_kind(struct set *s, struct family *f, struct reaper *r, enum row_kind kind, struct batch *b, bool *done)
{
    struct buf prefix = {0};
    struct cursor *c = NULL;
    bool begun;
    enum err e;

    row_id_start(&prefix, r->of.slot, kind, r->of.id);
    begun = slice_compare(buf_slice(&r->behind), buf_slice(&prefix)) > 0;
    e = cursor_open_prefix(s->store, f, STORE_DISK, buf_slice(&prefix), &c);
    buf_free(&prefix);
    TRY(e);
    if (begun)
        cursor_seek(c, buf_slice(&r->behind));
    else
        cursor_first(c);
    for (; cursor_valid(c) && batch_count(b) < REAP_ROWS_MAX; cursor_next(c)) {
        batch_delete(b, f, cursor_key(c));
        buf_clear(&r->behind);
        buf_append_slice(&r->behind, cursor_key(c));
    }
    *done = !cursor_valid(c);
    e = cursor_end(c);
    cursor_close(c);
    return e;
}

static enum err reap_some(struct set *s, struct reaper *r, bool *done)
{
    const struct garbage *g = &r->of;
    struct family *f;
    struct batch *b = batch_new();
    struct buf row = {0};
    enum err e = OK;

    pthread_mutex_lock(&s->locks[g->slot]);
    f = store_family(s->store, g->uid);
    if (f != NULL && store_family_born(f) != r->born) { /* another database: it may have an id of this number too */
        r->born = store_family_born(f);
        buf_clear(&r->behind);
    }
    *done = true;
    if (f != NULL)
        e = reap_kind(s, f, r, ROW_ELEMENT, b, done);
    if (f != NULL && e == OK && *done)
        e = reap_kind(s, f, r, ROW_SCORE, b, done);
    if (f != NULL && e == OK && *done) {
        row_garbage(&row, g->slot, g->id);
        batch_delete(b, f, buf_slice(&row));
    }
    if (e == OK && batch_count(b) > 0)
        e = store_write(s->store, b);
    pthread_mutex_unlock(&s->locks[g->slot]);
    batch_free(b);
    buf_free(&row);
    return e;
}

static bool is_same(const struct garbage *a, const struct garbage *b)
{
    return a->id == b->id && a->uid == b->uid && a->slot == b->slot;
}

/* The oldest: r->behind is of use only to the id that it was of. */
static bool reap_pick(struct set *s, struct reaper *r)
{
    bool found;

    pthread_mutex_lock(&s->garbage_lock);
    found = s->garbage_count > 0;
    if (found && !is_same(&r->of, &s->garbage[0])) {
        r->of = s->garbage[0];
        buf_clear(&r->behind);
    }
    pthread_mutex_unlock(&s->garbage_lock);
    return found;
}

static void reap_done(struct set *s, struct reaper *r)
{
    pthread_mutex_lock(&s->garbage_lock);
    for (size_t i = 0; i < s->garbage_count; i++)
        if (is_same(&s->garbage[i], &r->of)) {
            s->garbage[i] = s->garbage[--s->garbage_count];
            break;
        }
    pthread_mutex_unlock(&s->garbage_lock);
    r->of = (struct garbage){0};
    buf_clear(&r->behind);
}

void reaper_cycle(struct set *s, struct reaper *r, int64_t until_us)
{
    while (clock_us(CLOCK_MONOTONIC) < until_us && reap_pick(s, r)) {
        bool done = false;
        enum err e = reap_some(s, r, &done);

        if (e != OK)
            log_event(LOG_WARNING, "keeper: garbage of id %lu in slot %u: %s", (unsigned long)r->of.id, r->of.slot, err_text());
        if (e != OK || done)
            reap_done(s, r);
    }
}

static enum err garbage_of_slot(struct set *s, struct space *space, slot_t number)
{
    struct buf prefix = {0};
    struct cursor *c = NULL;
    struct row row;
    enum err e;

    row_kind_start(&prefix, number, ROW_GARBAGE);
    e = cursor_open_prefix(s->store, set_family(s, space), STORE_DISK, buf_slice(&prefix), &c);
    buf_free(&prefix);
    TRY(e);
    for (cursor_first(c); cursor_valid(c) && e == OK; cursor_next(c))
        if ((e = row_parse(cursor_key(c), &row)) == OK)
            set_garbage_add(s, &(struct garbage){space->uid, number, row.id});
    if (e == OK)
        e = cursor_end(c);
    cursor_close(c);
    return e;
}

void reaper_find(struct set *s)
{
    for (unsigned db = 0; db < s->databases; db++) {
        struct space *space = set_space(s, db);

        if (space == NULL || atomic_load(&space->keys) == 0)
            continue;
        for (unsigned number = 0; number < SLOTS && !s->stopping; number++) {
            enum err e;

            pthread_mutex_lock(&s->locks[number]);
            e = garbage_of_slot(s, space, (slot_t)number);
            pthread_mutex_unlock(&s->locks[number]);
            if (e != OK)
                log_event(LOG_WARNING, "keeper: garbage of slot %u is not found: %s", number, err_text());
        }
    }
}
