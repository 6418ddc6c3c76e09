/*
 * repl_stream.c - the primary's stream, applied: every byte of it goes into the own log at its own position.
 *
 * (1) A command, or MULTI .. EXEC as a whole, becomes one frame: the primary's bytes, and what they did here. If that is
 *     not the same (several keys, another server's way of saying it), the effects are local: engine/set/txn.h, txn_follow.
 * (2) The position moves by whole frames, so a link that breaks inside MULTI asks for all of it again.
 * (3) What cannot be understood is still counted: a MARK of its bytes.
 * (4) An ACK tells what is applied and in the log's file; FACK what is on stable storage.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"
#include "server/drive/repl_priv.h"
#include "server/net/clients.h"
#include "server/net/resp.h"
#include "server/run/execute.h"

enum { ACK_MS = 1000, AHEAD_MAX = 64 };

/* Requests that are there and not applied yet; their words point into the wire's buffer. */
struct ahead {
    struct resp_words words;
    struct resp_request requests[AHEAD_MAX];
    struct plan plans[AHEAD_MAX];
    size_t count, next;
};

struct stream {
    struct repl *repl;
    struct repl_wire *wire;
    struct executor x;
    struct session session;
    struct resp_parser parser;
    struct ahead ahead;
    struct resp_parser again;      /* of a transaction, as are words and requests */
    struct resp_words words;
    struct resp_request *requests;
    size_t request_count, request_capacity;
    struct client *listed; /* as CLIENT LIST shows the link */
    struct buf out;
    size_t scanned;     /* bytes behind in_at that belong to an unfinished MULTI */
    bool in_multi, ack_now;
    unsigned db;
    msec_t acked_ms;
};

/* ---- Frames ---- */

static void mark(struct stream *st, struct slice stream)
{
    const struct journal *journal = node_journal(st->repl->node);
    struct journal_effect effect = {
        .bytes = (uint32_t)stream.size, .slot = SLOT_NODE, .kind = JOURNAL_MARK, .db = (uint16_t)st->db};

    (void)journal->append(journal->context, &effect, 1, stream);
}

static enum err run(struct stream *st, const struct command *command, const struct slice *argv, size_t argc, bool with_txn)
{
    struct reply reply = {.out = &st->out, .protocol = 2, .error_at = SIZE_MAX};
    struct call c = {.command = command, .argc = argc, .argv = argv, .txn = with_txn ? st->x.txn : NULL, .reply = &reply,
                     .session = &st->session, .node = st->repl->node, .scratch = &st->x.scratch, .executor = &st->x};
    enum err e;

    st->session.db = st->db;
    buf_clear(&st->out);
    buf_clear(&st->x.scratch);
    e = command->run(&c);
    if (e == ERR_IO || e == ERR_CORRUPT || e == ERR_NO_MEMORY || e == ERR_NO_SPACE) {
        log_event(LOG_WARNING, "stream_apply_failed command=%s error=\"%s\"", command->name, err_text());
        abort(); /* the log goes on from the last frame */
    }
    if (e != OK)
        log_event(LOG_WARNING, "stream_command_refused command=%s position=%llu reply=\"%.*s\"", command->name,
                  (unsigned long long)wal_tail(st->repl->wal), (int)(st->out.size > 2 ? st->out.size - 2 : 0),
                  (const char *)st->out.data);
    return e;
}

/* ---- What is no plain transaction ---- */

static bool select_db(struct stream *st, const struct slice *argv, size_t argc)
{
    int64_t db;

    if (argc != 2 || !num_parse_i64(argv[1], &db) || db < 0 || db >= node_databases(st->repl->node)) {
        log_event(LOG_WARNING, "stream_select_refused position=%llu", (unsigned long long)wal_tail(st->repl->wal));
        return false;
    }
    st->db = (unsigned)db;
    return true;
}

