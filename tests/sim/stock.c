/*
 * stock.c - writes, replication, drops, and what is safe.
 */
#include "stock.h"

#include "base/check.h"
#include "cluster/cluster_priv.h"
#include "cluster/node.h"

#include <stdio.h>
#include <string.h>

enum { GROUP = 3, CONNECT_MAX_MS = 400, DROP_MAX_MS = 900, PAUSE_MAX_MS = 60, PAUSE_LASTS_MS = 5000 };

void stock_init(struct stock *k, struct checker *checker, uint64_t seed, unsigned planted_bugs)
{
    memset(k, 0, sizeof *k);
    k->checker = checker;
    k->planted_bugs = planted_bugs;
    rng_seed(&k->rng, seed);
    memset(k->index, -1, sizeof k->index);
    for (unsigned i = 0; i < STOCK_SLOTS; i++) {
        k->slots[i] = (slot_t)(i / GROUP * (SLOTS / (STOCK_SLOTS / GROUP)) + 100 + i % GROUP);
        k->index[k->slots[i]] = (int8_t)i;
    }
}

void stock_place(struct stock *k, unsigned node, int master)
{
    k->nodes[node].master = k->nodes[node].source = master;
    k->nodes[node].whole = true;
}

static struct sim_node *node_at(const struct stock *k, unsigned i)
{
    return world_node(k->checker->world, i);
}

static msec_t now_of(const struct stock *k)
{
    return world_now(k->checker->world);
}

static unsigned count_of(const struct stock *k)
{
    return world_node_count(k->checker->world);
}

static bool same(const struct stock_slot *a, const struct stock_slot *b)
{
    return a->count == b->count && memcmp(a->writes, b->writes, a->count * sizeof *a->writes) == 0;
}

static bool contains(const struct stock_slot *all, const struct stock_slot *some)
{
    return all->count >= some->count && memcmp(all->writes, some->writes, some->count * sizeof *some->writes) == 0;
}

void stock_set(struct stock *k, unsigned node, unsigned at, const struct stock_slot *to)
{
    struct stock_node *n = &k->nodes[node];

    n->slots[at].count = to->count;
    memcpy(n->slots[at].writes, to->writes, to->count * sizeof *to->writes);
    n->offset++;
}

/* ---- What the core is told ---- */

static void report(struct stock *k, unsigned i)
{
    struct stock_node *n = &k->nodes[i];
    const struct cluster_replication r = {
        .master = n->master >= 0 ? node_at(k, (unsigned)n->master)->id : NULL,
        .offset = n->offset,
        .whole = n->whole && n->source == n->master,
        .link_up = n->link_up,
        .age_ms = now_of(k) - n->heard,
        .paused = n->paused,
    };

    n->report_due = false;
    if (node_at(k, i)->core != NULL)
        world_event(k->checker->world, i, &(struct cluster_event){.type = CLUSTER_EVENT_REPLICATION, .replication = &r});
}

void stock_ticking(struct stock *k, struct sim_node *node)
{
    report(k, node->index);
}

uint64_t stock_keys(const struct stock *k, unsigned node, slot_t slot)
{
    return k->index[slot] < 0 ? 0 : k->nodes[node].slots[k->index[slot]].count;
}

bool stock_holds_writes(const struct stock *k, unsigned node)
{
    return k->nodes[node].pause_at != 0 && now_of(k) >= k->nodes[node].pause_at;
}

/* ---- A master ---- */

static void pause_turn(struct stock *k, unsigned i)
{
    struct stock_node *n = &k->nodes[i];

    if (n->pause_at != 0 && now_of(k) > n->pause_at + PAUSE_LASTS_MS) {
        n->pause_at = 0;
        n->paused = false;
    }
    if (n->pause_at == 0 || n->paused || now_of(k) < n->pause_at)
        return;
    n->paused = true;
    report(k, i);
}

static void write_turn(struct stock *k, unsigned i)
{
    struct stock_node *n = &k->nodes[i];
    const struct cluster *core = node_at(k, i)->core;
    unsigned at = (unsigned)rng_below(&k->rng, STOCK_SLOTS);
    struct stock_slot *s = &n->slots[at];

    if (n->master >= 0 || !core->ok || !node_is_master(core->myself) || core->owner[k->slots[at]] != core->myself ||
        n->pause_at != 0 || n->frozen[at] || cluster_slot_claimed(core, k->slots[at]) || s->count == STOCK_WRITES_MAX)
        return;
    s->writes[s->count++] = ++k->next_write;
    n->offset++;
    k->accepted++;
}

