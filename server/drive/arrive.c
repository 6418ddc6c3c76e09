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
    WORD_BYTES = 6, /* around a short word of a command */
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

void arrive_tick(struct moves *m, msec_t now_ms)
{
    arrive_end_claimed(m);
    for (;;) {
        struct move *dead = NULL;

        pthread_mutex_lock(&m->lock);
        for (struct move *v = m->list; v != NULL; v = v->next) {
            if (!v->import || move_ended(v->state))
                continue;
            if (node_is_replica(m->node) || now_ms - atomic_load(&v->acked_ms) > SILENT_MS)
                atomic_store(&v->live, false);
            if (!atomic_load(&v->live) && v->state == MOVE_RECEIVING && !v->claiming) {
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
    struct admission a = {.v = v, .service = m->service};
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

/* What came cannot be kept: the job ends, and the source is told why. */
static enum err spoiled(struct call *c, struct move *v)
{
    atomic_store(&v->live, false);
    return reply_error(c, "ERR %s", err_text());
}

static enum err barrier(struct moves *m, struct call *c)
{
    struct move *v = of_session(c);
    msec_t asked = 0;

    if (v == NULL || !atomic_load(&v->live))
        return reply_error(c, "ERR no migration on this connection");
    if (arrive_land(v) != OK)
        return spoiled(c, v);
    TRY(arrive_settle(m, c));
    (void)move_reserved(m, 0, &asked); /* so that FINISH need not wait for it */
    return reply_ok(c);
}

static enum err finish(struct moves *m, struct call *c)
{
    struct move *v = of_session(c);

    if (v == NULL || !atomic_load(&v->live))
        return reply_error(c, "ERR no migration on this connection");
    return arrive_finish(m, c, v);
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
