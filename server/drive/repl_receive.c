/*
 * repl_receive.c - frames of a copy become files, and these the stage.
 *
 * (1) Every piece is checked before it is written, and comes at the very place where the last one ended.
 * (2) All files and their names are on stable storage before they are placed; their bytes are on their way there from the beginning.
 * (3) What is served changes only with set_stage_commit, by the caller; until then a crash leaves the old data.
 * (4) A copy that would leave the disk less than disk-free-min is not begun.
 */
#include "server/drive/repl_receive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "persistence/vfs.h"
#include "server/conf/config.h"
#include "server/drive/repl_held.h"
#include "server/drive/repl_priv.h"

enum { TOLD_MS = 1000, WRITE_BACK_BYTES = 8 << 20 };

struct receive {
    struct repl *repl;
    char dir[VFS_PATH_MAX];
    /* The copy under way; id "": none */
    char id[COPY_ID_BYTES + 1];
    struct buf manifest;         /* as it came */
    struct set_checkpoint checkpoint;
    int selected;
    uint64_t *file_bytes;
    size_t files;
    uint32_t file;               /* the next byte's */
    uint64_t offset, written_back;
    int fd;                      /* of file; -1 */
    uint64_t have, total;
    /* Of this link */
    struct repl_wire *wire;
    bool described, whole;
    msec_t told_ms;
    /* Any thread */
    atomic_uint_fast64_t resumed;
    atomic_uint barren;
    atomic_bool refused;
};

/* ---- Beginning, forgetting ---- */

static void reset(struct receive *v)
{
    if (v->fd >= 0)
        close(v->fd);
    v->fd = -1;
    folder_remove(v->dir);
    set_checkpoint_free(&v->checkpoint);
    buf_free(&v->manifest);
    free(v->file_bytes);
    v->file_bytes = NULL;
    v->id[0] = '\0';
    v->files = v->file = 0;
    v->offset = v->written_back = v->have = v->total = 0;
}

void receive_discard(struct receive *v)
{
    reset(v);
}

struct receive *receive_open(struct repl *r)
{
    struct receive *v = calloc(1, sizeof *v);

    check(v != NULL);
    v->repl = r;
    v->fd = -1;
    vfs_path(v->dir, node_dir(r->node), "receive");
    folder_remove(v->dir);
    return v;
}

void receive_close(struct receive *v)
{
    if (v == NULL)
        return;
    reset(v);
    free(v);
}

bool receive_place(const struct receive *v, struct copy_place *out)
{
    if (v->id[0] == '\0' || v->total == 0)
        return false;
    *out = (struct copy_place){.file = v->file, .offset = v->offset};
    memcpy(out->id, v->id, sizeof out->id);
    return true;
}

bool receive_wanted(const struct receive *v)
{
    return !atomic_load(&v->refused);
}

void receive_forget_refusal(struct receive *v)
{
    atomic_store(&v->refused, false);
    atomic_store(&v->barren, 0);
}

uint64_t receive_resumed(const struct receive *v)
{
    return atomic_load(&v->resumed);
}

unsigned receive_barren(const struct receive *v)
{
    return atomic_load(&v->barren);
}

/* ---- Frames ---- */

static enum err room_for(struct receive *v, uint64_t total)
{
    struct vfs *vfs = vfs_posix();
    int64_t least = config_int(node_config(v->repl->node), "disk-free-min");
    uint64_t bytes;

    TRY(vfs->free_space(vfs->context, node_dir(v->repl->node), &bytes));
    if (bytes < total + (uint64_t)least)
        return err_set(ERR_NO_SPACE, "the copy has %llu bytes, the disk has %llu left", (unsigned long long)total,
                       (unsigned long long)bytes);
    return OK;
}

static enum err manifest(struct receive *v, struct slice payload, lsn_t lsn)
{
    size_t n = 0;

    v->described = true;
    if (v->manifest.size > 0) { /* it goes on */
        if (!slice_equal(payload, buf_slice(&v->manifest)))
            return err_set(ERR_CORRUPT, "the copy's manifest has changed");
        return OK;
    }
    TRY(copy_manifest_parse(payload, &v->checkpoint, &v->selected));
    if (v->checkpoint.lsn != lsn)
        return err_set(ERR_CORRUPT, "the copy is of another position");
    v->total = set_checkpoint_bytes(&v->checkpoint);
    TRY(room_for(v, v->total));
    v->files = set_checkpoint_files(&v->checkpoint);
    v->file_bytes = calloc(v->files + 1, sizeof *v->file_bytes);
    check(v->file_bytes != NULL);
    for (size_t i = 0; i < v->checkpoint.count; i++)
        for (size_t k = 0; k < v->checkpoint.dbs[i].list.count; k++)
            v->file_bytes[n++] = v->checkpoint.dbs[i].list.files[k].bytes;
    if (mkdir(v->dir, 0755) != 0)
        return err_set(ERR_IO, "%s: %s", v->dir, strerror(errno));
    buf_append_slice(&v->manifest, payload);
    return OK;
}

static enum err file_begin(struct receive *v)
{
    char path[STORE_PATH_BYTES];

    store_files_path(path, v->dir, v->file);
    v->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return v->fd < 0 ? err_set(ERR_IO, "%s: %s", path, strerror(errno)) : OK;
}

/* The disk shall not have everything to write at the end. */
static void write_back(struct receive *v)
{
    (void)sync_file_range(v->fd, (off_t)v->written_back, (off_t)(v->offset - v->written_back), SYNC_FILE_RANGE_WRITE);
    v->written_back = v->offset;
}

