/*
 * repl_load.c - a whole copy from the primary: an RDB file, built on the stage beside the data that is served meanwhile.
 *
 *   "$<length>\r\n" bytes                        or        "$EOF:<mark>\r\n" bytes mark
 *   "$FILES:<id>\r\n" frames: repl_receive.c fills the stage, the rest is the same
 *
 * (1) The old data is served, and is what a restart finds, until the new set is whole and durable; then both the data and the
 *     log change in one step (engine/set/stage.h).
 * (2) Behind the mark nothing comes before the first ACK; behind a length the stream follows at once.
 * (3) The primary hears a newline every second, so that it does not take the loading for silence.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "engine/set/set.h"
#include "engine/set/stage.h"
#include "persistence/rdb/rdb_load.h"
#include "server/drive/repl_priv.h"
#include "server/drive/repl_receive.h"

enum { MARK_BYTES = 40, KEEPALIVE_MS = 1000 };

struct load {
    struct repl_wire *wire;
    const char *replid;
    lsn_t lsn;
    bool by_mark, by_files;
    char id[COPY_ID_BYTES + 1]; /* of a copy by files */
    uint64_t left;         /* of a file with a length */
    char mark[MARK_BYTES];
    int selected;          /* in the stream at lsn; -1: none */
    msec_t told_ms;
};

static enum err pull(void *context, uint8_t *out, size_t room, size_t *got)
{
    struct load *l = context;
    struct repl_wire *w = l->wire;
    size_t n;

    *got = 0;
    if (!l->by_mark && l->left == 0)
        return OK;
    if (w->in_at == w->in.size)
        TRY(repl_wire_fill(w));
    n = w->in.size - w->in_at;
    if (n > room)
        n = room;
    if (!l->by_mark && n > l->left)
        n = (size_t)l->left;
    memcpy(out, w->in.data + w->in_at, n);
    w->in_at += n;
    l->left -= l->by_mark ? 0 : n;
    *got = n;
    atomic_fetch_add_explicit(&w->repl->copy_bytes, n, memory_order_relaxed);
    return OK;
}

static enum err aux(void *context, struct slice name, struct slice value)
{
    struct load *l = context;
    int64_t db;

    if (slice_is(name, "repl-stream-db") && num_parse_i64(value, &db) && db >= 0 &&
        db < node_databases(l->wire->repl->node))
        l->selected = (int)db;
    return OK;
}

static enum err function(void *context, struct slice source)
{
    (void)context;
    log_event(LOG_WARNING, "primary_copy_function_left_out bytes=%zu", source.size);
    return OK;
}

static enum err progress(void *context, uint64_t keys, uint64_t bytes)
{
    struct load *l = context;
    msec_t now = node_now(l->wire->repl->node);

    (void)keys;
    (void)bytes;
    if (!repl_link_wanted(l->wire->repl, l->wire->generation))
        return err_set(ERR_CLOSED, "the primary is no longer wanted");
    if (now - l->told_ms < KEEPALIVE_MS)
        return OK;
    l->told_ms = now;
    return repl_wire_send(l->wire, SLICE_LITERAL("\n"));
}

/* The first line behind +FULLRESYNC; empty ones come while the primary prepares. */
static enum err framing(struct load *l)
{
    struct repl *r = l->wire->repl;
    struct slice line;
    int64_t length;

    do
        TRY(repl_wire_line(l->wire, &line));
    while (line.size == 0);
    atomic_store(&r->copy_bytes, 0);
    atomic_store(&r->copy_total, -1);
    if (line.size == 5 + MARK_BYTES && memcmp(line.data, "$EOF:", 5) == 0) {
        l->by_mark = true;
        memcpy(l->mark, line.data + 5, MARK_BYTES);
        return OK;
    }
    if (line.size == 7 + COPY_ID_BYTES && memcmp(line.data, "$FILES:", 7) == 0) {
        memcpy(l->id, line.data + 7, COPY_ID_BYTES);
        l->by_files = true;
        return OK;
    }
    if (line.data[0] != '$' || !num_parse_i64(slice_of(line.data + 1, line.size - 1), &length) || length < 0)
        return err_set(ERR_PROTOCOL, "the primary sends '%.*s' for a copy", (int)(line.size < 100 ? line.size : 100),
                       (const char *)line.data);
    l->left = (uint64_t)length;
    atomic_store(&r->copy_total, length);
    return OK;
}

