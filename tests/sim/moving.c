/*
 * moving.c - histories about atomic migrations.
 */
#include "moving.h"

#include "base/check.h"
#include "cluster/cluster_priv.h"
#include "cluster/node.h"
#include "layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARM_UP_MS = 2600, SETTLE_MORE_MS = 15000 };

struct history {
    struct world *world;
    struct checker checker;
    struct stock stock;
    struct jobs jobs;
    struct rng rng;
    struct layout layout;
    msec_t node_timeout_ms;
    int watch;
    unsigned fixed; /* slots, by the operator, at the end */
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

    checker_observer(&h->checker).stepped(&h->checker, node);
}

static void on_sent(void *context, struct sim_node *node, unsigned to, struct slice message)
{
    struct history *h = context;

    checker_observer(&h->checker).sent(&h->checker, node, to, message);
}

static void on_restarted(void *context, struct sim_node *node)
{
    struct history *h = context;

    checker_observer(&h->checker).restarted(&h->checker, node);
}

static void on_lost(void *context, struct sim_node *node, slot_t slot)
{
    struct history *h = context;

    stock_lost(&h->stock, node, slot);
}

static void on_obeyed(void *context, struct sim_node *node, const struct cluster_action *a)
{
    struct history *h = context;

    stock_obeyed(&h->stock, node, a);
}

static void on_ticking(void *context, struct sim_node *node)
{
    struct history *h = context;

    stock_ticking(&h->stock, node);
}

static void on_crashed(void *context, struct sim_node *node)
{
    struct history *h = context;

    stock_crashed(&h->stock, node);
}

static uint64_t keys(void *context, unsigned node, slot_t slot)
{
    const struct history *h = context;

    return stock_keys(&h->stock, node, slot);
}

/* ---- Trouble ---- */

static void run_until(struct history *h, msec_t until)
{
    while (world_now(h->world) < until && !h->checker.failed) {
        world_run_until(h->world, world_now(h->world) + STOCK_TURN_MS);
        stock_turn(&h->stock);
        jobs_turn(&h->jobs);
        if (h->watch >= 0)
            stock_watch(&h->stock, (slot_t)h->watch);
    }
}

static void trouble(struct history *h, msec_t until, unsigned crash_one_in, unsigned operate_one_in)
{
    while (world_now(h->world) < until && !h->checker.failed) {
        unsigned node = (unsigned)rng_below(&h->rng, h->layout.nodes);

        run_until(h, world_now(h->world) + 100);
        if (rng_below(&h->rng, crash_one_in) == 0)
            world_crash_for(h->world, node, 1 + (msec_t)rng_below(&h->rng, (uint64_t)h->node_timeout_ms * 4));
        else if (rng_below(&h->rng, operate_one_in) == 0)
            world_command(h->world, node, CLUSTER_CMD_FAILOVER, "");
    }
}

/* All agree, no job is open, and what is another's is gone. */
static void wait_tidy(struct history *h, msec_t healed)
{
    msec_t limit = world_now(h->world) + 8 * h->node_timeout_ms + SETTLE_MORE_MS;
    const char *wrong = "";

    while (wrong != NULL && world_now(h->world) < limit && !h->checker.failed) {
        run_until(h, world_now(h->world) + 200);
        wrong = checker_difference(&h->checker);
        if (wrong == NULL)
            wrong = checker_unhealthy(&h->checker);
        if (wrong == NULL)
            wrong = stock_untidy(&h->stock);
        if (wrong == NULL && !jobs_idle(&h->jobs))
            wrong = "a job does not end";
    }
    if (wrong != NULL)
        checker_fail(&h->checker, "%lld ms after healing: %s", (long long)(world_now(h->world) - healed), wrong);
}

/* After healing; and, if something is left to an operator, after his `fix`. */
static msec_t settle(struct history *h)
{
    msec_t healed = world_now(h->world);

    h->jobs.calm = true;
    wait_tidy(h, healed);
    if (!h->checker.failed && (h->fixed = stock_fix(&h->stock)) > 0) {
        wait_tidy(h, healed);
        if (!h->checker.failed && stock_fix(&h->stock) > 0)
            checker_fail(&h->checker, "a slot that was fixed is open again");
    }
    return world_now(h->world) - healed;
}

