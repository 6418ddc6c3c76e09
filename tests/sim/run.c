/*
 * run.c - a history: trouble for a while, then calm, then everybody must agree in time.
 */
#include "run.h"

#include "base/rng.h"
#include "checker.h"
#include "operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TURN_MS = 100, FINISH_MAX_MS = 60000, ELECTION_ONE_IN = 15 };

struct history {
    struct world *world;
    struct checker checker;
    struct operator operator;
    struct rng rng;
    msec_t node_timeout_ms;
    bool replicas;
};

static struct world_options draw_world(const struct run_options *options, struct rng *rng)
{
    struct world_options w = {
        .seed = rng_next(rng),
        .nodes = 3 + (unsigned)rng_below(rng, 6),
        .node_timeout_ms = 500 + (msec_t)rng_below(rng, 2500),
        .replication = rng_below(rng, 3) != 0,
        .planted_bugs = options->planted_bugs,
        .down_max_ms = (msec_t)rng_below(rng, 8000),
        .clock_offset_max_ms = (msec_t)rng_below(rng, 400),
        .clock_drift_max_ppm = (unsigned)rng_below(rng, 5000),
        .network = network_options_random(rng),
        .verbose = options->verbose,
    };

    if (rng_below(rng, 3) != 0)
        w.crash_per_million_actions = (unsigned)rng_below(rng, 2000);
    if (options->nodes != 0)
        w.nodes = options->nodes;
    return w;
}

/* Two replicas at once want the votes: a voter must not give both its vote of an epoch. */
static void maybe_elections(struct history *h)
{
    unsigned nodes = world_node_count(h->world), masters = h->operator.masters;

    if (masters == nodes || rng_below(&h->rng, ELECTION_ONE_IN) != 0)
        return;
    for (int i = 0; i < 2; i++)
        world_ask_for_votes(h->world, masters + (unsigned)rng_below(&h->rng, nodes - masters));
}

static void turn(struct history *h, bool trouble)
{
    world_run_until(h->world, world_now(h->world) + TURN_MS);
    operator_turn(&h->operator);
    if (trouble)
        maybe_elections(h);
}

static void trouble(struct history *h, msec_t until)
{
    while (world_now(h->world) < until && !h->checker.failed)
        turn(h, true);
}

/* What is half done is finished, as an operator would, before the clock of agreement starts. */
static void finish(struct history *h)
{
    msec_t limit = world_now(h->world) + FINISH_MAX_MS;

    h->operator.no_new_moves = true;
    while (!operator_idle(&h->operator) && !h->checker.failed) {
        if (world_now(h->world) > limit) {
            checker_fail(&h->checker, "the operator cannot finish (step %d) a minute after healing", h->operator.step);
            return;
        }
        turn(h, false);
    }
}

static void agree(struct history *h)
{
    msec_t healed = world_now(h->world), limit = healed + 3 * h->node_timeout_ms + 2000;
    const char *difference;

    while (world_now(h->world) < limit && !h->checker.failed)
        turn(h, false);
    difference = checker_difference(&h->checker);
    if (difference == NULL)
        difference = checker_unhealthy(&h->checker);
    if (difference != NULL)
        checker_fail(&h->checker, "%lld ms after healing: %s", (long long)(world_now(h->world) - healed), difference);
}

struct run_result run(const struct run_options *options)
{
    struct history *h = calloc(1, sizeof *h);
    struct rng rng;
    struct world_options w;
    struct world_observer observer;
    struct run_result result;
    unsigned masters;
    msec_t until;

    rng_seed(&rng, options->seed);
    w = draw_world(options, &rng);
    masters = w.replication ? (w.nodes + 1) / 2 : w.nodes;
    until = (options->seconds != 0 ? options->seconds : 15 + rng_below(&rng, 30)) * (msec_t)1000;
    checker_init(&h->checker);
    observer = checker_observer(&h->checker);
    h->node_timeout_ms = w.node_timeout_ms;
    rng_seed(&h->rng, rng_next(&rng));
    h->checker.world = NULL;
    h->world = world_new(&w, &observer, &h->checker.world);
    operator_init(&h->operator, h->world, &h->checker, masters, rng_next(&rng));
    trouble(h, until);
    if (!h->checker.failed) {
        world_calm(h->world);
        finish(h);
        agree(h);
    }
    result = (struct run_result){
        .ok = !h->checker.failed,
        .nodes = w.nodes,
        .moves = h->operator.moves,
        .votes = h->checker.votes,
        .simulated_ms = world_now(h->world),
        .steps = world_steps(h->world),
    };
    memcpy(result.text, h->checker.text, sizeof result.text);
    world_free(h->world);
    checker_fini(&h->checker);
    free(h);
    return result;
}
