/*
 * depart.c - a job on the source: one thread, one connection to the target's client port.
 *
 * (1) A view of the slots at one position of the log, then the log's effects on them from that position on: together every change,
 *     once, in its order.
 * (2) From the mark on the slots (busy.h, set_still) to its end nothing changes in them; the log's end is read behind that.
 * (3) Once FINISH has left, the mark stays until it is known who owns the slots.
 * (4) The target is silent about what goes well: any line is an error, but for those that answer CLUSTER SYNCSLOTS.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"
#include "engine/set/view.h"
#include "persistence/wal.h"
#include "persistence/wal_reader.h"
#include "cluster/report.h"
#include "server/conf/config.h"
#include "server/drive/cluster_service.h"
#include "server/drive/move_priv.h"
#include "server/net/clients.h"
#include "server/net/remote.h"
#include "server/node_priv.h"
#include "server/run/execute.h"

enum {
    CHUNK_BYTES = 256 << 10,
    STEP_MS = 30000,          /* a connection, a write, an answer but that of FINISH */
    FINISH_MS = 10000,
    CLEAR_MS = 60000,         /* for the target to drop old keys of the slots */
    LAG_BYTES = 64 << 10,     /* of the log; less than that is sent while writes wait */
    ROUNDS_MAX = 50,
    RETRY_MS = 200,
    EPOCH_AHEAD = 8,          /* above what a claim that was not heard of may have */
    UNHEARD_TIMEOUTS = 3,     /* x node timeout: a target that does not answer is given up */
};

struct depart {
    struct move *v;
    struct moves *m;
    struct node *node;
    struct executor x;
    struct remote *to;
    struct set_view *view;
    struct wal_reader *reader;
    struct buf out;
    lsn_t at;        /* everything up to here was sent or is about other slots */
    int hold;        /* on the log; -1: none */
    msec_t begun_ms; /* of the sending, for the rate */
    bool marked, finish_sent;
    char host[64], port[8];
};

