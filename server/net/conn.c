/*
 * conn.c - one connection: bytes in, requests executed, bytes out. Worker thread only.
 *
 * (1) Requests are executed in order; while one is AWAY, BLOCKED or HELD, no further one is begun and nothing is read.
 * (2) What is read goes to the worker's buffer when nothing is pending, and is executed from there; only what is left is
 *     copied to the connection's own buffer.
 * (3) Replies go to the output buffer; the worker writes it at the end of the turn, after the log.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "persistence/wal.h"
#include "server/net/net_priv.h"
#include "server/net/peer.h"
#include "server/net/tls.h"
#include "server/node_priv.h"

#define STORE(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)
#define LOAD(field) atomic_load_explicit(&(field), memory_order_relaxed)

static void go_on(struct conn *c);
static void on_poll(uv_poll_t *handle, int status, int events);

static size_t output_pending(const struct conn *c)
{
    return c->out.size - c->out_at;
}

/* ---- Events ---- */

static void watch(struct conn *c)
{
    int events = 0;

    if (c->dead)
        return;
    if (c->state == CONN_READY && !c->choked && !c->closing)
        events |= UV_READABLE;
    if (c->state == CONN_BLOCKED)
        events |= UV_DISCONNECT;
    if (output_pending(c) > 0 && !c->to_flush)
        events |= UV_WRITABLE;
    if (c->tls_wants_write)
        events |= UV_WRITABLE;
    if (c->tls_wants_read)
        events |= UV_READABLE;
    if (events == c->events)
        return;
    /* Mostly a client waits for its reply: do not tell the kernel twice. If it does send more, on_poll stops watching. */
    if (c->state == CONN_AWAY && c->events == UV_READABLE && events == 0 && !c->sent_more)
        return;
    c->sent_more = false;
    c->events = events;
    if (events == 0)
        uv_poll_stop(&c->poll);
    else
        uv_poll_start(&c->poll, events, on_poll);
}

/* ---- Life ---- */

/* Both handles are closed, which only happens once the session is ours. Runs after the turn's replies are out. */
static void handle_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    struct worker *w = c->worker;

    if (--c->handles > 0)
        return;
    check(c->state != CONN_AWAY && c->state != CONN_BLOCKED);
    if (c->to_flush)
        worker_flush_forget(w, c);
    session_fini(&c->session);
    client_unref(c->client);
    resp_fini(&c->parser);
    buf_free(&c->query);
    buf_free(&c->out);
    buf_free(&c->job_reply);
    free(c->argv);
    *(c->previous != NULL ? &c->previous->next : &w->conns) = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
    w->conn_count--;
    free(c);
}

/* The socket is closed. As soon as the session is ours too it is the end; what brings it back calls this again. */
static void release(struct conn *c)
{
    if (c->state == CONN_AWAY || c->state == CONN_BLOCKED)
        return;
    c->client->conn = NULL;
    client_gone(c->client);
    uv_close((uv_handle_t *)&c->timer, handle_closed);
}

static void untimed(struct conn *c)
{
    uv_timer_stop(&c->timer);
    if (c->timed)
        atomic_fetch_sub(&c->worker->clients->blocked_timed, 1);
    c->timed = false;
}

/* CLIENT PAUSE: a client that is held counts as blocked, as in Redis. */
static void hold(struct conn *c)
{
    c->state = CONN_HELD;
    c->worker->held_count++;
    atomic_fetch_add(&c->worker->clients->blocked, 1);
}

static void unhold(struct conn *c)
{
    c->state = CONN_READY;
    c->worker->held_count--;
    atomic_fetch_sub(&c->worker->clients->blocked, 1);
}

void conn_close(struct conn *c)
{
    if (c->dead)
        return;
    c->dead = true;
    client_set_flag(c->client, CLIENT_FLAG_CLOSING, true);
    /* Before the number can be used for another socket: closing the handle touches the loop's entry of that number. */
    uv_close((uv_handle_t *)&c->poll, handle_closed);
    untimed(c);
    tls_free(c->tls);
    c->tls = NULL;
    close(c->fd);
    c->fd = -1;
    if (c->state == CONN_HELD)
        unhold(c);
    if (c->state == CONN_BLOCKED && waiting_cancel(c->worker->node->waiting, &c->worker->x, &c->session, WAITING_CLOSED, &c->out)) {
        atomic_fetch_sub(&c->worker->clients->blocked, 1);
        c->state = CONN_READY;
    }
    release(c);
}

