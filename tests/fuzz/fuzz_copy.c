/*
 * fuzz_copy.c - hostile bytes in a whole copy: a place as REPLCONF tells it, frames, manifests, the note of a restart.
 *
 * The input is used three ways: as it is; as the payload of a MANIFEST; as a list of (kind, size, bytes) that become frames with
 * right sums, of which one bit is altered where the input says so. What is accepted must be written back the same.
 */
#include "base/check.h"
#include "server/drive/copy_note.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void manifest(struct slice payload)
{
    struct set_checkpoint c;
    struct buf again = {0};
    int selected;

    if (copy_manifest_parse(payload, &c, &selected) != OK)
        return;
    copy_manifest_append(&again, &c, selected);
    check(slice_equal(buf_slice(&again), payload));
    set_checkpoint_free(&c);
    buf_free(&again);
}

static void frames(struct slice bytes)
{
    struct copy_frame f;
    size_t used;

    while (copy_frame_parse(bytes, &f, &used) == OK) {
        struct buf again = {0};

        copy_frame_append(&again, &f);
        check(slice_equal(buf_slice(&again), slice_of(bytes.data, used)));
        if (f.kind == COPY_MANIFEST)
            manifest(f.payload);
        buf_free(&again);
        bytes = slice_of(bytes.data + used, bytes.size - used);
    }
}

static void note(struct slice bytes)
{
    static const uint64_t file_bytes[] = {100, 1 << 20, 1};
    struct copy_progress at = {.file_bytes = file_bytes, .files = 3};
    struct copy_note n;
    struct copy_piece p;
    struct buf again = {0};

    if (copy_note_parse(bytes, &n) != OK)
        return;
    copy_note_append(&again, &n);
    while (copy_piece_take(&n.pieces, &p)) {
        copy_piece_append(&again, &p);
        if (copy_progress_fits(&at, p.file, p.offset, p.bytes))
            (void)copy_progress_add(&at, p.bytes);
    }
    check(at.file < 3 ? at.offset < file_bytes[at.file] : at.offset == 0);
    check(again.size + n.pieces.size == bytes.size);
    buf_free(&again);
}

/* The frames as a note, whose pieces are what is behind the first. */
static void noted(struct slice frames)
{
    static const char head[112] = "CNnote1\n0123456789abcdef0123456789abcdef01234567a boot";
    struct buf out = {0};

    buf_append(&out, head, sizeof head);
    buf_append_slice(&out, frames);
    note(buf_slice(&out));
    copy_piece_append(&out, &(struct copy_piece){.bytes = 100});
    note(buf_slice(&out));
    buf_free(&out);
}

static void made(const uint8_t *data, size_t size)
{
    struct buf out = {0};
    size_t altered = 0;

    while (size >= 6) {
        size_t n = (size_t)(data[1] | data[2] << 8);
        struct copy_frame f = {.kind = (enum copy_kind)(data[0] % 5), .file = data[3], .offset = data[4]};

        altered = altered * 256 + data[5];
        data += 6;
        size -= 6;
        n = n < size ? n : size;
        f.payload = slice_of(data, n);
        copy_frame_append(&out, &f);
        data += n;
        size -= n;
    }
    frames(buf_slice(&out));
    noted(buf_slice(&out));
    if (out.size > 0) {
        out.data[altered / 8 % out.size] ^= (uint8_t)(1 << altered % 8);
        frames(buf_slice(&out));
    }
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct copy_place p;

    frames(slice_of(data, size));
    manifest(slice_of(data, size));
    note(slice_of(data, size));
    made(data, size);
    if (copy_place_parse(slice_of(data, size), &p) == OK) {
        struct copy_place again;
        char text[COPY_PLACE_BYTES];

        copy_place_format(&p, text);
        check(copy_place_parse(slice_str(text), &again) == OK && again.file == p.file && again.offset == p.offset);
    }
    return 0;
}
