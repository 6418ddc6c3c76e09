/*
 * failover.c - histories about failover.
 *
 * Operators here are as careful as those of operator.c where the protocol needs it: TAKEOVER, which asks nobody, only
 * while all nodes agree.
 */
#include "failover.h"

#include "base/check.h"
#include "base/rng.h"
#include "cluster/cluster_priv.h"
#include "cluster/codec.h"
#include "cluster/node.h"
#include "data.h"
#include "layout.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    NODES_MIN = 6,
    NODES_MAX_DRAWN = 12,
    WARM_UP_MS = 2600, /* a master turns ok after two seconds */
};

struct history {
    struct world *world;
    struct checker checker;
    struct data data;
    struct rng rng;
    struct layout layout;
    msec_t node_timeout_ms;
    bool takes_over;                    /* a TAKEOVER runs, at a replica */
    uint64_t taken_over[SIM_NODES_MAX]; /* the config epoch that it took by its last TAKEOVER; 0: none */
};

/* ---- The cluster at the beginning ---- */

static void first_conf(void *context, unsigned node, struct buf *out)
{
    const struct history *h = context;

    layout_conf(&h->layout, node, out);
}

/* ---- What the world tells ---- */

static void on_stepped(void *context, struct sim_node *node)
{
    struct history *h = context;
    struct world_observer o = checker_observer(&h->checker);

    o.stepped(&h->checker, node);
    if (h->takes_over && node_is_master(node->core->myself))
        h->taken_over[node->index] = node->core->myself->config_epoch;
}

static void on_sent(void *context, struct sim_node *node, unsigned to, struct slice message)
{
    struct history *h = context;
    struct world_observer o = checker_observer(&h->checker);

    o.sent(&h->checker, node, to, message);
    if (message.data[13] == CODEC_AUTH_REQUEST && node->core->manual.target_known)
        data_mark_planned(&h->data, node);
}

static void on_obeyed(void *context, struct sim_node *node, const struct cluster_action *a)
{
    struct history *h = context;

    if (a->type == CLUSTER_PROMOTE && h->data.nodes[node->index].master >= 0) /* not a master that starts */
        checker_promoted(&h->checker, node, h->taken_over[node->index] == node->core->myself->config_epoch);
    data_obeyed(&h->data, node, a);
}

static void on_ticking(void *context, struct sim_node *node)
{
    struct history *h = context;

    data_ticking(&h->data, node);
}

static void on_crashed(void *context, struct sim_node *node)
{
    struct history *h = context;

    data_crashed(&h->data, node);
}

static void on_restarted(void *context, struct sim_node *node)
{
    struct history *h = context;
    struct world_observer o = checker_observer(&h->checker);

    o.restarted(&h->checker, node);
}

/* ---- Trouble ---- */

static bool is_up_master(const struct history *h, unsigned i)
{
    const struct cluster *core = world_node(h->world, i)->core;

    return core != NULL && node_is_master(core->myself) && core->myself->slot_count > 0;
}

static void command(struct history *h, unsigned node, enum cluster_command_type type, const char *words)
{
    world_command(h->world, node, type, words);
}

static void take_over(struct history *h, unsigned node)
{
    if (checker_difference(&h->checker) != NULL || world_network(h->world)->partitioned)
        return;
    h->takes_over = !node_is_master(world_node(h->world, node)->core->myself);
    command(h, node, CLUSTER_CMD_FAILOVER, "takeover");
    h->takes_over = false;
}

static void operate(struct history *h)
{
    unsigned node = (unsigned)rng_below(&h->rng, h->layout.nodes), other = (unsigned)rng_below(&h->rng, h->layout.nodes);

    if (world_node(h->world, node)->core == NULL)
        return;
    switch (rng_below(&h->rng, 8)) {
    case 0:
    case 1:
    case 2:
    case 3:
        command(h, node, CLUSTER_CMD_FAILOVER, "");
        break;
    case 4:
        command(h, node, CLUSTER_CMD_FAILOVER, "force");
        break;
    case 5:
        take_over(h, node);
        break;
    default:
        if (!is_up_master(h, node) && other != node)
            command(h, node, CLUSTER_CMD_REPLICATE, h->layout.ids[other]);
        break;
    }
}

