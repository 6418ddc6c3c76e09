/*
 * repl_copy.c - a whole copy to replicas that cannot continue, and take no files (repl_ship.c): an RDB file of a view, sent while
 * writes go on.
 *
 * (1) One copy at a time; replicas that wait when it begins share it, as far as they take the same framing: "$EOF:mark"
 *     for those that said so, a file with its length first for the others.
 * (2) The log is held from the view's position until the last of them is online, so the stream goes on where the file ends.
 * (3) Behind the mark nothing is sent until the replica's first ACK: a real replica does not find the mark otherwise.
 * (4) The slowest of the group sets the pace: nobody gets more than REPL_COPY_PENDING_MAX ahead of its socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/thread.h"
#include "engine/set/view.h"
#include "persistence/rdb/rdb_save.h"
#include "persistence/vfs.h"
#include "persistence/wal_reader.h"
#include "server/drive/repl_priv.h"
#include "server/drive/repl_ship.h"
#include "server/net/clients.h"

enum { MARK_BYTES = 40, FILE_CHUNK = 256 << 10, GATHER_MS = 100 };

struct copy {
    struct repl *repl;
    struct replica *group[REPL_COPY_GROUP_MAX];
    size_t count;
    bool by_eof, no_keys;
    int file;      /* the spool of a copy with its length; -1 */
    char path[VFS_PATH_MAX];
    char mark[MARK_BYTES + 1];
    uint64_t sent;
};

/* ---- Sending ---- */

bool repl_is_stopping(struct repl *r)
{
    bool is;

    pthread_mutex_lock(&r->link_lock);
    is = r->stopping;
    pthread_mutex_unlock(&r->link_lock);
    return is;
}

void repl_wait_for_room(struct repl *r, struct client *client)
{
    uint64_t pending = client_output_bytes(client);
    msec_t since = node_now(r->node);

    while (client_is_open(client) && pending > REPL_COPY_PENDING_MAX && !repl_is_stopping(r)) {
        uint64_t now_pending;

        clock_nap_ms(1);
        now_pending = client_output_bytes(client);
        if (now_pending != pending)
            since = node_now(r->node);
        pending = now_pending;
        if (node_now(r->node) - since > atomic_load(&r->settings.timeout_ms)) {
            log_event(LOG_WARNING, "copy_not_taken address=%s", client_address(client));
            client_close(client);
            return;
        }
    }
}

/* To every one that is still there. ERR_CLOSED: nobody is. */
static enum err send_all(struct copy *c, struct slice bytes)
{
    size_t open = 0;

    for (size_t i = 0; i < c->count; i++) {
        struct client *client = c->group[i]->client;

        repl_wait_for_room(c->repl, client);
        if (!client_is_open(client))
            continue;
        client_push(client, bytes);
        open++;
    }
    c->sent += bytes.size;
    atomic_fetch_add_explicit(&c->repl->output_bytes, bytes.size * open, memory_order_relaxed);
    if (open == 0 || repl_is_stopping(c->repl))
        return err_set(ERR_CLOSED, "no replica is left");
    return OK;
}

static enum err push_bytes(void *context, struct slice bytes)
{
    struct copy *c = context;

    if (c->file < 0)
        return send_all(c, bytes);
    while (bytes.size > 0) {
        ssize_t n = write(c->file, bytes.data, bytes.size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(ERR_IO, "%s: %s", c->path, strerror(errno));
        bytes = slice_of(bytes.data + n, bytes.size - (size_t)n);
    }
    return OK;
}

static enum err send_file(struct copy *c)
{
    uint8_t *chunk = malloc(FILE_CHUNK);
    off_t size = lseek(c->file, 0, SEEK_END);
    char head[32];
    enum err e;

    check(chunk != NULL);
    lseek(c->file, 0, SEEK_SET);
    e = send_all(c, slice_of(head, (size_t)snprintf(head, sizeof head, "$%lld\r\n", (long long)size)));
    while (e == OK) {
        ssize_t n = read(c->file, chunk, FILE_CHUNK);

        if (n < 0)
            e = err_set(ERR_IO, "%s: %s", c->path, strerror(errno));
        if (n <= 0)
            break;
        e = send_all(c, slice_of(chunk, (size_t)n));
    }
    free(chunk);
    return e;
}

/* ---- The snapshot ---- */

int repl_selected_at(struct repl *r, lsn_t lsn)
{
    struct wal_reader *reader;
    struct frame f;
    int db = -1;

    if (lsn == 0 || wal_reader_open(r->wal, lsn - 1, &reader) != OK)
        return -1;
    if (wal_reader_next(reader, &f) == OK && f.end == lsn)
        db = frame_last_db(&f);
    wal_reader_close(reader);
    return db;
}

static enum err save(struct copy *c, struct set_view *view, const struct history *h, lsn_t lsn)
{
    struct rdb_save_options options = {
        .push = push_bytes, .context = c, .compress = true, .no_keys = c->no_keys,
        .redis_version = "7.2.4", .now_ms = node_now(c->repl->node),
        .repl_id = slice_str(h->replid), .repl_offset = lsn, .repl_db = repl_selected_at(c->repl, lsn)};
    struct rdb_save_figures figures = {0};
    enum err e = rdb_save(view, &options, &figures);

