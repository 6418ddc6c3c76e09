/*
 * repl_receive.c - frames of a copy become files, and these the stage.
 *
 * (1) Every piece is checked before it is written, and comes at the very place where the last one ended.
 * (2) All files and their names are on stable storage before they are placed; their bytes are on their way there from the beginning.
 * (3) What is served changes only with set_stage_commit, by the caller; until then a crash leaves the old data.
 * (4) A copy that would leave the disk less than disk-free-min is not begun.
 * (5) A piece is noted (copy_note.h) when it has been written, never before. So a restart goes on behind the last piece of the
 *     note that is still right; the folder stays until the copy is the stage, or is given up.
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
#include "base/hash.h"
#include "base/log.h"
#include "persistence/atomic_file.h"
#include "persistence/vfs.h"
#include "server/conf/config.h"
#include "server/drive/copy_note.h"
#include "server/drive/repl_held.h"
#include "server/drive/repl_priv.h"
#include "server/drive/repl_recall.h"

#define NOTE "note"

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
    struct copy_progress at;
    uint64_t written_back;       /* of the file */
    int fd, note;                /* of file, of the note; -1 */
    uint64_t note_bytes;
    uint64_t total;
    /* Of this link */
    struct repl_wire *wire;
    bool described, whole, useless; /* the last: what there is of the copy */
    msec_t told_ms;
    /* Any thread */
    atomic_uint_fast64_t resumed;
    atomic_uint barren;
    atomic_bool refused;
};

/* ---- Beginning, forgetting ---- */

static void forget(struct receive *v)
{
    if (v->fd >= 0)
        close(v->fd);
    if (v->note >= 0)
        close(v->note);
    v->fd = v->note = -1;
    set_checkpoint_free(&v->checkpoint);
    buf_free(&v->manifest);
    free(v->file_bytes);
    v->file_bytes = NULL;
    v->id[0] = '\0';
    v->at = (struct copy_progress){0};
    v->written_back = v->total = v->note_bytes = 0;
}

static void reset(struct receive *v)
{
    forget(v);
    folder_remove(v->dir);
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
    v->fd = v->note = -1;
    vfs_path(v->dir, node_dir(r->node), "receive");
    return v;
}

void receive_close(struct receive *v)
{
    if (v == NULL)
        return;
    forget(v); /* the next start goes on with the files */
    free(v);
}

bool receive_place(const struct receive *v, struct copy_place *out)
{
    if (v->id[0] == '\0' || v->total == 0)
        return false;
    *out = (struct copy_place){.file = v->at.file, .offset = v->at.offset};
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

static enum err write_all(int fd, struct slice bytes, uint64_t at, const char *what)
{
    while (bytes.size > 0) {
        ssize_t n = pwrite(fd, bytes.data, bytes.size, (off_t)at);

        if (n < 0 && errno != EINTR)
            return err_set(errno == ENOSPC ? ERR_NO_SPACE : ERR_IO, "write of %s: %s", what, strerror(errno));
        if (n < 0)
            continue;
        bytes = slice_of(bytes.data + n, bytes.size - (size_t)n);
        at += (uint64_t)n;
    }
    return OK;
}

static enum err note_open(struct receive *v, int flags)
{
    char path[VFS_PATH_MAX];

    vfs_path(path, v->dir, NOTE);
    v->note = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);
    return v->note < 0 ? err_set(ERR_IO, "%s: %s", path, strerror(errno)) : OK;
}

static enum err note_add(struct receive *v, struct slice bytes)
{
    TRY(write_all(v->note, bytes, v->note_bytes, "the note of a copy"));
    v->note_bytes += bytes.size;
    return OK;
}

static void note_head(struct receive *v, struct buf *out)
{
    struct copy_note n = {.manifest = buf_slice(&v->manifest)};

    memcpy(n.id, v->id, sizeof n.id);
    vfs_posix()->boot(NULL, n.boot);
    copy_note_append(out, &n);
}

static enum err note_begin(struct receive *v)
{
    struct buf head = {0};
    enum err e;

    if (mkdir(v->dir, 0755) != 0)
        return err_set(ERR_IO, "%s: %s", v->dir, strerror(errno));
    note_head(v, &head);
    e = note_open(v, O_CREAT | O_TRUNC);
    if (e == OK)
        e = note_add(v, buf_slice(&head));
    buf_free(&head);
    return e;
}

/* What a manifest says. */
static enum err describe(struct receive *v, struct slice payload)
{
    size_t n = 0;

    TRY(copy_manifest_parse(payload, &v->checkpoint, &v->selected));
    v->total = set_checkpoint_bytes(&v->checkpoint);
    v->at.files = set_checkpoint_files(&v->checkpoint);
    v->file_bytes = calloc(v->at.files + 1, sizeof *v->file_bytes);
    check(v->file_bytes != NULL);
    for (size_t i = 0; i < v->checkpoint.count; i++)
        for (size_t k = 0; k < v->checkpoint.dbs[i].list.count; k++)
            v->file_bytes[n++] = v->checkpoint.dbs[i].list.files[k].bytes;
    v->at.file_bytes = v->file_bytes;
    buf_append_slice(&v->manifest, payload);
    return OK;
}

static enum err manifest(struct receive *v, struct slice payload, lsn_t lsn)
{
    bool goes_on = v->manifest.size > 0;
    enum err e = OK;

    v->described = true;
    if (goes_on && !slice_equal(payload, buf_slice(&v->manifest)))
        e = err_set(ERR_CORRUPT, "the copy's manifest has changed");
    else if (!goes_on)
        e = describe(v, payload);
    if (e == OK && v->checkpoint.lsn != lsn)
        e = err_set(ERR_CORRUPT, "the copy is of another position");
    if (e == OK)
        e = room_for(v, v->total - v->at.have);
    if (e == OK && !goes_on)
        e = note_begin(v);
    if (e == ERR_CORRUPT || !goes_on)
        v->useless = e != OK;
    return e;
}

