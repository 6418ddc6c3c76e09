/*
 * wal_reader.c - walking from segment to segment.
 *
 * The next segment is found by its name: it begins where this one ends. In an open log the writer may append to this
 * segment and leave it between two looks of ours, so at its end the order is: look for the next segment, and only if
 * there is none read here again; what is below `written` must then be found.
 */
#include "persistence/wal_reader.h"

#include "base/check.h"
#include "persistence/history.h"
#include "persistence/wal_priv.h"

#include <inttypes.h>
#include <stdlib.h>

struct wal_reader {
    struct wal *wal;         /* NULL: a directory */
    struct segment_dir dir;  /* directory: all segments; open log: only vfs, path and generation */
    size_t index;            /* directory: of the present segment */
    struct segment segment;
    uint64_t offset;
    lsn_t position, from;
    char path[];             /* of the directory */
};

static struct wal_reader *reader_new(struct vfs *vfs, const char *dir, lsn_t from)
{
    struct wal_reader *r = calloc(1, sizeof *r + strlen(dir) + 1);

    check(r != NULL);
    memcpy(r->path, dir, strlen(dir) + 1);
    r->dir.vfs = vfs;
    r->dir.path = r->path;
    r->segment.handle = -1;
    r->from = from;
    return r;
}

/* Leaves the present segment for the one that begins at `first`; ERR_NOT_FOUND: there is none, nothing is changed. */
static enum err enter(struct wal_reader *r, lsn_t first)
{
    char name[SEGMENT_NAME_MAX];
    struct segment next;

    segment_name(name, r->dir.generation, first);
    TRY(segment_open(r->dir.vfs, r->path, name, &next));
    segment_close(&r->segment);
    r->segment = next;
    r->offset = SEGMENT_HEADER_BYTES;
    r->position = first;
    return OK;
}

enum err wal_reader_open(struct wal *wal, lsn_t from, struct wal_reader **out)
{
    struct wal_reader *r;
    lsn_t first = 0, begin;
    enum err e;

    if (from > wal_written(wal))
        return err_set(ERR_RANGE, "position %" PRIu64 " is beyond the end of the log, %" PRIu64, from, wal_written(wal));
    r = reader_new(wal->vfs, wal->dir, from);
    r->wal = wal;
    pthread_mutex_lock(&wal->files_lock);
    r->dir.generation = wal->history.generation;
    begin = wal->segments[0].first;
    for (size_t i = wal->segments_count; i-- > 0 && first == 0;)
        if (wal->segments[i].first <= from)
            first = wal->segments[i].first;
    pthread_mutex_unlock(&wal->files_lock);
    e = from < begin ? ERR_NOT_FOUND : enter(r, first);
    if (e == ERR_NOT_FOUND)
        e = err_set(ERR_RANGE, "position %" PRIu64 " is no longer in the log, which begins at %" PRIu64, from, begin);
    if (e != OK)
        wal_reader_close(r);
    else
        *out = r;
    return e;
}

/* Finds the segment and enters it; a first segment with a bad header is entered too, for wal_reader_next to report. */
static enum err dir_begin(struct wal_reader *r)
{
    if (r->dir.count == 0)
        return err_set(ERR_NOT_FOUND, "%s: there is no log", r->path);
    if (r->from == 0)
        r->from = r->dir.first[0];
    if (r->from < r->dir.first[0])
        return err_set(ERR_RANGE, "position %" PRIu64 " is not in the log, which begins at %" PRIu64, r->from,
                       r->dir.first[0]);
    while (r->index + 1 < r->dir.count && r->dir.first[r->index + 1] <= r->from)
        r->index++;
    return enter(r, r->dir.first[r->index]);
}

enum err wal_reader_open_dir(struct vfs *vfs, const char *dir, lsn_t from, struct wal_reader **out)
{
    struct wal_reader *r = reader_new(vfs, dir, from);
    struct history h;
    enum err e = history_load(vfs, dir, &h);

    if (e == ERR_NOT_FOUND)
        h.generation = 0;
    if (e == OK || e == ERR_NOT_FOUND)
        e = segment_dir_read(vfs, r->path, h.generation, false, &r->dir);
    if (e == OK)
        e = dir_begin(r);
    if (e != OK)
        wal_reader_close(r);
    else
        *out = r;
    return e;
}

void wal_reader_close(struct wal_reader *r)
{
    if (r == NULL)
        return;
    segment_close(&r->segment);
    segment_dir_free(&r->dir);
    free(r);
}

