/*
 * listener.c - bind, listen, accept; maxclients and protected mode are decided here.
 */
#include "server/net/listener.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "base/check.h"
#include "base/log.h"
#include "server/net/loop.h"
#include "server/net/net_priv.h"
#include "server/net/peer.h"
#include "server/net/tls.h"
#include "server/node_priv.h"

enum { SOCKETS_MAX = 64, ACCEPTS_PER_EVENT = 256 };

struct socket {
    uv_poll_t poll;
    struct listener *listener;
    int fd;
    unsigned flags; /* enum client_flag of its clients */
};

struct listener {
    struct listener_options options; /* Set once, but tls */
    struct socket sockets[SOCKETS_MAX];
    size_t count;
    char *unix_path;
    size_t open; /* handles */
    bool closing;
};

static void refuse(struct listener *l, int fd, const char *text)
{
    struct clients *clients = l->options.node->clients;

    if (send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_event(LOG_DEBUG_, "refusal not sent: error=\"%s\"", strerror(errno));
    close(fd);
    atomic_fetch_add(&clients->rejected, 1);
}

static bool default_user_is_open(struct node *n)
{
    struct session s;
    bool open;

    session_init(&s, n, NULL);
    open = s.authenticated;
    session_fini(&s);
    return open;
}

static void accepted(struct socket *socket, int fd)
{
    struct listener *l = socket->listener;
    struct node *n = l->options.node;
    struct client_limits limits = clients_limits(n->clients);
    void *tls = NULL;

    if (atomic_load(&n->clients->count) >= limits.maxclients) {
        refuse(l, fd, "-ERR max number of clients reached\r\n");
        return;
    }
    if (limits.protected_mode && (socket->flags & CLIENT_FLAG_UNIX) == 0 && !peer_is_local(fd) && default_user_is_open(n)) {
        refuse(l, fd, "-DENIED Redis is running in protected mode because protected mode is enabled and the default user "
                      "has no password. Only connections from the loopback interface are accepted. Either set a "
                      "password for the default user (requirepass), or, if the network is trusted, say 'CONFIG SET "
                      "protected-mode no' over a loopback connection or start the server with '--protected-mode no'.\r\n");
        return;
    }
    if ((socket->flags & CLIENT_FLAG_TLS) != 0 && (tls = tls_accept(l->options.tls, fd)) == NULL) {
        close(fd);
        return;
    }
    atomic_fetch_add(&n->clients->count, 1);
    atomic_fetch_add(&n->clients->accepted, 1);
    workers_adopt(l->options.workers, fd, socket->flags, tls);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct socket *socket = poll->data;

    (void)events;
    if (status < 0)
        return;
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        int fd = accept4(socket->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK)
                log_event(LOG_WARNING, "accept failed: error=\"%s\"", strerror(errno));
            return;
        }
        accepted(socket, fd);
    }
}

static enum err add_socket(struct listener *l, int fd, unsigned flags)
{
    struct socket *socket = &l->sockets[l->count];

    if (l->count == SOCKETS_MAX || uv_poll_init(l->options.loop, &socket->poll, fd) != 0) {
        close(fd);
        return err_set(ERR_IO, "too many listening sockets");
    }
    l->count++;
    l->open++;
    socket->listener = l;
    socket->fd = fd;
    socket->flags = flags;
    socket->poll.data = socket;
    uv_poll_start(&socket->poll, UV_READABLE, on_ready);
    return OK;
}

static enum err listen_on(struct listener *l, const struct addrinfo *a, const char *name, int port, unsigned flags)
{
    int on = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return err_set(ERR_IO, "cannot make a socket for %s: %s", name, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, l->options.backlog) != 0) {
        enum err e = err_set(ERR_IO, "cannot listen on %s port %d: %s", name, port, strerror(errno));

        close(fd);
        return e;
    }
    return add_socket(l, fd, flags);
}

static enum err bind_address(struct listener *l, const char *address, int port, unsigned flags)
{
    bool optional = address[0] == '-', any4, any6;
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found = NULL;
    char service[16];
    enum err e;
    int error;

