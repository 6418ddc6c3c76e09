/*
 * rows.c - the elements of BIG objects: in memory and written behind, but for those of long strings.
 *
 * (1) Named elements and those of lists change in memory (elements.h), and drain with their object's record. Elements
 *     of the store are read when memory cannot tell.
 * (2) A walk is over rows of the store: what memory has beyond them lands first, together with the record, so that the
 *     store has of each key all effects up to its last change and none behind.
 * (3) Chunks of strings collect in the transaction's batch; a read first lands what is waiting there.
 * (4) What lands here is in a memtable only: the gate keeps that from becoming a file before the frame that explains it
 *     is in the journal.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/rng.h"
#include "engine/key/row.h"

#include <math.h>

enum {
    BATCH_BYTES_MAX = 1 << 20, /* a huge command lands its rows piece by piece */
    DOWN_BYTES_MAX = 256 << 10,
};

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

/* The writer holds older copies: those must be in the store before ours. */
void wait_landed(struct set *s)
{
    pthread_mutex_lock(&s->wake_lock);
    while (s->in_air && s->drain_error == OK)
        pthread_cond_wait(&s->landed, &s->wake_lock);
    pthread_mutex_unlock(&s->wake_lock);
}

struct family *family_of(struct txn *t, const struct obj *o)
{
    return set_family(t->set, set_space(t->set, o->db));
}

enum store_tier tier_of(const struct txn *t)
{
    return txn_may_wait(t) ? STORE_DISK : STORE_CACHED;
}

/* ---- Rows of long strings: written through ---- */

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
    store_value_free(&t->value);
    TRY(store_get(t->set->store, family_of(t, o), tier_of(t), buf_slice(&t->row), &t->value));
    *value = t->value.bytes;
    return OK;
}

/* ---- Elements in memory ---- */

static struct elements *elements_of(struct obj *o)
{
    check(o->form == OBJ_BIG && o->type != OBJ_STRING);
    if (o->elements == NULL)
        o->elements = elements_new(o->type, false);
    return o->elements;
}

/* Memory tells, or the store, of which memory then knows; t->row is the element's row, once `row` has made it. */
static enum err element_find(struct txn *t, struct obj *o, uint32_t hash, struct slice name, struct slice *value)
{
    struct elements *e = elements_of(o);
    struct element *el = elements_find(e, hash, name);

    if (el != NULL) {
        el->referenced = 1;
        *value = element_value(el);
        return el->tomb ? ERR_NOT_FOUND : OK;
    }
    if (e->complete)
        return ERR_NOT_FOUND;
    if (o->type == OBJ_LIST)
        row_index(&t->row, o->slot, obj_big_get(o).id, elements_index_of(name));
    else
        row_element(&t->row, o->slot, obj_big_get(o).id, hash, name);
    TRY(get(t, o, value));
    if (o->type != OBJ_LIST) {
        elements_remember(e, hash, name, *value);
        obj_charge(t, o);
    }
    return OK;
}

static void element_batch(struct txn *t, struct family *f, const struct obj *o, uint64_t id, const struct element *el,
                          enum element_row which)
{
    struct slice value;
    bool tomb;

    element_row(el, which, o->type, o->slot, id, &t->row, &value, &tomb);
    if (tomb)
        batch_delete(t->batch, f, buf_slice(&t->row));
    else
        batch_put(t->batch, f, buf_slice(&t->row), value);
}

/* The changed rows of o go to the batch: nothing of it is changed any more when that has landed. */
static void elements_batch(struct txn *t, struct family *f, struct obj *o)
{
    struct elements *e = o->elements;
    uint64_t id = obj_big_get(o).id;

    for (size_t i = 0; i < e->change_count; i++) {
        const struct element *el = e->changes[i];
        double score;

        element_batch(t, f, o, id, el, ELEMENT_ITSELF);
        for (enum element_row which = ELEMENT_OLD_SCORE; e->scored && which <= ELEMENT_SCORE; which++)
            if (element_score(el, which, &score))
                element_batch(t, f, o, id, el, which);
    }
    elements_landed(e);
}

/* Record and changed rows of o go to the batch. */
void write_through(struct txn *t, struct space *space, struct obj *o)
{
    struct set *s = t->set;
    struct slot *slot = &space->slots[o->slot];
    struct family *f = set_family(s, space);

    if (o->state & STATE_FLYING) {
        wait_landed(s);
        o->state &= ~STATE_FLYING;
        o->next_since = 0;
    }
    if (o->state & STATE_BLIND) {
        uint64_t id = blind_resolve(s, space, o, &t->row);

        if (id != 0) {
            row_garbage(&t->row, o->slot, id);
            batch_put(t->batch, f, buf_slice(&t->row), (struct slice){0});
            set_garbage_add(s, &(struct garbage){space->uid, o->slot, id});
        }
    }
    row_key(&t->row, o->slot, o->hash, obj_key(o));
    if (o->state & STATE_TOMB) {
        batch_delete(t->batch, f, buf_slice(&t->row));
    } else {
        buf_clear(&t->record);
        record_of(o, &t->record);
        batch_put(t->batch, f, buf_slice(&t->row), buf_slice(&t->record));
        if (o->expire_ms != 0) {
            row_expiry(&t->row, o->slot, o->expire_ms, obj_key(o));
            batch_put(t->batch, f, buf_slice(&t->row), (struct slice){0});
        }
        if (o->elements != NULL)
            elements_batch(t, f, o);
    }
    o->state &= ~STATE_SURE;
    if (o->state & STATE_HELD)
        obj_dirty(s, slot, o, o->last_change); /* it is drained once more, which does no harm */
    else
        obj_clean(s, slot, o);
}

