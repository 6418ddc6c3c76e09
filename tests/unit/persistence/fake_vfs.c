/*
 * fake_vfs.c - the disk in memory.
 */
#include "fake_vfs.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAGE = 64, HANDLES = 1024 };

static uint64_t chance(struct fake *f)
{
    f->random = f->random * 6364136223846793005u + 1442695040888963407u;
    return f->random >> 33;
}

/* ---- Names ---- */

static struct fake_name *name_find(struct fake_names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->all[i].path, path) == 0)
            return &names->all[i];
    return NULL;
}

static void name_drop(struct fake_names *names, const char *path)
{
    struct fake_name *n = name_find(names, path);

    if (n != NULL)
        *n = names->all[--names->count];
}

static void name_put(struct fake_names *names, const char *path, struct fake_file *file)
{
    struct fake_name *n = name_find(names, path);

    if (n == NULL) {
        names->all = realloc(names->all, (names->count + 1) * sizeof *names->all);
        check(names->all != NULL);
        n = &names->all[names->count++];
        snprintf(n->path, sizeof n->path, "%s", path);
    }
    n->file = file;
}

static struct fake_file *file_new(struct fake *f)
{
    struct fake_file *file = calloc(1, sizeof *file);

    f->files = realloc(f->files, (f->files_count + 1) * sizeof *f->files);
    check(file != NULL && f->files != NULL);
    return f->files[f->files_count++] = file;
}

/* ---- Operations ---- */

static bool fails(struct fake *f, const char *call, enum err *e)
{
    f->changes++;
    if (f->fail_at == 0 || (f->sticky ? f->changes < f->fail_at : f->changes != f->fail_at))
        return false;
    *e = err_set(f->fail_with, "%s failed on purpose (call %llu)", call, (unsigned long long)f->changes);
    return true;
}

static int handle_new(struct fake *f, struct fake_file *file)
{
    for (int i = 0; i < HANDLES; i++)
        if (f->handles[i] == NULL) {
            f->handles[i] = file;
            return i;
        }
    check(false);
    return -1;
}

static enum err open_locked(struct fake *f, const char *path, enum vfs_mode mode, int *handle)
{
    struct fake_name *n = name_find(&f->now, path);
    struct fake_file *file;
    enum err e;

    if (mode == VFS_CREATE && fails(f, "open", &e))
        return e;
    if (n == NULL && mode != VFS_CREATE)
        return err_set(ERR_NOT_FOUND, "open %s: no such file", path);
    file = n != NULL ? n->file : file_new(f);
    if (n == NULL)
        name_put(&f->now, path, file);
    if (mode == VFS_CREATE)
        buf_clear(&file->now);
    *handle = handle_new(f, file);
    return OK;
}

static enum err fake_open(void *context, const char *path, enum vfs_mode mode, int *handle)
{
    struct fake *f = context;
    enum err e;

    pthread_mutex_lock(&f->lock);
    e = open_locked(f, path, mode, handle);
    pthread_mutex_unlock(&f->lock);
    return e;
}

static void fake_close(void *context, int handle)
{
    struct fake *f = context;

    pthread_mutex_lock(&f->lock);
    check(f->handles[handle] != NULL);
    f->handles[handle] = NULL;
    pthread_mutex_unlock(&f->lock);
}

static enum err fake_read_at(void *context, int handle, void *buffer, size_t size, uint64_t offset, size_t *got)
{
    struct fake *f = context;
    enum err e = OK;

    pthread_mutex_lock(&f->lock);
    check(f->handles[handle] != NULL);
    if (f->fail_reads) {
        e = err_set(ERR_IO, "read failed on purpose");
    } else {
        const struct buf *b = &f->handles[handle]->now;

        *got = offset >= b->size ? 0 : b->size - offset < size ? b->size - offset : size;
        if (*got > 0)
            memcpy(buffer, b->data + offset, *got);
    }
    pthread_mutex_unlock(&f->lock);
    return e;
}

static void put_at(struct buf *b, struct slice bytes, uint64_t offset)
{
    size_t end = offset + bytes.size;

    if (end > b->size) {
        uint8_t *at = buf_reserve(b, end - b->size);

        memset(at, 0, end - b->size);
        b->size = end;
    }
    if (bytes.size > 0)
        memcpy(b->data + offset, bytes.data, bytes.size);
}

static enum err fake_write_at(void *context, int handle, struct slice bytes, uint64_t offset)
{
    struct fake *f = context;
    enum err e = OK;

