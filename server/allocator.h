/*
 * allocator.h - what jemalloc is asked for. Objects lie on pages of 2 MB where memory is plenty, so that a random look-up misses
 * the TLB less; memory that is free goes back to the system by threads of jemalloc's own. Without jemalloc nothing happens.
 */
#ifndef CAIRN_SERVER_ALLOCATOR_H
#define CAIRN_SERVER_ALLOCATOR_H

#include <stdbool.h>
#include <stdint.h>

struct allocator_wishes {
    bool huge_pages; /* false: disable-thp yes */
    bool background; /* jemalloc-bg-thread */
    uint64_t memory; /* bytes: maxmemory, or half of the machine's. With less than 1 GB pages stay small */
};

/* First thing in main: what is allocated before the settings are known takes small pages. */
void allocator_begin(void);

/* In the process that stays: threads do not survive a fork. Where the system never gives large pages, it does not now. */
void allocator_choose(const struct allocator_wishes *wishes);

#endif
