/*
 * repl_link.c - the connection to the primary: connecting, the handshake, what PSYNC answers, and beginning again.
 *
 *   CONNECT --connect--> CONNECTING --> HANDSHAKE (PING, AUTH, REPLCONF, INFO, PSYNC)
 *      ^                                   | +CONTINUE: repl_stream_run     -> CONNECTED
 *      |                                   | +FULLRESYNC: repl_load_run     -> SYNC, then CONNECTED
 *      '--- pause, then again <------------'-- any error
 *
 * One thread does all of it with blocking calls. Whoever wants it to end changes the generation and shuts the socket down.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/words.h"
#include "server/conf/config.h"
#include "server/drive/login.h"
#include "server/drive/repl_priv.h"
#include "server/drive/repl_receive.h"
#include "server/net/peer.h"
#include "server/net/tls.h"

enum { LINE_MAX_BYTES = 4096, READ_BYTES = 256 << 10, SLICE_MS = 100, RETRY_MS = 1000, RETRY_FIRST_MS = 50, BARREN_MAX = 6 };

/* ---- The wire ---- */

bool repl_link_wanted(struct repl *r, unsigned generation)
{
    bool wanted;

    pthread_mutex_lock(&r->link_lock);
    wanted = r->generation == generation && !r->stopping;
    pthread_mutex_unlock(&r->link_lock);
    return wanted;
}

static enum err wait_for(struct repl_wire *w, short events, msec_t until_ms)
{
    struct repl *r = w->repl;

    for (;;) {
        struct pollfd p = {.fd = w->fd, .events = events};
        msec_t now = node_now(r->node);
        int n;

        if (!repl_link_wanted(r, w->generation))
            return err_set(ERR_CLOSED, "the primary is no longer wanted");
        if (now - w->idle_from_ms > atomic_load(&r->settings.timeout_ms))
            return err_set(ERR_IO, "the primary was silent for too long");
        if (now >= until_ms)
            return ERR_AGAIN;
        n = poll(&p, 1, until_ms - now < SLICE_MS ? (int)(until_ms - now) : SLICE_MS);
        if (n > 0)
            return OK;
        if (n < 0 && errno != EINTR)
            return err_set(ERR_IO, "poll: %s", strerror(errno));
    }
}

/* As recv and send: -1 with errno; *events is what to wait for then. */
static ssize_t receive(struct repl_wire *w, uint8_t *to, size_t room, short *events)
{
    bool wants_read = false, wants_write = false;
    ssize_t n;

    *events = POLLIN;
    if (w->tls == NULL)
        return recv(w->fd, to, room, MSG_DONTWAIT);
    n = tls_read(w->tls, to, room, &wants_read, &wants_write);
    *events = wants_write ? POLLOUT : POLLIN;
    return n;
}

