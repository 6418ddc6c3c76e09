/*
 * view.c - cursors opened while nothing moves. A cursor of the store keeps what it saw when it was opened, so two for each
 * database are the whole view: one over key records, one over the rows of the key that is being read.
 */
#include "engine/set/view.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "engine/key/record.h"
#include "engine/set/set_priv.h"

#include <stdlib.h>

enum { PASSES_MAX = 16, QUIET_BYTES = 4 << 20, KEY_PASSES_MAX = 8 };

struct view_db {
    struct cursor *keys, *rows; /* NULL: the database is empty */
    uint64_t key_count, expire_count;
    uint32_t *slot_keys;        /* by slot */
};

struct set_view {
    unsigned databases;
    lsn_t lsn;
    uint64_t pause_us;
    struct view_db *dbs;

    struct view_db *db; /* of the last seek */
    slot_t slot, last;
    bool done, placed;  /* placed: the cursor is on the key given last */
    struct buf bound, prefix;
    bool rows_begun, rows_indexed;
    enum row_kind rows_kind;
};

/* ---- Opening ---- */

static enum err open_cursor(struct set *s, struct space *space, enum store_tier tier, struct cursor **out)
{
    struct buf lower = {0}, upper = {0};
    enum err e;

    row_slot(&lower, 0);
    row_slot(&upper, SLOTS);
    e = cursor_open(s->store, set_family(s, space), tier, buf_slice(&lower), buf_slice(&upper), out);
    buf_free(&lower);
    buf_free(&upper);
    return e;
}

static enum err open_db(struct set *s, struct space *space, struct view_db *db)
{
    db->key_count = atomic_load(&space->keys);
    db->expire_count = atomic_load(&space->expires);
    if (db->key_count == 0)
        return OK;
    db->slot_keys = malloc(SLOTS * sizeof *db->slot_keys);
    check(db->slot_keys != NULL);
    for (unsigned i = 0; i < SLOTS; i++)
        db->slot_keys[i] = (uint32_t)space->slots[i].keys;
    TRY(open_cursor(s, space, STORE_SCAN, &db->keys));
    return open_cursor(s, space, STORE_DISK, &db->rows);
}

/* With the world stopped: what is still dirty goes to the store, then every database is opened. */
static enum err open_all(struct set *s, struct set_view *v)
{
    enum err e = OK;

    for (unsigned i = 0; i < s->visible && e == OK; i++) {
        struct space *space = set_space(s, i);

        if (space == NULL)
            continue;
        e = drain_space(s, space, space->floor, true);
        if (e == OK)
            e = open_db(s, space, &v->dbs[i]);
    }
    v->lsn = s->journal->tail(s->journal->context);
    return e;
}

/*
 * Whatever is dirty when commands are stopped is drained while they wait, and so is the sync of the log. Each pass leaves what was
 * written during it: little, unless the disk or the processor is slower than the clients.
 */
enum err set_drain_most(struct set *s)
{
    for (int i = 0; i < PASSES_MAX; i++) {
        TRY(writer_pass(s, false));
        if (atomic_load(&s->dirty_bytes) < QUIET_BYTES)
            break;
    }
    return s->journal->sync(s->journal->context, s->journal->tail(s->journal->context));
}

enum err set_view_open(struct set *s, struct set_view **out)
{
    struct set_view *v = calloc(1, sizeof *v);
    int64_t began;
    enum err e;

    check(v != NULL);
    v->databases = s->visible;
    v->dbs = calloc(s->visible, sizeof *v->dbs);
    check(v->dbs != NULL);
    v->done = true;
    e = set_drain_most(s);
    if (e == OK) {
        pthread_mutex_lock(&s->pass);
        began = clock_us(CLOCK_MONOTONIC);
        for (unsigned i = 0; i < SLOTS; i++)
            pthread_mutex_lock(&s->locks[i]);
        e = open_all(s, v);
        for (unsigned i = SLOTS; i-- > 0;)
            pthread_mutex_unlock(&s->locks[i]);
        v->pause_us = clock_us(CLOCK_MONOTONIC) - began;
        pthread_mutex_unlock(&s->pass);
    }
    if (e != OK) {
        set_view_close(v);
        return e;
    }
    *out = v;
    return OK;
}

