/*
 * lost_writes.c - frames of the log, written out as commands.
 *
 * (1) The file is written aside, synced, renamed, and the folder synced: a name with an end is a whole file.
 * (2) The number of commands is known at the end only, and stands in the name, so that sums need no reading of files.
 */
#include "persistence/lost_writes.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "persistence/vfs.h"
#include "persistence/wal.h"
#include "persistence/wal_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PREFIX "lost-writes-"
#define SUFFIX ".resp"
#define ASIDE "lost-writes.tmp"

enum { CHUNK_BYTES = 1 << 20, STAMP_BYTES = 16 /* 20261121T121314Z */, DB_NONE = -1 };

/* ---- Names ---- */

/* Whether it is one of our files; its number of commands. */
static bool name_parse(const char *name, uint64_t *commands)
{
    size_t size = strlen(name), end = size - strlen(SUFFIX), at = end;
    int64_t number = 0;

    if (size >= LOST_WRITES_NAME_MAX || size < strlen(PREFIX) + STAMP_BYTES + strlen(SUFFIX) ||
        strncmp(name, PREFIX, strlen(PREFIX)) != 0 || strcmp(name + end, SUFFIX) != 0)
        return false;
    while (at > 0 && name[at - 1] != '-')
        at--;
    if (!num_parse_i64(slice_of((const uint8_t *)name + at, end - at), &number) || number < 0)
        return false;
    *commands = (uint64_t)number;
    return true;
}

/* What the name of a file of these positions has between its time and its number. */
static void range_text(char out[96], const char *replid, lsn_t from, lsn_t to)
{
    snprintf(out, 96, "-%.8s-%" PRIu64 "-%" PRIu64 "-", replid, (uint64_t)from, (uint64_t)to);
}

struct listing {
    struct vfs *vfs;
    const char *dir;
    const char *range;               /* to be found; NULL */
    char found[LOST_WRITES_NAME_MAX], oldest[LOST_WRITES_NAME_MAX];
    struct lost_writes_sum sum;
    struct buf names;
};

static enum err file_bytes(struct vfs *vfs, const char *dir, const char *name, uint64_t *bytes)
{
    char path[VFS_PATH_MAX];
    int handle;
    enum err e;

    vfs_path(path, dir, name);
    TRY(vfs->open(vfs->context, path, VFS_READ, &handle));
    e = vfs->size(vfs->context, handle, bytes);
    vfs->close(vfs->context, handle);
    return e;
}

static void name_keep(void *context, const char *name)
{
    struct listing *l = context;
    uint64_t commands;

    if (name_parse(name, &commands))
        buf_append(&l->names, name, strlen(name) + 1);
}

static enum err list_one(struct listing *l, const char *name)
{
    uint64_t commands, bytes;

    (void)name_parse(name, &commands);
    TRY(file_bytes(l->vfs, l->dir, name, &bytes));
    l->sum.files++;
    l->sum.commands += commands;
    l->sum.bytes += bytes;
    if (strcmp(name, l->sum.last) > 0) /* the time comes first */
        snprintf(l->sum.last, sizeof l->sum.last, "%s", name);
    if (l->oldest[0] == '\0' || strcmp(name, l->oldest) < 0)
        snprintf(l->oldest, sizeof l->oldest, "%s", name);
    if (l->range != NULL && strncmp(name + strlen(PREFIX) + STAMP_BYTES, l->range, strlen(l->range)) == 0)
        snprintf(l->found, sizeof l->found, "%s", name);
    return OK;
}

static enum err list(struct listing *l)
{
    enum err e = l->vfs->list(l->vfs->context, l->dir, name_keep, l);

    for (size_t at = 0; at < l->names.size && e == OK; at += strlen((const char *)l->names.data + at) + 1)
        e = list_one(l, (const char *)l->names.data + at);
    buf_free(&l->names);
    return e;
}

enum err lost_writes_sum(struct vfs *vfs, const char *dir, struct lost_writes_sum *out)
{
    struct listing l = {.vfs = vfs, .dir = dir};

    TRY(list(&l));
    *out = l.sum;
    return OK;
}

enum err lost_writes_bound(struct vfs *vfs, const char *dir, uint64_t bytes_max)
{
    for (;;) {
        struct listing l = {.vfs = vfs, .dir = dir};
        char path[VFS_PATH_MAX];

        TRY(list(&l));
        if (l.sum.bytes <= bytes_max || l.sum.files < 2)
            return OK;
        log_event(LOG_WARNING, "lost_writes_removed file=%s/%s", dir, l.oldest);
        vfs_path(path, dir, l.oldest);
        TRY(vfs->unlink(vfs->context, path));
    }
}

/* ---- Frames as commands ---- */

struct output {
    struct vfs *vfs;
    int handle;
    struct buf chunk;
    uint64_t written, bytes_max, commands, of_databases;
    int db;
    bool cut;
};

static enum err output_flush(struct output *o)
{
    TRY(o->vfs->write_at(o->vfs->context, o->handle, buf_slice(&o->chunk), o->written));
    o->written += o->chunk.size;
    buf_clear(&o->chunk);
    return OK;
}

