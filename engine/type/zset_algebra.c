/*
 * zset_algebra.c - the smallest set is walked and the others are probed, or all are walked into memory.
 */
#include "engine/type/zset_algebra.h"

#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "engine/type/element_walk.h"
#include "engine/type/name_set.h"
#include "engine/type/sets.h"
#include "engine/type/zset.h"

enum err zset_operands_find(struct txn *t, const struct slice *keys, size_t count, struct zset_operand *operands)
{
    for (size_t i = 0; i < count; i++) {
        struct obj *o = NULL;
        enum err e = txn_read(t, keys[i], OBJ_ANY, &o);

        if (e != OK && e != ERR_NOT_FOUND)
            return e;
        if (e == OK && o->type != OBJ_ZSET && o->type != OBJ_SET)
            return ERR_WRONG_TYPE;
        operands[i] = (struct zset_operand){.o = e == OK ? o : NULL, .weight = 1};
    }
    return OK;
}

static uint64_t size_of(const struct zset_operand *s)
{
    return s->o != NULL ? s->o->count : 0;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = size_of(a), y = size_of(b);

    return (x > y) - (x < y);
}

static void order_by_size(struct zset_operand *operands, size_t count)
{
    if (count > 1)
        qsort(operands, count, sizeof *operands, by_size);
}

static uint64_t elements_of(const struct zset_operand *operands, size_t count)
{
    uint64_t n = 0;

    for (size_t i = 0; i < count; i++)
        n += size_of(&operands[i]);
    return n;
}

/* ERR_NOT_FOUND: not a member. */
static enum err score_in(struct txn *t, struct obj *o, struct slice member, double *score)
{
    bool has = false;

    if (o->type == OBJ_ZSET)
        return zset_score(t, o, member, score);
    TRY(sets_has(t, o, member, &has));
    *score = 1;
    return has ? OK : ERR_NOT_FOUND;
}

static double score_at(const struct element_walk *w)
{
    double score = 1;

    if (w->value.size == sizeof score)
        memcpy(&score, w->value.data, sizeof score);
    return score;
}

static double number_or_zero(double x)
{
    return isnan(x) ? 0 : x; /* 0 times infinity; infinity less infinity */
}

static double combine(double a, double b, enum zset_aggregate aggregate)
{
    switch (aggregate) {
    case ZSET_SUM: return number_or_zero(a + b);
    case ZSET_MIN: return b < a ? b : a;
    default: return b > a ? b : a;
    }
}

/* ---- Intersection ---- */

/* The weighted score of a member of operands[0] in all of them; ERR_NOT_FOUND. */
static enum err score_in_all(struct txn *t, const struct zset_operand *operands, size_t count,
                             const struct element_walk *w, enum zset_aggregate aggregate, double *score)
{
    double first = score_at(w), sum = number_or_zero(first * operands[0].weight);

    for (size_t i = 1; i < count; i++) {
        double other = first;

        if (operands[i].o != operands[0].o)
            TRY(score_in(t, operands[i].o, w->name, &other));
        sum = combine(sum, other * operands[i].weight, aggregate); /* NaN: a sum becomes 0, the others stay */
    }
    *score = sum;
    return OK;
}

/* out NULL: only counts. */
static enum err intersect(struct txn *t, struct zset_operand *operands, size_t count, enum zset_aggregate aggregate,
                          uint64_t limit, struct element_list *out, uint64_t *result)
{
    struct element_walk w;
    uint64_t n = 0;
    enum err e = OK;

    *result = 0;
    order_by_size(operands, count);
    if (operands[0].o == NULL)
        return OK;
    TRY(element_walk_begin(t, operands[0].o, &w));
    while ((limit == 0 || n < limit) && (e = element_walk_next(&w)) == OK) {
        double score;

        e = score_in_all(t, operands, count, &w, aggregate, &score);
        if (e == ERR_NOT_FOUND) {
            e = OK;
            continue;
        }
        if (e != OK)
            goto out;
        n++;
        if (out != NULL)
            zset_list_add(out, w.name, score);
    }
    *result = n;
    e = e == ERR_NOT_FOUND ? OK : e;
out:
    element_walk_end(&w);
    return e;
}

enum err zset_intersect(struct txn *t, struct zset_operand *operands, size_t count, enum zset_aggregate aggregate,
                        struct element_list *out)
{
    uint64_t n;

    TRY(intersect(t, operands, count, aggregate, 0, out, &n));
    zset_list_sort(out);
    return OK;
}

enum err zset_intersect_count(struct txn *t, struct zset_operand *operands, size_t count, uint64_t limit,
                              uint64_t *result)
{
    return intersect(t, operands, count, ZSET_SUM, limit, NULL, result);
}

