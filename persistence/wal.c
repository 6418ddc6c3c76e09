/*
 * wal.c - the log's hot half: append, group write, group sync.
 *
 *   wal_append      pending buffer          (append_lock; memory only)            tail
 *   wal_write_to    pending -> file         (write_lock; one writer, all bytes)   written
 *   wal_sync_to     file -> stable storage  (sync_lock; one sync for all)         durable
 *
 * A frame enters the queue under the lock that also gives it its position, so bytes are in position order from the
 * beginning and a write or a sync covers a prefix: there are no holes to wait for. Its text is copied under that lock,
 * a large one before it or not at all (wal_queue.h).
 * A full segment is left at the next write; it stays on the list of unsynced ones until a sync has covered it, so that
 * no writer ever waits for a disk.
 */
#include "base/check.h"
#include "base/log.h"
#include "persistence/wal_priv.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SYNC_FILES_MAX = 32,              /* by one round of a sync */
    BUFFER_KEPT_MAX = 32 << 20,       /* a buffer that grew beyond this is given back after its write */
    SELECT_TEXT_MAX = 40,
};

static void default_fatal(void *context, enum err e, const char *text)
{
    (void)context;
    log_event(LOG_WARNING, "log_failed error=%s %s; the process ends, because what it would say could be untrue",
              err_name(e), text);
    abort();
}

enum err wal_fail(struct wal *wal, enum err e)
{
    (void)err_context(e, "the log in %s cannot be written", wal->dir);
    if (!atomic_exchange(&wal->failed, true)) {
        if (wal->options.fatal != NULL)
            wal->options.fatal(wal->options.fatal_context, e, err_text());
        else
            default_fatal(NULL, e, err_text());
    }
    return e;
}

static enum err refuse_failed(const struct wal *wal)
{
    if (!atomic_load_explicit(&wal->failed, memory_order_relaxed))
        return OK;
    return err_set(ERR_IO, "the log in %s has failed before", wal->dir);
}

/* ---- Append ---- */

/* Returns the bytes that count in positions. */
static uint64_t effects_check(const struct journal_effect *effects, size_t count, struct slice text)
{
    uint64_t sum = 0, local = 0;

    check(count > 0 && count < UINT32_MAX);
    check(text.size < FRAME_TEXT_MAX - SELECT_TEXT_MAX);
    for (size_t i = 0; i < count; i++) {
        check(effects[i].bytes > 0 && effects[i].spare == 0 && journal_kind_of(&effects[i]) <= JOURNAL_DONE);
        check(effects[i].slot < SLOTS || effects[i].slot == SLOT_NODE);
        sum += effects[i].bytes;
        local += journal_is_local(&effects[i]) ? effects[i].bytes : 0;
    }
    check(sum == text.size && local < sum);
    return sum - local;
}

/* Selected behind them: the database of the last one that is part of the stream. */
static uint16_t effects_db(const struct journal_effect *effects, size_t count)
{
    while (count > 1 && journal_is_local(&effects[count - 1]))
        count--;
    return effects[count - 1].db;
}

static size_t select_text(char out[SELECT_TEXT_MAX], unsigned db)
{
    char digits[8];
    int n = snprintf(digits, sizeof digits, "%u", db);

    return (size_t)snprintf(out, SELECT_TEXT_MAX, "*2\r\n$6\r\nSELECT\r\n$%d\r\n%s\r\n", n, digits);
}

/* A PING or GETACK by itself: it needs no database. */
static bool is_lone_mark(const struct journal_effect *effects, size_t count)
{
    return count == 1 && effects[0].kind == JOURNAL_MARK;
}

