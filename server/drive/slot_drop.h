/*
 * slot_drop.h - removes the keys of slots that this node has lost, on a thread of its own, tells when the last key is gone and the
 * log is synced so far, and then gives their space on disk back.
 */
#ifndef CAIRN_SERVER_DRIVE_SLOT_DROP_H
#define CAIRN_SERVER_DRIVE_SLOT_DROP_H

#include "base/err.h"
#include "base/types.h"

#include <stdbool.h>

struct journal;
struct set;
struct slot_drop;

struct slot_drop_options {
    struct set *set;
    const struct journal *journal;
    void (*dropped)(void *context, slot_t slot); /* on the thread of the drop, no lock held */
    /* With the slot locked: this node follows another one now, whose data it must not touch. The slot is let go. */
    bool (*forbidden)(void *context);
    void *context;
};

struct slot_drop *slot_drop_new(const struct slot_drop_options *options);
void slot_drop_stop(struct slot_drop *d); /* where it is; what is added later waits for the next start. Accepts NULL */
void slot_drop_free(struct slot_drop *d);

/* Since the start. Any thread. */
struct slot_drop_figures {
    uint64_t slots, keys; /* that went */
    uint64_t freed_bytes; /* of files, about, by the compaction behind it */
};
void slot_drop_figures(struct slot_drop *d, struct slot_drop_figures *out);

/* Any thread; returns at once. */
void slot_drop_add(struct slot_drop *d, slot_t slot);

#endif
