/*
 * depart_end.c - the end of a job on the source: writes to the slots wait until it is known who owns them.
 *
 *   mark --the log's end, FINISH--> claimed ------------------> confirm: the own map shows it --> unmark (MOVED)
 *                    |-- -ERR ----> not claimed --------------------------------------------> unmark (served here)
 *                    '-- nothing -> find_out: QUERY, the map, or after three node timeouts take_back
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"
#include "persistence/wal.h"
#include "server/conf/config.h"
#include "server/drive/cluster_service.h"
#include "server/drive/depart_priv.h"
#include "server/net/clients.h"
#include "server/net/remote.h"
#include "server/node_priv.h"

enum {
    FINISH_MS = 10000,
    RETRY_MS = 200,
    UNHEARD_TIMEOUTS = 3, /* x node timeout: for the news of a claim */
};

/* Behind this nobody changes the slots: who holds one of them now began before the mark, and is waited for. */
static void mark(struct depart *d)
{
    const struct txn_options options = {.now_ms = node_now(d->node), .may_wait = true, .keep_expired = true};
    struct move *v = d->v;

    for (size_t i = 0; i < v->slot_count; i++)
        set_still(node_set(d->node), v->slots[i], true);
    busy_mark_slots(&d->node->busy, v->slots, v->slot_count);
    d->marked = true;
    for (size_t i = 0; i < v->slot_count; i++) {
        lsn_t end;

        check(txn_begin(d->x.txn, &v->slots[i], 1, &options) == OK);
        (void)!txn_commit(d->x.txn, &end); /* nothing was changed */
        txn_end(d->x.txn);
    }
}

static void unmark(struct depart *d)
{
    struct move *v = d->v;

    if (!d->marked)
        return;
    d->marked = false;
    for (size_t i = 0; i < v->slot_count; i++)
        set_still(node_set(d->node), v->slots[i], false);
    if (busy_release_slots(&d->node->busy, v->slots, v->slot_count)) {
        struct session s;

        session_init(&s, d->node, NULL);
        clients_retry_held(d->node->clients);
        execute_serve_all(&d->x, &s);
        session_fini(&s);
    }
}

struct question {
    struct handover job;
    struct handover_owners owners;
    bool may_finish;
    msec_t *since; /* NULL: only the owners are asked for */
    enum handover_verdict verdict;
};

static void read_owners(void *context, struct cluster *core)
{
    struct question *q = context;

    q->owners = handover_owners(core, &q->job);
    q->may_finish = handover_may_finish(core, &q->job);
    if (q->since != NULL)
        q->verdict = handover_judge(core, &q->job, q->since);
}

static struct handover_owners owners(struct depart *d)
{
    struct question q = {.job = move_handover(d->v)};

    cluster_service_read(d->m->service, read_owners, &q);
    return q.owners;
}

static enum err finish(struct depart *d)
{
    struct question q = {.job = move_handover(d->v)};
    struct request r = request_begin("FINISH");

    cluster_service_read(d->m->service, read_owners, &q);
    if (!q.may_finish || cluster_service_writes_held(d->m->service)) {
        buf_free(&r.words);
        return err_set(ERR_INVALID, "this node is losing the slots otherwise");
    }
    request_add_number(&r, q.owners.epoch);
    for (size_t i = 0; i < d->v->slot_count; i++) {
        uint64_t keys = set_slot_keys(node_set(d->node), 0, d->v->slots[i]);

        if (keys == 0)
            continue;
        request_add_number(&r, d->v->slots[i]);
        request_add_number(&r, keys);
    }
    request_end(&r, &d->out);
    if (!move_offer(d->v))
        return err_set(ERR_CLOSED, "cancelled");
    d->finish_sent = true;
    return depart_ask(d, d->to, &d->out, FINISH_MS, NULL);
}

/* Asks on a connection of its own; the answer "ABORTED" also forbids a claim from then on. */
static enum handover_verdict query(struct depart *d)
{
    enum handover_verdict verdict = HANDOVER_UNKNOWN;
    struct request r = request_begin("QUERY");
    struct remote *to = NULL;
    char answer[128] = "";
    struct buf out = {0};

    request_add(&r, slice_str(d->v->name));
    request_add(&r, slice_str(d->v->target));
    request_add_slots(&r, d->v);
    request_end(&r, &out);
    if (depart_dial(d, 1000, &to) == OK) {
        enum err e = depart_ask(d, to, &out, 2000, answer);

        if (e == OK && strncmp(answer, "+CLAIMED", 8) == 0)
            verdict = HANDOVER_CLAIMED;
        else if (e == OK && strncmp(answer, "+ABORTED", 8) == 0)
            verdict = HANDOVER_NOT_CLAIMED;
        remote_give(d->node->remotes, to, false);
    }
    buf_free(&out);
    return verdict;
}

