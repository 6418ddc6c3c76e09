/*
 * tls_pipe.c - OpenSSL between two buffers in memory.
 */
#include "server/net/tls_pipe.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "base/check.h"
#include "server/net/tls.h"

enum { PLAIN_BYTES = 16 << 10 };

struct tls_pipe {
    SSL *ssl;
};

struct tls_pipe *tls_pipe_new(struct tls_context *c, bool accept)
{
    struct tls_pipe *p = calloc(1, sizeof *p);

    check(p != NULL);
    p->ssl = tls_in_memory(c, accept);
    if (p->ssl == NULL) {
        free(p);
        return NULL;
    }
    return p;
}

void tls_pipe_free(struct tls_pipe *p)
{
    if (p == NULL)
        return;
    tls_free(p->ssl);
    free(p);
}

bool tls_pipe_ready(const struct tls_pipe *p)
{
    return SSL_is_init_finished(p->ssl) == 1;
}

static void drain(struct tls_pipe *p, struct buf *out)
{
    BIO *from = SSL_get_wbio(p->ssl);
    size_t size = BIO_ctrl_pending(from);

    if (size == 0)
        return;
    check(size <= INT_MAX && BIO_read(from, buf_reserve(out, size), (int)size) == (int)size);
    out->size += size;
}

/* What a call of OpenSSL came to: OK, ERR_AGAIN, or why it is over. */
static enum err outcome(struct tls_pipe *p, int result)
{
    int error = SSL_get_error(p->ssl, result);
    char text[200] = "the connection ended";
    unsigned long code = ERR_peek_last_error();

    if (code != 0)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    if (result > 0)
        return OK;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return ERR_AGAIN;
    return error == SSL_ERROR_ZERO_RETURN ? err_set(ERR_CLOSED, "the peer ends TLS") : err_set(ERR_PROTOCOL, "TLS: %s", text);
}

static enum err read_all(struct tls_pipe *p, struct buf *plain)
{
    for (;;) {
        int n;
        enum err e;

        ERR_clear_error();
        n = SSL_read(p->ssl, buf_reserve(plain, PLAIN_BYTES), PLAIN_BYTES);
        if ((e = outcome(p, n)) != OK)
            return e == ERR_AGAIN ? OK : e;
        plain->size += (size_t)n;
    }
}

enum err tls_pipe_receive(struct tls_pipe *p, struct slice bytes, struct buf *plain, struct buf *out)
{
    enum err e = OK;

    check(bytes.size <= INT_MAX);
    if (bytes.size > 0)
        check(BIO_write(SSL_get_rbio(p->ssl), bytes.data, (int)bytes.size) == (int)bytes.size);
    ERR_clear_error();
    if (!tls_pipe_ready(p))
        e = outcome(p, SSL_do_handshake(p->ssl));
    if (e == OK)
        e = read_all(p, plain);
    drain(p, out);
    return e == ERR_AGAIN ? OK : e;
}

enum err tls_pipe_send(struct tls_pipe *p, struct slice plain, struct buf *out)
{
    while (plain.size > 0) {
        size_t wanted = plain.size < PLAIN_BYTES ? plain.size : PLAIN_BYTES;
        int n;

        ERR_clear_error();
        n = SSL_write(p->ssl, plain.data, (int)wanted);
        TRY(outcome(p, n)); /* memory takes everything: ERR_AGAIN does not come */
        plain = slice_of(plain.data + n, plain.size - (size_t)n);
        drain(p, out);
    }
    return OK;
}
