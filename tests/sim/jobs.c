/*
 * jobs.c - both halves of a job, its messages, its end.
 *
 * (1) A connection delivers in order; what was sent before its sender crashed may still come. A cut holds messages back, as TCP does.
 * (2) A half lives no longer than its process.
 */
#include "jobs.h"

#include "base/check.h"
#include "cluster/cluster_priv.h"
#include "cluster/node.h"
#include "jobs_fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MS = 3000, PATIENCE_MIN_MS = 200, PATIENCE_MAX_MS = 1500, QUERY_MS = 200, SETTLE_MS = 1000, BEGIN_ONE_IN = 8, HOLD_MS = 500 };

void jobs_init(struct jobs *j, struct stock *stock, uint64_t seed, msec_t node_timeout_ms, unsigned planted_bugs)
{
    memset(j, 0, sizeof *j);
    j->stock = stock;
    j->checker = stock->checker;
    j->node_timeout_ms = node_timeout_ms;
    j->planted_bugs = planted_bugs;
    rng_seed(&j->rng, seed);
}

static void packet_free(struct packet *p)
{
    free(p->data);
    *p = (struct packet){0};
}

void jobs_fini(struct jobs *j)
{
    for (unsigned i = 0; i < PACKETS_MAX; i++)
        packet_free(&j->packets[i]);
}

static struct sim_node *node_at(const struct jobs *j, unsigned i)
{
    return world_node(j->checker->world, i);
}

static msec_t now_of(const struct jobs *j)
{
    return world_now(j->checker->world);
}

static struct handover handover_of(const struct job *v)
{
    return (struct handover){.source = v->source, .target = v->target, .slots = v->slots, .slot_count = v->count};
}

static bool source_runs(const struct jobs *j, const struct job *v)
{
    return v->departs && node_at(j, v->from)->core != NULL && node_at(j, v->from)->life == v->from_life;
}

static bool target_runs(const struct jobs *j, const struct job *v)
{
    return v->arrives && node_at(j, v->to)->core != NULL && node_at(j, v->to)->life == v->to_life;
}

static void tell(const struct jobs *j, const struct job *v, const char *what)
{
    if (j->verbose)
        printf("%8lld job %u (slot %u and %u more, from node %u to node %u): %s\n", (long long)now_of(j), v->id, v->slots[0], v->count - 1,
               v->from, v->to, what);
}

/* ---- Messages ---- */

/* Or the answer to one: on a connection of its own. */
static bool is_question(enum packet_type type)
{
    return type == PACKET_QUERY || type == PACKET_CLAIMED || type == PACKET_ABORTED;
}

static struct packet *send_packet(struct jobs *j, struct job *v, enum packet_type type, bool to_target)
{
    bool asks = is_question(type);
    msec_t time = now_of(j) + network_delay(world_network(j->checker->world)) + (msec_t)rng_below(&j->rng, v->pace_ms + 1);
    unsigned i = 0;

    if (!asks && v->broken)
        return NULL;
    while (i < PACKETS_MAX && j->packets[i].used)
        i++;
    if (i == PACKETS_MAX)
        return NULL;
    if (!asks) { /* on the job's connection: in order */
        time = time < v->last[to_target] ? v->last[to_target] : time;
        v->last[to_target] = time;
    }
    j->packets[i] = (struct packet){.used = true, .type = type, .job = (unsigned)(v - j->list), .id = v->id, .asked = v->asked,
                                    .to_target = to_target, .time = time, .order = ++j->order};
    return &j->packets[i];
}

static struct stock_slot *contents(const struct jobs *j, const struct job *v)
{
    struct stock_slot *data = calloc(v->count, sizeof *data);

    check(data != NULL);
    for (unsigned i = 0; i < v->count; i++)
        data[i] = j->stock->nodes[v->from].slots[v->at[i]];
    return data;
}

static void send_contents(struct jobs *j, struct job *v, enum packet_type type)
{
    struct packet *p = send_packet(j, v, type, true);
    struct handover h = handover_of(v);

    if (p == NULL)
        return;
    p->data = contents(j, v);
    p->epoch = handover_owners(node_at(j, v->from)->core, &h).epoch;
}

