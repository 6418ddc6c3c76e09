/*
 * set_algebra.c - the smallest set is walked and the others are probed, or all are walked into memory.
 */
#include "engine/type/set_algebra.h"

#include <stdlib.h>

#include "base/check.h"
#include "engine/type/element_walk.h"
#include "engine/type/sets.h"

enum { OPERANDS_INLINE = 16 };

struct operands {
    struct obj **sets; /* NULL: absent */
    size_t count;
    bool any_absent;
    struct obj *few[OPERANDS_INLINE];
};

static void operands_fini(struct operands *s)
{
    if (s->sets != s->few)
        free(s->sets);
}

/* All keys are looked up and checked before anything is computed, as in Redis. */
static enum err operands_init(struct operands *s, struct txn *t, const struct slice *keys, size_t count)
{
    s->sets = s->few;
    s->count = count;
    s->any_absent = false;
    if (count > OPERANDS_INLINE) {
        s->sets = malloc(count * sizeof *s->sets);
        check(s->sets != NULL);
    }
    for (size_t i = 0; i < count; i++) {
        enum err e = txn_read(t, keys[i], OBJ_SET, &s->sets[i]);

        if (e == ERR_NOT_FOUND) {
            s->sets[i] = NULL;
            s->any_absent = true;
        } else if (e != OK) {
            operands_fini(s);
            return e;
        }
    }
    return OK;
}

/* A union or difference walks all sets. */
static uint64_t elements_of(const struct operands *s)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s->count; i++)
        n += s->sets[i] != NULL ? s->sets[i]->count : 0;
    return n;
}

static int by_count(const void *a, const void *b)
{
    const struct obj *x = *(struct obj *const *)a, *y = *(struct obj *const *)b;

    return (x->count > y->count) - (x->count < y->count);
}

/* out NULL: only counts. */
static enum err intersect(struct txn *t, struct operands *s, uint64_t limit, struct name_set *out, uint64_t *result)
{
    struct element_walk w;
    uint64_t n = 0;
    enum err e = OK;

    *result = 0;
    if (s->any_absent)
        return OK;
    qsort(s->sets, s->count, sizeof *s->sets, by_count);
    TRY(element_walk_begin(t, s->sets[0], &w));
    while ((limit == 0 || n < limit) && (e = element_walk_next(&w)) == OK) {
        bool has = true;

        for (size_t i = 1; i < s->count && has; i++) {
            if (s->sets[i] == s->sets[i - 1])
                continue;
            if ((e = sets_has(t, s->sets[i], w.name, &has)) != OK)
                goto out;
        }
        if (!has)
            continue;
        n++;
        if (out != NULL)
            name_set_add(out, w.name);
    }
    *result = n;
out:
    element_walk_end(&w);
    return e == ERR_NOT_FOUND ? OK : e;
}

/* Adds the members of o to out, or takes them out of it. */
static enum err merge(struct txn *t, struct obj *o, bool add, struct name_set *out)
{
    struct element_walk w;
    enum err e;

    TRY(element_walk_begin(t, o, &w));
    while ((e = element_walk_next(&w)) == OK) {
        if (add)
            name_set_add(out, w.name);
        else
            name_set_remove(out, w.name);
    }
    element_walk_end(&w);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err unite(struct txn *t, struct operands *s, struct name_set *out)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->sets[i] != NULL)
            TRY(merge(t, s->sets[i], true, out));
    return OK;
}

/* Few members against large sets: each is looked up in them. */
static enum err subtract_by_probing(struct txn *t, struct operands *s, struct name_set *out)
{
    struct element_walk w;
    enum err e;

    TRY(element_walk_begin(t, s->sets[0], &w));
    while ((e = element_walk_next(&w)) == OK) {
        bool has = false;

        for (size_t i = 1; i < s->count && !has; i++)
            if (s->sets[i] != NULL && (e = sets_has(t, s->sets[i], w.name, &has)) != OK)
                goto out;
        if (!has)
            name_set_add(out, w.name);
    }
out:
    element_walk_end(&w);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err subtract(struct txn *t, struct operands *s, struct name_set *out)
{
    uint64_t others = 0, present = 0;

    if (s->sets[0] == NULL)
        return OK;
    for (size_t i = 1; i < s->count; i++) {
        if (s->sets[i] == s->sets[0])
            return OK;
        if (s->sets[i] != NULL) {
            others += s->sets[i]->count;
            present++;
        }
    }
    if (s->sets[0]->count * present < others) /* a probe costs a few times what a step of a walk does */
        return subtract_by_probing(t, s, out);
    TRY(merge(t, s->sets[0], true, out));
    for (size_t i = 1; i < s->count && out->count > 0; i++)
        if (s->sets[i] != NULL)
            TRY(merge(t, s->sets[i], false, out));
    return OK;
}

enum err set_algebra(struct txn *t, enum set_operation operation, const struct slice *keys, size_t count,
                     uint64_t limit, struct name_set *out)
{
    struct operands s;
    uint64_t n;
    enum err e;

    TRY(operands_init(&s, t, keys, count));
    if (operation == SET_INTERSECT)
        e = intersect(t, &s, limit, out, &n);
    else if (elements_too_many(t, elements_of(&s)))
        e = ERR_COLD;
    else if (operation == SET_UNITE)
        e = unite(t, &s, out);
    else
        e = subtract(t, &s, out);
    operands_fini(&s);
    return e;
}

enum err set_algebra_count(struct txn *t, const struct slice *keys, size_t count, uint64_t limit, uint64_t *result)
{
    struct operands s;
    uint64_t n = 0;
    enum err e;

    TRY(operands_init(&s, t, keys, count));
    e = intersect(t, &s, limit, NULL, &n);
    operands_fini(&s);
    TRY(e);
    *result = n;
    return OK;
}