static enum err file_begin(struct receive *v)
{
    char path[STORE_PATH_BYTES];

    store_files_path(path, v->dir, v->at.file);
    v->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return v->fd < 0 ? err_set(ERR_IO, "%s: %s", path, strerror(errno)) : OK;
}

/* The disk shall not have everything to write at the end. */
static void write_back(struct receive *v, uint64_t end)
{
    (void)sync_file_range(v->fd, (off_t)v->written_back, (off_t)(end - v->written_back), SYNC_FILE_RANGE_WRITE);
    v->written_back = end;
}

static void file_end(struct receive *v)
{
    (void)sync_file_range(v->fd, (off_t)v->written_back, 0, SYNC_FILE_RANGE_WRITE); /* 0: to its end */
    close(v->fd);
    v->fd = -1;
    v->written_back = 0;
}

static enum err note_piece(struct receive *v, const struct copy_frame *f)
{
    const struct copy_piece piece = {
        .file = f->file, .offset = f->offset, .bytes = (uint32_t)f->payload.size, .sum = hash_sum(f->payload)};
    struct buf row = {0};
    enum err e;

    copy_piece_append(&row, &piece);
    e = note_add(v, buf_slice(&row));
    buf_free(&row);
    return e;
}

static enum err chunk(struct receive *v, const struct copy_frame *f)
{
    if (!copy_progress_fits(&v->at, f->file, f->offset, f->payload.size))
        return err_set(ERR_CORRUPT, "the copy goes on in the wrong place: file %u at %llu", f->file,
                       (unsigned long long)f->offset);
    if (v->fd < 0)
        TRY(file_begin(v));
    TRY(write_all(v->fd, f->payload, v->at.offset, "a received file"));
    TRY(note_piece(v, f));
    if (v->at.offset + f->payload.size - v->written_back >= WRITE_BACK_BYTES)
        write_back(v, v->at.offset + f->payload.size);
    if (copy_progress_add(&v->at, f->payload.size))
        file_end(v);
    atomic_store(&v->barren, 0);
    atomic_store_explicit(&v->repl->copy_bytes, v->at.have, memory_order_relaxed);
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
        atomic_store(&v->repl->copy_bytes, v->at.have);
        atomic_store(&v->repl->copy_total, (int64_t)v->total);
        return OK;
    }
    if (v->at.file != v->at.files || f->offset != v->total)
        return err_set(ERR_CORRUPT, "the copy ends after %llu of %llu bytes", (unsigned long long)v->at.have,
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

/* ---- After a restart ---- */

static enum err recall_pieces(struct receive *v, struct slice pieces, bool compare)
{
    struct recall how = {.repl = v->repl, .dir = v->dir, .pieces = pieces, .compare = compare, .at = &v->at};
    struct buf note = {0};
    enum err e;

    note_head(v, &note);
    e = recall_run(&how, &note);
    if (e == OK)
        e = atomic_file_write(vfs_posix(), v->dir, NOTE, buf_slice(&note));
    v->note_bytes = note.size;
    v->written_back = v->at.offset;
    buf_free(&note);
    return e;
}

static enum err recall(struct receive *v, struct slice bytes)
{
    struct copy_note n;
    char boot[VFS_BOOT_MAX];
    bool same_boot;

    TRY(copy_note_parse(bytes, &n));
    vfs_posix()->boot(NULL, boot);
    same_boot = boot[0] != '\0' && strcmp(boot, n.boot) == 0;
    memcpy(v->id, n.id, sizeof v->id);
    TRY(describe(v, n.manifest));
    TRY(recall_pieces(v, n.pieces, !same_boot));
    TRY(note_open(v, 0));
    if (v->at.have == 0)
        return ERR_NOT_FOUND;
    log_event(LOG_NOTICE, "primary_copy_recalled id=%.8s file=%u offset=%llu bytes=%llu of=%llu compared=%d", v->id, v->at.file,
              (unsigned long long)v->at.offset, (unsigned long long)v->at.have, (unsigned long long)v->total, !same_boot);
    return OK;
}

void receive_recall(struct receive *v)
{
    struct buf bytes = {0};
    enum err e = atomic_file_read(vfs_posix(), v->dir, NOTE, COPY_NOTE_BYTES_MAX, &bytes);

    if (e == OK)
        e = recall(v, buf_slice(&bytes));
    buf_free(&bytes);
    if (e == ERR_CLOSED)
        forget(v);
    else if (e != OK)
        reset(v);
}

/* ---- The whole ---- */

static enum err sync_files(struct receive *v)
{
    struct vfs *vfs = vfs_posix();

    for (size_t i = 0; i < v->at.files; i++) {
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
    return v->at.files > 0 ? vfs->sync_dir(vfs->context, v->dir) : OK;
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
        log_event(LOG_NOTICE, "primary_copy_goes_on id=%.8s file=%u offset=%llu bytes=%llu of=%llu", id, v->at.file,
                  (unsigned long long)v->at.offset, (unsigned long long)v->at.have, (unsigned long long)v->total);
    }
    v->wire = w;
    v->described = v->whole = v->useless = false;
    v->told_ms = node_now(v->repl->node);
    atomic_fetch_add(&v->barren, 1);
    e = take_all(v, lsn);
    if (v->useless)
        reset(v);
    TRY(e);
    log_event(LOG_NOTICE, "primary_copy_received id=%.8s files=%zu bytes=%llu", id, v->at.files, (unsigned long long)v->total);
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
