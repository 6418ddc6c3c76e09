/*
 * busy.h - keys that are on their way to another server (MIGRATE): commands may read them, and wait before they write.
 *
 * A key is marked while its slot is locked, together with the reading of its value, and the mark goes when the answer of the
 * target has been obeyed. So no write falls between the copy and the deletion, and no slot is locked while the network is
 * waited for: the slot's other keys, and all readers, are not held up.
 *
 * The same for whole slots that are handed over to another node: nobody writes to their keys meanwhile.
 *
 * All functions: any thread. The lock inside is a leaf.
 */
#ifndef CAIRN_SERVER_RUN_BUSY_H
#define CAIRN_SERVER_RUN_BUSY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/types.h"

struct busy_entry;

enum { BUSY_BUCKETS = 256 };

struct busy { /* private but for busy_any */
    atomic_size_t count;
    pthread_mutex_t lock;
    pthread_cond_t released;
    uint64_t generation;    /* of releases */
    bool refused;           /* somebody has met a mark since the last release */
    struct busy_entry *buckets[BUSY_BUCKETS];
    uint8_t slots[SLOTS / 8];
};

void busy_init(struct busy *b);
void busy_fini(struct busy *b);

/* Seen exactly by a thread that holds the lock of the key's slot. */
static inline bool busy_any(const struct busy *b)
{
    return __builtin_expect(atomic_load_explicit(&((struct busy *)b)->count, memory_order_relaxed) > 0, 0);
}

/* The key's slot is locked. False: it is marked already. The name is copied. */
bool busy_mark(struct busy *b, unsigned db, struct slice key);

/* Whether one of the keys is marked; no keys: whether any is. *generation is for busy_wait. */
bool busy_meets(struct busy *b, unsigned db, const struct slice *keys, size_t count, uint64_t *generation);

/* Takes the marks away; each key must be marked by the caller. True: somebody has met a mark, and is to be tried again. */
bool busy_release(struct busy *b, unsigned db, const struct slice *keys, size_t count);

/*
 * Marks slots, none of which may be marked; no slot need be locked. A writer that began before may still be at work: who
 * locks each of them once afterwards knows that it is over. And takes the marks away: as busy_release.
 */
void busy_mark_slots(struct busy *b, const slot_t *slots, size_t count);
bool busy_release_slots(struct busy *b, const slot_t *slots, size_t count);

/* Whether the whole slot is marked. */
bool busy_has_slot(struct busy *b, slot_t slot);

/* Returns after a release since `generation` was told (true), or after the time. Holding no slot. */
bool busy_wait(struct busy *b, uint64_t generation, msec_t at_most_ms);

#endif
