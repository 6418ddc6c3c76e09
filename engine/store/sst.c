/*
 * sst.c - sorted files written outside the memtable, and their ingest.
 *
 * Hazard: an ingested file that overlaps a memtable makes RocksDB flush that first, blocking; with the option off the
 * ingest is refused instead, and the caller flushes (gated by its log) or falls back to a batch.
 */
#include "engine/store/store_priv.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct sst {
    rocksdb_sstfilewriter_t *writer;
    char *path;
    bool finished;
};

static enum err open_as(struct store *s, const rocksdb_options_t *options, const char *path, struct sst **out)
{
    struct sst *w = calloc(1, sizeof *w);
    char *error = NULL;
    enum err e;

    if (w == NULL)
        return ERR_NO_MEMORY;
    w->path = strdup(path);
    w->writer = rocksdb_sstfilewriter_create(s->env_options, options);
    rocksdb_sstfilewriter_open(w->writer, path, &error);
    if ((e = store_error(error, "create a sorted file")) != OK) {
        sst_free(w);
        return e;
    }
    *out = w;
    return OK;
}

enum err sst_open(struct store *s, const char *path, struct sst **out)
{
    return open_as(s, s->sst_options, path, out);
}

enum err sst_open_lasting(struct store *s, const char *path, struct sst **out)
{
    return open_as(s, s->options, path, out);
}

enum err sst_put(struct sst *w, struct slice key, struct slice value)
{
    char *error = NULL;

    rocksdb_sstfilewriter_put(w->writer, (const char *)key.data, key.size, (const char *)value.data, value.size, &error);
    return store_error(error, "write a sorted file");
}

enum err sst_delete(struct sst *w, struct slice key)
{
    char *error = NULL;

    rocksdb_sstfilewriter_delete(w->writer, (const char *)key.data, key.size, &error);
    return store_error(error, "write a sorted file");
}

enum err sst_finish(struct sst *w, uint64_t *bytes)
{
    char *error = NULL;

    rocksdb_sstfilewriter_finish(w->writer, &error);
    TRY(store_error(error, "finish a sorted file"));
    rocksdb_sstfilewriter_file_size(w->writer, bytes);
    w->finished = true;
    return OK;
}

void sst_free(struct sst *w)
{
    if (w == NULL)
        return;
    rocksdb_sstfilewriter_destroy(w->writer);
    if (!w->finished)
        unlink(w->path);
    free(w->path);
    free(w);
}

enum err store_ingest(struct store *s, struct family *f, const char *path)
{
    char *error = NULL;
    const char *files[] = {path};

    rocksdb_ingest_external_file_cf(s->db, f->handle, files, 1, s->ingest, &error);
    if (error == NULL)
        return OK;
    if (strstr(error, "flush") != NULL || strstr(error, "memtable") != NULL) {
        rocksdb_free(error);
        return ERR_AGAIN;
    }
    return store_error(error, "ingest");
}
