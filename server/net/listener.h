/*
 * listener.h - the sockets that clients connect to; accepts on the main loop and hands over to the workers.
 */
#ifndef CAIRN_SERVER_NET_LISTENER_H
#define CAIRN_SERVER_NET_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct listener;
struct node;
struct workers;
struct tls_context;
struct uv_loop_s;

struct listener_options {
    struct node *node;
    struct workers *workers;
    struct uv_loop_s *loop;
    const char *const *bind; /* addresses; "*" and "::*" are all of IPv4 and IPv6; a leading "-" may fail silently */
    size_t bind_count;       /* 0: all */
    int port;                /* 0: no TCP */
    int tls_port;            /* 0: no TLS */
    int backlog;
    const char *unix_path;   /* NULL or "": none */
    unsigned unix_permissions; /* 0: as the umask says */
    struct tls_context *tls; /* for tls_port; outlives the listener or is replaced by listener_tls */
};

/* ERR_IO with a text: an address cannot be bound. */
enum err listener_open(const struct listener_options *options, struct listener **out) WARN_UNUSED;

/* New connections use it; the caller keeps the old one as long as connections made with it live. */
void listener_tls(struct listener *l, struct tls_context *tls);

/* Stops accepting; the loop must run once more. Accepts NULL. */
void listener_close(struct listener *l);

#endif
