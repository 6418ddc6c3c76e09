/*
 * depart.c - a job on the source: one thread, one connection to the target's client port.
 *
 * (1) A view of the slots at one position of the log, then the log's effects on them from that position on: together every change,
 *     once, in its order.
 * (2) The end of it (depart_end.c) is read while writes to these slots wait.
 * (3) The target is silent about what goes well: any line is an error, but for those that answer CLUSTER SYNCSLOTS.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "base/words.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"
#include "engine/set/view.h"
#include "persistence/wal.h"
#include "persistence/wal_reader.h"
#include "server/conf/config.h"
#include "server/drive/cluster_service.h"
#include "server/drive/depart_priv.h"
#include "server/drive/move_rows.h"
#include "server/drive/login.h"
#include "server/net/clients.h"
#include "server/net/remote.h"
#include "server/node_priv.h"
#include "server/run/execute.h"

enum {
    CHUNK_BYTES = 256 << 10,
    ROWS_BYTES = 512 << 10,   /* of a frame of rows */
    STEP_MS = 30000,          /* a connection, a write, an answer but that of FINISH */
    CLEAR_MS = 60000,         /* for the target to drop old keys of the slots */
    LAG_BYTES = 64 << 10,     /* of the log; less than that is sent while writes wait */
    ROUNDS_MAX = 50,
    RETRY_MS = 200,
};

static enum err wanted(struct depart *d)
{
    if (moves_stopping(d->m))
        return err_set(ERR_CLOSED, "this node stops");
    if (atomic_load(&d->v->cancelled))
        return err_set(ERR_CLOSED, "cancelled");
    if (node_is_replica(d->node))
        return err_set(ERR_CLOSED, "this node is a replica now");
    return OK;
}

/* ---- Sending ---- */

/* Sleeps as slot-migration-max-mb-per-sec asks. */
static enum err keep_rate(struct depart *d)
{
    for (;;) {
        int64_t most = config_int(node_config(d->node), "slot-migration-max-mb-per-sec");
        msec_t spent = node_now(d->node) - d->begun_ms, due;

        TRY(wanted(d));
        if (most <= 0)
            return OK;
        due = (msec_t)(atomic_load(&d->v->bytes) * 1000 / ((uint64_t)most << 20));
        if (due <= spent)
            return OK;
        clock_nap_ms(due - spent < 100 ? due - spent : 100);
    }
}

static enum err target_error(struct slice line)
{
    return err_set(ERR_PROTOCOL, "the target answered '%.*s'", (int)(line.size < 160 ? line.size : 160),
                   (const char *)line.data);
}

static enum err send_out(struct depart *d)
{
    struct slice line;
    enum err e;

    TRY(wanted(d));
    if (d->out.size > 0) {
        TRY(remote_write(d->to, buf_slice(&d->out), STEP_MS));
        atomic_fetch_add(&d->v->bytes, d->out.size);
        buf_clear(&d->out);
    }
    while ((e = remote_line(d->to, 0, &line)) == OK)
        if (d->unanswered-- == 0 || line.size == 0 || line.data[0] != '+')
            return target_error(line);
    if (e != ERR_AGAIN)
        return e;
    return d->marked ? OK : keep_rate(d);
}

static enum err on_chunk(void *context, struct buf *out)
{
    struct depart *d = context;

    check(out == &d->out);
    return send_out(d);
}

/* Sends what waits and takes the answer: OK for +..., ERR_PROTOCOL with text for an error. */
enum err depart_ask(struct depart *d, struct remote *to, struct buf *request, msec_t timeout_ms, char answer[128])
{
    struct slice line;

    TRY(remote_write(to, buf_slice(request), timeout_ms));
    buf_clear(request);
    for (; to == d->to && d->unanswered > 0; d->unanswered--) {
        TRY(remote_line(to, timeout_ms, &line));
        if (line.size == 0 || line.data[0] != '+')
            return target_error(line);
    }
    TRY(remote_line(to, timeout_ms, &line));
    if (answer != NULL)
        snprintf(answer, 128, "%.*s", (int)line.size, (const char *)line.data);
    atomic_store(&d->v->acked_ms, node_now(d->node));
    return line.size > 0 && line.data[0] == '+' ? OK : target_error(line);
}

/* ---- Connecting ---- */

static bool find_address(struct depart *d)
{
    const struct cluster_map *map = cluster_service_map(d->m->service);
    bool found = false;

    for (size_t i = 0; i < map->node_count && !found; i++) {
        const struct routing_node *n = &map->nodes[i];
        uint16_t port = d->tls ? n->tls_port : n->port;

        if (strcmp(n->id, d->v->target) == 0 && port != 0) {
            snprintf(d->host, sizeof d->host, "%s", n->ip);
            snprintf(d->port, sizeof d->port, "%u", port);
            found = true;
        }
    }
    cluster_service_map_done(d->m->service);
    return found;
}