void conn_close_soon(struct conn *c)
{
    c->closing = true;
    if (c->state == CONN_BLOCKED || output_pending(c) == 0)
        conn_close(c);
    else
        worker_flush_later(c->worker, c);
}

static void on_timer(uv_timer_t *timer)
{
    conn_unblock(timer->data, WAITING_TIMEOUT);
}

void conn_open(struct worker *w, int fd, unsigned flags, void *tls)
{
    struct conn *c = calloc(1, sizeof *c);
    char address[64], local_address[64];

    check(c != NULL);
    peer_addresses(fd, address, local_address);
    c->worker = w;
    c->fd = fd;
    c->tls = tls;
    c->client = client_new(w->clients, w, fd, address, local_address, w->x.now_ms);
    c->client->conn = c;
    client_set_flag(c->client, (enum client_flag)flags, true);
    session_init(&c->session, w->node, c->client);
    c->session.tls = tls != NULL;
    resp_init(&c->parser, w->limits.bulk_bytes_max);
    c->next = w->conns;
    if (c->next != NULL)
        c->next->previous = c;
    w->conns = c;
    w->conn_count++;
    if ((flags & CLIENT_FLAG_UNIX) == 0)
        peer_options(fd, w->limits.keepalive_s);
    c->poll.data = c->timer.data = c;
    c->away_done = (struct message){.kind = MESSAGE_AWAY_DONE, .fd = -1, .client = c->client};
    c->handles = 2;
    uv_timer_init(&w->loop, &c->timer);
    if (uv_poll_init(&w->loop, &c->poll, fd) != 0) {
        log_event(LOG_WARNING, "client refused: cannot watch its socket");
        c->handles = 1;
        c->dead = true;
        close(fd);
        c->client->conn = NULL;
        client_gone(c->client);
        uv_close((uv_handle_t *)&c->timer, handle_closed);
        return;
    }
    watch(c);
}

/* ---- Output ---- */

static enum client_kind kind_of(const struct conn *c)
{
    return (enum client_kind)LOAD(c->client->kind);
}

static bool over_limit(struct conn *c)
{
    const struct client_output_limit *limit =
        &c->worker->limits.output[kind_of(c) == CLIENT_REPLICA ? 1 : kind_of(c) == CLIENT_PUBSUB ? 2 : 0];
    size_t pending = output_pending(c);

    if (limit->hard_bytes != 0 && pending >= limit->hard_bytes)
        return true;
    if (limit->soft_bytes == 0 || pending < limit->soft_bytes) {
        c->soft_since_ms = 0;
        return false;
    }
    if (c->soft_since_ms == 0)
        c->soft_since_ms = c->worker->x.now_ms;
    return c->worker->x.now_ms - c->soft_since_ms > limit->soft_s * 1000;
}

/* True if the connection was closed. */
static bool enforce_limit(struct conn *c)
{
    if (output_pending(c) < 1024 || kind_of(c) == CLIENT_PRIMARY || !over_limit(c))
        return false;
    log_event(LOG_WARNING, "client closed: id=%llu addr=%s reason=output-buffer-limit pending_bytes=%zu",
              (unsigned long long)c->client->id, c->client->address, output_pending(c));
    atomic_fetch_add(&c->worker->clients->output_limit_closes, 1);
    conn_close(c);
    return true;
}

static void output_give_back(struct conn *c)
{
    struct worker *w = c->worker;

    c->out.size = 0;
    c->out_at = 0;
    if (c->out.data == NULL)
        return;
    if (c->out.capacity <= SPARE_BYTES_MAX - w->spare_bytes && w->spares < SPARE_BUFFERS) {
        w->spare_bytes += c->out.capacity;
        w->spare[w->spares++] = c->out;
        c->out = (struct buf){0};
    } else if (c->out.capacity > OUTPUT_KEEP_BYTES) {
        buf_free(&c->out);
    }
}

static void output_take(struct conn *c)
{
    struct worker *w = c->worker;

    if (c->out.data == NULL && w->spares > 0) {
        c->out = w->spare[--w->spares];
        w->spare_bytes -= c->out.capacity;
    }
}

static ssize_t write_some(struct conn *c)
{
    c->tls_wants_read = c->tls_wants_write = false;
    if (c->tls != NULL)
        return tls_write(c->tls, c->out.data + c->out_at, output_pending(c), &c->tls_wants_read, &c->tls_wants_write);
    return write(c->fd, c->out.data + c->out_at, output_pending(c));
}

