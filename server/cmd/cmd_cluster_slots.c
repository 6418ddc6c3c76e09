/*
 * cmd_cluster_slots.c - CLUSTER about slots and the keys in them: what this node's working set holds, whoever owns the slot.
 */
#include "server/cmd/cmd_cluster_slots.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/num.h"
#include "cluster/report.h"
#include "engine/set/set.h"
#include "server/cmd/cmd_cluster_priv.h"
#include "server/drive/cluster_service.h"

/* ---- One slot ---- */

static enum err cluster_keyslot(struct call *c)
{
    NEEDS_CLUSTER(c);
    return reply_int(c, hash_slot(c->argv[2]));
}

static enum err cluster_countkeysinslot(struct call *c)
{
    int64_t slot;

    NEEDS_CLUSTER(c);
    if (!num_parse_i64(c->argv[2], &slot))
        return ERR_NOT_INTEGER;
    if (slot < 0 || slot >= SLOTS)
        return reply_error(c, "ERR Invalid slot");
    return reply_int(c, (int64_t)set_slot_keys(node_set(c->node), 0, (slot_t)slot));
}

struct taker {
    struct call *c;
    size_t count, most;
};

static void take_key(void *context, const struct obj *o)
{
    struct taker *t = context;

    if (t->count == t->most) /* a page ends behind a whole hash */
        return;
    (void)reply_bulk(t->c, obj_key(o));
    t->count++;
}

static enum err cluster_getkeysinslot(struct call *c)
{
    int64_t slot, most;
    struct taker t = {.c = c};
    uint64_t next;
    size_t mark;

    NEEDS_CLUSTER(c);
    if (!num_parse_i64(c->argv[2], &slot) || !num_parse_i64(c->argv[3], &most))
        return ERR_NOT_INTEGER;
    if (slot < 0 || slot >= SLOTS || most < 0)
        return reply_error(c, "ERR Invalid slot or number of keys");
    t.most = (size_t)most;
    mark = reply_defer(c);
    /* Time 0: keys whose expiry has passed still have to be moved or dropped. */
    if (most > 0)
        TRY(set_scan(node_set(c->node), 0, (unsigned)slot, 0, t.most, 0, take_key, &t, &next));
    reply_defer_array(c, mark, t.count);
    return OK;
}

/* ---- CLUSTER SLOT-STATS ---- */

struct slot_count {
    slot_t slot;
    uint64_t keys;
};

struct stats {
    bool mine[SLOTS];
};

static void read_mine(void *context, struct cluster *core)
{
    struct stats *stats = context;

    for (unsigned slot = 0; slot < SLOTS; slot++)
        stats->mine[slot] = report_slot_is_mine(core, (slot_t)slot);
}

static enum err stats_reply(struct call *c, const struct slot_count *slots, size_t count)
{
    (void)reply_array(c, count);
    for (size_t i = 0; i < count; i++) {
        (void)reply_array(c, 2);
        (void)reply_int(c, slots[i].slot);
        (void)reply_map(c, 1);
        (void)reply_bulk_str(c, "key-count");
        (void)reply_int(c, (int64_t)slots[i].keys);
    }
    return OK;
}

static int by_keys(const void *a, const void *b)
{
    const struct slot_count *x = a, *y = b;

    if (x->keys != y->keys)
        return x->keys < y->keys ? -1 : 1;
    return (int)x->slot - (int)y->slot;
}

static int by_keys_down(const void *a, const void *b)
{
    const struct slot_count *x = a, *y = b;

    if (x->keys != y->keys)
        return x->keys > y->keys ? -1 : 1;
    return (int)x->slot - (int)y->slot;
}

struct stats_request {
    int64_t first, last, limit;
    bool ranged, ascending;
};

/* SLOTSRANGE a b | ORDERBY KEY-COUNT [LIMIT n] [ASC|DESC] */
static enum err stats_parse(struct call *c, struct stats_request *r)
{
    bool limited = false, ordered = false;

    *r = (struct stats_request){.last = SLOTS - 1, .limit = SLOTS};
    if (slice_is(c->argv[2], "slotsrange") && c->argc == 5) {
        r->ranged = true;
        if (!num_parse_i64(c->argv[3], &r->first) || !num_parse_i64(c->argv[4], &r->last) || r->first < 0 ||
            r->first >= SLOTS || r->last < 0 || r->last >= SLOTS)
            return reply_error(c, "ERR Invalid or out of range slot");
        if (r->first > r->last)
            return reply_error(c, "ERR Start slot number %d is greater than end slot number %d", (int)r->first, (int)r->last);
        return OK;
    }
    if (!slice_is(c->argv[2], "orderby") || c->argc < 4)
        return reply_syntax(c);
    if (!slice_is(c->argv[3], "key-count"))
        return reply_error(c, "ERR Unrecognized sort metric for ORDERBY.");
    for (size_t i = 4; i < c->argc; i++) {
        if (slice_is(c->argv[i], "limit") && i + 1 < c->argc) {
            if (limited)
                return reply_error(c, "ERR Multiple filters of the same type are disallowed.");
            limited = true;
            if (!num_parse_i64(c->argv[++i], &r->limit) || r->limit < 1 || r->limit > SLOTS)
                return reply_error(c, "ERR Limit has to lie in between 1 and 16384 (maximum number of slots).");
        } else if (slice_is(c->argv[i], "asc") || slice_is(c->argv[i], "desc")) {
            if (ordered)
                return reply_error(c, "ERR Multiple filters of the same type are disallowed.");
            ordered = true;
            r->ascending = slice_is(c->argv[i], "asc");
        } else {
            return reply_syntax(c);
        }
    }
    return OK;
}

static enum err cluster_slot_stats(struct call *c)
{
    struct stats_request r;
    struct stats *stats;
    struct slot_count *slots;
    size_t count = 0;
    enum err e;

    NEEDS_CLUSTER(c);
    TRY(stats_parse(c, &r));
    stats = calloc(1, sizeof *stats);
    slots = calloc(SLOTS, sizeof *slots);
    if (stats == NULL || slots == NULL) {
        free(stats);
        free(slots);
        return ERR_NO_MEMORY;
    }
    cluster_service_read(service(c), read_mine, stats);
    for (int64_t slot = r.first; slot <= r.last; slot++)
        if (stats->mine[slot])
            slots[count++] = (struct slot_count){(slot_t)slot, set_slot_keys(node_set(c->node), 0, (slot_t)slot)};
    if (!r.ranged) {
        qsort(slots, count, sizeof *slots, r.ascending ? by_keys : by_keys_down);
        if (count > (size_t)r.limit)
            count = (size_t)r.limit;
    }
    e = stats_reply(c, slots, count);
    free(stats);
    free(slots);
    return e;
}

static const struct command_binding rows[] = {
    {"cluster|countkeysinslot", cluster_countkeysinslot, COMMAND_NO_TXN | COMMAND_COLD_EXEC},
    {"cluster|getkeysinslot", cluster_getkeysinslot, WAITS},
    {"cluster|keyslot", cluster_keyslot, QUICK},
    {"cluster|slot-stats", cluster_slot_stats, WAITS},
};

const struct command_table cmd_cluster_slots_table = COMMAND_TABLE(rows);
