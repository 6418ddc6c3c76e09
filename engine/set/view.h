/*
 * view.h - all databases as they are at one log position, to be read at leisure while commands go on: what SAVE writes and a
 * replica gets.
 *
 * Opening drains what is dirty, stops all commands for the moment that the rest and a few cursors take, and lets them go on. A view
 * costs no memory for keys; what is deleted or overwritten meanwhile stays on disk until the view is closed.
 * Threads: open and close on any thread that may wait for the disk and holds no slot; a view has one user at a time.
 *
 *     TRY(set_view_open(set, &v));                      position: set_view_lsn(v)
 *     for each db with set_view_size(v, db, ...):
 *         set_view_seek(v, db, 0, SLOTS - 1);
 *         while ((e = set_view_next(v, &key)) == OK)
 *             if (key.form == OBJ_BIG) {
 *                 set_view_rows(v, &key, ROW_ELEMENT);
 *                 while ((e = set_view_row(v, &row)) == OK) ...      (ERR_NOT_FOUND: the end)
 *             }
 *     set_view_close(v);
 */
#ifndef CAIRN_ENGINE_SET_VIEW_H
#define CAIRN_ENGINE_SET_VIEW_H

#include "base/err.h"
#include "base/slice.h"
#include "base/types.h"
#include "engine/key/row.h"
#include "engine/set/obj.h"

struct set;
struct set_view;

enum err set_view_open(struct set *s, struct set_view **out) WARN_UNUSED;

/*
 * A view of one key, whose slot *slot tells, as database 0 of it: drains until the store has all of the key, then locks its slot for
 * as long as two cursors take. The caller sees to it that nobody changes the key until then. ERR_NOT_FOUND: there is no such key;
 * ERR_BUSY: it was changed again and again.
 */
enum err set_view_open_key(struct set *s, unsigned db, struct slice name, slot_t *slot, struct set_view **out) WARN_UNUSED;
void set_view_close(struct set_view *v); /* accepts NULL */

/* The view holds exactly the frames up to here. */
lsn_t set_view_lsn(const struct set_view *v);

/* Numbers of databases are below this. */
unsigned set_view_databases(const struct set_view *v);

/* How long commands were stopped, microseconds. */
uint64_t set_view_pause_us(const struct set_view *v);

/* False: the database is empty. Both counts may be NULL; keys whose time has passed but that nobody removed count. */
bool set_view_size(const struct set_view *v, unsigned db, uint64_t *keys, uint64_t *expires);
uint64_t set_view_slot_keys(const struct set_view *v, unsigned db, slot_t slot);

/* One key: its record, borrowed until the next step. */
struct set_view_key {
    slot_t slot;
    enum obj_type type;
    enum obj_form form;
    uint8_t marks;
    msec_t expire_ms; /* 0: none; may have passed */
    uint64_t count;
    lsn_t last_change;
    struct slice name;
    struct slice value; /* PLAIN and PACKED: all; BIG: struct obj_big and what lies behind it */
    struct slice row, record; /* both as they are stored: the row's key, and its value */
};

/* Goes in front of the first key of these slots of a database, ascending by slot, hash, name. */
void set_view_seek(struct set_view *v, unsigned db, slot_t first, slot_t last);
enum err set_view_next(struct set_view *v, struct set_view_key *key) WARN_UNUSED; /* ERR_NOT_FOUND: the end */

/* The rows of a BIG key: ROW_ELEMENT (named or indexed, by its type) or ROW_SCORE, in their order. */
void set_view_rows(struct set_view *v, const struct set_view_key *key, enum row_kind kind);
struct set_view_row { /* borrowed until the next step */
    struct slice name;
    uint64_t index; /* lists, strings */
    double score;   /* ROW_SCORE */
    struct slice value;
};
enum err set_view_row(struct set_view *v, struct set_view_row *row) WARN_UNUSED;

#endif
