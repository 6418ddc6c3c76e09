/*
 * rdb_encode.h - one value as Redis 7.0 would write it: small collections as listpacks and intsets, large ones as a count
 * and their elements. A large value is taken and written piece by piece.
 */
#ifndef CAIRN_PERSISTENCE_RDB_RDB_ENCODE_H
#define CAIRN_PERSISTENCE_RDB_RDB_ENCODE_H

#include "base/err.h"
#include "base/slice.h"
#include "engine/set/obj.h"
#include "persistence/rdb/rdb_output.h"

/* One element; borrowed until the next. name: list element, set member, field, member, or the next bytes of a string. */
struct rdb_element {
    struct slice name, value;
    double score;
};

/* A value to be written. */
struct rdb_value {
    enum obj_type type;
    uint8_t marks;  /* enum obj_mark: of collections, whether the compact form fits */
    uint64_t count; /* elements that will come; of a string its bytes */
    void *context;
    /* The next element; ERR_NOT_FOUND: the end. Of a sorted set in its order (score, member), unless it is LARGE. */
    enum err (*next)(void *context, struct rdb_element *element);
};

/* The RDB type that rdb_encode will use. */
unsigned rdb_encode_type(const struct rdb_value *v);

/* Writes the value, without its type. ERR_CORRUPT: not as many elements came as v->count said. */
enum err rdb_encode(const struct rdb_value *v, struct rdb_output *out) WARN_UNUSED;

#endif
