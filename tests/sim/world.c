/*
 * world.c - the simulated world: drivers without sockets, which obey the cores and crash.
 *
 * (1) A link delivers in order, unless the network's options reorder; it ends for both sides, but not at once.
 * (2) A message obeyed by a driver leaves even if its node crashes right afterwards.
 * (3) A crash keeps what was persisted with sync, and perhaps what was persisted without.
 */
#include "world_priv.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { START_S = 1700000000, HOLD_STEP_MS = 50 };

/* ---- Nodes ---- */

void world_address(unsigned node, char ip[CLUSTER_IP_SIZE], unsigned *port)
{
    snprintf(ip, CLUSTER_IP_SIZE, "10.0.%u.%u", node / 250, node % 250 + 1);
    *port = WORLD_CLIENT_PORT;
}

static msec_t local_now(const struct world *w, const struct sim_node *n)
{
    return (msec_t)START_S * 1000 + w->now + n->clock_offset_ms + w->now * n->clock_drift_ppm / 1000000;
}

static void do_persist(struct sim_node *n, const struct cluster_action *a)
{
    struct buf *to = a->sync ? &n->durable : &n->unsynced;

    buf_clear(to);
    buf_append_slice(to, a->bytes);
    n->has_unsynced = !a->sync;
}

void world_crash(struct world *w, unsigned node)
{
    world_crash_for(w, node, 1 + (msec_t)rng_below(&w->rng, (uint64_t)w->options.down_max_ms + 1));
}

void world_crash_for(struct world *w, unsigned node, msec_t down_ms)
{
    struct sim_node *n = &w->nodes[node];
    bool silent = rng_below(&w->rng, 2) != 0;

    if (n->core == NULL)
        return;
    if (w->options.verbose)
        printf("%8lld node %u crashes\n", (long long)w->now, node);
    if (n->has_unsynced && rng_below(&w->rng, 2) != 0) {
        buf_clear(&n->durable);
        buf_append_slice(&n->durable, buf_slice(&n->unsynced));
    }
    n->has_unsynced = false;
    for (size_t i = 0; i < n->end_count; i++)
        links_end(w, n->ends[i].conn, (n->ends[i].link & CLUSTER_LINK_INBOUND) != 0, silent);
    n->end_count = 0;
    n->life++;
    cluster_free(n->core);
    n->core = NULL;
    if (w->observer.crashed != NULL)
        w->observer.crashed(w->observer.context, n);
    heap_push(w, (struct event){.time = w->now + down_ms, .type = EVENT_RESTART, .node = node,
                           .life = n->life});
}

/* Obeys one action; false if the node crashed before it. */
static bool obey(struct world *w, struct sim_node *n, const struct cluster_action *a)
{
    bool crash = !w->calm && w->options.crash_per_million_actions > 0 &&
                 rng_below(&w->rng, 1000000) < w->options.crash_per_million_actions *
                                                   (a->type == CLUSTER_SEND || a->type == CLUSTER_PERSIST ? 1 : 4);

    if (crash)
        return false;
    if (w->observer.obeyed != NULL)
        w->observer.obeyed(w->observer.context, n, a);
    switch (a->type) {
    case CLUSTER_CONNECT:
        links_connect(w, n, a);
        break;
    case CLUSTER_CLOSE:
        links_close(w, n, a);
        break;
    case CLUSTER_SEND:
        links_send(w, n, a);
        break;
    case CLUSTER_PERSIST:
        do_persist(n, a);
        break;
    case CLUSTER_SLOT_LOST:
        if (w->observer.slot_lost != NULL)
            w->observer.slot_lost(w->observer.context, n, a->slot);
        break;
    case CLUSTER_REPLICATE:
    case CLUSTER_FLUSH_DATA:
        if (w->observer.replicates != NULL)
            w->observer.replicates(w->observer.context, n);
        break;
    case CLUSTER_LOG:
        if (w->options.verbose && a->level >= 2)
            printf("%8lld node %u: %s\n", (long long)w->now, n->index, a->text);
        break;
    case CLUSTER_STATE:
    case CLUSTER_MAP:
    case CLUSTER_DELIVER:
    case CLUSTER_PROMOTE:
    case CLUSTER_OFFSET_WANTED:
    case CLUSTER_PAUSE:
        break;
    }
    return true;
}

