/*
 * order.c - blocks of entries in order.
 *
 * (1) No block is empty; blocks that are full are halved, neighbours that together fill half a block become one.
 * (2) An entry's score is its element's, and members of one score are in byte order.
 */
#include "engine/set/order.h"

#include "base/check.h"
#include "engine/set/elements.h"

#include <stdlib.h>

enum { FILL = ORDER_BLOCK_MAX * 3 / 4 };

static int compare(const struct order_entry *e, double score, struct slice member)
{
    if (e->score != score)
        return e->score < score ? -1 : 1;
    if (member.size == SIZE_MAX)
        return -1;
    return slice_compare(element_name(e->element), member);
}

static int by_order(const void *a, const void *b)
{
    const struct order_entry *y = b;

    return compare(a, y->score, element_name(y->element));
}

static void block_insert(struct order *o, uint32_t at)
{
    if (o->block_count == o->block_capacity) {
        o->block_capacity = o->block_capacity != 0 ? o->block_capacity * 2 : 8;
        o->blocks = realloc(o->blocks, o->block_capacity * sizeof *o->blocks);
        o->sizes = realloc(o->sizes, o->block_capacity * sizeof *o->sizes);
        check(o->blocks != NULL && o->sizes != NULL);
    }
    memmove(o->blocks + at + 1, o->blocks + at, (o->block_count - at) * sizeof *o->blocks);
    memmove(o->sizes + at + 1, o->sizes + at, (o->block_count - at) * sizeof *o->sizes);
    o->blocks[at] = malloc(sizeof **o->blocks);
    check(o->blocks[at] != NULL);
    o->sizes[at] = 0;
    o->block_count++;
}

static void block_remove(struct order *o, uint32_t at)
{
    free(o->blocks[at]);
    o->block_count--;
    memmove(o->blocks + at, o->blocks + at + 1, (o->block_count - at) * sizeof *o->blocks);
    memmove(o->sizes + at, o->sizes + at + 1, (o->block_count - at) * sizeof *o->sizes);
}

struct order *order_new(struct order_entry *entries, size_t count)
{
    struct order *o = calloc(1, sizeof *o);

    check(o != NULL);
    if (count > 1)
        qsort(entries, count, sizeof *entries, by_order);
    for (size_t i = 0; i < count; i += FILL) {
        uint32_t n = count - i < FILL ? (uint32_t)(count - i) : FILL, last = o->block_count;

        block_insert(o, last);
        memcpy(o->blocks[last]->entries, entries + i, n * sizeof *entries);
        o->sizes[last] = n;
    }
    o->count = count;
    return o;
}

void order_free(struct order *o)
{
    if (o == NULL)
        return;
    for (uint32_t i = 0; i < o->block_count; i++)
        free(o->blocks[i]);
    free(o->blocks);
    free(o->sizes);
    free(o);
}

size_t order_bytes(const struct order *o)
{
    return sizeof *o + o->block_count * sizeof **o->blocks + o->block_capacity * (sizeof *o->blocks + sizeof *o->sizes);
}

/* ---- Places ---- */

struct order_place order_find(const struct order *o, double score, struct slice member)
{
    uint32_t low = 0, high = o->block_count; /* the first block whose last entry is at or beyond */
    struct order_place place = {0};

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (compare(&o->blocks[middle]->entries[o->sizes[middle] - 1], score, member) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    place.block = low;
    if (low == o->block_count)
        return place;
    high = o->sizes[low];
    while (place.at < high) {
        uint32_t middle = place.at + (high - place.at) / 2;

        if (compare(&o->blocks[low]->entries[middle], score, member) < 0)
            place.at = middle + 1;
        else
            high = middle;
    }
    return place;
}

struct order_place order_at(const struct order *o, uint64_t rank)
{
    struct order_place place = {0};

    while (place.block < o->block_count && rank >= o->sizes[place.block])
        rank -= o->sizes[place.block++];
    place.at = (uint32_t)rank;
    return place;
}

uint64_t order_rank(const struct order *o, struct order_place place)
{
    uint64_t rank = place.at;

    for (uint32_t i = 0; i < place.block; i++)
        rank += o->sizes[i];
    return rank;
}

const struct order_entry *order_next(const struct order *o, struct order_place *place, bool back)
{
    if (back) {
        if (place->at == 0) {
            if (place->block == 0)
                return NULL;
            place->at = o->sizes[--place->block];
        }
        return &o->blocks[place->block]->entries[--place->at];
    }
    if (place->block < o->block_count && place->at == o->sizes[place->block])
        *place = (struct order_place){place->block + 1, 0};
    if (place->block == o->block_count)
        return NULL;
    return &o->blocks[place->block]->entries[place->at++];
}

/* ---- Changes ---- */

void order_insert(struct order *o, double score, struct element *el)
{
    struct order_place place = order_find(o, score, element_name(el));
    struct order_entry *entries;

    if (place.block == o->block_count) { /* behind all: at the end of the last block */
        if (o->block_count == 0)
            block_insert(o, 0);
        place.block = o->block_count - 1;
        place.at = o->sizes[place.block];
    }
    if (o->sizes[place.block] == ORDER_BLOCK_MAX) {
        uint32_t keep = place.at == ORDER_BLOCK_MAX ? FILL : ORDER_BLOCK_MAX / 2; /* growing at the end leaves full blocks */
        struct order_block *low;

        block_insert(o, place.block + 1);
        low = o->blocks[place.block];
        memcpy(o->blocks[place.block + 1]->entries, low->entries + keep, (ORDER_BLOCK_MAX - keep) * sizeof *low->entries);
        o->sizes[place.block + 1] = ORDER_BLOCK_MAX - keep;
        o->sizes[place.block] = keep;
        if (place.at > keep)
            place = (struct order_place){place.block + 1, place.at - keep};
    }
    entries = o->blocks[place.block]->entries;
    memmove(entries + place.at + 1, entries + place.at, (o->sizes[place.block] - place.at) * sizeof *entries);
    entries[place.at] = (struct order_entry){score, el};
    o->sizes[place.block]++;
    o->count++;
    o->version++;
}

/* Makes one block of `at` and the next if both are small. */
static void join(struct order *o, uint32_t at)
{
    if (at + 1 >= o->block_count || o->sizes[at] + o->sizes[at + 1] > ORDER_BLOCK_MAX / 2)
        return;
    memcpy(o->blocks[at]->entries + o->sizes[at], o->blocks[at + 1]->entries,
           o->sizes[at + 1] * sizeof *o->blocks[at]->entries);
    o->sizes[at] += o->sizes[at + 1];
    block_remove(o, at + 1);
}

void order_remove(struct order *o, double score, const struct element *el)
{
    struct order_place place = order_find(o, score, element_name(el));
    struct order_entry *entries;

    check(place.block < o->block_count && o->blocks[place.block]->entries[place.at].element == el);
    entries = o->blocks[place.block]->entries;
    o->sizes[place.block]--;
    memmove(entries + place.at, entries + place.at + 1, (o->sizes[place.block] - place.at) * sizeof *entries);
    o->count--;
    o->version++;
    if (o->sizes[place.block] == 0) {
        block_remove(o, place.block);
        return;
    }
    join(o, place.block);
    if (place.block > 0)
        join(o, place.block - 1);
}