/* ---- The next frame ---- */

static enum err place_context(const struct wal_reader *r, enum err e)
{
    return err_context(e, "%s/%s, offset %" PRIu64 ", position %" PRIu64, r->path, r->segment.name, r->offset,
                       r->position);
}

static void advance(struct wal_reader *r, const struct frame *f)
{
    r->offset += f->bytes.size;
    r->position = f->end;
}

/* An open log, below `written`: the frame is here, or in the next segment, or there is damage. */
static enum err next_open(struct wal_reader *r, struct frame *out)
{
    enum err e = segment_frame(&r->segment, r->offset, r->position, out);

    for (int attempt = 0; attempt < 2 && e != OK && e != ERR_IO; attempt++) {
        enum err moved = r->position == r->segment.head.first ? ERR_NOT_FOUND : enter(r, r->position);

        if (moved != OK && moved != ERR_NOT_FOUND)
            return moved;
        if (moved == ERR_NOT_FOUND && !r->segment.sealed)
            r->segment.window.size = 0; /* it may hold a frame that was only half written when it was read */
        e = segment_frame(&r->segment, r->offset, r->position, out);
    }
    if (e != ERR_NOT_FOUND && e != ERR_AGAIN)
        return e == OK ? OK : place_context(r, e);
    if (r->position < wal_trimmed(r->wal))
        return err_set(ERR_RANGE, "position %" PRIu64 " is no longer in the log", r->position);
    (void)err_set(ERR_CORRUPT, "the file ends here, the log does not");
    return place_context(r, ERR_CORRUPT);
}

/* A directory, at a place where no frame is: the end, a torn end, or damage? */
static enum err dir_classify(const struct wal_reader *r, enum err e)
{
    struct segment_behind behind;

    if (e == ERR_NOT_FOUND)
        (void)err_set(ERR_CORRUPT, "the file ends here, and no segment begins at this position");
    else if (e == ERR_AGAIN)
        (void)err_set(ERR_CORRUPT, "the file ends inside a frame");
    (void)place_context(r, ERR_CORRUPT);
    char text[512];

    memccpy(text, err_text(), '\0', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    if (r->segment.sealed)
        return err_set(ERR_CORRUPT, "%s", text);
    TRY(segment_dir_behind(&r->dir, r->index, r->offset + 1, r->position, &behind));
    if (behind.frames > 0 || behind.gave_up)
        return err_set(ERR_CORRUPT, "%s; valid records follow from position %" PRIu64 " on", text, behind.position);
    return err_set(ERR_AGAIN, "%s", text);
}

static enum err dir_enter_next(struct wal_reader *r)
{
    enum err e = enter(r, r->position);

    if (e == OK)
        r->index++;
    if (e != ERR_CORRUPT)
        return e;
    r->index++; /* the next file is the bad place */
    segment_close(&r->segment);
    segment_name(r->segment.name, r->dir.generation, r->position);
    r->segment.sealed = false;
    r->offset = 0;
    return ERR_CORRUPT;
}

static enum err next_in_dir(struct wal_reader *r, struct frame *out)
{
    enum err e;

    if (r->segment.handle < 0)
        return dir_classify(r, ERR_CORRUPT);
    e = segment_frame(&r->segment, r->offset, r->position, out);
    if (e == OK || e == ERR_IO)
        return e;
    if (e == ERR_NOT_FOUND && r->index + 1 == r->dir.count)
        return ERR_NOT_FOUND;
    if (e == ERR_NOT_FOUND && r->dir.first[r->index + 1] == r->position) {
        e = dir_enter_next(r);
        return e == OK ? next_in_dir(r, out) : e == ERR_CORRUPT ? dir_classify(r, e) : e;
    }
    return dir_classify(r, e);
}

enum err wal_reader_next(struct wal_reader *r, struct frame *out)
{
    struct frame f;

    do {
        if (r->wal != NULL && r->position >= wal_written(r->wal))
            return ERR_NOT_FOUND;
        TRY(r->wal != NULL ? next_open(r, &f) : next_in_dir(r, &f));
        advance(r, &f);
    } while (f.end <= r->from);
    *out = f;
    return OK;
}

void wal_reader_place(const struct wal_reader *r, struct wal_reader_place *out)
{
    *out = (struct wal_reader_place){
        .sealed = r->segment.sealed,
        .file_bytes = r->segment.file_bytes,
        .offset = r->offset,
        .position = r->position,
    };
    memcpy(out->file, r->segment.name, sizeof out->file);
}