static uint32_t unsynced_bytes(const struct wal *wal, lsn_t start)
{
    uint64_t n = start - atomic_load_explicit(&wal->durable, memory_order_relaxed);

    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* Under append_lock. select: the SELECT effect's text, or empty. owner: of a text to be linked; NULL: it is copied. */
static void frame_add(struct wal *wal, const struct journal_effect *effects, size_t count, struct slice text,
                      struct buf *owner, uint64_t stream, struct slice select, msec_t now_ms)
{
    size_t all = count + (select.size > 0), apart = owner != NULL ? text.size : 0;
    uint8_t *frame = wal_queue_add(&wal->pending, frame_size(all, text.size + select.size) - apart);
    uint8_t *at = frame + FRAME_HEADER_BYTES;
    struct frame_head head = {.start = wal->position,
                              .history = wal->history_number,
                              .time_ms = now_ms,
                              .unsynced = unsynced_bytes(wal, wal->position)};

    if (select.size > 0) {
        struct journal_effect effect = {
            .bytes = (uint32_t)select.size, .slot = SLOT_NODE, .db = effects[0].db, .kind = JOURNAL_MARK};

        memcpy(at, &effect, sizeof effect);
        at += sizeof effect;
    }
    memcpy(at, effects, count * sizeof *effects);
    if (is_lone_mark(effects, count) && !wal->following) /* it takes the database of what is before it */
        memcpy(at + offsetof(struct journal_effect, db), &wal->db, sizeof wal->db);
    else
        wal->db = effects_db(effects, count);
    at += count * sizeof *effects;
    if (select.size > 0) {
        memcpy(at, select.data, select.size);
        at += select.size;
    }
    if (apart == 0)
        memcpy(at, text.data, text.size);
    frame_seal(frame, &head, (uint32_t)all, (uint32_t)(text.size + select.size), slice_of(text.data, apart));
    if (apart > 0)
        wal_queue_link(&wal->pending, text, owner);
    wal->position += stream + select.size;
    wal->frames++;
}

lsn_t wal_append_from(struct wal *wal, const struct journal_effect *effects, size_t count, struct slice text, struct buf *from)
{
    msec_t now_ms = wal->vfs->now_ms(wal->vfs->context);
    char select[SELECT_TEXT_MAX];
    uint64_t stream = effects_check(effects, count, text);
    size_t select_size = 0;
    struct buf copy = {0};
    lsn_t start;

    if (text.size < WAL_QUEUE_LARGE_BYTES) {
        from = NULL;
    } else if (from == NULL) {
        buf_append_slice(&copy, text);
        text = buf_slice(&copy);
        from = &copy;
    }
    pthread_mutex_lock(&wal->append_lock);
    if (effects[0].db != wal->db && !wal->following && !is_lone_mark(effects, count))
        select_size = select_text(select, effects[0].db);
    start = wal->position + select_size;
    frame_add(wal, effects, count, text, from, stream, slice_of(select, select_size), now_ms);
    atomic_store_explicit(&wal->tail, wal->position, memory_order_release);
    atomic_store_explicit(&wal->pending_bytes, wal->pending.size, memory_order_relaxed);
    pthread_mutex_unlock(&wal->append_lock);
    return start;
}

lsn_t wal_append(struct wal *wal, const struct journal_effect *effects, size_t count, struct slice text)
{
    return wal_append_from(wal, effects, count, text, NULL);
}

void wal_follow(struct wal *wal, bool following)
{
    pthread_mutex_lock(&wal->append_lock);
    if (wal->following && !following)
        wal->db = SEGMENT_DB_NONE;
    wal->following = following;
    pthread_mutex_unlock(&wal->append_lock);
}

bool wal_selected(struct wal *wal, unsigned *db)
{
    uint16_t selected;

    pthread_mutex_lock(&wal->append_lock);
    selected = wal->db;
    pthread_mutex_unlock(&wal->append_lock);
    if (selected == SEGMENT_DB_NONE)
        return false;
    *db = selected;
    return true;
}

void wal_select_again(struct wal *wal)
{
    pthread_mutex_lock(&wal->append_lock);
    wal->db = SEGMENT_DB_NONE;
    pthread_mutex_unlock(&wal->append_lock);
}

/* ---- Write ---- */

struct wal_segment *wal_segment_add(struct wal *wal, const struct wal_segment *segment)
{
    if (wal->segments_count == wal->segments_capacity) {
        size_t capacity = wal->segments_capacity ? wal->segments_capacity * 2 : 16;
        struct wal_segment *grown = realloc(wal->segments, capacity * sizeof *grown);

        check(grown != NULL);
        wal->segments = grown;
        wal->segments_capacity = capacity;
    }
    wal->segments[wal->segments_count] = *segment;
    return &wal->segments[wal->segments_count++];
}

struct wal_segment wal_current_segment(struct wal *wal)
{
    struct wal_segment current;

    pthread_mutex_lock(&wal->files_lock);
    current = wal->segments[wal->segments_count - 1];
    pthread_mutex_unlock(&wal->files_lock);
    return current;
}

enum err wal_segment_begin(struct wal *wal, lsn_t first, uint64_t history, uint16_t db)
{
    struct wal_segment segment = {
        .first = first, .end = first, .bytes = SEGMENT_HEADER_BYTES, .raw_bytes = SEGMENT_HEADER_BYTES};
    struct segment_head head = {.first = first, .history = history, .db = db};
    char name[SEGMENT_NAME_MAX], path[VFS_PATH_MAX];
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    enum err e;

    TRY(wal_room_cut(wal));
    pthread_mutex_lock(&wal->files_lock);
    segment_name(name, wal->history.generation, first);
    pthread_mutex_unlock(&wal->files_lock);
    head.time_ms = segment.time_ms = segment.begun_ms = wal->vfs->now_ms(wal->vfs->context);
    vfs_path(path, wal->dir, name);
    segment_head_write(bytes, &head);
    TRY(wal->vfs->open(wal->vfs->context, path, VFS_CREATE, &segment.handle));
    e = wal->vfs->write_at(wal->vfs->context, segment.handle, slice_of(bytes, sizeof bytes), 0);
    if (e != OK) {
        wal->vfs->close(wal->vfs->context, segment.handle);
        return err_context(e, "%s", path);
    }
    pthread_mutex_lock(&wal->files_lock);
    wal_segment_add(wal, &segment);
    wal->dir_dirty = true;
    wal->rotated = true;
    pthread_cond_broadcast(&wal->wake);
    pthread_mutex_unlock(&wal->files_lock);
    return OK;
}

static void space_use(struct wal *wal, uint64_t bytes)
{
    if (atomic_fetch_sub(&wal->space_left, (int64_t)bytes) < (int64_t)bytes)
        atomic_store(&wal->space_low, true);
}

/* Puts wal->writing, which ends at `end`, behind the current segment, or into a new one if that is full. */
static enum err segment_put(struct wal *wal, lsn_t end)
{
    struct wal_segment current = wal_current_segment(wal), *last;

    if (current.bytes >= wal->options.segment_bytes && current.end > current.first) {
        TRY(wal_segment_begin(wal, current.end, wal->written_history, wal->written_db));
        current = wal_current_segment(wal);
    }
    TRY(wal_queue_write(&wal->writing, wal->vfs, current.handle, current.bytes));
    pthread_mutex_lock(&wal->files_lock);
    last = &wal->segments[wal->segments_count - 1];
    last->bytes += wal->writing.size;
    last->raw_bytes = last->bytes;
    last->end = end;
    last->time_ms = wal->vfs->now_ms(wal->vfs->context);
    atomic_store_explicit(&wal->written, end, memory_order_release); /* here: a sync that sees `end` must not pass it */
    pthread_mutex_unlock(&wal->files_lock);
    return OK;
}

/* Under write_lock. */
static enum err pending_write(struct wal *wal)
{
    uint64_t history, begun_us = wal->vfs->monotonic_us(wal->vfs->context);
    wal_written_hook *hook;
    struct wal_queue swap;
    uint16_t db;
    lsn_t end;
    enum err e;

    TRY(refuse_failed(wal));
    pthread_mutex_lock(&wal->append_lock);
    swap = wal->pending;
    wal->pending = wal->writing;
    wal->writing = swap;
    end = wal->position;
    db = wal->db;
    history = wal->history_number;
    atomic_store_explicit(&wal->pending_bytes, 0, memory_order_relaxed);
    pthread_mutex_unlock(&wal->append_lock);
    if (wal->writing.size == 0)
        return OK;
    e = segment_put(wal, end);
    if (e != OK)
        return wal_fail(wal, e);
    wal->written_db = db;
    wal->written_history = history;
    space_use(wal, wal->writing.size);
    atomic_fetch_add(&wal->writes, 1);
    atomic_fetch_add(&wal->write_bytes, wal->writing.size);
    atomic_fetch_add(&wal->write_us, wal->vfs->monotonic_us(wal->vfs->context) - begun_us);
    hook = atomic_load_explicit(&wal->written_hook, memory_order_acquire);
    if (hook != NULL)
        hook(wal->written_context);
    wal_queue_clear(&wal->writing, BUFFER_KEPT_MAX);
    return OK;
}

enum err wal_write_to(struct wal *wal, lsn_t lsn)
{
    enum err e = OK;

    if (wal_written(wal) >= lsn)
        return OK;
    if (lsn > wal_tail(wal)) /* a position of the log before wal_reset */
        return OK;
    pthread_mutex_lock(&wal->write_lock);
    if (wal_written(wal) < lsn)
        e = pending_write(wal);
    pthread_mutex_unlock(&wal->write_lock);
    return e;
}

enum err wal_write(struct wal *wal)
{
    return wal_write_to(wal, wal_tail(wal));
}

/* ---- Sync ---- */

struct sync_round {
    lsn_t target;
    bool dir;
    size_t count;
    struct {
        lsn_t first;
        int handle;
        bool complete; /* was not the current one: what is synced now is all of it */
    } files[SYNC_FILES_MAX];
};

static void round_begin(struct wal *wal, struct sync_round *round)
{
    round->count = 0;
    pthread_mutex_lock(&wal->files_lock);
    round->dir = wal->dir_dirty;
    wal->dir_dirty = false;
    for (size_t i = 0; i < wal->segments_count && round->count < SYNC_FILES_MAX; i++) {
        const struct wal_segment *s = &wal->segments[i];

        if (s->synced)
            continue;
        round->files[round->count].first = s->first;
        round->files[round->count].handle = s->handle;
        round->files[round->count].complete = i + 1 < wal->segments_count;
        round->count++;
        round->target = s->end;
    }
    pthread_mutex_unlock(&wal->files_lock);
}

static enum err round_run(struct wal *wal, const struct sync_round *round)
{
    for (size_t i = 0; i < round->count; i++)
        TRY(wal->vfs->sync(wal->vfs->context, round->files[i].handle));
    return round->dir ? wal->vfs->sync_dir(wal->vfs->context, wal->dir) : OK;
}

static void round_end(struct wal *wal, const struct sync_round *round)
{
    pthread_mutex_lock(&wal->files_lock);
    for (size_t i = 0, k = 0; i < round->count && k < wal->segments_count; k++) {
        struct wal_segment *s = &wal->segments[k];

        if (s->first != round->files[i].first)
            continue;
        if (round->files[i].complete) {
            s->synced = true;
            wal->vfs->close(wal->vfs->context, s->handle);
            s->handle = -1;
        }
        i++;
    }
    pthread_mutex_unlock(&wal->files_lock);
}

/* Under sync_lock. */
static enum err sync_once(struct wal *wal)
{
    uint64_t begun_us = wal->vfs->monotonic_us(wal->vfs->context), us;
    struct sync_round round;
    enum err e;

    TRY(refuse_failed(wal));
    round_begin(wal, &round);
    e = round_run(wal, &round);
    if (e != OK)
        return wal_fail(wal, e);
    round_end(wal, &round);
    us = wal->vfs->monotonic_us(wal->vfs->context) - begun_us;
    atomic_fetch_add(&wal->syncs, 1);
    atomic_fetch_add(&wal->sync_us, us);
    if (us > atomic_load(&wal->sync_us_max))
        atomic_store(&wal->sync_us_max, us);
    atomic_store_explicit(&wal->durable, round.target, memory_order_release);
    return OK;
}

enum err wal_sync_to(struct wal *wal, lsn_t lsn)
{
    enum err e = OK;

    if (wal_durable(wal) >= lsn)
        return OK;
    TRY(wal_write_to(wal, lsn));
    pthread_mutex_lock(&wal->sync_lock);
    while (e == OK && wal_durable(wal) < lsn && lsn <= wal_tail(wal)) /* beyond: of the log before wal_reset */
        e = sync_once(wal);
    pthread_mutex_unlock(&wal->sync_lock);
    return e;
}

/* ---- Small change ---- */

lsn_t wal_tail(const struct wal *wal)
{
    return atomic_load_explicit(&wal->tail, memory_order_acquire);
}

void wal_on_written(struct wal *wal, wal_written_hook *hook, void *context)
{
    pthread_mutex_lock(&wal->write_lock); /* hook and context change together; afterwards the old hook does not run any more */
    wal->written_context = context;
    atomic_store_explicit(&wal->written_hook, hook, memory_order_release);
    pthread_mutex_unlock(&wal->write_lock);
}

lsn_t wal_written(const struct wal *wal)
{
    return atomic_load_explicit(&wal->written, memory_order_acquire);
}

lsn_t wal_durable(const struct wal *wal)
{
    return atomic_load_explicit(&wal->durable, memory_order_acquire);
}

uint64_t wal_pending_bytes(const struct wal *wal)
{
    return atomic_load_explicit(&wal->pending_bytes, memory_order_relaxed);
}

bool wal_space_low(const struct wal *wal)
{
    return atomic_load_explicit(&wal->space_low, memory_order_relaxed);
}

enum wal_fsync wal_fsync_policy(const struct wal *wal)
{
    return (enum wal_fsync)atomic_load_explicit(&wal->policy, memory_order_relaxed);
}

void wal_fsync_policy_set(struct wal *wal, enum wal_fsync policy)
{
    atomic_store(&wal->policy, (int)policy);
}

static lsn_t journal_append(void *context, const struct journal_effect *effects, size_t count, struct slice text, struct buf *from)
{
    return wal_append_from(context, effects, count, text, from);
}

static lsn_t journal_tail(void *context)
{
    return wal_tail(context);
}

static enum err journal_sync(void *context, lsn_t lsn)
{
    return wal_sync_to(context, lsn);
}

static void journal_room(void *context, uint64_t bytes)
{
    wal_room(context, bytes);
}

static void journal_trim(void *context, lsn_t floor)
{
    wal_trim(context, floor);
}

struct journal wal_journal(struct wal *wal)
{
    return (struct journal){wal, journal_append, journal_tail, journal_sync, journal_trim, journal_room};
}
