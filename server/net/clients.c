/*
 * clients.c - the list of connections and what other threads do with them.
 */
#include "server/net/clients.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "server/net/monitor.h"
#include "server/net/net_priv.h"
#include "server/net/peer.h"
#include "server/run/registry.h"

#define RELAXED(field) atomic_load_explicit(&(field), memory_order_relaxed)
#define STORE(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)

struct client_limits client_limits_default(void)
{
    return (struct client_limits){
        .maxclients = 10000,
        .query_bytes_max = UINT64_C(1) << 30,
        .bulk_bytes_max = UINT64_C(512) << 20,
        .keepalive_s = 300,
        .protected_mode = true,
        .output = {{0, 0, 0}, {256 << 20, 64 << 20, 60}, {32 << 20, 8 << 20, 60}},
    };
}

struct clients *clients_new(const struct client_limits *limits)
{
    struct clients *c = calloc(1, sizeof *c);

    check(c != NULL);
    pthread_mutex_init(&c->lock, NULL);
    c->limits = *limits;
    c->limits_version = 1;
    c->next_id = 1;
    return c;
}

void clients_free(struct clients *c)
{
    if (c == NULL)
        return;
    check(c->first == NULL && c->monitor_count == 0);
    pthread_mutex_destroy(&c->lock);
    free(c->monitors);
    free(c);
}

void clients_limits_set(struct clients *c, const struct client_limits *limits)
{
    pthread_mutex_lock(&c->lock);
    c->limits = *limits;
    atomic_fetch_add(&c->limits_version, 1);
    pthread_mutex_unlock(&c->lock);
}

struct client_limits clients_limits(struct clients *c)
{
    struct client_limits limits;

    pthread_mutex_lock(&c->lock);
    limits = c->limits;
    pthread_mutex_unlock(&c->lock);
    return limits;
}

/* ---- Life of one ---- */

struct client *client_new(struct clients *c, struct worker *w, int fd, const char *address, const char *local_address,
                          msec_t now_ms)
{
    struct client *client = calloc(1, sizeof *client);

    check(client != NULL);
    client->registry = c;
    client->worker = w;
    client->fd = fd;
    client->created_ms = now_ms;
    snprintf(client->address, sizeof client->address, "%s", address);
    snprintf(client->local_address, sizeof client->local_address, "%s", local_address);
    atomic_init(&client->references, 1);
    atomic_init(&client->open, true);
    STORE(client->active_ms, now_ms);
    STORE(client->kind, CLIENT_NORMAL);
    STORE(client->multi, -1);
    STORE(client->protocol, 2);
    pthread_mutex_lock(&c->lock);
    client->id = c->next_id++;
    client->previous = c->last;
    *(c->last != NULL ? &c->last->next : &c->first) = client;
    c->last = client;
    client->listed = true;
    pthread_mutex_unlock(&c->lock);
    return client;
}

void client_gone(struct client *client)
{
    struct clients *c = client->registry;

    monitor_remove(c, client);
    pthread_mutex_lock(&c->lock);
    atomic_store(&client->open, false);
    if (client->listed) {
        *(client->previous != NULL ? &client->previous->next : &c->first) = client->next;
        *(client->next != NULL ? &client->next->previous : &c->last) = client->previous;
        client->listed = false;
    }
    pthread_mutex_unlock(&c->lock);
    atomic_fetch_sub(&c->count, 1);
}

struct client *clients_link_add(struct clients *c, int fd, msec_t now_ms)
{
    char address[64], local_address[64];
    struct client *client;

    peer_addresses(fd, address, local_address);
    client = client_new(c, NULL, fd, address, local_address, now_ms);
    client_set_kind(client, CLIENT_PRIMARY);
    client_set_flag(client, CLIENT_FLAG_PRIMARY, true);
    client_set_text(client, CLIENT_USER, SLICE_LITERAL("(superuser)"));
    atomic_fetch_add(&c->count, 1);
    return client;
}

void client_link_note(struct client *c, uint64_t received, msec_t now_ms)
{
    STORE(c->received, RELAXED(c->received) + received);
    STORE(c->active_ms, now_ms);
}

void client_link_end(struct client *take_c)
{
    client_gone(take_c);
    client_unref(take_c);
}

