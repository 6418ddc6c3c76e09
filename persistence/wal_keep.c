/*
 * wal_keep.c - the log's background: the sync of every second, sealing, retention, the disk's free space; and the
 * changes of history, which like those happen seldom.
 *
 * Two threads, so that compression never delays a sync: `syncer` (every second) and `keeper` (when a segment is left,
 * and every second, at low priority).
 */
#include "base/check.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/thread.h"
#include "persistence/seal.h"
#include "persistence/wal_priv.h"

#include <inttypes.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* ---- Free space ---- */

void wal_space_ask(struct wal *wal)
{
    uint64_t bytes;

    if (wal->vfs->free_space(wal->vfs->context, wal->dir, &bytes) != OK) {
        log_event(LOG_WARNING, "log_free_space_unknown dir=%s %s", wal->dir, err_text());
        atomic_store(&wal->space_left, INT64_MAX); /* not knowing is no reason to refuse writes */
        return;
    }
    if (bytes > INT64_MAX)
        bytes = INT64_MAX;
    atomic_store(&wal->space_left, (int64_t)bytes - (int64_t)wal->options.space_reserve);
    bool low = bytes < wal->options.space_reserve;

    if (atomic_exchange(&wal->space_low, low) != low)
        log_event(LOG_WARNING, "log_space_low=%d dir=%s free=%" PRIu64, low, wal->dir, bytes);
}

/* ---- Sealing ---- */

/* The oldest full segment beyond the newest raw_bytes of full ones. Under load most segments are dropped within seconds:
 * compressing them too was a fifth of the processor time of INCR (docs/decisions/0041). */
static bool seal_pick(struct wal *wal, struct wal_segment *out)
{
    msec_t now = wal->vfs->now_ms(wal->vfs->context);
    uint64_t raw = 0;
    bool found = false;

    pthread_mutex_lock(&wal->files_lock);
    for (size_t i = wal->segments_count - 1; i-- > 0;) {
        const struct wal_segment *s = &wal->segments[i];

        if (s->sealed || s->damaged)
            continue;
        raw += s->raw_bytes;
        if (raw > wal->options.raw_bytes && now - s->time_ms >= wal->options.seal_age_ms) {
            *out = *s;
            found = true;
        }
    }
    pthread_mutex_unlock(&wal->files_lock);
    return found;
}

static void seal_mark(struct wal *wal, lsn_t first, bool sealed, uint64_t bytes)
{
    pthread_mutex_lock(&wal->files_lock);
    for (size_t i = 0; i < wal->segments_count; i++) {
        struct wal_segment *s = &wal->segments[i];

        if (s->first != first)
            continue;
        s->sealed = sealed;
        s->damaged = !sealed;
        if (sealed)
            s->bytes = bytes;
    }
    pthread_mutex_unlock(&wal->files_lock);
}

static bool is_stopping(struct wal *wal)
{
    bool stopping;

    pthread_mutex_lock(&wal->files_lock);
    stopping = wal->stopping;
    pthread_mutex_unlock(&wal->files_lock);
    return stopping;
}

/* Not fatal: the raw file is still there. False: no use to go on now. */
static bool seal_one(struct wal *wal)
{
    struct wal_segment s;
    char name[SEGMENT_NAME_MAX];
    uint64_t bytes;
    enum err e;

    if (is_stopping(wal) || atomic_load(&wal->failed) || !seal_pick(wal, &s))
        return false;
    segment_name(name, wal->history.generation, s.first);
    if (!s.synced && wal_sync_to(wal, s.end) != OK) /* a sealed segment is a durable one, also under appendfsync no */
        return false;
    e = seal_segment(wal->vfs, wal->dir, name, s.end, &bytes);
    if (e != OK)
        log_event(LOG_WARNING, "log_seal_failed file=%s/%s error=%s %s", wal->dir, name, err_name(e), err_text());
    if (e != OK && e != ERR_CORRUPT)
        return false; /* tried again in the next round */
    seal_mark(wal, s.first, e == OK, bytes);
    return true;
}

/* ---- Retention ---- */

/* Whether the first segment may go; then *next is where the log begins without it. */
static bool drop_pick(struct wal *wal, struct wal_segment *out, lsn_t *next)
{
    msec_t now = wal->vfs->now_ms(wal->vfs->context), age = atomic_load(&wal->retain_ms);
    uint64_t bytes = 0;
    bool drop;

    pthread_mutex_lock(&wal->files_lock);
    *out = wal->segments[0];
    drop = wal->segments_count > 1 && out->synced && out->end < atomic_load(&wal->floor);
    for (int i = 0; i < WAL_HOLDS_MAX; i++)
        drop = drop && out->end <= wal->holds[i];
    for (size_t i = 0; i < wal->segments_count; i++)
        bytes += wal->segments[i].bytes;
    drop = drop && (bytes > atomic_load(&wal->retain_bytes) || (age > 0 && now - out->time_ms > age) ||
                    wal_space_low(wal)); /* a replica's comfort is not worth refusing writes */
    if (drop)
        *next = wal->segments[1].first;
    pthread_mutex_unlock(&wal->files_lock);
    return drop;
}

