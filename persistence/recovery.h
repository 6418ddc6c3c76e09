/*
 * recovery.h - replays the log into the store after a start: DESIGN section 10, in the manner of ARIES.
 *
 * The walk begins at the lowest floor and hands over every effect in order: first its change of counts, then the
 * effect itself. An effect of a database below that database's own floor is left out; everything finer (the key's last
 * change, the born position of a slot or family, the offset of a count row) is decided by whoever applies it.
 * Effects of one slot depend only on each other, except that FLUSH and SWAP concern all slots: a later parallel replay
 * may hand each slot's effects to one of several threads, with a barrier at those two.
 */
#ifndef CAIRN_PERSISTENCE_RECOVERY_H
#define CAIRN_PERSISTENCE_RECOVERY_H

#include "base/err.h"
#include "base/slice.h"
#include "base/types.h"
#include "engine/set/journal.h"

struct wal;

/* One effect of the log; text is borrowed for the call. */
struct recovery_effect {
    unsigned db;
    slot_t slot;            /* SLOT_NODE: no key */
    enum journal_kind kind;
    lsn_t lsn;              /* behind its last byte */
    msec_t time_ms;         /* of its frame */
    int32_t keys, expires;
    bool last;              /* of its frame */
    bool local;             /* all local effects of a frame have one position: a key is redone by all of them or none */
    struct slice text;      /* one RESP array */
};

struct recovery_options {
    unsigned databases;  /* asked for their floor: 0 .. databases - 1; an effect of another one is ERR_CORRUPT */
    void *context;
    /* The first position that the database needs (set_replay_floor); 0: from the beginning of the log. */
    lsn_t (*floor)(void *context, unsigned db);
    /* The counts of a slot; NULL: not wanted. Only for effects that change them. */
    void (*count)(void *context, unsigned db, slot_t slot, lsn_t lsn, int64_t keys, int64_t expires);
    /* Redoes it. Called for every kind but MARK. An error ends the recovery. */
    enum err (*apply)(void *context, const struct recovery_effect *effect);
    /* At the beginning, now and then, and at the end; NULL: not wanted. */
    void (*progress)(void *context, lsn_t position, lsn_t end);
};

struct recovery_figures {
    lsn_t from, to;
    uint64_t frames, effects, applied, skipped, bytes;
};

/*
 * Runs over what is in the log now, which wal_open has synced. Nobody may append meanwhile. *figures may be NULL.
 * ERR_CORRUPT: a floor lies before the log's beginning or behind its end (log and data are not of one node and time),
 * or a frame is damaged; otherwise the error of apply, with the effect's position in the text.
 */
enum err recovery_run(struct wal *wal, const struct recovery_options *options,
                      struct recovery_figures *figures) WARN_UNUSED;

#endif
