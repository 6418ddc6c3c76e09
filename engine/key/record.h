/*
 * record.h - the value of a key's row: what the key is, and all of it when it is small.
 *
 *   offset  size
 *        0     1  type (enum obj_type, engine/set/obj.h)
 *        1     1  form (enum obj_form) | 0x80 when an expiry follows
 *        2     1  marks
 *        3     8  last change: log position, little endian
 *       11     8  expiry, unix ms, little endian              (only with 0x80)
 *        .   1-10  count, varint (7 bits a byte, low first)
 *        .     .  value: the rest
 *
 * On disk: never change; a new layout needs a new type or form number.
 */
#ifndef CAIRN_ENGINE_KEY_RECORD_H
#define CAIRN_ENGINE_KEY_RECORD_H

#include "base/buf.h"
#include "base/err.h"
#include "base/types.h"

#include <string.h>

struct record {
    uint8_t type, form, marks;
    lsn_t last_change;
    msec_t expire_ms; /* 0: none */
    uint64_t count;
    struct slice value; /* borrowed from the encoded bytes */
};

/* Appends to out. */
void record_encode(struct buf *out, const struct record *r);

/* In encoded bytes: the position of the last change becomes this one. */
static inline void record_set_last_change(uint8_t *record, lsn_t last_change)
{
    memcpy(record + 3, &last_change, sizeof last_change);
}

/* ERR_CORRUPT if the bytes are no record. */
enum err record_decode(struct slice bytes, struct record *out) WARN_UNUSED;

#endif
