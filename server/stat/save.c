/*
 * save.c - one RDB file at a time, on the caller's thread or on one of its own; checkpoints on the pool.
 *
 * The file is temp-NAME until it is whole and on the disk: whoever finds NAME finds a whole one.
 */
#include "server/stat/save.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/thread.h"
#include "engine/set/set.h"
#include "engine/set/view.h"
#include "persistence/rdb/rdb_save.h"
#include "persistence/vfs.h"
#include "persistence/wal.h"
#include "server/conf/config.h"
#include "server/node.h"
#include "server/run/pool.h"
#include "server/stat/memory.h"

#define REDIS_VERSION "7.2.4"

enum { SYNC_BYTES = 32 << 20 }; /* so that the last sync has little left to do */

struct save {
    struct node *node; /* Set once */
    struct pool_job job;
    atomic_bool stop;
    atomic_uint_fast64_t keys, keys_total;

    pthread_mutex_t lock; /* guards the rest; a leaf */
    bool running, background, checkpoint, ok;
    bool thread_made; /* to be joined */
    pthread_t thread;
    msec_t began_ms, last_ms, duration_ms; /* duration -1: none yet */
    uint64_t count, frames, pause_us;
};

struct save *save_new(struct node *n)
{
    struct save *s = calloc(1, sizeof *s);

    check(s != NULL);
    pthread_mutex_init(&s->lock, NULL);
    s->node = n;
    s->ok = true;
    s->last_ms = node_started_ms(n);
    s->duration_ms = -1;
    return s;
}

