/*
 * clients.c - the list of connections: its limits, the life of one, what its own thread notes about it.
 *
 * Other threads look at them in clients_look.c and act on them in clients_act.c.
 */
#include "server/net/clients.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "server/net/monitor.h"
#include "server/net/net_priv.h"
#include "server/net/peer.h"
#include "server/run/registry.h"

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
    STORE(c->received, LOAD(c->received) + received);
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
    return (LOAD(c->flags) & CLIENT_FLAG_UNIX) != 0 || strncmp(c->address, "127.", 4) == 0 ||
           strncmp(c->address, "[::1]:", 6) == 0;
}

void client_note_command(struct client *c, const struct command *command)
{
    STORE(c->command, command);
    STORE(c->commands, LOAD(c->commands) + 1);
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
    if (LOAD(c->kind) == CLIENT_NORMAL || LOAD(c->kind) == CLIENT_PUBSUB)
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
