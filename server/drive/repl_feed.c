/*
 * repl_feed.c - the log to the replicas: one thread reads what is written and pushes it to every replica that is online.
 *
 * (1) A replica gets the bytes of the stream from where it is, each byte once, in order; local effects stay here.
 * (2) Only what the kernel has is sent, so that kill -9 never leaves a replica ahead of its primary.
 * (3) A replica that reads slowly holds at most REPL_FEED_PENDING_MAX of memory: the rest waits in the log. One that
 *     falls behind the log's beginning is closed, and comes again for a whole copy.
 *
 * The thread sleeps on an eventfd, which the log's writer signals only when the thread says that it sleeps.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/thread.h"
#include "persistence/wal_reader.h"
#include "server/drive/repl_priv.h"
#include "server/net/clients.h"

enum { REPLICAS_MAX = 1024, PRESSED_MS = 2, IDLE_MS = 100, KEEPALIVE_MS = 1000, HEARD_MS = 2500 };

void repl_feed_wake(struct repl *r)
{
    uint64_t one = 1;

    if (atomic_exchange(&r->feed_sleeps, false) && write(r->feed_wake, &one, sizeof one) < 0)
        check(errno == EAGAIN);
}

static void on_written(void *context)
{
    struct repl *r = context;

    if (atomic_load_explicit(&r->listed, memory_order_relaxed) > 0 && atomic_load(&r->feed_sleeps))
        repl_feed_wake(r);
}

/* ---- One replica ---- */

/* False: the replica cannot go on. */
static bool reader_ready(struct repl *r, struct replica *p)
{
    if (p->reader != NULL)
        return true;
    p->sent = p->from;
    if (wal_reader_open(r->wal, p->from, &p->reader) == OK)
        return true;
    log_event(LOG_WARNING, "replica_behind address=%s offset=%llu error=\"%s\"", client_address(p->client),
              (unsigned long long)p->from, err_text());
    return false;
}

/* Sends what there is, as far as the replica takes it. True: it stopped because of that. */
static bool feed(struct repl *r, struct replica *p, struct buf *chunk)
{
    enum err e = OK;

    while (client_output_bytes(p->client) < REPL_FEED_PENDING_MAX && e == OK) {
        buf_clear(chunk);
        while (chunk->size < REPL_FEED_CHUNK) {
            struct frame f;
            size_t skip;

            if ((e = wal_reader_next(p->reader, &f)) != OK)
                break;
            skip = (size_t)(p->sent > f.head.start ? p->sent - f.head.start : 0);
            buf_append(chunk, f.text.data + skip, f.text.size - skip);
            p->sent = f.end;
        }
        if (chunk->size > 0) {
            client_push(p->client, buf_slice(chunk));
            atomic_fetch_add_explicit(&r->output_bytes, chunk->size, memory_order_relaxed);
        }
        if (chunk->capacity > 4 * REPL_FEED_CHUNK)
            buf_free(chunk);
    }
    if (e == OK)
        return true;
    if (e != ERR_NOT_FOUND) {
        log_event(LOG_WARNING, "replica_feed_failed address=%s error=\"%s\"", client_address(p->client), err_text());
        client_close(p->client);
        wal_reader_close(p->reader);
        p->reader = NULL;
        p->from = UINT64_MAX; /* nothing more for it */
    }
    return false;
}

static void replica_free(struct replica *p)
{
    wal_reader_close(p->reader);
    client_unref(p->client);
    free(p);
}

/* Takes those that have gone off the list; the others that are online into `online`. */
static size_t collect(struct repl *r, struct replica **online)
{
    struct replica **at = &r->replicas, *gone = NULL;
    size_t count = 0;

    pthread_mutex_lock(&r->list_lock);
    while (*at != NULL) {
        struct replica *p = *at;

        if (p->gone && !p->in_copy) {
            *at = p->next;
            p->next = gone;
            gone = p;
            atomic_fetch_sub(&r->listed, 1);
            continue;
        }
        if (!p->gone && p->state == REPLICA_ONLINE && count < REPLICAS_MAX)
            online[count++] = p;
        at = &p->next;
    }
    pthread_mutex_unlock(&r->list_lock);
    while (gone != NULL) {
        struct replica *next = gone->next;

        log_event(LOG_NOTICE, "replica_gone address=%s offset=%llu", client_address(gone->client),
                  (unsigned long long)gone->acked);
        replica_free(gone);
        gone = next;
    }
    return count;
}

/* ---- The thread ---- */

static bool stopping(struct repl *r)
{
    bool is;

    pthread_mutex_lock(&r->link_lock);
    is = r->stopping;
    pthread_mutex_unlock(&r->link_lock);
    return is;
}

static void rest(struct repl *r, lsn_t seen, bool pressed)
{
    struct pollfd p = {.fd = r->feed_wake, .events = POLLIN};
    uint64_t count;

    atomic_store(&r->feed_sleeps, true);
    if (wal_written(r->wal) == seen && !atomic_load(&r->getack_wanted))
        (void)poll(&p, 1, pressed ? PRESSED_MS : IDLE_MS);
    atomic_store(&r->feed_sleeps, false);
    if (read(r->feed_wake, &count, sizeof count) < 0)
        check(errno == EAGAIN || errno == EINTR);
}