/* Behind the file: the mark, of which a part may have been pulled already; or nothing. */
static enum err ending(struct load *l, struct buf *rest)
{
    struct repl_wire *w = l->wire;

    if (!l->by_mark)
        return l->left == 0 && rest->size == 0 ? OK : err_set(ERR_PROTOCOL, "the primary's copy is longer than its file");
    while (rest->size < MARK_BYTES) {
        size_t n = w->in.size - w->in_at;

        if (n == 0) {
            TRY(repl_wire_fill(w));
            continue;
        }
        if (n > MARK_BYTES - rest->size)
            n = MARK_BYTES - rest->size;
        buf_append(rest, w->in.data + w->in_at, n);
        w->in_at += n;
    }
    if (rest->size != MARK_BYTES || memcmp(rest->data, l->mark, MARK_BYTES) != 0)
        return err_set(ERR_PROTOCOL, "the primary's copy does not end with its mark");
    return OK;
}

static enum err receive_rdb(struct load *l)
{
    struct repl *r = l->wire->repl;
    struct set *set = node_set(r->node);
    const struct rdb_load_options options = {
        .set = set, .databases = node_databases(r->node), .first = set_stage_first(set), .lsn = 1,
        .now_ms = node_now(r->node), .pull = pull, .context = l, .aux = aux, .function = function, .progress = progress,
        .hooks = l};
    struct rdb_load_figures figures;
    struct buf rest = {0};
    enum err e;

    e = rdb_load(&options, &rest, &figures);
    if (e == OK)
        e = ending(l, &rest);
    buf_free(&rest);
    if (e == OK)
        log_event(LOG_NOTICE, "primary_copy_received keys=%llu bytes=%llu", (unsigned long long)figures.keys,
                  (unsigned long long)figures.bytes);
    return e;
}

static enum err reset_log(void *context)
{
    struct load *l = context;

    return wal_reset(l->wire->repl->wal, l->replid, l->lsn, l->selected);
}

enum err repl_load_run(struct repl_wire *w, const char *replid, lsn_t lsn)
{
    struct load l = {.wire = w, .replid = replid, .lsn = lsn, .selected = -1, .told_ms = node_now(w->repl->node)};
    struct set *set = node_set(w->repl->node);
    msec_t began = l.told_ms;
    char text[512];
    enum err e;

    TRY(set_stage_clear(set));
    e = framing(&l);
    if (e == OK && !l.by_files)
        receive_discard(w->repl->receive);
    if (e == OK)
        e = l.by_files ? receive_run(w->repl->receive, w, l.id, lsn, &l.selected) : receive_rdb(&l);
    if (e == OK)
        e = set_stage_commit(set, replid, lsn, reset_log, &l);
    if (e != OK) {
        snprintf(text, sizeof text, "%s", err_text());
        if (set_stage_clear(set) != OK)
            log_event(LOG_WARNING, "primary_copy_left_behind error=\"%s\"", err_text());
        return err_set(e, "%s", text);
    }
    log_event(LOG_NOTICE, "primary_copy_in_place offset=%llu ms=%lld", (unsigned long long)lsn,
              (long long)(node_now(w->repl->node) - began));
    return OK;
}

enum err repl_load_resume(struct wal *wal, struct store *store)
{
    char id[STAGE_ID_BYTES + 1] = "";
    struct history h;
    bool pending = false;
    lsn_t lsn = 0;

    TRY(set_stage_pending(store, &pending, id, &lsn));
    if (!pending)
        return OK;
    wal_history(wal, &h);
    if (strcmp(h.replid, id) != 0 || h.first != lsn)
        TRY(wal_reset(wal, id, lsn, -1));
    return set_stage_complete(store);
}
