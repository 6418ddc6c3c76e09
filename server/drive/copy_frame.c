/*
 * copy_frame.c - frames of a whole copy, built and taken apart. Every number of a received frame is checked here or by the
 * receiver's own count before it is used.
 */
#include "server/drive/copy_frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/num.h"

enum { MANIFEST_VERSION = 1, MANIFEST_HEAD_BYTES = 40, MANIFEST_FILE_BYTES = 32, SUM_AT = 32, PAYLOAD_SUM_AT = 24 };

static const char magic[4] = {'C', 'N', 'c', 'p'};

static void put(uint8_t *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *at, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* ---- Frames ---- */

void copy_frame_append(struct buf *out, const struct copy_frame *f)
{
    uint8_t head[COPY_HEAD_BYTES] = {0};

    check(f->payload.size <= COPY_PAYLOAD_MAX);
    memcpy(head, magic, sizeof magic);
    head[4] = (uint8_t)f->kind;
    put(head + 8, f->payload.size, 4);
    put(head + 12, f->file, 4);
    put(head + 16, f->offset, 8);
    put(head + PAYLOAD_SUM_AT, hash_sum(f->payload), 8);
    put(head + SUM_AT, hash_sum(slice_of(head, SUM_AT)), 8);
    buf_append(out, head, sizeof head);
    buf_append_slice(out, f->payload);
}

enum err copy_frame_parse(struct slice bytes, struct copy_frame *out, size_t *used)
{
    const uint8_t *head = bytes.data;
    struct copy_frame f;

    if (bytes.size < COPY_HEAD_BYTES)
        return ERR_AGAIN;
    if (memcmp(head, magic, sizeof magic) != 0 || get(head + SUM_AT, 8) != hash_sum(slice_of(head, SUM_AT)))
        return err_set(ERR_CORRUPT, "a frame of the copy has a wrong head");
    f = (struct copy_frame){.kind = (enum copy_kind)head[4], .file = (uint32_t)get(head + 12, 4), .offset = get(head + 16, 8)};
    f.payload = slice_of(head + COPY_HEAD_BYTES, get(head + 8, 4));
    if (f.kind < COPY_MANIFEST || f.kind > COPY_END || get(head + 5, 3) != 0 || f.payload.size > COPY_PAYLOAD_MAX ||
        (f.kind == COPY_CHUNK && (f.payload.size == 0 || f.payload.size > COPY_CHUNK_MAX)) ||
        (f.kind == COPY_END && f.payload.size != 0))
        return err_set(ERR_CORRUPT, "a frame of the copy has kind %d and %zu bytes", f.kind, f.payload.size);
    if (bytes.size - COPY_HEAD_BYTES < f.payload.size)
        return ERR_AGAIN;
    if (get(head + PAYLOAD_SUM_AT, 8) != hash_sum(f.payload))
        return err_set(ERR_CORRUPT, "a piece of the copy's file %u at %llu was altered", f.file, (unsigned long long)f.offset);
    *used = COPY_HEAD_BYTES + f.payload.size;
    *out = f;
    return OK;
}

/* ---- The manifest ---- */

void copy_manifest_append(struct buf *out, const struct set_checkpoint *c, int selected)
{
    uint8_t head[MANIFEST_HEAD_BYTES] = {0};

    put(head, MANIFEST_VERSION, 2);
    put(head + 4, set_checkpoint_files(c), 4);
    put(head + 8, c->lsn, 8);
    put(head + 16, c->id_limit, 8);
    put(head + 24, set_checkpoint_bytes(c), 8);
    put(head + 32, (uint32_t)selected, 4);
    buf_append(out, head, sizeof head);
    for (size_t i = 0; i < c->count; i++)
        for (size_t k = 0; k < c->dbs[i].list.count; k++) {
            const struct store_file *file = &c->dbs[i].list.files[k];
            uint8_t row[MANIFEST_FILE_BYTES] = {0};

            put(row, c->dbs[i].db, 2);
            row[2] = (uint8_t)file->level;
            put(row + 8, file->bytes, 8);
            put(row + 16, file->smallest_seqno, 8);
            put(row + 24, file->largest_seqno, 8);
            buf_append(out, row, sizeof row);
        }
}

static enum err file_add(struct set_checkpoint *c, const uint8_t *row)
{
    const struct store_file file = {
        .level = row[2], .bytes = get(row + 8, 8), .smallest_seqno = get(row + 16, 8), .largest_seqno = get(row + 24, 8)};
    unsigned db = (unsigned)get(row, 2);
    struct set_checkpoint_db *last = c->count > 0 ? &c->dbs[c->count - 1] : NULL;
    struct store_files *list;

    if (file.level >= STORE_LEVELS_MAX || file.bytes == 0 || file.bytes > INT64_MAX || get(row + 3, 5) != 0 ||
        file.smallest_seqno > file.largest_seqno || file.largest_seqno >> 56 != 0 || db >= SET_CHECKPOINT_DATABASES_MAX ||
        (last != NULL && db < last->db))
        return ERR_CORRUPT;
    if (last == NULL || last->db != db) {
        c->dbs = realloc(c->dbs, (c->count + 1) * sizeof *c->dbs);
        check(c->dbs != NULL);
        last = &c->dbs[c->count++];
        *last = (struct set_checkpoint_db){.db = db};
    }
    list = &last->list;
    if ((list->count & (list->count - 1)) == 0) { /* room for a power of two */
        list->files = realloc(list->files, (list->count == 0 ? 1 : 2 * list->count) * sizeof *list->files);
        check(list->files != NULL);
    }
    list->files[list->count++] = file;
    return OK;
}

enum err copy_manifest_parse(struct slice payload, struct set_checkpoint *out, int *selected)
{
    const uint8_t *head = payload.data;
    struct set_checkpoint c = {0};
    uint64_t files, sum = 0;
    enum err e = OK;

    if (payload.size < MANIFEST_HEAD_BYTES || get(head, 2) != MANIFEST_VERSION || get(head + 2, 2) != 0 ||
        get(head + 36, 4) != 0)
        return err_set(ERR_CORRUPT, "the copy's manifest is of another version");
    files = get(head + 4, 4);
    if (files > STORE_FILES_MAX || payload.size != MANIFEST_HEAD_BYTES + files * MANIFEST_FILE_BYTES)
        return err_set(ERR_CORRUPT, "the copy's manifest has a wrong size");
    c.lsn = get(head + 8, 8);
    c.id_limit = get(head + 16, 8);
    for (uint64_t i = 0; i < files && e == OK; i++) {
        const uint8_t *row = head + MANIFEST_HEAD_BYTES + i * MANIFEST_FILE_BYTES;

        e = file_add(&c, row);
        if (e == OK && __builtin_add_overflow(sum, get(row + 8, 8), &sum))
            e = ERR_CORRUPT;
    }
    if (e == OK && (sum != get(head + 24, 8) || (int32_t)get(head + 32, 4) < -1))
        e = ERR_CORRUPT;
    if (e != OK) {
        set_checkpoint_free(&c);
        return err_set(ERR_CORRUPT, "the copy's manifest makes no sense");
    }
    *selected = (int32_t)get(head + 32, 4);
    *out = c;
    return OK;
}

/* ---- Places ---- */

void copy_place_format(const struct copy_place *p, char out[COPY_PLACE_BYTES])
{
    snprintf(out, COPY_PLACE_BYTES, "%s:%u:%llu", p->id, p->file, (unsigned long long)p->offset);
}

enum err copy_place_parse(struct slice text, struct copy_place *out)
{
    struct copy_place p = {0};
    const uint8_t *colon;
    int64_t file, offset;
    size_t head;

    if (text.size <= COPY_ID_BYTES + 1 || text.data[COPY_ID_BYTES] != ':')
        return ERR_SYNTAX;
    for (size_t i = 0; i < COPY_ID_BYTES; i++)
        if (!((text.data[i] >= '0' && text.data[i] <= '9') || (text.data[i] >= 'a' && text.data[i] <= 'f')))
            return ERR_SYNTAX;
    memcpy(p.id, text.data, COPY_ID_BYTES);
    text = slice_of(text.data + COPY_ID_BYTES + 1, text.size - COPY_ID_BYTES - 1);
    colon = memchr(text.data, ':', text.size);
    if (colon == NULL)
        return ERR_SYNTAX;
    head = (size_t)(colon - text.data);
    if (!num_parse_i64(slice_of(text.data, head), &file) ||
        !num_parse_i64(slice_of(colon + 1, text.size - head - 1), &offset) || file < 0 || file > UINT32_MAX || offset < 0)
        return ERR_SYNTAX;
    p.file = (uint32_t)file;
    p.offset = (uint64_t)offset;
    *out = p;
    return OK;
}
