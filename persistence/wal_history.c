/*
 * wal_history.c - changes of the log's history, and a log thrown away for another; and the figures.
 *
 * The history file is the point of no return in each case: what it names is complete and durable before it is written.
 */
#include "base/check.h"
#include "base/log.h"
#include "base/rng.h"
#include "persistence/wal_priv.h"

#include <inttypes.h>

void wal_history(struct wal *wal, struct history *out)
{
    pthread_mutex_lock(&wal->files_lock);
    *out = wal->history;
    pthread_mutex_unlock(&wal->files_lock);
}

/* Under keep_lock: retention writes the history file too. */
static enum err history_put(struct wal *wal, const struct history *h)
{
    TRY(history_save(wal->vfs, wal->dir, h));
    pthread_mutex_lock(&wal->files_lock);
    wal->history = *h;
    pthread_mutex_unlock(&wal->files_lock);
    pthread_mutex_lock(&wal->append_lock);
    wal->history_number = history_number(h->replid);
    pthread_mutex_unlock(&wal->append_lock);
    return OK;
}

/*
 * The sync comes first: a log that is shorter after a power cut than the end of its ancestor would let a replica
 * continue where the two histories differ.
 */
static enum err fork_at_tail(struct wal *wal, const char *replid)
{
    lsn_t tail = wal_tail(wal);
    struct history h;
    enum err e;

    TRY(wal_sync_to(wal, tail));
    pthread_mutex_lock(&wal->keep_lock);
    wal_history(wal, &h);
    history_fork(&h, replid, tail);
    e = history_put(wal, &h);
    pthread_mutex_unlock(&wal->keep_lock);
    if (e == OK)
        log_event(LOG_NOTICE, "log_history replid=%s position=%" PRIu64, replid, tail);
    return e;
}

enum err wal_history_fork(struct wal *wal, uint64_t random)
{
    char replid[HISTORY_ID_BYTES + 1] = "";
    struct rng rng;

    rng_seed(&rng, random);
    rng_hex(&rng, replid, HISTORY_ID_BYTES);
    return fork_at_tail(wal, replid);
}

enum err wal_history_adopt(struct wal *wal, const char *replid)
{
    struct history h;

    if (!history_id_valid(replid))
        return err_set(ERR_INVALID, "'%.64s' is no replication id", replid);
    wal_history(wal, &h);
    if (strcmp(h.replid, replid) == 0)
        return OK;
    return fork_at_tail(wal, replid);
}

enum err wal_history_inherit(struct wal *wal, const struct history *from)
{
    struct history h;
    enum err e;

    pthread_mutex_lock(&wal->keep_lock);
    wal_history(wal, &h);
    h.ancestors_count = 0;
    for (uint32_t i = 0; i < from->ancestors_count; i++)
        if (from->ancestors[i].end <= wal_tail(wal))
            h.ancestors[h.ancestors_count++] = from->ancestors[i];
    e = history_put(wal, &h);
    pthread_mutex_unlock(&wal->keep_lock);
    return e;
}

/* ---- Reset ---- */

static void list_replace(struct wal *wal, size_t old_count)
{
    for (size_t i = 0; i < old_count; i++) {
        char name[SEGMENT_NAME_MAX], path[VFS_PATH_MAX];

        if (wal->segments[i].handle >= 0)
            wal->vfs->close(wal->vfs->context, wal->segments[i].handle);
        segment_name(name, wal->history.generation - 1, wal->segments[i].first);
        vfs_path(path, wal->dir, name);
        if (wal->vfs->unlink(wal->vfs->context, path) != OK) /* the next start removes it */
            log_event(LOG_WARNING, "log_unlink_failed file=%s %s", path, err_text());
    }
    memmove(wal->segments, wal->segments + old_count, (wal->segments_count - old_count) * sizeof *wal->segments);
    wal->segments_count -= old_count;
}

static void positions_reset(struct wal *wal, const char *replid, lsn_t lsn, uint16_t db)
{
    pthread_mutex_lock(&wal->append_lock);
    wal_queue_clear(&wal->pending, 0);
    wal->position = lsn;
    wal->db = wal->written_db = db;
    wal->history_number = wal->written_history = history_number(replid);
    atomic_store(&wal->pending_bytes, 0);
    atomic_store(&wal->tail, lsn);
    pthread_mutex_unlock(&wal->append_lock);
    atomic_store(&wal->written, lsn);
    atomic_store(&wal->durable, lsn);
    atomic_store(&wal->floor, 0);
}