    pthread_mutex_lock(&f->lock);
    check(f->handles[handle] != NULL);
    f->writes++;
    if (fails(f, "write", &e))
        bytes.size = chance(f) % (bytes.size + 1);
    put_at(&f->handles[handle]->now, bytes, offset);
    pthread_mutex_unlock(&f->lock);
    return e;
}

static enum err fake_sync(void *context, int handle)
{
    struct fake *f = context;
    enum err e = OK;

    pthread_mutex_lock(&f->lock);
    check(f->handles[handle] != NULL);
    f->syncs++;
    if (!fails(f, "sync", &e)) {
        buf_clear(&f->handles[handle]->stable);
        buf_append_slice(&f->handles[handle]->stable, buf_slice(&f->handles[handle]->now));
    }
    pthread_mutex_unlock(&f->lock);
    return e;
}

static enum err fake_truncate(void *context, int handle, uint64_t size)
{
    struct fake *f = context;
    enum err e = OK;

    pthread_mutex_lock(&f->lock);
    if (!fails(f, "truncate", &e)) {
        check(size <= f->handles[handle]->now.size);
        f->handles[handle]->now.size = size;
    }
    pthread_mutex_unlock(&f->lock);
    return e;
}

static enum err fake_size(void *context, int handle, uint64_t *size)
{
    struct fake *f = context;

    pthread_mutex_lock(&f->lock);
    *size = f->handles[handle]->now.size;
    pthread_mutex_unlock(&f->lock);
    return OK;
}

static enum err fake_rename(void *context, const char *from, const char *to)
{
    struct fake *f = context;
    enum err e = OK;

    pthread_mutex_lock(&f->lock);
    if (!fails(f, "rename", &e)) {
        struct fake_name *n = name_find(&f->now, from);

        check(n != NULL);
        struct fake_file *file = n->file;

        name_drop(&f->now, from);
        name_put(&f->now, to, file);
    }
    pthread_mutex_unlock(&f->lock);
    return e;
}

static enum err fake_unlink(void *context, const char *path)
{
    struct fake *f = context;
    enum err e = OK;

    pthread_mutex_lock(&f->lock);
    if (!fails(f, "unlink", &e)) {
        if (name_find(&f->now, path) == NULL)
            e = err_set(ERR_NOT_FOUND, "unlink %s: no such file", path);
        name_drop(&f->now, path);
    }
    pthread_mutex_unlock(&f->lock);
    return e;
}

static enum err fake_make_dir(void *context, const char *path)
{
    (void)context;
    (void)path;
    return OK;
}

static bool is_in(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return strncmp(path, dir, n) == 0 && path[n] == '/' && strchr(path + n + 1, '/') == NULL;
}

static enum err fake_list(void *context, const char *dir, vfs_each *each, void *each_context)
{
    struct fake *f = context;

    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->now.count; i++)
        if (is_in(f->now.all[i].path, dir))
            each(each_context, f->now.all[i].path + strlen(dir) + 1);
    pthread_mutex_unlock(&f->lock);
    return OK;
}

static void names_copy(struct fake_names *to, const struct fake_names *from)
{
    to->count = 0;
    for (size_t i = 0; i < from->count; i++)
        name_put(to, from->all[i].path, from->all[i].file);
}

static enum err fake_sync_dir(void *context, const char *dir)
{
    struct fake *f = context;
    enum err e = OK;

    pthread_mutex_lock(&f->lock);
    if (!fails(f, "sync_dir", &e)) {
        (void)dir; /* there is one directory with files */
        names_copy(&f->stable, &f->now);
    }
    pthread_mutex_unlock(&f->lock);
    return e;
}

static enum err fake_free_space(void *context, const char *dir, uint64_t *bytes)
{
    struct fake *f = context;

    (void)dir;
    pthread_mutex_lock(&f->lock);
    *bytes = f->free_bytes;
    pthread_mutex_unlock(&f->lock);
    return OK;
}

static msec_t fake_now_ms(void *context)
{
    return ((struct fake *)context)->now_ms;
}

static uint64_t fake_monotonic_us(void *context)
{
    return (uint64_t)((struct fake *)context)->now_ms * 1000;
}

static void fake_boot(void *context, char out[VFS_BOOT_MAX])
{
    snprintf(out, VFS_BOOT_MAX, "boot-%u", ((struct fake *)context)->boot);
}

/* ---- The tests' side ---- */

struct fake *fake_new(uint64_t seed)
{
    struct fake *f = calloc(1, sizeof *f);