/* ---- The source ---- */

static void freeze(struct jobs *j, const struct job *v, bool frozen)
{
    for (unsigned i = 0; i < v->count; i++)
        j->stock->nodes[v->from].frozen[v->at[i]] = frozen;
}

static void depart_end(struct jobs *j, struct job *v, bool moved)
{
    tell(j, v, moved ? "moved" : "given up by the source");
    if (!moved && !world_event(j->checker->world, v->from, &(struct cluster_event){
                                   .type = CLUSTER_EVENT_STAYING, .slots = v->slots, .slot_count = v->count}))
        return; /* it crashed, and the job with it */
    freeze(j, v, false);
    v->departs = false;
    v->step = JOB_ENDED;
    if (moved)
        j->claimed++;
    else
        j->failed++;
}

static void hand_over(struct jobs *j, struct job *v)
{
    const struct handover h = handover_of(v);

    if (!handover_may_finish(node_at(j, v->from)->core, &h) || stock_holds_writes(j->stock, v->from)) {
        depart_end(j, v, false);
        return;
    }
    if (!world_event(j->checker->world, v->from, &(struct cluster_event){
                         .type = CLUSTER_EVENT_DEPARTING, .slots = v->slots, .slot_count = v->count}))
        return;
    tell(j, v, "writes wait, FINISH leaves");
    freeze(j, v, true);
    send_contents(j, v, PACKET_DATA);
    send_contents(j, v, PACKET_FINISH);
    v->step = JOB_FINISH;
    v->since = now_of(j);
    for (unsigned i = 0; i < v->count && (j->planted_bugs & CLUSTER_BUG_DROP_EARLY) != 0; i++)
        stock_lost(j->stock, node_at(j, v->from), v->slots[i]);
}

/* If not, it is asked for. */
static bool reserved(struct jobs *j, unsigned node, uint64_t above)
{
    if (node_at(j, node)->core != NULL && handover_reserved(node_at(j, node)->core, above))
        return true;
    world_event(j->checker->world, node, &(struct cluster_event){.type = CLUSTER_EVENT_RESERVE, .epoch_above = above});
    return false;
}

static void find_out(struct jobs *j, struct job *v)
{
    const struct handover h = handover_of(v);
    const struct cluster *core = node_at(j, v->from)->core;
    const struct handover_owners o = handover_owners(core, &h);
    enum handover_verdict verdict = handover_judge(core, &h, &v->heard_since);

    if ((j->planted_bugs & CLUSTER_BUG_WRITES_GO_ON) != 0)
        freeze(j, v, false);
    if (verdict == HANDOVER_CLAIMED || verdict == HANDOVER_NOT_CLAIMED) {
        depart_end(j, v, verdict == HANDOVER_CLAIMED);
    } else if (verdict == HANDOVER_TAKE_BACK && handover_may_take_back(core, &h)) {
        if (v->above == 0)
            v->above = handover_above(&o);
        if (!reserved(j, v->from, v->above))
            return;
        j->taken_back++;
        tell(j, v, "taken back");
        if (world_event(j->checker->world, v->from, &(struct cluster_event){.type = CLUSTER_EVENT_CLAIM, .slots = v->slots,
                                                                            .slot_count = v->count, .epoch_above = v->above}))
            depart_end(j, v, false);
    } else if (now_of(j) >= v->next_query) {
        v->next_query = now_of(j) + QUERY_MS;
        v->asked++;
        (void)send_packet(j, v, PACKET_QUERY, true);
    }
}

