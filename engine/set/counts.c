/*
 * counts.c - how many keys, and keys with an expiry, each slot has: exact after any crash.
 *
 * A count row holds (keys, expires, position): the counts with every effect up to that position. Replay adds the
 * deltas of later effects only, once a position: of local effects, which share one, the slot's first carries all (commit.c).
 * Every floor row travels with all unsaved count rows of its family.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"
#include "engine/key/row.h"

enum { COUNT_ROW_BYTES = 24 };

/* ---- What is shown ---- */

static void hide(struct space *space, const struct slot *slot, bool hide)
{
    atomic_fetch_add(&space->hidden_keys, hide ? slot->keys : -slot->keys);
    atomic_fetch_add(&space->hidden_expires, hide ? slot->expires : -slot->expires);
}

void set_hide(struct set *s, slot_t number, bool hidden)
{
    pthread_mutex_lock(&s->locks[number]);
    if (atomic_load(&s->hidden[number]) != hidden) {
        atomic_store(&s->hidden[number], hidden);
        atomic_fetch_add(&s->hidden_count, hidden ? 1u : -1u);
        for (unsigned db = 0; db < s->databases; db++) {
            struct space *space = set_space(s, db);

            if (space != NULL)
                hide(space, &space->slots[number], hidden);
        }
    }
    pthread_mutex_unlock(&s->locks[number]);
}

void set_count(struct set *s, struct space *space, slot_t number, int64_t keys, int64_t expires)
{
    struct slot *slot = &space->slots[number];

    slot->keys += (uint64_t)keys;
    slot->expires += (uint64_t)expires;
    atomic_fetch_add_explicit(&space->keys, (uint64_t)keys, memory_order_relaxed);
    if (expires != 0)
        atomic_fetch_add_explicit(&space->expires, (uint64_t)expires, memory_order_relaxed);
    if (atomic_load_explicit(&s->hidden_count, memory_order_relaxed) > 0 &&
        atomic_load_explicit(&s->hidden[number], memory_order_relaxed)) {
        atomic_fetch_add(&space->hidden_keys, (uint64_t)keys);
        atomic_fetch_add(&space->hidden_expires, (uint64_t)expires);
    }
}

/* Two counters that change one after the other. */
static uint64_t shown(uint64_t all, uint64_t hidden)
{
    return hidden < all ? all - hidden : 0;
}

uint64_t set_keys_shown(struct set *s, unsigned db)
{
    struct space *space = db < s->databases ? set_space(s, db) : NULL;

    return space != NULL ? shown(atomic_load(&space->keys), atomic_load(&space->hidden_keys)) : 0;
}

uint64_t set_expires_shown(struct set *s, unsigned db)
{
    struct space *space = db < s->databases ? set_space(s, db) : NULL;

    return space != NULL ? shown(atomic_load(&space->expires), atomic_load(&space->hidden_expires)) : 0;
}

/* ---- Rows ---- */

void counts_row(struct buf *key, slot_t slot)
{
    row_node(key, "count", slot);
}

void counts_encode(struct buf *out, const struct slot *slot, lsn_t at)
{
    uint64_t words[3] = {slot->keys, slot->expires, at};

    buf_clear(out);
    buf_append(out, words, sizeof words);
}

enum err counts_load(struct set *s, unsigned db)
{
    struct space *space = set_space(s, db);
    struct family *f = set_family(s, space);
    struct buf lower = {0}, upper = {0};
    struct cursor *c = NULL;
    enum err e;

    counts_row(&lower, 0);
    counts_row(&upper, SLOTS - 1);
    row_successor(&upper);
    if ((e = cursor_open(s->store, f, STORE_DISK, buf_slice(&lower), buf_slice(&upper), &c)) != OK)
        goto done;
    for (slot_t i = 0; i < SLOTS; i++)
        space->slots[i].counts_at = store_family_born(f);
    for (cursor_first(c); cursor_valid(c); cursor_next(c)) {
        struct slice key = cursor_key(c), value = cursor_value(c);
        uint64_t words[3];
        uint32_t number;
        struct slot *slot;

        memcpy(&number, key.data + key.size - 4, 4);
        number = __builtin_bswap32(number);
        if (number >= SLOTS || value.size != COUNT_ROW_BYTES) {
            e = err_set(ERR_CORRUPT, "database %u: bad count row", db);
            goto done;
        }
        memcpy(words, value.data, sizeof words);
        slot = &space->slots[number];
        slot->keys = words[0];
        slot->expires = words[1];
        slot->counts_at = words[2];
        if (slot->expires > 0)
            slot->cold_expire_ms = 0;
        atomic_fetch_add(&space->keys, slot->keys);
        atomic_fetch_add(&space->expires, slot->expires);
        pthread_mutex_lock(&s->locks[number]);
        if (atomic_load(&s->hidden[number]))
            hide(space, slot, true);
        pthread_mutex_unlock(&s->locks[number]);
    }
    e = cursor_end(c);
done:
    cursor_close(c);
    buf_free(&lower);
    buf_free(&upper);
    return e;
}

void set_replay_count(struct set *s, unsigned db, slot_t number, lsn_t lsn, int64_t keys, int64_t expires)
{
    struct space *space = set_space_make(s, db);
    struct slot *slot = &space->slots[number];

    pthread_mutex_lock(&s->locks[number]);
    if (lsn > slot->counts_at) {
        set_count(s, space, number, keys, expires);
        if (expires > 0)
            slot->cold_expire_ms = 0;
        if (slot->counts_since == 0)
            slot->counts_since = lsn;
        slot->counts_at = lsn;
    }
    pthread_mutex_unlock(&s->locks[number]);
}
