/*
 * operator.c - CREATE -> JOIN -> IDLE -> (IMPORTING -> MIGRATING -> KEYS -> CLAIM -> YIELD) -> IDLE ...
 *                                            | refused: UNDO -> IDLE
 *
 * A move begins only when all nodes are up and agree, as redis-cli checks before a reshard. Without that, two bumps
 * without consensus may meet at one epoch while both sides claim the slot: a weakness of the protocol, not of a node.
 */
#include "operator.h"

#include "base/check.h"
#include "cluster/cluster_priv.h"
#include "cluster/node.h"

#include <stdio.h>

enum { SLOTS_WITH_KEYS = 200, MEET_EVERY_MS = 1000 };

void operator_init(struct operator *o, struct world *world, struct checker *checker, unsigned masters, uint64_t seed)
{
    *o = (struct operator){.world = world, .checker = checker, .masters = masters};
    rng_seed(&o->rng, seed);
    o->config_epochs = rng_below(&o->rng, 2) != 0;
}

bool operator_idle(const struct operator *o)
{
    return o->step == OPERATOR_IDLE;
}

static const struct cluster *core_of(const struct operator *o, unsigned node)
{
    return world_node(o->world, node)->core;
}

/* Its id: known from its file even while it is down. */
static bool id_of(const struct operator *o, unsigned node, char out[CLUSTER_ID_SIZE + 1])
{
    if (core_of(o, node) == NULL)
        return false;
    snprintf(out, CLUSTER_ID_SIZE + 1, "%s", cluster_my_id(core_of(o, node)));
    return true;
}

static bool knows(const struct operator *o, unsigned node, unsigned other)
{
    char id[CLUSTER_ID_SIZE + 1];

    return core_of(o, node) != NULL && id_of(o, other, id) && node_find(core_of(o, node), id) != NULL;
}

/* ---- Creation ---- */

static slot_t boundary(const struct operator *o, unsigned i)
{
    return (slot_t)((uint64_t)i * SLOTS / o->masters);
}

static bool create_node(struct operator *o, unsigned i)
{
    char words[64];
    struct world_reply r;

    if (core_of(o, i) == NULL)
        return false;
    if (o->config_epochs) {
        snprintf(words, sizeof words, "%u", i + 1);
        r = world_command(o->world, i, CLUSTER_CMD_SET_CONFIG_EPOCH, words);
        if (!r.answered)
            return false;
    }
    if (i >= o->masters)
        return true;
    if (core_of(o, i)->myself->slot_count > 0)
        return true;
    snprintf(words, sizeof words, "%u %u", boundary(o, i), boundary(o, i + 1) - 1u);
    r = world_command(o->world, i, CLUSTER_CMD_ADDSLOTSRANGE, words);
    return r.answered && r.ok;
}

static void create(struct operator *o)
{
    bool all = true;

    for (unsigned i = 0; i < world_node_count(o->world); i++) {
        if (!o->done[i])
            o->done[i] = create_node(o, i);
        all &= o->done[i];
    }
    if (!all)
        return;
    for (unsigned k = 0; k < SLOTS_WITH_KEYS; k++) {
        slot_t slot = (slot_t)rng_below(&o->rng, SLOTS);

        for (unsigned i = 0; i < o->masters; i++)
            if (slot >= boundary(o, i) && slot < boundary(o, i + 1))
                o->checker->keys_at[slot] = (uint8_t)i;
    }
    o->step = OPERATOR_JOIN;
}

static void join(struct operator *o)
{
    bool all = true;
    char words[64], id[CLUSTER_ID_SIZE + 1], ip[CLUSTER_IP_SIZE];
    unsigned port;

    if (world_now(o->world) < o->next_meet)
        return;
    o->next_meet = world_now(o->world) + MEET_EVERY_MS;
    for (unsigned i = 1; i < world_node_count(o->world); i++) {
        if (knows(o, 0, i) && knows(o, i, 0))
            continue;
        all = false;
        world_address(i, ip, &port);
        snprintf(words, sizeof words, "%s %u", ip, port);
        world_command(o->world, 0, CLUSTER_CMD_MEET, words);
    }
    for (unsigned i = o->masters; i < world_node_count(o->world); i++) {
        unsigned master = i % o->masters;

        if (core_of(o, i) != NULL && core_of(o, i)->myself->master != NULL)
            continue;
        all = false;
        if (knows(o, i, master) && id_of(o, master, id))
            world_command(o->world, i, CLUSTER_CMD_REPLICATE, id);
    }
    if (all)
        o->step = OPERATOR_IDLE;
}

