/*
 * scan.c - walks over the keys of a slot or of all: memory laid over the store, in the order (slot, hash, key).
 *
 * A cursor is the slot and the upper 17 bits of the hash: stateless, valid after a restart, and a positive int, which is
 * what redis-cli --cluster import has room for. A page of one slot takes the store's rows from that hash on, replaces those
 * that memory knows better, adds those that only memory has, and ends behind all hashes that a cursor does not tell apart.
 * A complete slot needs no store.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"
#include "base/hash.h"
#include "engine/key/record.h"
#include "engine/key/row.h"

#include <stdlib.h>

enum { CURSOR_HASH_BITS = 17, CURSOR_REST = (1 << (32 - CURSOR_HASH_BITS)) - 1 };

struct page {
    struct obj **objects; /* borrowed from memory, or owned copies */
    bool *owned;
    size_t count, capacity;
    bool whole; /* reaches the slot's end */
    uint32_t last_hash;
};

static void page_add(struct page *p, struct obj *o, bool owned)
{
    if (p->count == p->capacity) {
        p->capacity = p->capacity != 0 ? p->capacity * 2 : 64;
        p->objects = realloc(p->objects, p->capacity * sizeof *p->objects);
        p->owned = realloc(p->owned, p->capacity * sizeof *p->owned);
        check(p->objects != NULL && p->owned != NULL);
    }
    p->objects[p->count] = o;
    p->owned[p->count++] = owned;
}

static void page_fini(struct page *p)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->owned[i])
            obj_free(p->objects[i]);
    free(p->objects);
    free(p->owned);
}

/* Rows of the store from `from` on, those only that memory does not know. */
static enum err page_store(struct set *s, struct space *space, slot_t number, uint32_t from, size_t count,
                           struct page *p)
{
    struct buf prefix = {0}, first = {0};
    struct cursor *c = NULL;
    enum err e;

    p->whole = true;
    p->last_hash = UINT32_MAX;
    row_kind_start(&prefix, number, ROW_KEY);
    row_key(&first, number, from, (struct slice){0});
    if ((e = cursor_open_prefix(s->store, set_family(s, space), STORE_DISK, buf_slice(&prefix), &c)) != OK)
        goto done;
    for (cursor_seek(c, buf_slice(&first)); cursor_valid(c); cursor_next(c)) {
        struct row row;
        struct record r;
        struct obj *o;

        if ((e = row_parse(cursor_key(c), &row)) != OK || (e = record_decode(cursor_value(c), &r)) != OK)
            goto done;
        if (p->count >= count && row.hash > (p->last_hash | CURSOR_REST)) {
            p->last_hash |= CURSOR_REST;
            p->whole = false;
            goto done;
        }
        p->last_hash = row.hash;
        if (table_find(&space->slots[number].table, row.hash, row.name) != NULL)
            continue;
        o = obj_new(row.hash, row.name, 0);
        o->type = r.type;
        o->form = r.form;
        o->marks = r.marks;
        o->count = r.count;
        o->expire_ms = r.expire_ms;
        page_add(p, o, true);
    }
    p->last_hash = UINT32_MAX;
    e = cursor_end(c);
done:
    cursor_close(c);
    buf_free(&prefix);
    buf_free(&first);
    return e;
}

static int by_hash(const void *a, const void *b)
{
    const struct obj *x = *(struct obj *const *)a, *y = *(struct obj *const *)b;

    return (x->hash > y->hash) - (x->hash < y->hash);
}

/* A cell carries the upper half of its object's hash: most objects that a page does not want are not looked at. */
static bool cell_wanted(const struct table *t, uint32_t i, uint32_t from, uint32_t last)
{
    uint32_t half = (uint32_t)(t->cells[i] >> 48);

    return t->cells[i] != 0 && half >= from >> 16 && half <= last >> 16;
}

static bool is_live(const struct obj *o, uint32_t from, uint32_t last)
{
    return !(o->state & STATE_TOMB) && o->hash >= from && o->hash <= last;
}

/* The heap's largest hash is replaced. */
static void heap_replace(uint32_t *heap, size_t count, uint32_t hash)
{
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;

        if (child + 1 < count && heap[child + 1] > heap[child])
            child++;
        if (child >= count || heap[child] <= hash)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = hash;
}

