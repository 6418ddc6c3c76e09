/*
 * rdb_decode.h - one value, from any of the encodings of Redis 1 to 7.2, as a stream of elements.
 *
 * Strings, lists, sets, hashes and sorted sets. Streams, modules and what is not known are refused by name.
 */
#ifndef CAIRN_PERSISTENCE_RDB_RDB_DECODE_H
#define CAIRN_PERSISTENCE_RDB_RDB_DECODE_H

#include "base/err.h"
#include "base/slice.h"
#include "engine/set/obj.h"

struct rdb_input;

enum { RDB_STRING_WHOLE_MAX = OBJ_STRING_PLAIN_MAX }; /* longer strings may come in pieces */

/*
 * Receives the value: begin once, then element for each. An error ends the decoding and is handed on.
 *
 * count: elements to come, as the bytes say (a lie until all has been decoded), 0 if they do not; for a string its bytes.
 * name: the element of a list, member of a set or sorted set, field of a hash; the next piece of a string (one, or several
 * of a string longer than RDB_STRING_WHOLE_MAX). value: of a hash's field. Both borrow until element returns. score: never NaN.
 */
struct rdb_sink {
    void *context;
    enum err (*begin)(void *context, enum obj_type type, uint64_t count);
    enum err (*element)(void *context, struct slice name, struct slice value, double score);
};

/*
 * Decodes the value of this RDB type; sink may be NULL: it is checked and passed over.
 * ERR_INVALID: a type that is not taken (text names it); ERR_CORRUPT: does not fit the format, with the offset in the text.
 * A collection without elements is not refused here: begin is called, element is not.
 * Not seen here: whether names are distinct.
 */
enum err rdb_decode(struct rdb_input *in, unsigned type, const struct rdb_sink *sink) WARN_UNUSED;

/* What kind of value an RDB type is; false: none that is taken. */
bool rdb_type_of(unsigned type, enum obj_type *out);

#endif
