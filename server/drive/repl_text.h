/*
 * repl_text.h - the short texts of replication, parsed: what a primary answers to PSYNC and INFO, what a replica acknowledges.
 *
 * Pure functions on bytes of somebody else (tests/fuzz/fuzz_repl.c). Ids come out valid: 40 hex digits.
 */
#ifndef CAIRN_SERVER_DRIVE_REPL_TEXT_H
#define CAIRN_SERVER_DRIVE_REPL_TEXT_H

#include <stdbool.h>

#include "base/slice.h"
#include "base/types.h"
#include "persistence/history.h"
#include "server/drive/repl_tail.h"

/* "+CONTINUE" or "+CONTINUE <replid>"; replid "" if none is told. False: it is something else, or no id. */
bool repl_text_continue(struct slice line, char replid[HISTORY_ID_BYTES + 1]);

/* "+FULLRESYNC <replid> <offset>". */
bool repl_text_fullresync(struct slice line, char replid[HISTORY_ID_BYTES + 1], lsn_t *offset);

/* What a primary's INFO tells of its history: ids and ends only. */
struct repl_peer_history {
    bool known;
    bool is_cairn;
    lsn_t tail;
    struct history history;
};
bool repl_text_history(struct slice info, struct repl_peer_history *out); /* false: no such text; then *out is not known */

/* "REPLCONF ACK <offset> [FACK <offset>]" as words. False: it is something else, or no number. */
struct repl_ack {
    lsn_t acked, fsynced;
    bool has_fsynced;
};
bool repl_text_ack(const struct slice *argv, size_t argc, struct repl_ack *out);

/* "CAIRN-TAIL <from> <sum>" among the words behind PSYNC's id and offset. False: there is none. */
bool repl_text_tail(const struct slice *argv, size_t argc, struct repl_tail *out);

#endif
