/*
 * cluster.c - the step: one event in, its consequences, then what the end of a step owes.
 *
 * (1) The end of a step says, in this order: PERSIST, PROMOTE, PING/PONG that were asked for, PERSIST, MAP, REPLICATE,
 *     STATE, SLOT_LOST, the end of a pause. So a map is published only when what it shows is durable, a new master's
 *     history is its own before writes are let in, a node that becomes a replica takes no more writes when its data
 *     is replaced, and keys are dropped, and held writes go on, only when nobody is routed here for them.
 * (2) Time never falls inside the core.
 */
#include "cluster/cluster.h"

#include "cluster/action.h"
#include "cluster/arrival.h"
#include "cluster/ballot.h"
#include "cluster/claim.h"
#include "cluster/command.h"
#include "cluster/cron.h"
#include "cluster/election.h"
#include "cluster/epoch.h"
#include "cluster/inherit.h"
#include "cluster/link.h"
#include "cluster/manual.h"
#include "cluster/message.h"
#include "cluster/node.h"
#include "cluster/nodes_conf.h"
#include "cluster/receive.h"
#include "cluster/slots.h"
#include "cluster/state.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Marks ---- */

void cluster_changed_durable(struct cluster *c)
{
    c->persist_sync = true;
}

void cluster_changed(struct cluster *c)
{
    c->persist_lazy = true;
}

void cluster_changed_claim(struct cluster *c)
{
    c->persist_lazy = c->persist_owed = c->pong_soon = true;
}

void cluster_map_changed(struct cluster *c)
{
    c->map_due = true;
}

uint64_t cluster_slot_keys(const struct cluster *c, slot_t slot)
{
    return c->keys.count != NULL ? c->keys.count(c->keys.context, slot) : 0;
}

bool cluster_has_keys(const struct cluster *c)
{
    for (unsigned s = 0; s < SLOTS && c->keys.count != NULL; s++)
        if (cluster_slot_keys(c, (slot_t)s) > 0)
            return true;
    return false;
}

/* ---- Life ---- */

void cluster_config_default(struct cluster_config *config)
{
    *config = (struct cluster_config){
        .port = 6379,
        .node_timeout_ms = 15000,
        .replica_validity_factor = 10,
        .migration_barrier = 1,
        .allow_replica_migration = true,
        .require_full_coverage = true,
        .allow_pubsubshard_when_down = true,
        .repl_ping_period_ms = 10000,
    };
}

uint16_t cluster_bus_port(const struct cluster_config *config)
{
    uint16_t base = config->tls_cluster ? config->tls_port : config->port;

    return config->bus_port != 0 ? config->bus_port : (uint16_t)(base + CLUSTER_PORT_INCREMENT);
}

static uint16_t announced(uint16_t announce, uint16_t real)
{
    return announce != 0 ? announce : real;
}

/* What the directives say about this node, in its own entry. */
static void apply_config(struct cluster *c, const struct cluster_config *config)
{
    struct node *me = c->myself;
    uint16_t port = announced(config->announce_port, config->port);
    uint16_t tls_port = announced(config->announce_tls_port, config->tls_port);

    c->config = *config;
    if (c->config.node_timeout_ms < 1)
        c->config.node_timeout_ms = 1;
    node_set_address(c, me, config->announce_ip[0] != '\0' ? config->announce_ip : me->ip,
                     config->tls_cluster ? tls_port : port, config->tls_cluster ? port : tls_port,
                     announced(config->announce_bus_port, cluster_bus_port(config)));
    node_set_names(c, me, config->announce_hostname, config->announce_human_nodename);
    node_set_flags(c, me, config->replica_no_failover ? NODE_NOFAILOVER : 0,
                   config->replica_no_failover ? 0 : NODE_NOFAILOVER);
    c->state_due = true;
    cluster_map_changed(c);
}

enum err cluster_new(const struct cluster_options *options, struct cluster **out)
{
    struct cluster *c = calloc(1, sizeof *c);
    enum err e = OK;

