/*
 * depart_end.c - the end of a job on the source: writes to the slots wait until it is known who owns them.
 *
 *   mark --the log's end, FINISH--> claimed ------------------> confirm: the own map shows it --> unmark (MOVED)
 *                    |-- -ERR ----> not claimed --------------------------------------------> unmark (served here)
 *                    '-- nothing -> find_out: QUERY, the map, or after three node timeouts take_back
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "cluster/report.h"
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
    EPOCH_AHEAD = 8,      /* above what a claim that was not heard of may have */
    UNHEARD_TIMEOUTS = 3, /* x node timeout: a target that does not answer is given up */
};

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

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

struct ownership {
    const struct move *v;
    uint64_t epoch, current; /* of this node, of the cluster */
    size_t mine, targets, others;
};

static void read_owners(void *context, struct cluster *core)
{
    struct ownership *o = context;

    struct report_counts counts;

    report_counts(core, &counts);
    o->current = counts.current_epoch;
    o->mine = o->targets = o->others = 0;
    for (size_t i = 0; i < o->v->slot_count; i++) {
        uint64_t epoch;
        const char *owner = cluster_slot_owner(core, o->v->slots[i], &epoch);

        if (owner == NULL || (strcmp(owner, cluster_my_id(core)) != 0 && strcmp(owner, o->v->target) != 0)) {
            o->others++;
        } else if (strcmp(owner, o->v->target) == 0) {
            o->targets++;
        } else {
            o->mine++;
            o->epoch = epoch;
        }
    }
}

static struct ownership owners(struct depart *d)
{
    struct ownership o = {.v = d->v};

    cluster_service_read(d->m->service, read_owners, &o);
    return o;
}

static enum err finish(struct depart *d)
{
    struct ownership o = owners(d);
    struct request r = request_begin("FINISH");

    if (o.mine != d->v->slot_count || cluster_service_writes_held(d->m->service)) {
        buf_free(&r.words);
        return err_set(ERR_INVALID, "this node is losing the slots otherwise");
    }
    request_add_number(&r, o.epoch);
    for (size_t i = 0; i < d->v->slot_count; i++) {
        uint64_t keys = set_slot_keys(node_set(d->node), 0, d->v->slots[i]);

        if (keys == 0)
            continue;
        request_add_number(&r, d->v->slots[i]);
        request_add_number(&r, keys);
    }
    request_end(&r, &d->out);
    d->finish_sent = true;
    return depart_ask(d, d->to, &d->out, FINISH_MS, NULL);
}

enum verdict { CLAIMED, NOT_CLAIMED, UNKNOWN };

/* Asks on a connection of its own; the answer "ABORTED" also forbids a claim from then on. */
static enum verdict query(struct depart *d)
{
    enum verdict verdict = UNKNOWN;
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
            verdict = CLAIMED;
        else if (e == OK && strncmp(answer, "+ABORTED", 8) == 0)
            verdict = NOT_CLAIMED;
        remote_give(d->node->remotes, to, false);
    }
    buf_free(&out);
    return verdict;
}

static bool owns_all(void *context, struct cluster *core)
{
    struct ownership o = {.v = context};

    read_owners(&o, core);
    return o.mine == o.v->slot_count;
}

/* The target stays away: with a greater epoch than its claim can have, if it made one, the slots are this node's. */
static void take_back(struct depart *d, const struct ownership *o)
{
    const struct cluster_event event = {.type = CLUSTER_EVENT_CLAIM, .slots = d->v->slots, .slot_count = d->v->slot_count,
                                        .epoch_above = o->current + EPOCH_AHEAD};

    log_event(LOG_WARNING, "slot_migration_taken_back name=%s: the target does not answer, and nobody has heard of its claim",
              d->v->name);
    (void)cluster_service_step_if(d->m->service, owns_all, d->v, &event);
}

/* FINISH has left and was not answered by a claim. */
static enum verdict find_out(struct depart *d)
{
    msec_t begun = node_now(d->node);

    for (;;) {
        struct ownership o = owners(d);
        enum verdict verdict;

        if (o.mine < d->v->slot_count)
            return o.targets > 0 ? CLAIMED : NOT_CLAIMED; /* or somebody else's, who was elected */
        if (moves_stopping(d->m) || node_is_replica(d->node))
            return UNKNOWN;
        if ((verdict = query(d)) != UNKNOWN)
            return verdict;
        if (node_now(d->node) - begun > UNHEARD_TIMEOUTS * config_int(node_config(d->node), "cluster-node-timeout")) {
            take_back(d, &o);
            return NOT_CLAIMED;
        }
        clock_nap_ms(RETRY_MS);
    }
}

/* The target owns the slots: durable there, and soon known here. */
static void confirm(struct depart *d)
{
    move_set_state(d->v, MOVE_CONFIRMING, NULL);
    while (owners(d).mine > 0 && !moves_stopping(d->m) && !node_is_replica(d->node))
        clock_nap_ms(1);
}

enum err depart_hand_over(struct depart *d)
{
    enum verdict verdict = CLAIMED;
    uint64_t from = now_us();
    enum err e;

    mark(d);
    e = depart_send_log(d, wal_tail(node_wal(d->node)));
    if (e == OK)
        e = finish(d);
    if (e != OK) {
        char why[MOVE_MESSAGE_MAX];

        snprintf(why, sizeof why, "%s", err_text());
        verdict = d->finish_sent && e != ERR_PROTOCOL ? find_out(d) : NOT_CLAIMED;
        if (verdict != CLAIMED)
            (void)err_set(e, "%s", why);
    }
    if (verdict == CLAIMED)
        confirm(d);
    if (verdict == UNKNOWN && moves_stopping(d->m)) {
        d->v->left_marked = true; /* no write to the slots before the end of the process */
        d->marked = false;
    }
    unmark(d);
    atomic_store(&d->v->pause_us, now_us() - from);
    return verdict == CLAIMED ? OK : e;
}
