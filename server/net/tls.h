/*
 * tls.h - TLS under a connection: OpenSSL on a non-blocking socket.
 */
#ifndef CAIRN_SERVER_NET_TLS_H
#define CAIRN_SERVER_NET_TLS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct tls_options { /* NULL or "": not given */
    const char *cert_file, *key_file, *key_password, *ca_file, *ca_dir, *protocols, *ciphers, *ciphersuites;
    const char *client_cert_file, *client_key_file, *client_key_password; /* for connections that we open */
    bool prefer_server_ciphers, session_caching;
    int client_auth; /* tls-auth-clients: 0 no, 1 yes, 2 optional */
};

struct tls_context; /* shared by all connections; replaced as a whole on reload */

/* ERR_INVALID with a text: a file cannot be used. */
enum err tls_context_new(const struct tls_options *options, struct tls_context **out) WARN_UNUSED;
void tls_context_free(struct tls_context *c);

/* A connection's state; the socket stays the caller's. NULL: out of memory. */
void *tls_accept(struct tls_context *c, int fd);
void *tls_connect(struct tls_context *c, int fd);
void tls_free(void *tls);
/* An SSL between two memory BIOs, for tls_pipe.c: the peer has to show a certificate if it is known whom to believe. */
void *tls_in_memory(struct tls_context *c, bool accept);

/* Goes on with the handshake, which the first reads and writes would do too: 1 when it is over, else as they answer. */
int tls_handshake(void *tls, bool *wants_read, bool *wants_write);

/* As read and write: -1 with errno EAGAIN when it would block, and then which readiness it waits for. 0 from read: end. */
ssize_t tls_read(void *tls, void *to, size_t size, bool *wants_read, bool *wants_write);
ssize_t tls_write(void *tls, const void *from, size_t size, bool *wants_read, bool *wants_write);
bool tls_pending(void *tls); /* decrypted bytes wait that no poll will announce */

#endif
