/*
 * load.c - objects come from records and go by eviction; what they weigh is accounted here.
 *
 * (1) Only clean objects are evicted: everything in them is in the store, expiry hint included.
 * (2) bytes and objects of the set are the sums over all tables, up to what transactions have not yet passed on.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"
#include "engine/key/record.h"
#include "engine/key/row.h"

enum { CLEAN_LEAST_PART = 16, EVICT_SLOTS_MAX = 64, EVICT_VICTIMS_MAX = 32, DELTA_BYTES_MAX = 64 << 10, TRIM_BYTES_MAX = 64 << 10 };

enum err load_record(struct set *s, struct space *space, slot_t slot, uint32_t hash, struct slice key,
                     enum store_tier tier, struct buf *scratch, struct obj **out)
{
    struct store_value value = {0};
    struct record r;
    struct obj *o;
    enum err e;

    row_key(scratch, slot, hash, key);
    TRY(store_get(s->store, set_family(s, space), tier, buf_slice(scratch), &value));
    e = record_decode(value.bytes, &r);
    if (e == OK) {
        o = obj_new(hash, key, r.value.size);
        o->type = r.type;
        o->form = r.form;
        o->marks = r.marks;
        o->count = r.count;
        o->expire_ms = r.expire_ms;
        o->last_change = r.last_change;
        o->slot = slot;
        obj_value_set(o, r.value);
        *out = o;
    }
    store_value_free(&value);
    return e;
}

uint64_t blind_resolve(struct set *s, struct space *space, struct obj *o, struct buf *scratch)
{
    struct obj *stored = NULL;
    uint64_t id = 0;

    o->state &= ~STATE_BLIND;
    if (atomic_load_explicit(&s->no_ids, memory_order_relaxed))
        return 0;
    if (load_record(s, space, o->slot, o->hash, obj_key(o), STORE_DISK_ONCE, scratch, &stored) != OK)
        return 0; /* absent, as nearly always; what cannot be read cannot be reaped either */
    if (stored->form == OBJ_BIG)
        id = obj_big_get(stored).id;
    obj_free(stored);
    return id;
}

static void delta_pass_on(struct txn *t, bool now)
{
    if (now || t->bytes_delta > DELTA_BYTES_MAX || t->bytes_delta < -DELTA_BYTES_MAX) {
        atomic_fetch_add_explicit(&t->set->bytes, t->bytes_delta, memory_order_relaxed);
        atomic_fetch_add_explicit(&t->set->objects, t->objects_delta, memory_order_relaxed);
        t->bytes_delta = t->objects_delta = 0;
    }
}

/* The dirty bytes of elements are those that changed, whatever the object's state. */
static void elements_charge(struct txn *t, struct elements *e)
{
    int64_t more = (int64_t)(e->bytes - e->charged), dirty = (int64_t)(e->change_bytes - e->charged_dirty);

    e->charged = e->bytes;
    e->charged_dirty = e->change_bytes;
    if (dirty != 0)
        atomic_fetch_add_explicit(&t->set->dirty_bytes, dirty, memory_order_relaxed);
    t->bytes_delta += more;
    delta_pass_on(t, false);
}

struct elements *obj_take_elements(struct set *s, struct obj *o)
{
    struct elements *e = o->elements;

    if (e == NULL)
        return NULL;
    o->elements = NULL;
    atomic_fetch_sub_explicit(&s->bytes, (int64_t)e->charged, memory_order_relaxed);
    atomic_fetch_sub_explicit(&s->dirty_bytes, (int64_t)e->charged_dirty, memory_order_relaxed);
    e->charged = e->charged_dirty = 0;
    return e;
}

void obj_drop_elements(struct set *s, struct obj *o)
{
    elements_drop(obj_take_elements(s, o));
}

