/*
 * segment_dir.c - listing, choosing the generation, and the search behind a bad place.
 */
#include "persistence/segment_dir.h"

#include "base/check.h"
#include "base/log.h"
#include "persistence/vfs.h"

#include <inttypes.h>
#include <stdlib.h>

struct entry {
    uint32_t generation;
    lsn_t first;
};

struct listing {
    struct entry *entries;
    size_t count, capacity;
    char (*leftovers)[256];
    size_t leftovers_count;
};

static bool is_leftover(const char *name)
{
    size_t n = strlen(name);

    return n > 4 && n < 256 && strcmp(name + n - 4, ".tmp") == 0;
}

static void listing_add(void *context, const char *name)
{
    struct listing *l = context;
    struct entry e;

    if (is_leftover(name)) {
        l->leftovers = realloc(l->leftovers, (l->leftovers_count + 1) * sizeof l->leftovers[0]);
        check(l->leftovers != NULL);
        memcpy(l->leftovers[l->leftovers_count++], name, strlen(name) + 1);
    }
    if (!segment_name_parse(name, &e.generation, &e.first))
        return;
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 64;
        l->entries = realloc(l->entries, l->capacity * sizeof *l->entries);
        check(l->entries != NULL);
    }
    l->entries[l->count++] = e;
}

static int by_position(const void *a, const void *b)
{
    lsn_t x = *(const lsn_t *)a, y = *(const lsn_t *)b;

    return (x > y) - (x < y);
}

static enum err remove_file(struct vfs *vfs, const char *dir, const char *name)
{
    char path[VFS_PATH_MAX];

    vfs_path(path, dir, name);
    log_event(LOG_NOTICE, "log_leftover_removed file=%s", path);
    return vfs->unlink(vfs->context, path);
}

static enum err leftovers_remove(struct vfs *vfs, const char *dir, const struct listing *l, uint32_t generation)
{
    char name[SEGMENT_NAME_MAX];

    for (size_t i = 0; i < l->leftovers_count; i++)
        TRY(remove_file(vfs, dir, l->leftovers[i]));
    for (size_t i = 0; i < l->count; i++) {
        if (l->entries[i].generation == generation)
            continue;
        segment_name(name, l->entries[i].generation, l->entries[i].first);
        TRY(remove_file(vfs, dir, name));
    }
    return OK;
}

enum err segment_dir_read(struct vfs *vfs, const char *path, uint32_t generation, bool clean, struct segment_dir *out)
{
    struct segment_dir d = {.vfs = vfs, .path = path, .generation = generation};
    struct listing l = {0};
    enum err e = vfs->list(vfs->context, path, listing_add, &l);

    for (size_t i = 0; e == OK && generation == 0 && i < l.count; i++)
        if (l.entries[i].generation > d.generation)
            d.generation = l.entries[i].generation;
    if (e == OK && clean)
        e = leftovers_remove(vfs, path, &l, d.generation);
    if (e == OK && l.count > 0) {
        d.first = calloc(l.count, sizeof *d.first);
        check(d.first != NULL);
        for (size_t i = 0; i < l.count; i++)
            if (l.entries[i].generation == d.generation)
                d.first[d.count++] = l.entries[i].first;
        qsort(d.first, d.count, sizeof *d.first, by_position);
    }
    free(l.entries);
    free(l.leftovers);
    if (e == OK)
        *out = d;
    return e;
}

void segment_dir_free(struct segment_dir *d)
{
    free(d->first);
    d->first = NULL;
    d->count = 0;
}

enum err segment_dir_open(const struct segment_dir *d, size_t index, struct segment *out)
{
    char name[SEGMENT_NAME_MAX];

    segment_name(name, d->generation, d->first[index]);
    return segment_open(d->vfs, d->path, name, out);
}

static enum err behind_in(const struct segment_dir *d, size_t index, uint64_t offset, lsn_t position, bool later,
                          struct segment_behind *out)
{
    char name[SEGMENT_NAME_MAX];
    struct segment s;
    enum err e = segment_dir_open(d, index, &s);

    segment_name(name, d->generation, d->first[index]);
    if (e == ERR_CORRUPT)
        e = segment_open_headless(d->vfs, d->path, name, &s);
    TRY(e);
    if (s.sealed && later) {
        if (out->frames++ == 0) {
            out->offset = SEGMENT_SEALED_HEADER_BYTES;
            out->position = s.head.first;
        }
        if (s.sealed_end > out->synced)
            out->synced = s.sealed_end;
    } else {
        e = segment_search(&s, offset, position, out);
        if (e == ERR_CORRUPT) { /* a sealed file that does not decompress: what it held was durable */
            out->frames++;
            out->synced = s.sealed_end > out->synced ? s.sealed_end : out->synced;
            e = OK;
        }
    }
    segment_close(&s);
    return e;
}

enum err segment_dir_behind(const struct segment_dir *d, size_t index, uint64_t offset, lsn_t position,
                            struct segment_behind *out)
{
    *out = (struct segment_behind){0};
    for (size_t i = index; i < d->count; i++)
        TRY(behind_in(d, i, i == index ? offset : 0, position, i > index, out));
    return OK;
}
