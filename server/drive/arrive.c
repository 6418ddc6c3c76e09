/*
 * arrive.c - a job on the target: CLUSTER SYNCSLOTS, and what becomes of keys that came in vain.
 *
 * (1) The slots are marked in nodes.conf, durably, before the first key is let in, and the replicas are told in the stream.
 * (2) A key is let in only while the job lives, which is looked at with the key's slot locked. A job dies once; what came is counted
 *     and dropped after that.
 * (3) The claim is made under the cluster service's lock, if the job lives, this node is a master that does not hand over, and
 *     the slots are still the source's; what it relies on is on stable storage, and with the replicas that are online.
 * (4) Writes to what was claimed wait until a majority of the masters has heard of it (cluster/claim.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
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
    SILENT_MS = 60000,
    REPLICAS_MS = 2000,
    WORD_BYTES = 6, /* around a short word of a command */
    RESERVE_MS = 2000, /* a claim waits so long for the one before it, and for its epoch */
    ASK_AGAIN_MS = 100,
    CONFIRM_MS = 1000, /* FINISH waits so long for a majority; the keeper waits on */
};

/* ---- The end of a job in vain ---- */

static void on_lost(struct session_arrival *a)
{
    struct move *v = (struct move *)a;

    atomic_store(&v->live, false);
    pthread_mutex_lock(&v->moves->lock);
    v->attached = false;
    pthread_cond_signal(&v->moves->wake);
    pthread_mutex_unlock(&v->moves->lock);
}

/* Not live any more: the slots are no longer still, and what came of them is dropped. */
static void give_up(struct move *v)
{
    struct moves *m = v->moves;

    arrive_rows_end(v);
    for (size_t i = 0; i < v->slot_count; i++)
        set_still(node_set(m->node), v->slots[i], false);
    cluster_service_step(m->service, &(struct cluster_event){.type = CLUSTER_EVENT_ABANDONED, .slots = v->slots,
                                                             .slot_count = v->slot_count}, NULL, NULL);
    move_set_state(v, MOVE_FAILED, v->message[0] != '\0' ? NULL : "the source gave up");
}

/* ---- The end of one that has claimed ---- */

struct standing {
    uint64_t above; /* a claim would be */
    bool settled, reserved;
};

static void read_standing(void *context, struct cluster *core)
{
    struct standing *s = context;

    s->settled = handover_is_settled(core);
    s->reserved = handover_reserved(core, s->above);
}

static bool is_settled(struct moves *m)
{
    struct standing s = {0};

    cluster_service_read(m->service, read_standing, &s);
    return s.settled;
}

