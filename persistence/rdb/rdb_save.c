/*
 * rdb_save.c - values of a view as the encoder wants them, in whichever form the store keeps them; the file around them.
 */
#include "persistence/rdb/rdb_save.h"

#include "base/check.h"
#include "engine/set/view.h"
#include "engine/type/list_big.h"
#include "engine/type/packed.h"

enum { PROGRESS_KEYS = 4096 };

static const uint8_t zeros[OBJ_CHUNK_BYTES];

static enum err damaged(const struct rdb_view_walk *w)
{
    return err_set(ERR_CORRUPT, "key \"%.*s\": its value is damaged",
                   (int)(w->key->name.size < 100 ? w->key->name.size : 100), (const char *)w->key->name.data);
}

/* ---- Strings ---- */

static enum err next_plain(void *context, struct rdb_element *x)
{
    struct rdb_view_walk *w = context;

    if (w->rows_open)
        return ERR_NOT_FOUND;
    w->rows_open = true;
    x->name = w->key->value;
    return OK;
}

/* The next chunk that is there, or the end of the value. */
static enum err chunk_next(struct rdb_view_walk *w)
{
    struct set_view_row row;
    enum err e = set_view_row(w->view, &row);

    w->chunk = (struct slice){0};
    w->chunk_at = w->key->count;
    if (e == OK) {
        w->chunk = row.value;
        w->chunk_at = row.index * OBJ_CHUNK_BYTES;
        if (w->chunk_at < w->position || w->chunk_at + w->chunk.size > w->key->count)
            return damaged(w);
    }
    return e == ERR_NOT_FOUND ? OK : e;
}

/* What lies between chunks, and behind a short one, is zeros. */
static enum err next_chunk(void *context, struct rdb_element *x)
{
    struct rdb_view_walk *w = context;

    if (!w->rows_open) {
        set_view_rows(w->view, w->key, ROW_ELEMENT);
        w->rows_open = true;
        TRY(chunk_next(w));
    }
    while (w->position == w->chunk_at && w->chunk.size == 0 && w->position < w->key->count)
        TRY(chunk_next(w));
    if (w->position == w->key->count)
        return ERR_NOT_FOUND;
    if (w->position < w->chunk_at) {
        uint64_t gap = w->chunk_at - w->position;

        x->name = slice_of(zeros, gap < sizeof zeros ? (size_t)gap : sizeof zeros);
    } else {
        x->name = w->chunk;
    }
    w->position += x->name.size;
    if (x->name.data == w->chunk.data) { /* given: the row stays under it until the next step */
        w->chunk = (struct slice){0};
        w->chunk_at = w->position;
    }
    return OK;
}

/* ---- Packed runs, and the rows between a list's two ---- */

static bool run_next(struct rdb_view_walk *w, struct slice *entry)
{
    struct packed p = packed_begin(w->run);

    p.next = w->at;
    if (!packed_next(&p))
        return false;
    w->at = p.next;
    *entry = p.entry;
    return true;
}

static enum err next_packed(void *context, struct rdb_element *x)
{
    struct rdb_view_walk *w = context;
    struct slice value;

    if (!run_next(w, &x->name))
        return ERR_NOT_FOUND;
    if (w->key->type != OBJ_HASH && w->key->type != OBJ_ZSET)
        return OK;
    if (!run_next(w, &value))
        return damaged(w);
    x->value = value;
    if (w->key->type == OBJ_ZSET) {
        if (value.size != sizeof x->score)
            return damaged(w);
        memcpy(&x->score, value.data, sizeof x->score);
    }
    return OK;
}

static enum err next_list(void *context, struct rdb_element *x)
{
    struct rdb_view_walk *w = context;

    if (run_next(w, &x->name))
        return OK;
    if (w->rows > 0) {
        struct set_view_row row;
        enum err e;

        if (!w->rows_open)
            set_view_rows(w->view, w->key, ROW_ELEMENT);
        w->rows_open = true;
        e = set_view_row(w->view, &row);
        if (e != OK)
            return e == ERR_NOT_FOUND ? damaged(w) : e;
        w->rows--;
        x->name = row.value;
        return OK;
    }
    if (w->tail.size == 0)
        return ERR_NOT_FOUND;
    w->run = w->tail;
    w->tail = (struct slice){0};
    w->at = 0;
    return next_list(w, x);
}

static enum err next_row(void *context, struct rdb_element *x)
{
    struct rdb_view_walk *w = context;
    struct set_view_row row;

    if (!w->rows_open)
        set_view_rows(w->view, w->key, w->key->type == OBJ_ZSET ? ROW_SCORE : ROW_ELEMENT);
    w->rows_open = true;
    TRY(set_view_row(w->view, &row));
    x->name = row.name;
    x->value = row.value;
    x->score = row.score;
    return OK;
}

static enum err next_damaged(void *context, struct rdb_element *x)
{
    (void)x;
    return damaged(context);
}

