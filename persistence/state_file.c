/*
 * state_file.c - an atomic file, and beside it a file of records: head, text.
 *
 * (1) A record counts only if it is whole, of this boot of the machine, and was written behind what the file holds now: the
 *     head has the sum of that. So a save makes all notes void by itself; removing them afterwards only saves space.
 * (2) The file itself is never written without a sync: what a power cut leaves is always something that was saved.
 */
#include "persistence/state_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "persistence/atomic_file.h"
#include "persistence/vfs.h"

enum { MAGIC = 0x31544f4e, NAME_MAX_BYTES = 256 };

struct head {
    uint32_t magic, size; /* of the text */
    uint64_t base;        /* sum of the file */
    uint64_t sum;         /* of the text */
    char boot[VFS_BOOT_MAX];
};

struct state_file {
    /* Set once */
    struct vfs *vfs;
    char *dir, *name, notes[VFS_PATH_MAX], notes_name[NAME_MAX_BYTES];
    char boot[VFS_BOOT_MAX];

    struct buf saved;   /* what is durable, if known */
    bool saved_known;
    uint64_t base;
    int handle;         /* of the notes; -1: not open */
    bool notes_exist;   /* they may */
    uint64_t end;
};

struct state_file *state_file_new(struct vfs *vfs, const char *dir, const char *name)
{
    struct state_file *f = calloc(1, sizeof *f);
    int n;

    check(f != NULL);
    f->vfs = vfs;
    f->dir = strdup(dir);
    f->name = strdup(name);
    check(f->dir != NULL && f->name != NULL);
    n = snprintf(f->notes_name, sizeof f->notes_name, "%s.noted", name);
    check(n > 0 && (size_t)n < sizeof f->notes_name);
    vfs_path(f->notes, dir, f->notes_name);
    vfs->boot(vfs->context, f->boot);
    f->handle = -1;
    f->notes_exist = true;
    return f;
}

void state_file_free(struct state_file *f)
{
    if (f == NULL)
        return;
    if (f->handle >= 0)
        f->vfs->close(f->vfs->context, f->handle);
    buf_free(&f->saved);
    free(f->dir);
    free(f->name);
    free(f);
}

static void remember(struct state_file *f, struct slice text)
{
    buf_clear(&f->saved);
    buf_append_slice(&f->saved, text);
    f->saved_known = true;
    f->base = hash_sum(text);
}

/* The last record that counts; its text borrows from `bytes`. */
static bool last_note(const struct state_file *f, struct slice bytes, struct slice *text)
{
    bool found = false;

    while (bytes.size >= sizeof(struct head)) {
        struct head head;
        struct slice body;

        memcpy(&head, bytes.data, sizeof head);
        if (head.magic != MAGIC || head.size > bytes.size - sizeof head)
            break;
        body = slice_of(bytes.data + sizeof head, head.size);
        if (head.sum != hash_sum(body))
            break;
        if (head.base == f->base && memcmp(head.boot, f->boot, sizeof head.boot) == 0) {
            *text = body;
            found = true;
        }
        bytes = slice_of(body.data + body.size, bytes.size - sizeof head - head.size);
    }
    return found;
}

enum err state_file_read(struct state_file *f, size_t size_max, struct buf *out, bool *noted)
{
    struct buf saved = {0}, notes = {0};
    struct slice text;
    bool found;
    enum err e = atomic_file_read(f->vfs, f->dir, f->name, size_max, &saved);

    if (e == OK) {
        remember(f, buf_slice(&saved));
        e = atomic_file_read(f->vfs, f->dir, f->notes_name, (size_t)STATE_FILE_NOTES_MAX + size_max, &notes);
        if (e == ERR_NOT_FOUND) {
            f->notes_exist = false;
            err_clear();
            e = OK;
        }
    }
    if (e == OK) {
        text = buf_slice(&saved);
        found = last_note(f, buf_slice(&notes), &text);
        buf_append_slice(out, text);
        if (noted != NULL)
            *noted = found;
    }
    buf_free(&saved);
    buf_free(&notes);
    return e;
}

static void drop_notes(struct state_file *f)
{
    if (f->handle >= 0)
        f->vfs->close(f->vfs->context, f->handle);
    f->handle = -1;
    if (f->notes_exist && f->vfs->unlink(f->vfs->context, f->notes) != OK)
        err_clear(); /* they count no more */
    f->notes_exist = false;
    f->end = 0;
}

enum err state_file_save(struct state_file *f, struct slice text)
{
    if (!f->saved_known || !slice_equal(buf_slice(&f->saved), text)) {
        TRY(atomic_file_write(f->vfs, f->dir, f->name, text));
        remember(f, text);
    }
    drop_notes(f);
    return OK;
}

static enum err append(struct state_file *f, struct slice text)
{
    struct head head = {.magic = MAGIC, .size = (uint32_t)text.size, .base = f->base, .sum = hash_sum(text)};
    struct buf record = {0};
    enum err e;

    if (f->handle < 0) {
        TRY(f->vfs->open(f->vfs->context, f->notes, VFS_CREATE, &f->handle));
        f->notes_exist = true;
        f->end = 0;
    }
    memcpy(head.boot, f->boot, sizeof head.boot);
    buf_append(&record, &head, sizeof head);
    buf_append_slice(&record, text);
    e = f->vfs->write_at(f->vfs->context, f->handle, buf_slice(&record), f->end);
    if (e == OK)
        f->end += record.size;
    buf_free(&record);
    return e;
}

enum err state_file_note(struct state_file *f, struct slice text)
{
    if (!f->saved_known || f->boot[0] == '\0' || text.size > STATE_FILE_NOTES_MAX || f->end > STATE_FILE_NOTES_MAX)
        return state_file_save(f, text);
    return append(f, text);
}
