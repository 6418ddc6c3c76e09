/*
 * repl_tail.h - the end of a log as a sum.
 *
 * An offset and a history id say that two logs are one up to there, unless somebody has put an old copy of a data folder in
 * its place: such a log grows again under the same id, with other writes. A replica therefore tells the primary what the bytes
 * before its offset are; only if the primary's are the same does the stream go on from there.
 */
#ifndef CAIRN_SERVER_DRIVE_REPL_TAIL_H
#define CAIRN_SERVER_DRIVE_REPL_TAIL_H

#include "base/err.h"
#include "base/types.h"

#include <stdbool.h>

struct wal;

enum { REPL_TAIL_BYTES = 4096 }; /* at most that much is summed */

#define REPL_TAIL "CAIRN-TAIL" /* PSYNC <id> <offset> [FAILOVER] CAIRN-TAIL <from> <sum> */

struct repl_tail {
    lsn_t from;
    uint64_t sum; /* XXH3 of the stream's bytes from there to the offset */
};

/* Of what lies before position `end`. ERR_NOT_FOUND: nothing does, the log begins there; ERR_IO, ERR_CORRUPT. */
enum err repl_tail_take(struct wal *wal, lsn_t end, struct repl_tail *out) WARN_UNUSED;

/* Whether this log has other bytes there. What it no longer has it cannot compare: that is no difference. Reads up to a segment. */
bool repl_tail_differs(struct wal *wal, lsn_t end, const struct repl_tail *of);

#endif
