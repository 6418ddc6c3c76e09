/*
 * clients_act.c - what other threads do with connections: push, close, kill, evict, end a wait, hold writes.
 *
 * Nothing is done to a connection here: its worker is told, by its inbox.
 */
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/net/net_priv.h"

/* ---- One ---- */

void client_push(struct client *c, struct slice bytes)
{
    struct message *m;

    if (bytes.size == 0 || !client_is_open(c))
        return;
    m = message_new(MESSAGE_PUSH, c);
    buf_append_slice(&m->bytes, bytes);
    atomic_fetch_add_explicit(&c->inbox_bytes, bytes.size, memory_order_relaxed);
    worker_post(c->worker, m);
}

/* Under the registry's lock: the socket of a link is open while it is listed. */
static void close_soon(struct client *c)
{
    if (c->worker != NULL)
        worker_post(c->worker, message_new(MESSAGE_CLOSE, c));
    else
        shutdown(c->fd, SHUT_RDWR);
}

void client_close(struct client *c)
{
    if (client_is_open(c))
        worker_post(c->worker, message_new(MESSAGE_CLOSE, c));
}

static bool wanted(const struct client *c, const struct client_filter *f, msec_t now_ms)
{
    const char *user = c->texts[CLIENT_USER] != NULL ? c->texts[CLIENT_USER] : "default";

    if (f->not_id != 0 && c->id == f->not_id)
        return false;
    if ((f->id != 0 && c->id != f->id) || (f->address != NULL && strcmp(c->address, f->address) != 0) ||
        (f->local_address != NULL && strcmp(c->local_address, f->local_address) != 0) ||
        (f->user != NULL && strcmp(user, f->user) != 0))
        return false;
    if (f->kinds != 0 && (LOAD(c->kind) & f->kinds) == 0)
        return false;
    return f->max_age_s == 0 || now_ms - c->created_ms >= f->max_age_s * 1000;
}

size_t clients_kill(struct clients *c, const struct client_filter *filter)
{
    size_t killed = 0;
    msec_t now_ms = clock_ms(CLOCK_REALTIME);

    pthread_mutex_lock(&c->lock);
    for (struct client *client = c->first; client != NULL; client = client->next)
        if ((LOAD(client->flags) & CLIENT_FLAG_CLOSING) == 0 && wanted(client, filter, now_ms)) {
            client_set_flag(client, CLIENT_FLAG_CLOSING, true);
            close_soon(client);
            killed++;
        }
    pthread_mutex_unlock(&c->lock);
    return killed;
}

static bool evictable(const struct client *c)
{
    return (LOAD(c->flags) & (CLIENT_FLAG_NO_EVICT | CLIENT_FLAG_CLOSING)) == 0 &&
           (LOAD(c->kind) & (CLIENT_NORMAL | CLIENT_PUBSUB)) != 0;
}

size_t clients_evict(struct clients *c)
{
    uint64_t total = 0, limit;
    size_t closed = 0;

    pthread_mutex_lock(&c->lock);
    limit = c->limits.memory_bytes_max;
    for (const struct client *client = c->first; limit != 0 && client != NULL; client = client->next)
        total += evictable(client) ? client_memory(client) : 0;
    while (limit != 0 && total > limit) {
        struct client *largest = NULL;

        for (struct client *client = c->first; client != NULL; client = client->next)
            if (evictable(client) && (largest == NULL || client_memory(client) > client_memory(largest)))
                largest = client;
        if (largest == NULL)
            break;
        total -= client_memory(largest) < total ? client_memory(largest) : total;
        log_event(LOG_NOTICE, "client evicted: id=%llu addr=%s bytes=%llu", (unsigned long long)largest->id,
                  largest->address, (unsigned long long)client_memory(largest));
        client_set_flag(largest, CLIENT_FLAG_CLOSING, true);
        worker_post(largest->worker, message_new(MESSAGE_CLOSE, largest));
        atomic_fetch_add(&c->evicted, 1);
        closed++;
    }
    pthread_mutex_unlock(&c->lock);
    return closed;
}

bool clients_unblock(struct clients *c, uint64_t id, bool with_error)
{
    struct client *client = clients_find(c, id);
    bool blocked = false;

    if (client != NULL && (LOAD(client->flags) & CLIENT_FLAG_BLOCKED) != 0) {
        struct message *m = message_new(MESSAGE_UNBLOCK, client);

        m->number = with_error ? WAITING_ERROR : WAITING_TIMEOUT;
        worker_post(client->worker, m);
        blocked = true;
    }
    client_unref(client);
    return blocked;
}

void client_look(struct client *c)
{
    struct message *m = message_new(MESSAGE_UNBLOCK, c);

    m->number = WAITING_LOOK;
    worker_post(c->worker, m);
}

void clients_unblock_all(struct clients *c)
{
    pthread_mutex_lock(&c->lock);
    for (struct client *client = c->first; client != NULL; client = client->next)
        if ((LOAD(client->flags) & CLIENT_FLAG_BLOCKED) != 0) {
            struct message *m = message_new(MESSAGE_UNBLOCK, client);

            m->number = WAITING_DEMOTED;
            worker_post(client->worker, m);
        }
    pthread_mutex_unlock(&c->lock);
}

/* ---- Pausing ---- */

/* Under lock. */
static msec_t pause_write_set(struct clients *c)
{
    msec_t until_ms = c->asked_write_until > c->hold_write_until ? c->asked_write_until : c->hold_write_until;

    STORE(c->pause_write_until, until_ms);
    return until_ms;
}

msec_t clients_pause(struct clients *c, enum client_pause what, msec_t until_ms)
{
    pthread_mutex_lock(&c->lock);
    if (what == CLIENT_PAUSE_ALL && LOAD(c->pause_all_until) < until_ms)
        STORE(c->pause_all_until, until_ms);
    if (c->asked_write_until < until_ms)
        c->asked_write_until = until_ms;
    until_ms = pause_write_set(c);
    pthread_mutex_unlock(&c->lock);
    return until_ms;
}

msec_t clients_unpause(struct clients *c)
{
    msec_t until_ms;

    pthread_mutex_lock(&c->lock);
    STORE(c->pause_all_until, 0);
    c->asked_write_until = 0;
    until_ms = pause_write_set(c);
    pthread_mutex_unlock(&c->lock);
    clients_retry_held(c);
    return until_ms;
}

msec_t clients_hold_writes(struct clients *c, msec_t until_ms)
{
    bool ends = until_ms == 0;

    pthread_mutex_lock(&c->lock);
    if (ends || c->hold_write_until < until_ms)
        c->hold_write_until = until_ms;
    until_ms = pause_write_set(c);
    pthread_mutex_unlock(&c->lock);
    if (ends)
        clients_retry_held(c);
    return until_ms;
}

void clients_retry_held(struct clients *c)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->worker_count; i++)
        worker_post(c->workers[i], message_new(MESSAGE_UNPAUSE, NULL));
    pthread_mutex_unlock(&c->lock);
}

enum client_pause clients_paused(struct clients *c, msec_t now_ms)
{
    msec_t until = LOAD(c->pause_write_until);

    if (__builtin_expect(until == 0 || until <= now_ms, 1))
        return CLIENT_PAUSE_NONE;
    return LOAD(c->pause_all_until) > now_ms ? CLIENT_PAUSE_ALL : CLIENT_PAUSE_WRITE;
}
