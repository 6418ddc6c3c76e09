/*
 * clients_look.c - what other threads see of connections: CLIENT LIST, one by its id, the sums that INFO shows.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "server/net/net_priv.h"
#include "server/run/registry.h"

/* ---- Figures of one ---- */

uint64_t client_output_bytes(const struct client *c)
{
    return LOAD(c->output_bytes) + LOAD(c->inbox_bytes);
}

uint64_t client_memory(const struct client *c)
{
    return sizeof(struct conn) + sizeof *c + client_output_bytes(c) + LOAD(c->query_bytes) + LOAD(c->query_free) +
           LOAD(c->multi_bytes);
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
    const struct command *command = LOAD(c->command);

    *out = (struct client_snapshot){
        .id = c->id,
        .fd = c->fd,
        .name = copy_text(c->texts[CLIENT_NAME]),
        .library_name = copy_text(c->texts[CLIENT_LIBRARY_NAME]),
        .library_version = copy_text(c->texts[CLIENT_LIBRARY_VERSION]),
        .user = copy_text(c->texts[CLIENT_USER] != NULL ? c->texts[CLIENT_USER] : "default"),
        .age_s = (now_ms - c->created_ms) / 1000,
        .idle_s = (now_ms - LOAD(c->active_ms)) / 1000,
        .flags = LOAD(c->flags),
        .kind = (enum client_kind)LOAD(c->kind),
        .db = LOAD(c->db),
        .subscriptions = LOAD(c->subscriptions),
        .patterns = LOAD(c->patterns),
        .shard_subscriptions = LOAD(c->shard_subscriptions),
        .watched = LOAD(c->watched),
        .multi = LOAD(c->multi),
        .query_bytes = LOAD(c->query_bytes),
        .query_free = LOAD(c->query_free),
        .multi_bytes = LOAD(c->multi_bytes),
        .output_bytes = client_output_bytes(c),
        .memory = client_memory(c),
        .received = LOAD(c->received),
        .sent = LOAD(c->sent),
        .commands = LOAD(c->commands),
        .command = command != NULL ? command->name : NULL,
        .protocol = (int)LOAD(c->protocol),
    };
    memcpy(out->address, c->address, sizeof out->address);
    memcpy(out->local_address, c->local_address, sizeof out->local_address);
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

void clients_list(struct clients *c, clients_each *each, void *context)
{
    struct client_snapshot *all = NULL;
    size_t count = 0, capacity = 0;
    msec_t now_ms = clock_ms(CLOCK_REALTIME);

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
        snapshot(client, clock_ms(CLOCK_REALTIME), out);
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

/* ---- Figures of all ---- */

void clients_figures(struct clients *c, struct clients_figures *out)
{
    *out = (struct clients_figures){
        .connected = atomic_load(&c->count),
        .blocked = atomic_load(&c->blocked),
        .blocked_timed = atomic_load(&c->blocked_timed),
        .monitors = atomic_load(&c->monitor_count),
        .tracking = atomic_load(&c->tracking),
        .accepted = LOAD(c->accepted) - LOAD(c->base_accepted),
        .rejected = LOAD(c->rejected) - LOAD(c->base_rejected),
        .reads = LOAD(c->reads) - LOAD(c->base_reads),
        .writes = LOAD(c->writes) - LOAD(c->base_writes),
        .received = LOAD(c->received) - LOAD(c->base_received),
        .sent = LOAD(c->sent) - LOAD(c->base_sent),
        .output_limit_closes = LOAD(c->output_limit_closes),
        .query_limit_closes = LOAD(c->query_limit_closes),
        .evicted = LOAD(c->evicted) - LOAD(c->base_evicted),
    };
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->worker_count; i++) {
        out->turns += LOAD(c->workers[i]->turns);
        out->turns_ns += LOAD(c->workers[i]->turns_ns);
        out->user_us += LOAD(c->workers[i]->user_us);
        out->system_us += LOAD(c->workers[i]->system_us);
    }
    out->maxclients = c->limits.maxclients;
    for (const struct client *client = c->first; client != NULL; client = client->next) {
        uint64_t output = client_output_bytes(client), query = LOAD(client->query_bytes);
        uint64_t memory = client_memory(client);
        enum client_kind kind = (enum client_kind)LOAD(client->kind);

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
    STORE(c->base_accepted, LOAD(c->accepted));
    STORE(c->base_evicted, LOAD(c->evicted));
    STORE(c->base_rejected, LOAD(c->rejected));
    STORE(c->base_reads, LOAD(c->reads));
    STORE(c->base_writes, LOAD(c->writes));
    STORE(c->base_received, LOAD(c->received));
    STORE(c->base_sent, LOAD(c->sent));
}