/* ---- One key ---- */

/* The slot is locked: the store has all of it. */
static bool is_clean(const struct obj *o)
{
    return (o->state & (STATE_DIRTY | STATE_FLYING | STATE_HELD)) == 0 &&
           (o->elements == NULL || (!o->elements->flying && o->elements->change_count == 0));
}

static enum err open_key_cursor(struct set *s, struct space *space, slot_t slot, struct slice name, struct cursor **out)
{
    struct buf lower = {0}, upper = {0};
    enum err e;

    row_key(&lower, slot, hash_name(name), name);
    buf_append_slice(&upper, buf_slice(&lower));
    buf_append_byte(&upper, 0); /* the next name there can be */
    e = cursor_open(s->store, set_family(s, space), STORE_DISK, buf_slice(&lower), buf_slice(&upper), out);
    buf_free(&lower);
    buf_free(&upper);
    return e;
}

static enum err open_key(struct set *s, struct space *space, slot_t slot, struct slice name, struct view_db *db)
{
    const struct obj *o = table_find(&space->slots[slot].table, hash_name(name), name);

    if (o != NULL && o->state & STATE_TOMB)
        return ERR_NOT_FOUND;
    if (o != NULL && !is_clean(o))
        return ERR_BUSY;
    db->key_count = 1;
    db->slot_keys[slot] = 1;
    TRY(open_key_cursor(s, space, slot, name, &db->keys));
    return open_cursor(s, space, STORE_DISK, &db->rows);
}

enum err set_view_open_key(struct set *s, unsigned db, struct slice name, slot_t *slot_out, struct set_view **out)
{
    struct space *space = set_space(s, db);
    struct set_view *v;
    slot_t slot = hash_slot(name);
    enum err e = ERR_BUSY;

    if (space == NULL)
        return ERR_NOT_FOUND;
    v = calloc(1, sizeof *v);
    check(v != NULL);
    v->databases = 1;
    v->dbs = calloc(1, sizeof *v->dbs);
    check(v->dbs != NULL);
    v->dbs->slot_keys = calloc(SLOTS, sizeof *v->dbs->slot_keys);
    check(v->dbs->slot_keys != NULL);
    v->done = true;
    for (int i = 0; i < KEY_PASSES_MAX && e == ERR_BUSY; i++) {
        pthread_mutex_lock(&s->locks[slot]);
        e = open_key(s, space, slot, name, v->dbs);
        pthread_mutex_unlock(&s->locks[slot]);
        if (e == ERR_BUSY) {
            enum err drained = writer_pass(s, false);

            if (drained != OK)
                e = drained;
        }
    }
    if (e != OK) {
        set_view_close(v);
        return e;
    }
    *slot_out = slot;
    *out = v;
    return OK;
}

void set_view_close(struct set_view *v)
{
    if (v == NULL)
        return;
    for (unsigned i = 0; i < v->databases; i++) {
        cursor_close(v->dbs[i].keys);
        cursor_close(v->dbs[i].rows);
        free(v->dbs[i].slot_keys);
    }
    free(v->dbs);
    buf_free(&v->bound);
    buf_free(&v->prefix);
    free(v);
}

lsn_t set_view_lsn(const struct set_view *v)
{
    return v->lsn;
}

unsigned set_view_databases(const struct set_view *v)
{
    return v->databases;
}

uint64_t set_view_pause_us(const struct set_view *v)
{
    return v->pause_us;
}

