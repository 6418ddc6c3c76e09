/*
 * replay.h - redoes the effects of the log with the same commands that made them.
 *
 * An effect whose key already has a last change at or beyond it is skipped. One that does not apply is left out and its
 * key is suspect, until a later effect replaces or removes the key; a suspect at the end is an error.
 */
#ifndef CAIRN_SERVER_RUN_REPLAY_H
#define CAIRN_SERVER_RUN_REPLAY_H

#include <stddef.h>

#include "base/err.h"

struct node;
struct replay;
struct recovery_effect;
struct recovery_figures;

/* The whole recovery after a start: from the set's floors to the log's end. Before set_start. */
enum err replay_run(struct node *n, struct recovery_figures *figures) WARN_UNUSED;

/* One by one: for the walk (replay_walk.c), tests and tools. One thread uses a struct replay at a time. */
struct replay *replay_new(struct node *n);
/* An effect about one key. Those of one slot must come in order; different slots may be redone by different threads. */
enum err replay_apply_key(struct replay *r, const struct recovery_effect *effect) WARN_UNUSED;
/* An effect about whole databases, while none of `all` is at work. */
enum err replay_apply_range(struct replay *const *all, size_t count, const struct recovery_effect *effect) WARN_UNUSED;
/* Either, and tells the set how far replay has come. */
enum err replay_apply(struct replay *r, const struct recovery_effect *effect) WARN_UNUSED;
enum err replay_end(struct replay *r) WARN_UNUSED; /* ERR_CORRUPT: a key is suspect. Frees r in any case. */

#endif