static void drop_turn(struct stock *k, unsigned i)
{
    struct stock_node *n = &k->nodes[i];

    for (unsigned at = 0; at < STOCK_SLOTS && node_at(k, i)->core != NULL; at++) {
        slot_t slot = k->slots[at];

        if (n->drop_at[at] == 0 || now_of(k) < n->drop_at[at])
            continue;
        n->drop_at[at] = 0;
        if (n->master >= 0)
            continue; /* its data is replaced as a whole */
        n->slots[at].count = 0;
        n->offset++;
        world_event(k->checker->world, i, &(struct cluster_event){.type = CLUSTER_EVENT_DROPPED, .slots = &slot, .slot_count = 1});
    }
}

/* ---- A replica ---- */

static bool reaches(const struct stock *k, unsigned i, unsigned j)
{
    const struct network *net = world_network(k->checker->world);

    return node_at(k, j)->core != NULL && !network_cut(net, i, j) && !network_cut(net, j, i);
}

static void link_lost(struct stock *k, struct stock_node *n)
{
    if (n->link_up)
        n->heard = now_of(k);
    n->next_try = now_of(k) + 1 + (msec_t)rng_below(&k->rng, CONNECT_MAX_MS);
    n->link_up = false;
}

/* The stream says which slots arrive at the master or are being dropped there, before the first key of them and after the last. */
static void tell_arriving(struct stock *k, unsigned i, bool arriving)
{
    unsigned master = (unsigned)k->nodes[i].master;

    for (unsigned at = 0; at < STOCK_SLOTS && node_at(k, i)->core != NULL; at++)
        if ((k->nodes[master].arriving[at] || cluster_slot_dropping(node_at(k, master)->core, k->slots[at])) == arriving &&
            cluster_slot_arriving(node_at(k, i)->core, k->slots[at]) != arriving)
            world_event(k->checker->world, i, &(struct cluster_event){.type = arriving ? CLUSTER_EVENT_ARRIVING : CLUSTER_EVENT_ABANDONED,
                                                                      .slots = &k->slots[at], .slot_count = 1});
}

static void follow_turn(struct stock *k, unsigned i)
{
    struct stock_node *n = &k->nodes[i], *m = &k->nodes[n->master];
    const struct sim_node *master = node_at(k, (unsigned)n->master);

    if (!reaches(k, i, (unsigned)n->master) || m->master >= 0 || (n->link_up && n->master_life != master->life)) {
        link_lost(k, n);
        return;
    }
    if (!n->link_up && now_of(k) < n->next_try)
        return;
    n->heard = now_of(k);
    if (n->link_up && rng_below(&k->rng, 6) == 0)
        return; /* behind */
    n->master_life = master->life;
    tell_arriving(k, i, true);
    if (node_at(k, i)->core == NULL)
        return;
    n->link_up = n->whole = true;
    n->source = n->master;
    memcpy(n->slots, m->slots, sizeof n->slots);
    n->offset = m->offset;
    tell_arriving(k, i, false);
    if (n->wanted != 0 && n->offset >= n->wanted) {
        n->wanted = 0;
        report(k, i);
    }
}

bool stock_settled(const struct stock *k, unsigned node)
{
    for (unsigned j = 0; j < count_of(k); j++)
        if (k->nodes[j].master == (int)node && k->nodes[j].link_up && node_at(k, j)->core != NULL &&
            k->nodes[j].offset != k->nodes[node].offset)
            return false;
    return true;
}

/* ---- What is safe ---- */

static bool is_contested(const struct stock *k, unsigned owner, unsigned at)
{

    for (unsigned i = 0; i < count_of(k); i++) {
        const struct cluster *core = node_at(k, i)->core;

        if (core != NULL && core->election.sent)
            return true; /* votes may have been given before a claim was heard of */
        if (i != owner && k->nodes[i].owns[at] >= k->nodes[owner].owns[at])
            return true;
    }
    return false;
}

/* The master that serves the slot, and owns it by the maps of a majority of the voters; -1: none. */
static int owner_of(const struct stock *k, slot_t slot)
{
    for (unsigned i = 0; i < count_of(k); i++) {
        const struct cluster *core = node_at(k, i)->core;
        unsigned agree = 0, voters = 0;

        if (core == NULL || !core->ok || core->owner[slot] != core->myself || k->nodes[i].master >= 0)
            continue;
        for (unsigned j = 0; j < count_of(k); j++) {
            const struct cluster *other = node_at(k, j)->core;

            if (other == NULL || !node_is_voter(other->myself))
                continue; /* those who were replaced and do not know it count too */
            voters++;
            agree += other->owner[slot] != NULL && strcmp(other->owner[slot]->id, node_at(k, i)->id) == 0;
        }
        if (agree >= node_quorum(core) && agree > voters / 2)
            return (int)i;
    }
    return -1;
}