/* FLUSHALL, FLUSHDB, SWAPDB. */
static bool whole_database(struct stream *st, const char *name, const struct slice *argv, size_t argc, struct slice raw)
{
    struct set *set = node_set(st->repl->node);
    int64_t a, b, count = node_databases(st->repl->node);
    enum err e;
    lsn_t end;

    if (strcmp(name, "flushall") == 0)
        e = set_follow_flush(set, 0, (unsigned)count, raw, st->db, &end);
    else if (strcmp(name, "flushdb") == 0)
        e = set_follow_flush(set, st->db, 1, raw, st->db, &end);
    else if (strcmp(name, "swapdb") == 0 && argc == 3 && num_parse_i64(argv[1], &a) && num_parse_i64(argv[2], &b) &&
             a >= 0 && b >= 0 && a < count && b < count && a != b)
        e = set_follow_swap(set, (unsigned)a, (unsigned)b, raw, st->db, &end);
    else
        return false;
    if (e != OK) {
        log_event(LOG_WARNING, "stream_apply_failed command=%s error=\"%s\"", name, err_text());
        abort();
    }
    return true;
}

/* True: it was handled here. */
static bool special(struct stream *st, const struct command *command, const struct slice *argv, size_t argc,
                    struct slice raw)
{
    if (command == NULL || command->run == NULL || !command_arity_fits(command, argc)) {
        log_event(LOG_WARNING, "stream_command_unknown name=\"%.*s\" position=%llu",
                  (int)(argv[0].size < 64 ? argv[0].size : 64), (const char *)argv[0].data,
                  (unsigned long long)wal_tail(st->repl->wal));
        mark(st, raw);
        return true;
    }
    if ((command->how & COMMAND_NO_TXN) == 0)
        return false;
    if (whole_database(st, command->name, argv, argc, raw))
        return true;
    if (strcmp(command->name, "select") == 0)
        (void)select_db(st, argv, argc);
    else if (strcmp(command->name, "replconf") == 0)
        st->ack_now = true;
    else if (strcmp(command->name, "ping") == 0 && argc == 2)
        repl_note_ping(st->repl, argv[1]);
    else if (strcmp(command->name, "ping") != 0 && strcmp(command->name, "multi") != 0 &&
             strcmp(command->name, "exec") != 0)
        (void)run(st, command, argv, argc, false); /* PUBLISH, FUNCTION LOAD ... */
    mark(st, raw);
    return true;
}

/* ---- Transactions ---- */

static void commit(struct stream *st, struct slice raw)
{
    txn_follow(st->x.txn, raw, st->db);
    if (execute_commit(&st->x, NULL) != OK) {
        log_event(LOG_WARNING, "commit failed: error=\"%s\"", err_text());
        abort();
    }
}

static void begin(struct stream *st)
{
    const struct txn_options options = {.now_ms = node_now(st->repl->node), .db = st->db, .may_wait = true, .follow = true};

    st->x.now_ms = options.now_ms;
    if (txn_begin(st->x.txn, st->x.slots, st->x.slot_count, &options) != OK) {
        log_event(LOG_WARNING, "stream_begin_failed error=\"%s\"", err_text());
        abort(); /* it may wait: this is lack of memory */
    }
}

static void keys_add(struct stream *st, const struct command *command, const struct slice *argv, size_t argc, bool *all)
{
    *all = *all || keys_everywhere(command, argv, argc, node_is_cluster(st->repl->node));
    execute_keys_add(&st->x, command, argv, argc);
}

static void apply_one(struct stream *st, const struct slice *argv, size_t argc, struct slice raw, const struct plan *plan)
{
    const struct command *command = plan->command;
    bool all = false;

    if (command != NULL)
        client_note_command(st->listed, command);
    if (special(st, command, argv, argc, raw))
        return;
    execute_keys_begin(&st->x);
    if (plan->single)
        execute_slot_add(&st->x, plan->slot);
    else
        keys_add(st, command, argv, argc, &all);
    if (all)
        execute_slots_all(&st->x);
    else if (!plan->single)
        execute_keys_end(&st->x);
    begin(st);
    (void)run(st, command, argv, argc, true);
    txn_command_end(st->x.txn, raw, argv, argc);
    commit(st, raw);
}

/* Whether everything between MULTI and EXEC fits one transaction. */
static bool is_plain(struct stream *st)
{
    for (size_t i = 1; i + 1 < st->request_count; i++) {
        const struct resp_request *q = &st->requests[i];
        const struct command *c =
            registry_resolve(node_registry(st->repl->node), st->words.words + q->first, q->argc, NULL);

        if (c == NULL || c->run == NULL || !command_arity_fits(c, q->argc) ||
            ((c->how & COMMAND_NO_TXN) != 0 && strcmp(c->name, "select") != 0))
            return false;
    }
    return true;
}

