/*
 * conn_input.c - from the bytes of a socket to executed requests.
 *
 * (1) Requests are executed in order; while one is AWAY, BLOCKED or HELD, no further one is begun and nothing is read.
 * (2) What is read goes to the worker's buffer when nothing is pending, and is executed from there; only what is left is
 *     copied to the connection's own buffer.
 * (3) Who sends a lot at once gets a slice of time a turn, so that the worker's other connections wait for no more than that.
 */
#include "server/net/conn_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "persistence/wal.h"
#include "server/net/tls.h"
#include "server/node_priv.h"

/* ---- Requests ---- */

/* maxmemory-clients: a client that is too large alone goes at once; all together are looked at by a tick. */
static void evict_if_large(struct conn *c, uint64_t bytes)
{
    if (bytes > c->worker->limits.memory_bytes_max)
        (void)clients_evict(c->worker->clients);
}

void conn_note(struct conn *c)
{
    struct client *client = c->client;
    const struct session *s = &c->session;

    STORE(client->active_ms, c->worker->x.now_ms);
    STORE(client->db, s->db);
    STORE(client->protocol, (unsigned)s->protocol);
    STORE(client->multi, s->multi.open ? (int)s->multi.count : -1);
    STORE(client->watched, (unsigned)s->multi.watch_count);
    STORE(client->output_bytes, conn_output_pending(c));
    if (__builtin_expect(s->multi.open || s->multi.watch_count > 0, 0))
        STORE(client->multi_bytes, multi_memory(&s->multi));
    else if (__builtin_expect(LOAD(client->multi_bytes) != 0, 0))
        STORE(client->multi_bytes, 0);
    if (__builtin_expect(c->worker->limits.memory_bytes_max != 0, 0))
        evict_if_large(c, LOAD(client->multi_bytes) + conn_output_pending(c));
}

static void note_query(struct conn *c)
{
    STORE(c->client->query_bytes, c->query.size - c->query_at);
    STORE(c->client->query_free, c->query.capacity - c->query.size);
    if (__builtin_expect(c->worker->limits.memory_bytes_max != 0, 0))
        evict_if_large(c, c->query.capacity);
}

/* Somebody talks HTTP to us: perhaps a browser was made to. */
static bool is_http(struct slice word)
{
    return (word.size == 4 && slice_is(word, "post")) || (word.size == 5 && slice_is(word, "host:"));
}

static void keep_request(struct conn *c, const struct slice *argv, size_t argc, struct slice raw, size_t used)
{
    if (argc > c->argv_capacity) {
        c->argv_capacity = argc < 8 ? 8 : argc;
        c->argv = realloc(c->argv, c->argv_capacity * sizeof *c->argv);
        check(c->argv != NULL);
    }
    memmove(c->argv, argv, argc * sizeof *argv);
    c->argc = argc;
    c->raw = raw;
    c->request_used = used;
}

/* Executes one request; false: the connection does not go on now. */
static bool execute_one(struct conn *c, const struct resp_request *r, const struct plan *plan)
{
    struct worker *w = c->worker;
    const struct slice *argv = w->words.words + r->first;

    if (r->argc == 0)
        return true;
    if (__builtin_expect(is_http(argv[0]), 0)) {
        log_event(LOG_WARNING, "client closed: id=%llu addr=%s reason=http-request", (unsigned long long)c->client->id,
                  c->client->address);
        conn_close(c);
        return false;
    }
    switch (execute(&w->x, &c->session, argv, r->argc, r->raw, plan, &c->out)) {
    case EXECUTE_DONE:
        if (__builtin_expect(c->session.close_after_reply, 0))
            c->closing = true;
        return !c->closing;
    case EXECUTE_BLOCKED:
        conn_block(c, w->x.block_ms);
        return false;
    case EXECUTE_AWAY:
        c->state = CONN_AWAY;
        break;
    case EXECUTE_HELD:
        conn_hold(c);
        break;
    }
    keep_request(c, argv, r->argc, r->raw, r->used);
    return false;
}

/* Parses up to BATCH_MAX whole requests. What Redis would find out between two of them (AUTH, an inline line that is
 * unescaped in place) ends the batch early. */
static size_t parse_batch(struct conn *c, uint8_t *data, size_t size, const char **error)
{
    struct worker *w = c->worker;
    size_t count = 0, at = 0, max = c->session.authenticated ? BATCH_MAX : 1;

    c->parser.authenticated = c->session.authenticated;
    c->parser.bulk_bytes_max = w->limits.bulk_bytes_max;
    w->words.count = 0;
    while (count < max && at < BATCH_BYTES) {
        struct resp_request *r = &w->requests[count];
        enum resp_status status = resp_parse(&c->parser, data + at, size - at, &w->words, r, error);

        if (status != RESP_REQUEST)
            break;
        at += r->used;
        count++;
        if (r->raw.size == 0)
            break;
    }
    return count;
}

static void plan_batch(struct conn *c, size_t count)
{
    struct worker *w = c->worker;

    for (size_t i = 0; i < count; i++) {
        w->plans[i].single = false;
        if (w->requests[i].argc > 0)
            execute_plan(&w->x, w->words.words + w->requests[i].first, w->requests[i].argc, &w->plans[i]);
    }
    if (count > 1)
        execute_prefetch(&w->x, c->session.db, w->plans, count, false);
}

/* A slice begins behind the first request, whose end is known anyway: *from is zero before. */
static bool slice_over(const struct worker *w, uint64_t *from)
{
    if (*from == 0)
        *from = w->x.clock_ns;
    return w->x.clock_ns - *from > SLICE_NS;
}

