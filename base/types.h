/*
 * types.h - the few small scalars that every room speaks.
 */
#ifndef CAIRN_BASE_TYPES_H
#define CAIRN_BASE_TYPES_H

#include <stdint.h>

typedef uint16_t slot_t; /* 0 .. SLOTS - 1; SLOT_NODE for rows of the node itself */
typedef uint64_t lsn_t;  /* log position: stream offset, see engine/set/journal.h */
typedef int64_t msec_t;  /* unix time or duration, milliseconds */

enum { SLOTS = 16384, SLOT_NODE = 0xFFFF };

#endif
