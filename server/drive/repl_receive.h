/*
 * repl_receive.h - a whole copy by files, received: DIR/receive/ fills with files, which become the stage.
 *
 * What has come stays when the link breaks, and when this process ends: the next handshake tells the place ("REPLCONF cairn-copy"),
 * and a primary that still has the checkpoint goes on from there. One that has not makes it begin anew.
 * Threads: the link's; repl_receive_open and _close before and after it.
 */
#ifndef CAIRN_SERVER_DRIVE_REPL_RECEIVE_H
#define CAIRN_SERVER_DRIVE_REPL_RECEIVE_H

#include "base/err.h"
#include "server/drive/copy_frame.h"

struct repl;
struct repl_wire;
struct receive;

struct receive *receive_open(struct repl *r);
void receive_close(struct receive *v); /* NULL is fine. Files of an unfinished copy stay */

/* First of all, once: what an earlier life left is gone on with, or removed. Reads it all if the machine has restarted since. */
void receive_recall(struct receive *v);

/* What is there of an unfinished copy; false: nothing. */
bool receive_place(const struct receive *v, struct copy_place *out);

/*
 * Behind the line "$FILES:id": takes the frames and places the files on the stage, which is empty. *selected: the database that is
 * selected in the stream at lsn; -1: none. ERR_CORRUPT, ERR_IO, ERR_CLOSED: the link is over. What the primary offers
 * and this node cannot use is not asked for again (receive_wanted).
 */
enum err receive_run(struct receive *v, struct repl_wire *w, const char *id, lsn_t lsn, int *selected) WARN_UNUSED;

/* Nobody will go on with it. */
void receive_discard(struct receive *v);

/* False: this primary's files were of no use here; the copy is to come as an RDB file. */
bool receive_wanted(const struct receive *v);
/* Another primary. */
void receive_forget_refusal(struct receive *v);

/* Copies that went on inside; how often in a row a copy broke off without a byte. */
uint64_t receive_resumed(const struct receive *v);
unsigned receive_barren(const struct receive *v);

#endif
