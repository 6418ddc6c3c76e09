/*
 * rdb.h - the words of Redis' RDB format: opcodes and value types. Numbers of the format: never renumber.
 *
 * Files (rdb_reader, rdb_writer) and DUMP payloads (rdb_object) share the encoding of values (rdb_decode, rdb_encode).
 */
#ifndef CAIRN_PERSISTENCE_RDB_RDB_H
#define CAIRN_PERSISTENCE_RDB_RDB_H

enum {
    RDB_VERSION = 10,     /* written: Redis 7.0 and everything after it reads it */
    RDB_VERSION_MAX = 11, /* read: Redis 7.2 */
    RDB_FILE_VERSION_MAX = 12, /* of files: Redis 7.4 and 8.0 differ by types that are refused by name */
    RDB_MAGIC_BYTES = 9,  /* "REDIS" and four digits */
};

enum rdb_opcode {
    RDB_SLOT_INFO = 244,
    RDB_FUNCTION2 = 245,
    RDB_FUNCTION = 246,
    RDB_MODULE_AUX = 247,
    RDB_IDLE = 248,
    RDB_FREQ = 249,
    RDB_AUX = 250,
    RDB_RESIZEDB = 251,
    RDB_EXPIRE_MS = 252,
    RDB_EXPIRE_S = 253,
    RDB_SELECTDB = 254,
    RDB_EOF = 255,
};

enum rdb_type {
    RDB_STRING = 0,
    RDB_LIST = 1,
    RDB_SET = 2,
    RDB_ZSET = 3,
    RDB_HASH = 4,
    RDB_ZSET_2 = 5,
    RDB_MODULE = 6,
    RDB_MODULE_2 = 7,
    RDB_HASH_ZIPMAP = 9,
    RDB_LIST_ZIPLIST = 10,
    RDB_SET_INTSET = 11,
    RDB_ZSET_ZIPLIST = 12,
    RDB_HASH_ZIPLIST = 13,
    RDB_LIST_QUICKLIST = 14,
    RDB_STREAM_LISTPACKS = 15,
    RDB_HASH_LISTPACK = 16,
    RDB_ZSET_LISTPACK = 17,
    RDB_LIST_QUICKLIST_2 = 18,
    RDB_STREAM_LISTPACKS_2 = 19,
    RDB_SET_LISTPACK = 20,
    RDB_STREAM_LISTPACKS_3 = 21,
    RDB_TYPE_LAST = RDB_STREAM_LISTPACKS_3,
};

/* What a type is called in an error text; never NULL. */
const char *rdb_type_name(unsigned type);

#endif
