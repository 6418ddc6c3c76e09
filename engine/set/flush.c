/*
 * flush.c - changes of a whole database: FLUSHDB and SWAPDB. Both stop the world: pass, then all slots.
 *
 * FLUSHDB: the frame is durable, then a new generation of the family is created (its name holds its born position),
 * then the old one is dropped. A crash between leaves two, of which the newer counts; replay skips what is not beyond
 * born.
 * SWAPDB: the frame is durable, then both databases are drained and flushed with the floor at the frame, then the
 * new order of databases is saved with the frame's position. A crash before the save finds the old order and a frame
 * that replay redoes; after it, nothing before the frame is replayed for either database, and the frame is skipped.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"
#include "base/log.h"
#include "base/words.h"

#include <stdlib.h>

void set_stop_world(struct set *s)
{
    pthread_mutex_lock(&s->pass);
    for (unsigned i = 0; i < SLOTS; i++)
        pthread_mutex_lock(&s->locks[i]);
}

void set_go_on(struct set *s)
{
    for (unsigned i = SLOTS; i-- > 0;)
        pthread_mutex_unlock(&s->locks[i]);
    pthread_mutex_unlock(&s->pass);
}

static enum err frame(struct set *s, unsigned db, enum journal_kind kind, struct slice text, lsn_t *lsn)
{
    struct journal_effect effect = {.bytes = (uint32_t)text.size, .slot = SLOT_NODE, .kind = kind, .db = (uint16_t)db};

    *lsn = s->journal->append(s->journal->context, &effect, 1, text, NULL) + text.size;
    return s->journal->sync(s->journal->context, *lsn);
}

/* A frame with a primary's bytes and, as local effects, what they mean here. */
static enum err follow_frame(struct set *s, const struct journal_effect *local, size_t count, struct slice local_text,
                             struct slice stream, unsigned db, lsn_t *lsn)
{
    struct journal_effect *effects = calloc(count + 1, sizeof *effects);
    struct buf text = {0};

    check(effects != NULL);
    effects[0] = (struct journal_effect){
        .bytes = (uint32_t)stream.size, .slot = SLOT_NODE, .kind = JOURNAL_MARK, .db = (uint16_t)db};
    buf_append_slice(&text, stream);
    for (size_t i = 0; i < count; i++) {
        effects[i + 1] = local[i];
        buf_append_slice(&text, local_text);
    }
    *lsn = s->journal->append(s->journal->context, effects, count + 1, buf_slice(&text), NULL) + stream.size;
    buf_free(&text);
    free(effects);
    return s->journal->sync(s->journal->context, *lsn);
}

void set_forget_slot(struct set *s, struct slot *slot)
{
    for (uint32_t k = 0; k < slot->table.capacity; k++) {
        struct obj *o = table_at(&slot->table, k);

        if (o == NULL)
            continue;
        if (o->state & STATE_DIRTY)
            atomic_fetch_sub(&s->dirty_bytes, o->charged);
        obj_drop_elements(s, o);
        if (o->charged != 0) {
            atomic_fetch_sub(&s->bytes, o->charged);
            atomic_fetch_sub(&s->objects, 1);
        }
        obj_free(o);
    }
    table_free(&slot->table);
    free(slot->dirty);
    slot->table = (struct table){0};
    slot->dirty = NULL;
    slot->dirty_count = slot->dirty_capacity = slot->live = 0;
    slot->next_expire_ms = slot->cold_expire_ms = NEVER_MS;
}

void set_forget_all(struct set *s, struct space *space, lsn_t at)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *slot = &space->slots[i];

        set_forget_slot(s, slot);
        *slot = (struct slot){.next_expire_ms = NEVER_MS, .cold_expire_ms = NEVER_MS, .counts_at = at};
    }
    atomic_store(&space->keys, 0);
    atomic_store(&space->expires, 0);
    atomic_store(&space->hidden_keys, 0);
    atomic_store(&space->hidden_expires, 0);
}

static enum err flush_space(struct set *s, struct space *space, lsn_t lsn)
{
    struct family *old = NULL;
    enum err e = store_family_create(s->store, space->uid, lsn, &old);

    if (e != OK)
        return e;
    set_forget_all(s, space, lsn);
    space->floor = lsn + 1;
    return old != NULL ? store_family_drop(s->store, old) : OK;
}

enum err set_flush_db(struct set *s, unsigned db, lsn_t *end)
{
    struct space *space = set_space(s, db);
    lsn_t lsn = 0;
    enum err e;

    *end = 0;
    if (space == NULL)
        return OK;
    set_stop_world(s);
    e = frame(s, db, JOURNAL_FLUSH, SLICE_LITERAL("*1\r\n$7\r\nFLUSHDB\r\n"), &lsn);
    if (e == OK)
        e = flush_space(s, space, lsn);
    set_go_on(s);
    *end = lsn;
    return e;
}

