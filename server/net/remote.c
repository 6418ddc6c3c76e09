/*
 * remote.c - a list of idle connections under a lock; sockets that do not block, and poll with the time that is left.
 */
#include "server/net/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

enum { READ_BYTES = 16 << 10, LINE_BYTES_MAX = 64 << 10 };

struct remotes {
    /* Set once */
    remote_tls *tls;
    void *context;

    pthread_mutex_t lock; /* guards the rest; a leaf */
    struct remote *idle;  /* the last used one first */
    size_t count;
};

static void remote_free(struct remote *c)
{
    tls_free(c->tls);
    if (c->fd >= 0)
        close(c->fd);
    free(c->host);
    buf_free(&c->in);
    free(c);
}

struct remotes *remotes_new(remote_tls *tls, void *context)
{
    struct remotes *r = calloc(1, sizeof *r);

    check(r != NULL);
    r->tls = tls;
    r->context = context;
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

static void free_list(struct remote *c)
{
    while (c != NULL) {
        struct remote *next = c->next;

        remote_free(c);
        c = next;
    }
}

void remotes_free(struct remotes *r)
{
    if (r == NULL)
        return;
    free_list(r->idle);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* ---- Connecting ---- */

static enum err wait_for(int fd, short events, msec_t timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    msec_t until = clock_ms(CLOCK_MONOTONIC) + timeout_ms;

    for (;;) {
        msec_t left = until - clock_ms(CLOCK_MONOTONIC);
        int n = poll(&p, 1, left <= 0 ? 0 : left > 1000000 ? 1000000 : (int)left);

        if (n > 0)
            return OK;
        if (n < 0 && errno != EINTR)
            return err_set(ERR_IO, "%s", strerror(errno));
        if (n == 0 && left <= 0)
            return err_set(ERR_AGAIN, "timeout");
    }
}

static enum err connect_one(const struct addrinfo *a, msec_t timeout_ms, int *out)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1, error = 0;
    socklen_t size = sizeof error;
    enum err e = OK;

    if (fd < 0)
        return err_set(ERR_IO, "%s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
        if (errno != EINPROGRESS)
            e = err_set(ERR_IO, "%s", strerror(errno));
        else if ((e = wait_for(fd, POLLOUT, timeout_ms)) == OK && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
                 error != 0)
            e = err_set(ERR_IO, "%s", strerror(error));
    }
    if (e != OK)
        close(fd);
    else
        *out = fd;
    return e;
}

static enum err connect_any(const char *host, const char *port, msec_t timeout_ms, int *fd)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    enum err e;
    int n = getaddrinfo(host, port, &hints, &list);

    if (n != 0)
        return err_set(ERR_AGAIN, "%s", gai_strerror(n));
    e = err_set(ERR_AGAIN, "no address");
    for (const struct addrinfo *a = list; a != NULL && e != OK; a = a->ai_next)
        e = connect_one(a, timeout_ms, fd);
    freeaddrinfo(list);
    return e;
}

static enum err secure(struct remotes *r, struct remote *c, msec_t timeout_ms)
{
    struct tls_context *context = NULL;
    msec_t until = clock_ms(CLOCK_MONOTONIC) + timeout_ms;

    TRY(r->tls(r->context, &context));
    c->tls = tls_connect(context, c->fd);
    tls_context_free(context); /* the connection has its own hold of it */
    if (c->tls == NULL)
        return err_set(ERR_NO_MEMORY, "cannot set up TLS");
    for (;;) {
        bool wants_read = false, wants_write = false;
        int done = tls_handshake(c->tls, &wants_read, &wants_write);

        if (done > 0)
            return OK;
        if (!wants_read && !wants_write)
            return err_set(ERR_PROTOCOL, "TLS handshake failed");
        TRY(wait_for(c->fd, wants_write ? POLLOUT : POLLIN, until - clock_ms(CLOCK_MONOTONIC)));
    }
}

/* ---- The kept ones ---- */

static struct remote *take_kept(struct remotes *r, const struct remote_place *place)
{
    struct remote *found = NULL;

    pthread_mutex_lock(&r->lock);
    for (struct remote **at = &r->idle; *at != NULL; at = &(*at)->next)
        if (slice_equal(slice_str((*at)->host), place->host) && strcmp((*at)->port, place->port) == 0 &&
            ((*at)->tls != NULL) == place->tls) {
            found = *at;
            *at = found->next;
            r->count--;
            break;
        }
    pthread_mutex_unlock(&r->lock);
    return found;
}

enum err remote_take(struct remotes *r, const struct remote_place *place, msec_t timeout_ms, bool fresh, struct remote **out)
{
    struct remote *c = fresh ? NULL : take_kept(r, place);
    enum err e;

