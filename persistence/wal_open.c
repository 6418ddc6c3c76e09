/*
 * wal_open.c - opening and closing a log: what the directory holds, where it ends, and whether it may end there.
 *
 * Every raw segment is read to its end; sealed ones were durable before they were sealed and are believed by their
 * header here (recovery and cairn-check verify them). At a place where no frame can be read:
 *
 *   nothing valid behind it                         a torn tail: an append that never finished. Cut and report.
 *   valid frames behind it, machine not restarted   the kernel has all that was written: damage. Refuse.
 *   valid frames behind it, machine restarted       a power cut writes unsynced pages in any order. If one of the frames
 *                                                   proves that the place had been synced (frame.h, `unsynced`):
 *                                                   damage, refuse. Else nothing behind it was acknowledged as
 *                                                   durable: cut and report.
 *   the log was closed cleanly at a larger position damage. Refuse.
 *
 * After that the log is synced before anyone replays it: a second power cut must not take what recovery relied upon.
 */
#include "base/check.h"
#include "base/log.h"
#include "base/rng.h"
#include "persistence/segment_dir.h"
#include "persistence/wal_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Where the walk through the segments stands. */
struct scan {
    struct wal *wal;
    struct segment_dir dir;
    bool clean, same_boot;   /* of the last stop */
    lsn_t clean_end;
    lsn_t position;          /* read so far */
    uint16_t db;
    uint64_t history;
    bool bad;                /* no frame at bad_offset of segment bad_index */
    size_t bad_index;
    uint64_t bad_offset;
    char reason[256];
};

static const char *const advice =
    "Bring the file back from a backup, or let this node copy its data from a replica; to give up everything behind this "
    "position instead: cairn-check log --fix";

/* ---- Walking ---- */

static void bad_place(struct scan *s, size_t index, uint64_t offset)
{
    s->bad = true;
    s->bad_index = index;
    s->bad_offset = offset;
    snprintf(s->reason, sizeof s->reason, "%s", err_text());
}

/* Reads a raw segment to its end or to the first bad place. */
static enum err walk_raw(struct scan *s, size_t index, struct segment *segment, struct wal_segment *out)
{
    uint64_t offset = SEGMENT_HEADER_BYTES;
    struct frame f;
    enum err e;

    s->db = segment->head.db;
    s->history = segment->head.history;
    while ((e = segment_frame(segment, offset, s->position, &f)) == OK) {
        offset += f.bytes.size;
        s->position = f.end;
        s->db = frame_last_db(&f);
        s->history = f.head.history;
        out->time_ms = f.head.time_ms;
    }
    if (e == ERR_AGAIN)
        err_set(e, "the file ends inside a frame");
    if (e == ERR_AGAIN || e == ERR_CORRUPT)
        bad_place(s, index, offset);
    else if (e != ERR_NOT_FOUND)
        return e;
    out->bytes = out->raw_bytes = offset;
    out->end = s->position;
    return OK;
}

static enum err walk_segment(struct scan *s, size_t index)
{
    struct wal_segment out = {.first = s->dir.first[index], .handle = -1};
    struct segment segment;
    enum err e = segment_dir_open(&s->dir, index, &segment);

    if (e == ERR_CORRUPT) {
        bad_place(s, index, 0);
        return OK;
    }
    TRY(e);
    if (!segment.sealed)
        out.time_ms = out.begun_ms = segment.head.time_ms;
    if (segment.sealed) {
        s->position = out.end = segment.sealed_end;
        s->db = SEGMENT_DB_NONE;
        out.sealed = out.synced = true;
        out.bytes = segment.file_bytes;
        out.raw_bytes = segment.raw_bytes;
        out.time_ms = segment.sealed_time_ms;
    } else {
        e = walk_raw(s, index, &segment, &out);
    }
    segment_close(&segment);
    if (e == OK)
        wal_segment_add(s->wal, &out);
    return e;
}

static enum err walk(struct scan *s)
{
    s->position = s->dir.first[0];
    for (size_t i = 0; i < s->dir.count && !s->bad; i++) {
        if (s->dir.first[i] != s->position) {
            (void)err_set(ERR_CORRUPT, "the next segment begins at position %" PRIu64, s->dir.first[i]);
            bad_place(s, i - 1, s->wal->segments[i - 1].sealed ? SEGMENT_RAW_BYTES_MAX : s->wal->segments[i - 1].bytes);
            return OK;
        }
        TRY(walk_segment(s, i));
    }
    return OK;
}

/* ---- Deciding ---- */

static enum err refuse(const struct scan *s, const struct segment_behind *behind)
{
    char name[SEGMENT_NAME_MAX], what[128] = "";