static void depart_turn(struct jobs *j, struct job *v)
{
    const struct handover h = handover_of(v);
    bool silent = now_of(j) - v->since > (v->step == JOB_FINISH || v->step == JOB_CLAIMED ? v->patience_ms : ANSWER_MS);

    if (!source_runs(j, v)) {
        v->departs = false;
        return;
    }
    if (!node_is_master(node_at(j, v->from)->core->myself)) {
        depart_end(j, v, false);
        return;
    }
    switch (v->step) {
    case JOB_ESTABLISH:
    case JOB_VIEW:
    case JOB_LOG:
        if (v->broken || silent)
            depart_end(j, v, false);
        break;
    case JOB_FINISH:
    case JOB_CLAIMED:
        if (v->broken || silent)
            v->step = JOB_FIND_OUT;
        break;
    case JOB_FIND_OUT:
        find_out(j, v);
        break;
    case JOB_CONFIRM:
        if (handover_owners(node_at(j, v->from)->core, &h).mine == 0)
            depart_end(j, v, true);
        else if (now_of(j) - v->since > 3 * j->node_timeout_ms)
            v->step = JOB_FIND_OUT;
        break;
    case JOB_ENDED:
    case JOB_STEPS:
        break;
    }
}

static void confirm(const struct jobs *j, struct job *v)
{
    v->step = JOB_CONFIRM;
    v->since = now_of(j);
}

/* An answer on the job's connection, or to a question. */
static void depart_hears(struct jobs *j, struct job *v, const struct packet *p)
{
    bool no = p->type == PACKET_NO;

    if (p->type == PACKET_CLAIMED || p->type == PACKET_ABORTED) {
        if (v->step == JOB_FIND_OUT && p->asked == v->asked && p->type == PACKET_CLAIMED)
            confirm(j, v);
        else if (v->step == JOB_FIND_OUT && p->asked == v->asked)
            depart_end(j, v, false);
        return;
    }
    if (v->step == JOB_FINISH || v->step == JOB_CLAIMED) {
        if (no)
            depart_end(j, v, false);
        else
            confirm(j, v);
        return;
    }
    if (no) {
        if (v->step < JOB_FINISH)
            depart_end(j, v, false);
        return;
    }
    v->since = now_of(j);
    if (v->step == JOB_ESTABLISH || v->step == JOB_VIEW || (v->step == JOB_LOG && v->rounds < 4)) {
        send_contents(j, v, PACKET_DATA);
        v->step = v->rounds < 1 ? JOB_VIEW : JOB_LOG;
        v->rounds++;
    } else if (v->step == JOB_LOG) {
        hand_over(j, v);
    }
}

/* ---- The target ---- */

static void mark_arriving(struct jobs *j, const struct job *v, bool arriving)
{
    for (unsigned i = 0; i < v->count; i++)
        j->stock->nodes[v->to].arriving[v->at[i]] = arriving;
}

static void answer(struct jobs *j, struct job *v, bool yes)
{
    (void)send_packet(j, v, yes ? PACKET_YES : PACKET_NO, false);
}

static void give_up(struct jobs *j, struct job *v)
{
    tell(j, v, "given up by the target");
    v->live = v->finishing = v->arrives = false;
    if (world_event(j->checker->world, v->to,
                    &(struct cluster_event){.type = CLUSTER_EVENT_ABANDONED, .slots = v->slots, .slot_count = v->count}))
        mark_arriving(j, v, false);
}

static void on_establish(struct jobs *j, struct job *v)
{
    const struct handover h = handover_of(v);
    struct sim_node *n = node_at(j, v->to);
    slot_t slot;

    if (stock_holds_writes(j->stock, v->to) || handover_may_arrive(n->core, &h, &slot) != HANDOVER_FINE) {
        answer(j, v, false);
        return;
    }
    v->to_life = n->life;
    if (!world_event(j->checker->world, v->to,
                     &(struct cluster_event){.type = CLUSTER_EVENT_ARRIVING, .slots = v->slots, .slot_count = v->count}))
        return;
    v->arrives = v->live = true;
    mark_arriving(j, v, true);
    answer(j, v, true);
}

