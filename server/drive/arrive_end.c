/*
 * arrive_end.c - the end of a job on the target: FINISH, the claim, and what waits until a majority has heard of it.
 *
 *   RECEIVING --counts, durable, an epoch reserved, may_claim--> CONFIRMING (claimed; writes wait) --a majority answers--> SUCCESS
 *       '-- not -> not live: the keeper gives the job up
 *
 * FINISH waits on a thread of its own (COMMAND_LONG), for seconds if no majority answers; then the keeper waits on.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/num.h"
#include "engine/set/journal.h"
#include "engine/set/set.h"
#include "server/drive/cluster_service.h"
#include "server/drive/move_priv.h"
#include "server/drive/repl.h"
#include "server/net/clients.h"
#include "server/node_priv.h"
#include "server/run/call.h"
#include "server/run/session.h"

enum {
    REPLICAS_MS = 2000,
    RESERVE_MS = 2000, /* a claim waits so long for the one before it, and for its epoch */
    CONFIRM_MS = 1000, /* FINISH waits so long for a majority; the keeper waits on */
};

/* ---- Waiting ---- */

enum err arrive_settle(struct moves *m, struct call *c)
{
    const struct journal *journal = node_journal(m->node);
    struct repl *repl = node_replication(m->node);
    lsn_t tail = journal->tail(journal->context);

    TRY(journal->sync(journal->context, tail));
    if (!repl_all_have(repl, tail, node_now(m->node) + REPLICAS_MS))
        return reply_error(c, "ERR a replica of the target lags behind");
    return OK;
}

static void read_settled(void *context, struct cluster *core)
{
    *(bool *)context = handover_is_settled(core);
}

static bool is_settled(struct moves *m)
{
    bool settled;

    cluster_service_read(m->service, read_settled, &settled);
    return settled;
}

/* Until a majority has heard of the claim. False: not in time. */
static bool wait_settled(struct moves *m, msec_t at_most_ms)
{
    msec_t end = node_now(m->node) + at_most_ms;

    while (!is_settled(m)) {
        if (node_now(m->node) >= end || moves_stopping(m))
            return false;
        clock_nap_ms(1);
    }
    return true;
}

/* Until a claim may be made, as far as epochs go: if not in time, may_claim says no. */
static void wait_reserved(struct move *v, uint64_t above)
{
    struct moves *m = v->moves;
    msec_t end = node_now(m->node) + RESERVE_MS, asked = 0;

    while (!move_reserved(m, above, &asked) || !is_settled(m)) {
        if (node_now(m->node) >= end || moves_stopping(m) || !atomic_load(&v->live))
            return;
        clock_nap_ms(1);
    }
}

/* Writes need not wait any more: they are served, or told where to go. True for the first who comes. */
static bool let_go(struct move *v)
{
    struct moves *m = v->moves;

    if (!atomic_exchange(&v->holding, false))
        return false;
    for (size_t i = 0; i < v->slot_count; i++)
        set_still(node_set(m->node), v->slots[i], false);
    if (busy_release_slots(&m->node->busy, v->slots, v->slot_count))
        clients_retry_held(m->node->clients);
    return true;
}

void arrive_end_claimed(struct moves *m)
{
    struct move *v;

    if (!is_settled(m))
        return;
    for (;;) {
        pthread_mutex_lock(&m->lock);
        v = m->list;
        while (v != NULL && !(v->state == MOVE_CONFIRMING && atomic_load(&v->holding)))
            v = v->next;
        pthread_mutex_unlock(&m->lock);
        if (v == NULL)
            return;
        if (let_go(v))
            move_set_state(v, MOVE_SUCCESS, NULL);
    }
}

/* ---- FINISH epoch [slot keys ...] ---- */

/* The source's number of keys of each slot that has any is ours too. */
static enum err compare(struct call *c, struct move *v)
{
    uint64_t *expected = calloc(SLOTS, sizeof *expected), total = 0;
    enum err e = OK;