    segment_name(name, s->dir.generation, s->dir.first[s->bad ? s->bad_index : s->dir.count - 1]);
    if (behind->frames > 0)
        snprintf(what, sizeof what, "; valid records follow from position %" PRIu64 " on", behind->position);
    else if (s->clean)
        snprintf(what, sizeof what, "; the log was closed at position %" PRIu64, s->clean_end);
    return err_set(ERR_CORRUPT, "%s/%s: damaged at offset %" PRIu64 ", log position %" PRIu64 ": %s%s. %s", s->wal->dir,
                   name, s->bad ? s->bad_offset : 0, s->position, s->bad ? s->reason : "records are missing", what,
                   advice);
}

static enum err judge(struct scan *s, struct segment_behind *behind)
{
    bool lossless = s->clean || s->same_boot;

    *behind = (struct segment_behind){0};
    if (s->bad)
        TRY(segment_dir_behind(&s->dir, s->bad_index, s->bad_offset + 1, s->position, behind));
    if (s->wal->options.accept_damage)
        return OK;
    if (s->clean && s->position < s->clean_end)
        return refuse(s, behind);
    if (behind->gave_up || (behind->frames > 0 && (lossless || behind->synced > s->position)))
        return refuse(s, behind);
    return OK;
}

/* ---- Cutting ---- */

static enum err file_bytes(struct vfs *vfs, const char *path, uint64_t *bytes)
{
    int handle;
    enum err e;

    TRY(vfs->open(vfs->context, path, VFS_READ, &handle));
    e = vfs->size(vfs->context, handle, bytes);
    vfs->close(vfs->context, handle);
    return e;
}

/* Out of the log's sight, but not deleted: somebody may want to look at it. */
static enum err set_aside(struct scan *s, size_t index, uint64_t *bytes)
{
    char name[SEGMENT_NAME_MAX], path[VFS_PATH_MAX], aside[VFS_PATH_MAX];
    uint64_t size;
    int n;

    segment_name(name, s->dir.generation, s->dir.first[index]);
    vfs_path(path, s->wal->dir, name);
    n = snprintf(aside, sizeof aside, "%s/%s.cut", s->wal->dir, name);
    check(n > 0 && (size_t)n < sizeof aside);
    TRY(file_bytes(s->wal->vfs, path, &size));
    *bytes += size;
    return s->wal->vfs->rename(s->wal->vfs->context, path, aside);
}

static enum err truncate_at(struct vfs *vfs, const char *path, uint64_t offset, uint64_t *bytes)
{
    uint64_t size;
    int handle;
    enum err e;

    TRY(vfs->open(vfs->context, path, VFS_WRITE, &handle));
    e = vfs->size(vfs->context, handle, &size);
    if (e == OK && size > offset) {
        *bytes += size - offset;
        e = vfs->truncate(vfs->context, handle, offset);
        if (e == OK)
            e = vfs->sync(vfs->context, handle);
    }
    vfs->close(vfs->context, handle);
    return e;
}

static enum err cut(struct scan *s, const struct segment_behind *behind, struct wal_found *found)
{
    char name[SEGMENT_NAME_MAX], path[VFS_PATH_MAX];

    segment_name(name, s->dir.generation, s->dir.first[s->bad_index]);
    vfs_path(path, s->wal->dir, name);
    for (size_t i = s->dir.count; i-- > s->bad_index + 1;) /* from behind: an interruption leaves no gap */
        TRY(set_aside(s, i, &found->torn_bytes));
    if (s->bad_offset < SEGMENT_HEADER_BYTES)
        TRY(set_aside(s, s->bad_index, &found->torn_bytes));
    else if (!s->wal->segments[s->bad_index].sealed)
        TRY(truncate_at(s->wal->vfs, path, s->bad_offset, &found->torn_bytes));
    TRY(s->wal->vfs->sync_dir(s->wal->vfs->context, s->wal->dir));
    found->torn_position = s->position;
    log_event(LOG_WARNING,
              "log_torn_tail_cut file=%s offset=%" PRIu64 " position=%" PRIu64 " bytes=%" PRIu64
              " whole_frames_dropped=%" PRIu64 " reason=\"%s\"",
              path, s->bad_offset, s->position, found->torn_bytes, behind->frames, s->reason);
    return OK;
}

/* ---- Taking over ---- */

/* Zeros behind the last frame (wal_room.c). */
static enum err cut_room(struct vfs *vfs, int handle, uint64_t end)
{
    uint64_t size;

    TRY(vfs->size(vfs->context, handle, &size));
    return size > end ? vfs->truncate(vfs->context, handle, end) : OK;
}

/* Makes every segment durable; the last one stays open as the current one. */
static enum err take_over(struct scan *s)
{
    struct wal *wal = s->wal;
    char name[SEGMENT_NAME_MAX], path[VFS_PATH_MAX];