static void try_claim(struct jobs *j, struct job *v)
{
    const struct handover h = handover_of(v);

    if (!v->live || stock_holds_writes(j->stock, v->to) || !handover_may_claim(node_at(j, v->to)->core, &h)) {
        answer(j, v, false);
        give_up(j, v);
        return;
    }
    for (unsigned i = 0; i < v->count; i++)
        stock_claimed(j->stock, v->to, v->at[i]);
    tell(j, v, "claimed");
    v->arrives = v->live = false;
    if (v->step == JOB_FINISH)
        v->step = JOB_CLAIMED;
    if (world_event(j->checker->world, v->to, &(struct cluster_event){.type = CLUSTER_EVENT_CLAIM, .slots = v->slots,
                                                                      .slot_count = v->count, .epoch_above = v->finish_epoch}))
        answer(j, v, true);
}

static void finish_turn(struct jobs *j, struct job *v)
{
    bool equal = true;

    for (unsigned i = 0; i < v->count; i++)
        equal &= j->stock->nodes[v->to].slots[v->at[i]].count == v->finish_keys[i];
    if (equal && stock_settled(j->stock, v->to) && handover_is_settled(node_at(j, v->to)->core) && reserved(j, v->to, v->finish_epoch)) {
        try_claim(j, v);
    } else if (!equal || now_of(j) > v->finish_until) {
        answer(j, v, false);
        give_up(j, v);
    }
}

static void arrive_turn(struct jobs *j, struct job *v)
{
    if (!target_runs(j, v)) {
        v->arrives = v->live = v->finishing = false;
        return;
    }
    if (!node_is_master(node_at(j, v->to)->core->myself) || (!v->finishing && (v->broken || !v->live)))
        give_up(j, v);
    else if (v->finishing)
        finish_turn(j, v);
}

static void on_query(struct jobs *j, struct job *v, const struct packet *p)
{
    const struct handover h = handover_of(v);
    bool claimed = handover_claimed(node_at(j, v->to)->core, &h);
    struct packet *out = send_packet(j, v, claimed ? PACKET_CLAIMED : PACKET_ABORTED, false);

    if (out != NULL)
        out->asked = p->asked;
    if (!claimed && target_runs(j, v) && (j->planted_bugs & CLUSTER_BUG_QUERY_DOES_NOT_BIND) == 0)
        v->live = false;
}

static void arrive_hears(struct jobs *j, struct job *v, const struct packet *p)
{
    if (p->type == PACKET_QUERY) {
        on_query(j, v, p);
        return;
    }
    if (p->type == PACKET_ESTABLISH) {
        on_establish(j, v);
        return;
    }
    if (node_at(j, v->to)->life != v->to_life) {
        v->broken = true;
        return;
    }
    if (!target_runs(j, v) || !v->live) {
        answer(j, v, false);
        return;
    }
    if (p->type == PACKET_DATA) {
        for (unsigned i = 0; i < v->count; i++)
            stock_set(j->stock, v->to, v->at[i], &p->data[i]);
        if (v->step != JOB_FINISH) /* the log's end has no answer of its own */
            answer(j, v, true);
        return;
    }
    v->finishing = true;
    v->finish_until = now_of(j) + SETTLE_MS;
    v->finish_epoch = p->epoch;
    for (unsigned i = 0; i < v->count; i++)
        v->finish_keys[i] = p->data[i].count;
}

/* ---- Turns ---- */

static bool deliver_one(struct jobs *j)
{
    const struct network *net = world_network(j->checker->world);
    struct packet *first = NULL;
    struct packet p;
    struct job *v;

    for (unsigned i = 0; i < PACKETS_MAX; i++) {
        struct packet *q = &j->packets[i];

        if (!q->used || q->time > now_of(j))
            continue;
        v = &j->list[q->job];
        if (v->id == q->id && (network_cut(net, v->from, v->to) || network_cut(net, v->to, v->from))) {
            /* Tried again later: those of the connection all at one time, in order. */
            q->time = is_question(q->type) ? now_of(j) + 1 + (msec_t)rng_below(&j->rng, HOLD_MS) : (now_of(j) / HOLD_MS + 1) * HOLD_MS;
            continue;
        }
        if (first == NULL || q->order < first->order)
            first = q;
    }
    if (first == NULL)
        return false;
    p = *first;
    first->data = NULL;
    packet_free(first);
    v = &j->list[p.job];
    if (v->used && v->id == p.id && p.to_target && node_at(j, v->to)->core != NULL)
        arrive_hears(j, v, &p);
    else if (v->used && v->id == p.id && !p.to_target && source_runs(j, v))
        depart_hears(j, v, &p);
    free(p.data);
    return true;
}