void obj_charge(struct txn *t, struct obj *o)
{
    size_t memory = obj_memory(o);
    int64_t more = (int64_t)memory - o->charged;

    if (o->elements != NULL)
        elements_charge(t, o->elements);
    if (more == 0)
        return;
    if (o->charged == 0)
        t->objects_delta++;
    o->charged = (uint32_t)memory;
    t->bytes_delta += more;
    if (o->state & STATE_DIRTY)
        atomic_fetch_add_explicit(&t->set->dirty_bytes, more, memory_order_relaxed);
    delta_pass_on(t, false);
}

void obj_forget(struct set *s, struct slot *slot, struct obj *o)
{
    check(!(o->state & (STATE_DIRTY | STATE_HELD)));
    if (!(o->state & STATE_TOMB))
        slot->live--;
    table_remove(&slot->table, o);
    obj_drop_elements(s, o);
    if (o->charged != 0) {
        atomic_fetch_sub_explicit(&s->bytes, o->charged, memory_order_relaxed);
        atomic_fetch_sub_explicit(&s->objects, 1, memory_order_relaxed);
    }
    obj_free(o);
}

/* One pass of the hand over a slot: what was used since the last pass gets another round. */
static size_t evict_slot(struct set *s, struct slot *slot)
{
    struct obj *victims[EVICT_VICTIMS_MAX];
    size_t count = 0, freed = 0;

    for (uint32_t i = 0; i < slot->table.capacity && count < EVICT_VICTIMS_MAX; i++) {
        struct obj *o = table_at(&slot->table, i);

        if (o == NULL)
            continue;
        if (o->elements != NULL && freed < TRIM_BYTES_MAX) {
            size_t trimmed = elements_trim(o->elements, false, TRIM_BYTES_MAX, atomic_load(&s->budget_bytes) / 4);

            o->elements->charged -= trimmed;
            atomic_fetch_sub_explicit(&s->bytes, (int64_t)trimmed, memory_order_relaxed);
            freed += trimmed;
        }
        if (o->state & (STATE_DIRTY | STATE_FLYING))
            continue;
        if (o->state & STATE_REFERENCED)
            o->state &= ~STATE_REFERENCED;
        else
            victims[count++] = o;
    }
    for (size_t i = 0; i < count; i++) {
        if (victims[i]->expire_ms != 0 && victims[i]->expire_ms < slot->cold_expire_ms)
            slot->cold_expire_ms = victims[i]->expire_ms;
        freed += victims[i]->charged;
        obj_forget(s, slot, victims[i]);
    }
    atomic_fetch_add_explicit(&s->evictions, count, memory_order_relaxed);
    return freed;
}

void evict_some(struct txn *t)
{
    struct set *s = t->set;
    int64_t budget = (int64_t)atomic_load_explicit(&s->budget_bytes, memory_order_relaxed);
    size_t freed = 0;

    if (atomic_load_explicit(&s->bytes, memory_order_relaxed) + t->bytes_delta <= budget)
        return;
    delta_pass_on(t, true);
    if (atomic_load_explicit(&s->bytes, memory_order_relaxed) - atomic_load_explicit(&s->dirty_bytes, memory_order_relaxed) <
        budget / CLEAN_LEAST_PART) { /* a look through many slots would find next to nothing */
        set_wake_writer(s);
        return;
    }
    for (int tries = 0; tries < EVICT_SLOTS_MAX; tries++) {
        unsigned hand = atomic_fetch_add_explicit(&s->eviction_hand, 1, memory_order_relaxed);
        slot_t slot = hand & (SLOTS - 1);
        struct space *space = NULL;

        for (unsigned i = 0; i < s->databases && space == NULL; i++)
            space = set_space(s, (hand / SLOTS + i) % s->databases);
        if (space == NULL)
            return;
        if (pthread_mutex_trylock(&s->locks[slot]) != 0)
            continue;
        freed += evict_slot(s, &space->slots[slot]);
        pthread_mutex_unlock(&s->locks[slot]);
        if (freed > 4096 && atomic_load_explicit(&s->bytes, memory_order_relaxed) <= budget)
            return;
        if (freed > 64 << 10)
            return;
    }
    if (freed == 0)
        set_wake_writer(s);
}
