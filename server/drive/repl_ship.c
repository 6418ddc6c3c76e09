/*
 * repl_ship.c - a whole copy by files, sent: a checkpoint's files in frames, while writes go on.
 *
 *   WAITS --turn--> held_get --> COPIES: "+FULLRESYNC", "$FILES:id", MANIFEST, CHUNK ..., END --first ACK--> ONLINE
 *
 * (1) The checkpoint, and with it the log from its position, is held until the replica is online or gone.
 * (2) Nobody gets more than REPL_COPY_PENDING_MAX ahead of its socket; a copy that is not taken for repl-timeout ends.
 * (3) A copy counts against repl-copies-max until its last byte is on its way; what the replica does then costs nothing here.
 * (4) A disk that fills up ends the copies: what they hold is then in the way.
 */
#include "server/drive/repl_ship.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "server/drive/repl_held.h"
#include "server/drive/repl_priv.h"
#include "server/net/clients.h"

enum { CHUNK_BYTES = 512 << 10, TURN_MS = 100, REFUSED_MS = 1000, LINGER_MS = 10 };

struct job {
    struct job *next;
    struct ship *ship;
    struct replica *replica; /* in_copy: it stays */
    struct held *held;
    pthread_t thread;
    bool sending;            /* under list_lock: counts against the most */
    atomic_bool done;
};

struct ship {
    struct repl *repl;
    struct helds *helds;
    pthread_t thread;
    struct job *jobs;        /* the ship's thread only */
    size_t running;          /* under list_lock */
    msec_t not_before_ms;    /* under list_lock: after a refusal */
    atomic_uint_fast64_t copies, resumed, refused;
};

/* ---- One copy ---- */

static enum err fit_to_go_on(struct job *j)
{
    struct repl *r = j->ship->repl;

    if (repl_is_stopping(r) || !client_is_open(j->replica->client))
        return err_set(ERR_CLOSED, "the replica has gone");
    if (wal_space_low(r->wal))
        return err_set(ERR_NO_SPACE, "the disk has less than disk-free-min left");
    return OK;
}

static enum err send_frame(struct job *j, struct buf *bytes, const struct copy_frame *f)
{
    struct repl *r = j->ship->repl;

    repl_wait_for_room(r, j->replica->client);
    TRY(fit_to_go_on(j));
    buf_clear(bytes);
    copy_frame_append(bytes, f);
    client_push(j->replica->client, buf_slice(bytes));
    atomic_fetch_add_explicit(&r->output_bytes, bytes->size, memory_order_relaxed);
    return OK;
}

static enum err send_file(struct job *j, uint32_t number, uint64_t from, struct buf *bytes)
{
    uint8_t *chunk = malloc(CHUNK_BYTES);
    char path[STORE_PATH_BYTES];
    enum err e = OK;
    int file;

    check(chunk != NULL);
    store_files_path(path, j->held->dir, number);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        e = err_set(ERR_IO, "%s: %s", path, strerror(errno));
    while (e == OK && from < j->held->file_bytes[number]) {
        ssize_t n = pread(file, chunk, CHUNK_BYTES, (off_t)from);

        if (n <= 0)
            e = err_set(ERR_IO, "%s: %s", path, n < 0 ? strerror(errno) : "shorter than it was");
        else
            e = send_frame(j, bytes, &(struct copy_frame){.kind = COPY_CHUNK, .file = number, .offset = from,
                                                          .payload = slice_of(chunk, (size_t)n)});
        if (e == OK)
            from += (uint64_t)n;
    }
    if (file >= 0)
        close(file);
    free(chunk);
    return e;
}

/* Where to begin: the place that the replica told, if it is one of this checkpoint. */
static struct copy_place place_of(struct job *j, const struct copy_place *told)
{
    const struct held *h = j->held;
    struct copy_place p = *told;

    if (strcmp(p.id, h->id) != 0 || p.file > h->files || p.offset > h->file_bytes[p.file])
        p.file = 0, p.offset = 0;
    if (p.file > 0 || p.offset > 0)
        atomic_fetch_add(&j->ship->resumed, 1);
    return p;
}