static enum err log_in(struct depart *d, struct remote *to)
{
    struct buf request = {0};
    enum err e = login_request(node_config(d->node), &request) ? depart_ask(d, to, &request, STEP_MS, NULL) : OK;

    buf_free(&request);
    return e;
}

enum err depart_dial(struct depart *d, msec_t timeout_ms, struct remote **to)
{
    enum err e;

    d->tls = config_bool(node_config(d->node), "tls-cluster");
    if (!find_address(d))
        return err_set(ERR_IO, "the target has no known address with a %s port", d->tls ? "TLS" : "plain-text");
    e = remote_take(d->node->remotes, &(struct remote_place){slice_str(d->host), d->port, d->tls}, timeout_ms, true, to);
    if (e == OK && (e = log_in(d, *to)) != OK) {
        remote_give(d->node->remotes, *to, false);
        *to = NULL;
    }
    return e;
}

void request_add(struct request *r, struct slice word)
{
    words_add(&r->words, word);
    r->count++;
}

void request_add_number(struct request *r, uint64_t number)
{
    char text[NUM_TEXT_MAX];

    request_add(r, slice_of(text, num_format_u64(text, number)));
}

void request_add_slots(struct request *r, const struct move *v)
{
    for (size_t i = 0; i < v->slot_count; i++) {
        slot_t first = v->slots[i];

        while (i + 1 < v->slot_count && v->slots[i + 1] == v->slots[i] + 1)
            i++;
        request_add_number(r, first);
        request_add_number(r, v->slots[i]);
    }
}

struct request request_begin(const char *what)
{
    struct request r = {0};

    request_add(&r, SLICE_LITERAL("CLUSTER"));
    request_add(&r, SLICE_LITERAL("SYNCSLOTS"));
    request_add(&r, slice_str(what));
    return r;
}

void request_end(struct request *r, struct buf *out)
{
    words_head(out, r->count);
    buf_append_slice(out, buf_slice(&r->words));
    buf_free(&r->words);
}

static enum err establish(struct depart *d)
{
    msec_t until = node_now(d->node) + CLEAR_MS;
    char answer[128] = "";

    TRY(depart_dial(d, STEP_MS, &d->to));
    for (;;) {
        struct request r = request_begin("ESTABLISH");
        enum err e;

        request_add_number(&r, MOVE_VERSION);
        request_add(&r, slice_str(d->v->name));
        request_add(&r, slice_str(d->v->source));
        request_add(&r, slice_str(d->v->target));
        request_add_slots(&r, d->v);
        request_end(&r, &d->out);
        e = depart_ask(d, d->to, &d->out, STEP_MS, answer);
        if (e == OK || strncmp(answer, "-TRYAGAIN", 9) != 0 || node_now(d->node) > until)
            return e;
        TRY(wanted(d));
        clock_nap_ms(RETRY_MS);
    }
}

/* ---- The view ---- */

static enum err barrier(struct depart *d)
{
    struct request r = request_begin("BARRIER");

    request_end(&r, &d->out);
    return depart_ask(d, d->to, &d->out, STEP_MS, NULL);
}

static void end_rows(struct depart *d)
{
    if (d->row_count == 0)
        return;
    move_rows_end(&d->rows, d->row_count);
    WORDS(&d->out, SLICE_LITERAL("CLUSTER"), SLICE_LITERAL("SYNCSLOTS"), SLICE_LITERAL("ROWS"), buf_slice(&d->rows));
    buf_clear(&d->rows);
    d->row_count = 0;
    d->unanswered++;
}

/* A small key is a row among others; a large one goes as the commands that make it, in pieces. */
static enum err send_key(struct depart *d, const struct set_view_key *key)
{
    if (!move_rows_suits(key))
        return move_words_key(d->view, key, &d->out, on_chunk, d);
    if (d->row_count == 0)
        move_rows_begin(&d->rows);
    move_rows_add(&d->rows, key->row, key->record);
    d->row_count++;
    if (d->rows.size >= ROWS_BYTES)
        end_rows(d);
    return OK;
}

static enum err send_range(struct depart *d, slot_t first, slot_t last)
{
    struct set_view_key key;
    enum err e;