static void apply_plain(struct stream *st, struct slice raw)
{
    const struct registry *registry = node_registry(st->repl->node);
    bool all = false;

    execute_keys_begin(&st->x);
    for (size_t i = 1; i + 1 < st->request_count; i++) {
        const struct slice *argv = st->words.words + st->requests[i].first;

        keys_add(st, registry_resolve(registry, argv, st->requests[i].argc, NULL), argv, st->requests[i].argc, &all);
    }
    if (all)
        execute_slots_all(&st->x);
    else
        execute_keys_end(&st->x);
    begin(st);
    for (size_t i = 1; i + 1 < st->request_count; i++) {
        const struct resp_request *q = &st->requests[i];
        const struct slice *argv = st->words.words + q->first;
        const struct command *command = registry_resolve(registry, argv, q->argc, NULL);

        if (strcmp(command->name, "select") == 0) {
            if (select_db(st, argv, q->argc))
                txn_select(st->x.txn, st->db);
            continue;
        }
        (void)run(st, command, argv, q->argc, true);
        txn_command_end(st->x.txn, q->raw, argv, q->argc);
    }
    commit(st, raw);
}

/* MULTI .. EXEC: the bytes of all, whose requests are in st->requests. */
static void apply_transaction(struct stream *st, struct slice raw)
{
    if (is_plain(st)) {
        apply_plain(st, raw);
        return;
    }
    for (size_t i = 0; i < st->request_count; i++) { /* FLUSHALL among them: as the primary, one by one */
        const struct slice *argv = st->words.words + st->requests[i].first;
        struct plan plan;

        execute_plan(&st->x, argv, st->requests[i].argc, &plan);
        apply_one(st, argv, st->requests[i].argc, st->requests[i].raw, &plan);
    }
}

/* ---- The bytes ---- */

static enum err parse_at(struct stream *st, struct resp_parser *parser, size_t at, struct resp_words *words,
                         struct resp_request *request)
{
    struct repl_wire *w = st->wire;
    const char *error = NULL;

    switch (resp_parse(parser, w->in.data + at, w->in.size - at, words, request, &error)) {
    case RESP_MORE:
        return ERR_AGAIN;
    case RESP_ERROR:
        return err_set(ERR_PROTOCOL, "the primary's stream: %s", error);
    case RESP_REQUEST:
        break;
    }
    if (request->argc == 0 || request->raw.size != request->used)
        return err_set(ERR_PROTOCOL, "the primary's stream is no sequence of arrays");
    return OK;
}

/* Parses what is whole, up to AHEAD_MAX requests, and fetches the memory that they will touch, all misses at once. Nothing of
 * it is left when the buffer moves: more bytes are asked for when all is applied. */
static enum err look_ahead(struct stream *st)
{
    struct ahead *a = &st->ahead;
    size_t at = st->wire->in_at + st->scanned;
    enum err e = OK;

    a->count = a->next = a->words.count = 0;
    while (a->count < AHEAD_MAX && at < st->wire->in.size) {
        struct resp_request *q = &a->requests[a->count];

        if ((e = parse_at(st, &st->parser, at, &a->words, q)) != OK)
            break;
        at += q->used;
        a->count++;
    }
    if (a->count == 0)
        return e != OK ? e : ERR_AGAIN;
    for (size_t i = 0; i < a->count; i++) /* the list of words does not move any more */
        execute_plan(&st->x, a->words.words + a->requests[i].first, a->requests[i].argc, &a->plans[i]);
    if (a->count > 1)
        execute_prefetch(&st->x, st->db, a->plans, a->count, false);
    if (e == ERR_PROTOCOL)
        resp_rewind(&st->parser); /* it is met again when what is in front of it is applied */
    return OK;
}

static bool is_word(const struct ahead *a, const struct resp_request *q, const char *name)
{
    return q->argc == 1 && slice_is(a->words.words[q->first], name);
}

/* Parses the whole transaction again, now that it is all there: the bytes have moved while it came. */
static enum err transaction_parse(struct stream *st, size_t end)
{
    size_t at = st->wire->in_at;