    for (size_t i = 0; i < wal->segments_count; i++) {
        struct wal_segment *segment = &wal->segments[i];
        int handle;
        enum err e;

        if (segment->sealed)
            continue;
        segment_name(name, s->dir.generation, segment->first);
        vfs_path(path, wal->dir, name);
        TRY(wal->vfs->open(wal->vfs->context, path, VFS_WRITE, &handle));
        e = cut_room(wal->vfs, handle, segment->bytes);
        if (e == OK)
            e = wal->vfs->sync(wal->vfs->context, handle);
        if (e == OK && i + 1 == wal->segments_count) {
            segment->handle = handle;
            continue;
        }
        wal->vfs->close(wal->vfs->context, handle);
        TRY(e);
        segment->synced = true;
    }
    if (wal->segments_count == 0 || wal->segments[wal->segments_count - 1].sealed)
        TRY(wal_segment_begin(wal, s->position, history_number(wal->history.replid), s->db));
    if (wal->dir_dirty)
        TRY(wal->vfs->sync(wal->vfs->context, wal->segments[wal->segments_count - 1].handle));
    wal->dir_dirty = false;
    return wal->vfs->sync_dir(wal->vfs->context, wal->dir);
}

static void fresh_history(struct wal *wal, struct history *h, uint32_t generation, lsn_t first)
{
    struct rng rng;

    rng_seed(&rng, wal->options.seed);
    *h = (struct history){.generation = generation, .first = first};
    rng_hex(&rng, h->replid, HISTORY_ID_BYTES);
}

/* Segments wholly below the recorded beginning were being deleted when the node stopped. */
static enum err drop_deleted(struct scan *s)
{
    size_t n = 0;

    while (n + 1 < s->dir.count && s->dir.first[n + 1] <= s->wal->history.first)
        n++;
    for (size_t i = 0; i < n; i++) {
        char name[SEGMENT_NAME_MAX], path[VFS_PATH_MAX];

        segment_name(name, s->dir.generation, s->dir.first[i]);
        vfs_path(path, s->wal->dir, name);
        TRY(s->wal->vfs->unlink(s->wal->vfs->context, path));
    }
    s->dir.count -= n;
    memmove(s->dir.first, s->dir.first + n, s->dir.count * sizeof *s->dir.first);
    return OK;
}

/* Reads the history file and the list of segments; they must agree. *fresh: there is no log yet. */
static enum err directory_read(struct scan *s, bool *fresh)
{
    struct wal *wal = s->wal;
    enum err e = history_load(wal->vfs, wal->dir, &wal->history);
    bool known = e == OK;

    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    TRY(segment_dir_read(wal->vfs, wal->dir, known ? wal->history.generation : 0, true, &s->dir));
    *fresh = !known && s->dir.count == 0;
    if (*fresh) {
        fresh_history(wal, &wal->history, 1, 0);
        return OK;
    }
    if (!known) {
        log_event(LOG_WARNING, "log_history_missing dir=%s: a new history begins; replicas copy everything once",
                  wal->dir);
        fresh_history(wal, &wal->history, s->dir.generation, s->dir.first[0]);
    }
    TRY(drop_deleted(s));
    if (s->dir.count == 0 || s->dir.first[0] > wal->history.first)
        return err_set(ERR_CORRUPT, "%s: the log begins at position %" PRIu64 ", but no segment holds it. %s", wal->dir,
                       wal->history.first, advice);
    wal->history.first = s->dir.first[0];
    return OK;
}

static void history_reopen(struct scan *s, struct wal_found *found)
{
    struct history *h = &s->wal->history;
    char boot[VFS_BOOT_MAX];

    s->wal->vfs->boot(s->wal->vfs->context, boot);
    s->clean = h->clean;
    s->clean_end = h->clean_end;
    s->same_boot = boot[0] != '\0' && strcmp(boot, h->boot) == 0;
    found->lossless = s->clean || s->same_boot;
    memcpy(h->boot, boot, sizeof boot);
    h->clean = false;
}

static enum err begin_fresh(struct scan *s)
{
    struct wal *wal = s->wal;
    char parent[VFS_PATH_MAX];

    s->db = SEGMENT_DB_NONE;
    s->history = history_number(wal->history.replid);
    wal->vfs->boot(wal->vfs->context, wal->history.boot);
    vfs_path(parent, wal->dir, "..");
    TRY(wal->vfs->sync_dir(wal->vfs->context, parent));
    return take_over(s); /* the segment before the history: a history without a segment is damage */
}

static enum err scan_existing(struct scan *s, struct wal_found *found)
{
    struct segment_behind behind;

    history_reopen(s, found);
    TRY(walk(s));
    TRY(judge(s, &behind));
    if (s->bad)
        TRY(cut(s, &behind, found));
    return take_over(s);
}