/* ---- The whole ---- */

static struct network_options gentle(struct rng *rng)
{
    return (struct network_options){.delay_max_ms = 5, .heal_per_mille = 400, .partition_min_ms = 500 + (msec_t)rng_below(rng, 6000),
                                    .partition_holds = true};
}

static struct world_options draw(struct history *h, const struct moving_options *o, struct rng *rng)
{
    struct world_options w = {
        .seed = rng_next(rng),
        .node_timeout_ms = 400 + (msec_t)rng_below(rng, 1200),
        .replication = true,
        .planted_bugs = o->planted_bugs,
        .down_max_ms = (msec_t)rng_below(rng, 5000),
        .clock_offset_max_ms = (msec_t)rng_below(rng, 400),
        .clock_drift_max_ppm = (unsigned)rng_below(rng, 5000),
        .network = rng_below(rng, 2) != 0 ? gentle(rng) : network_options_random(rng),
        .first_conf = first_conf,
        .verbose = o->verbose,
    };

    h->layout.masters = 3 + (unsigned)rng_below(rng, 3);
    h->layout.owners = h->layout.masters - (h->layout.masters > 3 && rng_below(rng, 2) != 0);
    if (rng_below(rng, 3) == 0)
        w.crash_per_million_actions = (unsigned)rng_below(rng, 400);
    w.nodes = o->nodes != 0 ? o->nodes : h->layout.masters * 2 + (unsigned)rng_below(rng, 2);
    h->layout.nodes = w.nodes;
    h->node_timeout_ms = w.node_timeout_ms;
    return w;
}

struct moving_result moving_history(const struct moving_options *o)
{
    struct history *h = calloc(1, sizeof *h);
    const struct world_observer observer = {.stepped = on_stepped, .sent = on_sent, .restarted = on_restarted, .slot_lost = on_lost,
                                            .obeyed = on_obeyed, .ticking = on_ticking, .crashed = on_crashed, .keys = keys, .context = h};
    struct moving_result r = {0};
    struct world_options w;
    struct rng rng;

    check(h != NULL);
    rng_seed(&rng, o->seed);
    w = draw(h, o, &rng);
    rng_seed(&h->rng, rng_next(&rng));
    layout_name(&h->layout, &h->rng);
    checker_init(&h->checker);
    h->checker.claims_may_meet = true;
    stock_init(&h->stock, &h->checker, rng_next(&rng), o->planted_bugs);
    for (unsigned i = 0; i < h->layout.nodes; i++)
        stock_place(&h->stock, i, layout_master(&h->layout, i));
    jobs_init(&h->jobs, &h->stock, rng_next(&rng), h->node_timeout_ms, o->planted_bugs);
    h->jobs.verbose = o->verbose;
    h->watch = o->watch;
    h->world = world_new(&w, &observer, &h->checker.world);
    run_until(h, WARM_UP_MS);
    trouble(h, world_now(h->world) + (o->seconds != 0 ? o->seconds : 5 + (unsigned)rng_below(&h->rng, 8)) * (msec_t)1000,
            40 + (unsigned)rng_below(&h->rng, 400), 30 + (unsigned)rng_below(&h->rng, 300));
    if (!h->checker.failed) {
        world_calm(h->world);
        r.settled_ms = settle(h);
    }
    r.ok = !h->checker.failed;
    memcpy(r.text, h->checker.text, sizeof r.text);
    r.nodes = h->layout.nodes;
    r.begun = h->jobs.begun;
    r.claimed = h->jobs.claimed;
    r.taken_back = h->jobs.taken_back;
    r.promotions = h->stock.promotions;
    r.accepted = h->stock.accepted;
    r.risked = h->stock.risked;
    r.fixed = h->fixed;
    r.simulated_ms = world_now(h->world);
    r.steps = world_steps(h->world);
    memcpy(r.cells, h->jobs.cells, sizeof r.cells);
    world_free(h->world);
    checker_fini(&h->checker);
    jobs_fini(&h->jobs);
    free(h);
    return r;
}
