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
#include "server/drive/repl_apply.h"
#include "server/drive/repl_lanes.h"
#include "server/drive/repl_priv.h"
#include "server/net/clients.h"
#include "server/net/resp.h"
#include "server/run/execute.h"

enum {
    ACK_MS = 1000,
    AHEAD_MAX = 64,                   /* of one thread; else WAVE_COMMANDS_MAX */
    WAVE_BYTES_MAX = 256 << 10,       /* of a wave: its slots are locked while all of it is done */
    WAVE_REQUEST_BYTES_MAX = 16 << 10,
};

/* Requests that are there and not applied yet; their words point into the wire's buffer. */
struct ahead {
    struct resp_words words;
    struct resp_request requests[WAVE_COMMANDS_MAX];
    struct plan plans[WAVE_COMMANDS_MAX];
    size_t count, next;
    size_t alone; /* up to here this thread applies them, one by one */
};

struct stream {
    struct repl *repl;
    struct repl_wire *wire;
    struct applier a;
    struct repl_lanes *lanes; /* NULL: this thread alone */
    struct resp_parser parser;
    struct ahead aheads[2];
    struct ahead *ahead, *coming; /* coming: parsed while a wave was under way; it begins where ahead ends */
    struct resp_parser again;      /* of a transaction, as are words and requests */
    struct resp_words words;
    struct resp_request *requests;
    size_t request_count, request_capacity;
    size_t scanned;     /* bytes behind in_at that belong to an unfinished MULTI */
    bool in_multi;
    msec_t acked_ms;
};

/* ---- The bytes ---- */

/* As many lanes as are wanted now, between waves. */
static void lanes_fit(struct stream *st)
{
    struct repl *r = st->repl;
    size_t wanted = repl_apply_threads(r);

    if (wanted == (st->lanes != NULL ? repl_lanes_count(st->lanes) : 1))
        return;
    repl_lanes_free(st->lanes);
    st->lanes = wanted > 1 ? repl_lanes_new(r, &st->a.x, wanted) : NULL;
}

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

/* Parses what is whole from a place of the buffer on, as many requests as are applied together. */
static enum err parse_ahead(struct stream *st, struct ahead *a, size_t at)
{
    size_t most = st->lanes != NULL ? WAVE_COMMANDS_MAX : AHEAD_MAX;
    enum err e = OK;

    a->count = a->next = a->alone = a->words.count = 0;
    while (a->count < most && at < st->wire->in.size) {
        struct resp_request *q = &a->requests[a->count];

        if ((e = parse_at(st, &st->parser, at, &a->words, q)) != OK)
            break;
        at += q->used;
        a->count++;
    }
    for (size_t i = 0; i < a->count; i++) /* the list of words does not move any more */
        execute_plan(&st->a.x, a->words.words + a->requests[i].first, a->requests[i].argc, &a->plans[i]);
    if (e == ERR_PROTOCOL && (a->count > 0 || a == st->coming))
        resp_rewind(&st->parser); /* it is met again when what is in front of it is applied */
    return a->count > 0 ? OK : e != OK ? e : ERR_AGAIN;
}

static bool is_word(const struct ahead *a, const struct resp_request *q, const char *name)
{
    return q->argc == 1 && slice_is(a->words.words[q->first], name);
}

/* The memory of the next `count` commands is fetched, all misses at once. */
static void fetch(struct stream *st, size_t count)
{
    if (count > 1)
        execute_prefetch(&st->a.x, st->a.db, st->ahead->plans + st->ahead->next, count, false);
}

/* How many of what is parsed belong to the transaction that begins here or goes on. */
static size_t of_transaction(const struct ahead *a)
{
    size_t i = a->next;

    while (i < a->count && !is_word(a, &a->requests[i], "exec"))
        i++;
    return i - a->next;
}

/* Nothing of what was parsed is left when the buffer moves: more bytes are asked for when all is applied. */
static enum err look_ahead(struct stream *st)
{
    struct ahead *a = st->ahead;

    if (st->coming->count > 0) {
        st->ahead = st->coming;
        st->coming = a;
        a->count = 0;
    } else {
        lanes_fit(st);
        TRY(parse_ahead(st, a, st->wire->in_at + st->scanned));
    }
    if (st->lanes == NULL)
        st->ahead->alone = st->ahead->count;
    if (st->lanes == NULL || st->in_multi)
        fetch(st, st->lanes == NULL ? st->ahead->count : of_transaction(st->ahead));
    return OK;
}