/* How many effects of the frame empty or exchange a database. */
static uint64_t frame_of_databases(const struct frame *f)
{
    uint64_t found = 0;

    for (uint32_t i = 0; i < f->effects; i++) {
        struct journal_effect e = frame_effect(f, i);

        found += journal_kind_of(&e) == JOURNAL_FLUSH || journal_kind_of(&e) == JOURNAL_SWAP;
    }
    return found;
}

/* How many commands of the frame change something, and the database of the first. */
static uint64_t frame_commands(const struct frame *f, int *db)
{
    uint64_t own = 0, local = 0;

    for (uint32_t i = 0; i < f->effects; i++) {
        struct journal_effect e = frame_effect(f, i);

        if (journal_kind_of(&e) == JOURNAL_MARK)
            continue;
        if (own + local == 0)
            *db = e.db;
        *(journal_is_local(&e) ? &local : &own) += 1;
    }
    return own > 0 ? own : local > 0; /* local ones are what one command of a primary came to */
}

static enum err frame_put(struct output *o, const struct frame *f)
{
    int db = DB_NONE;
    uint64_t commands = frame_commands(f, &db);
    char number[16];
    int n;

    if (commands == 0)
        return OK;
    if (o->written + o->chunk.size + f->text.size + 64 > o->bytes_max) {
        o->cut = true;
        return OK;
    }
    if (db != o->db) {
        n = snprintf(number, sizeof number, "%d", db);
        buf_append_format(&o->chunk, "*2\r\n$6\r\nSELECT\r\n$%d\r\n%s\r\n", n, number);
    }
    buf_append_slice(&o->chunk, f->text);
    o->db = frame_last_db(f);
    o->commands += commands;
    o->of_databases += frame_of_databases(f);
    return o->chunk.size >= CHUNK_BYTES ? output_flush(o) : OK;
}

static enum err frames_put(struct output *o, struct wal_reader *reader)
{
    struct frame f;
    enum err e = OK;

    while (!o->cut && (e = wal_reader_next(reader, &f)) == OK)
        TRY(frame_put(o, &f));
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    TRY(output_flush(o));
    return o->vfs->sync(o->vfs->context, o->handle);
}

static enum err write_aside(struct vfs *vfs, struct wal_reader *reader, const char *path, uint64_t bytes_max,
                            struct lost_writes *out)
{
    struct output o = {.vfs = vfs, .bytes_max = bytes_max, .db = DB_NONE};
    enum err e;

    TRY(vfs->open(vfs->context, path, VFS_CREATE, &o.handle));
    e = frames_put(&o, reader);
    vfs->close(vfs->context, o.handle);
    buf_free(&o.chunk);
    out->commands = o.commands;
    out->of_databases = o.of_databases;
    out->bytes = o.written;
    out->cut = o.cut;
    return e;
}

/* ---- Saving ---- */

static void stamp_text(char out[STAMP_BYTES + 1], msec_t now_ms)
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm t;

    gmtime_r(&seconds, &t);
    check(strftime(out, STAMP_BYTES + 1, "%Y%m%dT%H%M%SZ", &t) == STAMP_BYTES);
}

static enum err save(struct vfs *vfs, struct wal_reader *reader, const char *dir, const char *range, uint64_t bytes_max,
                     struct lost_writes *out)
{
    char aside[VFS_PATH_MAX], path[VFS_PATH_MAX], stamp[STAMP_BYTES + 1], text[512];
    enum err e;

    vfs_path(aside, dir, ASIDE);
    e = write_aside(vfs, reader, aside, bytes_max, out);
    if (e == OK && out->commands > 0) {
        stamp_text(stamp, vfs->now_ms(vfs->context));
        snprintf(out->name, sizeof out->name, PREFIX "%s%s%" PRIu64 SUFFIX, stamp, range, out->commands);
        vfs_path(path, dir, out->name);
        e = vfs->rename(vfs->context, aside, path);
        return e == OK ? vfs->sync_dir(vfs->context, dir) : e;
    }
    snprintf(text, sizeof text, "%s", e != OK ? err_text() : "");
    if (vfs->unlink(vfs->context, aside) != OK)
        err_clear();
    return e == OK ? OK : err_set(e, "saving lost writes: %s", text);
}

enum err lost_writes_save(struct vfs *vfs, struct wal *wal, const char *dir, lsn_t from, uint64_t bytes_max,
                          struct lost_writes *out)
{
    struct listing l = {.vfs = vfs, .dir = dir};
    struct lost_writes found = {0};
    struct wal_reader *reader;
    struct wal_figures w;
    struct history h;
    char range[96];
    int hold = wal_hold(wal, from);
    enum err e;

    wal_history(wal, &h);
    wal_figures(wal, &w);
    range_text(range, h.replid, from, w.tail);
    found.late = from < w.first;
    l.range = range;
    e = list(&l);
    if (e == OK && l.found[0] != '\0') {
        snprintf(found.name, sizeof found.name, "%s", l.found);
        (void)name_parse(found.name, &found.commands);
        e = file_bytes(vfs, dir, found.name, &found.bytes);
    } else if (e == OK && from < w.tail) {
        e = wal_write(wal);
        if (e == OK)
            e = wal_reader_open(wal, found.late ? w.first : from, &reader);
        if (e == OK) {
            e = save(vfs, reader, dir, range, bytes_max, &found);
            wal_reader_close(reader);
        }
    }
    if (hold >= 0)
        wal_hold_drop(wal, hold);
    if (e == OK)
        *out = found;
    return e;
}
