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
#include "base/slice.h"
#include "base/types.h"

#include <stdbool.h>

struct set;
struct script;

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

/* ---- Keys that come ---- */

/*
 * Rows as another node's store has them, PLAIN and PACKED records, for slots that nobody reads or writes meanwhile; in
 * ascending order. With each key the caller puts the commands that make it into the script:
 *
 *     at = script_key(words, slot); ... script_effect(words, at, 1, 0); ...
 *     landing_add(l, row, record, expire_ms);
 *     ... range_land(set, l, ...); landing_clear(l);
 */
struct landing;
struct landing *landing_new(unsigned db);
void landing_free(struct landing *l); /* accepts NULL */
void landing_clear(struct landing *l);
struct script *landing_words(struct landing *l);
size_t landing_bytes(const struct landing *l);
size_t landing_keys(const struct landing *l);
/* row: the key of the row (engine/key/row.h); both are copied. ERR_CORRUPT: not behind the row before. */
enum err landing_add(struct landing *l, slot_t slot, struct slice row, struct slice record, msec_t expire_ms) WARN_UNUSED;

/*
 * Puts the frames into the log, makes it durable, and the rows into the store as one sorted file, stamped with the positions
 * of their frames; counts them. None of it passes through objects or drains. *end: the log's position behind it.
 * ERR_EXISTS: memory has one of the keys (nothing was changed); ERR_INVALID: forbidden (some slots may have landed).
 */
enum err range_land(struct set *s, struct landing *l, lsn_t *end, range_forbidden *forbidden, void *context) WARN_UNUSED;

#endif
