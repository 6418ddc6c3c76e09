/*
 * depart_priv.h - a job on the source from inside: depart.c sends, depart_end.c hands over.
 */
#ifndef CAIRN_SERVER_DRIVE_DEPART_PRIV_H
#define CAIRN_SERVER_DRIVE_DEPART_PRIV_H

#include "server/drive/move_priv.h"
#include "server/run/execute.h"

struct remote;
struct set_view;
struct wal_reader;

struct depart {
    struct move *v;
    struct moves *m;
    struct node *node;
    struct executor x;
    struct remote *to;
    struct set_view *view;
    struct wal_reader *reader;
    struct buf out, rows; /* rows: of a frame in the making */
    uint32_t row_count;
    unsigned unanswered;  /* frames */
    lsn_t at;        /* everything up to here was sent or is about other slots */
    int hold;        /* on the log; -1: none */
    msec_t begun_ms; /* of the sending, for the rate */
    bool marked, finish_sent, tls;
    char host[64], port[8];
};

/* A request of words that are counted while they are added: CLUSTER SYNCSLOTS what ... */
struct request {
    struct buf words;
    size_t count;
};
struct request request_begin(const char *what);
void request_add(struct request *r, struct slice word);
void request_add_number(struct request *r, uint64_t number);
void request_add_slots(struct request *r, const struct move *v);
void request_end(struct request *r, struct buf *out); /* appends it, and frees the words */

/* ---- depart.c ---- */
/* A connection to the target, logged in. */
enum err depart_dial(struct depart *d, msec_t timeout_ms, struct remote **to) WARN_UNUSED;
/* Sends the request and takes the answer: OK for +..., ERR_PROTOCOL with text for an error. answer may be NULL. */
enum err depart_ask(struct depart *d, struct remote *to, struct buf *request, msec_t timeout_ms, char answer[128]) WARN_UNUSED;
/* Sends what the log has about the slots, through `end` at least. */
enum err depart_send_log(struct depart *d, lsn_t end) WARN_UNUSED;

/* ---- depart_end.c ---- */
/* Writes wait until it is known who owns the slots. OK: the target does. */
enum err depart_hand_over(struct depart *d) WARN_UNUSED;

#endif
