/*
 * repl_apply.h - what applies a primary's stream, command by command: the link thread has one, and so has each lane (repl_lanes.h).
 */
#ifndef CAIRN_SERVER_DRIVE_REPL_APPLY_H
#define CAIRN_SERVER_DRIVE_REPL_APPLY_H

#include "base/buf.h"
#include "server/run/execute.h"
#include "server/run/session.h"

struct client;
struct repl;
struct resp_request;

struct applier {
    struct repl *repl;
    struct executor x;
    struct session session;
    struct buf out; /* the reply, which nobody gets */

    /* Of the link thread's */
    struct client *listed; /* as CLIENT LIST shows the link */
    unsigned db;           /* selected in the stream */
    bool ack_now;          /* the primary asked for an ACK */
};

/* seed: of the executor's generator. The thread that uses it may wait. */
void applier_init(struct applier *a, struct repl *repl, uint64_t seed);
void applier_fini(struct applier *a);

/*
 * Runs one command; its words go as they came. with_txn: inside the transaction that the executor has open. What the command returned;
 * what it refuses is logged. A failure of disk or memory ends the process: the log goes on from the last frame.
 */
enum err applier_run(struct applier *a, const struct command *command, const struct slice *argv, size_t argc, unsigned db,
                     bool with_txn);

/* For the link thread: locks the slots, runs, puts the frame with the primary's bytes (raw) into the log. plan: of these words. */
void applier_one(struct applier *a, const struct slice *argv, size_t argc, struct slice raw, const struct plan *plan);

/* MULTI .. EXEC, both included: one frame, if that can be. raw: the bytes of all. */
struct stream_transaction {
    const struct slice *words;
    const struct resp_request *requests;
    size_t count;
};
void applier_transaction(struct applier *a, const struct stream_transaction *t, struct slice raw);

#endif