static bool all_replicas_have(const struct stock *k, unsigned node, unsigned at)
{
    for (unsigned j = 0; j < count_of(k); j++)
        if (k->nodes[j].master == (int)node && !same(&k->nodes[j].slots[at], &k->nodes[node].slots[at]))
            return false;
    return true;
}

static void safe_turn(struct stock *k)
{
    for (unsigned at = 0; at < STOCK_SLOTS; at++) {
        int owner = owner_of(k, k->slots[at]);
        const struct stock_slot *s;

        if (owner < 0)
            continue;
        s = &k->nodes[owner].slots[at];
        if (!contains(s, &k->safe[at])) {
            checker_fail(k->checker, "slot %u: node %d, to which all route, has %u writes, and not the %u that were safe", k->slots[at],
                         owner, s->count, k->safe[at].count);
            return;
        }
        if (!is_contested(k, (unsigned)owner, at) && all_replicas_have(k, (unsigned)owner, at))
            k->safe[at] = *s;
    }
}

void stock_claimed(struct stock *k, unsigned node, unsigned at)
{
    k->nodes[node].arriving[at] = false;
    if (all_replicas_have(k, node, at))
        return;
    k->risked++;
    k->safe[at].count = 0;
}

void stock_turn(struct stock *k)
{
    for (unsigned i = 0; i < count_of(k) && !k->checker->failed; i++) {
        if (node_at(k, i)->core == NULL)
            continue;
        drop_turn(k, i);
        pause_turn(k, i);
        if (node_at(k, i)->core == NULL)
            continue;
        if (k->nodes[i].master < 0)
            write_turn(k, i);
        else
            follow_turn(k, i);
    }
    safe_turn(k);
}

/* One line per node whose view of the slot has changed since the last call. */
void stock_watch(struct stock *k, slot_t slot)
{
    for (unsigned i = 0; i < count_of(k); i++) {
        const struct stock_node *n = &k->nodes[i];
        const struct cluster *core = node_at(k, i)->core;
        char now[sizeof k->watched[i]] = "down";

        if (core != NULL) {
            const struct node *owner = core->owner[slot];

            snprintf(now, sizeof now, "%s, owner %.8s (epoch %llu), %llu keys%s%s%s%s%s%s%s%s", n->master < 0 ? "master" : "replica",
                     owner != NULL ? owner->id : "nobody", owner != NULL ? (unsigned long long)owner->config_epoch : 0,
                     (unsigned long long)stock_keys(k, i, slot), bit_get(core->claimed, slot) ? ", claimed" : "",
                     bit_get(core->arriving, slot) ? ", arriving" : "", bit_get(core->departing, slot) ? ", departing" : "",
                     bit_get(core->dropping, slot) ? ", dropping" : "", bit_get(core->unclaimed, slot) ? ", given up by its owner" : "",
                     core->migrating[slot] != NULL ? ", migrating" : "", core->importing[slot] != NULL ? ", importing" : "",
                     core->imported[slot] != NULL ? ", imported" : "");
        }
        if (strcmp(now, k->watched[i]) != 0)
            printf("%8lld node %u: slot %u: %s\n", (long long)now_of(k), i, slot, now);
        memcpy(k->watched[i], now, sizeof now);
    }
}

/*
 * Rule 4 of update.c: its replica took the slot from node i by an election, and by a greater epoch it went on to another shard. What came
 * back cannot tell this from an operator's doing, so it keeps its keys, marked. Whatever is safe must be at the owner.
 */
static bool is_for_operator(const struct stock *k, unsigned i, unsigned at)
{
    const struct stock_node *n = &k->nodes[i];
    const struct cluster *core = node_at(k, i)->core;
    const struct node *to = core->importing[k->slots[at]];
    int owner = owner_of(k, k->slots[at]);

    return to != NULL && to == core->owner[k->slots[at]] && core->migrating[k->slots[at]] == NULL && node_is_master(core->myself) &&
           core->myself->slot_count == 0 && n->slots[at].count > 0 && !node_same_shard(to, core->myself) &&
           n->replaced[at] > n->owned[at] && to->config_epoch > n->replaced[at] &&
           owner >= 0 && strcmp(node_at(k, (unsigned)owner)->id, to->id) == 0 && contains(&k->nodes[owner].slots[at], &k->safe[at]);
}

unsigned stock_fix(struct stock *k)
{
    static const struct stock_slot none;
    unsigned count = 0;

    for (unsigned i = 0; i < count_of(k); i++)
        for (unsigned at = 0; at < STOCK_SLOTS && node_at(k, i)->core != NULL; at++) {
            char words[32];

            if (!is_for_operator(k, i, at))
                continue;
            stock_set(k, i, at, &none); /* MIGRATE; the owner's values stay */
            snprintf(words, sizeof words, "%u stable", k->slots[at]);
            if (!world_command(k->checker->world, i, CLUSTER_CMD_SETSLOT, words).ok)
                checker_fail(k->checker, "SETSLOT %s is refused by node %u", words, i);
            count++;
        }
    return count;
}