static void run_until(struct history *h, msec_t until)
{
    while (world_now(h->world) < until && !h->checker.failed) {
        msec_t next = world_now(h->world) + DATA_TURN_MS;

        world_run_until(h->world, next < until ? next : until);
        data_turn(&h->data);
    }
}

static void trouble(struct history *h, msec_t until, unsigned crash_one_in, unsigned operate_one_in)
{
    while (world_now(h->world) < until && !h->checker.failed) {
        run_until(h, world_now(h->world) + 100);
        if (rng_below(&h->rng, crash_one_in) == 0) {
            unsigned node = (unsigned)rng_below(&h->rng, h->layout.nodes);

            world_crash_for(h->world, node, 1 + (msec_t)rng_below(&h->rng, (uint64_t)h->node_timeout_ms * 4));
        }
        if (rng_below(&h->rng, operate_one_in) == 0)
            operate(h);
    }
}

/* After healing: all agree, in time. */
static msec_t agree(struct history *h)
{
    msec_t healed = world_now(h->world), limit = healed + 6 * h->node_timeout_ms + 6000;
    const char *difference = "";

    while (difference != NULL && world_now(h->world) < limit && !h->checker.failed) {
        run_until(h, world_now(h->world) + 200);
        difference = checker_difference(&h->checker);
        if (difference == NULL)
            difference = checker_unhealthy(&h->checker);
    }
    if (difference != NULL)
        checker_fail(&h->checker, "%lld ms after healing: %s", (long long)(world_now(h->world) - healed), difference);
    return world_now(h->world) - healed;
}

/* ---- Measuring ---- */

static bool is_served(const struct history *h, unsigned victim)
{
    for (unsigned i = h->layout.masters; i < h->layout.nodes; i++) {
        const struct cluster *core = world_node(h->world, i)->core;

        if (core != NULL && bit_get(core->myself->slots, layout_boundary(&h->layout, victim)) && core->ok)
            return true;
    }
    return false;
}

/* From the crash until other nodes serve the slots of the crashed ones. */
static msec_t measure(struct history *h, unsigned crashes)
{
    unsigned victim = (unsigned)rng_below(&h->rng, h->layout.masters), served;
    msec_t begin, limit;

    run_until(h, WARM_UP_MS + (msec_t)rng_below(&h->rng, (uint64_t)h->node_timeout_ms * 2));
    begin = world_now(h->world);
    limit = begin + 12 * h->node_timeout_ms + 5000;
    for (unsigned i = 0; i < crashes; i++)
        world_crash_for(h->world, (victim + i) % h->layout.masters, 20 * h->node_timeout_ms);
    while (world_now(h->world) < limit && !h->checker.failed) {
        world_run_until(h->world, world_now(h->world) + 1);
        if (world_now(h->world) % DATA_TURN_MS == 0)
            data_turn(&h->data);
        served = 0;
        for (unsigned i = 0; i < crashes; i++)
            served += is_served(h, (victim + i) % h->layout.masters);
        if (served == crashes)
            return world_now(h->world) - begin;
    }
    checker_fail(&h->checker, "nobody replaces a crashed master");
    return -1;
}

static struct network_options gentle(void)
{
    return (struct network_options){.delay_min_ms = 0, .delay_max_ms = 2};
}

/* ---- The whole ---- */

