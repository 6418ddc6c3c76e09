/*
 * digest.h - a fingerprint of values: equal data give equal digests, in whatever form or order they are kept. Redis' are the same, so
 * that redis-cli --cluster fix can compare a key that is on a node of each kind.
 */
#ifndef CAIRN_SERVER_CMD_DIGEST_H
#define CAIRN_SERVER_CMD_DIGEST_H

#include "base/buf.h"
#include "engine/set/txn.h"

enum { DIGEST_BYTES = 20 };

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

/* Adds a key's type, value and whether it expires to *out. scratch: for the value of a string. */
enum err digest_value(struct txn *t, struct obj *o, struct buf *scratch, struct digest *out) WARN_UNUSED;

/* The sum does not depend on the order of what is added, but on the order of what is mixed. */
void digest_add(struct digest *sum, struct slice bytes);
void digest_mix(struct digest *sum, struct slice bytes);
void digest_mix_number(struct digest *sum, uint32_t number);

/* 40 hex characters. */
void digest_text(const struct digest *d, struct buf *out);

#endif
