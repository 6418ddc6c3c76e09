/*
 * write_hold.h - holds clients' writes for a planned failover, and tells when the log's end is final.
 *
 * Two steps make the end final. First nothing new begins: commands that may write wait as under CLIENT PAUSE, and the route
 * gate, which is asked with the slots locked, sends back those that had passed that point. Then every slot is locked
 * once, so that what was under way is over.
 */
#ifndef CAIRN_SERVER_DRIVE_WRITE_HOLD_H
#define CAIRN_SERVER_DRIVE_WRITE_HOLD_H

#include <stdbool.h>

#include "base/types.h"

struct write_hold;
struct node;

/* Called on a thread of the hold, without locks, once the writes of the last write_hold_begin are over. */
typedef void write_hold_done(void *context);

struct write_hold *write_hold_new(struct node *node, write_hold_done *done, void *context);
void write_hold_stop(struct write_hold *h); /* no call of `done` afterwards; NULL is fine */
void write_hold_free(struct write_hold *h);

/* Quick; any thread. A second one begins anew. */
void write_hold_begin(struct write_hold *h, msec_t until_ms);
void write_hold_end(struct write_hold *h);

/* Writes must not begin. Any thread, with slots locked or not. */
bool write_hold_active(const struct write_hold *h);

#endif