/* One step and what follows from it; false if the node crashed on the way. */
static bool step(struct world *w, struct sim_node *n, const struct cluster_event *event, struct cluster_reply *reply)
{
    struct cluster_actions todo = cluster_step(n->core, event, local_now(w, n));

    w->steps++;
    if (w->observer.stepped != NULL)
        w->observer.stepped(w->observer.context, n);
    for (size_t i = 0; i < todo.count; i++) {
        if (!obey(w, n, &todo.list[i])) {
            world_crash(w, n->index);
            return false;
        }
    }
    if (reply != NULL)
        *reply = todo.reply;
    return true;
}

static uint64_t keys_count(void *context, slot_t slot)
{
    struct sim_node *n = context;
    const struct world_observer *o = &n->world->observer;

    return o->keys(o->context, n->index, slot);
}

static void start(struct world *w, struct sim_node *n)
{
    struct cluster_options options = {
        .seed = rng_next(&w->rng),
        .nodes_conf = buf_slice(&n->durable),
        .keys = {w->observer.keys != NULL ? keys_count : NULL, n},
        .replication = w->options.replication,
        .planted_bugs = w->options.planted_bugs | (n->index < w->options.redis_nodes ? CLUSTER_REDIS_SCHEDULE : 0),
    };
    unsigned port;
    enum err e;

    cluster_config_default(&options.config);
    world_address(n->index, options.config.announce_ip, &port);
    options.config.port = (uint16_t)port;
    options.config.node_timeout_ms = w->options.node_timeout_ms;
    e = cluster_new(&options, &n->core);
    if (e != OK) {
        fprintf(stderr, "node %u does not load its own nodes.conf: %s\n%.*s\n", n->index, err_text(),
                (int)n->durable.size, (const char *)n->durable.data);
        abort();
    }
    snprintf(n->id, sizeof n->id, "%s", cluster_my_id(n->core));
    if (w->observer.restarted != NULL)
        w->observer.restarted(w->observer.context, n);
    if (w->options.verbose)
        printf("%8lld node %u starts\n", (long long)w->now, n->index);
    heap_push(w, (struct event){.time = w->now + 1 + (msec_t)rng_below(&w->rng, CLUSTER_TICK_MS), .type = EVENT_TICK,
                           .node = n->index, .life = n->life});
    step(w, n, &(struct cluster_event){.type = CLUSTER_EVENT_START}, NULL);
}

struct world *world_new(const struct world_options *options, const struct world_observer *observer, struct world **out)
{
    struct world *w = calloc(1, sizeof *w);

    check(w != NULL && options->nodes > 0 && options->nodes <= SIM_NODES_MAX);
    *out = w;
    w->options = *options;
    w->observer = *observer;
    rng_seed(&w->rng, options->seed);
    network_init(&w->network, &options->network, options->nodes, rng_next(&w->rng));
    for (unsigned i = 0; i < options->nodes; i++) {
        struct sim_node *n = &w->nodes[i];

        n->index = i;
        n->world = w;
        if (options->first_conf != NULL)
            options->first_conf(observer->context, i, &n->durable);
        if (options->clock_offset_max_ms > 0)
            n->clock_offset_ms = (msec_t)rng_below(&w->rng, (uint64_t)options->clock_offset_max_ms);
        if (options->clock_drift_max_ppm > 0)
            n->clock_drift_ppm = (int64_t)rng_below(&w->rng, 2 * options->clock_drift_max_ppm + 1) -
                                 (int64_t)options->clock_drift_max_ppm;
    }
    heap_push(w, (struct event){.time = 1000, .type = EVENT_SECOND});
    for (unsigned i = 0; i < options->nodes; i++)
        start(w, &w->nodes[i]);
    return w;
}

void world_free(struct world *w)
{
    if (w == NULL)
        return;
    for (unsigned i = 0; i < w->options.nodes; i++) {
        struct sim_node *n = &w->nodes[i];

        for (size_t j = 0; j < n->end_count; j++) {
            struct conn *conn = n->ends[j].conn;

            conn->side[(n->ends[j].link & CLUSTER_LINK_INBOUND) != 0].open = false;
            links_release(conn);
        }
        cluster_free(n->core);
        free(n->ends);
        buf_free(&n->durable);
        buf_free(&n->unsynced);
    }
    while (w->heap_count > 0) {
        struct event e = heap_pop(w);

        free(e.bytes);
        if (e.conn != NULL) {
            e.conn->events--;
            links_release(e.conn);
        }
    }
    free(w->heap);
    free(w);
}