const char *stock_untidy(const struct stock *k)
{
    static char text[256];

    for (unsigned i = 0; i < count_of(k); i++) {
        const struct cluster *core = node_at(k, i)->core;

        if (core == NULL)
            return "a node is down";
        if (k->nodes[i].master >= 0 && !k->nodes[i].link_up) {
            snprintf(text, sizeof text, "node %u has no link to its master %d, whose is %d", i, k->nodes[i].master,
                     k->nodes[k->nodes[i].master].master);
            return text;
        }
        for (unsigned at = 0; at < STOCK_SLOTS; at++) {
            slot_t slot = k->slots[at];
            const struct node *mine = node_is_master(core->myself) ? core->myself : core->myself->master;
            bool kept = is_for_operator(k, i, at);

            snprintf(text, sizeof text, "slot %u at node %u", slot, i);
            if (!kept && (core->migrating[slot] != NULL || core->importing[slot] != NULL))
                return strcat(text, " is open");
            if (cluster_slot_claimed(core, slot))
                return strcat(text, " is claimed, and no majority agrees");
            if (cluster_slot_arriving(core, slot) || cluster_slot_dropping(core, slot))
                return strcat(text, cluster_slot_arriving(core, slot) ? " is still arriving" : " is still being dropped");
            if (!kept && core->owner[slot] != mine && k->nodes[i].slots[at].count > 0)
                return strcat(text, " has keys that are another's");
            if (k->nodes[i].frozen[at])
                return strcat(text, " lets writes wait");
        }
    }
    return NULL;
}

/* ---- The core's decisions ---- */

static void promote(struct stock *k, struct sim_node *node)
{
    struct stock_node *n = &k->nodes[node->index];

    if (n->master >= 0) { /* not a master that starts */
        for (unsigned at = 0; at < STOCK_SLOTS; at++)
            if (node->core->owner[k->slots[at]] == node->core->myself)
                k->nodes[n->master].replaced[at] = node->core->myself->config_epoch;
        k->promotions++;
        checker_promoted(k->checker, node, false);
    }
    n->master = n->source = -1;
    n->whole = true;
    n->link_up = false;
    n->pause_at = 0;
    n->paused = false;
}

static void replicate(struct stock *k, struct sim_node *node, const char *id)
{
    struct stock_node *n = &k->nodes[node->index];
    unsigned j = 0;

    while (strcmp(node_at(k, j)->id, id) != 0)
        check(++j < count_of(k));
    if (n->master != (int)j)
        link_lost(k, n);
    n->master = (int)j;
    n->pause_at = 0;
    n->paused = false;
    memset(n->arriving, 0, sizeof n->arriving);
    memset(n->drop_at, 0, sizeof n->drop_at);
    n->heard = now_of(k);
}

void stock_obeyed(struct stock *k, struct sim_node *node, const struct cluster_action *a)
{
    struct stock_node *n = &k->nodes[node->index];

    for (unsigned at = 0; at < STOCK_SLOTS && (a->type == CLUSTER_PERSIST || a->type == CLUSTER_MAP); at++) {
        n->owns[at] = node->core->owner[k->slots[at]] == node->core->myself ? node->core->myself->config_epoch : 0;
        if (n->owns[at] != 0)
            n->owned[at] = n->owns[at];
    }
    if (a->type == CLUSTER_PROMOTE) {
        promote(k, node);
    } else if (a->type == CLUSTER_REPLICATE) {
        replicate(k, node, a->node);
    } else if (a->type == CLUSTER_PAUSE) {
        n->paused = false;
        n->pause_at = a->until_ms == 0 ? 0 : now_of(k) + 1 + (msec_t)rng_below(&k->rng, PAUSE_MAX_MS);
    } else if (a->type == CLUSTER_OFFSET_WANTED) {
        n->wanted = a->offset;
    }
}

void stock_lost(struct stock *k, struct sim_node *node, slot_t slot)
{
    if (k->index[slot] >= 0)
        k->nodes[node->index].drop_at[k->index[slot]] = now_of(k) + 1 + (msec_t)rng_below(&k->rng, DROP_MAX_MS);
}

void stock_crashed(struct stock *k, struct sim_node *node)
{
    struct stock_node *n = &k->nodes[node->index];

    n->link_up = n->paused = false;
    n->pause_at = 0;
    n->wanted = 0;
    memset(n->frozen, 0, sizeof n->frozen);
    memset(n->arriving, 0, sizeof n->arriving);
    memset(n->drop_at, 0, sizeof n->drop_at);
}