struct client *client_ref(struct client *c)
{
    atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
    return c;
}

void client_unref(struct client *c)
{
    if (c == NULL || atomic_fetch_sub(&c->references, 1) != 1)
        return;
    for (size_t i = 0; i < sizeof c->texts / sizeof c->texts[0]; i++)
        free(c->texts[i]);
    free(c);
}

bool client_is_open(const struct client *c)
{
    return atomic_load(&c->open);
}

uint64_t client_id(const struct client *c)
{
    return c->id;
}

const char *client_address(const struct client *c)
{
    return c->address;
}

const char *client_local_address(const struct client *c)
{
    return c->local_address;
}

bool client_is_local(const struct client *c)
{
    return (RELAXED(c->flags) & CLIENT_FLAG_UNIX) != 0 || strncmp(c->address, "127.", 4) == 0 ||
           strncmp(c->address, "[::1]:", 6) == 0;
}

void client_note_command(struct client *c, const struct command *command)
{
    STORE(c->command, command);
    STORE(c->commands, RELAXED(c->commands) + 1);
}

void client_set_kind(struct client *c, enum client_kind kind)
{
    STORE(c->kind, kind);
}

void client_set_flag(struct client *c, enum client_flag flag, bool on)
{
    unsigned before = on ? atomic_fetch_or(&c->flags, flag) : atomic_fetch_and(&c->flags, ~(unsigned)flag);

    if (flag == CLIENT_FLAG_TRACKING && ((before & flag) != 0) != on)
        atomic_fetch_add(&c->registry->tracking, on ? 1 : (size_t)-1);
}

void client_set_subscriptions(struct client *c, unsigned channels, unsigned patterns, unsigned shard_channels)
{
    STORE(c->subscriptions, channels);
    STORE(c->patterns, patterns);
    STORE(c->shard_subscriptions, shard_channels);
    client_set_flag(c, CLIENT_FLAG_PUBSUB, channels + patterns + shard_channels > 0);
    if (RELAXED(c->kind) == CLIENT_NORMAL || RELAXED(c->kind) == CLIENT_PUBSUB)
        client_set_kind(c, channels + patterns + shard_channels > 0 ? CLIENT_PUBSUB : CLIENT_NORMAL);
}

/* ---- Names ---- */

void client_set_text(struct client *c, enum client_text which, struct slice text)
{
    char *copy = text.size > 0 ? strndup((const char *)text.data, text.size) : NULL, *old;

    pthread_mutex_lock(&c->registry->lock);
    old = c->texts[which];
    c->texts[which] = copy;
    pthread_mutex_unlock(&c->registry->lock);
    free(old);
}

void client_get_text(struct client *c, enum client_text which, struct buf *out)
{
    pthread_mutex_lock(&c->registry->lock);
    if (c->texts[which] != NULL)
        buf_append_str(out, c->texts[which]);
    pthread_mutex_unlock(&c->registry->lock);
}

/* ---- Snapshots ---- */

static char *copy_text(const char *text)
{
    char *copy = strdup(text != NULL ? text : "");

    check(copy != NULL);
    return copy;
}

/* Under the registry's lock. */
static void snapshot(const struct client *c, msec_t now_ms, struct client_snapshot *out)
{
    const struct command *command = RELAXED(c->command);

    *out = (struct client_snapshot){
        .id = c->id,
        .fd = c->fd,
        .name = copy_text(c->texts[CLIENT_NAME]),
        .library_name = copy_text(c->texts[CLIENT_LIBRARY_NAME]),
        .library_version = copy_text(c->texts[CLIENT_LIBRARY_VERSION]),
        .user = copy_text(c->texts[CLIENT_USER] != NULL ? c->texts[CLIENT_USER] : "default"),
        .age_s = (now_ms - c->created_ms) / 1000,
        .idle_s = (now_ms - RELAXED(c->active_ms)) / 1000,
        .flags = RELAXED(c->flags),
        .kind = (enum client_kind)RELAXED(c->kind),
        .db = RELAXED(c->db),
        .subscriptions = RELAXED(c->subscriptions),
        .patterns = RELAXED(c->patterns),
        .shard_subscriptions = RELAXED(c->shard_subscriptions),
        .watched = RELAXED(c->watched),
        .multi = RELAXED(c->multi),
        .query_bytes = RELAXED(c->query_bytes),
        .query_free = RELAXED(c->query_free),
        .multi_bytes = RELAXED(c->multi_bytes),
        .output_bytes = client_output_bytes(c),
        .received = RELAXED(c->received),
        .sent = RELAXED(c->sent),
        .commands = RELAXED(c->commands),
        .command = command != NULL ? command->name : NULL,
        .protocol = (int)RELAXED(c->protocol),
    };
    memcpy(out->address, c->address, sizeof out->address);
    memcpy(out->local_address, c->local_address, sizeof out->local_address);
    out->memory = sizeof(struct conn) + sizeof *c + out->query_bytes + out->query_free + out->multi_bytes + out->output_bytes;
    if (out->idle_s < 0)
        out->idle_s = 0;
}

