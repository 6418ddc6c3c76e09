/*
 * change.c - what a transaction changes: objects made, deleted, emptied, given an expiry, and the counts that go with it.
 *
 * Each change is noted (struct touched) for the effect that will explain it.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"
#include "base/hash.h"
#include "engine/key/row.h"

#include <stdlib.h>

enum { DROP_LATER_COUNT = 1000 };

struct touched *touch_record(struct txn *t, struct obj *o)
{
    struct touched *entry;

    for (size_t i = t->touched_count; i-- > t->unbound;)
        if (t->touched[i].o == o && t->touched[i].effect == EFFECT_NONE) {
            entry = &t->touched[i];
            goto found;
        }
    if (t->touched_count == t->touched_capacity) {
        t->touched_capacity = t->touched_capacity != 0 ? t->touched_capacity * 2 : 16;
        t->touched = realloc(t->touched, t->touched_capacity * sizeof *t->touched);
        check(t->touched != NULL);
    }
    entry = &t->touched[t->touched_count++];
    *entry = (struct touched){.o = o, .space = set_space(t->set, o->db), .effect = EFFECT_NONE, .slot = o->slot, .db = o->db};
found:
    t->changed = t->command_changed = true;
    return entry;
}

struct touched *touch(struct txn *t, struct obj *o)
{
    struct touched *entry = touch_record(t, o);

    if (o->form == OBJ_BIG && o->type == OBJ_STRING)
        entry->through = true;
    return entry;
}

static void count(struct txn *t, struct touched *entry, int keys, int expires)
{
    entry->keys = (int8_t)(entry->keys + keys);
    entry->expires = (int8_t)(entry->expires + expires);
    if (t->options.replay) /* there the log's own deltas count: set_replay_count */
        return;
    if (keys != 0 || expires != 0)
        set_count(t->set, entry->space, entry->slot, keys, expires);
}

void txn_changed(struct txn *t, struct obj *o)
{
    (void)touch(t, o);
}

void txn_changed_record(struct txn *t, struct obj *o)
{
    (void)touch_record(t, o);
}

static void make_empty(struct obj *o, enum obj_type type)
{
    o->type = (uint8_t)type;
    o->form = type == OBJ_STRING ? OBJ_PLAIN : OBJ_PACKED;
    o->marks = 0;
    o->count = 0;
    o->expire_ms = 0;
    o->value_size = 0;
}

struct obj *txn_create(struct txn *t, struct slice key, enum obj_type type)
{
    slot_t number = txn_slot(t, key);
    uint32_t hash = hash_name(key);
    struct slot *slot;
    struct obj *o;

    if (t->space == NULL)
        t->space = set_space_make(t->set, t->db);
    slot = &t->space->slots[number];
    o = table_find(&slot->table, hash, key);
    if (o != NULL) {
        check(o->state & STATE_TOMB);
        o->state &= ~STATE_TOMB;
    } else {
        o = obj_new(hash, key, t->size_hint);
        o->slot = number;
        o->db = (uint16_t)t->db;
        o->state = t->options.replay ? 0 : STATE_SURE; /* find() has just asked the store */
        table_add(&slot->table, o);
    }
    t->size_hint = 0;
    slot->live++;
    o->state |= STATE_REFERENCED;
    make_empty(o, type);
    o->access_clock = (uint32_t)(t->options.now_ms / 1000);
    count(t, touch(t, o), 1, 0);
    return o;
}

/* Freeing many elements takes longer than the slot's other clients should wait. What flies is the writer's, who must know now. */
static void drop_later(struct txn *t, struct elements *e)
{
    if (e == NULL || e->flying || e->count < DROP_LATER_COUNT) {
        elements_drop(e);
        return;
    }
    if (t->dropped_count == t->dropped_capacity) {
        t->dropped_capacity = t->dropped_capacity != 0 ? t->dropped_capacity * 2 : 4;
        t->dropped = realloc(t->dropped, t->dropped_capacity * sizeof *t->dropped);
        check(t->dropped != NULL);
    }
    t->dropped[t->dropped_count++] = e;
}

static void drop_elements(struct txn *t, struct touched *entry)
{
    struct obj *o = entry->o;

    if (o->form != OBJ_BIG)
        return;
    drop_later(t, obj_take_elements(t->set, o));
    if (o->state & STATE_SURE)
        return; /* nothing of it has ever left */
    entry->through = true;
    row_garbage(&t->row, o->slot, obj_big_get(o).id);
    batch_put(t->batch, set_family(t->set, entry->space), buf_slice(&t->row), (struct slice){0});
    if (t->garbage_count == t->garbage_capacity) {
        t->garbage_capacity = t->garbage_capacity != 0 ? t->garbage_capacity * 2 : 4;
        t->garbage = realloc(t->garbage, t->garbage_capacity * sizeof *t->garbage);
        check(t->garbage != NULL);
    }
    t->garbage[t->garbage_count++] = (struct garbage){entry->space->uid, o->slot, obj_big_get(o).id};
}

void txn_delete(struct txn *t, struct obj *o)
{
    struct touched *entry = touch(t, o);

    check(!(o->state & STATE_TOMB));
    drop_elements(t, entry);
    count(t, entry, -1, o->expire_ms != 0 ? -1 : 0);
    entry->space->slots[o->slot].live--;
    o->state |= STATE_TOMB;
    o->form = OBJ_PLAIN;
    o->expire_ms = 0;
    o->count = 0;
    o->value_size = 0;
    TXN_EFFECT(t, o, SLICE_LITERAL("DEL"), obj_key(o));
}

void txn_reset(struct txn *t, struct obj *o, enum obj_type type)
{
    struct touched *entry = touch(t, o);

    drop_elements(t, entry);
    if (o->expire_ms != 0)
        count(t, entry, 0, -1);
    make_empty(o, type);
}

void txn_expire(struct txn *t, struct obj *o, msec_t expire_ms)
{
    struct touched *entry = touch(t, o);
    struct slot *slot = &entry->space->slots[o->slot];

    count(t, entry, 0, (expire_ms != 0) - (o->expire_ms != 0));
    o->expire_ms = expire_ms;
    if (expire_ms != 0 && expire_ms < slot->next_expire_ms)
        slot->next_expire_ms = expire_ms;
}

/* ---- Loading, replay ---- */

enum err set_load_create(struct txn *t, struct slice key, enum obj_type type, struct obj **out)
{
    const struct obj *o = NULL;

    check(t->options.replay);
    if (t->space != NULL)
        o = table_find(&t->space->slots[txn_slot(t, key)].table, hash_name(key), key);
    if (o != NULL && !(o->state & STATE_TOMB))
        return ERR_EXISTS;
    *out = txn_create(t, key, type);
    return OK;
}

enum err set_replay_overwrite(struct txn *t, struct slice key, lsn_t lsn, bool *needed)
{
    slot_t number = txn_slot(t, key);
    uint32_t hash = hash_name(key);
    struct obj *o;

    check(t->options.replay);
    if (t->space == NULL)
        t->space = set_space_make(t->set, t->db);
    o = table_find(&t->space->slots[number].table, hash, key);
    if (o == NULL) {
        o = obj_new(hash, key, 0);
        o->slot = number;
        o->db = (uint16_t)t->db;
        o->state = STATE_TOMB | STATE_BLIND;
        table_add(&t->space->slots[number].table, o);
        (void)touch(t, o); /* also if the effect is DEL and finds nothing to do: the store's row must go */
    }
    *needed = o->last_change < lsn;
    return OK;
}
