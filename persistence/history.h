/*
 * history.h - which history the log tells: the replication id, its ancestors, and what a start must know about the
 * last stop. Kept in the small text file `history` beside the segments, replaced atomically:
 *
 *   cairn-history 1
 *   replid <40 hex>             the current history
 *   generation <n>              segments of another generation are left over from an interrupted wal_reset
 *   first <position>            the log begins at or before this: an absent segment beyond it is damage
 *   boot <text>                 the boot of the machine in which the log was last opened
 *   clean <position>            only after wal_close: the log ends here
 *   ancestor <40 hex> <end>     newest first: that history is ours up to `end`
 *   sum <16 hex>                XXH3 of all lines before
 */
#ifndef CAIRN_PERSISTENCE_HISTORY_H
#define CAIRN_PERSISTENCE_HISTORY_H

#include "base/buf.h"
#include "base/err.h"
#include "base/types.h"
#include "persistence/vfs.h"

enum { HISTORY_ID_BYTES = 40, HISTORY_ANCESTORS_MAX = 16, HISTORY_FILE_BYTES_MAX = 8192 };
#define HISTORY_FILE "history"

struct history_ancestor {
    char replid[HISTORY_ID_BYTES + 1];
    lsn_t end;
};

struct history {
    char replid[HISTORY_ID_BYTES + 1];
    uint32_t generation;
    uint32_t ancestors_count;
    lsn_t first;
    bool clean;
    lsn_t clean_end;
    char boot[VFS_BOOT_MAX];
    struct history_ancestor ancestors[HISTORY_ANCESTORS_MAX]; /* newest first: ancestors[0] is PSYNC2's replid2 */
};

/* The id that frames carry: the first 16 hex digits of the replication id. */
uint64_t history_number(const char *replid);

/* True if it is 40 lower-case hex digits and a terminator. */
bool history_id_valid(const char *replid);

/* A new history continues the present one, which becomes the newest ancestor, ending at `end`. */
void history_fork(struct history *h, const char *replid, lsn_t end);

/* Whether a state (replid, bytes processed) lies on this history, whose own end is `tail`. */
bool history_holds(const struct history *h, const char *replid, lsn_t processed, lsn_t tail);

/*
 * The last position that both logs tell alike: `own` ends at own_tail, `other` at other_tail. False: they have nothing in
 * common, or nothing that is known.
 */
bool history_branch(const struct history *own, lsn_t own_tail, const struct history *other, lsn_t other_tail, lsn_t *out);

/* The file's text, and back. ERR_CORRUPT: not such a text. */
void history_format(const struct history *h, struct buf *out);
enum err history_parse(struct slice text, struct history *out) WARN_UNUSED;

/* ERR_NOT_FOUND: no file. */
enum err history_load(struct vfs *vfs, const char *dir, struct history *out) WARN_UNUSED;
enum err history_save(struct vfs *vfs, const char *dir, const struct history *h) WARN_UNUSED;

#endif