    if (e == OK)
        log_event(LOG_NOTICE, "copy_sent keys=%llu bytes=%llu position=%llu", (unsigned long long)figures.keys,
                  (unsigned long long)figures.bytes, (unsigned long long)lsn);
    return e;
}

static enum err spool_open(struct copy *c)
{
    snprintf(c->path, sizeof c->path, "%s/copy.rdb.tmp", node_dir(c->repl->node));
    c->file = open(c->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (c->file < 0)
        return err_set(ERR_IO, "%s: %s", c->path, strerror(errno));
    unlink(c->path);
    return OK;
}

/* "+FULLRESYNC" to those that said PSYNC; a plain SYNC gets only the file. */
static void announce(struct copy *c, const struct history *h, lsn_t lsn)
{
    char text[128];
    int n = snprintf(text, sizeof text, "+FULLRESYNC %s %llu\r\n", h->replid, (unsigned long long)lsn);

    for (size_t i = 0; i < c->count; i++)
        if (!c->group[i]->no_acks)
            client_push(c->group[i]->client, slice_of(text, (size_t)n));
}

static void states_set(struct copy *c, lsn_t lsn)
{
    pthread_mutex_lock(&c->repl->list_lock);
    for (size_t i = 0; i < c->count; i++) {
        c->group[i]->state = REPLICA_COPIES;
        c->group[i]->from = c->group[i]->sent = lsn;
        c->group[i]->acked = lsn;
    }
    pthread_mutex_unlock(&c->repl->list_lock);
}

/* The file has gone out, or not: what becomes of the replicas. */
static void finish(struct copy *c, enum err e)
{
    struct repl *r = c->repl;

    pthread_mutex_lock(&r->list_lock);
    for (size_t i = 0; i < c->count; i++) {
        struct replica *p = c->group[i];

        p->in_copy = false;
        p->acked_ms = node_now(r->node);
        if (e != OK || p->rdb_only)
            client_close(p->client);
        else if (c->by_eof)
            p->wants_ack = true;
        else
            p->state = REPLICA_ONLINE;
    }
    pthread_mutex_unlock(&r->list_lock);
    repl_feed_wake(r);
}

static enum err copy_run(struct copy *c, struct set_view *view)
{
    struct history h;
    lsn_t lsn = set_view_lsn(view);
    char head[64];

    wal_history(c->repl->wal, &h);
    states_set(c, lsn);
    announce(c, &h, lsn);
    if (!c->by_eof) {
        TRY(spool_open(c));
        TRY(save(c, view, &h, lsn));
        return send_file(c);
    }
    TRY(send_all(c, slice_of(head, (size_t)snprintf(head, sizeof head, "$EOF:%s\r\n", c->mark))));
    TRY(save(c, view, &h, lsn));
    return send_all(c, slice_of(c->mark, MARK_BYTES));
}

static void copy(struct copy *c)
{
    struct repl *r = c->repl;
    struct set_view *view = NULL;
    int hold = wal_hold(r->wal, wal_tail(r->wal));
    uint64_t random;
    struct rng rng;
    enum err e;

    check(getrandom(&random, sizeof random, 0) == sizeof random);
    rng_seed(&rng, random);
    rng_hex(&rng, c->mark, MARK_BYTES);
    if (!node_is_replica(r->node))
        wal_select_again(r->wal);
    e = set_view_open(node_set(r->node), &view);
    if (e == OK)
        e = copy_run(c, view);
    set_view_close(view);
    if (e != OK)
        log_event(LOG_WARNING, "copy_failed replicas=%zu error=\"%s\"", c->count, err_text());
    finish(c, e);
    if (c->file >= 0)
        close(c->file);
    if (hold >= 0)
        wal_hold_drop(r->wal, hold);
}

/* ---- The thread ---- */

/* Under list_lock: those that wait and take what the first of them takes. */
static void gather(struct copy *c)
{
    for (struct replica *p = c->repl->replicas; p != NULL && c->count < REPL_COPY_GROUP_MAX; p = p->next) {
        if (p->gone || p->in_copy || p->state != REPLICA_WAITS || ship_takes(c->repl, p) ||
            (c->count > 0 && (p->capa_eof != c->by_eof || p->no_keys != c->no_keys)))
            continue;
        c->by_eof = p->capa_eof;
        c->no_keys = p->no_keys;
        p->in_copy = true;
        c->group[c->count++] = p;
    }
}

static void *copy_thread(void *context)
{
    struct repl *r = context;

    while (!repl_is_stopping(r)) {
        struct copy c = {.repl = r, .file = -1};
        msec_t until = node_now(r->node) + GATHER_MS;
        struct timespec t = {until / 1000, until % 1000 * 1000000};

        pthread_mutex_lock(&r->list_lock);
        gather(&c);
        if (c.count == 0)
            pthread_cond_timedwait(&r->copy_wanted, &r->list_lock, &t);
        pthread_mutex_unlock(&r->list_lock);
        if (c.count > 0)
            copy(&c);
    }
    return NULL;
}

void repl_copy_start(struct repl *r)
{
    check(thread_start(&r->copy_thread, "repl-copy", copy_thread, r) == OK);
}

void repl_copy_stop(struct repl *r)
{
    pthread_join(r->copy_thread, NULL);
}