/* ---- Waves ---- */

static bool fits_wave(const struct resp_request *q, const struct plan *plan)
{
    const struct command *c = plan->command;

    return plan->single && c->run != NULL && command_arity_fits(c, q->argc) &&
           (c->how & (COMMAND_NO_TXN | COMMAND_ALL_SLOTS | COMMAND_SLOW)) == 0 && q->raw.size <= WAVE_REQUEST_BYTES_MAX;
}

/* The run of commands at the front that are about one slot each; *bytes: of the stream. */
static struct wave wave_at_front(const struct stream *st, size_t *bytes)
{
    const struct ahead *a = st->ahead;
    struct wave wave = {.words = a->words.words, .requests = a->requests + a->next, .plans = a->plans + a->next, .db = st->a.db};

    *bytes = 0;
    while (a->next + wave.count < a->count && *bytes <= WAVE_BYTES_MAX &&
           fits_wave(&wave.requests[wave.count], &wave.plans[wave.count]))
        *bytes += wave.requests[wave.count++].used;
    return wave;
}

static void apply_wave(struct stream *st, const struct wave *wave, size_t bytes)
{
    struct repl_wire *w = st->wire;
    struct ahead *a = st->ahead;

    client_note_command(st->a.listed, wave->plans[wave->count - 1].command);
    repl_lanes_begin(st->lanes, wave);
    a->next += wave->count;
    if (a->next == a->count)
        (void)!parse_ahead(st, st->coming, w->in_at + bytes);
    repl_lanes_finish(st->lanes);
    w->in_at += bytes;
}

/* Between transactions. True: a wave was applied; else it is known up to where this thread goes on by itself. */
static bool apply_ahead(struct stream *st)
{
    struct ahead *a = st->ahead;
    size_t bytes;
    struct wave wave = wave_at_front(st, &bytes);

    if (repl_lanes_want(st->lanes, &wave)) {
        apply_wave(st, &wave, bytes);
        return true;
    }
    fetch(st, wave.count > 0 ? wave.count : is_word(a, &a->requests[a->next], "multi") ? of_transaction(a) : 0);
    a->alone = a->next + (wave.count > 0 ? wave.count : 1);
    return false;
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
    const struct resp_request *q;
    const struct plan *plan;
    struct ahead *a;
    size_t end;

    if (st->ahead->next == st->ahead->count)
        TRY(look_ahead(st));
    a = st->ahead;
    if (a->next >= a->alone && !st->in_multi && apply_ahead(st))
        return OK;
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
        applier_transaction(&st->a, &(struct stream_transaction){st->words.words, st->requests, st->request_count},
                            slice_of(w->in.data + w->in_at, end - w->in_at));
        st->in_multi = false;
        st->scanned = 0;
    } else {
        applier_one(&st->a, a->words.words + q->first, q->argc, q->raw, plan);
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

    st->a.ack_now = false;
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
        if (st->a.ack_now || node_now(st->repl->node) - st->acked_ms >= ACK_MS)
            TRY(acknowledge(st));
        had = w->in.size - w->in_at;
        e = repl_wire_fill_until(w, st->acked_ms + ACK_MS);
        if (e != OK && e != ERR_AGAIN)
            return e;
        if (e == OK)
            client_link_note(st->a.listed, w->in.size - w->in_at - had, w->idle_from_ms);
    }
}

enum err repl_stream_run(struct repl_wire *w)
{
    struct repl *r = w->repl;
    struct stream st = {.repl = r, .wire = w};
    enum err e;

    applier_init(&st.a, r, 2);
    st.ahead = &st.aheads[0];
    st.coming = &st.aheads[1];
    st.a.listed = clients_link_add(node_clients(r->node), w->fd, node_now(r->node));
    resp_init(&st.parser, UINT32_MAX);
    resp_init(&st.again, UINT32_MAX);
    st.parser.authenticated = st.again.authenticated = true;
    if (!wal_selected(r->wal, &st.a.db))
        st.a.db = 0;
    atomic_store(&r->whole, true);
    atomic_store(&r->link_state, REPL_LINK_CONNECTED);
    e = follow(&st);
    client_link_end(st.a.listed);
    repl_lanes_free(st.lanes);
    applier_fini(&st.a);
    resp_fini(&st.parser);
    resp_fini(&st.again);
    resp_words_free(&st.aheads[0].words);
    resp_words_free(&st.aheads[1].words);
    resp_words_free(&st.words);
    free(st.requests);
    return e;
}