static void heap_add(uint32_t *heap, size_t count, uint32_t hash)
{
    size_t at = count;

    for (; at > 0 && heap[(at - 1) / 2] < hash; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = hash;
}

/* The count-th smallest hash in memory from `from` on, and those like it; UINT32_MAX if there are not more: where a page ends. One
 * walk over the cells, without sorting what is not given. */
static uint32_t page_end(const struct table *t, uint32_t from, size_t count)
{
    uint32_t last = UINT32_MAX, *heap;
    size_t size = 0;
    bool more = false;

    if (count == 0 || count >= t->used)
        return UINT32_MAX;
    heap = malloc(count * sizeof *heap);
    check(heap != NULL);
    for (uint32_t i = 0; i < t->capacity; i++) {
        const struct obj *o;

        if (t->cells[i] == 0 || (uint32_t)(t->cells[i] >> 48) < from >> 16)
            continue;
        if (size == count && (uint32_t)(t->cells[i] >> 48) > heap[0] >> 16) {
            more = true; /* or a tombstone: then the next page is an empty one */
            continue;
        }
        o = table_at(t, i);
        if (!is_live(o, from, UINT32_MAX))
            continue;
        if (size < count) {
            heap_add(heap, size++, o->hash);
        } else {
            more = true;
            if (o->hash < heap[0])
                heap_replace(heap, count, o->hash);
        }
    }
    if (size == count && more)
        last = heap[0] | CURSOR_REST;
    free(heap);
    return last;
}

static enum err page_read(struct set *s, struct space *space, slot_t number, uint32_t from, size_t count, struct page *p)
{
    struct slot *slot = &space->slots[number];
    bool complete = slot->live == slot->keys;

    if (complete) {
        p->last_hash = page_end(&slot->table, from, count);
        p->whole = p->last_hash == UINT32_MAX;
    } else {
        TRY(page_store(s, space, number, from, count, p));
    }
    for (uint32_t i = 0; i < slot->table.capacity; i++)
        if (cell_wanted(&slot->table, i, from, p->last_hash) && is_live(table_at(&slot->table, i), from, p->last_hash))
            page_add(p, table_at(&slot->table, i), false);
    if (complete && p->count > 0)
        qsort(p->objects, p->count, sizeof *p->objects, by_hash); /* none is owned: no flags to carry along */
    return OK;
}

enum err set_scan(struct set *s, unsigned db, unsigned only, uint64_t cursor, size_t count, msec_t now_ms, set_each *each,
                  void *context, uint64_t *next)
{
    uint64_t number = only < SLOTS ? only : cursor >> CURSOR_HASH_BITS;
    uint32_t from = (uint32_t)(only < SLOTS ? cursor : cursor << (32 - CURSOR_HASH_BITS));
    size_t given = 0;

    *next = 0;
    if (set_space(s, db) == NULL)
        return OK;
    for (; number < SLOTS && given < count; from = 0, number++) {
        struct page p = {0};
        struct space *space;
        enum err e = OK;

        pthread_mutex_lock(&s->locks[number]);
        space = set_space(s, db); /* under the lock: who waited for a SWAPDB walks the other one */
        if (space == NULL || space->slots[number].keys == 0 || (only >= SLOTS && atomic_load(&s->hidden[number])))
            p.whole = true;
        else
            e = page_read(s, space, (slot_t)number, from, count - given, &p);
        for (size_t i = 0; e == OK && i < p.count; i++) {
            if (p.objects[i]->expire_ms != 0 && p.objects[i]->expire_ms <= now_ms)
                continue;
            each(context, p.objects[i]);
            given++;
        }
        pthread_mutex_unlock(&s->locks[number]);
        page_fini(&p);
        if (e != OK)
            return e;
        if (only < SLOTS)
            return OK;
        if (!p.whole) {
            *next = (number << CURSOR_HASH_BITS) + (p.last_hash >> (32 - CURSOR_HASH_BITS)) + 1;
            return OK;
        }
    }
    while (number < SLOTS) { /* an empty tail needs no further page */
        struct space *space;
        bool empty;

        pthread_mutex_lock(&s->locks[number]);
        space = set_space(s, db);
        empty = space == NULL || space->slots[number].keys == 0 || atomic_load(&s->hidden[number]);
        pthread_mutex_unlock(&s->locks[number]);
        if (!empty)
            break;
        number++;
    }
    if (number < SLOTS)
        *next = number << CURSOR_HASH_BITS;
    return OK;
}

struct taken {
    struct buf *key;
    bool some; /* the empty key is a key */
};

static void take_key(void *context, const struct obj *o)
{
    struct taken *taken = context;

    if (!taken->some)
        buf_append_slice(taken->key, obj_key(o));
    taken->some = true;
}

enum err set_random_key(struct set *s, unsigned db, msec_t now_ms, uint64_t random, struct buf *key)
{
    struct space *space = set_space(s, db);
    uint64_t keys = set_keys_shown(s, db);
    struct taken taken = {key, false};

    enum { TRIES = 100 }; /* many keys may have expired without being removed yet */

    for (int i = 0; i < TRIES && space != NULL && keys > 0; i++) {
        uint64_t rank = random % keys, next;
        unsigned number = 0;

        for (; number < SLOTS; number++) {
            uint64_t here = atomic_load(&s->hidden[number]) ? 0 : set_slot_keys(s, db, (slot_t)number);

            if (rank < here)
                break;
            rank -= here;
        }
        if (number == SLOTS)
            number = (unsigned)(random % SLOTS);
        buf_clear(key);
        TRY(set_scan(s, db, number, random >> 32, 1, now_ms, take_key, &taken, &next));
        if (!taken.some)
            TRY(set_scan(s, db, number, 0, 1, now_ms, take_key, &taken, &next));
        if (taken.some)
            return OK;
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    }
    return ERR_NOT_FOUND;
}

void set_evict_all(struct set *s)
{
    for (unsigned db = 0; db < s->databases; db++) {
        struct space *space = set_space(s, db);

        for (unsigned number = 0; number < SLOTS && space != NULL; number++) {
            struct slot *slot = &space->slots[number];
            uint32_t i = 0;

            pthread_mutex_lock(&s->locks[number]);
            while (i < slot->table.capacity) {
                struct obj *o = table_at(&slot->table, i);

                if (o != NULL && o->elements != NULL) {
                    size_t trimmed = elements_trim(o->elements, true, SIZE_MAX, 0);

                    o->elements->charged -= trimmed;
                    atomic_fetch_sub(&s->bytes, (int64_t)trimmed);
                }
                if (o == NULL || o->state & (STATE_DIRTY | STATE_FLYING)) {
                    i++;
                    continue;
                }
                if (o->expire_ms != 0 && o->expire_ms < slot->cold_expire_ms)
                    slot->cold_expire_ms = o->expire_ms;
                obj_forget(s, slot, o);
                i = 0; /* removal moves objects */
            }
            pthread_mutex_unlock(&s->locks[number]);
        }
    }
}
