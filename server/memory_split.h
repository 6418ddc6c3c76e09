/*
 * memory_split.h - the part of maxmemory that each consumer of memory gets. All in bytes.
 */
#ifndef CAIRN_SERVER_MEMORY_SPLIT_H
#define CAIRN_SERVER_MEMORY_SPLIT_H

#include <stdint.h>

struct memory_split {
    uint64_t total;
    uint64_t set;     /* objects in memory */
    uint64_t dirty;   /* of which changed and not yet in the store */
    uint64_t cache;   /* RocksDB's block cache */
    uint64_t buffers; /* RocksDB's memtables */
};

/* maxmemory 0: half of the machine's. */
struct memory_split memory_split_of(uint64_t maxmemory, uint64_t machine_bytes);
struct memory_split memory_split_here(uint64_t maxmemory); /* on this machine */

#endif
