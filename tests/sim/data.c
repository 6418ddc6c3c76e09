/*
 * data.c - writes, replication, promotion.
 */
#include "data.h"

#include "base/check.h"
#include "cluster/cluster_priv.h"
#include "cluster/node.h"

#include <stdlib.h>
#include <string.h>

enum {
    CONNECT_MAX_MS = 800,
    SYNC_MAX_MS = 1500,
    PAUSE_DELAY_MAX_MS = 60, /* until the commands that ran at the pause are over */
    WRITES_PER_TURN_MAX = 3,
    CONTACT_SLACK_MS = 150,
    DURABLE_LAG_MAX = 40,
};

void data_init(struct data *d, struct checker *checker, uint64_t seed, msec_t node_timeout_ms, unsigned planted_bugs)
{
    memset(d, 0, sizeof *d);
    d->checker = checker;
    d->node_timeout_ms = node_timeout_ms;
    d->planted_bugs = planted_bugs;
    rng_seed(&d->rng, seed);
    d->lag_max = (unsigned)rng_below(&d->rng, 60);
    d->power_cut_per_mille = (unsigned)rng_below(&d->rng, 3) * 200;
}

void data_fini(struct data *d)
{
    for (unsigned i = 0; i < SIM_NODES_MAX; i++)
        free(d->nodes[i].chain);
}

static void fork_history(struct data *d, struct data_node *n)
{
    if (n->history_count == DATA_HISTORIES_MAX)
        memmove(n->histories, n->histories + 1, --n->history_count * sizeof *n->histories);
    n->histories[n->history_count++] = (struct data_history){++d->next_history, n->size};
    n->own_history = true;
}

void data_place(struct data *d, unsigned node, int master)
{
    struct data_node *n = &d->nodes[node];

    n->source = n->master = master;
    n->whole = true;
    n->chain = calloc(1, sizeof *n->chain);
    check(n->chain != NULL);
    n->capacity = 1; /* chain[0]: the hash of nothing */
    if (master < 0) {
        fork_history(d, n);
        return;
    }
    n->histories[0] = d->nodes[master].histories[0];
    n->history_count = 1;
}

/* ---- The chain ---- */

static void reserve(struct data_node *n, size_t size)
{
    if (size < n->capacity)
        return;
    while (size >= n->capacity)
        n->capacity *= 2;
    n->chain = realloc(n->chain, n->capacity * sizeof *n->chain);
    check(n->chain != NULL);
}

static void cut(struct data_node *n, size_t size)
{
    n->size = size;
    if (n->durable > size)
        n->durable = size;
    while (n->history_count > 0 && n->histories[n->history_count - 1].start > size)
        n->history_count--;
}

static void append(struct data *d, struct data_node *n)
{
    uint64_t x = n->chain[n->size] ^ (++d->next_write * 0x9E3779B97F4A7C15u);

    reserve(n, n->size + 1);
    x ^= x >> 29;
    n->chain[++n->size] = x * 0xBF58476D1CE4E5B9u;
    n->accepted++;
}

static void copy(struct data_node *n, const struct data_node *from, size_t size)
{
    reserve(n, size);
    memcpy(n->chain + n->size, from->chain + n->size, (size - n->size + 1) * sizeof *n->chain);
    n->size = size;
}

/* Does the position lie on that history? */
static bool continues(const struct data_node *master, const struct data_node *n)
{
    const struct data_history *last;

    if (n->history_count == 0 || n->size > master->size)
        return false;
    last = &n->histories[n->history_count - 1];
    for (unsigned i = 0; i < master->history_count; i++) {
        if (master->histories[i].id != last->id)
            continue;
        return n->size >= master->histories[i].start &&
               (i + 1 == master->history_count || n->size <= master->histories[i + 1].start);
    }
    return false;
}

static void take_histories(struct data_node *n, const struct data_node *master)
{
    memcpy(n->histories, master->histories, sizeof n->histories);
    n->history_count = master->history_count;
    while (n->history_count > 1 && n->histories[n->history_count - 1].start > n->size)
        n->history_count--;
    n->own_history = false;
}

/* ---- What the core is told ---- */

static void report(struct data *d, unsigned i)
{
    struct data_node *n = &d->nodes[i];
    struct sim_node *node = world_node(d->checker->world, i);
    const struct cluster_replication r = {
        .master = n->master >= 0 && world_node(d->checker->world, (unsigned)n->master)->id[0] != '\0'
                      ? world_node(d->checker->world, (unsigned)n->master)->id : NULL,
        .offset = n->size,
        .whole = n->whole && n->source == n->master,
        .link_up = n->link_up,
        .age_ms = world_now(d->checker->world) - n->heard,
        .paused = n->paused_said,
    };

    n->report_due = false;
    n->said_offset = n->size;
    if (node->core != NULL)
        world_event(d->checker->world, i, &(struct cluster_event){.type = CLUSTER_EVENT_REPLICATION, .replication = &r});
}

void data_ticking(struct data *d, struct sim_node *node)
{
    struct data_node *n = &d->nodes[node->index];

    if (n->report_due || n->said_offset != n->size || n->master >= 0)
        report(d, node->index);
}