static void *feed_run(void *context)
{
    struct repl *r = context;
    struct replica **online = calloc(REPLICAS_MAX, sizeof *online);
    struct buf chunk = {0};

    check(online != NULL);
    while (!stopping(r)) {
        lsn_t seen;
        size_t count;
        bool pressed = false;

        if (atomic_exchange(&r->getack_wanted, false))
            repl_mark(r, SLICE_LITERAL("*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n"));
        seen = wal_written(r->wal);
        count = collect(r, online);

        for (size_t i = 0; i < count; i++) {
            struct replica *p = online[i];

            if (p->from == UINT64_MAX)
                continue;
            if (reader_ready(r, p)) {
                pressed |= feed(r, p, &chunk);
            } else {
                client_close(p->client);
                p->from = UINT64_MAX;
            }
        }
        rest(r, seen, pressed);
    }
    buf_free(&chunk);
    free(online);
    return NULL;
}

void repl_feed_start(struct repl *r)
{
    r->feed_wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    check(r->feed_wake >= 0);
    wal_on_written(r->wal, on_written, r);
    check(thread_start(&r->feed_thread, "repl-feed", feed_run, r) == OK);
}

/* link_lock's stopping is set. */
void repl_feed_stop(struct repl *r)
{
    atomic_store(&r->feed_sleeps, true);
    repl_feed_wake(r);
    pthread_join(r->feed_thread, NULL);
    wal_on_written(r->wal, NULL, NULL);
}

/* Sessions have ended. */
void repl_feed_close(struct repl *r)
{
    for (struct replica *p = r->replicas, *next; p != NULL; p = next) {
        next = p->next;
        replica_free(p);
    }
    r->replicas = NULL;
    if (r->feed_wake >= 0)
        close(r->feed_wake);
}

/* ---- What the primary adds to the stream ---- */

void repl_mark(struct repl *r, struct slice text)
{
    struct journal_effect effect = {.bytes = (uint32_t)text.size, .slot = SLOT_NODE, .kind = JOURNAL_MARK};

    pthread_mutex_lock(&r->role_lock);
    if (!node_is_replica(r->node) && atomic_load(&r->listed) > 0 &&
        clients_paused(node_clients(r->node), node_now(r->node)) == CLIENT_PAUSE_NONE) {
        (void)wal_append(r->wal, &effect, 1, text);
        if (wal_write(r->wal) != OK)
            log_event(LOG_WARNING, "replica_ping_failed error=\"%s\"", err_text());
    }
    pthread_mutex_unlock(&r->role_lock);
}

/*
 * Under list_lock: closes who is silent for too long; keeps those that wait for a copy from giving up. Returns how many are good:
 * the lag that INFO tells, in whole seconds, is at most min-replicas-max-lag.
 */
static size_t look_after(struct repl *r, msec_t now_ms, bool keepalive)
{
    size_t good = 0;

    for (struct replica *p = r->replicas; p != NULL; p = p->next) {
        if (p->gone)
            continue;
        if (p->state == REPLICA_ONLINE && !p->no_acks && now_ms - p->acked_ms > atomic_load(&r->settings.timeout_ms)) {
            log_event(LOG_WARNING, "replica_silent address=%s", client_address(p->client));
            client_close(p->client);
        }
        if (p->state == REPLICA_WAITS && keepalive)
            client_push(p->client, SLICE_LITERAL("\n"));
        good += p->state == REPLICA_ONLINE && now_ms - p->acked_ms < atomic_load(&r->settings.max_lag_ms) + 1000;
    }
    return good;
}

/*
 * Under list_lock. Whether a PING may get anywhere. It is a part of the stream: those that a primary which was cut off or
 * stopped says to nobody would put its log beyond where its successor began, and it could only come back by a whole copy.
 */
static bool somebody_hears(const struct repl *r, msec_t now_ms)
{
    for (const struct replica *p = r->replicas; p != NULL; p = p->next)
        if (!p->gone && (p->state != REPLICA_ONLINE || p->no_acks || now_ms - p->acked_ms <= HEARD_MS))
            return true;
    return false;
}

void repl_feed_tick(struct repl *r, msec_t now_ms)
{
    msec_t period_ms = atomic_load(&r->settings.ping_ms);
    bool ping = false;

    if (atomic_load(&r->listed) == 0) {
        atomic_store(&r->good, 0);
        return;
    }
    pthread_mutex_lock(&r->list_lock);
    atomic_store(&r->good, look_after(r, now_ms, now_ms / KEEPALIVE_MS != r->kept_alive_ms / KEEPALIVE_MS));
    r->kept_alive_ms = now_ms;
    if (now_ms - r->pinged_ms >= period_ms) {
        ping = somebody_hears(r, now_ms);
        r->pinged_ms = ping || period_ms < KEEPALIVE_MS ? now_ms : now_ms - period_ms + KEEPALIVE_MS; /* or: in a second */
    }
    pthread_mutex_unlock(&r->list_lock);
    if (ping)
        repl_mark(r, SLICE_LITERAL("*1\r\n$4\r\nPING\r\n"));
}
