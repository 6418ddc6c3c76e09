/*
 * repl_ship.h - whole copies to replicas of this kind, by files (copy_frame.h): who waits, who is sent, how fast.
 *
 * One thread gives waiting replicas their turn, repl-copies-max at a time, the longest waiting first; each copy has a thread.
 * Who waits hears a newline every second (repl_feed.c), as of a primary that prepares.
 */
#ifndef CAIRN_SERVER_DRIVE_REPL_SHIP_H
#define CAIRN_SERVER_DRIVE_REPL_SHIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct repl;
struct replica;
struct ship;

struct ship *ship_open(struct repl *r); /* removes what an earlier life left */
void ship_start(struct ship *s);
void ship_stop(struct ship *s);  /* stopping is set */
void ship_close(struct ship *s); /* NULL is fine */

/* Under list_lock: whether the replica gets its copy by files. */
bool ship_takes(const struct repl *r, const struct replica *p);

struct ship_figures {
    size_t running, waiting, checkpoints;
    uint64_t checkpoint_bytes;
    uint64_t copies, resumed, refused; /* begun; of these at a place inside; checkpoints that could not be taken */
};
void ship_figures(struct repl *r, struct ship_figures *out);

#endif