static void announce(struct job *j)
{
    struct repl *r = j->ship->repl;
    struct replica *p = j->replica;
    char text[160];
    int n = snprintf(text, sizeof text, "+FULLRESYNC %s %llu\r\n$FILES:%s\r\n", j->held->replid,
                     (unsigned long long)j->held->lsn, j->held->id);

    pthread_mutex_lock(&r->list_lock); /* no more newlines from here on */
    p->state = REPLICA_COPIES;
    p->from = p->sent = p->acked = j->held->lsn;
    pthread_mutex_unlock(&r->list_lock);
    client_push(p->client, slice_of(text, (size_t)n));
}

static enum err ship_files(struct job *j, const struct copy_place *told)
{
    struct repl *r = j->ship->repl;
    struct copy_place place = place_of(j, told);
    struct buf bytes = {0};
    enum err e;

    log_event(LOG_NOTICE, "copy_begins address=%s id=%.8s file=%u offset=%llu of_files=%zu", client_address(j->replica->client),
              j->held->id, place.file, (unsigned long long)place.offset, j->held->files);
    announce(j);
    e = send_frame(j, &bytes, &(struct copy_frame){.kind = COPY_MANIFEST, .payload = buf_slice(&j->held->manifest)});
    for (uint32_t i = place.file; i < j->held->files && e == OK; i++)
        e = send_file(j, i, i == place.file ? place.offset : 0, &bytes);
    if (e == OK) {
        pthread_mutex_lock(&r->list_lock);
        j->replica->wants_ack = true;
        j->replica->acked_ms = node_now(r->node);
        pthread_mutex_unlock(&r->list_lock);
        e = send_frame(j, &bytes, &(struct copy_frame){.kind = COPY_END, .offset = j->held->bytes});
    }
    buf_free(&bytes);
    return e;
}

/* ---- Its thread ---- */

static void sending_ends(struct job *j)
{
    struct repl *r = j->ship->repl;

    pthread_mutex_lock(&r->list_lock);
    if (j->sending)
        j->ship->running--;
    j->sending = false;
    pthread_cond_broadcast(&r->copy_wanted);
    pthread_mutex_unlock(&r->list_lock);
}

/* Until it is online, or gone. */
static void linger(struct job *j)
{
    struct repl *r = j->ship->repl;
    bool over = false;

    while (!over && fit_to_go_on(j) == OK) {
        clock_nap_ms(LINGER_MS);
        pthread_mutex_lock(&r->list_lock);
        over = j->replica->state == REPLICA_ONLINE || j->replica->gone;
        pthread_mutex_unlock(&r->list_lock);
    }
}

/* No checkpoint: it waits on, for a copy in the other way if this one cannot be. */
static void refuse(struct job *j, enum err e)
{
    struct repl *r = j->ship->repl;

    atomic_fetch_add(&j->ship->refused, 1);
    log_event(LOG_WARNING, "copy_checkpoint_failed by_rdb=%d error=\"%s\"", e == ERR_INVALID, err_text());
    pthread_mutex_lock(&r->list_lock);
    if (e == ERR_INVALID)
        j->replica->no_files = true;
    else
        j->ship->not_before_ms = node_now(r->node) + REFUSED_MS;
    pthread_mutex_unlock(&r->list_lock);
}

static void *job_run(void *context)
{
    struct job *j = context;
    struct repl *r = j->ship->repl;
    struct replica *p = j->replica;
    struct copy_place told;
    enum err e;

    pthread_mutex_lock(&r->list_lock);
    told = p->place;
    pthread_mutex_unlock(&r->list_lock);
    e = held_get(j->ship->helds, &told, &j->held);
    if (e != OK) {
        refuse(j, e);
    } else {
        atomic_fetch_add(&j->ship->copies, 1);
        e = ship_files(j, &told);
        if (e != OK) {
            log_event(LOG_WARNING, "copy_failed address=%s id=%.8s error=\"%s\"", client_address(p->client), j->held->id,
                      err_text());
            client_close(p->client);
        }
        sending_ends(j);
        if (e == OK)
            linger(j);
        held_put(j->ship->helds, j->held);
    }
    sending_ends(j);
    pthread_mutex_lock(&r->list_lock);
    p->in_copy = false;
    pthread_mutex_unlock(&r->list_lock);
    repl_feed_wake(r);
    atomic_store(&j->done, true);
    return NULL;
}

