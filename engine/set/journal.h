/*
 * journal.h - what the working set needs of the log. persistence/wal.c is the real one; tests bring their own.
 *
 * Positions (lsn_t) count the bytes of the effects' RESP text since the beginning of this history, as replicas count
 * them: an effect's position is that behind its last byte, so the first effect's is its length, and 0 means none.
 */
#ifndef CAIRN_ENGINE_SET_JOURNAL_H
#define CAIRN_ENGINE_SET_JOURNAL_H

#include "base/err.h"
#include "base/slice.h"
#include "base/types.h"

struct buf;

/* One effect inside a frame. */
struct journal_effect {
    uint32_t bytes;   /* of RESP text, in order; MULTI and EXEC around a frame of several are effects of slot SLOT_NODE */
    slot_t slot;      /* SLOT_NODE: no key (MULTI, EXEC, PING, SELECT, FLUSHDB ...) */
    uint16_t db;      /* the logical database it is about */
    uint16_t kind;    /* enum journal_kind */
    uint16_t spare;   /* zero */
    int32_t keys;     /* change of the slot's number of keys */
    int32_t expires;  /* change of the slot's number of keys with an expiry */
};

enum journal_kind { /* On disk: never renumber. */
    JOURNAL_KEY = 0,     /* about one key */
    JOURNAL_MARK = 1,    /* MULTI, EXEC, PING, SELECT: nothing to redo */
    JOURNAL_FLUSH = 2,   /* the whole database */
    JOURNAL_SWAP = 3,    /* two databases */
    JOURNAL_DROP = 4,    /* a slot is emptied */
    JOURNAL_BEGIN = 5,   /* an ingest into a slot begins */
    JOURNAL_DONE = 6,
    /*
     * Or-ed to one of the above: the effect is ours alone. Its text lies behind the frame's stream, is not sent to
     * replicas and counts in no position; the effect has the position of the frame's end, as all such effects of the
     * frame have. What a replica does for a command of its primary that is no effect by itself (several keys,
     * another server's words) is kept so, beside the primary's own bytes as a MARK.
     */
    JOURNAL_LOCAL = 0x100,
};

static inline bool journal_is_local(const struct journal_effect *e)
{
    return (e->kind & JOURNAL_LOCAL) != 0;
}

static inline enum journal_kind journal_kind_of(const struct journal_effect *e)
{
    return (enum journal_kind)(e->kind & ~JOURNAL_LOCAL);
}

struct journal {
    void *context;
    /*
     * Appends one atomic frame and returns the position in front of its first effect; the frame ends at that plus the
     * sum of the effects' bytes. The log itself puts a SELECT effect before them when the first one's db differs from
     * the db of the last effect it has; a change of db inside a frame is the caller's (a SELECT effect, JOURNAL_MARK).
     * Never fails: a log that cannot write ends the process when the bytes are due. Called with slot locks held; does
     * no I/O.
     * from: the buffer that text lies in, or NULL. A large text may be kept where it is, which saves its copy while slots are
     * locked: *from is empty then, and text no longer the caller's.
     */
    lsn_t (*append)(void *context, const struct journal_effect *effects, size_t count, struct slice text, struct buf *from);
    /* The position behind the last appended frame. */
    lsn_t (*tail)(void *context);
    /* Returns when everything up to lsn is on stable storage. */
    enum err (*sync)(void *context, lsn_t lsn);
    /* Positions below floor are no longer needed for recovery. */
    void (*trim)(void *context, lsn_t floor);
    /* A frame of about so many bytes will come soon. What would make its write long may be done now, with no lock held. NULL: nothing. */
    void (*room)(void *context, uint64_t bytes);
};

#endif
