/*
 * digest.h - a fingerprint of values: equal data give equal digests, in whatever form or order they are kept.
 *
 * It is compared between servers of this kind only; it is not Redis' digest.
 */
#ifndef CAIRN_SERVER_CMD_DIGEST_H
#define CAIRN_SERVER_CMD_DIGEST_H

#include "base/buf.h"
#include "engine/set/txn.h"

enum { DIGEST_BYTES = 20 };

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

/* Of a key's type, value and whether it expires. scratch: for the value of a string. */
enum err digest_value(struct txn *t, struct obj *o, struct buf *scratch, struct digest *out) WARN_UNUSED;

/* Adds `more` to a sum that does not depend on the order. */
void digest_add(struct digest *sum, const struct digest *more);

/* Of several pieces, in order. */
struct digest digest_of(const struct slice *pieces, size_t count);

/* 40 hex characters. */
void digest_text(const struct digest *d, struct buf *out);

#endif