static void file_end(struct receive *v)
{
    write_back(v);
    close(v->fd);
    v->fd = -1;
    v->file++;
    v->offset = v->written_back = 0;
}

static enum err chunk(struct receive *v, const struct copy_frame *f)
{
    struct slice rest = f->payload;

    if (f->file != v->file || f->offset != v->offset || v->file >= v->files ||
        f->payload.size > v->file_bytes[v->file] - v->offset)
        return err_set(ERR_CORRUPT, "the copy goes on in the wrong place: file %u at %llu", f->file,
                       (unsigned long long)f->offset);
    if (v->fd < 0)
        TRY(file_begin(v));
    while (rest.size > 0) {
        ssize_t n = pwrite(v->fd, rest.data, rest.size, (off_t)v->offset);

        if (n < 0 && errno != EINTR)
            return err_set(errno == ENOSPC ? ERR_NO_SPACE : ERR_IO, "write of a received file: %s", strerror(errno));
        if (n < 0)
            continue;
        rest = slice_of(rest.data + n, rest.size - (size_t)n);
        v->offset += (uint64_t)n;
        v->have += (uint64_t)n;
    }
    atomic_store(&v->barren, 0);
    atomic_store_explicit(&v->repl->copy_bytes, v->have, memory_order_relaxed);
    if (v->offset == v->file_bytes[v->file])
        file_end(v);
    else if (v->offset - v->written_back >= WRITE_BACK_BYTES)
        write_back(v);
    return OK;
}

static enum err take(struct receive *v, const struct copy_frame *f, lsn_t lsn)
{
    if (v->described == (f->kind == COPY_MANIFEST))
        return err_set(ERR_CORRUPT, "the copy's frames have a wrong order");
    if (f->kind == COPY_CHUNK)
        return chunk(v, f);
    if (f->kind == COPY_MANIFEST) {
        TRY(manifest(v, f->payload, lsn));
        atomic_store(&v->repl->copy_bytes, v->have);
        atomic_store(&v->repl->copy_total, (int64_t)v->total);
        return OK;
    }
    if (v->file != v->files || f->offset != v->total)
        return err_set(ERR_CORRUPT, "the copy ends after %llu of %llu bytes", (unsigned long long)v->have,
                       (unsigned long long)v->total);
    v->whole = true;
    atomic_store(&v->barren, 0);
    return OK;
}

/* The primary hears a newline every second. */
static enum err keep_alive(struct receive *v)
{
    msec_t now = node_now(v->repl->node);

    if (now - v->told_ms < TOLD_MS)
        return OK;
    v->told_ms = now;
    return repl_wire_send(v->wire, SLICE_LITERAL("\n"));
}

static enum err take_all(struct receive *v, lsn_t lsn)
{
    struct repl_wire *w = v->wire;

    while (!v->whole) {
        struct slice bytes = slice_of(w->in.data + w->in_at, w->in.size - w->in_at);
        struct copy_frame f;
        size_t used;
        enum err e = copy_frame_parse(bytes, &f, &used);

        if (e == OK) {
            TRY(take(v, &f, lsn));
            w->in_at += used;
        } else if (e == ERR_AGAIN) {
            TRY(keep_alive(v));
            TRY(repl_wire_fill(w));
        } else {
            return e;
        }
    }
    return OK;
}

/* ---- The whole ---- */

static enum err sync_files(struct receive *v)
{
    struct vfs *vfs = vfs_posix();

    for (size_t i = 0; i < v->files; i++) {
        char path[STORE_PATH_BYTES];
        enum err e;
        int file;

        store_files_path(path, v->dir, i);
        TRY(vfs->open(vfs->context, path, VFS_WRITE, &file));
        e = vfs->sync(vfs->context, file);
        vfs->close(vfs->context, file);
        TRY(e);
        if (keep_alive(v) == ERR_CLOSED) /* a link that broke is not needed any more: the stream goes on with the next */
            return ERR_CLOSED;
    }
    return v->files > 0 ? vfs->sync_dir(vfs->context, v->dir) : OK;
}

static enum err place(struct receive *v)
{
    enum err e;

    TRY(sync_files(v));
    e = set_checkpoint_place(node_set(v->repl->node), &v->checkpoint, v->dir);
    if (e == OK)
        return OK;
    if (e != ERR_NO_SPACE)
        atomic_store(&v->refused, true);
    return err_context(e, "the files of the copy are of no use here");
}

enum err receive_run(struct receive *v, struct repl_wire *w, const char *id, lsn_t lsn, int *selected)
{
    enum err e;

    if (strcmp(v->id, id) != 0 || v->manifest.size == 0) {
        reset(v);
        memcpy(v->id, id, COPY_ID_BYTES + 1);
    } else {
        atomic_fetch_add(&v->resumed, 1);
        log_event(LOG_NOTICE, "primary_copy_goes_on id=%.8s file=%u offset=%llu bytes=%llu of=%llu", id, v->file,
                  (unsigned long long)v->offset, (unsigned long long)v->have, (unsigned long long)v->total);
    }
    v->wire = w;
    v->described = v->whole = false;
    v->told_ms = node_now(v->repl->node);
    atomic_fetch_add(&v->barren, 1);
    e = take_all(v, lsn);
    if (e != OK && v->described && v->manifest.size == 0)
        reset(v);
    TRY(e);
    log_event(LOG_NOTICE, "primary_copy_received id=%.8s files=%zu bytes=%llu", id, v->files, (unsigned long long)v->total);
    *selected = v->selected;
    e = place(v);
    if (e != OK) {
        char text[512];

        snprintf(text, sizeof text, "%s", err_text());
        reset(v);
        return err_set(e, "%s", text);
    }
    reset(v);
    return OK;
}
