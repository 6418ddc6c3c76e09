/*
 * sets.c - members of a set in either form.
 *
 * (1) A set beyond OBJ_PACKED_ENTRIES_MAX members or OBJ_PACKED_BYTES_MAX bytes becomes BIG; far below (half of both)
 *     it may become PACKED again.
 * (2) Marks: MIXED once a member is no integer, LARGE once Redis would have left intset or listpack for a hash table.
 */
#include "engine/type/sets.h"

#include "base/num.h"
#include "engine/type/effect_run.h"
#include "engine/type/element_walk.h"
#include "engine/type/name_set.h"
#include "engine/type/packed.h"

enum { POP_SHARE = 20 }; /* SPOP of at most 1/20 of a BIG set takes neighbours; more is drawn in one walk */

const char *sets_encoding(const struct obj *o)
{
    if (o->marks & OBJ_MARK_LARGE)
        return "hashtable";
    return o->marks & OBJ_MARK_MIXED ? "listpack" : "intset";
}

static bool find(const struct obj *o, struct slice member, struct packed *place)
{
    return packed_find(obj_value(o), member, 1, place);
}

enum err sets_has(struct txn *t, struct obj *o, struct slice member, bool *has)
{
    struct packed place;
    struct slice value;
    enum err e;

    if (o->form != OBJ_BIG) {
        *has = find(o, member, &place);
        return OK;
    }
    e = txn_element_get(t, o, member, &value);
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    *has = e == OK;
    return OK;
}

static bool is_integer(struct slice member)
{
    int64_t number;

    return member.size <= 20 && num_parse_i64(member, &number);
}

/* After `member` came in and was counted. */
static void mark(struct obj *o, struct slice member)
{
    if ((o->marks & (OBJ_MARK_MIXED | OBJ_MARK_LARGE)) == (OBJ_MARK_MIXED | OBJ_MARK_LARGE))
        return;
    if (!is_integer(member)) {
        o->marks |= OBJ_MARK_MIXED;
        if (member.size > SETS_LISTPACK_VALUE_MAX)
            o->marks |= OBJ_MARK_LARGE;
    }
    if (o->count > (o->marks & OBJ_MARK_MIXED ? SETS_LISTPACK_ENTRIES_MAX : SETS_INTSET_ENTRIES_MAX))
        o->marks |= OBJ_MARK_LARGE;
}

/* Redis chooses by the number of words before it knows how many are new. */
static void mark_for(struct obj *o, struct slice first, size_t count)
{
    bool mixed = o->marks & OBJ_MARK_MIXED || (o->count == 0 && !is_integer(first));

    if (count > (mixed ? SETS_LISTPACK_ENTRIES_MAX : SETS_INTSET_ENTRIES_MAX))
        o->marks |= OBJ_MARK_LARGE;
}

enum err sets_add(struct txn *t, struct obj *o, struct slice member, bool *added)
{
    bool has;

    TRY(sets_has(t, o, member, &has));
    *added = !has;
    if (has)
        return OK;
    o->count++;
    mark(o, member);
    if (o->form == OBJ_BIG)
        txn_element_put(t, o, member, (struct slice){0});
    else
        packed_append(o, member);
    txn_changed(t, o);
    return o->form != OBJ_BIG && element_outgrown(o) ? element_make_big(t, o) : OK;
}

enum err sets_add_many(struct txn *t, struct obj *o, const struct slice *members, size_t count, uint64_t *added)
{
    uint64_t n = 0;

    TRY(element_warm(t, o, members, count, 1));
    mark_for(o, members[0], count);
    for (size_t i = 0; i < count; i++) {
        bool one = false;

        TRY(sets_add(t, o, members[i], &one));
        n += one;
    }
    *added = n;
    return OK;
}

static enum err remove_one(struct txn *t, struct obj *o, struct slice member, bool *removed)
{
    struct packed place;
    bool has;

    *removed = false;
    if (o->form == OBJ_BIG) {
        TRY(sets_has(t, o, member, &has));
        if (!has)
            return OK;
        txn_element_delete(t, o, member);
    } else {
        if (!find(o, member, &place))
            return OK;
        packed_remove(o, place.at, place.next);
    }
    o->count--;
    txn_changed(t, o);
    element_shrink(t, o);
    *removed = true;
    return OK;
}

enum err sets_remove(struct txn *t, struct obj *o, const struct slice *members, size_t count, uint64_t *removed)
{
    uint64_t n = 0;

    TRY(element_warm(t, o, members, count, 1));
    for (size_t i = 0; i < count; i++) {
        bool one;

        TRY(remove_one(t, o, members[i], &one));
        n += one;
        if (o->count == 0) {
            txn_delete(t, o);
            break;
        }
    }
    *removed = n;
    return OK;
}

