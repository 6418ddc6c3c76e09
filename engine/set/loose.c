/*
 * loose.c - objects that are built beside the tables and given to a key in one step.
 *
 * (1) Nobody but the builder knows a loose object: no lock, no figures, no log, no store. Its elements are all active, as if
 *     they had just been changed, which for everybody else they have.
 * (2) Its id may be given to nobody: ids are never used twice, so a gap does no harm.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"
#include "base/hash.h"

struct obj *txn_loose(struct txn *t, struct slice key, enum obj_type type)
{
    struct obj *o;

    check(t->slot_count == 0 && type != OBJ_STRING); /* chunks of strings would land in the store */
    o = obj_new(hash_name(key), key, 0);
    o->slot = hash_slot(key);
    o->db = (uint16_t)t->db;
    o->state = STATE_SURE;
    o->type = (uint8_t)type;
    o->form = OBJ_PACKED;
    return o;
}

void txn_loose_end(struct txn *t)
{
    check(t->slot_count == 0 && t->effect_count == 0 && batch_count(t->batch) == 0);
    t->touched_count = t->unbound = 0;
    t->changed = t->command_changed = false;
}

void txn_adopt(struct txn *t, struct obj *o, struct obj *loose)
{
    check(o->type == loose->type && o->elements == NULL && o->count == 0 && o->value_size == 0);
    o->form = loose->form;
    o->marks = loose->marks;
    o->count = loose->count;
    obj_value_set(o, obj_value(loose));
    o->elements = loose->elements;
    loose->elements = NULL;
    txn_changed(t, o);
}

void txn_loose_free(struct obj *loose)
{
    if (loose != NULL)
        obj_free(loose);
}