msec_t world_now(const struct world *w)
{
    return w->now;
}

struct rng *world_rng(struct world *w)
{
    return &w->rng;
}

struct network *world_network(struct world *w)
{
    return &w->network;
}

struct sim_node *world_node(struct world *w, unsigned index)
{
    return &w->nodes[index];
}

unsigned world_node_count(const struct world *w)
{
    return w->options.nodes;
}

uint64_t world_steps(const struct world *w)
{
    return w->steps;
}

/* ---- Events ---- */

/* The receiving side's node, if it still lives the life that the link belongs to. */
static struct sim_node *receiver(struct world *w, const struct event *e)
{
    struct sim_node *n = &w->nodes[e->conn->side[e->side].node];

    return n->core != NULL && e->conn->side[e->side].open && e->conn->side[e->side].life == n->life ? n : NULL;
}

static void on_arrive(struct world *w, struct event *e)
{
    struct conn *conn = e->conn;
    struct sim_node *n = &w->nodes[conn->side[1].node];
    char local_ip[CLUSTER_IP_SIZE], peer_ip[CLUSTER_IP_SIZE];
    unsigned port;
    link_t link;

    if (!conn->side[0].open)
        return;
    if (n->core == NULL) {
        if (rng_below(&w->rng, 2) != 0) /* refused; else the host is down and nothing answers */
            links_schedule(w, EVENT_FAILED, conn, 0, w->now + network_delay(&w->network));
        return;
    }
    link = CLUSTER_LINK_INBOUND | ++n->next_inbound;
    conn->side[1].life = n->life;
    conn->side[1].link = link;
    conn->side[1].open = true;
    links_add(n, link, conn);
    links_schedule(w, EVENT_UP, conn, 0, w->now + network_delay(&w->network));
    world_address(n->index, local_ip, &port);
    world_address(conn->side[0].node, peer_ip, &port);
    step(w, n, &(struct cluster_event){.type = CLUSTER_EVENT_LINK_ACCEPTED, .link = link, .local_ip = local_ip,
                                       .peer_ip = peer_ip}, NULL);
}

static void on_down(struct world *w, struct event *e, enum cluster_event_type type)
{
    struct sim_node *n = receiver(w, e);
    struct conn *conn = e->conn;
    link_t link = conn->side[e->side].link;

    if (n == NULL)
        return;
    links_remove(n, link);
    conn->side[e->side].open = false;
    step(w, n, &(struct cluster_event){.type = type, .link = link}, NULL);
}

static void on_message(struct world *w, struct event *e)
{
    struct sim_node *n = receiver(w, e);
    size_t size = 0;

    if (n == NULL)
        return;
    check(cluster_frame(slice_of(e->bytes, e->size), &size) == OK && size == e->size);
    step(w, n, &(struct cluster_event){.type = CLUSTER_EVENT_MESSAGE, .link = e->conn->side[e->side].link,
                                       .bytes = slice_of(e->bytes, e->size)}, NULL);
}

static void on_tick(struct world *w, const struct event *e)
{
    struct sim_node *n = &w->nodes[e->node];

    if (n->core == NULL || n->life != e->life)
        return;
    heap_push(w, (struct event){.time = w->now + CLUSTER_TICK_MS, .type = EVENT_TICK, .node = e->node, .life = e->life});
    if (w->observer.ticking != NULL)
        w->observer.ticking(w->observer.context, n);
    if (n->core == NULL)
        return;
    step(w, n, &(struct cluster_event){.type = CLUSTER_EVENT_TICK}, NULL);
}

/* Held back by a cut: tried again a little later, in order. */
static bool hold(struct world *w, struct event *e)
{
    struct conn *conn = e->conn;

    if (conn == NULL || !network_cut(&w->network, conn->side[1 - e->side].node, conn->side[e->side].node))
        return false;
    e->time = (w->now / HOLD_STEP_MS + 1) * HOLD_STEP_MS; /* the same for all that are held, so that order is kept */
    if (e->conn->side[e->side].last_arrival < e->time)
        e->conn->side[e->side].last_arrival = e->time;
    heap_push(w, *e);
    return true;
}