/* ---- Union ---- */

/* Members met so far, each with its score at the same place. */
struct accumulated {
    struct name_set names;
    double *scores;
    size_t capacity;
};

static void accumulate(struct accumulated *a, struct slice member, double score, enum zset_aggregate aggregate)
{
    bool added;
    size_t at = name_set_put(&a->names, member, &added);

    if (at >= a->capacity) {
        a->capacity = a->capacity != 0 ? a->capacity * 2 : 64;
        a->scores = realloc(a->scores, a->capacity * sizeof *a->scores);
        check(a->scores != NULL);
    }
    a->scores[at] = added ? score : combine(a->scores[at], score, aggregate);
}

static enum err accumulate_all(struct txn *t, const struct zset_operand *s, enum zset_aggregate aggregate,
                               struct accumulated *a)
{
    struct element_walk w;
    enum err e;

    if (s->o == NULL)
        return OK;
    TRY(element_walk_begin(t, s->o, &w));
    while ((e = element_walk_next(&w)) == OK)
        accumulate(a, w.name, number_or_zero(score_at(&w) * s->weight), aggregate);
    element_walk_end(&w);
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err zset_unite(struct txn *t, struct zset_operand *operands, size_t count, enum zset_aggregate aggregate,
                    struct element_list *out)
{
    struct accumulated a = {0};
    enum err e = OK;

    if (elements_too_many(t, elements_of(operands, count)))
        return ERR_COLD;
    order_by_size(operands, count);
    for (size_t i = 0; i < count && e == OK; i++)
        e = accumulate_all(t, &operands[i], aggregate, &a);
    for (size_t i = 0; i < a.names.length && e == OK; i++) {
        struct slice member;

        if (name_set_at(&a.names, i, &member))
            zset_list_add(out, member, a.scores[i]);
    }
    name_set_free(&a.names);
    free(a.scores);
    if (e == OK)
        zset_list_sort(out);
    return e;
}

/* ---- Difference ---- */

/* Whether any of the others has the member: looked up in each, or (taken not NULL) in what was collected from them. */
static enum err in_others(struct txn *t, const struct zset_operand *others, size_t count, const struct name_set *taken,
                          struct slice member, bool *in)
{
    *in = taken != NULL && name_set_has(taken, member);
    for (size_t i = 0; i < count && taken == NULL && !*in; i++) {
        double score;
        enum err e = others[i].o != NULL ? score_in(t, others[i].o, member, &score) : ERR_NOT_FOUND;

        if (e != OK && e != ERR_NOT_FOUND)
            return e;
        *in = e == OK;
    }
    return OK;
}

static enum err collect_names(struct txn *t, const struct zset_operand *others, size_t count, struct name_set *names)
{
    for (size_t i = 0; i < count; i++) {
        struct element_walk w;
        enum err e;

        if (others[i].o == NULL)
            continue;
        TRY(element_walk_begin(t, others[i].o, &w));
        while ((e = element_walk_next(&w)) == OK)
            name_set_add(names, w.name);
        element_walk_end(&w);
        if (e != ERR_NOT_FOUND)
            return e;
    }
    return OK;
}

static enum err keep_rest(struct txn *t, struct zset_operand *operands, size_t count, const struct name_set *taken,
                          struct element_list *out)
{
    struct element_walk w;
    enum err e;

    TRY(element_walk_begin(t, operands[0].o, &w));
    while ((e = element_walk_next(&w)) == OK) {
        bool in;

        if ((e = in_others(t, operands + 1, count - 1, taken, w.name, &in)) != OK)
            break;
        if (!in)
            zset_list_add(out, w.name, score_at(&w));
    }
    element_walk_end(&w);
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err zset_subtract(struct txn *t, struct zset_operand *operands, size_t count, struct element_list *out)
{
    uint64_t others = elements_of(operands + 1, count - 1), present = 0;
    struct name_set taken = {0};
    bool probe;
    enum err e = OK;

    if (operands[0].o == NULL)
        return OK;
    for (size_t i = 1; i < count; i++) {
        if (operands[i].o == operands[0].o)
            return OK;
        present += operands[i].o != NULL;
    }
    if (elements_too_many(t, size_of(&operands[0]) + others))
        return ERR_COLD;
    probe = size_of(&operands[0]) * present <= others; /* else it is cheaper to read the others once */
    if (!probe)
        e = collect_names(t, operands + 1, count - 1, &taken);
    if (e == OK)
        e = keep_rest(t, operands, count, probe ? NULL : &taken, out);
    name_set_free(&taken);
    if (e == OK)
        zset_list_sort(out);
    return e;
}