/* Executes what is whole in the bytes, for a slice of time; returns how many were used up. */
static size_t process(struct conn *c, uint8_t *data, size_t size)
{
    struct worker *w = c->worker;
    size_t at = 0;
    uint64_t from = 0;

    w->x.clock_ns = 0;
    conn_output_take(c);
    while (at < size && c->state == CONN_READY && !c->closing && !c->dead) {
        const char *error = NULL;
        size_t count = parse_batch(c, data + at, size - at, &error), done = 0;

        bool over = false;

        plan_batch(c, count);
        while (done < count && !over) {
            bool more = execute_one(c, &w->requests[done], &w->plans[done]);

            if (c->dead)
                return size;
            if (c->state == CONN_READY || c->state == CONN_BLOCKED)
                at += w->requests[done++].used;
            if (!more)
                break;
            over = slice_over(w, &from);
        }
        if (done < count)
            resp_rewind(&c->parser); /* what was parsed ahead will be parsed again */
        if (done < count && !over)
            break;
        if (done == count && error != NULL && c->state == CONN_READY && !c->closing) {
            buf_append_format(&c->out, "-%s\r\n", error);
            log_event(LOG_VERBOSE, "client closed: id=%llu addr=%s reason=\"%s\"", (unsigned long long)c->client->id,
                      c->client->address, error);
            c->closing = true;
            break;
        }
        if (count == 0)
            break;
        if (conn_output_pending(c) > OUTPUT_PAUSE_BYTES) {
            c->choked = true;
            break;
        }
        if (over && at < size) {
            worker_go_on_later(w, c);
            break;
        }
        if (wal_pending_bytes(w->node->wal) > LOG_PENDING_BYTES && wal_write(w->node->wal) != OK)
            abort();
    }
    if (c->state != CONN_BLOCKED && c->state != CONN_AWAY)
        conn_note(c);
    if (conn_output_pending(c) > 0 || c->closing)
        worker_flush_later(w, c);
    else
        conn_output_give_back(c);
    return at;
}

static void rebase(struct conn *c, const uint8_t *from, const uint8_t *to)
{
    for (size_t i = 0; i < c->argc; i++)
        c->argv[i].data = to + (c->argv[i].data - from);
    if (c->raw.size > 0)
        c->raw.data = to + (c->raw.data - from);
}

/* What follows from the state that process() ended in, once the bytes are where they stay. */
static void after(struct conn *c)
{
    if (c->dead)
        return;
    note_query(c);
    if (c->state == CONN_AWAY)
        conn_submit(c);
    conn_watch(c);
}

/* Executes what the connection's own buffer holds. */
void conn_go_on(struct conn *c)
{
    if (c->state != CONN_READY || c->dead || c->closing || c->query.size == c->query_at)
        return;
    c->query_at += process(c, c->query.data + c->query_at, c->query.size - c->query_at);
    if (c->dead)
        return;
    if (c->state != CONN_AWAY && c->state != CONN_HELD && c->query_at >= c->query.size - c->query_at) {
        buf_consume(&c->query, c->query_at);
        c->query_at = 0;
    }
    if (c->query.size == 0 && c->query.capacity > 0)
        buf_free(&c->query);
    after(c);
}

void conn_next_slice(struct conn *c)
{
    conn_go_on(c);
    if (!c->dead)
        conn_watch(c);
}

/* ---- Input ---- */

static ssize_t read_some(struct conn *c, uint8_t *to, size_t room)
{
    ssize_t got;

    c->tls_wants_read = c->tls_wants_write = false;
    do
        got = c->tls != NULL ? tls_read(c->tls, to, room, &c->tls_wants_read, &c->tls_wants_write)
                             : read(c->fd, to, room);
    while (got < 0 && errno == EINTR);
    return got;
}

/* Room for the rest of a large request in one piece, so that it is neither moved nor read in small bites. */
static size_t query_room(struct conn *c)
{
    size_t wanted = resp_wanted(&c->parser), have = c->query.size - c->query_at;
    size_t room = wanted > have ? wanted - have : 0;

    if (room < INPUT_BYTES / 4)
        room = INPUT_BYTES / 4;
    if (room > (16u << 20))
        room = 16u << 20;
    if (c->query.capacity - c->query.size < room)
        buf_reserve(&c->query, room);
    return c->query.capacity - c->query.size;
}

void conn_readable(struct conn *c)
{
    struct worker *w = c->worker;
    bool shared = c->query.size == 0;
    uint8_t *to = w->input;
    size_t room = INPUT_BYTES, used;
    ssize_t got;

    if (!shared) {
        room = query_room(c);
        to = c->query.data + c->query.size;
        if (room > (1u << 20))
            room = 1u << 20;
    }
    got = read_some(c, to, room);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        conn_watch(c);
        return;
    }
    if (got <= 0) {
        conn_close(c);
        return;
    }
    atomic_fetch_add_explicit(&w->clients->reads, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&w->clients->received, (uint64_t)got, memory_order_relaxed);
    STORE(c->client->received, LOAD(c->client->received) + (uint64_t)got);
    if (!shared) {
        c->query.size += (size_t)got;
        if (c->query.size - c->query_at > w->limits.query_bytes_max) {
            log_event(LOG_WARNING, "client closed: id=%llu addr=%s reason=query-buffer-limit",
                      (unsigned long long)c->client->id, c->client->address);
            atomic_fetch_add(&w->clients->query_limit_closes, 1);
            conn_close(c);
            return;
        }
        conn_go_on(c);
        return;
    }
    used = process(c, to, (size_t)got);
    if (c->dead)
        return;
    if (used < (size_t)got) {
        buf_append(&c->query, to + used, (size_t)got - used);
        if (c->state == CONN_AWAY || c->state == CONN_HELD)
            rebase(c, to + used, c->query.data);
    }
    after(c);
}