static enum err swap_spaces(struct set *s, unsigned a, unsigned b, lsn_t lsn)
{
    struct space *first = set_space_make(s, a), *second = set_space_make(s, b);
    uint16_t uid = s->uids[a];

    /* Replay must still meet the frame itself, should the order not be saved. */
    TRY(drain_space(s, first, lsn, true));
    TRY(drain_space(s, second, lsn, true));
    TRY(writer_flush(s));
    s->uids[a] = s->uids[b];
    s->uids[b] = uid;
    s->swapped_at = lsn;
    TRY(set_order_save(s));
    atomic_store(&s->spaces[a], second);
    atomic_store(&s->spaces[b], first);
    for (unsigned i = 0; i < SLOTS; i++)
        for (int which = 0; which < 2; which++) {
            struct table *t = &(which ? first : second)->slots[i].table;

            for (uint32_t k = 0; k < t->capacity; k++)
                if (t->cells[k] != 0)
                    table_at(t, k)->db = (uint16_t)(which ? b : a);
        }
    return OK;
}

static void swap_words(struct buf *out, unsigned a, unsigned b)
{
    words_head(out, 3);
    words_add(out, SLICE_LITERAL("SWAPDB"));
    words_add_number(out, a);
    words_add_number(out, b);
}

enum err set_swap_db(struct set *s, unsigned a, unsigned b, lsn_t *end)
{
    struct buf words = {0};
    lsn_t lsn = 0;
    enum err e;

    *end = 0;
    if (a == b)
        return OK;
    swap_words(&words, a, b);
    set_stop_world(s);
    e = frame(s, a, JOURNAL_SWAP, buf_slice(&words), &lsn);
    if (e == OK)
        e = swap_spaces(s, a, b, lsn);
    set_go_on(s);
    buf_free(&words);
    *end = lsn;
    return e;
}

/* ---- Following a primary ---- */

void set_follow(struct set *s, bool follow)
{
    set_stop_world(s);
    atomic_store(&s->following, follow);
    set_go_on(s);
}

enum err set_follow_flush(struct set *s, unsigned first, unsigned count, struct slice stream, unsigned db, lsn_t *end)
{
    const struct slice words = SLICE_LITERAL("*1\r\n$7\r\nFLUSHDB\r\n");
    struct journal_effect *local = calloc(count, sizeof *local);
    size_t kept = 0;
    enum err e;

    check(local != NULL && first + count <= s->visible);
    set_stop_world(s);
    for (unsigned i = first; i < first + count; i++)
        if (set_space(s, i) != NULL)
            local[kept++] = (struct journal_effect){.bytes = (uint32_t)words.size, .slot = SLOT_NODE,
                                                    .kind = JOURNAL_FLUSH | JOURNAL_LOCAL, .db = (uint16_t)i};
    e = follow_frame(s, local, kept, words, stream, db, end);
    for (size_t i = 0; i < kept && e == OK; i++)
        e = flush_space(s, set_space(s, local[i].db), *end);
    set_go_on(s);
    free(local);
    return e;
}

enum err set_follow_swap(struct set *s, unsigned a, unsigned b, struct slice stream, unsigned db, lsn_t *end)
{
    struct journal_effect local = {.slot = SLOT_NODE, .kind = JOURNAL_SWAP | JOURNAL_LOCAL, .db = (uint16_t)a};
    struct buf words = {0};
    enum err e;

    check(a < s->visible && b < s->visible && a != b);
    swap_words(&words, a, b);
    local.bytes = (uint32_t)words.size;
    set_stop_world(s);
    e = follow_frame(s, &local, 1, buf_slice(&words), stream, db, end);
    if (e == OK)
        e = swap_spaces(s, a, b, *end);
    set_go_on(s);
    buf_free(&words);
    return e;
}

enum err set_replay_range(struct set *s, unsigned kind, unsigned db, unsigned other, lsn_t lsn)
{
    enum err e = OK;

    check(kind == JOURNAL_FLUSH || kind == JOURNAL_SWAP);
    if (db >= s->visible || other >= s->visible)
        return err_set(ERR_CORRUPT, "the log names database %u of %u", db >= s->visible ? db : other, s->visible);
    (void)set_space_make(s, db);
    set_stop_world(s);
    if (kind == JOURNAL_SWAP) {
        if (lsn > s->swapped_at)
            e = swap_spaces(s, db, other, lsn);
    } else if (lsn > store_family_born(set_family(s, set_space(s, db)))) {
        e = flush_space(s, set_space(s, db), lsn);
        if (s->replay_floors[db] <= lsn)
            s->replay_floors[db] = lsn + 1;
    }
    set_go_on(s);
    return e;
}