static bool may_take_back(void *context, struct cluster *core)
{
    const struct handover h = move_handover(context);

    return handover_may_take_back(core, &h);
}

/* The target stays away: with a greater epoch than its claim can have, if it made one, the slots are this node's. */
static bool take_back(struct depart *d, uint64_t above, msec_t *asked_ms)
{
    const struct cluster_event event = {.type = CLUSTER_EVENT_CLAIM, .slots = d->v->slots, .slot_count = d->v->slot_count,
                                        .epoch_above = above};

    if (!move_reserved(d->m, above, asked_ms))
        return false;
    if (!cluster_service_step_if(d->m->service, may_take_back, d->v, &event))
        return false;
    log_event(LOG_WARNING, "slot_migration_taken_back name=%s: the target does not answer, and nobody has heard of its claim",
              d->v->name);
    return true;
}

/* FINISH has left and was not answered by a claim. */
static enum handover_verdict find_out(struct depart *d)
{
    msec_t since = 0, asked = 0;
    uint64_t above = 0;

    for (;;) {
        struct question q = {.job = move_handover(d->v), .since = &since};
        enum handover_verdict verdict;

        cluster_service_read(d->m->service, read_owners, &q);
        if (q.verdict == HANDOVER_CLAIMED || q.verdict == HANDOVER_NOT_CLAIMED)
            return q.verdict;
        if (moves_stopping(d->m) || node_is_replica(d->node))
            return HANDOVER_UNKNOWN;
        if ((verdict = query(d)) != HANDOVER_UNKNOWN)
            return verdict;
        if (q.verdict == HANDOVER_TAKE_BACK && above == 0)
            above = handover_above(&q.owners);
        if (q.verdict == HANDOVER_TAKE_BACK && take_back(d, above, &asked))
            return HANDOVER_NOT_CLAIMED;
        clock_nap_ms(RETRY_MS);
    }
}

/* The target owns the slots: durable there, and soon known here. False: it is not, for longer than the news can take. */
static bool confirm(struct depart *d)
{
    msec_t begun = node_now(d->node), limit = UNHEARD_TIMEOUTS * config_int(node_config(d->node), "cluster-node-timeout");

    move_set_state(d->v, MOVE_CONFIRMING, NULL);
    while (owners(d).mine > 0 && !moves_stopping(d->m) && !node_is_replica(d->node)) {
        if (node_now(d->node) - begun > limit)
            return false;
        clock_nap_ms(1);
    }
    return true;
}

/* Known to the core, durably: if the slots are claimed from now on, what is here are copies. */
static void offer(struct depart *d, enum cluster_event_type type)
{
    const struct cluster_event event = {.type = type, .slots = d->v->slots, .slot_count = d->v->slot_count};

    cluster_service_step(d->m->service, &event, NULL, NULL);
}

enum err depart_hand_over(struct depart *d)
{
    enum handover_verdict verdict = HANDOVER_CLAIMED;
    int64_t from;
    enum err e;

    offer(d, CLUSTER_EVENT_DEPARTING); /* before the pause: it syncs */
    from = clock_us(CLOCK_MONOTONIC);
    mark(d);
    e = depart_send_log(d, wal_tail(node_wal(d->node)));
    if (e == OK)
        e = finish(d);
    if (e != OK) {
        char why[MOVE_MESSAGE_MAX];

        snprintf(why, sizeof why, "%s", err_text());
        verdict = d->finish_sent && e != ERR_PROTOCOL ? find_out(d) : HANDOVER_NOT_CLAIMED;
        if (verdict != HANDOVER_CLAIMED)
            (void)err_set(e, "%s", why);
    }
    while (verdict == HANDOVER_CLAIMED && !confirm(d))
        if ((verdict = find_out(d)) == HANDOVER_NOT_CLAIMED)
            e = err_set(ERR_INVALID, "the target lost the slots after it had claimed them");
    if (verdict == HANDOVER_NOT_CLAIMED)
        offer(d, CLUSTER_EVENT_STAYING);
    if (verdict == HANDOVER_UNKNOWN && moves_stopping(d->m)) {
        d->v->left_marked = true; /* no write to the slots before the end of the process */
        d->marked = false;
    }
    unmark(d);
    atomic_store(&d->v->pause_us, (uint64_t)(clock_us(CLOCK_MONOTONIC) - from));
    return verdict == HANDOVER_CLAIMED ? OK : e;
}