static void sleep_ms(msec_t ms)
{
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

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
        sleep_ms(due - spent < 100 ? due - spent : 100);
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
    if ((e = remote_line(d->to, 0, &line)) == OK)
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

static void words(struct buf *out, const struct slice *list, size_t count)
{
    buf_append_format(out, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++)
        move_word(out, list[i]);
}
#define WORDS(out, ...)                                  \
    words((out), (const struct slice[]){__VA_ARGS__},    \
          sizeof((const struct slice[]){__VA_ARGS__}) / sizeof(struct slice))

/* Sends what waits and takes the answer: OK for +..., ERR_PROTOCOL with text for an error. */
static enum err ask(struct depart *d, struct remote *to, struct buf *request, msec_t timeout_ms, char answer[128])
{
    struct slice line;

    TRY(remote_write(to, buf_slice(request), timeout_ms));
    buf_clear(request);
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

    for (size_t i = 0; i < map->node_count && !found; i++)
        if (strcmp(map->nodes[i].id, d->v->target) == 0 && map->nodes[i].port != 0) {
            snprintf(d->host, sizeof d->host, "%s", map->nodes[i].ip);
            snprintf(d->port, sizeof d->port, "%u", map->nodes[i].port);
            found = true;
        }
    cluster_service_map_done(d->m->service);
    return found;
}

static enum err log_in(struct depart *d, struct remote *to)
{
    struct config *config = node_config(d->node);
    struct buf user = {0}, password = {0}, request = {0};
    const char *u = config_string(config, "masteruser", &user), *p = config_string(config, "masterauth", &password);
    enum err e = OK;

    if (p[0] != '\0') {
        if (u[0] != '\0')
            WORDS(&request, SLICE_LITERAL("AUTH"), slice_str(u), slice_str(p));
        else
            WORDS(&request, SLICE_LITERAL("AUTH"), slice_str(p));
        e = ask(d, to, &request, STEP_MS, NULL);
    }
    buf_free(&user);
    buf_free(&password);
    buf_free(&request);
    return e;
}

static enum err dial(struct depart *d, msec_t timeout_ms, struct remote **to)
{
    enum err e;

    if (!find_address(d))
        return err_set(ERR_IO, "the target has no known address with a plain-text port");
    e = remote_take(d->node->remotes, slice_str(d->host), d->port, timeout_ms, true, to);
    if (e == OK && (e = log_in(d, *to)) != OK) {
        remote_give(d->node->remotes, *to, false);
        *to = NULL;
    }
    return e;
}

/* A request of words that are counted while they are added. */
struct request {
    struct buf words;
    size_t count;
};

static void add(struct request *r, struct slice word)
{
    move_word(&r->words, word);
    r->count++;
}

static void add_number(struct request *r, uint64_t number)
{
    char text[NUM_TEXT_MAX];

    add(r, slice_of(text, num_format_u64(text, number)));
}

static void add_slots(struct request *r, const struct move *v)
{
    for (size_t i = 0; i < v->slot_count; i++) {
        slot_t first = v->slots[i];

        while (i + 1 < v->slot_count && v->slots[i + 1] == v->slots[i] + 1)
            i++;
        add_number(r, first);
        add_number(r, v->slots[i]);
    }
}

static struct request begin_sync(const char *what)
{
    struct request r = {0};

    add(&r, SLICE_LITERAL("CLUSTER"));
    add(&r, SLICE_LITERAL("SYNCSLOTS"));
    add(&r, slice_str(what));
    return r;
}

static void end_sync(struct request *r, struct buf *out)
{
    buf_append_format(out, "*%zu\r\n", r->count);
    buf_append_slice(out, buf_slice(&r->words));
    buf_free(&r->words);
}

static enum err establish(struct depart *d)
{
    msec_t until = node_now(d->node) + CLEAR_MS;
    char answer[128] = "";

    TRY(dial(d, STEP_MS, &d->to));
    for (;;) {
        struct request r = begin_sync("ESTABLISH");
        enum err e;

        add_number(&r, MOVE_VERSION);
        add(&r, slice_str(d->v->name));
        add(&r, slice_str(d->v->source));
        add(&r, slice_str(d->v->target));
        add_slots(&r, d->v);
        end_sync(&r, &d->out);
        e = ask(d, d->to, &d->out, STEP_MS, answer);
        if (e == OK || strncmp(answer, "-TRYAGAIN", 9) != 0 || node_now(d->node) > until)
            return e;
        TRY(wanted(d));
        sleep_ms(RETRY_MS);
    }
}

/* ---- The view ---- */

static enum err send_range(struct depart *d, slot_t first, slot_t last)
{
    struct set_view_key key;
    enum err e;

    set_view_seek(d->view, 0, first, last);
    while ((e = set_view_next(d->view, &key)) == OK) {
        TRY(move_words_key(d->view, &key, &d->out, on_chunk, d));
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
    return send_out(d);
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
static enum err send_log(struct depart *d, lsn_t end)
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

static enum err barrier(struct depart *d)
{
    struct request r = begin_sync("BARRIER");

    end_sync(&r, &d->out);
    return ask(d, d->to, &d->out, STEP_MS, NULL);
}

static enum err catch_up(struct depart *d)
{
    struct wal *wal = node_wal(d->node);

    for (int i = 0; i < ROUNDS_MAX; i++) {
        TRY(send_log(d, wal_tail(wal)));
        TRY(barrier(d));
        TRY(wanted(d));
        if (i > 0 && wal_tail(wal) - d->at < LAG_BYTES)
            return OK;
    }
    return OK; /* the writers are as fast as this: the rest is sent while they wait */
}

/* ---- Handing over ---- */

/* Behind this nobody changes the slots: who holds one of them now began before the mark, and is waited for. */
static void mark(struct depart *d)
{
    const struct txn_options options = {.now_ms = node_now(d->node), .may_wait = true, .keep_expired = true};
    struct move *v = d->v;

    for (size_t i = 0; i < v->slot_count; i++)
        set_still(node_set(d->node), v->slots[i], true);
    busy_mark_slots(&d->node->busy, v->slots, v->slot_count);
    d->marked = true;
    for (size_t i = 0; i < v->slot_count; i++) {
        lsn_t end;

        check(txn_begin(d->x.txn, &v->slots[i], 1, &options) == OK);
        (void)!txn_commit(d->x.txn, &end); /* nothing was changed */
        txn_end(d->x.txn);
    }
}

static void unmark(struct depart *d)
{
    struct move *v = d->v;

    if (!d->marked)
        return;
    d->marked = false;
    for (size_t i = 0; i < v->slot_count; i++)
        set_still(node_set(d->node), v->slots[i], false);
    if (busy_release_slots(&d->node->busy, v->slots, v->slot_count)) {
        struct session s;

        session_init(&s, d->node, NULL);
        clients_retry_held(d->node->clients);
        execute_serve_all(&d->x, &s);
        session_fini(&s);
    }
}

struct ownership {
    const struct move *v;
    uint64_t epoch, current; /* of this node, of the cluster */
    size_t mine, targets, others;
};

static void read_owners(void *context, struct cluster *core)
{
    struct ownership *o = context;

    struct report_counts counts;

    report_counts(core, &counts);
    o->current = counts.current_epoch;
    o->mine = o->targets = o->others = 0;
    for (size_t i = 0; i < o->v->slot_count; i++) {
        uint64_t epoch;
        const char *owner = cluster_slot_owner(core, o->v->slots[i], &epoch);

        if (owner == NULL || (strcmp(owner, cluster_my_id(core)) != 0 && strcmp(owner, o->v->target) != 0)) {
            o->others++;
        } else if (strcmp(owner, o->v->target) == 0) {
            o->targets++;
        } else {
            o->mine++;
            o->epoch = epoch;
        }
    }
}

static struct ownership owners(struct depart *d)
{
    struct ownership o = {.v = d->v};

    cluster_service_read(d->m->service, read_owners, &o);
    return o;
}

static enum err finish(struct depart *d)
{
    struct ownership o = owners(d);
    struct request r = begin_sync("FINISH");

    if (o.mine != d->v->slot_count || cluster_service_writes_held(d->m->service)) {
        buf_free(&r.words);
        return err_set(ERR_INVALID, "this node is losing the slots otherwise");
    }
    add_number(&r, o.epoch);
    for (size_t i = 0; i < d->v->slot_count; i++) {
        uint64_t keys = set_slot_keys(node_set(d->node), 0, d->v->slots[i]);

        if (keys == 0)
            continue;
        add_number(&r, d->v->slots[i]);
        add_number(&r, keys);
    }
    end_sync(&r, &d->out);
    d->finish_sent = true;
    return ask(d, d->to, &d->out, FINISH_MS, NULL);
}

enum verdict { CLAIMED, NOT_CLAIMED, UNKNOWN };

/* Asks on a connection of its own; the answer "ABORTED" also forbids a claim from then on. */
static enum verdict query(struct depart *d)
{
    enum verdict verdict = UNKNOWN;
    struct request r = begin_sync("QUERY");
    struct remote *to = NULL;
    char answer[128] = "";
    struct buf out = {0};

    add(&r, slice_str(d->v->name));
    add(&r, slice_str(d->v->target));
    add_slots(&r, d->v);
    end_sync(&r, &out);
    if (dial(d, 1000, &to) == OK) {
        enum err e = ask(d, to, &out, 2000, answer);

        if (e == OK && strncmp(answer, "+CLAIMED", 8) == 0)
            verdict = CLAIMED;
        else if (e == OK && strncmp(answer, "+ABORTED", 8) == 0)
            verdict = NOT_CLAIMED;
        remote_give(d->node->remotes, to, false);
    }
    buf_free(&out);
    return verdict;
}

static bool owns_all(void *context, struct cluster *core)
{
    struct ownership o = {.v = context};

    read_owners(&o, core);
    return o.mine == o.v->slot_count;
}

/* The target stays away: with a greater epoch than its claim can have, if it made one, the slots are this node's. */
static void take_back(struct depart *d, const struct ownership *o)
{
    const struct cluster_event event = {.type = CLUSTER_EVENT_CLAIM, .slots = d->v->slots, .slot_count = d->v->slot_count,
                                        .epoch_above = o->current + EPOCH_AHEAD};

    log_event(LOG_WARNING, "slot_migration_taken_back name=%s: the target does not answer, and nobody has heard of its claim",
              d->v->name);
    (void)cluster_service_step_if(d->m->service, owns_all, d->v, &event);
}

/* FINISH has left and was not answered by a claim. */
static enum verdict find_out(struct depart *d)
{
    msec_t begun = node_now(d->node);

    for (;;) {
        struct ownership o = owners(d);
        enum verdict verdict;

        if (o.mine < d->v->slot_count)
            return o.targets > 0 ? CLAIMED : NOT_CLAIMED; /* or somebody else's, who was elected */
        if (moves_stopping(d->m) || node_is_replica(d->node))
            return UNKNOWN;
        if ((verdict = query(d)) != UNKNOWN)
            return verdict;
        if (node_now(d->node) - begun > UNHEARD_TIMEOUTS * config_int(node_config(d->node), "cluster-node-timeout")) {
            take_back(d, &o);
            return NOT_CLAIMED;
        }
        sleep_ms(RETRY_MS);
    }
}

/* The target owns the slots: durable there, and soon known here. */
static void confirm(struct depart *d)
{
    move_set_state(d->v, MOVE_CONFIRMING, NULL);
    while (owners(d).mine > 0 && !moves_stopping(d->m) && !node_is_replica(d->node))
        sleep_ms(1);
}

static enum err hand_over(struct depart *d)
{
    enum verdict verdict = CLAIMED;
    uint64_t from = now_us();
    enum err e;

    mark(d);
    e = send_log(d, wal_tail(node_wal(d->node)));
    if (e == OK)
        e = finish(d);
    if (e != OK) {
        char why[MOVE_MESSAGE_MAX];

        snprintf(why, sizeof why, "%s", err_text());
        verdict = d->finish_sent && e != ERR_PROTOCOL ? find_out(d) : NOT_CLAIMED;
        if (verdict != CLAIMED)
            (void)err_set(e, "%s", why);
    }
    if (verdict == CLAIMED)
        confirm(d);
    if (verdict == UNKNOWN && moves_stopping(d->m)) {
        d->v->left_marked = true; /* no write to the slots before the end of the process */
        d->marked = false;
    }
    unmark(d);
    atomic_store(&d->v->pause_us, now_us() - from);
    return verdict == CLAIMED ? OK : e;
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
    return hand_over(d);
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
    executor_fini(&d.x);
    move_set_state(v, e == OK ? MOVE_SUCCESS : atomic_load(&v->cancelled) ? MOVE_CANCELLED : MOVE_FAILED,
                   e == OK ? NULL : err_text());
    return NULL;
}