void save_free(struct save *s)
{
    if (s == NULL)
        return;
    atomic_store(&s->stop, true);
    if (s->thread_made)
        pthread_join(s->thread, NULL);
    check(!s->running && !s->checkpoint);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static uint64_t frames_now(struct node *n)
{
    struct wal_figures f;

    wal_figures(node_wal(n), &f);
    return f.frames;
}

/* ---- The file ---- */

struct file {
    int fd;
    uint64_t bytes, synced;
};

static enum err file_push(void *context, struct slice bytes)
{
    struct file *f = context;

    while (bytes.size > 0) {
        ssize_t n = write(f->fd, bytes.data, bytes.size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(errno == ENOSPC ? ERR_NO_SPACE : ERR_IO, "cannot write: %s", strerror(errno));
        bytes = slice_of(bytes.data + n, bytes.size - (size_t)n);
        f->bytes += (uint64_t)n;
    }
    if (f->bytes - f->synced >= SYNC_BYTES) {
        if (fdatasync(f->fd) != 0)
            return err_set(ERR_IO, "cannot sync: %s", strerror(errno));
        f->synced = f->bytes;
    }
    return OK;
}

static enum err sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return good ? OK : err_set(ERR_IO, "cannot sync folder %s: %s", dir, strerror(errno));
}

static bool on_progress(void *context, uint64_t keys)
{
    struct save *s = context;

    atomic_store_explicit(&s->keys, keys, memory_order_relaxed);
    return atomic_load_explicit(&s->stop, memory_order_relaxed);
}

static enum err write_view(struct save *s, struct set_view *view, int fd, struct rdb_save_figures *figures)
{
    struct config *config = node_config(s->node);
    struct file file = {.fd = fd};
    struct memory_figures memory;
    const struct rdb_save_options options = {
        .push = file_push, .context = &file, .compress = config_bool(config, "rdbcompression"),
        .no_checksum = !config_bool(config, "rdbchecksum"), .redis_version = REDIS_VERSION, .now_ms = node_now(s->node),
        .progress = on_progress, .progress_context = s};
    struct rdb_save_options o = options;

    memory_figures(s->node, &memory);
    o.used_memory = memory.allocated;
    TRY(rdb_save(view, &o, figures));
    return fsync(fd) == 0 ? OK : err_set(ERR_IO, "cannot sync: %s", strerror(errno));
}

static enum err write_file(struct save *s, struct set_view *view, struct rdb_save_figures *figures)
{
    struct buf text = {0};
    char path[VFS_PATH_MAX], temporary[VFS_PATH_MAX], name[VFS_PATH_MAX];
    const char *file = config_string(node_config(s->node), "dbfilename", &text);
    enum err e;
    int fd;

    vfs_path(path, node_dir(s->node), file);
    if (snprintf(name, sizeof name, "temp-%s", file) >= (int)sizeof name)
        return err_set(ERR_INVALID, "the file's name is too long");
    vfs_path(temporary, node_dir(s->node), name);
    buf_free(&text);
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_set(ERR_IO, "cannot open %s: %s", temporary, strerror(errno));
    e = write_view(s, view, fd, figures);
    if (close(fd) != 0 && e == OK)
        e = err_set(ERR_IO, "cannot close %s: %s", temporary, strerror(errno));
    if (e == OK && rename(temporary, path) != 0)
        e = err_set(ERR_IO, "cannot rename %s: %s", temporary, strerror(errno));
    if (e == OK)
        e = sync_dir(node_dir(s->node));
    else
        unlink(temporary);
    return e;
}

static enum err make_checkpoint(struct save *s)
{
    TRY(wal_sync_to(node_wal(s->node), wal_tail(node_wal(s->node))));
    return set_drain(node_set(s->node));
}

static void total_keys(struct save *s, struct set_view *view)
{
    uint64_t total = 0, keys;

    for (unsigned db = 0; db < set_view_databases(view); db++)
        if (set_view_size(view, db, &keys, NULL))
            total += keys;
    atomic_store(&s->keys_total, total);
}

static enum err work(struct save *s)
{
    struct rdb_save_figures figures = {0};
    struct set_view *view = NULL;
    uint64_t frames, pause_us = 0;
    enum err e = make_checkpoint(s);

    frames = frames_now(s->node);
    if (e == OK)
        e = set_view_open(node_set(s->node), &view);
    if (e == OK) {
        pause_us = set_view_pause_us(view);
        total_keys(s, view);
        e = write_file(s, view, &figures);
    }
    set_view_close(view);
    if (e != OK)
        log_event(LOG_WARNING, "save failed: error=%s text=\"%s\"", err_name(e), err_text());
    else
        log_event(LOG_NOTICE, "DB saved on disk: keys=%llu bytes=%llu pause_us=%llu", (unsigned long long)figures.keys,
                  (unsigned long long)figures.bytes, (unsigned long long)pause_us);
    pthread_mutex_lock(&s->lock);
    s->ok = e == OK;
    s->duration_ms = node_now(s->node) - s->began_ms;
    s->pause_us = pause_us;
    if (e == OK) {
        s->last_ms = node_now(s->node);
        s->count++;
        s->frames = frames;
    }
    s->running = s->background = false;
    pthread_mutex_unlock(&s->lock);
    return e;
}

/* ---- One at a time ---- */

/* Takes over the thread of the one before, which has nothing left to do, to be joined. */
static bool begin(struct save *s, bool background, pthread_t *old, bool *join)
{
    bool free_now;

    pthread_mutex_lock(&s->lock);
    free_now = !s->running;
    *join = free_now && s->thread_made;
    *old = s->thread;
    if (free_now) {
        s->running = true;
        s->background = background;
        s->thread_made = false;
        s->began_ms = node_now(s->node);
        atomic_store(&s->keys, 0);
        atomic_store(&s->keys_total, 0);
    }
    pthread_mutex_unlock(&s->lock);
    return free_now;
}

enum err save_now(struct save *s)
{
    pthread_t old;
    bool join;

    if (!begin(s, false, &old, &join))
        return ERR_AGAIN;
    if (join)
        pthread_join(old, NULL);
    return work(s);
}

static void *run(void *context)
{
    if (work(context) == OK)
        log_event(LOG_NOTICE, "Background saving terminated with success");
    return NULL;
}

enum err save_in_background(struct save *s)
{
    pthread_t old;
    bool join;

    if (!begin(s, true, &old, &join))
        return ERR_AGAIN;
    if (join)
        pthread_join(old, NULL);
    pthread_mutex_lock(&s->lock);
    check(thread_start(&s->thread, "save", run, s) == OK);
    s->thread_made = true;
    pthread_mutex_unlock(&s->lock);
    return OK;
}

static void run_checkpoint(struct pool_job *job, struct executor *x)
{
    struct save *s = (struct save *)((char *)job - offsetof(struct save, job));

    (void)x;
    if (make_checkpoint(s) != OK)
        log_event(LOG_WARNING, "checkpoint failed: text=\"%s\"", err_text());
    pthread_mutex_lock(&s->lock);
    s->checkpoint = false;
    pthread_mutex_unlock(&s->lock);
}

enum err save_checkpoint(struct save *s)
{
    bool busy;

    pthread_mutex_lock(&s->lock);
    busy = s->checkpoint;
    s->checkpoint = true;
    pthread_mutex_unlock(&s->lock);
    if (busy)
        return ERR_AGAIN;
    s->job = (struct pool_job){.run = run_checkpoint};
    pool_submit(node_pool(s->node), &s->job, POOL_SLOW);
    return OK;
}

void save_figures(struct save *s, struct save_figures *out)
{
    uint64_t frames = frames_now(s->node);

    pthread_mutex_lock(&s->lock);
    *out = (struct save_figures){
        .running = s->running,
        .background = s->background,
        .checkpoint = s->checkpoint,
        .ok = s->ok,
        .last_s = s->last_ms / 1000,
        .duration_s = s->duration_ms < 0 ? -1 : s->duration_ms / 1000,
        .running_s = s->running ? (node_now(s->node) - s->began_ms) / 1000 : -1,
        .count = s->count,
        .changes = frames > s->frames ? frames - s->frames : 0,
        .keys = atomic_load(&s->keys),
        .keys_total = atomic_load(&s->keys_total),
        .pause_us = s->pause_us,
    };
    pthread_mutex_unlock(&s->lock);
}