    check(c != NULL);
    rng_seed(&c->rng, options->seed);
    c->config = options->config;
    c->keys = options->keys;
    c->replication = options->replication;
    c->planted_bugs = options->planted_bugs;
    if (options->nodes_conf.size > 0) {
        e = nodes_conf_load(c, options->nodes_conf);
        if (e != OK)
            goto fail;
    } else {
        c->myself = node_add(c, NULL, NODE_MYSELF | NODE_MASTER);
        cluster_changed_durable(c);
    }
    apply_config(c, &options->config);
    *out = c;
    return OK;
fail:
    cluster_free(c);
    return e;
}

void cluster_free(struct cluster *c)
{
    if (c == NULL)
        return;
    link_free_all(c);
    for (size_t i = 0; i < c->node_count; i++) {
        free(c->nodes[i]->reports);
        free(c->nodes[i]);
    }
    free(c->nodes);
    free(c->blacklist);
    action_free(c);
    free(c);
}

const char *cluster_my_id(const struct cluster *c)
{
    return c->myself->id;
}

bool cluster_is_ok(const struct cluster *c)
{
    return c->ok;
}

bool cluster_slot_dropping(const struct cluster *c, slot_t slot)
{
    return bit_get(c->dropping, slot);
}

bool cluster_slots_in_between(const struct cluster *c, uint8_t bits[SLOTS / 8])
{
    bool any = false;

    memset(bits, 0, SLOTS / 8);
    if (c->arriving_count + c->dropping_count == 0)
        return false;
    for (unsigned s = 0; s < SLOTS; s++) {
        const struct node *owner = c->owner[s];

        if ((bit_get(c->arriving, s) || bit_get(c->dropping, s)) && owner != c->myself &&
            (owner == NULL || owner != c->myself->master)) {
            bit_set(bits, s);
            any = true;
        }
    }
    return any;
}

bool cluster_slot_claimed(const struct cluster *c, slot_t slot)
{
    return bit_get(c->claimed, slot) && c->owner[slot] == c->myself;
}

bool cluster_slot_arriving(const struct cluster *c, slot_t slot)
{
    return bit_get(c->arriving, slot);
}

const char *cluster_slot_owner(const struct cluster *c, slot_t slot, uint64_t *epoch)
{
    const struct node *n = c->owner[slot];

    if (n == NULL)
        return NULL;
    *epoch = n->config_epoch;
    return n->id;
}

bool cluster_print_open(const struct cluster *c, struct buf *out)
{
    if (node_is_master(c->myself))
        inherit_print_own(c, out);
    return node_is_master(c->myself);
}

bool cluster_slot_is_open(const struct cluster *c, slot_t slot)
{
    return c->migrating[slot] != NULL || c->importing[slot] != NULL;
}

/* ---- Events ---- */

/* What lies in the store against what nodes.conf says (facts 10, start-up data check). */
static void check_data(struct cluster *c)
{
    if (!node_is_master(c->myself) || c->keys.count == NULL)
        return;
    for (unsigned s = 0; s < SLOTS; s++) {
        struct node *owner = c->owner[s];

        if (owner == c->myself || c->importing[s] != NULL || bit_get(c->dropping, s) ||
            cluster_slot_keys(c, (slot_t)s) == 0)
            continue;
        if (owner == NULL) {
            action_log(c, LOG_NOTICE, "I have keys for unassigned slot %u. Taking responsibility for it.", s);
            slots_assign(c, (slot_t)s, c->myself);
        } else {
            action_log(c, LOG_NOTICE, "I have keys for slot %u, but the slot is assigned to another node. "
                                      "Setting it to importing state.", s);
            slots_set_importing(c, (slot_t)s, owner);
        }
        cluster_changed_durable(c);
    }
}

