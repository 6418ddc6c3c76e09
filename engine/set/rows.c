/*
 * rows.c - the elements of BIG objects: rows of the store, written through.
 *
 * Writes collect in the transaction's batch; a read first lands what is waiting, under the gate, so that a transaction
 * sees its own rows. What has landed is in a memtable only: the gate keeps it from becoming a file before the frame
 * that explains it is in the journal.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/rng.h"
#include "engine/key/row.h"

#include <math.h>

enum { BATCH_BYTES_MAX = 1 << 20 }; /* a huge command lands its rows piece by piece */

void gate_read(struct txn *t)
{
    if (!t->gate_held)
        pthread_rwlock_rdlock(&t->set->gate);
    t->gate_held = true;
}

void gate_done(struct txn *t)
{
    if (t->gate_held)
        pthread_rwlock_unlock(&t->set->gate);
    t->gate_held = false;
}

static void land(struct txn *t)
{
    if (batch_count(t->batch) == 0)
        return;
    gate_read(t);
    check(store_write(t->set->store, t->batch) == OK);
    batch_clear(t->batch);
}

static struct family *family_of(struct txn *t, const struct obj *o)
{
    return set_family(t->set, set_space(t->set, o->db));
}

static enum store_tier tier_of(const struct txn *t)
{
    return txn_may_wait(t) ? STORE_DISK : STORE_CACHED;
}

static void put(struct txn *t, struct obj *o, struct slice value)
{
    (void)touch(t, o);
    batch_put(t->batch, family_of(t, o), buf_slice(&t->row), value);
    if (batch_bytes(t->batch) > BATCH_BYTES_MAX)
        land(t);
}

static void delete(struct txn *t, struct obj *o)
{
    (void)touch(t, o);
    batch_delete(t->batch, family_of(t, o), buf_slice(&t->row));
}

static enum err get(struct txn *t, struct obj *o, struct slice *value)
{
    land(t);
    store_value_free(&t->value);
    TRY(store_get(t->set->store, family_of(t, o), tier_of(t), buf_slice(&t->row), &t->value));
    *value = t->value.bytes;
    return OK;
}

enum err txn_make_big(struct txn *t, struct obj *o)
{
    struct obj_big big = {.id = set_new_id(t->set), .first = UINT64_C(1) << 63};

    check(o->form != OBJ_BIG);
    o->form = OBJ_BIG;
    o->value_size = 0;
    obj_big_set(o, &big);
    (void)touch(t, o);
    return OK;
}

/* ---- Named elements ---- */

enum err txn_element_get(struct txn *t, struct obj *o, struct slice name, struct slice *value)
{
    row_element(&t->row, o->slot, obj_big_get(o).id, hash_name(name), name);
    return get(t, o, value);
}

void txn_element_put(struct txn *t, struct obj *o, struct slice name, struct slice value)
{
    row_element(&t->row, o->slot, obj_big_get(o).id, hash_name(name), name);
    put(t, o, value);
}

void txn_element_delete(struct txn *t, struct obj *o, struct slice name)
{
    row_element(&t->row, o->slot, obj_big_get(o).id, hash_name(name), name);
    delete(t, o);
}

/* ---- Indexed elements ---- */

enum err txn_index_get(struct txn *t, struct obj *o, uint64_t index, struct slice *value)
{
    row_index(&t->row, o->slot, obj_big_get(o).id, index);
    return get(t, o, value);
}

void txn_index_put(struct txn *t, struct obj *o, uint64_t index, struct slice value)
{
    row_index(&t->row, o->slot, obj_big_get(o).id, index);
    put(t, o, value);
}

void txn_index_delete(struct txn *t, struct obj *o, uint64_t index)
{
    row_index(&t->row, o->slot, obj_big_get(o).id, index);
    delete(t, o);
}

/* ---- Scores ---- */

void txn_score_put(struct txn *t, struct obj *o, double score, struct slice member)
{
    row_score(&t->row, o->slot, obj_big_get(o).id, score, member);
    put(t, o, (struct slice){0});
}

void txn_score_delete(struct txn *t, struct obj *o, double score, struct slice member)
{
    row_score(&t->row, o->slot, obj_big_get(o).id, score, member);
    delete(t, o);
}

/* ---- Walks ---- */

enum { WALK_NAMES, WALK_INDEXES, WALK_SCORES };

/* Opens over all rows of the object's kind and seeks to t->row (or backwards from it). */
static enum err walk(struct txn *t, struct obj *o, int kind, bool reverse, struct txn_cursor *c)
{
    enum row_kind rows = kind == WALK_SCORES ? ROW_SCORE : ROW_ELEMENT;
    struct buf upper = {0};
    struct cursor *cursor = NULL;
    enum err e;

    land(t);
    row_id_start(&t->row2, o->slot, rows, obj_big_get(o).id);
    buf_append_slice(&upper, buf_slice(&t->row2));
    row_successor(&upper);
    e = cursor_open(t->set->store, family_of(t, o), tier_of(t), buf_slice(&t->row2), buf_slice(&upper), &cursor);
    buf_free(&upper);
    TRY(e);
    if (reverse)
        cursor_seek_back(cursor, buf_slice(&t->row));
    else
        cursor_seek(cursor, buf_slice(&t->row));
    *c = (struct txn_cursor){.txn = t, .iterator = cursor, .kind = kind, .reverse = reverse};
    /* A cold walk is noticed here, before the command has done anything. */
    if (!cursor_valid(cursor) && cursor_error(cursor) == ERR_COLD) {
        txn_cursor_close(c);
        return ERR_COLD;
    }
    return OK;
}

enum err txn_elements(struct txn *t, struct obj *o, uint32_t from_hash, struct txn_cursor *c)
{
    row_element(&t->row, o->slot, obj_big_get(o).id, from_hash, (struct slice){0});
    return walk(t, o, WALK_NAMES, false, c);
}

enum err txn_indexes(struct txn *t, struct obj *o, uint64_t index, bool reverse, struct txn_cursor *c)
{
    row_index(&t->row, o->slot, obj_big_get(o).id, index);
    return walk(t, o, WALK_INDEXES, reverse, c);
}

enum err txn_scores(struct txn *t, struct obj *o, double score, struct slice member, bool reverse, struct txn_cursor *c)
{
    bool last = member.size == SIZE_MAX;

    row_score(&t->row, o->slot, obj_big_get(o).id, score, last ? (struct slice){0} : member);
    if (last)
        row_successor(&t->row); /* behind every member of that score */
    return walk(t, o, WALK_SCORES, reverse, c);
}

enum err txn_cursor_next(struct txn_cursor *c)
{
    struct cursor *cursor = c->iterator;
    struct row row;

    if (c->started) {
        if (c->reverse)
            cursor_back(cursor);
        else
            cursor_next(cursor);
    }
    c->started = true;
    if (!cursor_valid(cursor))
        return cursor_error(cursor);
    TRY(c->kind == WALK_INDEXES ? row_parse_index(cursor_key(cursor), &row) : row_parse(cursor_key(cursor), &row));
    c->name = row.name;
    c->hash = row.hash;
    c->index = row.index;
    c->score = row.score;
    c->value = cursor_value(cursor);
    return OK;
}

void txn_cursor_close(struct txn_cursor *c)
{
    cursor_close(c->iterator);
    c->iterator = NULL;
}
