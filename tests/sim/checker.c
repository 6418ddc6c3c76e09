/*
 * checker.c - the invariants.
 */
#include "checker.h"

#include "base/check.h"
#include "cluster/cluster_priv.h"
#include "cluster/codec.h"
#include "cluster/node.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void checker_init(struct checker *c)
{
    memset(c, 0, sizeof *c);
    memset(c->keys_at, CHECKER_NOBODY, sizeof c->keys_at);
}

void checker_fini(struct checker *c)
{
    for (unsigned s = 0; s < SLOTS; s++)
        free(c->claims[s]);
    for (unsigned i = 0; i < SIM_NODES_MAX; i++)
        free(c->nodes[i].votes);
}

void checker_fail(struct checker *c, const char *format, ...)
{
    va_list args;
    int n;

    if (c->failed)
        return;
    c->failed = true;
    n = snprintf(c->text, sizeof c->text, "at %lld ms: ", (long long)world_now(c->world));
    va_start(args, format);
    vsnprintf(c->text + n, sizeof c->text - (size_t)n, format, args);
    va_end(args);
}

/* ---- What was sent ---- */

static void check_epochs(struct checker *c, unsigned i, const struct codec_header *h)
{
    struct checker_node *n = &c->nodes[i];

    if (h->current_epoch < n->sent_current)
        checker_fail(c, "node %u speaks of current epoch %llu after %llu", i, (unsigned long long)h->current_epoch,
                     (unsigned long long)n->sent_current);
    n->sent_current = h->current_epoch;
    if (h->master[0] != '\0')
        return;
    if (h->config_epoch < n->sent_config)
        checker_fail(c, "node %u speaks of config epoch %llu after %llu", i, (unsigned long long)h->config_epoch,
                     (unsigned long long)n->sent_config);
    n->sent_config = h->config_epoch;
}

static void check_claim(struct checker *c, unsigned i, unsigned slot, uint64_t epoch)
{
    struct claim *list = c->claims[slot];
    unsigned count = c->claim_count[slot];

    for (unsigned k = 0; k < count; k++) {
        if (list[k].epoch != epoch)
            continue;
        if (list[k].node != i && !c->claims_may_meet)
            checker_fail(c, "slot %u is claimed by nodes %u and %u with epoch %llu", slot, list[k].node, i,
                         (unsigned long long)epoch);
        return;
    }
    list = realloc(list, (count + 1) * sizeof *list);
    check(list != NULL);
    list[count] = (struct claim){epoch, i};
    c->claims[slot] = list;
    c->claim_count[slot] = count + 1;
}

static void check_claims(struct checker *c, unsigned i, const struct codec_header *h)
{
    struct checker_node *n = &c->nodes[i];

    if (h->master[0] != '\0' || (h->mflags & CODEC_MFLAG_BALLOTS) != 0 ||
        (n->claimed && n->claim_epoch == h->config_epoch && memcmp(n->claim_slots, h->slots, SLOT_BYTES) == 0))
        return;
    for (unsigned s = 0; s < SLOTS; s++)
        if (bit_get(h->slots, s) &&
            !(n->claimed && n->claim_epoch == h->config_epoch && bit_get(n->claim_slots, s)))
            check_claim(c, i, s, h->config_epoch);
    n->claimed = true;
    n->claim_epoch = h->config_epoch;
    memcpy(n->claim_slots, h->slots, SLOT_BYTES);
}

static void check_vote(struct checker *c, unsigned i, unsigned candidate, uint64_t epoch)
{
    struct checker_node *n = &c->nodes[i];

    for (size_t k = 0; k < n->vote_count; k++)
        if (n->votes[k].epoch == epoch)
            checker_fail(c, "node %u votes twice in epoch %llu", i, (unsigned long long)epoch);
    n->votes = realloc(n->votes, (n->vote_count + 1) * sizeof *n->votes);
    check(n->votes != NULL);
    n->votes[n->vote_count++] = (struct vote){epoch, candidate};
    c->votes++;
}

