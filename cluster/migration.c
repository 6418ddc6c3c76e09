/*
 * migration.c - replica migration (Redis Cluster spec).
 *
 * Every replica decides alone, by rules that give all of them the same answer: the one with the smallest id among the
 * replicas of the masters that have the most goes to the master that has been without any for a while. A replica that has
 * not got its data yet is none that a master could be left with.
 */
#include "cluster/migration.h"

#include "cluster/action.h"
#include "cluster/node.h"
#include "cluster/role.h"

enum { ORPHANED_MIN_MS = 5000, MAX_OK_MIN = 2 };

static uint64_t offset_of(const struct cluster *c, const struct node *n)
{
    return n == c->myself ? cluster_my_offset(c) : n->repl_offset;
}

/* It works, and could take its master's place: who waits for a first copy shows offset 0. */
static bool is_ok(const struct cluster *c, const struct node *replica)
{
    return !node_is(replica, NODE_PFAIL | NODE_FAIL) && (offset_of(c, replica) > 0 || offset_of(c, replica->master) == 0);
}

static unsigned ok_replicas(const struct cluster *c, const struct node *master)
{
    unsigned count = 0;

    for (size_t i = 0; i < c->node_count && master->replica_count > 0; i++)
        count += c->nodes[i]->master == master && is_ok(c, c->nodes[i]);
    return count;
}

static bool has_live_replica(const struct cluster *c, const struct node *master)
{
    for (size_t i = 0; i < c->node_count && master->replica_count > 0; i++)
        if (c->nodes[i]->master == master && !node_is(c->nodes[i], NODE_FAIL))
            return true;
    return false;
}

static bool is_orphaned(const struct cluster *c, const struct node *n)
{
    return node_is_voter(n) && node_is(n, NODE_MIGRATE_TO) && !node_is(n, NODE_FAIL) && !has_live_replica(c, n);
}

/* Which master has waited long enough; NULL: none. Keeps the clocks. */
static struct node *orphan(struct cluster *c)
{
    struct node *oldest = NULL;

    for (size_t i = 0; i < c->node_count; i++) {
        struct node *n = c->nodes[i];

        if (!is_orphaned(c, n)) {
            n->orphaned_since = 0;
            continue;
        }
        if (n->orphaned_since == 0)
            n->orphaned_since = c->now;
        if (c->now - n->orphaned_since > ORPHANED_MIN_MS &&
            (oldest == NULL || n->orphaned_since < oldest->orphaned_since))
            oldest = n;
    }
    return oldest;
}

/* Am I the one? The smallest id among the replicas of the masters with the most working ones. */
static bool chosen(const struct cluster *c)
{
    const struct node *me = c->myself, *smallest = NULL;
    unsigned most = 0;

    for (size_t i = 0; i < c->node_count; i++) {
        unsigned count = node_is_master(c->nodes[i]) ? ok_replicas(c, c->nodes[i]) : 0;

        most = count > most ? count : most;
    }
    if (most < MAX_OK_MIN || ok_replicas(c, me->master) != most || most <= (unsigned)c->config.migration_barrier)
        return false;
    for (size_t i = 0; i < c->node_count; i++) {
        const struct node *n = c->nodes[i];

        if (n->master != NULL && is_ok(c, n) && ok_replicas(c, n->master) == most &&
            (smallest == NULL || memcmp(n->id, smallest->id, CLUSTER_ID_SIZE) < 0))
            smallest = n;
    }
    return smallest == me;
}

void migration_tick(struct cluster *c)
{
    const struct node *me = c->myself;
    struct node *target;

    if (!c->replication || me->master == NULL || !c->config.allow_replica_migration || c->manual.end != 0)
        return;
    target = orphan(c);
    if (target == NULL || target == me->master || !c->ok || !chosen(c))
        return;
    action_log(c, LOG_NOTICE, "Migrating to orphaned master %.40s", target->id);
    role_follow(c, target);
}
