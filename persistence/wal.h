/*
 * wal.h - the log: every change, in one order, before anyone hears of it.
 *
 * (1) Positions are dense: frames are contiguous from the first segment to the tail.
 * (2) tail >= written >= durable, and each only grows: appended, in the kernel, on stable storage.
 * (3) A failed write or sync is final: the fatal hook ends the process; if it returns (tests), the log refuses all
 *     further work and neither written nor durable moves again.
 * (4) The texts of all effects, one behind the other, are a Redis replication stream; positions count its bytes.
 *
 * Files in the directory: segments (persistence/segment.h) and `history` (persistence/history.h).
 * Threads: append, write and sync from any thread. Append does no I/O and may be called with slot locks held.
 * Does not know RocksDB, keys or replicas.
 */
#ifndef CAIRN_PERSISTENCE_WAL_H
#define CAIRN_PERSISTENCE_WAL_H

#include "base/err.h"
#include "base/slice.h"
#include "base/types.h"
#include "engine/set/journal.h"
#include "persistence/history.h"

struct vfs;
struct wal;

enum wal_fsync { WAL_FSYNC_ALWAYS, WAL_FSYNC_EVERYSEC, WAL_FSYNC_NO }; /* appendfsync */

struct wal_options {
    uint64_t segment_bytes;  /* a segment is left when it has this many bytes; 0: 16 MB */
    uint64_t raw_bytes;      /* the newest full segments stay uncompressed up to this; default 64 MB */
    msec_t seal_age_ms;      /* and so do those that ended less long ago; default a minute */
    uint64_t retain_bytes;   /* what recovery no longer needs is kept for replicas up to this size of the whole log ... */
    msec_t retain_ms;        /* ... and to this age; 0: any age. While space is low, nothing is kept for replicas */
    uint64_t space_reserve;  /* wal_space_low below this much free disk; default 256 MB */
    enum wal_fsync fsync;
    bool foreground;         /* no threads: the caller calls wal_keep (tests, tools) */
    bool accept_damage;      /* cuts at the first damage whatever lies behind it: an operator's decision (cairn-check) */
    uint64_t seed;           /* of the first history's id */
    /* Called when the log can no longer be written; default: logs the text and aborts. */
    void (*fatal)(void *context, enum err e, const char *text);
    void *fatal_context;
};

/* The defaults; change what is needed. */
struct wal_options wal_options_default(void);

/* What the start found. */
struct wal_found {
    bool lossless;           /* a clean stop, or the machine has not restarted since: nothing that was written is lost */
    uint64_t torn_bytes;     /* cut from the end */
    lsn_t torn_position;     /* where, if torn_bytes > 0 */
};

/*
 * Opens the log of a directory, or begins one there. Reads the segments, cuts a torn tail (reported to the event log
 * and in *found, which may be NULL), syncs what is left, starts the background threads.
 * ERR_CORRUPT: damage before valid records, a missing segment, or a log shorter than at its clean stop: err_text names
 * file, offset and what to do. ERR_IO: something could not be read; that is never taken for an end.
 */
enum err wal_open(struct vfs *vfs, const char *dir, const struct wal_options *options, struct wal_found *found,
                  struct wal **out) WARN_UNUSED;

/* Writes, syncs, marks the clean stop, stops the threads. Accepts NULL. No other call may be in progress. */
void wal_close(struct wal *wal);

/* ---- Appending ---- */

/* As journal.append. Every effect has at least one byte of text; their sum is text.size, below 4 GB. */
lsn_t wal_append_from(struct wal *wal, const struct journal_effect *effects, size_t count, struct slice text, struct buf *from);

/* The same with a text that stays the caller's. */
lsn_t wal_append(struct wal *wal, const struct journal_effect *effects, size_t count, struct slice text);

/*
 * A frame of about so many bytes will come soon: makes its write short, if that is large (wal_room.c). Takes about as long as that
 * write would have taken, and others write in between. Call it with no lock held.
 */
void wal_room(struct wal *wal, uint64_t bytes);

/*
 * While following another node's stream the appended text is that stream, SELECT included: none is inserted, so that
 * positions stay those of the other node. Off at the start; the first frame after it is switched off has a SELECT.
 */