static void on_sent(void *context, struct sim_node *node, unsigned to, struct slice message)
{
    struct checker *c = context;
    struct codec_header h;

    check(codec_check(message) == OK);
    codec_read_header(message, &h);
    check_epochs(c, node->index, &h);
    check_claims(c, node->index, &h);
    if (h.type == CODEC_AUTH_ACK)
        check_vote(c, node->index, to, h.current_epoch);
}

/* How many voted for that candidate in that epoch. */
static unsigned votes_for(const struct checker *c, unsigned candidate, uint64_t epoch)
{
    unsigned count = 0;

    for (unsigned i = 0; i < SIM_NODES_MAX; i++) {
        const struct checker_node *n = &c->nodes[i];
        bool voted = false;

        for (size_t k = 0; k < n->vote_count && !voted; k++)
            voted = n->votes[k].epoch == epoch && n->votes[k].candidate == candidate;
        count += voted;
    }
    return count;
}

void checker_promoted(struct checker *c, const struct sim_node *node, bool by_hand)
{
    uint64_t epoch = node->core->myself->config_epoch;
    unsigned votes = votes_for(c, node->index, epoch);

    if (!by_hand && votes < node_quorum(node->core))
        checker_fail(c, "node %u won epoch %llu with %u votes", node->index, (unsigned long long)epoch, votes);
}

/* ---- What the cores hold ---- */

static void check_core(struct checker *c, unsigned i, const struct cluster *core)
{
    unsigned assigned = 0, migrating = 0, importing = 0;

    for (size_t k = 0; k < core->node_count; k++) {
        const struct node *n = core->nodes[k];
        unsigned count = 0;

        for (size_t b = 0; b < SLOT_BYTES; b++)
            count += (unsigned)__builtin_popcount(n->slots[b]);
        if (count != n->slot_count || n->index != k || (count > 0 && !node_is_master(n)) ||
            (node_is_master(n) && n->master != NULL))
            checker_fail(c, "node %u: entry %.40s contradicts itself", i, n->id);
    }
    for (unsigned s = 0; s < SLOTS; s++) {
        const struct node *owner = core->owner[s];

        assigned += owner != NULL;
        migrating += core->migrating[s] != NULL;
        importing += core->importing[s] != NULL;
        if (owner != NULL && !bit_get(owner->slots, s))
            checker_fail(c, "node %u: slot %u: owner and bitmap disagree", i, s);
    }
    if (assigned != core->assigned_count || migrating != core->migrating_count || importing != core->importing_count ||
        core->myself != core->nodes[0] || core->myself->config_epoch > core->current_epoch)
        checker_fail(c, "node %u: counts disagree", i);
}

static void on_stepped(void *context, struct sim_node *node)
{
    struct checker *c = context;
    struct checker_node *n = &c->nodes[node->index];
    uint64_t current = node->core->current_epoch;

    if (current < n->seen_current)
        checker_fail(c, "node %u: current epoch fell from %llu to %llu", node->index,
                     (unsigned long long)n->seen_current, (unsigned long long)current);
    n->seen_current = current;
    if (world_steps(c->world) % 512 == 0)
        check_core(c, node->index, node->core);
}

static void on_restarted(void *context, struct sim_node *node)
{
    struct checker *c = context;

    c->nodes[node->index].seen_current = 0; /* what was never spoken of may be forgotten */
}

static void on_slot_lost(void *context, struct sim_node *node, slot_t slot)
{
    struct checker *c = context;

    if (c->keys_at[slot] == node->index)
        checker_fail(c, "node %u drops the keys of slot %u, which nobody else has", node->index, slot);
}

static void on_replicates(void *context, struct sim_node *node)
{
    struct checker *c = context;

    for (unsigned s = 0; s < SLOTS; s++)
        if (c->keys_at[s] == node->index)
            checker_fail(c, "node %u becomes a replica while it alone has the keys of slot %u", node->index, s);
}

static uint64_t keys(void *context, unsigned node, slot_t slot)
{
    struct checker *c = context;

    return c->keys_at[slot] == node;
}

