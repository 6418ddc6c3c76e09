/*
 * zset_ends.c - reading, widening and renewing the bounds.
 */
#include "engine/type/zset_ends.h"

#include <math.h>

#include "engine/type/zset_walk.h"

enum {
    HEAD_BYTES = 18,
    MEMBER_MAX = 64, /* a low bound is cut to it; a higher high bound becomes ALL */
    ALL = 255,
};

struct ends {
    double score[2]; /* low, high */
    uint8_t size[2];
    uint8_t member[2][MEMBER_MAX];
};

static bool ends_read(const struct obj *o, struct ends *e)
{
    size_t size = o->value_size - sizeof(struct obj_big), bytes = HEAD_BYTES;
    const uint8_t *at = o->value + sizeof(struct obj_big);

    if (__builtin_expect(size < HEAD_BYTES, 1))
        return false;
    memcpy(e->score, at, sizeof e->score);
    memcpy(e->size, at + sizeof e->score, sizeof e->size);
    for (int i = 0; i < 2; i++) {
        size_t n = i == 1 && e->size[i] == ALL ? 0 : e->size[i];

        if (n > MEMBER_MAX || bytes + n > size)
            return false;
        memcpy(e->member[i], at + bytes, n);
        bytes += n;
    }
    return bytes == size;
}

static struct slice ends_member(const struct ends *e, int i)
{
    return i == 1 && e->size[i] == ALL ? TXN_MEMBER_LAST : slice_of(e->member[i], e->size[i]);
}

static void ends_set(struct ends *e, int i, double score, struct slice member)
{
    bool cut = member.size > MEMBER_MAX;

    e->score[i] = score;
    e->size[i] = (uint8_t)(!cut ? member.size : i == 0 ? MEMBER_MAX : ALL);
    if (member.size > 0 && (!cut || i == 0))
        memcpy(e->member[i], member.data, e->size[i]);
}

static void ends_write(struct obj *o, const struct ends *e)
{
    size_t low = e->size[0], high = e->size[1] == ALL ? 0 : e->size[1];
    size_t size = sizeof(struct obj_big) + HEAD_BYTES + low + high;
    uint8_t *at = obj_value_reserve(o, size) + sizeof(struct obj_big);

    memcpy(at, e->score, sizeof e->score);
    memcpy(at + sizeof e->score, e->size, sizeof e->size);
    memcpy(at + HEAD_BYTES, e->member[0], low);
    memcpy(at + HEAD_BYTES + low, e->member[1], high);
    o->value_size = (uint32_t)size;
}

void zset_ends_narrow(const struct obj *o, bool reverse, double *score, struct slice *member)
{
    const uint8_t *members = o->value + sizeof(struct obj_big) + HEAD_BYTES;
    int order, i = reverse;
    struct ends e;

    if (!ends_read(o, &e))
        return;
    order = zset_order(e.score[i], ends_member(&e, i), *score, *member);
    if (reverse ? order >= 0 : order <= 0)
        return;
    *score = e.score[i];
    *member = ends_member(&e, i);
    if (member->size != SIZE_MAX) /* not in e, which ends here */
        member->data = members + (i == 0 ? 0 : e.size[0]);
}

void zset_ends_added(struct obj *o, double score, struct slice member)
{
    bool lower, higher;
    struct ends e;

    if (!ends_read(o, &e))
        return;
    lower = zset_order(score, member, e.score[0], ends_member(&e, 0)) < 0;
    higher = zset_order(score, member, e.score[1], ends_member(&e, 1)) > 0;
    if (lower)
        ends_set(&e, 0, score, member);
    if (higher)
        ends_set(&e, 1, score, member);
    if (lower || higher)
        ends_write(o, &e);
}

void zset_ends_known(struct obj *o, bool reverse, double score, struct slice member)
{
    struct ends e;

    if (!ends_read(o, &e)) {
        ends_set(&e, 0, -INFINITY, (struct slice){0});
        ends_set(&e, 1, INFINITY, TXN_MEMBER_LAST);
    }
    ends_set(&e, reverse, score, member);
    ends_write(o, &e);
}

/* Looks up the first pair from either side; what cannot be read now stays as it was. */
void zset_ends_renew(struct txn *t, struct obj *o)
{
    struct obj_big big = obj_big_get(o);
    struct ends e;

    if (__builtin_expect(big.spare < ZSET_ENDS_REMOVALS, 1))
        return;
    big.spare = 0; /* first: looking up is a walk from an end, which asks for this */
    obj_big_set(o, &big);

    for (int i = 0; i < 2; i++) {
        struct zset_walk w;
        enum err result;

        if (zset_walk_first(t, o, i == 1, &w) != OK)
            return;
        if ((result = zset_walk_next(&w)) == OK)
            ends_set(&e, i, w.score, w.member);
        zset_walk_end(&w);
        if (result != OK)
            return;
    }
    ends_write(o, &e);
}

void zset_ends_removed(struct obj *o, uint64_t count)
{
    struct obj_big big = obj_big_get(o);

    big.spare += count;
    obj_big_set(o, &big);
}
