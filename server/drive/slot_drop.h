/*
 * slot_drop.h - removes the keys of slots that this node has lost, in small transactions on a thread of its own.
 */
#ifndef CAIRN_SERVER_DRIVE_SLOT_DROP_H
#define CAIRN_SERVER_DRIVE_SLOT_DROP_H

#include "base/err.h"
#include "base/types.h"

struct slot_drop;
struct set;

struct slot_drop *slot_drop_new(struct set *set);
void slot_drop_free(struct slot_drop *d); /* stops where it is */

/* Any thread; returns at once. */
void slot_drop_add(struct slot_drop *d, slot_t slot);

#endif