/* The masters are asked to leave an epoch for a claim. */
static void reserve(struct moves *m, uint64_t above)
{
    cluster_service_step(m->service, &(struct cluster_event){.type = CLUSTER_EVENT_RESERVE, .epoch_above = above}, NULL, NULL);
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

/* At most that long; the keeper looks again later. */
static bool wait_settled(struct moves *m, msec_t at_most_ms)
{
    msec_t end = node_now(m->node) + at_most_ms;

    while (!is_settled(m)) {
        if (node_now(m->node) >= end)
            return false;
        clock_nap_ms(1);
    }
    return true;
}

/* Until a claim may be made, as far as epochs go: if not in time, may_claim says no. */
static void wait_reserved(struct moves *m, uint64_t above)
{
    struct standing s = {.above = above};
    msec_t end = node_now(m->node) + RESERVE_MS, ask = 0;

    for (;;) {
        msec_t now = node_now(m->node);

        cluster_service_read(m->service, read_standing, &s);
        if ((s.settled && s.reserved) || now >= end)
            return;
        if (!s.reserved && now >= ask) {
            reserve(m, above);
            ask = now + ASK_AGAIN_MS;
        }
        clock_nap_ms(1);
    }
}

static void end_claimed(struct moves *m)
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

void arrive_tick(struct moves *m, msec_t now_ms)
{
    end_claimed(m);
    for (;;) {
        struct move *dead = NULL;

        pthread_mutex_lock(&m->lock);
        for (struct move *v = m->list; v != NULL; v = v->next) {
            if (!v->import || move_ended(v->state))
                continue;
            if (node_is_replica(m->node) || now_ms - atomic_load(&v->acked_ms) > SILENT_MS)
                atomic_store(&v->live, false);
            if (!atomic_load(&v->live) && v->state == MOVE_RECEIVING) {
                v->state = MOVE_DROPPING;
                dead = v;
                break;
            }
        }
        pthread_mutex_unlock(&m->lock);
        if (dead == NULL)
            return;
        give_up(dead);
    }
}

/* ---- ESTABLISH version name source target a b [a b ...] ---- */

struct admission {
    struct move *v;
    struct cluster_service *service;
    struct node *node;
    uint64_t epoch;    /* of the source, at a claim */
    char problem[160]; /* "": admitted */
};

static bool may_arrive(void *context, struct cluster *core)
{
    struct admission *a = context;
    const struct handover h = move_handover(a->v);
    slot_t slot;

    a->problem[0] = '\0';
    switch (cluster_service_writes_held(a->service) ? HANDOVER_NO_MASTER : handover_may_arrive(core, &h, &slot)) {
    case HANDOVER_FINE:
        break;
    case HANDOVER_NOT_ME:
        snprintf(a->problem, sizeof a->problem, "ERR I am %s", cluster_my_id(core));
        break;
    case HANDOVER_NO_MASTER:
        snprintf(a->problem, sizeof a->problem, "ERR this node is no master, or hands over");
        break;
    case HANDOVER_NOT_SOURCES:
        snprintf(a->problem, sizeof a->problem, "TRYAGAIN slot %u is not known to be the source's here", slot);
        break;
    case HANDOVER_OPEN:
        snprintf(a->problem, sizeof a->problem, "ERR slot %u is being moved key by key", slot);
        break;
    case HANDOVER_DROPPING:
        snprintf(a->problem, sizeof a->problem, "TRYAGAIN keys of an earlier time are being dropped in slot %u", slot);
        break;
    case HANDOVER_HAS_KEYS:
        snprintf(a->problem, sizeof a->problem, "ERR there are keys in slot %u, which this node does not own", slot);
        break;
    }
    return a->problem[0] == '\0';
}

static bool is_id(struct slice word)
{
    for (size_t i = 0; i < word.size; i++)
        if ((word.data[i] < '0' || word.data[i] > '9') && (word.data[i] < 'a' || word.data[i] > 'f'))
            return false;
    return word.size == CLUSTER_ID_SIZE;
}

static void copy_id(char out[CLUSTER_ID_SIZE + 1], struct slice word)
{
    memcpy(out, word.data, CLUSTER_ID_SIZE);
    out[CLUSTER_ID_SIZE] = '\0';
}

static enum err admit(struct moves *m, struct call *c, struct move *v)
{
    struct admission a = {.v = v, .service = m->service, .node = m->node};
    const struct cluster_event event = {.type = CLUSTER_EVENT_ARRIVING, .slots = v->slots, .slot_count = v->slot_count};
    bool told;

    if (move_enter(v) != OK) {
        move_free(v);
        return reply_error(c, "TRYAGAIN a slot is in another migration here");
    }
    if (!cluster_service_step_if(m->service, may_arrive, &a, &event)) {
        move_withdraw(v);
        return reply_error(c, "%s", a.problem);
    }
    for (size_t i = 0; i < v->slot_count; i++)
        set_still(node_set(m->node), v->slots[i], true);
    told = moves_tell_replicas(m, true);
    pthread_mutex_lock(&m->lock);
    v->attached = told;
    atomic_store(&v->live, told);
    v->state = MOVE_RECEIVING; /* and if it is not live, the keeper gives it up */
    pthread_mutex_unlock(&m->lock);
    if (!told)
        return reply_error(c, "TRYAGAIN the log takes nothing now");
    c->session->arrival = &v->arrival;
    return reply_ok(c);
}

static enum err establish(struct moves *m, struct call *c)
{
    struct move *v = NULL;
    int64_t version;

    if (c->argc < 9)
        return reply_arity(c);
    if (!num_parse_i64(c->argv[3], &version) || version != MOVE_VERSION)
        return reply_error(c, "ERR this node speaks version %d of the migration protocol", MOVE_VERSION);
    if (!is_id(c->argv[4]) || !is_id(c->argv[5]) || !is_id(c->argv[6]))
        return reply_error(c, "ERR a name is not 40 hex digits");
    if (c->session->client == NULL || c->session->arrival != NULL || c->session->in_exec || c->session->multi.open)
        return reply_error(c, "ERR not on this connection");
    TRY(move_new(m, c, c->argv + 7, c->argc - 7, true, &v));
    v->arrival.lost = on_lost;
    v->lander = lander_new(v);
    copy_id(v->name, c->argv[4]);
    copy_id(v->source, c->argv[5]);
    copy_id(v->target, c->argv[6]);
    return admit(m, c, v);
}

/* ---- Keys ---- */

enum err moves_gate(struct moves *m, const struct gate *g)
{
    struct move *v = (struct move *)g->session->arrival;

    (void)m;
    if (!atomic_load(&v->live))
        return gate_refuse(g, "ERR the migration was given up here");
    for (size_t i = 0; i < g->slot_count; i++)
        if (!move_has(v, g->slots[i]))
            return gate_refuse(g, "ERR slot %u is not of this migration", g->slots[i]);
    for (size_t i = 0; g->txn != NULL && i < g->argc; i++)
        atomic_fetch_add(&v->bytes, g->argv[i].size + WORD_BYTES);
    return OK;
}

/* ---- ROWS frame, BARRIER, FINISH epoch [slot keys ...], QUERY name target a b [a b ...] ---- */

static struct move *of_session(struct call *c)
{
    struct move *v = (struct move *)c->session->arrival;

    if (v != NULL)
        atomic_store(&v->acked_ms, node_now(c->node));
    return v;
}

/* Everything that came is on stable storage, and every replica that is online has it. */
static enum err settle(struct moves *m, struct call *c)
{
    const struct journal *journal = node_journal(m->node);
    struct repl *repl = node_replication(m->node);
    lsn_t tail = journal->tail(journal->context);

    TRY(journal->sync(journal->context, tail));
    if (!repl_all_have(repl, tail, node_now(m->node) + REPLICAS_MS))
        return reply_error(c, "ERR a replica of the target lags behind");
    return OK;
}

/* What came cannot be kept: the job ends, and the source is told why. */
static enum err spoiled(struct call *c, struct move *v)
{
    atomic_store(&v->live, false);
    return reply_error(c, "ERR %s", err_text());
}

static enum err barrier(struct moves *m, struct call *c)
{
    struct move *v = of_session(c);

    if (v == NULL || !atomic_load(&v->live))
        return reply_error(c, "ERR no migration on this connection");
    if (arrive_land(v) != OK)
        return spoiled(c, v);
    TRY(settle(m, c));
    reserve(m, 0); /* so that FINISH need not wait for it */
    return reply_ok(c);
}

/* Answers each frame: the source hears soon what went wrong. */
static enum err rows(struct call *c)
{
    struct move *v = of_session(c);

    if (v == NULL || !atomic_load(&v->live))
        return reply_error(c, "ERR no migration on this connection");
    if (c->argc != 4)
        return reply_arity(c);
    atomic_fetch_add(&v->bytes, c->argv[3].size);
    return arrive_rows(v, c->argv[3]) == OK ? reply_ok(c) : spoiled(c, v);
}

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

static bool may_claim(void *context, struct cluster *core)
{
    struct admission *a = context;
    const struct handover h = move_handover(a->v);

    return atomic_load(&a->v->live) && !atomic_load(&a->v->flushed) && !cluster_service_writes_held(a->service) &&
           cluster_service_may_write(a->service) && handover_reserved(core, a->epoch) && handover_may_claim(core, &h);
}

static enum err claim(struct moves *m, struct call *c, struct move *v, uint64_t epoch)
{
    struct admission a = {.v = v, .service = m->service, .node = m->node, .epoch = epoch};
    const struct cluster_event event = {.type = CLUSTER_EVENT_CLAIM, .slots = v->slots, .slot_count = v->slot_count,
                                        .epoch_above = epoch};

    wait_reserved(m, epoch);
    busy_mark_slots(&m->node->busy, v->slots, v->slot_count);
    if (!cluster_service_step_if(m->service, may_claim, &a, &event)) {
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
    pthread_mutex_lock(&m->lock);
    v->attached = false; /* it may be freed from here on */
    pthread_mutex_unlock(&m->lock);
    return reply_ok(c);
}

static enum err finish(struct moves *m, struct call *c)
{
    struct move *v = of_session(c);
    int64_t epoch;
    enum err e = OK;

    if (v == NULL || !atomic_load(&v->live))
        return reply_error(c, "ERR no migration on this connection");
    if (c->argc < 4 || c->argc % 2 != 0)
        return reply_arity(c);
    move_step_delay(v);
    if (!num_parse_i64(c->argv[3], &epoch) || epoch < 0)
        e = ERR_NOT_INTEGER;
    else if (atomic_load(&v->flushed))
        e = reply_error(c, "ERR the database was emptied here meanwhile");
    if (e == OK && arrive_land(v) != OK)
        e = spoiled(c, v);
    if (e == OK)
        e = compare(c, v);
    if (e == OK)
        e = settle(m, c);
    if (e == OK)
        e = claim(m, c, v, (uint64_t)epoch);
    else
        atomic_store(&v->live, false); /* the source is told so: it will not come back to it */
    if (e == OK)
        move_step_delay(v);
    return e;
}

struct question {
    struct moves *m;
    const struct move *asked; /* not in the list */
    const char *answer;
};

static void answer(void *context, struct cluster *core)
{
    struct question *q = context;
    const struct move *asked = q->asked;
    const struct handover h = move_handover(asked);
    bool claimed = handover_claimed(core, &h);

    if (strcmp(asked->target, cluster_my_id(core)) != 0) {
        q->answer = NULL;
        return;
    }
    q->answer = claimed ? "CLAIMED" : "ABORTED";
    if (claimed)
        return;
    pthread_mutex_lock(&q->m->lock);
    for (struct move *v = q->m->list; v != NULL; v = v->next)
        if (v->import && strcmp(v->name, asked->name) == 0)
            atomic_store(&v->live, false);
    pthread_mutex_unlock(&q->m->lock);
}

static enum err query(struct moves *m, struct call *c)
{
    struct question q = {.m = m};
    struct move *v = NULL;

    if (c->argc < 7)
        return reply_arity(c);
    if (!is_id(c->argv[3]) || !is_id(c->argv[4]))
        return reply_error(c, "ERR a name is not 40 hex digits");
    TRY(move_new(m, c, c->argv + 5, c->argc - 5, true, &v));
    copy_id(v->name, c->argv[3]);
    copy_id(v->target, c->argv[4]);
    q.asked = v;
    cluster_service_read(m->service, answer, &q);
    move_free(v);
    return q.answer != NULL ? reply_status(c, q.answer) : reply_error(c, "ERR I am another node");
}

enum err arrive_sync(struct moves *m, struct call *c)
{
    if (c->argc < 3)
        return reply_arity(c);
    if (slice_is(c->argv[2], "establish"))
        return establish(m, c);
    if (slice_is(c->argv[2], "barrier"))
        return barrier(m, c);
    if (slice_is(c->argv[2], "rows"))
        return rows(c);
    if (slice_is(c->argv[2], "finish"))
        return finish(m, c);
    if (slice_is(c->argv[2], "query"))
        return query(m, c);
    return reply_syntax(c);
}