void client_snapshot_free(struct client_snapshot *s)
{
    free(s->name);
    free(s->library_name);
    free(s->library_version);
    free(s->user);
    s->name = s->library_name = s->library_version = s->user = NULL;
}

size_t clients_count(struct clients *c)
{
    return atomic_load(&c->count);
}

static msec_t wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (msec_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void clients_list(struct clients *c, clients_each *each, void *context)
{
    struct client_snapshot *all = NULL;
    size_t count = 0, capacity = 0;
    msec_t now_ms = wall_ms();

    pthread_mutex_lock(&c->lock);
    for (const struct client *client = c->first; client != NULL; client = client->next) {
        if (count == capacity) {
            capacity = capacity < 16 ? 16 : 2 * capacity;
            all = realloc(all, capacity * sizeof *all);
            check(all != NULL);
        }
        snapshot(client, now_ms, &all[count++]);
    }
    pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < count; i++) {
        each(context, &all[i]);
        client_snapshot_free(&all[i]);
    }
    free(all);
}

/* Under the registry's lock. */
static struct client *find(struct clients *c, uint64_t id)
{
    struct client *client = c->last;

    while (client != NULL && client->id != id)
        client = client->previous;
    return client;
}

enum err clients_look(struct clients *c, uint64_t id, struct client_snapshot *out)
{
    const struct client *client;

    pthread_mutex_lock(&c->lock);
    client = find(c, id);
    if (client != NULL)
        snapshot(client, wall_ms(), out);
    pthread_mutex_unlock(&c->lock);
    return client != NULL ? OK : ERR_NOT_FOUND;
}

struct client *clients_find(struct clients *c, uint64_t id)
{
    struct client *client;

    pthread_mutex_lock(&c->lock);
    client = find(c, id);
    if (client != NULL)
        client_ref(client);
    pthread_mutex_unlock(&c->lock);
    return client;
}

/* ---- Acting ---- */

uint64_t client_output_bytes(const struct client *c)
{
    return RELAXED(c->output_bytes) + RELAXED(c->inbox_bytes);
}

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
    if (f->kinds != 0 && (RELAXED(c->kind) & f->kinds) == 0)
        return false;
    return f->max_age_s == 0 || now_ms - c->created_ms >= f->max_age_s * 1000;
}

size_t clients_kill(struct clients *c, const struct client_filter *filter)
{
    size_t killed = 0;
    msec_t now_ms = wall_ms();

    pthread_mutex_lock(&c->lock);
    for (struct client *client = c->first; client != NULL; client = client->next)
        if ((RELAXED(client->flags) & CLIENT_FLAG_CLOSING) == 0 && wanted(client, filter, now_ms)) {
            client_set_flag(client, CLIENT_FLAG_CLOSING, true);
            close_soon(client);
            killed++;
        }
    pthread_mutex_unlock(&c->lock);
    return killed;
}

static uint64_t memory_of(const struct client *c)
{
    return sizeof(struct conn) + sizeof *c + client_output_bytes(c) + RELAXED(c->query_bytes) + RELAXED(c->query_free) +
           RELAXED(c->multi_bytes);
}

static bool evictable(const struct client *c)
{
    return (RELAXED(c->flags) & (CLIENT_FLAG_NO_EVICT | CLIENT_FLAG_CLOSING)) == 0 &&
           (RELAXED(c->kind) & (CLIENT_NORMAL | CLIENT_PUBSUB)) != 0;
}

