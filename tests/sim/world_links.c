/*
 * world_links.c - links between simulated nodes: delays, losses, cuts, and ends that the other side hears of later or never.
 */
#include "world_priv.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void links_release(struct conn *conn)
{
    if (conn->events == 0 && !conn->side[0].open && !conn->side[1].open)
        free(conn);
}

void links_add(struct sim_node *n, link_t link, struct conn *conn)
{
    if (n->end_count == n->end_capacity) {
        n->end_capacity = n->end_capacity == 0 ? 16 : n->end_capacity * 2;
        n->ends = realloc(n->ends, n->end_capacity * sizeof *n->ends);
        check(n->ends != NULL);
    }
    n->ends[n->end_count++] = (struct world_end){link, conn};
}

static struct conn *links_find(const struct sim_node *n, link_t link, int *side)
{
    for (size_t i = 0; i < n->end_count; i++) {
        if (n->ends[i].link != link)
            continue;
        *side = (link & CLUSTER_LINK_INBOUND) != 0;
        return n->ends[i].conn;
    }
    return NULL;
}

void links_remove(struct sim_node *n, link_t link)
{
    for (size_t i = 0; i < n->end_count; i++) {
        if (n->ends[i].link == link) {
            n->ends[i] = n->ends[--n->end_count];
            return;
        }
    }
}

/* When something sent now by `from` reaches `to`; -1: never. */
static msec_t arrival(struct world *w, unsigned from, unsigned to)
{
    msec_t at = w->now + network_delay(&w->network);

    if (!network_cut(&w->network, from, to))
        return at;
    /* Held back as TCP would: tried again until the cut is over, see deliver. */
    return w->network.options.partition_holds ? at : -1;
}

void links_schedule(struct world *w, enum event_type type, struct conn *conn, int side, msec_t at)
{
    heap_push(w, (struct event){.time = at, .type = type, .conn = conn, .side = side});
}

/* One side is gone (closed or crashed): the other hears of it, sometime or never. */
void links_end(struct world *w, struct conn *conn, int side, bool silent)
{
    int other = 1 - side;
    msec_t at;

    conn->side[side].open = false;
    if (silent || !conn->side[other].open) {
        links_release(conn);
        return;
    }
    at = arrival(w, conn->side[side].node, conn->side[other].node);
    if (at >= 0)
        links_schedule(w, EVENT_DOWN, conn, other, at > conn->side[other].last_arrival ? at : conn->side[other].last_arrival);
}

void links_connect(struct world *w, struct sim_node *n, const struct cluster_action *a)
{
    unsigned high, low, target;
    struct conn *conn = calloc(1, sizeof *conn);
    msec_t at;

    check(conn != NULL && sscanf(a->text, "10.0.%u.%u", &high, &low) == 2);
    target = high * 250 + low - 1;
    check(target < w->options.nodes && a->port == WORLD_BUS_PORT);
    conn->side[0].node = n->index;
    conn->side[0].life = n->life;
    conn->side[0].link = a->link;
    conn->side[0].open = true;
    conn->side[1].node = target;
    links_add(n, a->link, conn);
    at = arrival(w, n->index, target);
    if (at < 0)
        return; /* a SYN into the void: the core gives up by itself */
    if (network_chance(&w->network, w->network.options.refuse_per_mille))
        links_schedule(w, EVENT_FAILED, conn, 0, at);
    else
        links_schedule(w, EVENT_ARRIVE, conn, 1, at);
}

void links_transmit(struct world *w, struct sim_node *n, link_t link, struct slice bytes)
{
    int side = 0, other;
    struct conn *conn = links_find(n, link, &side);
    struct event e = {.type = EVENT_MESSAGE, .conn = conn};

    check(conn != NULL);
    other = 1 - side;
    e.time = arrival(w, n->index, conn->side[other].node);
    if (e.time < 0 || !conn->side[other].open || network_chance(&w->network, w->network.options.loss_per_mille))
        return;
    if (!network_chance(&w->network, w->network.options.reorder_per_mille)) {
        if (e.time < conn->side[other].last_arrival)
            e.time = conn->side[other].last_arrival;
        conn->side[other].last_arrival = e.time;
    }
    if (network_chance(&w->network, w->network.options.break_per_mille)) {
        links_schedule(w, EVENT_DOWN, conn, other, e.time);
        links_schedule(w, EVENT_DOWN, conn, side, e.time + network_delay(&w->network));
        return;
    }
    e.side = other;
    e.size = bytes.size;
    e.bytes = malloc(e.size);
    check(e.bytes != NULL);
    memcpy(e.bytes, bytes.data, e.size);
    heap_push(w, e);
}

void links_send(struct world *w, struct sim_node *n, const struct cluster_action *a)
{
    int side = 0;
    const struct conn *conn = links_find(n, a->link, &side);

    check(conn != NULL);
    if (w->observer.sent != NULL)
        w->observer.sent(w->observer.context, n, conn->side[1 - side].node, a->bytes);
    if (a->bytes.data[13] == 0) { /* PING */
        memcpy(n->last_header, a->bytes.data, sizeof n->last_header);
        n->has_header = true;
    }
    links_transmit(w, n, a->link, a->bytes);
}

void links_close(struct world *w, struct sim_node *n, const struct cluster_action *a)
{
    int side = 0;
    struct conn *conn = links_find(n, a->link, &side);

    if (conn == NULL)
        return;
    links_remove(n, a->link);
    links_end(w, conn, side, false);
}
