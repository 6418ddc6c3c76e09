/*
 * files.c - keeping, listing, linking and importing the files of families.
 *
 * Hazards (RocksDB 7.8): an import opens every file as if it had no sequence number of its own, so files that an ingest
 * has written one into are refused (files_rocksdb_leave_seqno); the bounds of a file are read from its rows, so range
 * deletions beyond them would be lost (store_files.ranges).
 */
#include "engine/store/files.h"

#include "base/check.h"
#include "engine/store/files_rocksdb.h"
#include "engine/store/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void store_files_free(struct store_files *list)
{
    free(list->files);
    *list = (struct store_files){0};
}

void store_files_path(char out[STORE_PATH_BYTES], const char *dir, size_t number)
{
    snprintf(out, STORE_PATH_BYTES, "%s/%zu.sst", dir, number);
}

void store_files_keep(struct store *s)
{
    char *error = NULL;

    rocksdb_disable_file_deletions(s->db, &error);
    check(error == NULL);
}

enum err store_files_release(struct store *s)
{
    char *error = NULL;

    rocksdb_enable_file_deletions(s->db, 0, &error);
    return store_error(error, "delete files again");
}

/* ---- Listing ---- */

static void list_add(void *context, const struct files_rocksdb *file)
{
    struct store_files *list = context;
    struct store_file *out;

    list->files = realloc(list->files, (list->count + 1) * sizeof *list->files);
    check(list->files != NULL && strlen(file->name) < STORE_FILE_NAME_BYTES);
    out = &list->files[list->count++];
    *out = (struct store_file){.level = (unsigned)file->level,
                               .bytes = file->bytes,
                               .smallest_seqno = file->smallest_seqno,
                               .largest_seqno = file->largest_seqno};
    memcpy(out->name, file->name, strlen(file->name));
}

enum err store_files_list(struct store *s, struct family *f, struct store_files *out)
{
    struct store_files list = {0};
    enum err e = store_error(files_rocksdb_list(s->db, f->handle, list_add, &list, &list.ranges), "list files");

    if (e != OK) {
        store_files_free(&list);
        return e;
    }
    *out = list;
    return OK;
}

/* ---- Linking ---- */

static enum err copy_bytes(int from, int to, const char *path)
{
    for (;;) {
        ssize_t n = copy_file_range(from, NULL, to, NULL, 64 << 20, 0);

        if (n == 0)
            return OK;
        if (n < 0 && errno != EINTR)
            return err_set(errno == ENOSPC ? ERR_NO_SPACE : ERR_IO, "%s: %s", path, strerror(errno));
    }
}

static enum err copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    enum err e = in < 0 || out < 0 ? err_set(ERR_IO, "%s: %s", in < 0 ? from : to, strerror(errno)) : OK;

    if (e == OK)
        e = copy_bytes(in, out, to);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return e;
}

enum err store_files_link(struct store *s, const struct store_files *list, const char *dir, size_t first)
{
    char from[STORE_PATH_BYTES], to[STORE_PATH_BYTES];

    for (size_t i = 0; i < list->count; i++) {
        snprintf(from, sizeof from, "%s/%s", s->path, list->files[i].name);
        store_files_path(to, dir, first + i);
        if (link(from, to) == 0)
            continue;
        if (errno != EXDEV && errno != EPERM && errno != EMLINK)
            return err_set(ERR_IO, "link %s to %s: %s", from, to, strerror(errno));
        TRY(copy_file(from, to));
    }
    return OK;
}

/* ---- Importing ---- */

enum err store_files_import(struct store *s, const struct store_files_import *how, struct family **old)
{
    const struct store_files *list = how->list;
    struct files_rocksdb *files = calloc(list->count, sizeof *files);
    char(*names)[STORE_FILE_NAME_BYTES] = calloc(list->count, sizeof *names);
    rocksdb_column_family_handle_t *handle = NULL;
    char name[FAMILY_NAME_BYTES];
    enum err e;

    check(files != NULL && names != NULL && list->count > 0);
    for (size_t i = 0; i < list->count; i++) {
        snprintf(names[i], sizeof names[i], "%zu.sst", how->first + i);
        files[i] = (struct files_rocksdb){.name = names[i],
                                          .level = (int)list->files[i].level,
                                          .bytes = list->files[i].bytes,
                                          .smallest_seqno = list->files[i].smallest_seqno,
                                          .largest_seqno = list->files[i].largest_seqno};
    }
    snprintf(name, sizeof name, "u%u.%lu", how->uid, (unsigned long)how->born);
    e = store_error(files_rocksdb_import(s->db, s->options, name, how->dir, files, list->count, &handle), "import files");
    free(files);
    free(names);
    if (e == OK)
        *old = family_put(s, handle, how->uid, how->born);
    return e;
}
