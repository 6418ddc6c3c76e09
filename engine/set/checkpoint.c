/*
 * checkpoint.c - the files of all databases at one position, and a stage made of such files.
 *
 *   most of what is dirty is drained and flushed      commands go on
 *   drain the rest, flush, list the files             commands stand still; nothing is in memory only
 *   link the files                                    commands go on; the store deletes nothing meanwhile
 *
 * (1) At the moment of the list every row of every database is in its files, and no row that is newer.
 * (2) Ids of a copy are the source's: the destination's own limit is durably above them before they are used, and what its reaper
 *     still has to do for the stage's families is forgotten when they are emptied (stage.c).
 */
#include "engine/set/checkpoint.h"

#include "base/check.h"
#include "base/clock.h"
#include "engine/set/set_priv.h"
#include "engine/set/stage.h"

#include <stdlib.h>

void set_checkpoint_free(struct set_checkpoint *c)
{
    for (size_t i = 0; i < c->count; i++)
        store_files_free(&c->dbs[i].list);
    free(c->dbs);
    *c = (struct set_checkpoint){0};
}

size_t set_checkpoint_files(const struct set_checkpoint *c)
{
    size_t sum = 0;

    for (size_t i = 0; i < c->count; i++)
        sum += c->dbs[i].list.count;
    return sum;
}

uint64_t set_checkpoint_bytes(const struct set_checkpoint *c)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < c->count; i++)
        for (size_t k = 0; k < c->dbs[i].list.count; k++)
            sum += c->dbs[i].list.files[k].bytes;
    return sum;
}

/* ---- Taking ---- */

static enum err list_db(struct set *s, unsigned db, struct set_checkpoint *c)
{
    struct set_checkpoint_db *out;

    c->dbs = realloc(c->dbs, (c->count + 1) * sizeof *c->dbs);
    check(c->dbs != NULL);
    out = &c->dbs[c->count];
    *out = (struct set_checkpoint_db){.db = db};
    TRY(store_files_list(s->store, set_family(s, set_space(s, db)), &out->list));
    c->count++;
    if (out->list.ranges)
        return err_set(ERR_INVALID, "database %u has range deletions in its files", db);
    check(out->list.count > 0); /* its floor row, if nothing else */
    return OK;
}

/* With the world stopped. */
static enum err list_all(struct set *s, struct set_checkpoint *c)
{
    for (unsigned db = 0; db < s->visible; db++) {
        struct space *space = set_space(s, db);

        if (space != NULL)
            TRY(drain_space(s, space, space->floor, true));
    }
    TRY(writer_flush(s));
    for (unsigned db = 0; db < s->visible; db++)
        if (set_space(s, db) != NULL && atomic_load(&set_space(s, db)->keys) > 0)
            TRY(list_db(s, db, c));
    c->lsn = s->journal->tail(s->journal->context);
    pthread_mutex_lock(&s->ids_lock);
    c->id_limit = s->id_limit;
    pthread_mutex_unlock(&s->ids_lock);
    return OK;
}

static enum err link_all(struct set *s, const struct set_checkpoint *c, const char *dir)
{
    size_t first = 0;

    for (size_t i = 0; i < c->count; i++) {
        TRY(store_files_link(s->store, &c->dbs[i].list, dir, first));
        first += c->dbs[i].list.count;
    }
    return OK;
}

enum err set_checkpoint_take(struct set *s, const char *dir, struct set_checkpoint *out)
{
    struct set_checkpoint c = {0};
    int64_t began;
    enum err e, released;

    TRY(set_drain_most(s));
    TRY(set_drain(s)); /* and the memtables */
    store_files_keep(s->store);
    set_stop_world(s);
    began = clock_us(CLOCK_MONOTONIC);
    e = list_all(s, &c);
    c.pause_us = clock_us(CLOCK_MONOTONIC) - began;
    set_go_on(s);
    if (e == OK)
        e = link_all(s, &c, dir);
    released = store_files_release(s->store);
    if (e == OK)
        e = released;
    if (e != OK) {
        set_checkpoint_free(&c);
        return e;
    }
    *out = c;
    return OK;
}

/* ---- Placing ---- */

/* The stage's own generation is born at 0, so this one is newer. Nobody uses the old one while the world stands still. */
static enum err place_db(struct set *s, const struct set_checkpoint_db *from, const char *dir, size_t first)
{
    unsigned db = s->visible + from->db;
    const struct store_files_import how = {
        .uid = s->uids[db], .born = 1, .list = &from->list, .dir = dir, .first = first};
    struct family *old = NULL;
    enum err e = OK;

    TRY(store_files_import(s->store, &how, &old));
    if (old != NULL) {
        set_stop_world(s);
        e = store_family_drop(s->store, old);
        set_go_on(s);
    }
    TRY(e);
    (void)set_space_make(s, db);
    return counts_load(s, db);
}

enum err set_checkpoint_place(struct set *s, const struct set_checkpoint *c, const char *dir)
{
    size_t first = 0;

    for (size_t i = 0; i < c->count; i++)
        if (c->dbs[i].db >= s->visible)
            return err_set(ERR_INVALID, "the copy has a database %u, here are %u", c->dbs[i].db, s->visible);
    TRY(set_ids_pass(s, c->id_limit));
    for (size_t i = 0; i < c->count; i++) {
        TRY(place_db(s, &c->dbs[i], dir, first));
        first += c->dbs[i].list.count;
    }
    atomic_store(&s->garbage_wanted, true);
    return OK;
}