    st->words.count = st->request_count = 0;
    while (at < end) {
        if (st->request_count == st->request_capacity) {
            st->request_capacity = st->request_capacity != 0 ? 2 * st->request_capacity : 64;
            st->requests = realloc(st->requests, st->request_capacity * sizeof *st->requests);
            check(st->requests != NULL);
        }
        TRY(parse_at(st, &st->again, at, &st->words, &st->requests[st->request_count]));
        at += st->requests[st->request_count++].used;
    }
    return OK;
}

/* Takes one request; ERR_AGAIN: more bytes are needed. */
static enum err step(struct stream *st)
{
    struct repl_wire *w = st->wire;
    struct ahead *a = &st->ahead;
    const struct resp_request *q;
    const struct plan *plan;
    size_t end;

    if (a->next == a->count)
        TRY(look_ahead(st));
    q = &a->requests[a->next];
    plan = &a->plans[a->next++];
    end = w->in_at + st->scanned + q->used;
    if (!st->in_multi && is_word(a, q, "multi")) {
        st->in_multi = true;
        st->scanned = q->used;
        return OK;
    }
    if (st->in_multi && !is_word(a, q, "exec")) {
        st->scanned += q->used;
        return OK;
    }
    if (st->in_multi) {
        TRY(transaction_parse(st, end));
        apply_transaction(st, slice_of(w->in.data + w->in_at, end - w->in_at));
        st->in_multi = false;
        st->scanned = 0;
    } else {
        apply_one(st, a->words.words + q->first, q->argc, q->raw, plan);
    }
    w->in_at = end;
    return OK;
}

/* ---- Acknowledging ---- */

static enum err settle(struct stream *st)
{
    struct repl *r = st->repl;

    return wal_fsync_policy(r->wal) == WAL_FSYNC_ALWAYS ? wal_sync_to(r->wal, wal_tail(r->wal)) : wal_write(r->wal);
}

static enum err acknowledge(struct stream *st)
{
    struct repl *r = st->repl;
    char offset[24], durable[24], text[160];
    int n, o = snprintf(offset, sizeof offset, "%llu", (unsigned long long)wal_written(r->wal));
    int d = snprintf(durable, sizeof durable, "%llu", (unsigned long long)wal_durable(r->wal));

    st->ack_now = false;
    st->acked_ms = node_now(r->node);
    n = snprintf(text, sizeof text, "*5\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$%d\r\n%s\r\n$4\r\nFACK\r\n$%d\r\n%s\r\n", o, offset, d,
                 durable);
    return repl_wire_send(st->wire, slice_of(text, (size_t)n));
}

static enum err follow(struct stream *st)
{
    struct repl_wire *w = st->wire;

    TRY(acknowledge(st));
    for (;;) {
        enum err e = step(st);
        size_t had;

        if (e == OK)
            continue;
        TRY(settle(st));
        if (e != ERR_AGAIN)
            return e;
        if (st->ack_now || node_now(st->repl->node) - st->acked_ms >= ACK_MS)
            TRY(acknowledge(st));
        had = w->in.size - w->in_at;
        e = repl_wire_fill_until(w, st->acked_ms + ACK_MS);
        if (e != OK && e != ERR_AGAIN)
            return e;
        if (e == OK)
            client_link_note(st->listed, w->in.size - w->in_at - had, w->idle_from_ms);
    }
}

enum err repl_stream_run(struct repl_wire *w)
{
    struct repl *r = w->repl;
    struct stream st = {.repl = r, .wire = w};
    enum err e;

    executor_init(&st.x, r->node, 2, true);
    session_init(&st.session, r->node, NULL);
    st.session.is_primary = st.session.authenticated = true;
    st.listed = clients_link_add(node_clients(r->node), w->fd, node_now(r->node));
    resp_init(&st.parser, UINT32_MAX);
    resp_init(&st.again, UINT32_MAX);
    st.parser.authenticated = st.again.authenticated = true;
    if (!wal_selected(r->wal, &st.db))
        st.db = 0;
    atomic_store(&r->whole, true);
    atomic_store(&r->link_state, REPL_LINK_CONNECTED);
    e = follow(&st);
    client_link_end(st.listed);
    session_fini(&st.session);
    executor_fini(&st.x);
    resp_fini(&st.parser);
    resp_fini(&st.again);
    resp_words_free(&st.ahead.words);
    resp_words_free(&st.words);
    free(st.requests);
    buf_free(&st.out);
    return e;
}
