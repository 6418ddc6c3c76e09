/*
 * migrate_stream.h - a RESTORE of one large value, read while it is sent: a walk over the rows tells the payload's length, a second
 * one sends it. No slot is locked meanwhile, and the memory is that of one run of bytes.
 */
#ifndef CAIRN_SERVER_CMD_MIGRATE_STREAM_H
#define CAIRN_SERVER_CMD_MIGRATE_STREAM_H

#include "base/err.h"
#include "base/slice.h"
#include "engine/set/set.h"
#include "server/net/remote.h"

struct migrate_stream;

/*
 * The value of `key` as it is now. ERR_NOT_FOUND: it is not there; ERR_BUSY: it is being changed all the time (nobody changes a busy
 * key); errors of the disk. May take as long as reading the value does.
 */
enum err migrate_stream_open(struct set *set, unsigned db, struct slice key, struct migrate_stream **out) WARN_UNUSED;
void migrate_stream_close(struct migrate_stream *s); /* NULL is fine */

/* Sends `command` (RESTORE or RESTORE-ASKING), key, ttl, payload and perhaps REPLACE. Can be repeated on another connection. */
enum err migrate_stream_send(struct migrate_stream *s, const char *command, msec_t ttl, bool replace, struct remote *to,
                             msec_t timeout_ms) WARN_UNUSED;

#endif
