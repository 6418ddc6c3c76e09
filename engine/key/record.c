/*
 * record.c - key records to bytes and back.
 */
#include "engine/key/record.h"

enum { HAS_EXPIRY = 0x80, FIXED_BYTES = 11, COUNT_BYTES_MAX = 10 };

void record_encode(struct buf *out, const struct record *r)
{
    uint8_t head[FIXED_BYTES + 8 + COUNT_BYTES_MAX];
    size_t n = FIXED_BYTES;
    uint64_t count = r->count;

    head[0] = r->type;
    head[1] = r->form | (r->expire_ms != 0 ? HAS_EXPIRY : 0);
    head[2] = r->marks;
    memcpy(head + 3, &r->last_change, 8);
    if (r->expire_ms != 0) {
        memcpy(head + n, &r->expire_ms, 8);
        n += 8;
    }
    for (; count >= 0x80; count >>= 7)
        head[n++] = (uint8_t)(count | 0x80);
    head[n++] = (uint8_t)count;
    buf_append(out, head, n);
    buf_append_slice(out, r->value);
}

enum err record_decode(struct slice bytes, struct record *out)
{
    struct record r = {0};
    size_t n = FIXED_BYTES;
    unsigned shift = 0;

    if (bytes.size < FIXED_BYTES + 1)
        return err_set(ERR_CORRUPT, "key record of %zu bytes", bytes.size);
    r.type = bytes.data[0];
    r.form = bytes.data[1] & ~HAS_EXPIRY;
    r.marks = bytes.data[2];
    memcpy(&r.last_change, bytes.data + 3, 8);
    if (bytes.data[1] & HAS_EXPIRY) {
        if (bytes.size < n + 8)
            return err_set(ERR_CORRUPT, "key record without its expiry");
        memcpy(&r.expire_ms, bytes.data + n, 8);
        n += 8;
    }
    for (;; shift += 7) {
        if (n == bytes.size || shift > 63)
            return err_set(ERR_CORRUPT, "key record without its count");
        r.count |= (uint64_t)(bytes.data[n] & 0x7f) << shift;
        if (bytes.data[n++] < 0x80)
            break;
    }
    r.value = slice_of(bytes.data + n, bytes.size - n);
    *out = r;
    return OK;
}
