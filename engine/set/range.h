/*
 * range.h - keys of whole slots that come or go as ranges of rows, beside the objects in memory and the writer's drains.
 *
 * Both hold `pass`: no drain, view, checkpoint, FLUSHDB or floor comes between the frames in the log and the rows in the store.
 * What the log gets is ordinary effects (script.h), so a crash at any moment is redone from them, and replicas need nothing
 * else. Threads: any that may wait for the disk and holds no slot.
 */
#ifndef CAIRN_ENGINE_SET_RANGE_H
#define CAIRN_ENGINE_SET_RANGE_H

#include "base/err.h"
#include "base/types.h"

#include <stdbool.h>

struct set;

enum { RANGE_DROP_SLOTS_MAX = 64, RANGE_DROP_KEYS_MAX = 32768, RANGE_DROP_SLOT_KEYS_MAX = 1 << 18 };

/*
 * Removes all keys of slots first, first + 1 .. at most last: as many as fit into RANGE_DROP_KEYS_MAX keys, one at least. Each
 * key is a DEL in the log; in the store it is one deletion of the range. *next: the first slot that was left; *keys: how many
 * went; *end: the log position that makes it durable (unchanged if there was nothing). forbidden is asked with the slots
 * locked: true gives ERR_INVALID. ERR_RANGE: the first slot has more than RANGE_DROP_SLOT_KEYS_MAX keys; some must go otherwise
 * first.
 */
typedef bool range_forbidden(void *context);
enum err range_drop(struct set *s, unsigned db, slot_t first, slot_t last, unsigned *next, uint64_t *keys, lsn_t *end,
                    range_forbidden *forbidden, void *context) WARN_UNUSED;

/*
 * Gives the space of what was dropped in these slots back to the disk: flushes the deletion and compacts the range. Takes as
 * long as reading what is there. *freed: bytes of files, about.
 */
enum err range_compact(struct set *s, unsigned db, slot_t first, slot_t last, uint64_t *freed) WARN_UNUSED;

#endif