/* ---- Moving a slot ---- */

static void begin_move(struct operator *o)
{
    const struct cluster *core = core_of(o, 0);

    if (o->no_new_moves || rng_below(&o->rng, 4) != 0 || checker_difference(o->checker) != NULL)
        return;
    o->to = (unsigned)rng_below(&o->rng, world_node_count(o->world));
    if (!node_is_master(core_of(o, o->to)->myself))
        return;
    o->slot = (slot_t)rng_below(&o->rng, SLOTS);
    if (rng_below(&o->rng, 2) != 0) /* rather one with keys */
        for (unsigned k = 0; k < SLOTS && o->checker->keys_at[o->slot] == CHECKER_NOBODY; k++)
            o->slot = (slot_t)((o->slot + 1) % SLOTS);
    if (core->owner[o->slot] == NULL)
        return;
    for (o->from = 0; o->from < world_node_count(o->world); o->from++)
        if (strcmp(core->owner[o->slot]->id, cluster_my_id(core_of(o, o->from))) == 0)
            break;
    check(o->from < world_node_count(o->world));
    if (o->from != o->to)
        o->step = OPERATOR_IMPORTING;
}

/* SETSLOT slot `action` [other's id] on `node`; goes on to `next` when it is done. */
static void set_slot(struct operator *o, unsigned node, const char *action, unsigned other, enum operator_step next,
                     enum operator_step refused)
{
    char words[96], id[CLUSTER_ID_SIZE + 1];
    struct world_reply r;

    if (!id_of(o, other, id))
        return;
    snprintf(words, sizeof words, "%u %s %s", o->slot, action, id);
    r = world_command(o->world, node, CLUSTER_CMD_SETSLOT, words);
    if (r.answered)
        o->step = r.ok ? next : refused;
}

/* The keys travel: both ends must be up and reach each other. */
static void move_keys(struct operator *o)
{
    if (core_of(o, o->from) == NULL || core_of(o, o->to) == NULL ||
        network_cut(world_network(o->world), o->from, o->to) || network_cut(world_network(o->world), o->to, o->from))
        return;
    if (o->checker->keys_at[o->slot] == o->from)
        o->checker->keys_at[o->slot] = (uint8_t)o->to;
    o->step = OPERATOR_CLAIM;
}

static void undo(struct operator *o)
{
    char words[32];

    snprintf(words, sizeof words, "%u stable", o->slot);
    if (world_command(o->world, o->to, CLUSTER_CMD_SETSLOT, words).answered &&
        world_command(o->world, o->from, CLUSTER_CMD_SETSLOT, words).answered)
        o->step = OPERATOR_IDLE;
}

void operator_turn(struct operator *o)
{
    switch (o->step) {
    case OPERATOR_CREATE:
        create(o);
        break;
    case OPERATOR_JOIN:
        join(o);
        break;
    case OPERATOR_IDLE:
        begin_move(o);
        break;
    case OPERATOR_IMPORTING:
        set_slot(o, o->to, "importing", o->from, OPERATOR_MIGRATING, OPERATOR_UNDO);
        break;
    case OPERATOR_MIGRATING:
        set_slot(o, o->from, "migrating", o->to, OPERATOR_KEYS, OPERATOR_UNDO);
        break;
    case OPERATOR_KEYS:
        move_keys(o);
        break;
    case OPERATOR_CLAIM:
        set_slot(o, o->to, "node", o->to, OPERATOR_YIELD, OPERATOR_CLAIM);
        break;
    case OPERATOR_YIELD:
        /* Refused: it has heard of the claim already and is a replica now. */
        set_slot(o, o->from, "node", o->to, OPERATOR_IDLE, OPERATOR_IDLE);
        if (o->step == OPERATOR_IDLE)
            o->moves++;
        break;
    case OPERATOR_UNDO:
        undo(o);
        break;
    }
}
