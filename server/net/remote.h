/*
 * remote.h - connections to other servers' client ports, kept for the next use: what MIGRATE sends its keys through.
 *
 * Blocking, for threads that may wait; every step (a connection, a write, a read) has the same time. A connection is one
 * caller's from remote_take to remote_give.
 */
#ifndef CAIRN_SERVER_NET_REMOTE_H
#define CAIRN_SERVER_NET_REMOTE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "base/types.h"
#include "server/net/tls.h"

struct remotes;

/* What TLS connections are opened with; the caller's. ERR_INVALID: the settings do not allow any. */
typedef enum err remote_tls(void *context, struct tls_context **out);

enum { REMOTE_IDLE_MS = 10000, REMOTE_KEPT_MAX = 64 };

struct remote {
    struct remote *next;
    char *host;
    char port[8];
    int fd;
    void *tls;        /* NULL: plain text */
    int64_t db;       /* selected there; -1: not known */
    bool used_before; /* it was kept since an earlier use */
    msec_t idle_since_ms;
    struct buf in;    /* read and not taken */
    size_t in_at;
};

struct remotes *remotes_new(remote_tls *tls, void *context);
void remotes_free(struct remotes *r); /* accepts NULL; all connections were given back */

struct remote_place {
    struct slice host;
    const char *port;
    bool tls;
};

/*
 * One that is kept, or, if there is none or fresh, a new one. ERR_AGAIN: not within the time, or no such host; ERR_IO: refused;
 * ERR_PROTOCOL or ERR_INVALID: no TLS with that peer.
 */
enum err remote_take(struct remotes *r, const struct remote_place *place, msec_t timeout_ms, bool fresh,
                     struct remote **out) WARN_UNUSED;

/* Keeps it if `sound`: nothing is under way on it. Otherwise it is reset: what has not reached the peer by now never does. */
void remote_give(struct remotes *r, struct remote *c, bool sound);

/* ERR_AGAIN: the time is over; ERR_IO. */
enum err remote_write(struct remote *c, struct slice bytes, msec_t timeout_ms) WARN_UNUSED;
/* The next line, without its end; borrowed until the next call. */
enum err remote_line(struct remote *c, msec_t timeout_ms, struct slice *line) WARN_UNUSED;

/* Closes what was idle for REMOTE_IDLE_MS. */
void remotes_tick(struct remotes *r);
size_t remotes_kept(struct remotes *r);

#endif