    check(f != NULL);
    f->vfs = (struct vfs){
        .context = f,
        .open = fake_open,
        .close = fake_close,
        .read_at = fake_read_at,
        .write_at = fake_write_at,
        .sync = fake_sync,
        .truncate = fake_truncate,
        .size = fake_size,
        .rename = fake_rename,
        .unlink = fake_unlink,
        .make_dir = fake_make_dir,
        .list = fake_list,
        .sync_dir = fake_sync_dir,
        .free_space = fake_free_space,
        .now_ms = fake_now_ms,
        .monotonic_us = fake_monotonic_us,
        .boot = fake_boot,
    };
    pthread_mutex_init(&f->lock, NULL);
    f->random = seed;
    f->fail_with = ERR_IO;
    f->free_bytes = UINT64_C(1) << 40;
    f->now_ms = 1700000000000;
    return f;
}

void fake_free(struct fake *f)
{
    for (size_t i = 0; i < f->files_count; i++) {
        buf_free(&f->files[i]->now);
        buf_free(&f->files[i]->stable);
        free(f->files[i]);
    }
    free(f->files);
    free(f->now.all);
    free(f->stable.all);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

struct fake *fake_clone(const struct fake *f)
{
    struct fake *g = fake_new(f->random);

    g->boot = f->boot;
    g->now_ms = f->now_ms;
    for (size_t i = 0; i < f->files_count; i++) {
        struct fake_file *file = file_new(g);

        buf_append_slice(&file->now, buf_slice(&f->files[i]->now));
        buf_append_slice(&file->stable, buf_slice(&f->files[i]->stable));
        for (size_t k = 0; k < f->now.count; k++)
            if (f->now.all[k].file == f->files[i])
                name_put(&g->now, f->now.all[k].path, file);
        for (size_t k = 0; k < f->stable.count; k++)
            if (f->stable.all[k].file == f->files[i])
                name_put(&g->stable, f->stable.all[k].path, file);
    }
    return g;
}

/* Some pages of the unsynced content reach the disk, in any order; the size is that of the last that did. */
static void tear(struct fake *f, struct fake_file *file)
{
    for (size_t at = 0; at < file->now.size; at += PAGE) {
        size_t n = file->now.size - at < PAGE ? file->now.size - at : PAGE;
        bool same = at + n <= file->stable.size && memcmp(file->now.data + at, file->stable.data + at, n) == 0;

        if (!same && chance(f) % 2 == 0)
            put_at(&file->stable, slice_of(file->now.data + at, n), at);
    }
}

/* Creations may survive without a sync of the directory. (Renames and unlinks: the old name does.) */
static void tear_names(struct fake *f)
{
    for (size_t i = 0; i < f->now.count; i++)
        if (name_find(&f->stable, f->now.all[i].path) == NULL && chance(f) % 2 == 0)
            name_put(&f->stable, f->now.all[i].path, f->now.all[i].file);
}

void fake_process_end(struct fake *f)
{
    memset(f->handles, 0, sizeof f->handles);
}

void fake_power_cut(struct fake *f, enum fake_cut how)
{
    if (how == FAKE_CUT_TEAR)
        tear_names(f);
    for (size_t i = 0; i < f->files_count; i++) {
        if (how == FAKE_CUT_TEAR)
            tear(f, f->files[i]);
        buf_clear(&f->files[i]->now);
        buf_append_slice(&f->files[i]->now, buf_slice(&f->files[i]->stable));
    }
    names_copy(&f->now, &f->stable);
    fake_process_end(f);
    f->boot++;
}

struct buf *fake_bytes(struct fake *f, const char *path)
{
    struct fake_name *n = name_find(&f->now, path);

    return n == NULL ? NULL : &n->file->now;
}

static bool ends_in(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);

    return n >= m && strcmp(text + n - m, suffix) == 0;
}

const char *fake_path(struct fake *f, const char *suffix, size_t index)
{
    const char *last = NULL;

    for (size_t round = 0; round <= index; round++) {
        const char *next = NULL;

        for (size_t i = 0; i < f->now.count; i++) {
            const char *p = f->now.all[i].path;

            if (ends_in(p, suffix) && (last == NULL || strcmp(p, last) > 0) && (next == NULL || strcmp(p, next) < 0))
                next = p;
        }
        if (next == NULL)
            return NULL;
        last = next;
    }
    return last;
}

size_t fake_count(struct fake *f, const char *suffix)
{
    size_t n = 0;

    while (fake_path(f, suffix, n) != NULL)
        n++;
    return n;
}
