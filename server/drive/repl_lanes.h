/*
 * repl_lanes.h - threads that execute the commands of a wave: engine/set/wave.c, docs/decisions/0037.
 *
 * A wave is a run of commands of the stream that are about one slot each. The link thread locks the slots of all, hands each
 * command to the lane that its slot belongs to, parses what comes behind the wave meanwhile, puts the frames into the log in the
 * stream's order, and unlocks when every lane has landed what its commands changed.
 */
#ifndef CAIRN_SERVER_DRIVE_REPL_LANES_H
#define CAIRN_SERVER_DRIVE_REPL_LANES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/types.h"
#include "server/net/resp.h"
#include "server/run/execute.h"

struct repl;
struct repl_lanes;

enum { WAVE_COMMANDS_MAX = 256, WAVE_COMMANDS_MIN = 16, LANES_MAX = 16 };

/* Starts `count` lanes, 2 .. LANES_MAX. x: the link thread's own, whose transaction will hold the locks. */
struct repl_lanes *repl_lanes_new(struct repl *repl, struct executor *x, size_t count);
void repl_lanes_free(struct repl_lanes *l); /* accepts NULL */
size_t repl_lanes_count(const struct repl_lanes *l);

/* How many threads apply the stream when nobody says: one up to three cores, else half of the cores, at most eight. */
size_t repl_lanes_by_cores(size_t cores);

struct wave {
    const struct slice *words;
    const struct resp_request *requests;
    const struct plan *plans; /* all are single */
    size_t count;             /* at most WAVE_COMMANDS_MAX */
    unsigned db;
};

/* Whether handing it over is worth it: enough commands, and not nearly all of one lane. */
bool repl_lanes_want(const struct repl_lanes *l, const struct wave *wave);

/* Locks the slots and gives the wave to the lanes; all of it stays valid until repl_lanes_finish, which returns when it is applied and
 * nothing is locked any more. Nothing else is applied between the two. */
void repl_lanes_begin(struct repl_lanes *l, const struct wave *wave);
void repl_lanes_finish(struct repl_lanes *l);

#endif