void conn_flush(struct conn *c)
{
    if (c->dead)
        return;
    while (output_pending(c) > 0) {
        ssize_t written = write_some(c);

        if (written < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                conn_close(c);
                return;
            }
            break;
        }
        c->out_at += (size_t)written;
        atomic_fetch_add_explicit(&c->worker->clients->sent, (uint64_t)written, memory_order_relaxed);
        STORE(c->client->sent, LOAD(c->client->sent) + (uint64_t)written);
    }
    atomic_fetch_add_explicit(&c->worker->clients->writes, 1, memory_order_relaxed);
    STORE(c->client->output_bytes, output_pending(c));
    if (output_pending(c) == 0) {
        output_give_back(c);
        if (c->closing) {
            conn_close(c);
            return;
        }
    } else if (enforce_limit(c)) {
        return;
    } else if (c->out_at > OUTPUT_PAUSE_BYTES && c->out_at > c->out.size / 2) {
        buf_consume(&c->out, c->out_at);
        c->out_at = 0;
    }
    if (c->choked && output_pending(c) < OUTPUT_PAUSE_BYTES / 2) {
        c->choked = false;
        go_on(c);
    }
    watch(c);
}

void conn_append(struct conn *c, struct slice bytes)
{
    if (c->dead || c->closing)
        return;
    output_take(c);
    buf_append_slice(&c->out, bytes);
    STORE(c->client->output_bytes, output_pending(c));
    if (!enforce_limit(c))
        worker_flush_later(c->worker, c);
}

/* maxmemory-clients: a client that is too large alone goes at once; all together are looked at by a tick. */
static void evict_if_large(struct conn *c, uint64_t bytes)
{
    if (bytes > c->worker->limits.memory_bytes_max)
        (void)clients_evict(c->worker->clients);
}

/* ---- Requests ---- */

