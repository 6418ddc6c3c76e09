/*
 * rdb_load.c - one key after the other: decoded by the reader, built in transactions of its slot that are not logged.
 */
#include "persistence/rdb/rdb_load.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"
#include "persistence/rdb/rdb_object.h"
#include "persistence/rdb/rdb_reader.h"

enum {
    PIECE_ELEMENTS = 4096,     /* a big collection is committed after so many, */
    PIECE_BYTES = 1 << 20,     /* or so many bytes */
    PROGRESS_KEYS = 16384,
    NAMES_MAX = 16 << 20,      /* a collection beyond is taken as it is: its names would take too much memory to compare */
    LOAD_SEED = 1,
};

struct slot_counts {
    int64_t keys, expires;
};

struct load {
    const struct rdb_load_options *options;
    struct txn *txn;
    struct rdb_names names;
    struct slot_counts **counts; /* by database; NULL until it has a key */
    struct rdb_load_figures *figures;

    /* The key that is being built */
    const struct rdb_item *item;
    struct buf name;
    slot_t slot;
    bool open;          /* a transaction is */
    struct rdb_build build;
    enum obj_type type;
    size_t elements, bytes; /* since the last commit */
    uint64_t count;
};

/* ---- One key ---- */

static enum err open_txn(struct load *l)
{
    const struct txn_options options = {.now_ms = l->options->now_ms, .db = l->options->first + l->item->db,
                                        .may_wait = true, .replay = true};

    TRY(txn_begin(l->txn, &l->slot, 1, &options));
    txn_replay_at(l->txn, l->options->lsn);
    l->open = true;
    l->elements = l->bytes = 0;
    return OK;
}

static enum err close_txn(struct load *l)
{
    lsn_t end;
    enum err e;

    if (!l->open)
        return OK;
    txn_changed(l->txn, l->build.o);
    txn_command_end(l->txn, (struct slice){0}, NULL, 0);
    e = txn_commit(l->txn, &end);
    txn_end(l->txn);
    l->open = false;
    return e;
}

static void abort_txn(struct load *l)
{
    if (!l->open)
        return;
    lsn_t end;

    txn_command_end(l->txn, (struct slice){0}, NULL, 0);
    (void)!txn_commit(l->txn, &end); /* half a key: the caller drops the whole set */
    txn_end(l->txn);
    l->open = false;
}

static enum err begin(void *context, enum obj_type type, uint64_t count)
{
    struct load *l = context;

    (void)count;
    l->type = type;
    l->count = 0;
    return OK;
}

static enum err create(struct load *l, size_t size)
{
    const struct rdb_item *item = l->item;
    struct obj *o = NULL;
    enum err e;

    l->slot = hash_slot(buf_slice(&l->name));
    TRY(open_txn(l));
    if (l->type == OBJ_STRING)
        txn_size_hint(l->txn, size);
    e = set_load_create(l->txn, buf_slice(&l->name), l->type, &o);
    if (e != OK) {
        txn_end(l->txn);
        l->open = false;
        return e == ERR_EXISTS ? err_set(ERR_CORRUPT, "the key comes twice") : e;
    }
    if (item->expire_ms != 0)
        txn_expire(l->txn, o, item->expire_ms);
    if (item->idle_s >= 0 && item->idle_s < l->options->now_ms / 1000)
        o->access_clock = (uint32_t)(l->options->now_ms / 1000 - item->idle_s);
    rdb_names_clear(&l->names);
    l->build.o = o;
    l->build.names = &l->names;
    return OK;
}

/* The slot's lock, and with it the object, is let go between two pieces. */
static enum err next_piece(struct load *l)
{
    TRY(close_txn(l));
    TRY(open_txn(l));
    return txn_write(l->txn, buf_slice(&l->name), OBJ_ANY, &l->build.o);
}

static enum err element(void *context, struct slice name, struct slice value, double score)
{
    struct load *l = context;

    if (l->count == 0)
        TRY(create(l, name.size));
    else if (l->elements >= PIECE_ELEMENTS || l->bytes >= PIECE_BYTES)
        TRY(next_piece(l));
    if (l->count == NAMES_MAX)
        l->build.names = NULL;
    l->count++;
    l->elements++;
    l->bytes += name.size + value.size;
    return rdb_build_element(&l->build, name, value, score);
}

