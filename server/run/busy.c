/*
 * busy.c - a small hash table of names under one lock. Empty on a node from which nothing moves: then only its count is read.
 */
#include "server/run/busy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/hash.h"

struct busy_entry {
    struct busy_entry *next;
    uint32_t hash;
    unsigned db;
    size_t size;
    uint8_t key[];
};

void busy_init(struct busy *b)
{
    pthread_condattr_t attributes;

    *b = (struct busy){0};
    pthread_mutex_init(&b->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&b->released, &attributes);
    pthread_condattr_destroy(&attributes);
}

void busy_fini(struct busy *b)
{
    check(atomic_load(&b->count) == 0);
    pthread_cond_destroy(&b->released);
    pthread_mutex_destroy(&b->lock);
}

static struct busy_entry **find(struct busy *b, unsigned db, struct slice key, uint32_t hash)
{
    struct busy_entry **at = &b->buckets[hash % BUSY_BUCKETS];

    while (*at != NULL && ((*at)->hash != hash || (*at)->db != db || !slice_equal(slice_of((*at)->key, (*at)->size), key)))
        at = &(*at)->next;
    return at;
}

bool busy_mark(struct busy *b, unsigned db, struct slice key)
{
    uint32_t hash = hash_name(key);
    struct busy_entry **at, *entry;
    bool new;

    pthread_mutex_lock(&b->lock);
    at = find(b, db, key, hash);
    new = *at == NULL;
    if (new) {
        entry = malloc(sizeof *entry + key.size);
        check(entry != NULL);
        *entry = (struct busy_entry){.hash = hash, .db = db, .size = key.size};
        if (key.size > 0)
            memcpy(entry->key, key.data, key.size);
        *at = entry;
        atomic_fetch_add(&b->count, 1);
    } else {
        b->refused = true;
    }
    pthread_mutex_unlock(&b->lock);
    return new;
}

static bool slot_marked(const struct busy *b, slot_t slot)
{
    return (b->slots[slot / 8] >> slot % 8 & 1) != 0;
}

bool busy_has_slot(struct busy *b, slot_t slot)
{
    bool has;

    if (!busy_any(b))
        return false;
    pthread_mutex_lock(&b->lock);
    has = slot_marked(b, slot);
    pthread_mutex_unlock(&b->lock);
    return has;
}

static void slot_flip(struct busy *b, slot_t slot)
{
    b->slots[slot / 8] = (uint8_t)(b->slots[slot / 8] ^ 1u << slot % 8);
}

void busy_mark_slots(struct busy *b, const slot_t *slots, size_t count)
{
    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < count; i++) {
        check(!slot_marked(b, slots[i]));
        slot_flip(b, slots[i]);
    }
    atomic_fetch_add(&b->count, count);
    pthread_mutex_unlock(&b->lock);
}

/* Under lock: the marks are gone. */
static bool released(struct busy *b, size_t count)
{
    bool refused = b->refused;

    atomic_fetch_sub(&b->count, count);
    b->generation++;
    b->refused = false;
    pthread_cond_broadcast(&b->released);
    return refused;
}

bool busy_release_slots(struct busy *b, const slot_t *slots, size_t count)
{
    bool refused;

    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < count; i++) {
        check(slot_marked(b, slots[i]));
        slot_flip(b, slots[i]);
    }
    refused = released(b, count);
    pthread_mutex_unlock(&b->lock);
    return refused;
}

bool busy_meets(struct busy *b, unsigned db, const struct slice *keys, size_t count, uint64_t *generation)
{
    bool met;

    pthread_mutex_lock(&b->lock);
    met = count == 0 && atomic_load(&b->count) > 0;
    for (size_t i = 0; i < count && !met; i++)
        met = slot_marked(b, hash_slot(keys[i])) || *find(b, db, keys[i], hash_name(keys[i])) != NULL;
    if (met)
        b->refused = true;
    *generation = b->generation;
    pthread_mutex_unlock(&b->lock);
    return met;
}

bool busy_release(struct busy *b, unsigned db, const struct slice *keys, size_t count)
{
    bool refused;

    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < count; i++) {
        struct busy_entry **at = find(b, db, keys[i], hash_name(keys[i])), *entry = *at;

        check(entry != NULL);
        *at = entry->next;
        free(entry);
    }
    refused = released(b, count);
    pthread_mutex_unlock(&b->lock);
    return refused;
}

bool busy_wait(struct busy *b, uint64_t generation, msec_t at_most_ms)
{
    struct timespec until;
    bool released;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += at_most_ms / 1000;
    until.tv_nsec += at_most_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&b->lock);
    while (b->generation == generation && pthread_cond_timedwait(&b->released, &b->lock, &until) != ETIMEDOUT)
        ;
    released = b->generation != generation;
    pthread_mutex_unlock(&b->lock);
    return released;
}
