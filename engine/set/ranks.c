/*
 * ranks.c - sorted sets in order from memory: walks by score, ranks, members by rank.
 *
 * The order is made when it is first asked for, in O(n log n), and kept up with every change from then on, until its
 * memory is needed. It needs all members in memory: a set that has grown up there has them; of another they are fetched
 * when a rank is asked for, which would have to walk them all anyway. What would not fit the budget is left to the store.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"
#include "base/hash.h"

enum {
    SMALL = 4096,       /* a larger set keeps no client waiting while its order is made */
    MEMBER_BYTES = 128, /* about, in memory */
};

static bool fits(struct txn *t, uint64_t more)
{
    int64_t budget = (int64_t)atomic_load_explicit(&t->set->budget_bytes, memory_order_relaxed);

    return (int64_t)more < budget / 8 &&
           atomic_load_explicit(&t->set->bytes, memory_order_relaxed) + (int64_t)more < budget;
}

/* All members into memory. */
static enum err fetch(struct txn *t, struct obj *o)
{
    struct txn_cursor c;
    uint64_t n = 0;
    enum err e;

    TRY(txn_elements(t, o, 0, &c)); /* what memory has beyond the store is there now */
    while ((e = txn_cursor_next(&c)) == OK) {
        if (elements_find(o->elements, c.hash, c.name) == NULL)
            elements_remember(o->elements, c.hash, c.name, c.value);
        n++;
    }
    txn_cursor_close(&c);
    if (e != ERR_NOT_FOUND)
        return e;
    if (n != o->count)
        return err_set(ERR_CORRUPT, "a sorted set has %llu rows, not %llu", (unsigned long long)n,
                       (unsigned long long)o->count);
    o->elements->complete = true;
    return OK;
}

static enum err order_of(struct txn *t, struct obj *o, bool may_fetch, struct order **out)
{
    struct elements *e = o->elements;

    if (o->type != OBJ_ZSET || (e == NULL && !may_fetch))
        return ERR_NOT_FOUND;
    if (e == NULL)
        e = o->elements = elements_new(o->type, false);
    if (e->order == NULL) {
        if (!e->complete && !may_fetch)
            return ERR_NOT_FOUND;
        if (!fits(t, o->count * (e->complete ? sizeof(struct order_entry) * 2 : MEMBER_BYTES)))
            return ERR_NOT_FOUND;
        if (o->count > SMALL && !txn_may_wait(t))
            return ERR_COLD;
        if (!e->complete)
            TRY(fetch(t, o));
        (void)elements_order(e);
        obj_charge(t, o);
    }
    *out = elements_order(e);
    if ((*out)->count != o->count)
        return err_set(ERR_CORRUPT, "a sorted set has %llu members in order, not %llu",
                       (unsigned long long)(*out)->count, (unsigned long long)o->count);
    return OK;
}

static void begin(struct txn *t, const struct order *order, struct order_place place, bool reverse, struct txn_cursor *c)
{
    *c = (struct txn_cursor){.txn = t, .reverse = reverse, .order = order, .place = place, .version = order->version};
}

enum err order_walk(struct txn *t, struct obj *o, double score, struct slice member, bool reverse, struct txn_cursor *c)
{
    struct order *order = NULL;
    struct order_place place, over;

    TRY(order_of(t, o, false, &order));
    place = over = order_find(order, score, member);
    if (reverse && member.size != SIZE_MAX) { /* backwards from the member itself, if it is there */
        const struct order_entry *entry = order_next(order, &over, false);

        if (entry != NULL && entry->score == score && slice_equal(element_name(entry->element), member))
            place = over;
    }
    begin(t, order, place, reverse, c);
    return OK;
}

enum err txn_scores_at(struct txn *t, struct obj *o, uint64_t rank, bool reverse, struct txn_cursor *c)
{
    struct order *order = NULL;

    TRY(order_of(t, o, true, &order));
    check(rank < order->count);
    begin(t, order, order_at(order, rank + reverse), reverse, c);
    return OK;
}

enum err txn_score_rank(struct txn *t, struct obj *o, double score, struct slice member, uint64_t *below)
{
    struct order *order = NULL;

    TRY(order_of(t, o, true, &order));
    *below = order_rank(order, order_find(order, score, member));
    return OK;
}

enum err order_walk_next(struct txn_cursor *c)
{
    const struct order_entry *entry;

    if (c->version != c->order->version)
        return err_set(ERR_CORRUPT, "a sorted set was changed under a walk");
    entry = order_next(c->order, &c->place, c->reverse);
    if (entry == NULL)
        return ERR_NOT_FOUND;
    c->name = element_name(entry->element);
    c->score = entry->score;
    return OK;
}
