/*
 * repl_recall.c - the pieces of a note held against the files: a piece counts if all before it do.
 */
#include "server/drive/repl_recall.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hash.h"
#include "engine/store/files.h"
#include "server/drive/repl_priv.h"

struct source {
    int fd; /* -1 */
    uint32_t file;
    uint8_t *bytes;
};

static void turn_to(struct source *in, const char *dir, uint32_t file)
{
    char path[STORE_PATH_BYTES];

    if (in->fd >= 0 && in->file == file)
        return;
    if (in->fd >= 0)
        close(in->fd);
    store_files_path(path, dir, file);
    in->fd = open(path, O_RDONLY | O_CLOEXEC);
    in->file = file;
}

static bool is_there(const struct recall *r, struct source *in, const struct copy_piece *p)
{
    struct stat status;

    if (p->bytes > COPY_CHUNK_MAX)
        return false;
    turn_to(in, r->dir, p->file);
    if (in->fd < 0 || fstat(in->fd, &status) != 0 || (uint64_t)status.st_size < p->offset + p->bytes)
        return false;
    return !r->compare || (pread(in->fd, in->bytes, p->bytes, (off_t)p->offset) == (ssize_t)p->bytes &&
                           hash_sum(slice_of(in->bytes, p->bytes)) == p->sum);
}

enum err recall_run(const struct recall *r, struct buf *note)
{
    struct source in = {.fd = -1, .bytes = malloc(COPY_CHUNK_MAX)};
    struct slice rest = r->pieces;
    struct copy_piece p;
    bool stopping = false;

    check(in.bytes != NULL);
    while (!stopping && copy_piece_take(&rest, &p) && copy_progress_fits(r->at, p.file, p.offset, p.bytes) &&
           is_there(r, &in, &p)) {
        copy_piece_append(note, &p);
        (void)copy_progress_add(r->at, p.bytes);
        stopping = repl_is_stopping(r->repl);
    }
    if (in.fd >= 0)
        close(in.fd);
    free(in.bytes);
    return stopping ? err_set(ERR_CLOSED, "the server stops") : OK;
}