static bool has_packets(const struct jobs *j, const struct job *v)
{
    for (unsigned i = 0; i < PACKETS_MAX; i++)
        if (j->packets[i].used && &j->list[j->packets[i].job] == v && j->packets[i].id == v->id)
            return true;
    return false;
}

/* One side has gone: the other hears of it, behind what is still on its way or in front of it. */
static void break_turn(struct jobs *j, struct job *v)
{
    bool gone = !source_runs(j, v) || (v->step > JOB_ESTABLISH && v->step < JOB_CLAIMED && !target_runs(j, v));

    if (!v->broken && gone && (!has_packets(j, v) || rng_below(&j->rng, 20) == 0))
        v->broken = true;
    if (v->broken && v->finishing && rng_below(&j->rng, 10) == 0)
        v->live = false; /* heard while FINISH is worked on */
}

static void begin(struct jobs *j, struct job *v)
{
    struct stock *k = j->stock;
    unsigned from = (unsigned)rng_below(&j->rng, world_node_count(j->checker->world)), first = (unsigned)rng_below(&j->rng, STOCK_SLOTS);
    const struct cluster *core = node_at(j, from)->core;
    const struct node *target;

    if (core == NULL || !node_is_master(core->myself) || core->owner[k->slots[first]] != core->myself)
        return;
    target = core->nodes[rng_below(&j->rng, core->node_count)];
    if (!node_is_master(target) || target == core->myself)
        return;
    *v = (struct job){.id = ++j->next_id, .from = from, .from_life = node_at(j, from)->life, .departs = true, .since = now_of(j)};
    while (strcmp(node_at(j, v->to)->id, target->id) != 0)
        v->to++;
    for (unsigned at = first; at < STOCK_SLOTS && at < first + 5; at++) {
        if (core->owner[k->slots[at]] != core->myself || k->nodes[from].frozen[at] || cluster_slot_is_open(core, k->slots[at]))
            continue;
        for (unsigned i = 0; i < JOBS_MAX; i++)
            for (unsigned n = 0; n < j->list[i].count; n++)
                if (&j->list[i] != v && j->list[i].used && j->list[i].at[n] == at)
                    return;
        v->at[v->count] = at;
        v->slots[v->count++] = k->slots[at];
    }
    if (v->count == 0)
        return;
    v->pace_ms = rng_below(&j->rng, 2) == 0 ? 0 : (unsigned)rng_below(&j->rng, 1200);
    v->patience_ms = PATIENCE_MIN_MS + (unsigned)rng_below(&j->rng, PATIENCE_MAX_MS);
    snprintf(v->source, sizeof v->source, "%s", core->myself->id);
    snprintf(v->target, sizeof v->target, "%s", target->id);
    jobs_draw_fault(j, v);
    v->used = true;
    tell(j, v, "begins");
    j->begun++;
    (void)send_packet(j, v, PACKET_ESTABLISH, true);
}

void jobs_turn(struct jobs *j)
{
    while (!j->checker->failed && deliver_one(j))
        ;
    for (unsigned i = 0; i < JOBS_MAX && !j->checker->failed; i++) {
        struct job *v = &j->list[i];

        if (!v->used) {
            if (!j->calm && rng_below(&j->rng, BEGIN_ONE_IN) == 0)
                begin(j, v);
            continue;
        }
        jobs_strike(j, v);
        break_turn(j, v);
        depart_turn(j, v);
        arrive_turn(j, v);
        if (!v->departs && !v->arrives && !has_packets(j, v) && v->broken)
            v->used = false;
    }
}

bool jobs_idle(const struct jobs *j)
{
    for (unsigned i = 0; i < JOBS_MAX; i++)
        if (j->list[i].used)
            return false;
    return true;
}
