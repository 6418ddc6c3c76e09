/*
 * stage.h - a second set of databases beside the visible ones: where a whole copy of another node's data is built while
 * the old data is served, and from where it takes its place in one step.
 *
 * The databases of the stage have the numbers set_stage_first() .. 2 * set_stage_first() - 1; rdb_load and transactions in
 * replay mode fill them, with positions below the copy's own. Nobody else sees them, and a start forgets them.
 *
 * The step: everything on the stage is persisted; a small row tells the new order of databases, the copy's history and
 * position; that row is the decision. Then the log is begun anew (by the caller's hook), then the order is saved and the
 * row emptied. A crash behind the decision is completed by the next start: set_stage_pending before set_open.
 *
 * Threads: one user at a time; the three calls with a set may wait, with no slot locked.
 */
#ifndef CAIRN_ENGINE_SET_STAGE_H
#define CAIRN_ENGINE_SET_STAGE_H

#include "base/err.h"
#include "base/types.h"

#include <stdbool.h>

struct set;
struct store;

enum { STAGE_ID_BYTES = 40 };

unsigned set_stage_first(const struct set *s);

/* Empties the stage. */
enum err set_stage_clear(struct set *s) WARN_UNUSED;

/*
 * Puts the stage into the place of the visible databases, which are then empty and on the stage. id: the history that the
 * data is of; lsn: its position there, at or beyond which every later effect ends. reset begins the log anew at that
 * point; it is called with all commands stopped. What may fail is before the decision: the old data is then untouched.
 */
typedef enum err set_stage_reset(void *context);
enum err set_stage_commit(struct set *s, const char *id, lsn_t lsn, set_stage_reset *reset, void *context) WARN_UNUSED;

/* Before set_open: whether a step was decided and not completed; then the log is to be begun anew at (id, lsn), if it
 * was not, and set_stage_complete called. */
enum err set_stage_pending(struct store *store, bool *pending, char id[STAGE_ID_BYTES + 1], lsn_t *lsn) WARN_UNUSED;
enum err set_stage_complete(struct store *store) WARN_UNUSED;

#endif