/* Finds the members to pop, fewer than there are. */
static enum err choose(struct txn *t, struct obj *o, uint64_t count, struct element_list *l)
{
    if (o->form == OBJ_BIG && count <= o->count / POP_SHARE && !txn_in_memory(o))
        return elements_too_many(t, count) ? ERR_COLD : element_take(t, o, count, l);
    return element_sample(t, o, count, false, l);
}

enum err sets_pop_many(struct txn *t, struct obj *o, uint64_t count, struct element_list *l)
{
    bool all = count >= o->count;
    size_t from = l->count;
    struct effect_run run;
    enum err e = OK;

    TRY(all ? element_sample(t, o, o->count, false, l) : choose(t, o, count, l));
    if (all) {
        txn_delete(t, o);
        return OK;
    }
    effect_run_begin(&run, t, o, "SREM");
    for (size_t i = from; i < l->count && e == OK; i++) {
        bool removed;

        e = remove_one(t, o, element_list_name(l, i), &removed);
        effect_run_add(&run, element_list_name(l, i));
    }
    effect_run_end(&run);
    return e;
}

static enum err pop_packed(struct txn *t, struct obj *o, struct buf *out)
{
    size_t at = out->size;
    struct slice name, value;
    bool removed;

    TRY(element_random(t, o, out, &name, &value)); /* borrows from the object */
    buf_append_slice(out, name);
    name = slice_of(out->data + at, out->size - at);
    TRY(remove_one(t, o, name, &removed));
    if (o->count == 0)
        txn_delete(t, o);
    else
        TXN_EFFECT(t, o, SLICE_LITERAL("SREM"), obj_key(o), name);
    return OK;
}

enum err sets_pop(struct txn *t, struct obj *o, struct buf *out)
{
    struct element_list l = {0};
    enum err e;

    if (o->form != OBJ_BIG)
        return pop_packed(t, o, out);
    e = sets_pop_many(t, o, 1, &l);
    if (e == OK && l.count == 1)
        buf_append_slice(out, element_list_name(&l, 0));
    else if (e == OK)
        e = err_set(ERR_CORRUPT, "a set of %llu members has no rows", (unsigned long long)o->count);
    element_list_free(&l);
    return e;
}

enum err sets_move(struct txn *t, struct slice source, struct slice destination, struct slice member, bool *moved)
{
    struct obj *from, *to = NULL;
    bool has, had = false, done;
    enum err e = txn_write(t, source, OBJ_SET, &from);

    if (e == ERR_NOT_FOUND) {
        *moved = false;
        return OK;
    }
    TRY(e);
    e = txn_write(t, destination, OBJ_SET, &to);
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    TRY(sets_has(t, from, member, &has));
    if (has && to != NULL && to != from)
        TRY(sets_has(t, to, member, &had));
    *moved = has;
    if (!has || from == to)
        return OK;
    TRY(remove_one(t, from, member, &done));
    if (from->count == 0)
        txn_delete(t, from);
    else
        TXN_EFFECT(t, from, SLICE_LITERAL("SREM"), source, member);
    if (had)
        return OK;
    if (to == NULL)
        to = txn_create(t, destination, OBJ_SET);
    TRY(sets_add(t, to, member, &done));
    TXN_EFFECT(t, to, SLICE_LITERAL("SADD"), destination, member);
    return OK;
}

/* An empty set becomes these members; they are distinct, so nothing needs to be looked up. */
static enum err fill(struct txn *t, struct obj *o, const struct name_set *members)
{
    struct slice member;

    if (members->count > OBJ_PACKED_ENTRIES_MAX || members->bytes.size > OBJ_PACKED_BYTES_MAX)
        TRY(txn_make_big(t, o));
    for (size_t i = 0; i < members->length; i++) {
        if (!name_set_at(members, i, &member))
            continue;
        o->count++;
        mark(o, member);
        if (o->form == OBJ_BIG)
            txn_element_put(t, o, member, (struct slice){0});
        else
            packed_append(o, member);
    }
    txn_changed(t, o);
    return o->form != OBJ_BIG && element_outgrown(o) ? element_make_big(t, o) : OK;
}

enum err sets_store(struct txn *t, struct slice key, const struct name_set *members)
{
    struct effect_run run;
    struct slice member;
    struct obj *o;
    enum err e = txn_write(t, key, OBJ_ANY, &o);

    if (e == OK)
        txn_delete(t, o);
    else if (e != ERR_NOT_FOUND)
        return e;
    if (members->count == 0)
        return OK;
    o = txn_create(t, key, OBJ_SET);
    TRY(fill(t, o, members));
    effect_run_begin(&run, t, o, "SADD");
    for (size_t i = 0; i < members->length; i++)
        if (name_set_at(members, i, &member))
            effect_run_add(&run, member);
    effect_run_end(&run);
    return OK;
}