static enum err scan_directory(struct scan *s, struct wal_found *found)
{
    struct wal *wal = s->wal;
    bool fresh;

    TRY(wal->vfs->make_dir(wal->vfs->context, wal->dir));
    TRY(directory_read(s, &fresh));
    found->lossless = fresh;
    if (fresh)
        TRY(begin_fresh(s));
    else
        TRY(scan_existing(s, found));
    return history_save(wal->vfs, wal->dir, &wal->history);
}

enum err wal_scan(struct wal *wal, struct wal_found *found)
{
    struct scan s = {.wal = wal};
    enum err e = scan_directory(&s, found);

    segment_dir_free(&s.dir);
    TRY(e);
    wal->position = s.position;
    wal->db = wal->written_db = s.db;
    wal->history_number = wal->written_history = history_number(wal->history.replid);
    atomic_store(&wal->tail, s.position);
    atomic_store(&wal->written, s.position);
    atomic_store(&wal->durable, s.position);
    return OK;
}

/* ---- Open and close ---- */

struct wal_options wal_options_default(void)
{
    return (struct wal_options){
        .segment_bytes = 16 << 20,
        .raw_bytes = 64 << 20,
        .seal_age_ms = 60000,
        .retain_bytes = UINT64_C(1) << 30,
        .space_reserve = 256 << 20,
        .fsync = WAL_FSYNC_EVERYSEC,
    };
}

static void locks_init(struct wal *wal)
{
    pthread_mutexattr_t adaptive;
    pthread_condattr_t monotonic;

    /* Held for about 100 ns: spinning a little beats sleeping. */
    pthread_mutexattr_init(&adaptive);
    pthread_mutexattr_settype(&adaptive, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&wal->append_lock, &adaptive);
    pthread_mutex_init(&wal->files_lock, &adaptive);
    pthread_mutexattr_destroy(&adaptive);
    pthread_mutex_init(&wal->write_lock, NULL);
    pthread_mutex_init(&wal->sync_lock, NULL);
    pthread_mutex_init(&wal->keep_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&wal->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static void wal_free(struct wal *wal)
{
    for (size_t i = 0; i < wal->segments_count; i++)
        if (wal->segments[i].handle >= 0)
            wal->vfs->close(wal->vfs->context, wal->segments[i].handle);
    free(wal->segments);
    wal_queue_free(&wal->pending);
    wal_queue_free(&wal->writing);
    pthread_cond_destroy(&wal->wake);
    pthread_mutex_destroy(&wal->append_lock);
    pthread_mutex_destroy(&wal->files_lock);
    pthread_mutex_destroy(&wal->write_lock);
    pthread_mutex_destroy(&wal->sync_lock);
    pthread_mutex_destroy(&wal->keep_lock);
    free(wal->dir);
    free(wal);
}

enum err wal_open(struct vfs *vfs, const char *dir, const struct wal_options *options, struct wal_found *found,
                  struct wal **out)
{
    struct wal *wal = aligned_alloc(64, (sizeof *wal + 63) / 64 * 64);
    struct wal_found here = {0};
    enum err e;

    check(wal != NULL);
    memset(wal, 0, sizeof *wal);
    wal->vfs = vfs;
    wal->dir = strdup(dir);
    check(wal->dir != NULL);
    wal->options = *options;
    if (wal->options.segment_bytes == 0)
        wal->options.segment_bytes = wal_options_default().segment_bytes;
    atomic_store(&wal->policy, (int)options->fsync);
    atomic_store(&wal->retain_bytes, options->retain_bytes);
    atomic_store(&wal->retain_ms, options->retain_ms);
    for (int i = 0; i < WAL_HOLDS_MAX; i++)
        wal->holds[i] = UINT64_MAX;
    locks_init(wal);
    e = wal_scan(wal, &here);
    if (e == OK) {
        wal_space_ask(wal);
        e = options->foreground ? OK : wal_threads_start(wal);
    }
    if (e != OK) {
        wal_free(wal);
        return e;
    }
    if (found != NULL)
        *found = here;
    *out = wal;
    return OK;
}

void wal_close(struct wal *wal)
{
    enum err e;

    if (wal == NULL)
        return;
    wal_threads_stop(wal);
    e = wal_sync_to(wal, wal_tail(wal));
    if (e == OK)
        e = wal_room_cut(wal);
    if (e == OK) {
        wal->history.clean = true;
        wal->history.clean_end = wal_tail(wal);
        e = history_save(wal->vfs, wal->dir, &wal->history);
    }
    if (e != OK)
        log_event(LOG_WARNING, "log_close_failed dir=%s error=%s %s", wal->dir, err_name(e), err_text());
    wal_free(wal);
}
