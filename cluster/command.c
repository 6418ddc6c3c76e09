/*
 * command.c - what operators and redis-cli ask for (facts 11, 13, 15).
 *
 * (1) All words are checked before anything changes.
 * (2) +OK means durable: every change here is marked so that a synced PERSIST stands before the reply. But for SETSLOT
 *     with lazy_setslot: its changes are noted before the reply (the driver's PERSIST without sync), and durable at the
 *     next tick, or before the first message that could tell of a new claim. So a reshard of many slots, where redis-cli
 *     sends one SETSLOT after the other, costs a few syncs a second and not several a slot. New epochs never wait.
 */
#include "cluster/command.h"

#include "base/num.h"
#include "cluster/action.h"
#include "cluster/claim.h"
#include "cluster/election.h"
#include "cluster/epoch.h"
#include "cluster/failure.h"
#include "cluster/handshake.h"
#include "cluster/link.h"
#include "cluster/manual.h"
#include "cluster/node.h"
#include "cluster/role.h"
#include "cluster/slots.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>

#define WORD(s) (int)((s).size < 128 ? (s).size : 128), (const char *)(s).data

struct words {
    size_t count;
    const struct slice *at;
};

/* ---- Replies ---- */

static void reply_ok(struct cluster *c)
{
    c->reply.type = CLUSTER_REPLY_OK;
}