    if (c == NULL) {
        c = calloc(1, sizeof *c);
        check(c != NULL);
        *c = (struct remote){.host = strndup((const char *)place->host.data, place->host.size), .fd = -1, .db = -1};
        check(c->host != NULL);
        snprintf(c->port, sizeof c->port, "%s", place->port);
        e = connect_any(c->host, c->port, timeout_ms, &c->fd);
        if (e == OK && place->tls)
            e = secure(r, c, timeout_ms);
        if (e != OK) {
            remote_free(c);
            return e;
        }
    }
    *out = c;
    return OK;
}

/* A reset: the kernel would go on sending what it has of this connection, for minutes if the network is broken. */
static void abandon(struct remote *c)
{
    const struct linger at_once = {.l_onoff = 1};

    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    remote_free(c);
}

void remote_give(struct remotes *r, struct remote *c, bool sound)
{
    if (!sound || c->in_at < c->in.size) {
        abandon(c);
        return;
    }
    buf_clear(&c->in);
    c->in_at = 0;
    c->used_before = true;
    c->idle_since_ms = clock_ms(CLOCK_MONOTONIC);
    pthread_mutex_lock(&r->lock);
    if (r->count < REMOTE_KEPT_MAX) {
        c->next = r->idle;
        r->idle = c;
        r->count++;
        c = NULL;
    }
    pthread_mutex_unlock(&r->lock);
    if (c != NULL)
        remote_free(c);
}

void remotes_tick(struct remotes *r)
{
    msec_t before = clock_ms(CLOCK_MONOTONIC) - REMOTE_IDLE_MS;
    struct remote *old = NULL;

    pthread_mutex_lock(&r->lock);
    for (struct remote **at = &r->idle; *at != NULL;) {
        struct remote *c = *at;

        if (c->idle_since_ms >= before) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        c->next = old;
        old = c;
        r->count--;
    }
    pthread_mutex_unlock(&r->lock);
    free_list(old);
}

size_t remotes_kept(struct remotes *r)
{
    size_t count;

    pthread_mutex_lock(&r->lock);
    count = r->count;
    pthread_mutex_unlock(&r->lock);
    return count;
}

/* ---- Bytes ---- */

/* As send and recv; *events: what to poll for when errno is EAGAIN. */
static ssize_t put(struct remote *c, struct slice bytes, short *events)
{
    bool wants_read = false, wants_write = false;
    ssize_t n;

    *events = POLLOUT;
    if (c->tls == NULL)
        return send(c->fd, bytes.data, bytes.size, MSG_NOSIGNAL);
    n = tls_write(c->tls, bytes.data, bytes.size, &wants_read, &wants_write);
    *events = wants_read ? POLLIN : POLLOUT;
    return n;
}

static ssize_t get(struct remote *c, uint8_t *to, size_t size, short *events)
{
    bool wants_read = false, wants_write = false;
    ssize_t n;

    *events = POLLIN;
    if (c->tls == NULL)
        return recv(c->fd, to, size, 0);
    n = tls_read(c->tls, to, size, &wants_read, &wants_write);
    *events = wants_write ? POLLOUT : POLLIN;
    return n;
}

enum err remote_write(struct remote *c, struct slice bytes, msec_t timeout_ms)
{
    while (bytes.size > 0) {
        short events;
        ssize_t n = put(c, bytes, &events);

        if (n > 0) {
            bytes = slice_of(bytes.data + n, bytes.size - (size_t)n);
            continue;
        }
        if (n == 0)
            return err_set(ERR_IO, "the connection was closed");
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return err_set(ERR_IO, "%s", strerror(errno));
        TRY(wait_for(c->fd, events, timeout_ms));
    }
    return OK;
}

static enum err fill(struct remote *c, msec_t timeout_ms)
{
    for (;;) {
        uint8_t *to = buf_reserve(&c->in, READ_BYTES);
        short events;
        ssize_t n = get(c, to, READ_BYTES, &events);

        if (n > 0) {
            c->in.size += (size_t)n;
            return OK;
        }
        if (n == 0)
            return err_set(ERR_IO, "the connection was closed");
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            TRY(wait_for(c->fd, events, timeout_ms));
        else if (errno != EINTR)
            return err_set(ERR_IO, "%s", strerror(errno));
    }
}

enum err remote_line(struct remote *c, msec_t timeout_ms, struct slice *line)
{
    size_t looked = c->in_at;

    for (;;) {
        const uint8_t *begin = c->in.data + c->in_at;
        const uint8_t *end = c->in.size > looked ? memchr(c->in.data + looked, '\n', c->in.size - looked) : NULL;

        if (end != NULL) {
            *line = slice_of(begin, (size_t)(end - begin));
            if (line->size > 0 && begin[line->size - 1] == '\r')
                line->size--;
            c->in_at = (size_t)(end - c->in.data) + 1;
            return OK;
        }
        if (c->in.size - c->in_at > LINE_BYTES_MAX)
            return err_set(ERR_IO, "a line without end");
        if (c->in_at > 0) {
            buf_consume(&c->in, c->in_at);
            c->in_at = 0;
        }
        looked = c->in.size;
        TRY(fill(c, timeout_ms));
    }
}