/* Under keep, sync and write lock. The new segment is durable before the history names its generation. */
static enum err reset_locked(struct wal *wal, const char *replid, lsn_t lsn, uint16_t db)
{
    struct history h = {.generation = wal->history.generation + 1, .first = lsn};
    size_t old_count = wal->segments_count;
    enum err e;

    memcpy(h.replid, replid, sizeof h.replid);
    memcpy(h.boot, wal->history.boot, sizeof h.boot);
    pthread_mutex_lock(&wal->files_lock);
    wal->history.generation++; /* names the segment that is begun now */
    pthread_mutex_unlock(&wal->files_lock);
    e = wal_segment_begin(wal, lsn, history_number(replid), db);
    if (e == OK)
        e = wal->vfs->sync(wal->vfs->context, wal->segments[old_count].handle);
    if (e == OK)
        e = wal->vfs->sync_dir(wal->vfs->context, wal->dir);
    if (e == OK)
        e = history_save(wal->vfs, wal->dir, &h);
    if (e != OK) /* either log may be the one that the next start finds */
        return wal_fail(wal, e);
    pthread_mutex_lock(&wal->files_lock);
    wal->history = h;
    wal->dir_dirty = false;
    list_replace(wal, old_count);
    pthread_mutex_unlock(&wal->files_lock);
    positions_reset(wal, replid, lsn, db);
    log_event(LOG_NOTICE, "log_reset replid=%s position=%" PRIu64, replid, lsn);
    return OK;
}

enum err wal_reset(struct wal *wal, const char *replid, lsn_t lsn, int selected)
{
    enum err e;

    if (!history_id_valid(replid))
        return err_set(ERR_INVALID, "'%.64s' is no replication id", replid);
    pthread_mutex_lock(&wal->keep_lock);
    pthread_mutex_lock(&wal->sync_lock);
    pthread_mutex_lock(&wal->write_lock);
    if (atomic_load(&wal->failed))
        e = err_set(ERR_IO, "the log has failed before");
    else
        e = reset_locked(wal, replid, lsn, selected < 0 ? SEGMENT_DB_NONE : (uint16_t)selected);
    pthread_mutex_unlock(&wal->write_lock);
    pthread_mutex_unlock(&wal->sync_lock);
    pthread_mutex_unlock(&wal->keep_lock);
    return e;
}

/* ---- Figures ---- */

lsn_t wal_trimmed(struct wal *wal)
{
    lsn_t first;

    pthread_mutex_lock(&wal->files_lock);
    first = wal->segments[0].first;
    pthread_mutex_unlock(&wal->files_lock);
    return first;
}

void wal_figures(struct wal *wal, struct wal_figures *out)
{
    struct wal_figures f = {0};

    pthread_mutex_lock(&wal->append_lock);
    f.frames = wal->frames;
    pthread_mutex_unlock(&wal->append_lock);
    pthread_mutex_lock(&wal->files_lock);
    f.first = wal->segments[0].first;
    f.first_ms = wal->segments[0].begun_ms != 0 ? wal->segments[0].begun_ms : wal->segments[0].time_ms;
    f.segments = wal->segments_count;
    for (size_t i = 0; i < wal->segments_count; i++) {
        f.bytes += wal->segments[i].bytes;
        f.sealed_segments += wal->segments[i].sealed;
    }
    pthread_mutex_unlock(&wal->files_lock);
    f.durable = wal_durable(wal);
    f.written = wal_written(wal);
    f.tail = wal_tail(wal);
    f.floor = atomic_load(&wal->floor);
    f.writes = atomic_load(&wal->writes);
    f.write_bytes = atomic_load(&wal->write_bytes);
    f.write_us = atomic_load(&wal->write_us);
    f.syncs = atomic_load(&wal->syncs);
    f.sync_us = atomic_load(&wal->sync_us);
    f.sync_us_max = atomic_load(&wal->sync_us_max);
    f.space_low = wal_space_low(wal);
    *out = f;
}