/* ---- A master ---- */

/* Could a majority of the masters have heard it within the node timeout? The clocks differ by half a percent. */
static bool in_touch(struct data *d, unsigned i)
{
    const struct cluster *core = world_node(d->checker->world, i)->core;
    msec_t limit = d->node_timeout_ms + d->node_timeout_ms / 50 + CONTACT_SLACK_MS;
    unsigned count = 1;

    for (unsigned j = 0; j < world_node_count(d->checker->world); j++) {
        const struct node *n = j == i ? NULL : node_find(core, world_node(d->checker->world, j)->id);

        count += n != NULL && node_is_voter(n) && world_now(d->checker->world) - d->nodes[j].contact[i] <= limit;
    }
    return count >= node_quorum(core);
}

static void pause_turn(struct data *d, unsigned i)
{
    struct data_node *n = &d->nodes[i];

    if (n->pause_until == 0 || n->paused_said || world_now(d->checker->world) < n->pause_in_force)
        return;
    n->held = n->paused_said = true;
    report(d, i);
}

static void write_turn(struct data *d, unsigned i)
{
    struct data_node *n = &d->nodes[i];
    const struct cluster *core;

    if (n->pause_until != 0 && world_now(d->checker->world) > n->pause_until)
        n->pause_until = 0;
    if (n->pause_until == 0)
        n->held = false;
    pause_turn(d, i);
    core = world_node(d->checker->world, i)->core;
    if (core == NULL || n->master >= 0 || !core->ok || core->myself->slot_count == 0 || !node_is_master(core->myself) ||
        n->held)
        return;
    if (!in_touch(d, i))
        checker_fail(d->checker, "node %u accepts writes although no majority could reach it for a node timeout", i);
    for (uint64_t k = rng_below(&d->rng, WRITES_PER_TURN_MAX + 1); k > 0; k--)
        append(d, n);
    if (rng_below(&d->rng, 8) == 0)
        n->durable = n->size;
}

/* ---- A replica ---- */

static bool reaches(struct data *d, unsigned i, unsigned j)
{
    const struct network *net = world_network(d->checker->world);

    return world_node(d->checker->world, j)->core != NULL && !network_cut(net, i, j) && !network_cut(net, j, i);
}

static void link_lost(struct data *d, struct data_node *n)
{
    if (n->link_up || n->syncing) {
        n->heard = world_now(d->checker->world);
        n->next_try = n->heard + 1 + (msec_t)rng_below(&d->rng, CONNECT_MAX_MS);
        n->report_due = true;
    }
    n->link_up = n->syncing = false;
}

static void connect_turn(struct data *d, unsigned i)
{
    struct data_node *n = &d->nodes[i], *m = &d->nodes[n->master];
    msec_t now = world_now(d->checker->world);

    if (now < n->next_try)
        return;
    n->next_try = now + 100 + (msec_t)rng_below(&d->rng, CONNECT_MAX_MS);
    if (m->master == (int)i || (m->master >= 0 && !m->link_up) || !m->whole)
        return; /* NOMASTERLINK, or a circle for a moment */
    if (n->whole && continues(m, n)) {
        d->partial_syncs++;
        if (n->chain[n->size] != m->chain[n->size])
            checker_fail(d->checker, "node %u goes on after node %d, but its data is not a prefix (at %zu)", i,
                         n->master, n->size);
        take_histories(n, m);
        n->source = n->master;
        n->link_up = true;
    } else {
        d->full_syncs++;
        n->syncing = true;
        n->drops_first = rng_below(&d->rng, 2) != 0;
        n->source = -2; /* nobody's copy until it is complete */
        if (n->drops_first) {
            n->whole = false;
            cut(n, n->size / 2);
        }
        n->sync_until = now + 20 + (msec_t)rng_below(&d->rng, SYNC_MAX_MS);
    }
    n->master_life = world_node(d->checker->world, (unsigned)n->master)->life;
    n->heard = now;
    report(d, i);
}

static void sync_turn(struct data *d, unsigned i)
{
    struct data_node *n = &d->nodes[i], *m = &d->nodes[n->master];

    if (world_now(d->checker->world) < n->sync_until)
        return;
    n->size = 0;
    copy(n, m, m->size);
    n->durable = n->size;
    take_histories(n, m);
    n->whole = m->whole;
    n->source = n->master;
    n->syncing = false;
    n->link_up = true;
    report(d, i);
}

static void stream_turn(struct data *d, unsigned i)
{
    struct data_node *n = &d->nodes[i], *m = &d->nodes[n->master];
    size_t behind;

    if (n->size > m->size || n->chain[n->size] != m->chain[n->size]) {
        checker_fail(d->checker, "node %u (%zu) is not a prefix of its master %d (%zu)", i, n->size, n->master, m->size);
        return;
    }
    behind = rng_below(&d->rng, 4) == 0 ? rng_below(&d->rng, d->lag_max + 1) : 0;
    if (m->size - n->size > behind)
        copy(n, m, m->size - behind);
    take_histories(n, m);
    if (rng_below(&d->rng, 8) == 0)
        n->durable = n->size;
    n->heard = world_now(d->checker->world);
    if (n->report_due || (n->wanted != 0 && n->size >= n->wanted)) {
        n->wanted = 0;
        report(d, i);
    }
}

