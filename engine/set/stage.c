/*
 * stage.c - the databases behind the visible ones, and how they take their place.
 *
 * The row "stage" of the store's meta rows: id (40 bytes), position u64, then the new row "databases" (set.c) as it is;
 * empty when nothing is pending.
 */
#include "engine/set/stage.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "engine/key/row.h"
#include "engine/set/set.h"
#include "engine/set/set_priv.h"

#define STAGE_ROW SLICE_LITERAL("stage")
#define ORDER_ROW SLICE_LITERAL("databases")

enum { STAGE_HEAD_BYTES = STAGE_ID_BYTES + 8 };

unsigned set_stage_first(const struct set *s)
{
    return s->visible;
}

/* ---- Emptying ---- */

/* All slots are locked. A new generation that is born before everything: what comes there is of another history. */
static enum err clear_space(struct set *s, unsigned db)
{
    struct space *space = set_space(s, db);
    struct family *old = NULL;
    unsigned uid = s->uids[db];

    if (space != NULL)
        set_forget_all(s, space, 0);
    set_garbage_forget(s, uid); /* the family that comes may have other uses for these ids */
    TRY(store_family_remove(s->store, uid));
    if (space == NULL)
        return OK; /* set_space_make creates the family */
    TRY(store_family_create(s->store, uid, 0, &old));
    space->floor = 1;
    return OK;
}

enum err set_stage_clear(struct set *s)
{
    enum err e = OK;

    set_stop_world(s);
    for (unsigned db = s->visible; db < s->databases && e == OK; db++)
        e = clear_space(s, db);
    set_go_on(s);
    return e;
}

/* ---- The step ---- */

/* Count rows as of the copy's position, and the floor behind it. */
static enum err space_seal(struct set *s, struct space *space, lsn_t lsn)
{
    struct family *f = set_family(s, space);
    struct batch *batch = batch_new();
    struct buf key = {0}, value = {0};
    enum err e;

    space->floor = lsn + 1;
    e = drain_space(s, space, lsn + 1, true);
    for (unsigned i = 0; i < SLOTS && e == OK; i++) {
        struct slot *slot = &space->slots[i];

        slot->counts_since = 0;
        slot->counts_at = lsn;
        counts_row(&key, (slot_t)i);
        counts_encode(&value, slot, lsn);
        batch_put(batch, f, buf_slice(&key), buf_slice(&value));
    }
    if (e == OK)
        e = store_write(s->store, batch);
    batch_free(batch);
    buf_free(&key);
    buf_free(&value);
    return e;
}

static void order_swap(struct set *s)
{
    for (unsigned db = 0; db < s->visible; db++) {
        uint16_t uid = s->uids[db];

        s->uids[db] = s->uids[s->visible + db];
        s->uids[s->visible + db] = uid;
    }
}

static enum err decide(struct set *s, const char *id, lsn_t lsn)
{
    struct buf row = {0};
    enum err e;

    buf_append(&row, id, STAGE_ID_BYTES);
    buf_append(&row, &lsn, sizeof lsn);
    buf_append(&row, &lsn, sizeof lsn); /* nothing before it is replayed: the last SWAPDB is there */
    order_swap(s);
    buf_append(&row, s->uids, s->databases * sizeof *s->uids);
    e = store_meta_put(s->store, STAGE_ROW, buf_slice(&row));
    if (e != OK)
        order_swap(s);
    buf_free(&row);
    return e;
}

static void renumber(struct space *space, unsigned db)
{
    for (unsigned i = 0; i < SLOTS; i++)
        for (uint32_t k = 0; k < space->slots[i].table.capacity; k++)
            if (space->slots[i].table.cells[k] != 0)
                table_at(&space->slots[i].table, k)->db = (uint16_t)db;
}

static void spaces_swap(struct set *s)
{
    for (unsigned db = 0; db < s->visible; db++) {
        struct space *old = set_space(s, db), *new = set_space(s, s->visible + db);

        if (new != NULL)
            renumber(new, db);
        if (old != NULL)
            renumber(old, s->visible + db);
        atomic_store(&s->spaces[db], new);
        atomic_store(&s->spaces[s->visible + db], old);
    }
}

/* All slots are locked. */
static enum err commit(struct set *s, const char *id, lsn_t lsn, set_stage_reset *reset, void *context)
{
    (void)set_space_make(s, s->visible); /* database 0 always has a family */
    for (unsigned db = s->visible; db < s->databases; db++)
        if (set_space(s, db) != NULL)
            TRY(space_seal(s, set_space(s, db), lsn));
    TRY(writer_flush(s));
    TRY(decide(s, id, lsn));
    /* From here on only forwards: the next start would do the same. */
    check(reset(context) == OK);
    s->swapped_at = lsn;
    check(set_order_save(s) == OK);
    check(store_meta_put(s->store, STAGE_ROW, (struct slice){0}) == OK);
    spaces_swap(s);
    atomic_store(&s->floor, lsn + 1);
    return OK;
}

enum err set_stage_commit(struct set *s, const char *id, lsn_t lsn, set_stage_reset *reset, void *context)
{
    enum err e = set_drain(s); /* most of it, while commands go on */

    if (e != OK)
        return e;
    set_stop_world(s);
    e = commit(s, id, lsn, reset, context);
    set_go_on(s);
    if (e == OK)
        e = set_stage_clear(s);
    return e;
}

/* ---- At a start ---- */

enum err set_stage_pending(struct store *store, bool *pending, char id[STAGE_ID_BYTES + 1], lsn_t *lsn)
{
    struct store_value v = {0};
    enum err e = store_meta_get(store, STAGE_ROW, &v);

    *pending = false;
    if (e == ERR_NOT_FOUND)
        return OK;
    if (e == OK && v.bytes.size > STAGE_HEAD_BYTES) {
        memcpy(id, v.bytes.data, STAGE_ID_BYTES);
        id[STAGE_ID_BYTES] = '\0';
        memcpy(lsn, v.bytes.data + STAGE_ID_BYTES, sizeof *lsn);
        *pending = true;
    } else if (e == OK && v.bytes.size > 0) {
        e = err_set(ERR_CORRUPT, "the row of the stage has %zu bytes", v.bytes.size);
    }
    store_value_free(&v);
    return e;
}

enum err set_stage_complete(struct store *store)
{
    struct store_value v = {0};
    enum err e = store_meta_get(store, STAGE_ROW, &v);

    if (e == OK)
        e = store_meta_put(store, ORDER_ROW, slice_of(v.bytes.data + STAGE_HEAD_BYTES, v.bytes.size - STAGE_HEAD_BYTES));
    store_value_free(&v);
    TRY(e);
    log_event(LOG_NOTICE, "stage_completed");
    return store_meta_put(store, STAGE_ROW, (struct slice){0});
}