/* ---- Turns ---- */

bool ship_takes(const struct repl *r, const struct replica *p)
{
    return p->capa_files && !p->no_files && !p->rdb_only && !p->no_keys &&
           atomic_load_explicit(&r->settings.copy_files, memory_order_relaxed);
}

/* Under list_lock: the longest waiting one, if there is room for it. The newest come first in the list. */
static struct replica *next_in_line(struct ship *s)
{
    struct repl *r = s->repl;
    struct replica *found = NULL;

    if (s->running >= (size_t)atomic_load(&r->settings.copies_max) || node_now(r->node) < s->not_before_ms)
        return NULL;
    for (struct replica *p = r->replicas; p != NULL; p = p->next)
        if (!p->gone && !p->in_copy && p->state == REPLICA_WAITS && ship_takes(r, p))
            found = p;
    return found;
}

static void jobs_collect(struct ship *s, bool all)
{
    for (struct job **at = &s->jobs; *at != NULL;) {
        struct job *j = *at;

        if (!all && !atomic_load(&j->done)) {
            at = &j->next;
            continue;
        }
        pthread_join(j->thread, NULL);
        *at = j->next;
        free(j);
    }
}

static void *ship_run(void *context)
{
    struct ship *s = context;
    struct repl *r = s->repl;

    while (!repl_is_stopping(r)) {
        msec_t until = node_now(r->node) + TURN_MS;
        struct timespec t = {until / 1000, until % 1000 * 1000000};
        struct replica *p;

        jobs_collect(s, false);
        helds_tick(s->helds, node_now(r->node));
        pthread_mutex_lock(&r->list_lock);
        p = next_in_line(s);
        if (p == NULL) {
            pthread_cond_timedwait(&r->copy_wanted, &r->list_lock, &t);
        } else {
            p->in_copy = true;
            s->running++;
        }
        pthread_mutex_unlock(&r->list_lock);
        if (p != NULL) {
            struct job *j = calloc(1, sizeof *j);

            check(j != NULL);
            j->ship = s;
            j->replica = p;
            j->sending = true;
            j->next = s->jobs;
            s->jobs = j;
            check(thread_start(&j->thread, "repl-ship-job", job_run, j) == OK);
        }
    }
    jobs_collect(s, true);
    return NULL;
}

struct ship *ship_open(struct repl *r)
{
    struct ship *s = calloc(1, sizeof *s);

    check(s != NULL);
    s->repl = r;
    s->helds = helds_open(r);
    return s;
}

void ship_start(struct ship *s)
{
    check(thread_start(&s->thread, "repl-ship", ship_run, s) == OK);
}

void ship_stop(struct ship *s)
{
    pthread_join(s->thread, NULL);
}

void ship_close(struct ship *s)
{
    if (s == NULL)
        return;
    helds_close(s->helds);
    free(s);
}

void ship_figures(struct repl *r, struct ship_figures *out)
{
    struct ship *s = r->ship;

    *out = (struct ship_figures){
        .copies = atomic_load(&s->copies), .resumed = atomic_load(&s->resumed), .refused = atomic_load(&s->refused)};
    helds_figures(s->helds, &out->checkpoints, &out->checkpoint_bytes);
    pthread_mutex_lock(&r->list_lock);
    out->running = s->running;
    for (const struct replica *p = r->replicas; p != NULL; p = p->next)
        out->waiting += !p->gone && p->state == REPLICA_WAITS && !p->in_copy;
    pthread_mutex_unlock(&r->list_lock);
}