struct world_observer checker_observer(struct checker *c)
{
    return (struct world_observer){.stepped = on_stepped,
                                   .sent = on_sent,
                                   .slot_lost = on_slot_lost,
                                   .replicates = on_replicates,
                                   .restarted = on_restarted,
                                   .keys = keys,
                                   .context = c};
}

/* ---- After healing ---- */

static const char *owner_id(const struct cluster *core, unsigned slot)
{
    return core->owner[slot] != NULL ? core->owner[slot]->id : "nobody";
}

const char *checker_difference(const struct checker *c)
{
    static char text[256];
    const struct cluster *first = NULL;
    unsigned first_index = 0;

    for (unsigned i = 0; i < world_node_count(c->world); i++) {
        const struct cluster *core = world_node(c->world, i)->core;

        if (core == NULL)
            return "a node is down";
        if (core->node_count != world_node_count(c->world)) {
            snprintf(text, sizeof text, "node %u knows %zu nodes", i, core->node_count);
            return text;
        }
        if (first == NULL) {
            first = core;
            first_index = i;
            continue;
        }
        for (unsigned s = 0; s < SLOTS; s++) {
            if ((s > 0 && first->owner[s] == first->owner[s - 1] && core->owner[s] == core->owner[s - 1]) ||
                strcmp(owner_id(first, s), owner_id(core, s)) == 0)
                continue;
            snprintf(text, sizeof text, "slot %u: node %u says %.40s, node %u says %.40s", s, first_index,
                     owner_id(first, s), i, owner_id(core, s));
            return text;
        }
        for (size_t k = 0; k < core->node_count; k++) {
            const struct node *mine = core->nodes[k], *theirs = node_find(first, mine->id);

            if (theirs != NULL && mine->config_epoch == theirs->config_epoch && mine->flags % 4 == theirs->flags % 4)
                continue;
            if (theirs != NULL && !node_is_master(mine) && !node_is_master(theirs))
                continue; /* a replica's own epoch means nothing */
            snprintf(text, sizeof text, "node %.40s: nodes %u and %u disagree on its epoch or role", mine->id,
                     first_index, i);
            return text;
        }
    }
    return NULL;
}

const char *checker_unhealthy(const struct checker *c)
{
    static char text[256];
    const struct cluster *first = world_node(c->world, 0)->core;

    for (unsigned i = 0; i < world_node_count(c->world); i++) {
        const struct cluster *core = world_node(c->world, i)->core;

        for (size_t k = 0; k < core->node_count; k++) {
            if (!node_is(core->nodes[k], NODE_PFAIL | NODE_FAIL | NODE_NOADDR | NODE_HANDSHAKE))
                continue;
            snprintf(text, sizeof text, "node %u holds %.40s with flags %#x", i, core->nodes[k]->id,
                     core->nodes[k]->flags);
            return text;
        }
        if (!core->ok && core->assigned_count == SLOTS) {
            snprintf(text, sizeof text, "node %u says cluster_state:fail", i);
            return text;
        }
    }
    for (size_t a = 0; a < first->node_count; a++)
        for (size_t b = a + 1; b < first->node_count; b++)
            if (node_is_master(first->nodes[a]) && node_is_master(first->nodes[b]) &&
                first->nodes[a]->config_epoch == first->nodes[b]->config_epoch) {
                snprintf(text, sizeof text, "masters %.40s and %.40s share config epoch %llu", first->nodes[a]->id,
                         first->nodes[b]->id, (unsigned long long)first->nodes[a]->config_epoch);
                return text;
            }
    for (unsigned s = 0; s < SLOTS; s++) {
        const struct node *owner = first->owner[s];

        if (c->keys_at[s] == CHECKER_NOBODY)
            continue;
        if (owner == NULL || strcmp(owner->id, world_node(c->world, c->keys_at[s])->core->myself->id) != 0) {
            snprintf(text, sizeof text, "slot %u: node %u has its keys but not the slot", s, c->keys_at[s]);
            return text;
        }
    }
    return NULL;
}