bool set_view_size(const struct set_view *v, unsigned db, uint64_t *keys, uint64_t *expires)
{
    if (db >= v->databases || v->dbs[db].key_count == 0)
        return false;
    if (keys != NULL)
        *keys = v->dbs[db].key_count;
    if (expires != NULL)
        *expires = v->dbs[db].expire_count;
    return true;
}

uint64_t set_view_slot_keys(const struct set_view *v, unsigned db, slot_t slot)
{
    return db < v->databases && v->dbs[db].slot_keys != NULL ? v->dbs[db].slot_keys[slot] : 0;
}

/* ---- Keys ---- */

void set_view_seek(struct set_view *v, unsigned db, slot_t first, slot_t last)
{
    check(first <= last && last < SLOTS);
    v->done = !set_view_size(v, db, NULL, NULL);
    if (v->done)
        return;
    v->db = &v->dbs[db];
    v->slot = first;
    v->last = last;
    v->placed = false;
}

/* The cursor is on a row: its key, or ERR_NOT_FOUND if it is another slot's or another kind. */
static enum err key_here(struct set_view *v, struct set_view_key *key)
{
    struct record record;
    struct row row;

    TRY(row_parse(cursor_key(v->db->keys), &row));
    if (row.slot != v->slot || row.kind != ROW_KEY)
        return ERR_NOT_FOUND;
    TRY(record_decode(cursor_value(v->db->keys), &record));
    *key = (struct set_view_key){
        .slot = row.slot,
        .type = (enum obj_type)record.type,
        .form = (enum obj_form)record.form,
        .marks = record.marks,
        .expire_ms = record.expire_ms,
        .count = record.count,
        .last_change = record.last_change,
        .name = row.name,
        .value = record.value,
        .row = cursor_key(v->db->keys),
        .record = cursor_value(v->db->keys),
    };
    return OK;
}

enum err set_view_next(struct set_view *v, struct set_view_key *key)
{
    if (v->done)
        return ERR_NOT_FOUND;
    for (;;) {
        enum err e = ERR_NOT_FOUND;

        if (v->placed) {
            cursor_next(v->db->keys);
        } else if (v->db->slot_keys[v->slot] > 0) {
            row_kind_start(&v->bound, v->slot, ROW_KEY);
            cursor_seek(v->db->keys, buf_slice(&v->bound));
            v->placed = true;
        }
        if (v->placed)
            e = cursor_valid(v->db->keys) ? key_here(v, key) : cursor_error(v->db->keys);
        if (e != ERR_NOT_FOUND)
            return e;
        v->placed = false;
        if (v->slot == v->last)
            break;
        v->slot++;
    }
    v->done = true;
    return ERR_NOT_FOUND;
}

/* ---- Rows of one key ---- */

void set_view_rows(struct set_view *v, const struct set_view_key *key, enum row_kind kind)
{
    struct obj_big big = {0};

    check(key->form == OBJ_BIG);
    if (key->value.size >= sizeof big)
        memcpy(&big, key->value.data, sizeof big);
    row_id_start(&v->prefix, key->slot, kind, big.id);
    v->rows_kind = kind;
    v->rows_indexed = key->type == OBJ_LIST || key->type == OBJ_STRING;
    v->rows_begun = false;
}

enum err set_view_row(struct set_view *v, struct set_view_row *out)
{
    struct cursor *c = v->db->rows;
    struct slice name;
    struct row row;

    if (v->rows_begun)
        cursor_next(c);
    else
        cursor_seek(c, buf_slice(&v->prefix));
    v->rows_begun = true;
    if (!cursor_valid(c))
        return cursor_error(c);
    name = cursor_key(c);
    if (name.size < v->prefix.size || memcmp(name.data, v->prefix.data, v->prefix.size) != 0)
        return ERR_NOT_FOUND;
    TRY(v->rows_indexed ? row_parse_index(name, &row) : row_parse(name, &row));
    *out = (struct set_view_row){.name = row.name, .index = row.index, .score = row.score, .value = cursor_value(c)};
    return OK;
}
