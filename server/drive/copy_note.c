/*
 * copy_note.c - the note of a copy's pieces, built and taken apart; where a piece belongs. Whoever reads a note holds each
 *               piece against what the manifest says (copy_progress_fits).
 */
#include "server/drive/copy_note.h"

#include <endian.h>
#include <stddef.h>
#include <string.h>

#include "base/hash.h"

enum { MAGIC_BYTES = 8, ID_AT = 8, BOOT_AT = 48, HEAD_BYTES = 112 };

struct row { /* little endian */
    uint32_t file, bytes;
    uint64_t offset, sum, row_sum;
};

_Static_assert(BOOT_AT == ID_AT + COPY_ID_BYTES && HEAD_BYTES == BOOT_AT + VFS_BOOT_MAX && sizeof(struct row) == 32,
               "the drawing in the header");

static const char magic[MAGIC_BYTES + 1] = "CNnote1\n";

void copy_note_append(struct buf *out, const struct copy_note *n)
{
    uint8_t head[HEAD_BYTES] = {0};

    memcpy(head, magic, MAGIC_BYTES);
    memcpy(head + ID_AT, n->id, COPY_ID_BYTES);
    memcpy(head + BOOT_AT, n->boot, strnlen(n->boot, VFS_BOOT_MAX - 1));
    buf_append(out, head, sizeof head);
    copy_frame_append(out, &(struct copy_frame){.kind = COPY_MANIFEST, .payload = n->manifest});
}

enum err copy_note_parse(struct slice bytes, struct copy_note *out)
{
    struct copy_note n = {0};
    struct copy_frame f;
    size_t used;

    if (bytes.size < HEAD_BYTES || memcmp(bytes.data, magic, MAGIC_BYTES) != 0 || bytes.data[HEAD_BYTES - 1] != 0)
        return err_set(ERR_CORRUPT, "no note of a copy");
    memcpy(n.id, bytes.data + ID_AT, COPY_ID_BYTES);
    memcpy(n.boot, bytes.data + BOOT_AT, VFS_BOOT_MAX);
    bytes = slice_of(bytes.data + HEAD_BYTES, bytes.size - HEAD_BYTES);
    if (strlen(n.id) != COPY_ID_BYTES || strspn(n.id, "0123456789abcdef") != COPY_ID_BYTES ||
        copy_frame_parse(bytes, &f, &used) != OK || f.kind != COPY_MANIFEST)
        return err_set(ERR_CORRUPT, "the note of a copy was altered");
    n.manifest = f.payload;
    n.pieces = slice_of(bytes.data + used, bytes.size - used);
    *out = n;
    return OK;
}

void copy_piece_append(struct buf *out, const struct copy_piece *p)
{
    struct row row = {htole32(p->file), htole32(p->bytes), htole64(p->offset), htole64(p->sum), 0};

    row.row_sum = htole64(hash_sum(slice_of(&row, offsetof(struct row, row_sum))));
    buf_append(out, &row, sizeof row);
}

bool copy_piece_take(struct slice *pieces, struct copy_piece *out)
{
    struct row row;

    if (pieces->size < sizeof row)
        return false;
    memcpy(&row, pieces->data, sizeof row);
    if (le64toh(row.row_sum) != hash_sum(slice_of(&row, offsetof(struct row, row_sum))))
        return false;
    *out = (struct copy_piece){le32toh(row.file), le32toh(row.bytes), le64toh(row.offset), le64toh(row.sum)};
    *pieces = slice_of(pieces->data + sizeof row, pieces->size - sizeof row);
    return true;
}

bool copy_progress_fits(const struct copy_progress *at, uint32_t file, uint64_t offset, uint64_t bytes)
{
    return at->file < at->files && file == at->file && offset == at->offset && bytes > 0 &&
           bytes <= at->file_bytes[at->file] - at->offset;
}

bool copy_progress_add(struct copy_progress *at, uint64_t bytes)
{
    at->offset += bytes;
    at->have += bytes;
    if (at->offset < at->file_bytes[at->file])
        return false;
    at->file++;
    at->offset = 0;
    return true;
}
