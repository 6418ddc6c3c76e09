/*
 * move_start.c - CLUSTER MIGRATESLOTS and CANCELSLOTMIGRATIONS: words, refusals (with Valkey's texts), and jobs that begin all or none.
 */
#include "server/drive/move.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/rng.h"
#include "base/thread.h"
#include "server/drive/cluster_service.h"
#include "server/drive/move_priv.h"
#include "server/node_priv.h"
#include "server/run/call.h"
#include "server/run/execute.h"

struct check {
    const struct move *v;
    const char *problem; /* NULL: it may begin; the words are Valkey's */
    slot_t slot;         /* of a problem that names one */
};

static const char UNSERVED[] = "has no node";

static void may_depart(void *context, struct cluster *core)
{
    struct check *k = context;
    const char *first_owner = NULL;

    k->problem = NULL;
    for (size_t i = 0; i < k->v->slot_count && k->problem == NULL; i++) {
        uint64_t epoch;
        const char *owner;

        k->slot = k->v->slots[i];
        owner = cluster_slot_owner(core, k->slot, &epoch);
        if (owner == NULL)
            k->problem = UNSERVED;
        else if (cluster_slot_is_open(core, k->slot))
            k->problem = strcmp(owner, cluster_my_id(core)) == 0 ? "ERR Slots are being manually migrated"
                                                                 : "ERR Slots are being manually imported";
        else if (first_owner != NULL && owner != first_owner)
            k->problem = "ERR Requested slots span multiple shards";
        first_owner = owner;
    }
    if (k->problem == NULL && strcmp(first_owner, cluster_my_id(core)) != 0)
        k->problem = "ERR Slots are not served by this node.";
}

/* May it begin, by this node's map? */
static enum err ask_map(struct moves *m, struct call *c, const struct move *v)
{
    struct check k = {.v = v};

    cluster_service_read(m->service, may_depart, &k);
    if (k.problem != NULL && k.problem == UNSERVED)
        return reply_error(c, "ERR Slot %u has no node served.", k.slot);
    return k.problem != NULL ? reply_error(c, "%s", k.problem) : OK;
}

/* The target is a known master, and not this node. */
static enum err find_target(struct moves *m, struct call *c, struct slice id, struct move *v)
{
    const struct cluster_map *map = cluster_service_map(m->service);
    enum err e = OK;
    size_t i = 0;

    snprintf(v->source, sizeof v->source, "%s", map->nodes[map->myself].id);
    while (i < map->node_count && !slice_equal(slice_str(map->nodes[i].id), id))
        i++;
    if (i == map->node_count)
        e = reply_error(c, "ERR %s node name: %.*s", id.size == CLUSTER_ID_SIZE ? "Unknown" : "Invalid",
                        (int)(id.size < 128 ? id.size : 128), (const char *)id.data);
    else if (i == map->myself)
        e = reply_error(c, "ERR Target node can not be this node.");
    else if (map->nodes[i].replica)
        e = reply_error(c, "ERR Target node is not a master");
    else
        snprintf(v->target, sizeof v->target, "%s", map->nodes[i].id);
    cluster_service_map_done(m->service);
    return e;
}

/* One "SLOTSRANGE a b [a b ...] NODE id" from word *at on. */
static enum err parse_one(struct moves *m, struct call *c, size_t *at, struct move **out)
{
    size_t first, end;
    enum err e;

    if (!slice_is(c->argv[*at], "slotsrange"))
        return reply_syntax(c);
    first = end = *at + 1;
    while (end < c->argc && !slice_is(c->argv[end], "node"))
        end++;
    if (end + 1 >= c->argc)
        return reply_syntax(c);
    TRY(move_new(m, c, c->argv + first, end - first, false, out));
    *at = end + 2;
    if ((e = find_target(m, c, c->argv[end + 1], *out)) == OK)
        e = ask_map(m, c, *out);
    if (e != OK) {
        move_free(*out);
        *out = NULL;
        return e;
    }
    rng_hex(txn_rng(c->executor->txn), (*out)->name, MOVE_NAME_SIZE);
    return OK;
}

static bool overlap(struct move **jobs, size_t count)
{
    uint8_t seen[SLOTS / 8] = {0};

    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < sizeof seen; k++) {
            if ((seen[k] & jobs[i]->bits[k]) != 0)
                return true;
            seen[k] |= jobs[i]->bits[k];
        }
    return false;
}

/* Why move_enter refused v. */
static enum err refuse_job(struct call *c, struct moves *m, const struct move *v)
{
    for (size_t i = 0; i < v->slot_count; i++)
        if (atomic_load(&m->taken[v->slots[i]]) != 0)
            return reply_error(c, "ERR I am already migrating slot %u.", v->slots[i]);
    return reply_error(c, "ERR Too many migrations");
}

static void withdraw_all(struct move **jobs, size_t entered, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (i < entered)
            move_withdraw(jobs[i]);
        else
            move_free(jobs[i]);
}

/* All are begun, or none. */
static enum err begin_all(struct moves *m, struct call *c, struct move **jobs, size_t count)
{
    size_t entered = 0;
    enum err e = OK;

    if (overlap(jobs, count))
        e = reply_error(c, "ERR Slot ranges in migrations overlap");
    for (; entered < count && e == OK; entered++)
        if (move_enter(jobs[entered]) != OK) {
            e = refuse_job(c, m, jobs[entered]);
            break;
        }
    for (size_t i = 0; i < count && e == OK; i++)
        e = ask_map(m, c, jobs[i]); /* again: only from now on the slots are not moved otherwise (move_refuse.c) */
    if (e != OK) {
        withdraw_all(jobs, entered, count);
        return e;
    }
    for (size_t i = 0; i < count; i++) {
        jobs[i]->threaded = true; /* nobody joins it before it has ended */
        check(thread_start(&jobs[i]->thread, "depart", depart_run, jobs[i]) == OK);
    }
    return reply_ok(c);
}

enum err moves_migrate(struct moves *m, struct call *c)
{
    struct move *jobs[MOVE_JOBS_MAX];
    size_t count = 0, at = 2;
    enum err e = OK;

    if (node_is_replica(m->node))
        return reply_error(c, "ERR Slot migration can only be used on primary nodes.");
    while (at < c->argc && e == OK && count < MOVE_JOBS_MAX)
        if ((e = parse_one(m, c, &at, &jobs[count])) == OK)
            count++;
    if (e == OK && at < c->argc)
        e = reply_error(c, "ERR Too many migrations");
    if (e == OK)
        return begin_all(m, c, jobs, count);
    for (size_t i = 0; i < count; i++)
        move_free(jobs[i]);
    return e;
}

/* OK: all of them have been cancelled, and will not succeed. */
enum err moves_cancel(struct moves *m, struct call *c)
{
    size_t cancelled = 0, late = 0;

    pthread_mutex_lock(&m->lock);
    for (struct move *v = m->list; v != NULL; v = v->next) {
        if (v->import || move_ended(v->state))
            continue;
        if (!v->offered)
            atomic_store(&v->cancelled, true);
        cancelled += !v->offered;
        late += v->offered;
    }
    pthread_mutex_unlock(&m->lock);
    if (late > 0)
        return reply_error(c, "ERR Too late to cancel %zu of %zu migrations: the target has been asked to take the slots, and decides "
                              "(CLUSTER GETSLOTMIGRATIONS). Cancelled: %zu", late, late + cancelled, cancelled);
    return cancelled > 0 ? reply_ok(c) : reply_error(c, "ERR No migrations ongoing");
}
