/*
 * tls_pipe.h - TLS without a socket: the peer's bytes in, bytes for the peer out. For who moves the bytes himself.
 *
 *     p = tls_pipe_new(context, accept);
 *     TRY(tls_pipe_receive(p, slice_of(NULL, 0), &plain, &out));   a client speaks first
 *     ... what came from the socket ...
 *     TRY(tls_pipe_receive(p, came, &plain, &out));                out is to be sent, also after an error
 *     if (tls_pipe_ready(p)) TRY(tls_pipe_send(p, text, &out));
 */
#ifndef CAIRN_SERVER_NET_TLS_PIPE_H
#define CAIRN_SERVER_NET_TLS_PIPE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

struct tls_context;
struct tls_pipe;

/*
 * Both sides show a certificate if the context knows whom to believe. The context may be freed before. NULL: out of memory.
 */
struct tls_pipe *tls_pipe_new(struct tls_context *c, bool accept);
void tls_pipe_free(struct tls_pipe *p); /* NULL is fine */

/* The handshake is over. */
bool tls_pipe_ready(const struct tls_pipe *p);

/* ERR_CLOSED: the peer says that it ends; ERR_PROTOCOL with a text: it does not speak TLS, or is not believed. */
enum err tls_pipe_receive(struct tls_pipe *p, struct slice bytes, struct buf *plain, struct buf *out) WARN_UNUSED;
/* Only when ready. */
enum err tls_pipe_send(struct tls_pipe *p, struct slice plain, struct buf *out) WARN_UNUSED;

#endif