/* The history file says first that the log begins later; a file that survives the unlink is removed by the next start. */
static bool drop_one(struct wal *wal)
{
    struct wal_segment s;
    struct history h;
    char name[SEGMENT_NAME_MAX], path[VFS_PATH_MAX];
    lsn_t next;
    enum err e;

    if (atomic_load(&wal->failed) || !drop_pick(wal, &s, &next))
        return false;
    wal_history(wal, &h);
    h.first = next;
    segment_name(name, h.generation, s.first);
    vfs_path(path, wal->dir, name);
    e = history_save(wal->vfs, wal->dir, &h);
    if (e != OK) {
        log_event(LOG_WARNING, "log_retention_failed dir=%s error=%s %s", wal->dir, err_name(e), err_text());
        return false;
    }
    pthread_mutex_lock(&wal->files_lock);
    wal->history.first = next;
    wal->segments_count--;
    memmove(wal->segments, wal->segments + 1, wal->segments_count * sizeof *wal->segments);
    pthread_mutex_unlock(&wal->files_lock);
    if (wal->vfs->unlink(wal->vfs->context, path) != OK)
        log_event(LOG_WARNING, "log_unlink_failed file=%s %s", path, err_text());
    if (wal_space_low(wal))
        wal_space_ask(wal);
    return true;
}

void wal_keep(struct wal *wal)
{
    pthread_mutex_lock(&wal->keep_lock);
    while (drop_one(wal)) /* first: what goes needs no compression */
        continue;
    while (seal_one(wal))
        continue;
    while (drop_one(wal))
        continue;
    pthread_mutex_unlock(&wal->keep_lock);
}

void wal_trim(struct wal *wal, lsn_t floor)
{
    lsn_t old = atomic_load(&wal->floor);

    while (old < floor && !atomic_compare_exchange_weak(&wal->floor, &old, floor))
        continue;
}

void wal_retention_set(struct wal *wal, uint64_t retain_bytes, msec_t retain_ms)
{
    atomic_store(&wal->retain_bytes, retain_bytes);
    atomic_store(&wal->retain_ms, retain_ms);
}

int wal_hold(struct wal *wal, lsn_t lsn)
{
    int hold = -1;

    check(lsn != UINT64_MAX);
    pthread_mutex_lock(&wal->files_lock);
    for (int i = 0; i < WAL_HOLDS_MAX && hold < 0; i++)
        if (wal->holds[i] == UINT64_MAX)
            hold = i;
    if (hold >= 0)
        wal->holds[hold] = lsn;
    pthread_mutex_unlock(&wal->files_lock);
    return hold;
}

void wal_hold_move(struct wal *wal, int hold, lsn_t lsn)
{
    check(hold >= 0 && hold < WAL_HOLDS_MAX);
    pthread_mutex_lock(&wal->files_lock);
    wal->holds[hold] = lsn;
    pthread_mutex_unlock(&wal->files_lock);
}

void wal_hold_drop(struct wal *wal, int hold)
{
    wal_hold_move(wal, hold, UINT64_MAX);
}

/* ---- Threads ---- */

/* Waits for `seconds`, a wake-up that `flag` stands for, or the end. True: go on. */
static bool pause_for(struct wal *wal, const bool *flag)
{
    struct timespec until;
    bool go_on;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    pthread_mutex_lock(&wal->files_lock);
    while (!wal->stopping && !(flag != NULL && *flag) &&
           pthread_cond_timedwait(&wal->wake, &wal->files_lock, &until) == 0)
        continue;
    wal->rotated = flag == NULL && wal->rotated;
    go_on = !wal->stopping;
    pthread_mutex_unlock(&wal->files_lock);
    return go_on;
}

static void *syncer_run(void *context)
{
    struct wal *wal = context;

    while (pause_for(wal, NULL)) {
        lsn_t tail = wal_tail(wal);
        enum err e = wal_fsync_policy(wal) == WAL_FSYNC_NO ? wal_write_to(wal, tail) : wal_sync_to(wal, tail);

        if (e != OK)
            break; /* the hook was told */
        wal_space_ask(wal);
    }
    return NULL;
}

static void *keeper_run(void *context)
{
    struct wal *wal = context;

    if (setpriority(PRIO_PROCESS, (id_t)gettid(), 10) != 0)
        log_event(LOG_VERBOSE, "log_keeper_priority_unchanged");
    while (pause_for(wal, &wal->rotated))
        wal_keep(wal);
    return NULL;
}

enum err wal_threads_start(struct wal *wal)
{
    enum err e;

    TRY(thread_start(&wal->syncer, "log-sync", syncer_run, wal));
    if ((e = thread_start(&wal->keeper, "log-keeper", keeper_run, wal)) != OK) {
        pthread_mutex_lock(&wal->files_lock);
        wal->stopping = true;
        pthread_cond_broadcast(&wal->wake);
        pthread_mutex_unlock(&wal->files_lock);
        pthread_join(wal->syncer, NULL);
        return e;
    }
    wal->threads = true;
    return OK;
}

void wal_threads_stop(struct wal *wal)
{
    if (!wal->threads)
        return;
    pthread_mutex_lock(&wal->files_lock);
    wal->stopping = true;
    pthread_cond_broadcast(&wal->wake);
    pthread_mutex_unlock(&wal->files_lock);
    pthread_join(wal->syncer, NULL);
    pthread_join(wal->keeper, NULL);
    wal->threads = false;
}
