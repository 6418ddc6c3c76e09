/*
 * ranges.c - slots as text.
 */
#include "cluster/ranges.h"

#include "base/num.h"
#include "cluster/slots.h"

#include <string.h>

void ranges_print(const uint8_t bits[SLOT_BYTES], struct buf *out)
{
    const char *separator = "";
    unsigned next = 0;
    slot_t first, last;

    for (; slots_next_range(bits, &next, &first, &last); separator = ",")
        buf_append_format(out, first == last ? "%s%u" : "%s%u-%u", separator, first, last);
}

static bool parse_slot(struct slice text, slot_t *out)
{
    uint64_t value;

    if (!num_parse_u64(text, &value) || value >= SLOTS)
        return false;
    *out = (slot_t)value;
    return true;
}

bool ranges_parse_one(struct slice text, slot_t *first, slot_t *last)
{
    const uint8_t *dash = text.size > 0 ? memchr(text.data, '-', text.size) : NULL;
    size_t size = dash != NULL ? (size_t)(dash - text.data) : text.size;

    if (!parse_slot(slice_of(text.data, size), first))
        return false;
    *last = *first;
    return dash == NULL || (parse_slot(slice_of(dash + 1, text.size - size - 1), last) && *last >= *first);
}

bool ranges_parse(struct slice text, uint8_t bits[SLOT_BYTES])
{
    bool more = true;

    while (more) {
        const uint8_t *comma = text.size > 0 ? memchr(text.data, ',', text.size) : NULL;
        size_t size = comma != NULL ? (size_t)(comma - text.data) : text.size;
        slot_t first, last;

        if (!ranges_parse_one(slice_of(text.data, size), &first, &last))
            return false;
        for (unsigned s = first; s <= last; s++)
            bit_set(bits, s);
        more = comma != NULL;
        if (more)
            text = slice_of(comma + 1, text.size - size - 1);
    }
    return true;
}