/* Two runs and the number of rows between them, from the record of a BIG list. */
static bool list_open(struct rdb_view_walk *w)
{
    struct list_big b;
    struct slice runs;

    if (w->key->value.size < sizeof b)
        return false;
    memcpy(&b, w->key->value.data, sizeof b);
    runs = slice_of(w->key->value.data + sizeof b, w->key->value.size - sizeof b);
    if (b.ends.head_bytes > runs.size || (uint64_t)b.ends.head_count + b.ends.tail_count > w->key->count)
        return false;
    w->run = slice_of(runs.data, b.ends.head_bytes);
    w->tail = slice_of(runs.data + b.ends.head_bytes, runs.size - b.ends.head_bytes);
    w->rows = w->key->count - b.ends.head_count - b.ends.tail_count;
    return true;
}

void rdb_view_value(struct rdb_view_walk *w, struct set_view *view, const struct set_view_key *key,
                    struct rdb_value *out)
{
    bool big = key->form == OBJ_BIG, string = key->type == OBJ_STRING;

    *w = (struct rdb_view_walk){.view = view, .key = key, .run = key->value};
    *out = (struct rdb_value){.type = key->type, .marks = key->marks, .context = w,
                              .count = string && !big ? key->value.size : key->count};
    if (string)
        out->next = big ? next_chunk : next_plain;
    else if (!big)
        out->next = next_packed;
    else if (key->type == OBJ_LIST)
        out->next = list_open(w) ? next_list : next_damaged;
    else
        out->next = next_row;
}

/* ---- The file ---- */

static enum err write_head(struct rdb_writer *w, struct set_view *view, const struct rdb_save_options *o)
{
    TRY(rdb_writer_aux(w, SLICE_LITERAL("redis-ver"), slice_str(o->redis_version)));
    TRY(rdb_writer_aux_number(w, SLICE_LITERAL("redis-bits"), 64));
    TRY(rdb_writer_aux_number(w, SLICE_LITERAL("ctime"), o->now_ms / 1000));
    TRY(rdb_writer_aux_number(w, SLICE_LITERAL("used-mem"), (int64_t)o->used_memory));
    if (o->repl_id.size > 0) {
        lsn_t offset = o->repl_offset != 0 ? o->repl_offset : set_view_lsn(view);

        TRY(rdb_writer_aux_number(w, SLICE_LITERAL("repl-stream-db"), o->repl_db));
        TRY(rdb_writer_aux(w, SLICE_LITERAL("repl-id"), o->repl_id));
        TRY(rdb_writer_aux_number(w, SLICE_LITERAL("repl-offset"), (int64_t)offset));
    }
    return rdb_writer_aux_number(w, SLICE_LITERAL("aof-base"), o->aof_base);
}

static enum err write_functions(struct rdb_writer *w, const struct rdb_save_options *o)
{
    struct slice source;
    enum err e = ERR_NOT_FOUND;

    for (size_t i = 0; o->function != NULL && (e = o->function(o->function_context, i, &source)) == OK; i++)
        TRY(rdb_writer_function(w, source));
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err write_db(struct rdb_writer *w, struct set_view *view, unsigned db, const struct rdb_save_options *o,
                         uint64_t *done)
{
    uint64_t keys, expires;
    struct set_view_key key;
    enum err e;

    if (!set_view_size(view, db, &keys, &expires))
        return OK;
    TRY(rdb_writer_db(w, db, keys, expires));
    set_view_seek(view, db, 0, SLOTS - 1);
    while ((e = set_view_next(view, &key)) == OK) {
        struct rdb_view_walk walk;
        struct rdb_value value;

        if (key.type > OBJ_HASH)
            return err_set(ERR_INVALID, "key \"%.*s\": a value of type %d cannot be written to an RDB file yet",
                           (int)(key.name.size < 100 ? key.name.size : 100), (const char *)key.name.data, key.type);
        rdb_view_value(&walk, view, &key, &value);
        TRY(rdb_writer_key(w, key.name, key.expire_ms, &value));
        if (++*done % PROGRESS_KEYS == 0 && o->progress != NULL && o->progress(o->progress_context, *done))
            return err_set(ERR_CLOSED, "stopped");
    }
    return e == ERR_NOT_FOUND ? OK : e;
}

enum err rdb_save(struct set_view *view, const struct rdb_save_options *o, struct rdb_save_figures *figures)
{
    const struct rdb_writer_options options = {.push = o->push, .context = o->context, .compress = o->compress,
                                               .no_checksum = o->no_checksum};
    struct rdb_writer *w = NULL;
    uint64_t keys = 0;
    enum err e = rdb_writer_open(&options, &w);

    if (e == OK)
        e = write_head(w, view, o);
    if (e == OK)
        e = write_functions(w, o);
    for (unsigned db = 0; db < set_view_databases(view) && e == OK && !o->no_keys; db++)
        e = write_db(w, view, db, o, &keys);
    if (e == OK)
        e = rdb_writer_end(w);
    if (e == OK && figures != NULL)
        *figures = (struct rdb_save_figures){.keys = keys, .bytes = rdb_writer_bytes(w)};
    rdb_writer_close(w);
    return e;
}
