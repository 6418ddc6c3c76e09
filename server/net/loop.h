/*
 * loop.h - the workers: threads with an event loop each, to which the main thread hands accepted sockets.
 *
 * One turn: what is readable is read and executed; then the log's bytes of the turn go out in one write (or sync, as
 * appendfsync says); then the replies, one write per connection.
 */
#ifndef CAIRN_SERVER_NET_LOOP_H
#define CAIRN_SERVER_NET_LOOP_H

#include <stddef.h>

#include "base/err.h"

struct node;
struct workers;
struct session;
struct buf;

/* Starts the threads. */
enum err workers_start(struct node *n, size_t count, struct workers **out) WARN_UNUSED;

/* To the next worker in turn. flags: enum client_flag of the new client. tls: from tls_accept, or NULL; taken. */
void workers_adopt(struct workers *w, int fd, unsigned flags, void *tls);

/* Closes all connections, after the replies that are due, and ends the threads. */
void workers_stop(struct workers *w);
void workers_free(struct workers *w); /* after workers_stop; accepts NULL */

/* The waiting_deliver of server/run/waiting.h: posts the reply to the session's worker. */
void workers_deliver(struct session *s, struct buf *reply);

#endif
