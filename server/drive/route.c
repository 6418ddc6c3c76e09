/*
 * route.c - puts a command's keys and flags into a routing request and acts on the verdict.
 */
#include "server/drive/route.h"

#include "base/hash.h"
#include "cluster/routing.h"
#include "engine/set/txn.h"
#include "server/drive/cluster_service.h"
#include "server/drive/move.h"
#include "server/net/clients.h"
#include "server/run/facts.h"
#include "server/run/registry.h"
#include "server/run/session.h"

#include <string.h>

static bool is_named(const struct gate *g, const char *name)
{
    return strcmp(g->command->name, name) == 0;
}

static bool writes(const struct gate *g)
{
    return is_named(g, "exec") ? multi_may_write(&g->session->multi) : command_may_write(g->command);
}

/* How many of the distinct keys are not here. An expired key is missing, and stays where it is. */
static enum err look_up(const struct gate *g, struct routing_request *request)
{
    request->keys_looked_up = true;
    for (size_t i = 0; i < g->key_count; i++) {
        struct obj *o = NULL;
        bool again = false;
        enum err e;

        for (size_t k = 0; k < i && !again; k++)
            again = slice_equal(g->keys[k], g->keys[i]);
        if (again)
            continue;
        request->keys_distinct++;
        e = txn_read(g->txn, g->keys[i], OBJ_ANY, &o);
        if (e == ERR_NOT_FOUND)
            request->keys_missing++;
        else if (e != OK)
            return e;
    }
    return OK;
}

enum err route_gate(void *context, const struct gate *g)
{
    struct cluster_service *service = context;
    struct routing_request request = {.write = writes(g),
                                      .asking = g->session->asking || g->command->flags & FACT_ASKING,
                                      .readonly = g->session->readonly,
                                      .migrate = is_named(g, "migrate"),
                                      .shard_channel = is_named(g, "spublish") || is_named(g, "ssubscribe") ||
                                                       is_named(g, "sunsubscribe")};
    const struct cluster_map *map;
    enum routing_verdict verdict;
    char text[ROUTING_TEXT_MAX];
    uint16_t node = ROUTING_NOBODY;
    enum err e = OK;

    if (g->key_count == 0 || g->session->is_primary)
        return OK;
    if (request.write && g->txn != NULL && cluster_service_writes_held(service))
        return ERR_BUSY; /* it came past the pause: it is run again, and waits there */
    if (request.write && !cluster_service_may_write(service))
        return gate_refuse(g, "CLUSTERDOWN The cluster is down");
    if (g->session->arrival != NULL)
        return moves_gate(cluster_service_moves(service), g);
    request.slot = g->slot_count == 1 ? g->slots[0] : hash_slot(g->keys[0]);
    request.other_slot = g->slot_count > 1;
    if (request.migrate && moves_has_slot(cluster_service_moves(service), request.slot))
        return gate_refuse(g, "TRYAGAIN the slot is being moved as a whole (CLUSTER GETSLOTMIGRATIONS)");
    map = cluster_service_map(service);
    verdict = routing_decide(map, &request, &node);
    if (verdict == ROUTING_LOOK_UP) {
        if (g->txn == NULL) { /* what MULTI queues is asked again, with its slot locked */
            cluster_service_map_done(service);
            return g->session->multi.open ? ERR_COLD : OK;
        }
        if ((e = look_up(g, &request)) == OK)
            verdict = routing_decide(map, &request, &node);
    }
    if (verdict == ROUTING_CLAIMED && moves_hold_slot(cluster_service_moves(service), request.slot))
        verdict = ROUTING_SERVE; /* it waits at the mark */
    if (e == OK && verdict != ROUTING_SERVE) {
        (void)routing_error(map, verdict, request.slot, node, g->session->tls, text);
        cluster_service_map_done(service);
        return gate_refuse(g, "%s", text);
    }
    cluster_service_map_done(service);
    return e;
}
