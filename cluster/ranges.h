/*
 * ranges.h - a set of slots as text: "5,7-9", as in nodes.conf and in what a master says to its replicas.
 */
#ifndef CAIRN_CLUSTER_RANGES_H
#define CAIRN_CLUSTER_RANGES_H

#include "cluster/cluster_priv.h"

/* Appends the set bits; nothing if there are none. */
void ranges_print(const uint8_t bits[SLOT_BYTES], struct buf *out);

/* Sets the bits that text names; false: it is something else, and some bits may be set. Outside bytes. */
bool ranges_parse(struct slice text, uint8_t bits[SLOT_BYTES]) WARN_UNUSED;

/* "slot" or "first-last". */
bool ranges_parse_one(struct slice text, slot_t *first, slot_t *last) WARN_UNUSED;

#endif