    set_view_seek(d->view, 0, first, last);
    while ((e = set_view_next(d->view, &key)) == OK) {
        TRY(send_key(d, &key));
        atomic_fetch_add_explicit(&d->v->keys, 1, memory_order_relaxed);
        if (d->out.size >= CHUNK_BYTES)
            TRY(send_out(d));
    }
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err send_view(struct depart *d)
{
    struct wal *wal = node_wal(d->node);
    struct move *v = d->v;
    uint64_t total = 0;

    d->hold = wal_hold(wal, wal_tail(wal));
    if (d->hold < 0)
        return err_set(ERR_BUSY, "too many readers of the log");
    TRY(set_view_open(node_set(d->node), &d->view));
    d->at = set_view_lsn(d->view);
    atomic_store(&v->view_pause_us, set_view_pause_us(d->view));
    for (size_t i = 0; i < v->slot_count; i++)
        total += set_view_slot_keys(d->view, 0, v->slots[i]);
    atomic_store(&v->keys_total, total);
    d->begun_ms = node_now(d->node);
    for (size_t i = 0; i < v->slot_count; i++) {
        slot_t first = v->slots[i];

        while (i + 1 < v->slot_count && v->slots[i + 1] == v->slots[i] + 1)
            i++;
        TRY(send_range(d, first, v->slots[i]));
    }
    set_view_close(d->view);
    d->view = NULL;
    end_rows(d);
    TRY(send_out(d));
    return barrier(d); /* rows have landed before the first effect on them comes */
}

/* ---- The log ---- */

static enum err take_frame(struct depart *d, const struct frame *f)
{
    struct frame_walk walk = frame_walk_begin(f);
    struct journal_effect effect;

    while (frame_walk_next(&walk, &effect))
        switch (journal_kind_of(&effect)) {
        case JOURNAL_KEY:
            if (effect.db == 0 && effect.slot < SLOTS && move_has(d->v, effect.slot))
                buf_append_slice(&d->out, walk.text);
            break;
        case JOURNAL_MARK:
            break;
        default:
            return err_set(ERR_INVALID, "the database was emptied here meanwhile");
        }
    d->at = f->end;
    return d->out.size >= CHUNK_BYTES ? send_out(d) : OK;
}

/* Sends what the log has about the slots, through `end` at least. */
enum err depart_send_log(struct depart *d, lsn_t end)
{
    struct wal *wal = node_wal(d->node);
    enum err e = OK;

    TRY(wal_write(wal));
    if (d->reader == NULL)
        TRY(wal_reader_open(wal, d->at, &d->reader));
    while (d->at < end) {
        struct frame f;

        e = wal_reader_next(d->reader, &f);
        if (e == ERR_NOT_FOUND) {
            TRY(wal_write_to(wal, end));
            continue;
        }
        TRY(e);
        TRY(take_frame(d, &f));
    }
    wal_hold_move(wal, d->hold, d->at);
    return send_out(d);
}

static enum err catch_up(struct depart *d)
{
    struct wal *wal = node_wal(d->node);

    for (int i = 0; i < ROUNDS_MAX; i++) {
        TRY(depart_send_log(d, wal_tail(wal)));
        TRY(barrier(d));
        TRY(wanted(d));
        if (i > 0 && wal_tail(wal) - d->at < LAG_BYTES)
            return OK;
    }
    return OK; /* the writers are as fast as this: the rest is sent while they wait */
}

/* ---- The thread ---- */

static enum err run(struct depart *d)
{
    move_step_delay(d->v);
    TRY(establish(d));
    move_set_state(d->v, MOVE_SNAPSHOT, NULL);
    move_step_delay(d->v);
    TRY(send_view(d));
    move_set_state(d->v, MOVE_STREAMING, NULL);
    move_step_delay(d->v);
    TRY(catch_up(d));
    move_set_state(d->v, MOVE_HANDING_OVER, NULL);
    return depart_hand_over(d);
}

void *depart_run(void *move)
{
    struct move *v = move;
    struct depart d = {.v = v, .m = v->moves, .node = v->moves->node, .hold = -1};
    enum err e;

    executor_init(&d.x, d.node, (uint64_t)v->created_ms, true);
    e = run(&d);
    check(!d.marked);
    set_view_close(d.view);
    wal_reader_close(d.reader);
    if (d.hold >= 0)
        wal_hold_drop(node_wal(d.node), d.hold);
    if (d.to != NULL)
        remote_give(d.node->remotes, d.to, false);
    buf_free(&d.out);
    buf_free(&d.rows);
    executor_fini(&d.x);
    move_set_state(v, e == OK ? MOVE_SUCCESS : atomic_load(&v->cancelled) ? MOVE_CANCELLED : MOVE_FAILED,
                   e == OK ? NULL : err_text());
    return NULL;
}
