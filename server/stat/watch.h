/*
 * watch.h - what is remembered about the node's past: slow commands, latency events, rates, the peak of memory.
 *
 * Threads: figures from any thread; samples are taken by the node's tick on the main thread.
 */
#ifndef CAIRN_SERVER_STAT_WATCH_H
#define CAIRN_SERVER_STAT_WATCH_H

#include "base/buf.h"
#include "base/types.h"
#include "engine/set/set.h"

struct watch;
struct node;
struct slowlog;
struct latency;
struct save;

/* Hooks itself into the node (observe, tick) and its settings. The node outlives it. */
struct watch *watch_new(struct node *n);
void watch_free(struct watch *w); /* no command runs any more; accepts NULL */

struct slowlog *watch_slowlog(struct watch *w);
struct latency *watch_latency(struct watch *w);
struct save *watch_save(struct watch *w);

/*
 * Numbers and sections that other rooms bring to INFO: pubsub_channels, sync_full ... and "replication". Added while
 * the node is composed, before commands run; names live for ever. read and write are called on any thread.
 */
typedef uint64_t watch_gauge_read(void *context);
void watch_gauge_add(struct watch *w, const char *name, watch_gauge_read *read, void *context);
uint64_t watch_gauge(const struct watch *w, const char *name); /* 0 without one */

typedef void watch_section_write(void *context, struct buf *out); /* appends "name:value\r\n" lines */
void watch_section_add(struct watch *w, const char *section, watch_section_write *write, void *context);
bool watch_section(const struct watch *w, const char *section, struct buf *out); /* false: nobody brought it */

/* CONFIG RESETSTAT: rates and the counters of the set begin anew. */
void watch_reset(struct watch *w);

struct watch_figures {
    uint64_t ops_per_s, turns_per_s, turn_us; /* turn_us: what a turn takes */
    double input_kb_per_s, output_kb_per_s;
    uint64_t memory_peak, memory_at_start; /* bytes */
    struct set_figures set;                /* counters: since the last reset */
};
void watch_figures(struct watch *w, struct watch_figures *out);

#endif