size_t clients_evict(struct clients *c)
{
    uint64_t total = 0, limit;
    size_t closed = 0;

    pthread_mutex_lock(&c->lock);
    limit = c->limits.memory_bytes_max;
    for (const struct client *client = c->first; limit != 0 && client != NULL; client = client->next)
        total += evictable(client) ? memory_of(client) : 0;
    while (limit != 0 && total > limit) {
        struct client *largest = NULL;

        for (struct client *client = c->first; client != NULL; client = client->next)
            if (evictable(client) && (largest == NULL || memory_of(client) > memory_of(largest)))
                largest = client;
        if (largest == NULL)
            break;
        total -= memory_of(largest) < total ? memory_of(largest) : total;
        log_event(LOG_NOTICE, "client evicted: id=%llu addr=%s bytes=%llu", (unsigned long long)largest->id,
                  largest->address, (unsigned long long)memory_of(largest));
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

    if (client != NULL && (RELAXED(client->flags) & CLIENT_FLAG_BLOCKED) != 0) {
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
        if ((RELAXED(client->flags) & CLIENT_FLAG_BLOCKED) != 0) {
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
    if (what == CLIENT_PAUSE_ALL && RELAXED(c->pause_all_until) < until_ms)
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
    msec_t until = RELAXED(c->pause_write_until);

    if (__builtin_expect(until == 0 || until <= now_ms, 1))
        return CLIENT_PAUSE_NONE;
    return RELAXED(c->pause_all_until) > now_ms ? CLIENT_PAUSE_ALL : CLIENT_PAUSE_WRITE;
}

/* ---- Figures ---- */

void clients_figures(struct clients *c, struct clients_figures *out)
{
    *out = (struct clients_figures){
        .connected = atomic_load(&c->count),
        .blocked = atomic_load(&c->blocked),
        .blocked_timed = atomic_load(&c->blocked_timed),
        .monitors = atomic_load(&c->monitor_count),
        .tracking = atomic_load(&c->tracking),
        .accepted = RELAXED(c->accepted) - RELAXED(c->base_accepted),
        .rejected = RELAXED(c->rejected) - RELAXED(c->base_rejected),
        .reads = RELAXED(c->reads) - RELAXED(c->base_reads),
        .writes = RELAXED(c->writes) - RELAXED(c->base_writes),
        .received = RELAXED(c->received) - RELAXED(c->base_received),
        .sent = RELAXED(c->sent) - RELAXED(c->base_sent),
        .output_limit_closes = RELAXED(c->output_limit_closes),
        .query_limit_closes = RELAXED(c->query_limit_closes),
        .evicted = RELAXED(c->evicted) - RELAXED(c->base_evicted),
    };
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->worker_count; i++) {
        out->turns += RELAXED(c->workers[i]->turns);
        out->turns_ns += RELAXED(c->workers[i]->turns_ns);
        out->user_us += RELAXED(c->workers[i]->user_us);
        out->system_us += RELAXED(c->workers[i]->system_us);
    }
    out->maxclients = c->limits.maxclients;
    for (const struct client *client = c->first; client != NULL; client = client->next) {
        uint64_t output = client_output_bytes(client), query = RELAXED(client->query_bytes);
        uint64_t memory = memory_of(client);
        enum client_kind kind = (enum client_kind)RELAXED(client->kind);

        *(kind == CLIENT_REPLICA ? &out->memory_replicas : &out->memory_normal) += memory;
        out->replicas += kind == CLIENT_REPLICA;
        out->pubsub += kind == CLIENT_PUBSUB;
        out->output_longest = output > out->output_longest ? output : out->output_longest;
        out->input_largest = query > out->input_largest ? query : out->input_largest;
    }
    pthread_mutex_unlock(&c->lock);
}

void clients_figures_reset(struct clients *c)
{
    STORE(c->base_accepted, RELAXED(c->accepted));
    STORE(c->base_evicted, RELAXED(c->evicted));
    STORE(c->base_rejected, RELAXED(c->rejected));
    STORE(c->base_reads, RELAXED(c->reads));
    STORE(c->base_writes, RELAXED(c->writes));
    STORE(c->base_received, RELAXED(c->received));
    STORE(c->base_sent, RELAXED(c->sent));
}