static void follow_turn(struct data *d, unsigned i)
{
    struct data_node *n = &d->nodes[i];
    const struct sim_node *m = world_node(d->checker->world, (unsigned)n->master);

    if (!reaches(d, i, (unsigned)n->master) || ((n->link_up || n->syncing) && n->master_life != m->life) ||
        ((n->link_up || n->syncing) && d->nodes[n->master].master >= 0 && !d->nodes[n->master].link_up)) {
        link_lost(d, n);
        return;
    }
    if (n->syncing)
        sync_turn(d, i);
    else if (n->link_up)
        stream_turn(d, i);
    else
        connect_turn(d, i);
}

void data_turn(struct data *d)
{
    unsigned count = world_node_count(d->checker->world);

    for (unsigned i = 0; i < count; i++)
        for (unsigned j = 0; j < count; j++)
            if (reaches(d, j, i) && world_node(d->checker->world, j)->core != NULL)
                d->nodes[j].contact[i] = world_now(d->checker->world);
    for (unsigned i = 0; i < count && !d->checker->failed; i++) {
        if (world_node(d->checker->world, i)->core == NULL)
            continue;
        if (d->nodes[i].master < 0)
            write_turn(d, i);
        else
            follow_turn(d, i);
    }
}

/* ---- The core's decisions ---- */

/* More than that has a replica whose master lost its tail in a crash, and no other: see stream_turn. */
static bool has_all_of(const struct data_node *n, const struct data_node *old)
{
    return n->size >= old->size && n->chain[old->size] == old->chain[old->size];
}

static void promote(struct data *d, struct sim_node *node)
{
    struct data_node *n = &d->nodes[node->index], *old;

    if (n->master >= 0) {
        d->promotions++;
        if (!n->whole || n->source != n->master)
            checker_fail(d->checker, "node %u becomes a master with data that is not whole", node->index);
        if (n->planned) {
            old = &d->nodes[n->planned_master];
            d->planned++;
            if (old->master < 0 && !has_all_of(n, old))
                checker_fail(d->checker, "a planned failover from node %u (%zu writes) to node %u (%zu) loses some",
                             n->planned_master, old->size, node->index, n->size);
        }
    }
    n->planned = false;
    n->master = n->source = -1;
    n->whole = true;
    n->link_up = n->syncing = false;
    if (!n->own_history && (d->planted_bugs & CLUSTER_BUG_HISTORY_REUSED) == 0)
        fork_history(d, n);
    n->own_history = true;
    n->report_due = true;
}

static void replicate(struct data *d, struct sim_node *node, const char *id)
{
    struct data_node *n = &d->nodes[node->index];

    for (unsigned j = 0; j < world_node_count(d->checker->world); j++) {
        if (strcmp(world_node(d->checker->world, j)->id, id) != 0)
            continue;
        if (n->master != (int)j)
            link_lost(d, n);
        n->master = (int)j;
        n->planned = false;
        n->heard = world_now(d->checker->world);
        n->next_try = n->heard + 1 + (msec_t)rng_below(&d->rng, CONNECT_MAX_MS);
        n->report_due = true;
        return;
    }
    check(!"a known node");
}

void data_obeyed(struct data *d, struct sim_node *node, const struct cluster_action *a)
{
    struct data_node *n = &d->nodes[node->index];

    switch (a->type) {
    case CLUSTER_PROMOTE:
        promote(d, node);
        break;
    case CLUSTER_REPLICATE:
        replicate(d, node, a->node);
        break;
    case CLUSTER_PAUSE:
        n->paused_said = false; /* a second request: writes stay held, it is told anew */
        n->held &= a->until_ms != 0;
        n->pause_until = a->until_ms == 0 ? 0 : world_now(d->checker->world) + 10000;
        n->pause_in_force = world_now(d->checker->world) + (msec_t)rng_below(&d->rng, PAUSE_DELAY_MAX_MS);
        break;
    case CLUSTER_OFFSET_WANTED:
        n->wanted = a->offset;
        break;
    default:
        break;
    }
}

void data_mark_planned(struct data *d, struct sim_node *node)
{
    struct data_node *n = &d->nodes[node->index];

    if (n->master < 0)
        return;
    n->planned = true;
    n->planned_master = (unsigned)n->master;
}

void data_crashed(struct data *d, struct sim_node *node)
{
    struct data_node *n = &d->nodes[node->index];

    n->link_up = n->syncing = n->held = n->paused_said = n->planned = false;
    n->pause_until = 0;
    n->wanted = 0;
    n->report_due = true;
    if (rng_below(&d->rng, 1000) >= d->power_cut_per_mille)
        return;
    /* The log's tail is gone: what was served is not what is there, so a master goes on in a new history. */
    if (n->size - n->durable > DURABLE_LAG_MAX)
        n->durable = n->size - DURABLE_LAG_MAX;
    if (n->durable == n->size)
        return;
    cut(n, n->durable);
    n->own_history = false;
}
