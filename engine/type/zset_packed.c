/*
 * zset_packed.c - finding, inserting and moving pairs within the run.
 */
#include "engine/type/zset_packed.h"

enum { HEAD_MAX = 5 };

bool zset_pair_next_long(struct slice run, struct zset_pair *p)
{
    struct packed entry = {.bytes = run, .at = p->at, .next = p->next};
    size_t at = p->next;
    struct slice member;

    if (!packed_next(&entry))
        return false;
    member = entry.entry;
    if (!packed_next(&entry) || entry.entry.size != ZSET_SCORE_BYTES)
        return false;
    p->at = at;
    p->member = member;
    memcpy(&p->score, entry.entry.data, ZSET_SCORE_BYTES);
    p->next = entry.next;
    return true;
}

static inline bool same_member(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool zset_packed_find(const struct obj *o, struct slice member, struct zset_pair *pair)
{
    struct slice run = obj_value(o);
    struct zset_pair p = {0};

    while (zset_pair_next(run, &p)) {
        if (!same_member(p.member, member))
            continue;
        *pair = p;
        return true;
    }
    return false;
}

void zset_packed_place(const struct obj *o, struct slice member, double score, struct zset_place *place)
{
    struct slice run = obj_value(o);
    struct zset_pair p = {0};
    bool placed = false;

    place->found = false;
    while (zset_pair_next(run, &p)) {
        if (!placed && p.score >= score && (p.score > score || slice_compare(p.member, member) >= 0)) {
            place->insert_at = p.at;
            placed = true;
        }
        if (!place->found && same_member(p.member, member)) {
            place->found = true;
            place->old = p;
        }
        if (placed && place->found)
            return;
    }
    if (!placed)
        place->insert_at = p.next;
}

static size_t head_write(uint8_t head[HEAD_MAX], size_t size)
{
    size_t n = 0;

    for (; size >= 0x80; size >>= 7)
        head[n++] = (uint8_t)(size | 0x80);
    head[n++] = (uint8_t)size;
    return n;
}

static void pair_write(uint8_t *at, struct slice member, double score)
{
    uint8_t head[HEAD_MAX];
    size_t head_size = head_write(head, member.size);

    memcpy(at, head, head_size);
    at += head_size;
    if (member.size > 0)
        memcpy(at, member.data, member.size);
    at += member.size;
    *at++ = ZSET_SCORE_BYTES;
    memcpy(at, &score, ZSET_SCORE_BYTES);
}

static void insert(struct obj *o, size_t at, struct slice member, double score)
{
    size_t bytes = packed_entry_bytes(member.size) + 1 + ZSET_SCORE_BYTES;
    uint8_t *value = obj_value_reserve(o, o->value_size + bytes);

    memmove(value + at + bytes, value + at, o->value_size - at);
    pair_write(value + at, member, score);
    o->value_size += (uint32_t)bytes;
}

/* The pair keeps its size, so only what lies between its old and its new place moves. */
static void move(struct obj *o, const struct zset_place *place, struct slice member, double score)
{
    size_t from = place->old.at, end = place->old.next, bytes = end - from, to = place->insert_at;

    if (to <= from) {
        memmove(o->value + to + bytes, o->value + to, from - to);
    } else {
        to -= bytes;
        memmove(o->value + from, o->value + end, to - from);
    }
    pair_write(o->value + to, member, score);
}

void zset_packed_put(struct obj *o, const struct zset_place *place, struct slice member, double score)
{
    if (place->found)
        move(o, place, member, score);
    else
        insert(o, place->insert_at, member, score);
}

void zset_packed_append(struct obj *o, struct slice member, double score)
{
    insert(o, o->value_size, member, score);
}