static void start(struct cluster *c)
{
    /* Loaded times meant "now", which is known only now. */
    for (size_t i = 0; i < c->node_count; i++) {
        struct node *n = c->nodes[i];

        n->created = n->answered = c->now;
        n->ping_sent = n->heard_us = 0;
        if (n != c->myself)
            n->data_received = n->pong_received = c->now;
        if (node_is(n, NODE_FAIL))
            n->fail_time = c->now;
    }
    ballot_start(c);
    if (node_is_master(c->myself)) {
        inherit_forget(c);
        arrival_abandon_all(c);
    }
    check_data(c);
    claim_begin(c);
    c->state_due = true;
    cluster_map_changed(c);
    c->repl_heard = c->now;
    c->replicate_due = c->replication && c->myself->master != NULL;
    c->promote_due = c->replication && node_is_master(c->myself);
    action_log(c, LOG_NOTICE, "Node configuration loaded, I'm %.40s", c->myself->id);
}

/* An atomic migration moved the data here: the claim, durable, then known to all (facts 8.4). */
static void claim(struct cluster *c, const slot_t *slots, size_t count, uint64_t epoch_above)
{
    uint64_t basis = epoch_above;

    check(node_is_master(c->myself));
    for (size_t i = 0; i < count; i++) {
        const struct node *source = c->owner[slots[i]];

        check(slots[i] < SLOTS);
        if (source != NULL && source != c->myself && source->config_epoch > basis)
            basis = source->config_epoch;
    }
    for (size_t i = 0; i < count; i++) {
        bool taken_back = c->owner[slots[i]] == c->myself;

        slots_set_importing(c, slots[i], NULL);
        slots_set_departing(c, slots[i], false);
        arrival_claim(c, slots[i]);
        if (!taken_back)
            claim_open(c, slots[i], basis);
    }
    /* The source may have moved on without our knowing; and ours, were it the greatest, may be another's too that is cut off. */
    if (!epoch_take_reserved(c, epoch_above))
        epoch_bump_above(c, epoch_above > c->myself->config_epoch ? epoch_above : c->myself->config_epoch);
    cluster_changed_durable(c);
    c->pong_all = true;
    claim_begin(c);
}

/* What is said about another master than the present one is late: it must not make this node electable. */
static void replication(struct cluster *c, const struct cluster_replication *r)
{
    const struct node *master = c->myself->master;

    if ((r->master == NULL) != node_is_master(c->myself) ||
        (r->master != NULL && (master == NULL || strcmp(master->id, r->master) != 0)))
        return;
    c->repl_offset = r->offset;
    c->repl_whole = r->whole;
    c->repl_link_up = r->link_up;
    c->repl_heard = c->now - r->age_ms;
    manual_on_replication(c, r);
}

static void handle(struct cluster *c, const struct cluster_event *event)
{
    switch (event->type) {
    case CLUSTER_EVENT_START:
        start(c);
        break;
    case CLUSTER_EVENT_TICK:
        cron_tick(c);
        break;
    case CLUSTER_EVENT_LINK_UP:
        link_on_up(c, event->link);
        break;
    case CLUSTER_EVENT_LINK_FAILED:
        link_on_failed(c, event->link);
        break;
    case CLUSTER_EVENT_LINK_ACCEPTED:
        link_on_accepted(c, event->link, event->local_ip, event->peer_ip);
        break;
    case CLUSTER_EVENT_LINK_DOWN:
        link_on_down(c, event->link, event->overflow);
        break;
    case CLUSTER_EVENT_MESSAGE:
        receive(c, event->link, event->bytes);
        break;
    case CLUSTER_EVENT_COMMAND:
        command_run(c, event->command);
        break;
    case CLUSTER_EVENT_PUBLISH:
        message_publish(c, event->channel, event->bytes, event->sharded);
        break;
    case CLUSTER_EVENT_CONFIG:
        apply_config(c, event->config);
        break;
    case CLUSTER_EVENT_REPLICATION:
        replication(c, event->replication);
        break;
    case CLUSTER_EVENT_DROPPED:
        for (size_t i = 0; i < event->slot_count; i++)
            slots_set_dropping(c, event->slots[i], false);
        break;
    case CLUSTER_EVENT_CLAIM:
        claim(c, event->slots, event->slot_count, event->epoch_above);
        break;
    case CLUSTER_EVENT_RESERVE:
        epoch_reserve(c, event->epoch_above);
        break;
    case CLUSTER_EVENT_ARRIVING:
        arrival_begin(c, event->slots, event->slot_count);
        break;
    case CLUSTER_EVENT_ABANDONED:
        arrival_abandon(c, event->slots, event->slot_count);
        break;
    case CLUSTER_EVENT_DEPARTING:
    case CLUSTER_EVENT_STAYING:
        for (size_t i = 0; i < event->slot_count; i++)
            slots_set_departing(c, event->slots[i], event->type == CLUSTER_EVENT_DEPARTING);
        break;
    case CLUSTER_EVENT_INHERIT:
        if (!node_is_master(c->myself) && !inherit_read(c, event->bytes))
            action_log(c, LOG_WARNING, "My master says of its open slots what makes no sense");
        break;
    }
}