    check(expected != NULL);
    for (size_t i = 4; i + 1 < c->argc && e == OK; i += 2) {
        int64_t slot, keys;

        if (!num_parse_i64(c->argv[i], &slot) || slot < 0 || slot >= SLOTS || !move_has(v, (slot_t)slot) ||
            !num_parse_i64(c->argv[i + 1], &keys) || keys < 0)
            e = reply_syntax(c);
        else
            expected[slot] = (uint64_t)keys;
    }
    for (size_t i = 0; i < v->slot_count && e == OK; i++) {
        uint64_t keys = set_slot_keys(node_set(c->node), 0, v->slots[i]);

        total += keys;
        if (keys != expected[v->slots[i]])
            e = reply_error(c, "ERR slot %u has %llu keys here and %llu at the source", v->slots[i],
                            (unsigned long long)keys, (unsigned long long)expected[v->slots[i]]);
    }
    if (e == OK) {
        atomic_store(&v->keys, total);
        atomic_store(&v->keys_total, total);
    }
    free(expected);
    return e;
}

struct claim {
    struct move *v;
    uint64_t epoch; /* of the source */
};

/* From here on it is claimed: the keeper does not give it up. */
static bool take_up(struct move *v)
{
    bool taken;

    pthread_mutex_lock(&v->moves->lock);
    taken = v->state == MOVE_RECEIVING && atomic_load(&v->live) && !atomic_load(&v->flushed);
    v->claiming = taken;
    pthread_mutex_unlock(&v->moves->lock);
    return taken;
}

/* True: it is claimed, before anything else happens to the core. */
static bool may_claim(void *context, struct cluster *core)
{
    const struct claim *claim = context;
    struct cluster_service *service = claim->v->moves->service;
    const struct handover h = move_handover(claim->v);

    return !cluster_service_writes_held(service) && cluster_service_may_write(service) && handover_reserved(core, claim->epoch) &&
           handover_may_claim(core, &h) && take_up(claim->v);
}

static enum err claim(struct moves *m, struct call *c, struct move *v, uint64_t epoch)
{
    struct claim claim = {.v = v, .epoch = epoch};
    const struct cluster_event event = {.type = CLUSTER_EVENT_CLAIM, .slots = v->slots, .slot_count = v->slot_count,
                                        .epoch_above = epoch};

    wait_reserved(v, epoch);
    busy_mark_slots(&m->node->busy, v->slots, v->slot_count);
    if (!cluster_service_step_if(m->service, may_claim, &claim, &event)) {
        if (busy_release_slots(&m->node->busy, v->slots, v->slot_count))
            clients_retry_held(m->node->clients);
        return reply_error(c, "ERR the slots are no longer the source's, or this node no master that may take them now");
    }
    c->session->arrival = NULL;
    move_set_state(v, MOVE_CONFIRMING, NULL);
    atomic_store(&v->holding, true);
    (void)moves_tell_replicas(m, true);
    if (wait_settled(m, CONFIRM_MS) && let_go(v))
        move_set_state(v, MOVE_SUCCESS, NULL);
    move_step_delay(v);
    pthread_mutex_lock(&m->lock);
    v->attached = false; /* it may be freed from here on */
    pthread_mutex_unlock(&m->lock);
    return reply_ok(c);
}

enum err arrive_finish(struct moves *m, struct call *c, struct move *v)
{
    int64_t epoch;
    enum err e = OK;

    if (c->argc < 4 || c->argc % 2 != 0)
        return reply_arity(c);
    move_step_delay(v);
    if (!num_parse_i64(c->argv[3], &epoch) || epoch < 0)
        e = ERR_NOT_INTEGER;
    else if (atomic_load(&v->flushed))
        e = reply_error(c, "ERR the database was emptied here meanwhile");
    if (e == OK && arrive_land(v) != OK)
        e = reply_error(c, "ERR %s", err_text());
    if (e == OK)
        e = compare(c, v);
    if (e == OK)
        e = arrive_settle(m, c);
    if (e == OK)
        return claim(m, c, v, (uint64_t)epoch);
    atomic_store(&v->live, false); /* the source is told so: it will not come back to it */
    return e;
}