static void note(struct conn *c)
{
    struct client *client = c->client;
    const struct session *s = &c->session;

    STORE(client->active_ms, c->worker->x.now_ms);
    STORE(client->db, s->db);
    STORE(client->protocol, (unsigned)s->protocol);
    STORE(client->multi, s->multi.open ? (int)s->multi.count : -1);
    STORE(client->watched, (unsigned)s->multi.watch_count);
    STORE(client->output_bytes, output_pending(c));
    if (__builtin_expect(s->multi.open || s->multi.watch_count > 0, 0))
        STORE(client->multi_bytes, multi_memory(&s->multi));
    else if (__builtin_expect(LOAD(client->multi_bytes) != 0, 0))
        STORE(client->multi_bytes, 0);
    if (__builtin_expect(c->worker->limits.memory_bytes_max != 0, 0))
        evict_if_large(c, LOAD(client->multi_bytes) + output_pending(c));
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

/* Nobody will read the reply, and there is nothing else to it. */
static bool is_in_vain(const struct conn *c)
{
    const struct command *command = LOAD(c->client->command);

    return (LOAD(c->client->flags) & CLIENT_FLAG_CLOSING) != 0 && command != NULL &&
           ((command->flags & FACT_READONLY) != 0 || strcmp(command->name, "info") == 0);
}

/*
 * On a pool thread: executes the requests behind the one that went away, for the next ones often need the disk too, and
 * each way through the pool costs as much as several reads. What must run elsewhere (a long command, one about the
 * connection, bytes that are no whole canonical array) is left to the worker.
 */
static void job_go_on(struct conn *c, struct executor *x)
{
    struct resp_words words = {0};
    struct resp_request r;
    struct plan plan;
    const char *error;

    for (int i = 0; i < BATCH_MAX && c->job_reply.size < OUTPUT_PAUSE_BYTES; i++) {
        size_t at = c->query_at + c->request_used;
        enum executed result;

        if (c->session.close_after_reply || c->session.multi.open || at >= c->query.size || c->query.data[at] != '*')
            break;
        words.count = 0;
        if (resp_parse(&c->parser, c->query.data + at, c->query.size - at, &words, &r, &error) != RESP_REQUEST) {
            resp_rewind(&c->parser);
            break;
        }
        if (r.argc == 0)
            break;
        execute_plan(x, words.words + r.first, r.argc, &plan);
        if (plan.command == NULL || (plan.command->how & (COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_CONNECTION)) != 0)
            break;
        result = execute(x, &c->session, words.words + r.first, r.argc, r.raw, &plan, &c->job_reply);
        if (result == EXECUTE_AWAY || result == EXECUTE_HELD) /* nothing happened: the worker's turn */
            break;
        c->request_used += r.used;
        c->job_result = result;
        if (result == EXECUTE_BLOCKED) /* the session is no longer ours */
            break;
    }
    resp_words_free(&words);
}

static void job_run(struct pool_job *job, struct executor *x)
{
    struct conn *c = (struct conn *)((char *)job - offsetof(struct conn, job));

    c->job_result = is_in_vain(c) ? EXECUTE_DONE
                                  : execute(x, &c->session, c->argv, c->argc, c->raw, NULL, &c->job_reply);
    if (c->job_result == EXECUTE_DONE)
        job_go_on(c, x);
    c->job_block_ms = x->block_ms;
    worker_post(c->worker, &c->away_done);
}

static void submit(struct conn *c)
{
    const struct command *command = registry_resolve(c->worker->node->registry, c->argv, c->argc, NULL);

    c->state = CONN_AWAY;
    c->job.run = job_run;
    c->worker->away_count++;
    pool_submit(c->worker->node->pool, &c->job, command != NULL && (command->how & COMMAND_SLOW) != 0);
}

static void blocked(struct conn *c, msec_t block_ms)
{
    c->state = CONN_BLOCKED;
    client_set_flag(c->client, CLIENT_FLAG_BLOCKED, true);
    atomic_fetch_add(&c->worker->clients->blocked, 1);
    if (block_ms > 0) {
        uv_timer_start(&c->timer, on_timer, (uint64_t)block_ms, 0);
        c->timed = true;
        atomic_fetch_add(&c->worker->clients->blocked_timed, 1);
    }
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
        blocked(c, w->x.block_ms);
        return false;
    case EXECUTE_AWAY:
        c->state = CONN_AWAY;
        break;
    case EXECUTE_HELD:
        hold(c);
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
    while (count < max) {
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
        execute_prefetch(&w->x, c->session.db, w->plans, count);
}

/* Executes what is whole in the bytes; returns how many were used up. */
static size_t process(struct conn *c, uint8_t *data, size_t size)
{
    struct worker *w = c->worker;
    size_t at = 0;

    w->x.clock_ns = 0;
    output_take(c);
    while (at < size && c->state == CONN_READY && !c->closing && !c->dead) {
        const char *error = NULL;
        size_t count = parse_batch(c, data + at, size - at, &error), done = 0;

        plan_batch(c, count);
        while (done < count) {
            bool more = execute_one(c, &w->requests[done], &w->plans[done]);

            if (c->dead)
                return size;
            if (c->state == CONN_READY || c->state == CONN_BLOCKED)
                at += w->requests[done++].used;
            if (!more)
                break;
        }
        if (done < count) {
            resp_rewind(&c->parser); /* what was parsed ahead will be parsed again */
            break;
        }
        if (error != NULL && c->state == CONN_READY && !c->closing) {
            buf_append_format(&c->out, "-%s\r\n", error);
            log_event(LOG_VERBOSE, "client closed: id=%llu addr=%s reason=\"%s\"", (unsigned long long)c->client->id,
                      c->client->address, error);
            c->closing = true;
            break;
        }
        if (count == 0)
            break;
        if (output_pending(c) > OUTPUT_PAUSE_BYTES) {
            c->choked = true;
            break;
        }
        if (wal_pending_bytes(w->node->wal) > LOG_PENDING_BYTES && wal_write(w->node->wal) != OK)
            abort();
    }
    if (c->state != CONN_BLOCKED && c->state != CONN_AWAY)
        note(c);
    if (output_pending(c) > 0 || c->closing)
        worker_flush_later(w, c);
    else
        output_give_back(c);
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
        submit(c);
    watch(c);
}

/* Executes what the connection's own buffer holds. */
static void go_on(struct conn *c)
{
    if (c->state != CONN_READY || c->dead || c->closing || c->query.size == c->query_at)
        return;
    c->query_at += process(c, c->query.data + c->query_at, c->query.size - c->query_at);
    if (c->dead)
        return;
    if (c->state != CONN_AWAY && c->state != CONN_HELD && c->query_at > 0) {
        buf_consume(&c->query, c->query_at);
        c->query_at = 0;
    }
    if (c->query.size == 0 && c->query.capacity > 0)
        buf_free(&c->query);
    after(c);
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

static void on_readable(struct conn *c)
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
        watch(c);
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
        go_on(c);
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

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct conn *c = handle->data;

    worker_fresh(c->worker);
    if (status < 0 || (events & UV_DISCONNECT) != 0) {
        conn_close(c);
        return;
    }
    if ((events & UV_WRITABLE) != 0)
        worker_flush_later(c->worker, c);
    if ((events & UV_READABLE) != 0 && (c->events & UV_READABLE) != 0) {
        if (c->state == CONN_READY && !c->choked && !c->closing) {
            do
                on_readable(c);
            while (!c->dead && c->tls != NULL && c->state == CONN_READY && !c->choked && !c->closing &&
                   tls_pending(c->tls));
        } else {
            if (c->state == CONN_AWAY) {
                c->sent_more = true;
                watch(c);
            }
            if (c->tls != NULL)
                worker_flush_later(c->worker, c); /* TLS asked for it while writing */
        }
    }
}

/* ---- Coming back ---- */

/* The request under way is over. */
static void request_over(struct conn *c)
{
    c->query_at += c->request_used;
    c->argc = c->request_used = 0;
    c->raw = (struct slice){0};
    if (c->query_at == c->query.size) {
        buf_clear(&c->query);
        c->query_at = 0;
    }
}

/* The session is ours again. */
static void resume(struct conn *c)
{
    c->state = CONN_READY;
    if (c->dead) {
        release(c);
        return;
    }
    note(c);
    if (c->session.close_after_reply)
        c->closing = true;
    if (output_pending(c) > 0 || c->closing)
        worker_flush_later(c->worker, c);
    go_on(c);
    if (!c->dead)
        watch(c);
}

void conn_away_done(struct conn *c)
{
    c->worker->away_count--;
    if (c->job_result == EXECUTE_AWAY) { /* a key that was being moved away is free again */
        submit(c);
        return;
    }
    if (c->job_result == EXECUTE_HELD) {
        if (c->dead) {
            c->state = CONN_READY;
            release(c);
        } else {
            hold(c);
        }
        return;
    }
    output_take(c);
    buf_append_slice(&c->out, buf_slice(&c->job_reply));
    if (c->job_reply.capacity > OUTPUT_KEEP_BYTES)
        buf_free(&c->job_reply);
    buf_clear(&c->job_reply);
    request_over(c);
    if (c->job_result == EXECUTE_BLOCKED) {
        blocked(c, c->job_block_ms);
        if (output_pending(c) > 0)
            worker_flush_later(c->worker, c);
        if (c->delivered_early) {
            struct buf none = {0};

            c->delivered_early = false;
            conn_delivered(c, &none);
        } else if (c->dead && waiting_cancel(c->worker->node->waiting, &c->worker->x, &c->session, WAITING_CLOSED, &c->out)) {
            struct buf none = {0};

            conn_delivered(c, &none);
        } else {
            watch(c);
        }
        return;
    }
    resume(c);
}

void conn_delivered(struct conn *c, struct buf *reply)
{
    if (!c->dead) {
        output_take(c);
        buf_append_slice(&c->out, buf_slice(reply));
    }
    if (c->state == CONN_AWAY) { /* the pool thread's own message is still on its way */
        c->delivered_early = true;
        return;
    }
    untimed(c);
    client_set_flag(c->client, CLIENT_FLAG_BLOCKED, false);
    atomic_fetch_sub(&c->worker->clients->blocked, 1);
    resume(c);
}

void conn_unblock(struct conn *c, enum waiting_end how)
{
    struct buf reply = {0};

    if (c->state != CONN_BLOCKED || !waiting_cancel(c->worker->node->waiting, &c->worker->x, &c->session, how, &reply))
        return;
    worker_fresh(c->worker);
    conn_delivered(c, &reply);
    buf_free(&reply);
}

void conn_retry(struct conn *c)
{
    if (c->state != CONN_HELD)
        return;
    unhold(c);
    c->worker->x.clock_ns = 0;
    output_take(c);
    switch (execute(&c->worker->x, &c->session, c->argv, c->argc, c->raw, NULL, &c->out)) {
    case EXECUTE_DONE:
        request_over(c);
        resume(c);
        return;
    case EXECUTE_BLOCKED:
        request_over(c);
        blocked(c, c->worker->x.block_ms);
        break;
    case EXECUTE_AWAY:
        submit(c);
        break;
    case EXECUTE_HELD:
        hold(c);
        break;
    }
    watch(c);
}

void conn_cron(struct conn *c, msec_t now_ms)
{
    const struct worker *w = c->worker;

    if (c->dead)
        return;
    if (output_pending(c) > 0 && enforce_limit(c))
        return;
    if (w->limits.timeout_s > 0 && c->state == CONN_READY && kind_of(c) == CLIENT_NORMAL && !c->session.is_monitor &&
        now_ms - LOAD(c->client->active_ms) > w->limits.timeout_s * 1000) {
        log_event(LOG_VERBOSE, "client closed: id=%llu reason=idle", (unsigned long long)c->client->id);
        conn_close(c);
    }
}
