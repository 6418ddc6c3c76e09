/*
 * fuzz_copy.c - hostile bytes in a whole copy: a place as REPLCONF tells it, frames, manifests.
 *
 * The input is used three ways: as it is; as the payload of a MANIFEST; as a list of (kind, size, bytes) that become frames with
 * right sums, of which one bit is altered where the input says so. What is accepted must be written back the same.
 */
#include "base/check.h"
#include "server/drive/copy_frame.h"

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
    made(data, size);
    if (copy_place_parse(slice_of(data, size), &p) == OK) {
        struct copy_place again;
        char text[COPY_PLACE_BYTES];

        copy_place_format(&p, text);
        check(copy_place_parse(slice_str(text), &again) == OK && again.file == p.file && again.offset == p.offset);
    }
    return 0;
}