static void draw(struct history *h, const struct failover_options *o, struct rng *rng, struct world_options *w)
{
    *w = (struct world_options){
        .seed = rng_next(rng),
        .nodes = NODES_MIN + (unsigned)rng_below(rng, NODES_MAX_DRAWN - NODES_MIN + 1),
        .node_timeout_ms = 400 + (msec_t)rng_below(rng, 1200),
        .replication = true,
        .planted_bugs = o->planted_bugs,
        .down_max_ms = (msec_t)rng_below(rng, 5000),
        .clock_offset_max_ms = (msec_t)rng_below(rng, 400),
        .clock_drift_max_ppm = (unsigned)rng_below(rng, 5000),
        .network = network_options_random(rng),
        .first_conf = first_conf,
        .verbose = o->verbose,
    };
    h->layout.masters = 3 + (unsigned)rng_below(rng, 2);
    if (rng_below(rng, 3) == 0)
        w->crash_per_million_actions = (unsigned)rng_below(rng, 500);
    if (o->nodes != 0)
        w->nodes = o->nodes;
    if (w->nodes > 24)
        h->layout.masters = w->nodes / 3;
    if (o->measure) {
        static const msec_t timeouts[] = {1000, 2000, 5000, 15000};
        unsigned replicas = o->replicas != 0 ? o->replicas : 1 + (unsigned)rng_below(rng, 2);

        w->node_timeout_ms = o->node_timeout_ms != 0 ? o->node_timeout_ms : timeouts[rng_below(rng, 4)];
        w->network = gentle();
        w->crash_per_million_actions = 0;
        if (o->crashes > 1)
            h->layout.masters = 2 * o->crashes + 1;
        w->nodes = h->layout.masters * (1 + replicas);
        w->redis_nodes = w->nodes * o->redis_percent / 100;
    }
    h->layout.nodes = w->nodes;
    h->layout.owners = h->layout.masters;
    h->node_timeout_ms = w->node_timeout_ms;
}

static void set_up(struct history *h, const struct failover_options *o, struct rng *rng)
{
    struct world_observer observer = {.stepped = on_stepped, .sent = on_sent, .restarted = on_restarted,
                                      .obeyed = on_obeyed, .ticking = on_ticking, .crashed = on_crashed, .context = h};
    struct world_options w;

    draw(h, o, rng, &w);
    rng_seed(&h->rng, rng_next(rng));
    layout_name(&h->layout, &h->rng);
    checker_init(&h->checker);
    data_init(&h->data, &h->checker, rng_next(rng), h->node_timeout_ms, o->planted_bugs);
    for (unsigned i = 0; i < h->layout.nodes; i++)
        data_place(&h->data, i, layout_master(&h->layout, i));
    h->world = world_new(&w, &observer, &h->checker.world);
}

struct failover_result failover_history(const struct failover_options *o)
{
    struct history *h = calloc(1, sizeof *h);
    struct failover_result result = {.failover_ms = -1};
    struct rng rng;

    check(h != NULL);
    rng_seed(&rng, o->seed);
    set_up(h, o, &rng);
    if (o->measure) {
        result.failover_ms = measure(h, o->crashes > 1 ? o->crashes : 1);
    } else {
        unsigned crash_one_in = 20 + (unsigned)rng_below(&h->rng, 150);
        unsigned operate_one_in = 10 + (unsigned)rng_below(&h->rng, 100);
        unsigned seconds = o->seconds != 0 ? o->seconds : 2 + (unsigned)rng_below(&h->rng, 5);

        run_until(h, WARM_UP_MS);
        trouble(h, world_now(h->world) + seconds * (msec_t)1000, crash_one_in, operate_one_in);
        if (!h->checker.failed) {
            world_calm(h->world);
            result.settled_ms = agree(h);
        }
    }
    result.ok = !h->checker.failed;
    memcpy(result.text, h->checker.text, sizeof result.text);
    result.nodes = h->layout.nodes;
    result.votes = h->checker.votes;
    result.promotions = h->data.promotions;
    result.planned = h->data.planned;
    result.partial_syncs = h->data.partial_syncs;
    result.full_syncs = h->data.full_syncs;
    result.simulated_ms = world_now(h->world);
    result.node_timeout_ms = h->node_timeout_ms;
    result.steps = world_steps(h->world);
    world_free(h->world);
    checker_fini(&h->checker);
    data_fini(&h->data);
    free(h);
    return result;
}