/* ---- The end of a step ---- */

static void say_promotion(struct cluster *c)
{
    if (!c->promote_due && !c->flush_due)
        return;
    action_persist(c, false);
    if (c->promote_due)
        action_add(c, CLUSTER_PROMOTE);
    if (c->flush_due)
        action_add(c, CLUSTER_FLUSH_DATA);
    c->promote_due = c->flush_due = false;
}

static void say_master(struct cluster *c)
{
    const struct node *master = c->myself->master;

    if (c->replicate_due && master != NULL) {
        const char *ip = action_text(c, "%s", master->ip);
        struct cluster_action *a = action_add(c, CLUSTER_REPLICATE);

        memcpy(a->node, master->id, sizeof a->node);
        a->text = ip;
        a->port = node_replication_port(c, master);
    }
    c->replicate_due = false;
}

static void say_lost(struct cluster *c)
{
    unsigned count = 0;

    if (!c->any_lost)
        return;
    for (unsigned s = 0; s < SLOTS; s++) {
        if (!bit_get(c->lost, s) || c->owner[s] == c->myself)
            continue;
        action_add(c, CLUSTER_SLOT_LOST)->slot = (slot_t)s;
        count++;
    }
    action_log(c, LOG_NOTICE, "Dropping the keys of %u slots that other nodes own now", count);
    memset(c->lost, 0, sizeof c->lost);
    c->any_lost = false;
}

static void finish(struct cluster *c, bool lazy)
{
    bool state_changed = false;

    if (c->state_due)
        state_changed = state_update(c);
    c->state_due = false;
    say_promotion(c);
    if (c->tell_masters && node_is_voter(c->myself))
        message_ping_masters(c);
    if (c->pong_all)
        message_broadcast_pong(c);
    else if (c->tell_siblings && c->myself->master != NULL)
        message_pong_siblings(c);
    c->tell_masters = c->pong_all = c->tell_siblings = false;
    action_persist(c, lazy);
    if (c->map_due)
        action_add(c, CLUSTER_MAP);
    say_master(c);
    if (state_changed)
        action_add(c, CLUSTER_STATE)->ok = c->ok;
    say_lost(c);
    if (c->unpause_due)
        action_add(c, CLUSTER_PAUSE)->until_ms = 0;
    c->map_due = c->unpause_due = false;
}

struct cluster_actions cluster_step(struct cluster *c, const struct cluster_event *event, msec_t now)
{
    bool voter;

    if (now > c->now)
        c->now = now;
    action_reset(c);
    voter = node_is_voter(c->myself);
    handle(c, event);
    if (!voter && node_is_voter(c->myself) &&
        (event->type == CLUSTER_EVENT_COMMAND || event->type == CLUSTER_EVENT_CLAIM))
        state_begin_lease(c);
    election_run(c);
    if (c->promote_due && event->type != CLUSTER_EVENT_START)
        inherit_adopt(c);
    if (c->promote_due && event->type != CLUSTER_EVENT_START && (c->planted_bugs & CLUSTER_BUG_ARRIVAL_PROMOTED) == 0)
        arrival_abandon_all(c);
    finish(c, event->type == CLUSTER_EVENT_TICK || event->type == CLUSTER_EVENT_COMMAND);
    return (struct cluster_actions){c->actions, c->action_count, c->reply};
}