static void handle(struct world *w, struct event *e)
{
    struct sim_node *n;

    switch (e->type) {
    case EVENT_TICK:
        on_tick(w, e);
        break;
    case EVENT_SECOND:
        network_second(&w->network, w->now);
        heap_push(w, (struct event){.time = w->now + 1000, .type = EVENT_SECOND});
        break;
    case EVENT_ARRIVE:
        on_arrive(w, e);
        break;
    case EVENT_UP:
        n = receiver(w, e);
        if (n != NULL)
            step(w, n, &(struct cluster_event){.type = CLUSTER_EVENT_LINK_UP, .link = e->conn->side[0].link}, NULL);
        break;
    case EVENT_FAILED:
        on_down(w, e, CLUSTER_EVENT_LINK_FAILED);
        break;
    case EVENT_DOWN:
        on_down(w, e, CLUSTER_EVENT_LINK_DOWN);
        break;
    case EVENT_MESSAGE:
        on_message(w, e);
        break;
    case EVENT_RESTART:
        n = &w->nodes[e->node];
        if (n->core == NULL && n->life == e->life)
            start(w, n);
        break;
    }
}

bool world_event(struct world *w, unsigned node, const struct cluster_event *event)
{
    return w->nodes[node].core != NULL && step(w, &w->nodes[node], event, NULL);
}

void world_run_until(struct world *w, msec_t time)
{
    while (w->heap_count > 0 && w->heap[0].time <= time) {
        struct event e = heap_pop(w);

        check(e.time >= w->now);
        w->now = e.time;
        if (hold(w, &e)) {
            e.conn->events--; /* push counted the new entry; this was the old one */
            continue;
        }
        handle(w, &e);
        free(e.bytes);
        if (e.conn != NULL) {
            e.conn->events--;
            links_release(e.conn);
        }
    }
    w->now = time;
}

void world_calm(struct world *w)
{
    w->calm = true;
    network_calm(&w->network);
    for (unsigned i = 0; i < w->options.nodes; i++)
        if (w->nodes[i].core == NULL)
            start(w, &w->nodes[i]);
}

/* ---- Operators and candidates ---- */

struct world_reply world_command(struct world *w, unsigned node, enum cluster_command_type type, const char *words)
{
    struct sim_node *n = &w->nodes[node];
    struct slice argv[16];
    struct cluster_command command = {type, 0, argv};
    struct world_reply out = {0};
    struct cluster_reply reply;

    if (n->core == NULL)
        return out;
    for (const char *p = words; *p != '\0';) {
        size_t size = strcspn(p, " ");

        check(command.argc < 16);
        argv[command.argc++] = slice_of(p, size);
        p += size + (p[size] == ' ');
    }
    if (!step(w, n, &(struct cluster_event){.type = CLUSTER_EVENT_COMMAND, .command = &command}, &reply))
        return out;
    out.answered = true;
    out.ok = reply.type != CLUSTER_REPLY_ERROR;
    snprintf(out.text, sizeof out.text, "%s", reply.text != NULL ? reply.text : "");
    return out;
}

void world_ask_for_votes(struct world *w, unsigned node)
{
    struct sim_node *n = &w->nodes[node];
    uint8_t request[2256];
    uint64_t epoch = 0;

    if (n->core == NULL || !n->has_header)
        return;
    memcpy(request, n->last_header, sizeof request);
    for (int i = 0; i < 8; i++)
        epoch = epoch << 8 | request[16 + i];
    epoch += rng_below(&w->rng, 2); /* a new election, or one of which it has heard */
    for (int i = 0; i < 8; i++)
        request[16 + i] = (uint8_t)(epoch >> (56 - 8 * i));
    memcpy(request + 4, (const uint8_t[]){0, 0, 0x08, 0xD0}, 4);
    request[13] = 5;                          /* AUTH_REQUEST */
    request[14] = request[15] = 0;            /* no gossip */
    request[2214] = request[2215] = 0;        /* no extensions */
    request[2253] = 2;                        /* FORCEACK */
    for (size_t i = 0; i < n->end_count; i++)
        if ((n->ends[i].link & CLUSTER_LINK_INBOUND) == 0)
            links_transmit(w, n, n->ends[i].link, slice_of(request, sizeof request));
}
