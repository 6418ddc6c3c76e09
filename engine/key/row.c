/*
 * row.c - encoding and parsing of store keys.
 */
#include "engine/key/row.h"

#include "base/check.h"

#include <string.h>

static void put_u16(struct buf *out, uint16_t v)
{
    uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};

    buf_append(out, b, sizeof b);
}

static void put_u32(struct buf *out, uint32_t v)
{
    v = __builtin_bswap32(v);
    buf_append(out, &v, sizeof v);
}

static void put_u64(struct buf *out, uint64_t v)
{
    v = __builtin_bswap64(v);
    buf_append(out, &v, sizeof v);
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return __builtin_bswap64(v);
}

static uint32_t get_u32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return __builtin_bswap32(v);
}

static void head(struct buf *out, slot_t slot, enum row_kind kind)
{
    buf_clear(out);
    put_u16(out, slot);
    buf_append_byte(out, (uint8_t)kind);
}

void row_key(struct buf *out, slot_t slot, uint32_t hash, struct slice key)
{
    head(out, slot, ROW_KEY);
    put_u32(out, hash);
    buf_append_slice(out, key);
}

void row_element(struct buf *out, slot_t slot, uint64_t id, uint32_t hash, struct slice name)
{
    row_id_start(out, slot, ROW_ELEMENT, id);
    put_u32(out, hash);
    buf_append_slice(out, name);
}

void row_index(struct buf *out, slot_t slot, uint64_t id, uint64_t index)
{
    row_id_start(out, slot, ROW_ELEMENT, id);
    put_u64(out, index);
}

void row_score(struct buf *out, slot_t slot, uint64_t id, double score, struct slice member)
{
    row_id_start(out, slot, ROW_SCORE, id);
    put_u64(out, row_sortable(score));
    buf_append_slice(out, member);
}

void row_expiry(struct buf *out, slot_t slot, msec_t expire_ms, struct slice key)
{
    head(out, slot, ROW_EXPIRY);
    put_u64(out, (uint64_t)expire_ms);
    buf_append_slice(out, key);
}

void row_garbage(struct buf *out, slot_t slot, uint64_t id)
{
    row_id_start(out, slot, ROW_GARBAGE, id);
}

void row_node(struct buf *out, const char *name, uint32_t number)
{
    head(out, SLOT_NODE, ROW_NODE);
    buf_append_str(out, name);
    buf_append_byte(out, 0);
    put_u32(out, number);
}

void row_slot(struct buf *out, uint32_t slot)
{
    check(slot <= SLOT_NODE);
    buf_clear(out);
    put_u16(out, (uint16_t)slot);
}

void row_kind_start(struct buf *out, slot_t slot, enum row_kind kind)
{
    head(out, slot, kind);
}

void row_id_start(struct buf *out, slot_t slot, enum row_kind kind, uint64_t id)
{
    head(out, slot, kind);
    put_u64(out, id);
}

void row_successor(struct buf *bound)
{
    while (bound->size > 0 && bound->data[bound->size - 1] == 0xff)
        bound->size--;
    check(bound->size > 0);
    bound->data[bound->size - 1]++;
}

enum err row_parse(struct slice bytes, struct row *out)
{
    struct row row = {0};
    const uint8_t *p = bytes.data;

    if (bytes.size < 3)
        return err_set(ERR_CORRUPT, "store key of %zu bytes", bytes.size);
    row.slot = (slot_t)(p[0] << 8 | p[1]);
    row.kind = p[2];
    p += 3;
    bytes.size -= 3;
    switch (row.kind) {
    case ROW_KEY:
        if (bytes.size < 4)
            goto damaged;
        row.hash = get_u32(p);
        row.name = slice_of(p + 4, bytes.size - 4);
        break;
    case ROW_ELEMENT:
        if (bytes.size < 12)
            goto damaged;
        row.id = get_u64(p);
        row.hash = get_u32(p + 8);
        row.name = slice_of(p + 12, bytes.size - 12);
        break;
    case ROW_SCORE:
        if (bytes.size < 16)
            goto damaged;
        row.id = get_u64(p);
        row.score = row_unsortable(get_u64(p + 8));
        row.name = slice_of(p + 16, bytes.size - 16);
        break;
    case ROW_EXPIRY:
        if (bytes.size < 8)
            goto damaged;
        row.expire_ms = (msec_t)get_u64(p);
        row.name = slice_of(p + 8, bytes.size - 8);
        break;
    case ROW_GARBAGE:
        if (bytes.size != 8)
            goto damaged;
        row.id = get_u64(p);
        break;
    case ROW_NODE:
        row.name = slice_of(p, bytes.size);
        break;
    default:
        goto damaged;
    }
    *out = row;
    return OK;
damaged:
    return err_set(ERR_CORRUPT, "store key of kind %d in slot %d has %zu bytes", (int)row.kind, row.slot, bytes.size + 3);
}

enum err row_parse_index(struct slice bytes, struct row *out)
{
    struct row row = {0};

    if (bytes.size != 19 || bytes.data[2] != ROW_ELEMENT)
        return err_set(ERR_CORRUPT, "indexed element with a key of %zu bytes", bytes.size);
    row.slot = (slot_t)(bytes.data[0] << 8 | bytes.data[1]);
    row.kind = ROW_ELEMENT;
    row.id = get_u64(bytes.data + 3);
    row.index = get_u64(bytes.data + 11);
    *out = row;
    return OK;
}

/* Positive: set the sign bit. Negative: invert all, so that more negative sorts lower. */
uint64_t row_sortable(double score)
{
    uint64_t bits;

    if (score == 0)
        score = 0; /* -0 is 0 */
    memcpy(&bits, &score, sizeof bits);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

double row_unsortable(uint64_t bits)
{
    double score;

    bits = bits >> 63 ? bits & ~(UINT64_C(1) << 63) : ~bits;
    memcpy(&score, &bits, sizeof score);
    return score;
}