    address += optional;
    any4 = strcmp(address, "*") == 0;
    any6 = strcmp(address, "::*") == 0;
    hints.ai_family = any4 ? AF_INET : any6 || strchr(address, ':') != NULL ? AF_INET6 : AF_UNSPEC;
    snprintf(service, sizeof service, "%d", port);
    error = getaddrinfo(any4 || any6 ? NULL : address, service, &hints, &found);
    if (error != 0)
        return optional ? OK : err_set(ERR_IO, "cannot resolve bind address %s: %s", address, gai_strerror(error));
    e = listen_on(l, found, address, port, flags);
    freeaddrinfo(found);
    if (e != OK && optional) {
        log_event(LOG_NOTICE, "bind address left out: %s", err_text());
        return OK;
    }
    return e;
}

static enum err bind_port(struct listener *l, int port, unsigned flags)
{
    static const char *const everywhere[] = {"*", "-::*"};
    const char *const *bind = l->options.bind_count > 0 ? l->options.bind : everywhere;
    size_t count = l->options.bind_count > 0 ? l->options.bind_count : 2, before = l->count;

    for (size_t i = 0; i < count; i++)
        TRY(bind_address(l, bind[i], port, flags));
    return l->count > before ? OK : err_set(ERR_IO, "no address to listen on for port %d", port);
}

static enum err bind_unix(struct listener *l, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat found;
    int fd;

    if (strlen(path) >= sizeof address.sun_path)
        return err_set(ERR_IO, "unix socket path is too long: %s", path);
    strcpy(address.sun_path, path);
    if (lstat(path, &found) == 0 && S_ISSOCK(found.st_mode))
        unlink(path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, l->options.backlog) != 0) {
        enum err e = err_set(ERR_IO, "cannot listen on %s: %s", path, strerror(errno));

        if (fd >= 0)
            close(fd);
        return e;
    }
    l->unix_path = strdup(path);
    if (l->options.unix_permissions != 0 && chmod(path, l->options.unix_permissions) != 0)
        log_event(LOG_WARNING, "unix socket permissions not set: error=\"%s\"", strerror(errno));
    return add_socket(l, fd, CLIENT_FLAG_UNIX);
}

enum err listener_open(const struct listener_options *options, struct listener **out)
{
    struct listener *l = calloc(1, sizeof *l);
    enum err e = OK;

    check(l != NULL);
    l->options = *options;
    if (options->port != 0)
        e = bind_port(l, options->port, 0);
    if (e == OK && options->tls_port != 0)
        e = options->tls == NULL ? err_set(ERR_INVALID, "tls-port needs certificates")
                                 : bind_port(l, options->tls_port, CLIENT_FLAG_TLS);
    if (e == OK && options->unix_path != NULL && options->unix_path[0] != '\0')
        e = bind_unix(l, options->unix_path);
    if (e == OK && l->count == 0)
        e = err_set(ERR_INVALID, "nothing to listen on: port, tls-port and unixsocket are all off");
    if (e != OK) {
        listener_close(l);
        return e;
    }
    l->options.bind = NULL;
    l->options.unix_path = NULL;
    *out = l;
    return OK;
}

void listener_tls(struct listener *l, struct tls_context *tls)
{
    l->options.tls = tls;
}

static void socket_closed(uv_handle_t *handle)
{
    struct socket *socket = handle->data;
    struct listener *l = socket->listener;

    if (--l->open > 0)
        return;
    free(l->unix_path);
    free(l);
}

void listener_close(struct listener *l)
{
    if (l == NULL)
        return;
    if (l->unix_path != NULL)
        unlink(l->unix_path);
    if (l->count == 0) {
        free(l->unix_path);
        free(l);
        return;
    }
    for (size_t i = 0; i < l->count; i++) {
        uv_close((uv_handle_t *)&l->sockets[i].poll, socket_closed);
        close(l->sockets[i].fd);
    }
}
