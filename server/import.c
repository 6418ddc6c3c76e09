/*
 * import.c - finding the files, the mark, and the order of the parts. The parts themselves: rdb_load, import_aof.
 */
#include "server/import.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "engine/set/set.h"
#include "persistence/atomic_file.h"
#include "persistence/rdb/rdb_load.h"
#include "persistence/vfs.h"
#include "persistence/wal.h"
#include "server/conf/config.h"
#include "server/import_priv.h"
#include "server/node_priv.h"

enum { MANIFEST_BYTES_MAX = 1 << 20, FILES_OPEN = 16, LOG_EVERY_MS = 2000 };

/* ---- Files ---- */

static bool is_file(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

static uint64_t file_bytes(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 ? (uint64_t)s.st_size : 0;
}

static void file_add(struct import *i, const char *path, bool base)
{
    struct import_file *f;

    i->files = realloc(i->files, (i->count + 1) * sizeof *i->files);
    check(i->files != NULL);
    f = &i->files[i->count++];
    *f = (struct import_file){.path = strdup(path), .bytes = file_bytes(path), .base = base};
    check(f->path != NULL);
    i->total += f->bytes;
}

enum err import_pull(void *context, uint8_t *out, size_t room, size_t *got)
{
    struct import *i = context;
    ssize_t n;

    while ((n = read(i->fd, out, room)) < 0 && errno == EINTR)
        continue;
    if (n < 0)
        return err_set(ERR_IO, "cannot read: %s", strerror(errno));
    *got = (size_t)n;
    return OK;
}

enum err import_open(struct import *i, const struct import_file *f)
{
    i->fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (i->fd < 0)
        return err_set(ERR_IO, "cannot open %s: %s", f->path, strerror(errno));
    (void)posix_fadvise(i->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return OK;
}

void import_shut(struct import *i)
{
    if (i->fd >= 0)
        close(i->fd);
    i->fd = -1;
}

/* ---- What there is ---- */

struct manifest_reader {
    bool has_base;
    int64_t seq; /* of the last increment */
};

/* The base comes first, wherever it is named. */
static void base_add(struct import *i, const char *path)
{
    struct import_file base;

    file_add(i, path, true);
    base = i->files[i->count - 1];
    memmove(i->files + 1, i->files, (i->count - 1) * sizeof *i->files);
    i->files[0] = base;
}

static enum err manifest_file(struct import *i, struct manifest_reader *m, const char *path, char type, int64_t seq)
{
    if (!is_file(path))
        return err_set(ERR_CORRUPT, "the file %s is missing", path);
    if (type == 'b') {
        if (m->has_base)
            return err_set(ERR_CORRUPT, "it names two bases");
        m->has_base = true;
        base_add(i, path);
        return OK;
    }
    if (seq <= m->seq) /* in another order the same commands make other data */
        return err_set(ERR_CORRUPT, "increment %lld comes behind increment %lld", (long long)seq, (long long)m->seq);
    m->seq = seq;
    file_add(i, path, false);
    return OK;
}

/* A line of the manifest: file NAME seq NUMBER type b|i|h, in any order of the pairs; others are left to later versions. */
static enum err manifest_line(struct import *i, const char *dir, char *line, struct manifest_reader *m)
{
    char **words = NULL, path[VFS_PATH_MAX], type = 0;
    const char *name = NULL;
    int64_t seq = 0;
    size_t count = 0;
    enum err e = OK;

    if (line[0] == '#' || line[0] == 0)
        return OK;
    TRY(config_split(slice_str(line), &words, &count));
    for (size_t w = 0; w + 1 < count; w += 2) {
        if (strcmp(words[w], "file") == 0)
            name = words[w + 1];
        else if (strcmp(words[w], "type") == 0)
            type = words[w + 1][0];
        else if (strcmp(words[w], "seq") == 0 && !num_parse_i64(slice_str(words[w + 1]), &seq))
            seq = 0;
    }
    if (name == NULL || strchr(name, '/') != NULL || seq <= 0 || (type != 'b' && type != 'i' && type != 'h'))
        e = err_set(ERR_CORRUPT, "not a line of a manifest: %s", line);
    if (e == OK && type != 'h') {
        vfs_path(path, dir, name);
        e = manifest_file(i, m, path, type, seq);
    }
    config_words_free(words, count);
    return e;
}

static enum err find_append_dir(struct import *i, struct node *n)
{
    struct buf text = {0}, name = {0}, manifest = {0};
    char dir[VFS_PATH_MAX], *line, *rest = NULL;
    struct manifest_reader m = {0};
    enum err e;

    vfs_path(dir, n->dir, config_string(n->config, "appenddirname", &text));
    buf_append_str(&name, config_string(n->config, "appendfilename", &text));
    buf_append(&name, ".manifest", sizeof ".manifest");
    e = atomic_file_read(vfs_posix(), dir, (char *)name.data, MANIFEST_BYTES_MAX, &manifest);
    if (e == OK) {
        buf_append_byte(&manifest, 0);
        for (line = strtok_r((char *)manifest.data, "\r\n", &rest); line != NULL && e == OK;
             line = strtok_r(NULL, "\r\n", &rest))
            e = manifest_line(i, dir, line, &m);
        if (e == OK && i->count == 0)
            e = err_set(ERR_CORRUPT, "it names no file");
        if (e != OK)
            e = err_context(e, "%s/%s", dir, (char *)name.data);
    } else if (e == ERR_IO && !is_file(dir)) {
        e = ERR_NOT_FOUND;
    }
    buf_free(&text);
    buf_free(&name);
    buf_free(&manifest);
    return e;
}

static bool find_file(struct import *i, struct node *n, const char *option, bool base)
{
    struct buf text = {0};
    char path[VFS_PATH_MAX];
    bool found;

    vfs_path(path, n->dir, config_string(n->config, option, &text));
    buf_free(&text);
    found = is_file(path) && file_bytes(path) > 0;
    if (found)
        file_add(i, path, base);
    return found;
}

static enum err find(struct import *i, struct node *n)
{
    if (config_bool(n->config, "appendonly")) {
        enum err e = find_append_dir(i, n);

        if (e != ERR_NOT_FOUND)
            return e;
        if (find_file(i, n, "appendfilename", false))
            return OK;
    }
    return find_file(i, n, "dbfilename", true) ? OK : ERR_NOT_FOUND;
}

/* ---- The mark ---- */

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s;
    (void)kind;
    (void)at;
    return remove(path);
}

static enum err remove_tree(const char *dir, const char *name)
{
    char path[VFS_PATH_MAX];

    vfs_path(path, dir, name);
    if (nftw(path, remove_one, FILES_OPEN, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return err_set(ERR_IO, "cannot remove %s: %s", path, strerror(errno));
    return OK;
}

static bool is_there(const char *dir, const char *name)
{
    char path[VFS_PATH_MAX];

    vfs_path(path, dir, name);
    return access(path, F_OK) == 0;
}

static enum err mark_remove(struct node *n)
{
    char path[VFS_PATH_MAX];

    vfs_path(path, n->dir, IMPORT_MARK);
    if (unlink(path) != 0 && errno != ENOENT)
        return err_set(ERR_IO, "cannot remove %s: %s", path, strerror(errno));
    return vfs_posix()->sync_dir(vfs_posix()->context, n->dir);
}

enum err import_prepare(struct node *n, struct import **out)
{
    bool interrupted = is_there(n->dir, IMPORT_MARK);
    struct import *i;
    enum err e;

    *out = NULL;
    if (!interrupted && (is_there(n->dir, "store") || is_there(n->dir, "log")))
        return OK;
    i = calloc(1, sizeof *i);
    check(i != NULL);
    i->fd = -1;
    i->node = n;
    if (interrupted) { /* nobody was served from it */
        log_event(LOG_WARNING, "import: an interrupted one is thrown away");
        if ((e = remove_tree(n->dir, "store")) != OK || (e = remove_tree(n->dir, "log")) != OK)
            goto done;
    }
    e = find(i, n);
    if (e == OK)
        e = atomic_file_write(vfs_posix(), n->dir, IMPORT_MARK, slice_str(i->files[0].path));
    else if (e == ERR_NOT_FOUND)
        e = interrupted ? mark_remove(n) : OK;
    else
        e = err_context(e, "import");
    if (e == OK && i->count > 0) {
        *out = i;
        return OK;
    }
done:
    import_free(i);
    return e;
}

void import_free(struct import *i)
{
    if (i == NULL)
        return;
    import_shut(i);
    for (size_t f = 0; f < i->count; f++)
        free(i->files[f].path);
    free(i->files);
    buf_free(&i->rest);
    free(i);
}

void import_figures(const struct import *i, uint64_t *keys, uint64_t *expired)
{
    if (i == NULL)
        return;
    *keys = i->keys;
    *expired = i->expired;
}

/* ---- Running ---- */

enum err import_progress(struct import *i, uint64_t keys, uint64_t bytes)
{
    struct node *n = i->node;
    msec_t now_ms = node_now(n);

    atomic_store(&n->loading_from, 0);
    atomic_store(&n->loading_at, i->done + bytes);
    atomic_store(&n->loading_end, i->total);
    if (node_is_stopping(n))
        return err_set(ERR_CLOSED, "stopped while loading");
    if (now_ms - i->logged_ms >= LOG_EVERY_MS) {
        i->logged_ms = now_ms;
        log_event(LOG_NOTICE, "import: file=%s keys=%llu commands=%llu done=%.1f%%", i->files[i->current].path,
                  (unsigned long long)keys, (unsigned long long)i->commands,
                  i->total == 0 ? 100.0 : 100.0 * (double)(i->done + bytes) / (double)i->total);
    }
    return OK;
}

static enum err on_progress(void *context, uint64_t keys, uint64_t bytes)
{
    return import_progress(context, keys, bytes);
}

/* The position that all keys of the RDB part get: a mark of its own in the log, which is empty. */
static enum err mark_position(struct node *n, lsn_t *lsn)
{
    static const char ping[] = "*1\r\n$4\r\nPING\r\n";
    const struct journal_effect effect = {.bytes = sizeof ping - 1, .slot = SLOT_NODE, .kind = JOURNAL_MARK};

    *lsn = n->journal.append(n->journal.context, &effect, 1, slice_of(ping, sizeof ping - 1), NULL) + sizeof ping - 1;
    return n->journal.sync(n->journal.context, *lsn);
}

/* A base may be an append-only file itself, and an append-only file may begin with an RDB part. */
static enum err begins_as_rdb(const struct import_file *f, bool *rdb)
{
    char magic[5] = {0};
    FILE *file = fopen(f->path, "rb");

    if (file == NULL)
        return err_set(ERR_IO, "cannot open %s: %s", f->path, strerror(errno));
    *rdb = fread(magic, 1, sizeof magic, file) == sizeof magic &&
           (memcmp(magic, "REDIS", 5) == 0 || memcmp(magic, "VALKE", 5) == 0);
    fclose(file);
    return OK;
}

static enum err load_base(struct import *i, struct node *n, const struct import_file *f)
{
    struct rdb_load_options options = {.set = n->set, .databases = n->databases, .now_ms = node_now(n),
                                       .drop_expired = i->count == 1 && f->base, .pull = import_pull, .context = i,
                                       .progress = on_progress, .hooks = i};
    struct rdb_load_figures figures;
    enum err e;

    TRY(mark_position(n, &options.lsn));
    TRY(import_open(i, f));
    e = rdb_load(&options, &i->rest, &figures);
    i->keys = figures.keys;
    i->expired = figures.expired;
    if (e != OK)
        return e;
    i->taken = figures.bytes;
    log_event(LOG_NOTICE, "import: RDB part done: file=%s version=%u keys=%llu expired=%llu empty=%llu bytes=%llu", f->path,
              figures.version, (unsigned long long)figures.keys, (unsigned long long)figures.expired,
              (unsigned long long)figures.empty, (unsigned long long)figures.bytes);
    return OK;
}

enum err import_base(struct import *i, struct node *n)
{
    bool rdb = false;
    enum err e;

    if (i == NULL)
        return OK;
    i->began_ms = i->logged_ms = node_now(n);
    log_event(LOG_NOTICE, "import: begins: file=%s files=%zu bytes=%llu", i->files[0].path, i->count,
              (unsigned long long)i->total);
    e = begins_as_rdb(&i->files[0], &rdb);
    if (e == OK && !rdb && i->count == 1 && i->files[0].base)
        e = err_set(ERR_CORRUPT, "offset 0: not an RDB file");
    if (e == OK && rdb)
        e = load_base(i, n, &i->files[0]);
    return e == OK || e == ERR_CLOSED ? e : err_context(e, "import of %s", i->files[0].path);
}

enum err import_rest(struct import *i, struct node *n)
{
    if (i == NULL)
        return OK;
    for (i->current = 0; i->current < i->count; i->current++) {
        struct import_file *f = &i->files[i->current];
        bool done = f->base && i->count == 1;
        enum err e = OK;

        if (!done && i->current == 0 && i->taken == 0)
            e = import_open(i, f);
        else if (!done && i->current > 0)
            e = import_open(i, f);
        if (e == OK && !done)
            e = import_aof(i, n, f, i->current + 1 == i->count);
        import_shut(i);
        if (e != OK)
            return e == ERR_CLOSED ? e : err_context(e, "import of %s", f->path);
        i->done += f->bytes;
        i->taken = 0;
        buf_clear(&i->rest);
    }
    i->current = 0;
    TRY(set_drain(n->set));
    TRY(mark_remove(n));
    log_event(LOG_NOTICE, "import: done: keys=%llu commands=%llu bytes=%llu ms=%lld", (unsigned long long)i->keys,
              (unsigned long long)i->commands, (unsigned long long)i->total, (long long)(node_now(n) - i->began_ms));
    return OK;
}
