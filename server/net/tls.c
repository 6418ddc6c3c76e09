/*
 * tls.c - TLS under a connection. The handshake happens inside the first reads and writes.
 */
#include "server/net/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct tls_context {
    SSL_CTX *server, *client;
};

static enum err failed(const char *what, const char *which)
{
    char text[256];

    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    ERR_clear_error();
    return err_set(ERR_INVALID, "%s%s%s: %s", what, which != NULL ? " " : "", which != NULL ? which : "", text);
}

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static int give_password(char *out, int size, int writing, void *context)
{
    const char *password = context;
    int length = password != NULL ? (int)strlen(password) : 0;

    (void)writing;
    if (length > size)
        return -1;
    memcpy(out, password != NULL ? password : "", (size_t)length);
    return length;
}

static void set_protocols(SSL_CTX *c, const char *protocols)
{
    long off = SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1;

    if (given(protocols)) {
        off = SSL_OP_NO_SSLv3;
        off |= strcasestr(protocols, "TLSv1.3") == NULL ? SSL_OP_NO_TLSv1_3 : 0;
        off |= strcasestr(protocols, "TLSv1.2") == NULL ? SSL_OP_NO_TLSv1_2 : 0;
        off |= strcasestr(protocols, "TLSv1.1") == NULL ? SSL_OP_NO_TLSv1_1 : 0;
        off |= SSL_OP_NO_TLSv1;
    }
    SSL_CTX_set_options(c, (uint64_t)off);
}

static enum err context_fill(SSL_CTX *c, const struct tls_options *o, bool client)
{
    const char *cert = client && given(o->client_cert_file) ? o->client_cert_file : o->cert_file;
    const char *key = client && given(o->client_key_file) ? o->client_key_file : o->key_file;
    const char *password = client && given(o->client_key_file) ? o->client_key_password : o->key_password;

    SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    set_protocols(c, o->protocols);
    SSL_CTX_set_default_passwd_cb(c, give_password);
    SSL_CTX_set_default_passwd_cb_userdata(c, (void *)(uintptr_t)password);
    if (given(cert) && SSL_CTX_use_certificate_chain_file(c, cert) != 1)
        return failed("cannot use certificate", cert);
    if (given(key) && SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) != 1)
        return failed("cannot use private key", key);
    if ((given(o->ca_file) || given(o->ca_dir)) &&
        SSL_CTX_load_verify_locations(c, given(o->ca_file) ? o->ca_file : NULL, given(o->ca_dir) ? o->ca_dir : NULL) != 1)
        return failed("cannot use CA", given(o->ca_file) ? o->ca_file : o->ca_dir);
    if (given(o->ciphers) && SSL_CTX_set_cipher_list(c, o->ciphers) != 1)
        return failed("cannot use ciphers", o->ciphers);
    if (given(o->ciphersuites) && SSL_CTX_set_ciphersuites(c, o->ciphersuites) != 1)
        return failed("cannot use ciphersuites", o->ciphersuites);
    SSL_CTX_set_dh_auto(c, 1);
    if (o->prefer_server_ciphers)
        SSL_CTX_set_options(c, SSL_OP_CIPHER_SERVER_PREFERENCE);
    return OK;
}

enum err tls_context_new(const struct tls_options *o, struct tls_context **out)
{
    struct tls_context *c = calloc(1, sizeof *c);
    enum err e = OK;

    check(c != NULL);
    c->server = SSL_CTX_new(TLS_server_method());
    c->client = SSL_CTX_new(TLS_client_method());
    if (c->server == NULL || c->client == NULL)
        e = failed("cannot set up TLS", NULL);
    else if (!given(o->cert_file) || !given(o->key_file))
        e = err_set(ERR_INVALID, "TLS needs tls-cert-file and tls-key-file");
    else if (o->client_auth == 1 && !given(o->ca_file) && !given(o->ca_dir))
        e = err_set(ERR_INVALID, "tls-auth-clients needs tls-ca-cert-file or tls-ca-cert-dir");
    if (e == OK)
        e = context_fill(c->server, o, false);
    if (e == OK)
        e = context_fill(c->client, o, true);
    if (e != OK) {
        tls_context_free(c);
        return e;
    }
    SSL_CTX_set_session_cache_mode(c->server, o->session_caching ? SSL_SESS_CACHE_SERVER : SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(c->server, (const unsigned char *)"cairn", 5);
    SSL_CTX_set_verify(c->server,
                       o->client_auth == 1   ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                       : o->client_auth == 2 ? SSL_VERIFY_PEER
                                             : SSL_VERIFY_NONE,
                       NULL);
    SSL_CTX_set_verify(c->client, given(o->ca_file) || given(o->ca_dir) ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    *out = c;
    return OK;
}

void tls_context_free(struct tls_context *c)
{
    if (c == NULL)
        return;
    SSL_CTX_free(c->server);
    SSL_CTX_free(c->client);
    free(c);
}

static void *attach(SSL_CTX *context, int fd, bool accept)
{
    SSL *s = SSL_new(context);

    if (s == NULL)
        return NULL;
    if (SSL_set_fd(s, fd) != 1) {
        SSL_free(s);
        return NULL;
    }
    if (accept)
        SSL_set_accept_state(s);
    else
        SSL_set_connect_state(s);
    return s;
}

void *tls_accept(struct tls_context *c, int fd)
{
    return attach(c->server, fd, true);
}

void *tls_connect(struct tls_context *c, int fd)
{
    return attach(c->client, fd, false);
}

void *tls_in_memory(struct tls_context *c, bool accept)
{
    SSL *s = SSL_new(accept ? c->server : c->client);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

    if (s == NULL || in == NULL || out == NULL) {
        SSL_free(s);
        BIO_free(in);
        BIO_free(out);
        return NULL;
    }
    SSL_set_bio(s, in, out);
    SSL_set_options(s, SSL_OP_NO_RENEGOTIATION);
    if (SSL_CTX_get_verify_mode(c->client) != SSL_VERIFY_NONE) /* both sides are nodes, whatever clients need */
        SSL_set_verify(s, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (accept)
        SSL_set_accept_state(s);
    else
        SSL_set_connect_state(s);
    return s;
}

void tls_free(void *tls)
{
    if (tls == NULL)
        return;
    SSL_shutdown(tls);
    ERR_clear_error();
    SSL_free(tls);
}

static ssize_t outcome(SSL *s, int result, bool *wants_read, bool *wants_write)
{
    int error;

    if (result > 0)
        return result;
    error = SSL_get_error(s, result);
    ERR_clear_error();
    switch (error) {
    case SSL_ERROR_WANT_READ:
        *wants_read = true;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_WANT_WRITE:
        *wants_write = true;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        errno = EPROTO;
        return -1;
    }
}

int tls_handshake(void *tls, bool *wants_read, bool *wants_write)
{
    ERR_clear_error();
    return (int)outcome(tls, SSL_do_handshake(tls), wants_read, wants_write);
}

ssize_t tls_read(void *tls, void *to, size_t size, bool *wants_read, bool *wants_write)
{
    ERR_clear_error();
    return outcome(tls, SSL_read(tls, to, size < INT_MAX ? (int)size : INT_MAX), wants_read, wants_write);
}

ssize_t tls_write(void *tls, const void *from, size_t size, bool *wants_read, bool *wants_write)
{
    ERR_clear_error();
    return outcome(tls, SSL_write(tls, from, size < INT_MAX ? (int)size : INT_MAX), wants_read, wants_write);
}

bool tls_pending(void *tls)
{
    return SSL_pending(tls) > 0;
}
