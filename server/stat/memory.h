/*
 * memory.h - where the process' memory is.
 */
#ifndef CAIRN_SERVER_STAT_MEMORY_H
#define CAIRN_SERVER_STAT_MEMORY_H

#include "base/buf.h"
#include "base/types.h"

struct node;

/* The allocator's and the kernel's view, bytes. */
struct memory_figures {
    uint64_t allocated;                  /* by malloc; without jemalloc the sum of the parts that are known */
    uint64_t active, resident_allocator; /* jemalloc's pages; without it as allocated */
    uint64_t resident;                   /* of the process */
    bool exact;                          /* the program runs on jemalloc */
};
void memory_figures(struct node *n, struct memory_figures *out);

/* The node's parts, bytes. */
struct memory_parts {
    struct memory_figures allocator;
    uint64_t used, peak, at_start;
    uint64_t set, cache, memtables, clients_normal, clients_replicas, log_buffer;
    uint64_t overhead; /* all but the data */
    uint64_t dataset;
    uint64_t keys; /* in all databases */
    uint64_t maxmemory, machine;
    double dataset_percent, peak_percent, fragmentation, resident_ratio;
};
void memory_parts(struct node *n, struct memory_parts *out);

/* Gives unused pages back to the system; false: the allocator refused. */
bool memory_release(void);

/* The allocator's own report. */
void memory_allocator_text(struct buf *out);

/* Advice for people. */
void memory_doctor(const struct memory_parts *p, struct buf *out);

/* "1.50M", as Redis prints sizes. Returns out. */
const char *memory_human(uint64_t bytes, char out[32]);

#endif
