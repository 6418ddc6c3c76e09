/*
 * world_priv.h - what the files of the simulated world share: its heap of events (world_heap.c), its links (world_links.c), its nodes
 * (world.c). Not for others.
 */
#ifndef CAIRN_TESTS_SIM_WORLD_PRIV_H
#define CAIRN_TESTS_SIM_WORLD_PRIV_H

#include "base/rng.h"
#include "world.h"

enum { WORLD_BUS_PORT = 17000, WORLD_CLIENT_PORT = 7000 };

/* A link between two nodes. Side 0 connected, side 1 accepted. */
struct conn {
    struct {
        unsigned node, life;
        link_t link;
        bool open;
        msec_t last_arrival; /* of a message to this side */
    } side[2];
    unsigned events; /* on the heap that point here */
    struct conn *next_all;
};

enum event_type {
    EVENT_TICK,
    EVENT_SECOND,
    EVENT_ARRIVE,
    EVENT_UP,
    EVENT_FAILED,
    EVENT_DOWN,
    EVENT_MESSAGE,
    EVENT_RESTART,
};

struct event {
    msec_t time;
    uint64_t order;
    enum event_type type;
    unsigned node, life;
    struct conn *conn;
    int side; /* the receiving one */
    uint8_t *bytes;
    size_t size;
};

struct world {
    struct world_options options;
    struct world_observer observer;
    struct rng rng;
    struct network network;
    msec_t now;
    uint64_t order, steps;
    struct event *heap;
    size_t heap_count, heap_capacity;
    struct sim_node nodes[SIM_NODES_MAX];
    bool calm;
};

/* ---- The heap: by time, then in the order of pushing ---- */

/* Takes e.bytes; e.conn, if there is one, counts one more. */
void heap_push(struct world *w, struct event e);
struct event heap_pop(struct world *w); /* there is one */

/* ---- Links ---- */

/* Frees it if nothing refers to it any more. */
void links_release(struct conn *conn);

/* A node's end of a link, by its name. */
void links_add(struct sim_node *n, link_t link, struct conn *conn);
void links_remove(struct sim_node *n, link_t link);

/* One side is gone (closed or crashed): the other hears of it, sometime or never. */
void links_end(struct world *w, struct conn *conn, int side, bool silent);

/* Something happens to one side at that time. */
void links_schedule(struct world *w, enum event_type type, struct conn *conn, int side, msec_t at);

/* The cores' actions; transmit: a message that no core has sent. */
void links_connect(struct world *w, struct sim_node *n, const struct cluster_action *a);
void links_send(struct world *w, struct sim_node *n, const struct cluster_action *a);
void links_close(struct world *w, struct sim_node *n, const struct cluster_action *a);
void links_transmit(struct world *w, struct sim_node *n, link_t link, struct slice bytes);

#endif