static void reply_error(struct cluster *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void reply_error(struct cluster *c, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->reply.type = CLUSTER_REPLY_ERROR;
    c->reply.text = action_text(c, "ERR %s", text);
}

static void reply_arity(struct cluster *c, const char *name)
{
    reply_error(c, "wrong number of arguments for 'cluster|%s' command", name);
}

static void reply_words(struct cluster *c, const char *name) /* a number of words that no form of the command has */
{
    reply_error(c, "unknown subcommand or wrong number of arguments for '%s'. Try CLUSTER HELP.", name);
}

static void reply_integer(struct cluster *c, int64_t value)
{
    c->reply.type = CLUSTER_REPLY_INTEGER;
    c->reply.integer = value;
}

/* Everything that a command changes is durable before its reply. */
static void done(struct cluster *c)
{
    cluster_changed_durable(c);
    reply_ok(c);
}

static void done_slot(struct cluster *c, bool claimed)
{
    if (!c->config.lazy_setslot)
        cluster_changed_durable(c);
    else if (claimed)
        cluster_changed_claim(c);
    else
        cluster_changed(c);
    reply_ok(c);
}

/* ---- Words ---- */

static bool parse_slot(struct cluster *c, struct slice word, slot_t *out)
{
    int64_t value;

    if (!num_parse_i64(word, &value) || value < 0 || value >= SLOTS) {
        reply_error(c, "Invalid or out of range slot");
        return false;
    }
    *out = (slot_t)value;
    return true;
}

static struct node *known_node(struct cluster *c, struct slice id)
{
    struct node *n = node_find_slice(c, id);

    if (n == NULL)
        reply_error(c, "Unknown node %.*s", WORD(id));
    return n;
}

/* ---- ADDSLOTS and its kin ---- */

/* Keys of the time when this node owned the slot before must not be found among the new ones. */
static bool refuse_dropping(struct cluster *c, slot_t slot)
{
    if (bit_get(c->arriving, slot)) {
        reply_error(c, "Slot %u is arriving here by an atomic migration", slot);
        return true;
    }
    if (!bit_get(c->dropping, slot))
        return false;
    reply_error(c, "Slot %u still holds keys of the time before it was lost, which are being dropped. Try again later",
                slot);
    return true;
}

/* May each of first..last be added (or deleted), and is it named once only? */
static bool check_assignable(struct cluster *c, uint8_t *named, slot_t first, slot_t last, bool del)
{
    for (unsigned s = first; s <= last; s++) {
        if (del && c->owner[s] == NULL) {
            reply_error(c, "Slot %u is already unassigned", s);
            return false;
        }
        if (!del && c->owner[s] != NULL) {
            reply_error(c, "Slot %u is already busy", s);
            return false;
        }
        if (!del && refuse_dropping(c, (slot_t)s))
            return false;
        if (bit_get(named, s)) {
            reply_error(c, "Slot %u specified multiple times", s);
            return false;
        }
        bit_set(named, s);
    }
    return true;
}

static void change_slots(struct cluster *c, const uint8_t *named, bool del)
{
    for (unsigned s = 0; s < SLOTS; s++) {
        if (!bit_get(named, s))
            continue;
        slots_set_importing(c, (slot_t)s, NULL);
        if (del)
            slots_unassign(c, (slot_t)s);
        else
            slots_assign(c, (slot_t)s, c->myself);
    }
    done(c);
}

static bool refuse_replica(struct cluster *c, const char *name)
{
    if (node_is_master(c->myself))
        return false;
    reply_error(c, "Please use %s only with masters.", name);
    return true;
}

static void add_or_delete(struct cluster *c, struct words w, bool del)
{
    uint8_t named[SLOT_BYTES] = {0};
    slot_t slot;

    if (w.count == 0) {
        reply_arity(c, del ? "delslots" : "addslots");
        return;
    }
    for (size_t i = 0; i < w.count; i++)
        if (!parse_slot(c, w.at[i], &slot))
            return;
    if (!del && refuse_replica(c, "ADDSLOTS"))
        return;
    for (size_t i = 0; i < w.count; i++)
        if (!parse_slot(c, w.at[i], &slot) || !check_assignable(c, named, slot, slot, del))
            return;
    change_slots(c, named, del);
}

static void add_or_delete_range(struct cluster *c, struct words w, bool del)
{
    uint8_t named[SLOT_BYTES] = {0};
    slot_t first, last;

    if (w.count == 0 || w.count % 2 != 0) {
        reply_arity(c, del ? "delslotsrange" : "addslotsrange");
        return;
    }
    if (!del && refuse_replica(c, "ADDSLOTSRANGE"))
        return;
    for (size_t i = 0; i < w.count; i += 2) {
        if (!parse_slot(c, w.at[i], &first) || !parse_slot(c, w.at[i + 1], &last))
            return;
        if (first > last) {
            reply_error(c, "start slot number %u is greater than end slot number %u", first, last);
            return;
        }
        if (!check_assignable(c, named, first, last, del))
            return;
    }
    change_slots(c, named, del);
}

static void flush_slots(struct cluster *c)
{
    if (cluster_has_keys(c)) {
        reply_error(c, "DB must be empty to perform CLUSTER FLUSHSLOTS.");
        return;
    }
    slots_release_all(c, c->myself);
    done(c);
}

/* ---- SETSLOT ---- */

static void set_migrating(struct cluster *c, slot_t slot, struct slice id)
{
    struct node *n = node_find_slice(c, id);

    if (c->owner[slot] != c->myself)
        reply_error(c, "I'm not the owner of hash slot %u", slot);
    else if (n == NULL)
        reply_error(c, "I don't know about node %.*s", WORD(id));
    else if (node_is(n, NODE_REPLICA | NODE_HANDSHAKE))
        reply_error(c, "Target node is not a master");
    else if (n == c->myself)
        reply_error(c, "I'm already the owner of hash slot %u", slot);
    else {
        slots_set_migrating(c, slot, n);
        done_slot(c, false);
    }
}

static void set_importing(struct cluster *c, slot_t slot, struct slice id)
{
    struct node *n = node_find_slice(c, id);

    if (c->owner[slot] == c->myself)
        reply_error(c, "I'm already the owner of hash slot %u", slot);
    else if (n == NULL)
        reply_error(c, "I don't know about node %.*s", WORD(id));
    else if (node_is(n, NODE_REPLICA | NODE_HANDSHAKE) || n == c->myself)
        reply_error(c, "Target node is not a master");
    else if (!refuse_dropping(c, slot)) {
        slots_set_importing(c, slot, n);
        done_slot(c, false);
    }
}

static void set_node(struct cluster *c, slot_t slot, struct slice id)
{
    struct node *n = known_node(c, id), *me = c->myself;
    bool was_mine = c->owner[slot] == me, has_keys = cluster_slot_keys(c, slot) > 0, bumped;

    if (n == NULL)
        return;
    if (!node_is_master(n)) {
        reply_error(c, "Target node is not a master");
        return;
    }
    if (was_mine && n != me && has_keys) {
        reply_error(c, "Can't assign hashslot %u to a different node while I still hold keys for this hash slot.",
                    slot);
        return;
    }
    if (n == me && refuse_dropping(c, slot))
        return;
    if (!has_keys)
        slots_set_migrating(c, slot, NULL);
    slots_assign(c, slot, n);
    if (n == me && c->importing[slot] != NULL) {
        /* The end of an import: the claim needs an epoch that beats the source's. */
        bumped = epoch_bump(c);
        slots_set_imported(c, slot, c->importing[slot]);
        slots_set_importing(c, slot, NULL);
        c->pong_all |= bumped || !c->config.lazy_setslot;
    }
    done_slot(c, n == me);
    if (was_mine && n != me && me->slot_count == 0 && c->config.allow_replica_migration && c->replication) {
        action_log(c, LOG_NOTICE, "Configuration change detected. Reconfiguring myself as a replica of %.40s", n->id);
        role_follow(c, n);
    }
}

static void set_slot(struct cluster *c, struct words w)
{
    slot_t slot;

    if (w.count < 2) {
        reply_arity(c, "setslot");
        return;
    }
    if (refuse_replica(c, "SETSLOT") || !parse_slot(c, w.at[0], &slot))
        return;
    if (w.count == 3 && slice_is(w.at[1], "migrating")) {
        set_migrating(c, slot, w.at[2]);
    } else if (w.count == 3 && slice_is(w.at[1], "importing")) {
        set_importing(c, slot, w.at[2]);
    } else if (w.count == 2 && slice_is(w.at[1], "stable")) {
        slots_set_migrating(c, slot, NULL);
        slots_set_importing(c, slot, NULL);
        done_slot(c, false);
    } else if (w.count == 3 && slice_is(w.at[1], "node")) {
        set_node(c, slot, w.at[2]);
    } else {
        reply_error(c, "Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP");
    }
}

/* ---- MEET, FORGET, RESET ---- */

/* A numeric address in its usual spelling. */
static bool parse_ip(struct slice word, char out[CLUSTER_IP_SIZE])
{
    char text[CLUSTER_IP_SIZE];
    unsigned char address[16];

    if (word.size >= sizeof text)
        return false;
    memcpy(text, word.data, word.size);
    text[word.size] = '\0';
    if (inet_pton(AF_INET, text, address) == 1)
        return inet_ntop(AF_INET, address, out, CLUSTER_IP_SIZE) != NULL;
    return inet_pton(AF_INET6, text, address) == 1 && inet_ntop(AF_INET6, address, out, CLUSTER_IP_SIZE) != NULL;
}

static void meet(struct cluster *c, struct words w)
{
    char ip[CLUSTER_IP_SIZE];
    int64_t port, bus;

    if (w.count != 2 && w.count != 3) {
        reply_words(c, "MEET");
        return;
    }
    if (!num_parse_i64(w.at[1], &port)) {
        reply_error(c, "Invalid base port specified: %.*s", WORD(w.at[1]));
        return;
    }
    bus = port + CLUSTER_PORT_INCREMENT;
    if (w.count == 3 && !num_parse_i64(w.at[2], &bus)) {
        reply_error(c, "Invalid bus port specified: %.*s", WORD(w.at[2]));
        return;
    }
    if (!parse_ip(w.at[0], ip) || port <= 0 || port > UINT16_MAX || bus <= 0 || bus > UINT16_MAX) {
        reply_error(c, "Invalid node address specified: %.*s:%.*s", WORD(w.at[0]), WORD(w.at[1]));
        return;
    }
    handshake_start(c, ip, (uint16_t)port, 0, (uint16_t)bus, true);
    reply_ok(c); /* a handshake is not written to nodes.conf */
}

static void forget(struct cluster *c, struct words w)
{
    struct node *n;

    if (w.count != 1) {
        reply_arity(c, "forget");
        return;
    }
    n = node_find_slice(c, w.at[0]);
    if (n == NULL && w.at[0].size == CLUSTER_ID_SIZE && handshake_forgotten(c, (const char *)w.at[0].data)) {
        reply_ok(c);
        return;
    }
    if (n == NULL) {
        reply_error(c, "Unknown node %.*s", WORD(w.at[0]));
    } else if (n == c->myself) {
        reply_error(c, "I tried hard but I can't forget myself...");
    } else if (c->myself->master == n) {
        reply_error(c, "Can't forget my master!");
    } else {
        handshake_forget(c, n->id, BLACKLIST_TTL_MS);
        node_remove(c, n);
        done(c);
    }
}

static void reset(struct cluster *c, struct words w)
{
    bool hard = w.count == 1 && slice_is(w.at[0], "hard");
    struct node *me = c->myself;
    char id[CLUSTER_ID_SIZE + 1] = "";

    if (w.count > 1) {
        reply_words(c, "RESET");
        return;
    }
    if (w.count == 1 && !hard && !slice_is(w.at[0], "soft")) {
        reply_error(c, "syntax error");
        return;
    }
    if (node_is_master(me) && cluster_has_keys(c)) {
        reply_error(c, "CLUSTER RESET can't be called with master nodes containing keys");
        return;
    }
    manual_reset(c);
    election_cancel(c);
    if (!node_is_master(me)) {
        role_promote(c);
        c->flush_due = true;
    }
    slots_clear_marks(c);
    for (unsigned s = 0; s < SLOTS; s++)
        slots_unassign(c, (slot_t)s);
    while (c->node_count > 1)
        node_remove(c, c->nodes[c->node_count - 1]);
    c->ballot_count = 0;
    claim_forget_all(c, c->myself);
    handshake_forget_none(c);
    for (unsigned s = 0; s < SLOTS; s++)
        slots_set_dropping(c, (slot_t)s, false); /* there are no keys, or all are flushed */
    if (hard) {
        c->current_epoch = c->last_vote_epoch = me->config_epoch = 0;
        rng_hex(&c->rng, id, CLUSTER_ID_SIZE);
        node_rename(c, me, id);
        rng_hex(&c->rng, id, CLUSTER_ID_SIZE);
        node_set_shard_id(c, me, id);
        action_log(c, LOG_NOTICE, "Node hard reset, now I'm %.40s", me->id);
    }
    done(c);
}

/* ---- Epochs ---- */

static void set_config_epoch(struct cluster *c, struct words w)
{
    int64_t epoch;

    if (w.count != 1) {
        reply_arity(c, "set-config-epoch");
    } else if (!num_parse_i64(w.at[0], &epoch)) {
        reply_error(c, "value is not an integer or out of range");
    } else if (epoch < 0) {
        reply_error(c, "Invalid config epoch specified: %lld", (long long)epoch);
    } else if (c->node_count > 1) {
        reply_error(c, "The user can assign a config epoch only when the node does not know any other node.");
    } else if (c->myself->config_epoch != 0) {
        reply_error(c, "Node config epoch is already non-zero");
    } else {
        node_set_config_epoch(c, c->myself, (uint64_t)epoch);
        epoch_see(c, (uint64_t)epoch);
        action_log(c, LOG_WARNING, "configEpoch set to %lld via CLUSTER SET-CONFIG-EPOCH", (long long)epoch);
        done(c);
    }
}

static void bump_epoch(struct cluster *c)
{
    bool bumped = node_is_master(c->myself) && epoch_bump(c);

    c->reply.type = CLUSTER_REPLY_STATUS;
    c->reply.text = action_text(c, "%s %llu", bumped ? "BUMPED" : "STILL",
                                (unsigned long long)node_effective_epoch(c->myself));
}

static void count_failure_reports(struct cluster *c, struct words w)
{
    struct node *n;

    if (w.count != 1) {
        reply_arity(c, "count-failure-reports");
        return;
    }
    n = known_node(c, w.at[0]);
    if (n != NULL)
        reply_integer(c, (int64_t)failure_report_count(c, n));
}

/* ---- Replication ---- */

static void replicate(struct cluster *c, struct words w)
{
    struct node *n, *me = c->myself;

    if (w.count != 1) {
        reply_arity(c, "replicate");
        return;
    }
    n = known_node(c, w.at[0]);
    if (n == NULL)
        return;
    if (n == me) {
        reply_error(c, "Can't replicate myself");
    } else if (!node_is_master(n)) {
        reply_error(c, "I can only replicate a master, not a replica.");
    } else if (node_is_master(me) && (me->slot_count > 0 || cluster_has_keys(c))) {
        reply_error(c, "To set a master the node must be empty and without assigned slots.");
    } else if (!c->replication) {
        reply_error(c, "this node cannot replicate yet");
    } else {
        if (me->master != n)
            role_follow(c, n);
        done(c);
    }
}

static void failover(struct cluster *c, struct words w)
{
    bool force = w.count == 1 && slice_is(w.at[0], "force");
    bool takeover = w.count == 1 && slice_is(w.at[0], "takeover");
    const struct node *me = c->myself;

    if (w.count > 1)
        reply_words(c, "FAILOVER");
    else if (w.count == 1 && !force && !takeover)
        reply_error(c, "syntax error");
    else if (node_is_master(me))
        reply_error(c, "You should send CLUSTER FAILOVER to a replica");
    else if (me->master == NULL)
        reply_error(c, "I'm a replica but my master is unknown to me");
    else if (!force && !takeover && (node_is(me->master, NODE_FAIL) || me->master->out == NULL))
        reply_error(c, "Master is down or failed, please use CLUSTER FAILOVER FORCE");
    else if (!c->repl_whole)
        reply_error(c, "The data of this replica is not complete, it cannot become a master");
    else {
        manual_begin(c, takeover ? MANUAL_TAKEOVER : force ? MANUAL_FORCE : MANUAL_PLANNED);
        reply_ok(c);
    }
}

void command_run(struct cluster *c, const struct cluster_command *command)
{
    struct words w = {command->argc, command->argv};

    switch (command->type) {
    case CLUSTER_CMD_MEET:
        meet(c, w);
        break;
    case CLUSTER_CMD_ADDSLOTS:
        add_or_delete(c, w, false);
        break;
    case CLUSTER_CMD_ADDSLOTSRANGE:
        add_or_delete_range(c, w, false);
        break;
    case CLUSTER_CMD_DELSLOTS:
        add_or_delete(c, w, true);
        break;
    case CLUSTER_CMD_DELSLOTSRANGE:
        add_or_delete_range(c, w, true);
        break;
    case CLUSTER_CMD_FLUSHSLOTS:
        flush_slots(c);
        break;
    case CLUSTER_CMD_SETSLOT:
        set_slot(c, w);
        break;
    case CLUSTER_CMD_FORGET:
        forget(c, w);
        break;
    case CLUSTER_CMD_RESET:
        reset(c, w);
        break;
    case CLUSTER_CMD_SET_CONFIG_EPOCH:
        set_config_epoch(c, w);
        break;
    case CLUSTER_CMD_BUMPEPOCH:
        bump_epoch(c);
        break;
    case CLUSTER_CMD_SAVECONFIG:
        done(c);
        break;
    case CLUSTER_CMD_COUNT_FAILURE_REPORTS:
        count_failure_reports(c, w);
        break;
    case CLUSTER_CMD_REPLICATE:
        replicate(c, w);
        break;
    case CLUSTER_CMD_FAILOVER:
        failover(c, w);
        break;
    }
}
