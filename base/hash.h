/*
 * hash.h - checksums and hashes: CRC16 for slots, CRC64 for dump payloads, xxhash for tables and frames.
 */
#ifndef CAIRN_BASE_HASH_H
#define CAIRN_BASE_HASH_H

#include "base/slice.h"
#include "base/types.h"

/* CRC16-XMODEM (poly 0x1021, init 0). Check value of "123456789": 0x31C3. */
uint16_t hash_crc16(struct slice bytes);

/* CRC64 "Jones", reflected, continued from `crc` (0 at the start). Check value of "123456789": 0xe9c6d914c4b8d9ca. */
uint64_t hash_crc64(uint64_t crc, struct slice bytes);

/* The slot of a key: CRC16 of its hash tag, or of all of it, mod 16384 (Redis Cluster spec, hash tags). */
slot_t hash_slot(struct slice key);

/* 32-bit xxhash of a name: the order of keys inside a slot and of elements inside a collection. On disk: never change. */
uint32_t hash_name(struct slice name);

/* XXH3, 64 bit: checksum of log frames and files. On disk: never change. */
uint64_t hash_sum(struct slice bytes);

/* hash_sum of two runs of bytes as if the second stood behind the first. */
uint64_t hash_sum_two(struct slice first, struct slice second);

#endif