static ssize_t transmit(struct repl_wire *w, struct slice bytes, short *events)
{
    bool wants_read = false, wants_write = false;
    ssize_t n;

    *events = POLLOUT;
    if (w->tls == NULL)
        return send(w->fd, bytes.data, bytes.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    n = tls_write(w->tls, bytes.data, bytes.size, &wants_read, &wants_write);
    *events = wants_read ? POLLIN : POLLOUT;
    return n;
}

enum err repl_wire_fill_until(struct repl_wire *w, msec_t until_ms)
{
    struct repl *r = w->repl;
    short events;
    ssize_t n;

    if (w->in_at > 0 && w->in_at == w->in.size) {
        buf_clear(&w->in);
        w->in_at = 0;
    } else if (w->in_at > READ_BYTES) {
        memmove(w->in.data, w->in.data + w->in_at, w->in.size - w->in_at);
        w->in.size -= w->in_at;
        w->in_at = 0;
    }
    for (;;) {
        n = receive(w, buf_reserve(&w->in, READ_BYTES), READ_BYTES, &events);
        if (n >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
        TRY(wait_for(w, events, until_ms));
    }
    if (n == 0)
        return err_set(ERR_IO, "the primary closed the connection");
    if (n < 0)
        return err_set(ERR_IO, "read: %s", strerror(errno));
    w->in.size += (size_t)n;
    w->idle_from_ms = node_now(r->node);
    atomic_fetch_add_explicit(&r->input_bytes, (uint64_t)n, memory_order_relaxed);
    pthread_mutex_lock(&r->link_lock);
    r->last_io_ms = w->idle_from_ms;
    pthread_mutex_unlock(&r->link_lock);
    return OK;
}

enum err repl_wire_fill(struct repl_wire *w)
{
    return repl_wire_fill_until(w, INT64_MAX);
}

enum err repl_wire_send(struct repl_wire *w, struct slice bytes)
{
    while (bytes.size > 0) {
        short events;
        ssize_t n = transmit(w, bytes, &events);

        if (n > 0) {
            bytes = slice_of(bytes.data + n, bytes.size - (size_t)n);
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return err_set(ERR_IO, "write: %s", strerror(errno));
        TRY(wait_for(w, events, INT64_MAX));
    }
    return OK;
}

enum err repl_wire_line(struct repl_wire *w, struct slice *line)
{
    size_t seen = 0;

    for (;;) {
        uint8_t *at = w->in.data + w->in_at, *end;
        size_t have = w->in.size - w->in_at;

        end = have > seen ? memchr(at + seen, '\n', have - seen) : NULL;
        if (end != NULL) {
            size_t n = (size_t)(end - at);

            w->in_at += n + 1;
            *line = slice_of(at, n > 0 && at[n - 1] == '\r' ? n - 1 : n);
            return OK;
        }
        if (have > LINE_MAX_BYTES)
            return err_set(ERR_PROTOCOL, "the primary sends an endless line");
        seen = have;
        TRY(repl_wire_fill(w));
    }
}

/* ---- Handshake ---- */

static bool begins(struct slice line, const char *text)
{
    return line.size >= strlen(text) && memcmp(line.data, text, strlen(text)) == 0;
}

/* Sends what was collected and takes one line. */
static enum err ask(struct repl_wire *w, struct buf *request, struct slice *line)
{
    enum err e = repl_wire_send(w, buf_slice(request));

    buf_clear(request);
    TRY(e);
    do
        TRY(repl_wire_line(w, line));
    while (line->size == 0);
    return OK;
}

static enum err refused(const char *what, struct slice line)
{
    return err_set(ERR_PROTOCOL, "%s: the primary answered '%.*s'", what, (int)(line.size < 200 ? line.size : 200),
                   (const char *)line.data);
}

static enum err log_in(struct repl_wire *w, struct buf *request)
{
    struct slice line;
    enum err e;

    if (!login_request(node_config(w->repl->node), request))
        return OK;
    e = ask(w, request, &line);
    return e == OK && !begins(line, "+") ? refused("AUTH", line) : e;
}

static bool takes_files(struct repl *r)
{
    return atomic_load(&r->settings.copy_files) && receive_wanted(r->receive);
}

static enum err introduce(struct repl_wire *w, struct buf *request)
{
    struct node *n = w->repl->node;
    struct copy_place place;
    struct buf ip = {0};
    struct slice line;
    char port[16], text[COPY_PLACE_BYTES];
    int64_t announced = config_int(node_config(n), "replica-announce-port");
    int own = w->tls != NULL || node_port(n) == 0 ? node_tls_port(n) : node_port(n);
    enum err e;

    snprintf(port, sizeof port, "%d", announced != 0 ? (int)announced : own != 0 ? own : node_port(n));
    WORDS_STR(request, "REPLCONF", "listening-port", port);
    e = ask(w, request, &line); /* an error is an older primary: it goes without */
    config_string(node_config(n), "replica-announce-ip", &ip);
    if (e == OK && ip.size > 0 && ip.data[0] != '\0') {
        WORDS_STR(request, "REPLCONF", "ip-address", (char *)ip.data);
        e = ask(w, request, &line);
    }
    buf_free(&ip);
    TRY(e);
    if (!takes_files(w->repl)) {
        WORDS_STR(request, "REPLCONF", "capa", "eof", "capa", "psync2");
        return ask(w, request, &line);
    }
    WORDS_STR(request, "REPLCONF", "capa", "eof", "capa", "psync2", "capa", COPY_CAPA); /* Redis knows it not, and says OK */
    TRY(ask(w, request, &line));
    if (!receive_place(w->repl->receive, &place))
        return OK;
    copy_place_format(&place, text);
    WORDS_STR(request, "REPLCONF", COPY_PLACE, text);
    return ask(w, request, &line);
}

static enum err psync(struct repl_wire *w, bool to_cairn, struct buf *request, struct slice *line)
{
    struct repl *r = w->repl;
    struct history h;
    struct slice words[7];
    size_t count = 0;
    lsn_t end = wal_tail(r->wal);
    char offset[24], from[24], sum[24];
    struct repl_tail tail;
    bool failover;

    wal_history(r->wal, &h);
    snprintf(offset, sizeof offset, "%llu", (unsigned long long)end + 1);
    pthread_mutex_lock(&r->link_lock);
    failover = r->failover_psync;
    pthread_mutex_unlock(&r->link_lock);
    words[count++] = SLICE_LITERAL("PSYNC");
    words[count++] = slice_str(h.replid);
    words[count++] = slice_str(offset);
    if (failover)
        words[count++] = SLICE_LITERAL("FAILOVER");
    if (to_cairn && repl_tail_take(r->wal, end, &tail) == OK) { /* without it the primary goes by id and offset */
        snprintf(from, sizeof from, "%llu", (unsigned long long)tail.from);
        snprintf(sum, sizeof sum, "%llu", (unsigned long long)tail.sum);
        words[count++] = SLICE_LITERAL(REPL_TAIL);
        words[count++] = slice_str(from);
        words[count++] = slice_str(sum);
    }
    words_append(request, words, count);
    TRY(ask(w, request, line));
    pthread_mutex_lock(&r->link_lock);
    r->failover_psync = false;
    pthread_mutex_unlock(&r->link_lock);
    return OK;
}

static enum err go_on(struct repl_wire *w, const char *replid)
{
    struct repl *r = w->repl;
    struct history h;

    wal_history(r->wal, &h);
    if (replid[0] != '\0' && strcmp(h.replid, replid) != 0) {
        TRY(wal_history_adopt(r->wal, replid));
        repl_drop_replicas(r); /* they hear of the new id by +CONTINUE */
    }
    receive_discard(r->receive);
    log_event(LOG_NOTICE, "primary_continues offset=%llu", (unsigned long long)wal_tail(r->wal));
    return repl_stream_run(w);
}

static enum err copy_all(struct repl_wire *w, const char *replid, lsn_t offset, const struct repl_peer_history *primary)
{
    struct repl *r = w->repl;
    enum err e;

    log_event(LOG_NOTICE, "primary_copy_begins replid=%s offset=%llu", replid, (unsigned long long)offset);
    atomic_store(&r->link_state, REPL_LINK_SYNC);
    atomic_store(&r->whole, false);
    repl_drop_replicas(r);
    TRY(repl_lost_save(r, primary));
    e = repl_load_run(w, replid, offset);
    r->copies_unfit = e == OK ? 0 : r->copies_unfit + (e == ERR_INVALID);
    TRY(e);
    if (primary->known && strcmp(primary->history.replid, replid) == 0) /* it may have changed since it was asked */
        TRY(wal_history_inherit(r->wal, &primary->history));
    return repl_stream_run(w);
}

static enum err talk(struct repl_wire *w)
{
    struct repl *r = w->repl;
    struct repl_peer_history primary = {0};
    char replid[HISTORY_ID_BYTES + 1] = "";
    struct buf request = {0};
    lsn_t offset = 0;
    struct slice line;
    enum err e;

    atomic_store(&r->link_state, REPL_LINK_HANDSHAKE);
    WORDS_STR(&request, "PING");
    e = ask(w, &request, &line);
    if (e == OK && !begins(line, "+") && !begins(line, "-NOAUTH") && !begins(line, "-NOPERM") &&
        !begins(line, "-ERR operation not permitted"))
        e = refused("PING", line);
    if (e == OK)
        e = log_in(w, &request);
    if (e == OK)
        e = introduce(w, &request);
    if (e == OK)
        e = repl_lost_ask(w, &primary);
    if (e == OK)
        e = psync(w, primary.is_cairn, &request, &line);
    buf_free(&request);
    TRY(e);
    if (repl_text_continue(line, replid))
        return go_on(w, replid);
    if (repl_text_fullresync(line, replid, &offset))
        return copy_all(w, replid, offset, &primary);
    return refused("PSYNC", line);
}

/* ---- The thread ---- */

static enum err dial(struct repl_wire *w, const char *host, int port)
{
    struct repl *r = w->repl;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    char service[16];
    int error = 0;
    socklen_t size = sizeof error;
    enum err e = OK;

    snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(host, service, &hints, &found) != 0)
        return err_set(ERR_IO, "cannot resolve %s", host);
    w->fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (w->fd < 0)
        e = err_set(ERR_IO, "socket: %s", strerror(errno));
    if (e == OK && connect(w->fd, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS)
        e = err_set(ERR_IO, "connect: %s", strerror(errno));
    freeaddrinfo(found);
    TRY(e);
    peer_options(w->fd, 60);
    pthread_mutex_lock(&r->link_lock);
    r->link_fd = w->fd;
    pthread_mutex_unlock(&r->link_lock);
    TRY(wait_for(w, POLLOUT, INT64_MAX));
    if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0)
        return err_set(ERR_IO, "connect to %s:%d: %s", host, port, strerror(error));
    return OK;
}

/* tls-replication: the handshake happens in the first reads and writes. */
static enum err secure(struct repl_wire *w)
{
    if (!config_bool(node_config(w->repl->node), "tls-replication"))
        return OK;
    TRY(node_tls_client(w->repl->node, &w->tls_context));
    w->tls = tls_connect(w->tls_context, w->fd);
    return w->tls != NULL ? OK : err_set(ERR_NO_MEMORY, "cannot set up TLS");
}

/* INFO's lines end where a line ends. */
static void error_note(struct repl *r, const char *text)
{
    snprintf(r->link_error, sizeof r->link_error, "%s", text);
    for (char *c = r->link_error; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
}

static void one_link(struct repl *r, const char *host, int port, unsigned generation)
{
    struct repl_wire w = {.repl = r, .generation = generation, .fd = -1, .idle_from_ms = node_now(r->node)};
    enum err e;

    atomic_store(&r->link_state, REPL_LINK_CONNECTING);
    e = dial(&w, host, port);
    if (e == OK)
        e = secure(&w);
    if (e == OK)
        e = talk(&w);
    log_event(e == ERR_CLOSED ? LOG_NOTICE : LOG_WARNING, "primary_link_ended address=%s:%d reason=\"%s\"", host, port, err_text());
    pthread_mutex_lock(&r->link_lock);
    error_note(r, e == ERR_CLOSED ? "" : err_text());
    r->link_fd = -1;
    if (atomic_load(&r->link_state) == REPL_LINK_CONNECTED)
        r->down_since_ms = node_now(r->node);
    atomic_store(&r->link_state, r->host[0] != '\0' ? REPL_LINK_CONNECT : REPL_LINK_NONE);
    pthread_mutex_unlock(&r->link_lock);
    tls_free(w.tls);
    tls_context_free(w.tls_context);
    if (w.fd >= 0)
        close(w.fd);
    buf_free(&w.in);
}

static void pause_ms(struct repl *r, unsigned generation, msec_t ms)
{
    msec_t until = node_now(r->node) + ms;
    struct timespec t = {until / 1000, until % 1000 * 1000000};

    pthread_mutex_lock(&r->link_lock);
    while (!r->stopping && r->generation == generation && pthread_cond_timedwait(&r->link_changed, &r->link_lock, &t) == 0)
        ;
    pthread_mutex_unlock(&r->link_lock);
}

/* Copies that break off before their first byte, or hold what cannot be taken, are asked for less and less often: each costs
 * the primary a snapshot. */
static msec_t retry_ms(struct repl *r)
{
    unsigned barren = receive_barren(r->receive), vain = barren > r->copies_unfit ? barren : r->copies_unfit;

    return vain < 2 ? RETRY_MS : RETRY_MS << (vain < BARREN_MAX ? vain - 1 : BARREN_MAX - 1);
}

static void *link_run(void *context)
{
    struct repl *r = context;
    unsigned last = 0, tries = 0;
    struct copy_place place;

    receive_recall(r->receive);
    pthread_mutex_lock(&r->link_lock);
    while (!r->stopping) {
        char host[REPL_HOST_MAX];
        unsigned generation = r->generation;
        int port = r->port;
        bool was_up;

        if (r->host[0] == '\0' && !node_is_replica(r->node) && receive_place(r->receive, &place)) {
            pthread_mutex_unlock(&r->link_lock);
            receive_discard(r->receive);
            pthread_mutex_lock(&r->link_lock);
            continue;
        }
        if (r->host[0] == '\0') {
            pthread_cond_wait(&r->link_changed, &r->link_lock);
            continue;
        }
        memcpy(host, r->host, sizeof host);
        r->link_busy = true;
        pthread_mutex_unlock(&r->link_lock);
        tries = generation == last ? tries + 1 : 0;
        if (generation != last) {
            receive_forget_refusal(r->receive);
            r->copies_unfit = 0;
        }
        last = generation;
        one_link(r, host, port, generation);
        pthread_mutex_lock(&r->link_lock);
        r->link_busy = false;
        pthread_cond_broadcast(&r->link_changed);
        was_up = node_now(r->node) - r->down_since_ms < RETRY_FIRST_MS;
        if (was_up)
            tries = 0;
        pthread_mutex_unlock(&r->link_lock);
        pause_ms(r, generation, tries == 0 ? RETRY_FIRST_MS : retry_ms(r));
        pthread_mutex_lock(&r->link_lock);
    }
    pthread_mutex_unlock(&r->link_lock);
    return NULL;
}

void repl_link_start(struct repl *r)
{
    check(thread_start(&r->link_thread, "repl-link", link_run, r) == OK);
    r->link_running = true;
}

void repl_link_halt(struct repl *r)
{
    pthread_mutex_lock(&r->link_lock);
    r->generation++;
    r->host[0] = '\0'; /* the thread must not begin anew meanwhile */
    if (r->link_fd >= 0)
        shutdown(r->link_fd, SHUT_RDWR);
    pthread_cond_broadcast(&r->link_changed);
    while (r->link_busy)
        pthread_cond_wait(&r->link_changed, &r->link_lock);
    pthread_mutex_unlock(&r->link_lock);
}

void repl_link_stop(struct repl *r)
{
    pthread_mutex_lock(&r->link_lock);
    r->stopping = true;
    if (r->link_fd >= 0)
        shutdown(r->link_fd, SHUT_RDWR);
    pthread_cond_broadcast(&r->link_changed);
    pthread_mutex_unlock(&r->link_lock);
    if (r->link_running)
        pthread_join(r->link_thread, NULL);
    r->link_running = false;
}
