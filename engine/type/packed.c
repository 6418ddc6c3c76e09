/*
 * packed.c - walking and editing packed runs.
 */
#include "engine/type/packed.h"

#include "base/check.h"

enum { VARINT_MAX = 5 };

static size_t varint_put(uint8_t out[VARINT_MAX], size_t value)
{
    size_t n = 0;

    while (value >= 0x80) {
        out[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[n++] = (uint8_t)value;
    return n;
}

struct packed packed_begin(struct slice bytes)
{
    return (struct packed){.bytes = bytes};
}

bool packed_next(struct packed *p)
{
    const uint8_t *data = p->bytes.data;
    size_t at = p->next, left = p->bytes.size - p->next, size, head = 1;

    if (left == 0)
        return false;
    size = data[at];
    if (size >= 0x80) {
        size &= 0x7f;
        for (unsigned shift = 7;; shift += 7) {
            if (head == VARINT_MAX || head == left)
                return false;
            size |= (size_t)(data[at + head] & 0x7f) << shift;
            if (data[at + head++] < 0x80)
                break;
        }
    }
    if (size > left - head)
        return false;
    p->at = at;
    p->entry = slice_of(data + at + head, size);
    p->next = at + head + size;
    return true;
}

bool packed_find(struct slice bytes, struct slice entry, size_t step, struct packed *place)
{
    const uint8_t *data = bytes.data;
    struct packed p = packed_begin(bytes);

    for (size_t left = 0;; left = left == 0 ? step - 1 : left - 1) { /* entries to pass before the next that counts */
        /* Most entries are short: their size is one byte, and no walk is needed to pass them. */
        if (__builtin_expect(p.next < bytes.size && data[p.next] < 0x80, 1)) {
            size_t size = data[p.next], next = p.next + 1 + size;

            if (next > bytes.size)
                return false;
            p.at = p.next;
            p.next = next;
            p.entry = slice_of(data + p.at + 1, size);
        } else if (!packed_next(&p)) {
            return false;
        }
        if (left == 0 && p.entry.size == entry.size &&
            (entry.size == 0 || memcmp(p.entry.data, entry.data, entry.size) == 0)) {
            *place = p;
            return true;
        }
    }
}

bool packed_valid(struct slice bytes, size_t *entries)
{
    struct packed p = packed_begin(bytes);
    size_t n = 0;

    while (packed_next(&p))
        n++;
    *entries = n;
    return p.next == bytes.size;
}

size_t packed_entry_bytes(size_t size)
{
    uint8_t head[VARINT_MAX];

    return varint_put(head, size) + size;
}

void packed_write(struct buf *out, struct slice entry)
{
    uint8_t head[VARINT_MAX];

    buf_append(out, head, varint_put(head, entry.size));
    buf_append_slice(out, entry);
}

void packed_insert(struct obj *o, size_t at, struct slice entry)
{
    uint8_t head[VARINT_MAX];
    size_t head_size = varint_put(head, entry.size), whole = head_size + entry.size;
    uint8_t *value = obj_value_reserve(o, o->value_size + whole);

    check(at <= o->value_size);
    memmove(value + at + whole, value + at, o->value_size - at);
    memcpy(value + at, head, head_size);
    if (entry.size > 0)
        memcpy(value + at + head_size, entry.data, entry.size);
    o->value_size += (uint32_t)whole;
}

void packed_append(struct obj *o, struct slice entry)
{
    packed_insert(o, o->value_size, entry);
}

void packed_remove(struct obj *o, size_t from, size_t to)
{
    obj_value_splice(o, from, to - from, (struct slice){0});
}

void packed_replace(struct obj *o, const struct packed *place, struct slice entry)
{
    size_t at = place->at;

    if (place->entry.size == entry.size) {
        if (entry.size > 0)
            memcpy(o->value + (place->next - entry.size), entry.data, entry.size);
        return;
    }
    packed_remove(o, at, place->next);
    packed_insert(o, at, entry);
}
