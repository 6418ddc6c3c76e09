/*
 * sets.h - Redis' sets: members in one packed run (PACKED) or a row each (BIG). o->count is the number of members.
 *
 * Objects passed in are sets found by txn_read (for reading) or txn_write / txn_create (for changing). A function that
 * changes reads first: ERR_COLD means that nothing was changed. None emits effects unless it says so, except through
 * txn_delete. Members passed in must not point into the object. Cost: PACKED O(bytes of the run), BIG one row.
 */
#ifndef CAIRN_ENGINE_TYPE_SETS_H
#define CAIRN_ENGINE_TYPE_SETS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "engine/set/obj.h"
#include "engine/set/txn.h"
#include "engine/type/element_sample.h"

/* Redis' defaults of set-max-intset-entries, set-max-listpack-entries and -value, for OBJECT ENCODING. */
enum { SETS_INTSET_ENTRIES_MAX = 512, SETS_LISTPACK_ENTRIES_MAX = 128, SETS_LISTPACK_VALUE_MAX = 64 };

/* OBJECT ENCODING: "intset", "listpack" or "hashtable". */
const char *sets_encoding(const struct obj *o);

enum err sets_has(struct txn *t, struct obj *o, struct slice member, bool *has) WARN_UNUSED;

/* o may be new and empty. *added: it was not in the set. */
enum err sets_add(struct txn *t, struct obj *o, struct slice member, bool *added) WARN_UNUSED;
enum err sets_add_many(struct txn *t, struct obj *o, const struct slice *members, size_t count,
                       uint64_t *added) WARN_UNUSED;

/* Removes these members; *removed counts those that were there. If none is left the key is deleted and o is gone. */
enum err sets_remove(struct txn *t, struct obj *o, const struct slice *members, size_t count,
                     uint64_t *removed) WARN_UNUSED;

/* Removes one random member and appends it to out. Emits SREM, or DEL when it was the last. */
enum err sets_pop(struct txn *t, struct obj *o, struct buf *out) WARN_UNUSED;

/* Removes `count` random members (at most all) and adds them to l. Emits SREM, or DEL when none is left. */
enum err sets_pop_many(struct txn *t, struct obj *o, uint64_t count, struct element_list *l) WARN_UNUSED;

/* Moves a member between two sets; emits its effects. *moved false: no such source or member. ERR_WRONG_TYPE. */
enum err sets_move(struct txn *t, struct slice source, struct slice destination, struct slice member,
                   bool *moved) WARN_UNUSED;

struct name_set;

/* Makes the key a set of these members, whatever it was before; none: the key is deleted. Emits its effects. */
enum err sets_store(struct txn *t, struct slice key, const struct name_set *members) WARN_UNUSED;

#endif