/* ---- Becoming BIG ---- */

enum err txn_make_big(struct txn *t, struct obj *o)
{
    struct obj_big big = {.id = set_new_id(t->set), .first = UINT64_C(1) << 63};

    check(o->form != OBJ_BIG);
    o->form = OBJ_BIG;
    o->value_size = 0;
    obj_big_set(o, &big);
    if (o->type != OBJ_STRING)
        o->elements = elements_new(o->type, true);
    (void)touch(t, o);
    return OK;
}

/* ---- Named elements ---- */

enum err txn_element_get(struct txn *t, struct obj *o, struct slice name, struct slice *value)
{
    return element_find(t, o, hash_name(name), name, value);
}

void txn_element_put(struct txn *t, struct obj *o, struct slice name, struct slice value)
{
    (void)touch(t, o);
    elements_put(elements_of(o), hash_name(name), name, value, NULL);
}

void txn_element_delete(struct txn *t, struct obj *o, struct slice name)
{
    (void)touch(t, o);
    elements_remove(elements_of(o), hash_name(name), name, NULL);
}

/* ---- Members of sorted sets ---- */

void txn_member_put(struct txn *t, struct obj *o, struct slice member, double score, const double *old)
{
    (void)touch(t, o);
    elements_put(elements_of(o), hash_name(member), member, slice_of(&score, sizeof score), old);
}

void txn_member_delete(struct txn *t, struct obj *o, struct slice member, double old)
{
    (void)touch(t, o);
    elements_remove(elements_of(o), hash_name(member), member, &old);
}

/* ---- Indexed elements ---- */

enum err txn_index_get(struct txn *t, struct obj *o, uint64_t index, struct slice *value)
{
    uint8_t name[8];
    uint32_t hash;

    if (o->type != OBJ_STRING) {
        hash = elements_index(index, name);
        return element_find(t, o, hash, slice_of(name, sizeof name), value);
    }
    land(t);
    row_index(&t->row, o->slot, obj_big_get(o).id, index);
    return get(t, o, value);
}

void txn_index_put(struct txn *t, struct obj *o, uint64_t index, struct slice value)
{
    uint8_t name[8];
    uint32_t hash;

    if (o->type != OBJ_STRING) {
        (void)touch(t, o);
        hash = elements_index(index, name);
        elements_put(elements_of(o), hash, slice_of(name, sizeof name), value, NULL);
        return;
    }
    row_index(&t->row, o->slot, obj_big_get(o).id, index);
    put(t, o, value);
}

void txn_index_delete(struct txn *t, struct obj *o, uint64_t index)
{
    uint8_t name[8];
    uint32_t hash;

    if (o->type != OBJ_STRING) {
        (void)touch(t, o);
        hash = elements_index(index, name);
        elements_remove(elements_of(o), hash, slice_of(name, sizeof name), NULL);
        return;
    }
    row_index(&t->row, o->slot, obj_big_get(o).id, index);
    delete(t, o);
}

/* ---- Down to the store ---- */

/* The newest of this transaction's changes of o that are not committed; NULL: all of o is committed. */
static struct touched *uncommitted(struct txn *t, const struct obj *o)
{
    for (size_t i = t->touched_count; i-- > 0;)
        if (t->touched[i].o == o)
            return &t->touched[i];
    return NULL;
}

/*
 * Before a walk over the store: what memory has beyond it lands there, with the record, now or at the commit. A thread
 * that must not wait leaves that to another if it would take long.
 */
enum err rows_down(struct txn *t, struct obj *o)
{
    struct elements *e = o->elements;
    struct touched *entry;
    bool gate_held = t->gate_held;

    land(t);
    if (e == NULL || (!e->flying && e->change_count == 0))
        return OK;
    if (!txn_may_wait(t) && (e->flying || e->change_bytes > DOWN_BYTES_MAX))
        return ERR_COLD;
    if (e->flying)
        wait_landed(t->set);
    if (e->change_count == 0)
        return OK;
    entry = uncommitted(t, o);
    if (entry != NULL) {
        o->state &= ~STATE_SURE;
        entry->through = true;
        elements_batch(t, family_of(t, o), o);
        land(t);
        return OK;
    }
    write_through(t, set_space(t->set, o->db), o);
    land(t);
    if (!gate_held)
        gate_done(t);
    obj_charge(t, o);
    return OK;
}