void wal_follow(struct wal *wal, bool following);

/* The next frame gets a SELECT: before the stream goes to a replica that has none (a full synchronisation). */
void wal_select_again(struct wal *wal);

/* The database that is selected at the end of the stream; false: none. */
bool wal_selected(struct wal *wal, unsigned *db);

/*
 * Told after `written` has moved, on the thread that wrote: it must be quick and take no lock of the log. For whoever
 * sends the log on. NULL: nobody. The former hook does not run any more when this returns.
 */
typedef void wal_written_hook(void *context);
void wal_on_written(struct wal *wal, wal_written_hook *hook, void *context);

/* Hands everything up to lsn <= tail to the kernel. A thread whose bytes another one took returns at once. */
enum err wal_write_to(struct wal *wal, lsn_t lsn) WARN_UNUSED;

/* The same for all that is appended now. */
enum err wal_write(struct wal *wal) WARN_UNUSED;

/* Everything up to lsn <= tail is on stable storage (written first if it must). One sync serves all who wait. */
enum err wal_sync_to(struct wal *wal, lsn_t lsn) WARN_UNUSED;

/* As the journal that engine/set asks for; wal outlives it. */
struct journal wal_journal(struct wal *wal);

lsn_t wal_tail(const struct wal *wal);
lsn_t wal_written(const struct wal *wal);
lsn_t wal_durable(const struct wal *wal);

/* Appended and not written: a worker in the middle of a long turn writes when this is beyond 16 MB or so. */
uint64_t wal_pending_bytes(const struct wal *wal);

/* The disk has less than the reserve left: refuse writes (before the log must end the process). */
bool wal_space_low(const struct wal *wal);

enum wal_fsync wal_fsync_policy(const struct wal *wal);
void wal_fsync_policy_set(struct wal *wal, enum wal_fsync policy);
void wal_retention_set(struct wal *wal, uint64_t retain_bytes, msec_t retain_ms);

/* ---- What may go ---- */

/* Recovery needs only positions >= floor; as journal.trim. Never decreases. */
void wal_trim(struct wal *wal, lsn_t floor);

/* Positions behind lsn stay readable until the hold is moved or dropped. Up to WAL_HOLDS_MAX; -1: no more. */
enum { WAL_HOLDS_MAX = 64 };
int wal_hold(struct wal *wal, lsn_t lsn);
void wal_hold_move(struct wal *wal, int hold, lsn_t lsn);
void wal_hold_drop(struct wal *wal, int hold);

/* One round of sealing and retention; the background thread does this by itself. */
void wal_keep(struct wal *wal);

/* ---- The history ---- */

void wal_history(struct wal *wal, struct history *out);

/*
 * A new history continues the log from its tail, which is synced first (a promotion, or a start that was not lossless
 * on a node that replicas followed). wal_history_adopt is for a replica told "+CONTINUE <replid>".
 * random: 64 bits. No append may be in progress.
 */
enum err wal_history_fork(struct wal *wal, uint64_t random) WARN_UNUSED;
enum err wal_history_adopt(struct wal *wal, const char *replid) WARN_UNUSED;

/* After wal_reset to the history of another node: what that one says came before it. Who took part in that finds out where it
 * left. */
enum err wal_history_inherit(struct wal *wal, const struct history *from) WARN_UNUSED;

/* Throws the log away and begins history `replid` at position lsn: a full synchronisation. selected: the database that is
 * selected in the stream there; -1: none. Atomic across crashes. No append, sync or reader may be in progress. */
enum err wal_reset(struct wal *wal, const char *replid, lsn_t lsn, int selected) WARN_UNUSED;

/* ---- Figures ---- */

struct wal_figures {
    lsn_t first, tail, written, durable, floor;
    uint64_t segments, sealed_segments, bytes;  /* on disk */
    uint64_t frames, writes, write_bytes, syncs; /* since the start */
    uint64_t sync_us, sync_us_max, write_us;     /* sums, and the longest sync */
    msec_t first_ms; /* when the oldest position was written, unix ms; it may be somewhat older */
    bool space_low;
};
void wal_figures(struct wal *wal, struct wal_figures *out);

#endif
