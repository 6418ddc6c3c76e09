/*
 * network.c - delays, faults and partitions from one seed.
 */
#include "network.h"

#include <string.h>

void network_init(struct network *n, const struct network_options *options, unsigned nodes, uint64_t seed)
{
    memset(n, 0, sizeof *n);
    n->options = *options;
    n->nodes = nodes;
    rng_seed(&n->rng, seed);
}

static void cut_halves(struct network *n)
{
    bool side[SIM_NODES_MAX];

    for (unsigned i = 0; i < n->nodes; i++)
        side[i] = rng_below(&n->rng, 2) != 0;
    for (unsigned i = 0; i < n->nodes; i++)
        for (unsigned j = 0; j < n->nodes; j++)
            n->cut[i][j] = side[i] != side[j];
}

static void cut_one(struct network *n, bool both_ways)
{
    unsigned alone = (unsigned)rng_below(&n->rng, n->nodes);

    for (unsigned i = 0; i < n->nodes; i++) {
        n->cut[alone][i] = i != alone;
        n->cut[i][alone] = i != alone && both_ways;
    }
}

bool network_second(struct network *n, msec_t now)
{
    if (n->calm)
        return false;
    if (n->partitioned) {
        if (now - n->partitioned_at < n->options.partition_min_ms || !network_chance(n, n->options.heal_per_mille))
            return false;
        memset(n->cut, 0, sizeof n->cut);
        n->partitioned = false;
        return true;
    }
    if (!network_chance(n, n->options.partition_per_mille))
        return false;
    switch ((enum partition_shape)rng_below(&n->rng, PARTITION_SHAPES)) {
    case PARTITION_HALVES:
        cut_halves(n);
        break;
    case PARTITION_ONE:
        cut_one(n, true);
        break;
    case PARTITION_ONE_WAY:
    default:
        cut_one(n, false);
        break;
    }
    n->partitioned = true;
    n->partitioned_at = now;
    return true;
}

void network_calm(struct network *n)
{
    n->calm = true;
    n->partitioned = false;
    memset(n->cut, 0, sizeof n->cut);
}

msec_t network_delay(struct network *n)
{
    const struct network_options *o = &n->options;
    msec_t delay = o->delay_min_ms + (msec_t)rng_below(&n->rng, (uint64_t)(o->delay_max_ms - o->delay_min_ms + 1));

    if (network_chance(n, o->slow_per_mille))
        delay += (msec_t)rng_below(&n->rng, (uint64_t)o->delay_slow_ms + 1);
    return delay;
}

bool network_chance(struct network *n, unsigned per_mille)
{
    return !n->calm && per_mille > 0 && rng_below(&n->rng, 1000) < per_mille;
}

static unsigned up_to(struct rng *rng, unsigned max)
{
    return (unsigned)rng_below(rng, max + 1);
}

struct network_options network_options_random(struct rng *rng)
{
    struct network_options o = {
        .delay_min_ms = up_to(rng, 3),
        .slow_per_mille = up_to(rng, 20),
        .delay_slow_ms = up_to(rng, 1500),
        .refuse_per_mille = up_to(rng, 100),
        .partition_per_mille = up_to(rng, 200),
        .heal_per_mille = 100 + up_to(rng, 400),
        .partition_min_ms = up_to(rng, 8000),
        .partition_holds = up_to(rng, 1) != 0,
    };

    o.delay_max_ms = o.delay_min_ms + up_to(rng, 60);
    if (up_to(rng, 1) != 0) {
        o.loss_per_mille = up_to(rng, 50);
        o.break_per_mille = up_to(rng, 10);
        o.reorder_per_mille = up_to(rng, 50);
    }
    return o;
}