static void count_key(struct load *l)
{
    struct slot_counts **counts = &l->counts[l->item->db];

    if (*counts == NULL) {
        *counts = calloc(SLOTS, sizeof **counts);
        check(*counts != NULL);
    }
    (*counts)[l->slot].keys++;
    (*counts)[l->slot].expires += l->item->expire_ms != 0;
    l->figures->keys++;
}

static enum err load_key(struct load *l, struct rdb_reader *r, const struct rdb_item *item)
{
    const struct rdb_sink sink = {.context = l, .begin = begin, .element = element};
    enum err e;

    if (item->db >= l->options->databases)
        return err_set(ERR_INVALID, "offset %llu: database %u, and there are %u here (option \"databases\")",
                       (unsigned long long)rdb_reader_offset(r), item->db, l->options->databases);
    if (l->options->drop_expired && item->expire_ms != 0 && item->expire_ms <= l->options->now_ms) {
        l->figures->expired++;
        return rdb_reader_value(r, NULL);
    }
    l->item = item;
    buf_clear(&l->name);
    buf_append_slice(&l->name, item->name);
    e = rdb_reader_value(r, &sink);
    if (e == OK)
        e = close_txn(l);
    if (e != OK) {
        abort_txn(l);
        return e;
    }
    if (l->count == 0)
        l->figures->empty++;
    else
        count_key(l);
    return OK;
}

/* ---- The file ---- */

static enum err take(struct load *l, struct rdb_reader *r, const struct rdb_item *item)
{
    const struct rdb_load_options *o = l->options;

    switch (item->kind) {
    case RDB_ITEM_AUX:
        return o->aux != NULL ? o->aux(o->hooks, item->name, item->value) : OK;
    case RDB_ITEM_RESIZE:
        return OK;
    case RDB_ITEM_FUNCTION:
        return o->function != NULL ? o->function(o->hooks, item->value)
                                   : err_set(ERR_INVALID, "offset %llu: a function library is not taken",
                                             (unsigned long long)rdb_reader_offset(r));
    case RDB_ITEM_KEY:
        TRY(load_key(l, r, item));
        if (o->progress != NULL && l->figures->keys % PROGRESS_KEYS == 0)
            TRY(o->progress(o->hooks, l->figures->keys, rdb_reader_offset(r)));
        return OK;
    }
    return OK;
}

static void counts_apply(struct load *l)
{
    for (unsigned db = 0; db < l->options->databases; db++) {
        if (l->counts[db] == NULL)
            continue;
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            const struct slot_counts *c = &l->counts[db][slot];

            if (c->keys != 0)
                set_replay_count(l->options->set, l->options->first + db, (slot_t)slot, l->options->lsn, c->keys, c->expires);
        }
        free(l->counts[db]);
    }
    free(l->counts);
}

enum err rdb_load(const struct rdb_load_options *options, struct buf *rest, struct rdb_load_figures *figures)
{
    const struct rdb_reader_options source = {.pull = options->pull, .context = options->context};
    struct load l = {.options = options, .figures = figures, .txn = txn_new(options->set, LOAD_SEED)};
    struct rdb_reader *r = NULL;
    struct rdb_item item;
    enum err e;

    check(l.txn != NULL && options->lsn > 0);
    *figures = (struct rdb_load_figures){0};
    l.counts = calloc(options->databases, sizeof *l.counts);
    check(l.counts != NULL);
    l.build.txn = l.txn;
    rdb_reader_open(&source, &r);
    while ((e = rdb_reader_next(r, &item)) == OK && (e = take(&l, r, &item)) == OK)
        continue;
    if (e == ERR_NOT_FOUND)
        e = options->progress != NULL ? options->progress(options->hooks, figures->keys, rdb_reader_offset(r)) : OK;
    figures->bytes = rdb_reader_offset(r);
    figures->version = rdb_reader_version(r);
    if (e == OK && rest != NULL)
        buf_append_slice(rest, rdb_reader_rest(r));
    counts_apply(&l);
    rdb_reader_close(r);
    rdb_names_free(&l.names);
    buf_free(&l.build.last);
    buf_free(&l.name);
    txn_free(l.txn);
    return e;
}
