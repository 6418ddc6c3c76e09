/*
 * memory_split.c - how maxmemory is split.
 *
 *   total            maxmemory, or half of the machine
 *   cache   1/4      RocksDB's block cache: compressed blocks serve the misses
 *   buffers 1/32     per memtable, 4 .. 64 MB; two may exist at a time
 *   dirty   1/4      1 MB .. 1 GB: a small part drains too often, and rows of few changes cost compaction (0039)
 *   clients 1/16     query and output buffers
 *   set              what is left: the objects, dirty ones included
 */
#include "server/memory_split.h"

#include <sys/sysinfo.h>

struct memory_split memory_split_of(uint64_t maxmemory, uint64_t machine_bytes)
{
    struct memory_split m = {.total = maxmemory != 0 ? maxmemory : machine_bytes / 2};
    const uint64_t mb = 1 << 20;

    if (m.total < 16 * mb)
        m.total = 16 * mb;
    m.cache = m.total / 4;
    m.buffers = m.total / 32 < 4 * mb ? 4 * mb : m.total / 32 > 64 * mb ? 64 * mb : m.total / 32;
    m.dirty = m.total / 4 > 1024 * mb ? 1024 * mb : m.total / 4;
    m.set = m.total - m.cache - m.total / 16;
    m.set = m.set > 2 * m.buffers + m.dirty ? m.set - 2 * m.buffers : 2 * m.dirty;
    return m;
}

struct memory_split memory_split_here(uint64_t maxmemory)
{
    struct sysinfo machine;

    sysinfo(&machine);
    return memory_split_of(maxmemory, (uint64_t)machine.totalram * machine.mem_unit);
}
