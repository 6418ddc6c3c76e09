/*
 * rdb_object.h - keys of the working set and the dump format: DUMP payloads of an object, objects built from decoded values.
 *
 * A payload is: type byte, value, RDB version u16 LE, CRC64 u64 LE of everything before.
 */
#ifndef CAIRN_PERSISTENCE_RDB_RDB_OBJECT_H
#define CAIRN_PERSISTENCE_RDB_RDB_OBJECT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "engine/set/txn.h"
#include "persistence/rdb/rdb_decode.h"

enum { RDB_FOOTER_BYTES = 10 };

/* Appends the payload of o, which txn_read or txn_peek found. ERR_COLD as walks of its type do, ERR_INVALID: a
 * type that the format does not carry yet; out is then as it was. */
enum err rdb_object_dump(struct txn *t, struct obj *o, bool compress, struct buf *out) WARN_UNUSED;

/* Puts the footer behind what `out` holds from byte `from` on. */
void rdb_payload_finish(struct buf *out, size_t from);

/* ERR_INVALID: the version is too new, or the checksum wrong, or it is too short for both. */
enum err rdb_payload_verify(struct slice payload) WARN_UNUSED;

/*
 * Whether the value in a verified payload is one that is taken, whole, not empty and with distinct names; nothing is
 * changed. *count: its elements. ERR_INVALID or ERR_CORRUPT with text. Memory: about 16 bytes an element.
 */
enum err rdb_payload_check(struct slice payload, uint64_t *count) WARN_UNUSED;

/*
 * Builds o, which is new and empty or was emptied by txn_reset, from a checked payload: its type must be that of the
 * payload. Emits no effect. May only fail as a failing disk does.
 */
enum err rdb_payload_apply(struct txn *t, struct obj *o, struct slice payload) WARN_UNUSED;
enum err rdb_payload_type(struct slice payload, enum obj_type *out) WARN_UNUSED;

/* ---- A sink that builds an object ---- */

/* Distinct names by their 64-bit hashes: about 16 bytes a name. Zeroed is empty. */
struct rdb_names {
    uint64_t *cells;
    size_t capacity, count;
    bool has_zero;
};
/* False: it was there. */
bool rdb_names_add(struct rdb_names *n, struct slice name);
void rdb_names_clear(struct rdb_names *n);
void rdb_names_free(struct rdb_names *n);

/*
 * Elements come through rdb_build_element; the object has its count, marks and value after each. Rows of a large one are
 * written without being read, so names must be distinct: told here if `names` is given, else by the caller before.
 */
struct rdb_build {
    struct txn *txn;
    struct obj *o;
    struct rdb_names *names; /* NULL: they are known to be distinct */
    double last_score;       /* PACKED sorted sets: private */
    struct buf last;
};
enum err rdb_build_element(struct rdb_build *b, struct slice name, struct slice value, double score) WARN_UNUSED;

#endif
