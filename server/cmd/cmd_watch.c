/*
 * cmd_watch.c - SLOWLOG and LATENCY over what server/stat remembers; MEMORY over the allocator and single keys.
 */
#include "server/cmd/cmd_watch.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"
#include "engine/store/store.h"
#include "server/cmd/args.h"
#include "server/cmd/help.h"
#include "server/net/clients.h"
#include "server/node.h"
#include "server/run/registry.h"
#include "server/run/stats.h"
#include "server/stat/latency.h"
#include "server/stat/memory.h"
#include "server/stat/slowlog.h"
#include "server/stat/watch.h"

enum { SLOWLOG_GET_DEFAULT = 10, USAGE_SAMPLES_DEFAULT = 5 };

/* ---- SLOWLOG ---- */

struct slow_listing {
    struct call *call;
    size_t count;
};

static void slow_entry(void *context, const struct slowlog_entry *e)
{
    struct slow_listing *l = context;
    struct call *c = l->call;

    (void)reply_array(c, 6);
    (void)reply_int(c, (int64_t)e->id);
    (void)reply_int(c, e->time_s);
    (void)reply_int(c, (int64_t)e->duration_us);
    (void)reply_array(c, e->count);
    for (size_t i = 0; i < e->count; i++)
        (void)reply_bulk(c, slice_of(e->words[i], e->sizes[i]));
    (void)reply_bulk_str(c, e->address);
    (void)reply_bulk_str(c, e->name);
    l->count++;
}

static enum err slowlog_get(struct call *c) /* SLOWLOG GET [count] */
{
    struct slow_listing l = {c, 0};
    int64_t count = SLOWLOG_GET_DEFAULT;
    size_t mark;

    if (c->argc > 3)
        return reply_error(c, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try SLOWLOG HELP.",
                           (int)c->argv[1].size, (const char *)c->argv[1].data);
    if (c->argc == 3)
        TRY(arg_at_least(c, 2, -1, "count should be greater than or equal to -1", &count));
    mark = reply_defer(c);
    slowlog_list(watch_slowlog(node_watch(c->node)), count < 0 ? SIZE_MAX : (size_t)count, slow_entry, &l);
    reply_defer_array(c, mark, l.count);
    return OK;
}

static enum err slowlog_len(struct call *c) /* SLOWLOG LEN */
{
    return reply_int(c, (int64_t)slowlog_count(watch_slowlog(node_watch(c->node))));
}

static enum err slowlog_forget(struct call *c) /* SLOWLOG RESET */
{
    slowlog_reset(watch_slowlog(node_watch(c->node)));
    return reply_ok(c);
}

static enum err slowlog_help(struct call *c) /* SLOWLOG HELP */
{
    static const char *const lines[] = {
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
        NULL,
    };

    return reply_help(c, lines);
}

/* ---- LATENCY ---- */

static struct latency *latency_of(const struct call *c)
{
    return watch_latency(node_watch(c->node));
}

static enum err latency_history(struct call *c) /* LATENCY HISTORY event */
{
    struct latency_event *e = malloc(sizeof *e);

    check(e != NULL);
    if (!latency_event(latency_of(c), c->argv[2], e)) {
        free(e);
        return reply_array(c, 0);
    }
    (void)reply_array(c, e->count);
    for (size_t i = 0; i < e->count; i++) {
        (void)reply_array(c, 2);
        (void)reply_int(c, e->samples[i].time_s);
        (void)reply_int(c, e->samples[i].worst_ms);
    }
    free(e);
    return OK;
}

struct latest {
    struct call *call;
    size_t count;
};

static void latest_one(void *context, const struct latency_event *e)
{
    struct latest *l = context;
    const struct latency_sample *last = &e->samples[e->count - 1];

    (void)reply_array(l->call, 4);
    (void)reply_bulk_str(l->call, e->name);
    (void)reply_int(l->call, last->time_s);
    (void)reply_int(l->call, last->worst_ms);
    (void)reply_int(l->call, e->worst_ms);
    l->count++;
}

static enum err latency_latest(struct call *c) /* LATENCY LATEST */
{
    struct latest l = {c, 0};
    size_t mark = reply_defer(c);

    latency_list(latency_of(c), latest_one, &l);
    reply_defer_array(c, mark, l.count);
    return OK;
}

static enum err latency_forget(struct call *c) /* LATENCY RESET [event ...] */
{
    size_t gone = 0;

    if (c->argc == 2)
        gone = latency_reset(latency_of(c), (struct slice){0});
    for (size_t i = 2; i < c->argc; i++)
        gone += latency_reset(latency_of(c), c->argv[i]);
    return reply_int(c, (int64_t)gone);
}

static enum err latency_show(struct call *c) /* LATENCY GRAPH event */
{
    struct latency_event *e = malloc(sizeof *e);
    enum err result;

    check(e != NULL);
    if (latency_event(latency_of(c), c->argv[2], e)) {
        latency_graph(e, node_now(c->node) / 1000, c->scratch);
        result = reply_verbatim(c, buf_slice(c->scratch));
    } else {
        result = reply_error(c, "ERR No samples available for event '%.*s'", (int)c->argv[2].size,
                             (const char *)c->argv[2].data);
    }
    free(e);
    return result;
}

static enum err latency_advise(struct call *c) /* LATENCY DOCTOR */
{
    latency_doctor(latency_of(c), node_now(c->node) / 1000, c->scratch);
    return reply_verbatim(c, buf_slice(c->scratch));
}

/*
 * Redis counts in buckets whose bounds double from 1.024 microseconds, each widened by what its histogram cannot tell
 * apart (1 in 128): 1, 2, 4, 8, 16, 33, 66 ... Ours have four buckets in each doubling.
 */
enum { HISTOGRAM_STEPS = 40 };

static uint64_t histogram_bound_ns(unsigned step)
{
    return UINT64_C(1024) << step;
}

static void histogram_put(struct call *c, const struct stats_command *s)
{
    uint64_t sum = 0, shown = 0;
    size_t bucket = 0, mark, pairs = 0;

    (void)reply_map(c, 2);
    (void)reply_bulk_str(c, "calls");
    (void)reply_int(c, (int64_t)s->calls);
    (void)reply_bulk_str(c, "histogram_usec");
    mark = reply_defer(c);
    for (unsigned step = 0; step < HISTOGRAM_STEPS && bucket < STATS_BUCKETS; step++) {
        uint64_t bound = histogram_bound_ns(step);

        while (bucket < STATS_BUCKETS && stats_bucket_ns(bucket) < bound)
            sum += s->buckets[bucket++];
        if (sum == shown)
            continue;
        (void)reply_int(c, (int64_t)((bound + bound / 128) / 1000));
        (void)reply_int(c, (int64_t)sum);
        shown = sum;
        pairs++;
    }
    reply_defer_map(c, mark, pairs);
}

/* A container stands for its subcommands. */
static bool histogram_wanted(const struct call *c, const struct command *command)
{
    if (c->argc == 2)
        return true;
    for (size_t i = 2; i < c->argc; i++)
        if (slice_is(c->argv[i], command->name) ||
            (command->parent != NULL && slice_is(c->argv[i], command->parent->name)))
            return true;
    return false;
}

static enum err latency_histogram(struct call *c) /* LATENCY HISTOGRAM [command ...] */
{
    const struct registry *r = node_registry(c->node);
    size_t mark = reply_defer(c), pairs = 0;

    for (size_t i = 0; i < registry_count(r); i++) {
        const struct command *command = registry_at(r, i);
        struct stats_command s;

        if (!histogram_wanted(c, command))
            continue;
        stats_command(node_stats(c->node), i, &s);
        if (s.calls == 0)
            continue;
        (void)reply_bulk_str(c, command->name);
        histogram_put(c, &s);
        pairs++;
    }
    reply_defer_map(c, mark, pairs);
    return OK;
}

static enum err latency_help(struct call *c) /* LATENCY HELP */
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Return a human readable latency analysis report.",
        "GRAPH <event>",
        "    Return an ASCII latency graph for the <event> class.",
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HISTOGRAM [COMMAND ...]",
        "    Return a cumulative distribution of latencies in the format of a histogram for the specified command "
        "names.",
        "    If no commands are specified then all histograms are replied.",
        NULL,
    };

    return reply_help(c, lines);
}

/* ---- MEMORY ---- */

/* Rows of a big object: the mean of the first ones, times how many there are. */
static enum err rows_memory(struct txn *t, struct obj *o, uint64_t samples, uint64_t *bytes)
{
    struct txn_cursor cursor;
    uint64_t seen = 0, sum = 0, rows = o->count;
    bool named = o->type == OBJ_HASH || o->type == OBJ_SET || o->type == OBJ_ZSET;
    enum err e = OK;

    if (o->type == OBJ_STRING)
        rows = (o->count + OBJ_CHUNK_BYTES - 1) / OBJ_CHUNK_BYTES;
    if (named)
        TRY(txn_elements(t, o, 0, &cursor));
    else
        TRY(txn_indexes(t, o, 0, false, &cursor));
    while ((samples == 0 || seen < samples) && (e = txn_cursor_next(&cursor)) == OK) {
        sum += cursor.name.size + cursor.value.size;
        seen++;
    }
    txn_cursor_close(&cursor);
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    *bytes = e == ERR_NOT_FOUND || seen == 0 ? sum : sum * (rows > seen ? rows : seen) / seen;
    if (o->type == OBJ_ZSET)
        *bytes *= 2; /* by member and by score */
    return OK;
}

static enum err memory_usage(struct call *c) /* MEMORY USAGE key [SAMPLES count] */
{
    int64_t samples = USAGE_SAMPLES_DEFAULT;
    uint64_t rows = 0;
    struct obj *o;
    enum err e;

    for (size_t i = 3; i < c->argc; i += 2) {
        if (!slice_is(c->argv[i], "SAMPLES") || i + 1 == c->argc)
            return reply_syntax(c);
        TRY(arg_i64(c, i + 1, &samples));
        if (samples < 0)
            return reply_syntax(c);
    }
    e = txn_peek(c->txn, c->argv[2], &o);
    if (e == ERR_NOT_FOUND)
        return reply_null(c);
    TRY(e);
    if (o->form == OBJ_BIG)
        TRY(rows_memory(c->txn, o, (uint64_t)samples, &rows));
    return reply_int(c, (int64_t)(obj_memory(o) + rows));
}

static void stat_int(struct call *c, const char *name, uint64_t value)
{
    (void)reply_bulk_str(c, name);
    (void)reply_int(c, (int64_t)value);
}

static void stat_double(struct call *c, const char *name, double value)
{
    (void)reply_bulk_str(c, name);
    (void)reply_double(c, value);
}

static size_t stat_databases(struct call *c)
{
    struct set *set = node_set(c->node);
    size_t count = 0;

    for (unsigned db = 0; db < node_databases(c->node); db++) {
        char name[32];

        if (set_keys(set, db) == 0)
            continue;
        snprintf(name, sizeof name, "db.%u", db);
        (void)reply_bulk_str(c, name);
        (void)reply_map(c, 2);
        stat_int(c, "overhead.hashtable.main", 0);
        stat_int(c, "overhead.hashtable.expires", 0);
        count++;
    }
    return count;
}

static enum err memory_stats(struct call *c) /* MEMORY STATS */
{
    size_t mark = reply_defer(c), databases;
    struct memory_parts p;

    memory_parts(c->node, &p);
    stat_int(c, "peak.allocated", p.peak);
    stat_int(c, "total.allocated", p.used);
    stat_int(c, "startup.allocated", p.at_start);
    stat_int(c, "replication.backlog", 0);
    stat_int(c, "clients.slaves", p.clients_replicas);
    stat_int(c, "clients.normal", p.clients_normal);
    stat_int(c, "cluster.links", 0);
    stat_int(c, "aof.buffer", p.log_buffer);
    stat_int(c, "lua.caches", 0);
    stat_int(c, "functions.caches", 0);
    databases = stat_databases(c);
    stat_int(c, "overhead.total", p.overhead);
    stat_int(c, "keys.count", p.keys);
    stat_int(c, "keys.bytes-per-key", p.keys > 0 ? p.dataset / p.keys : 0);
    stat_int(c, "dataset.bytes", p.dataset);
    stat_double(c, "dataset.percentage", p.dataset_percent);
    stat_double(c, "peak.percentage", p.peak_percent);
    stat_int(c, "allocator.allocated", p.allocator.allocated);
    stat_int(c, "allocator.active", p.allocator.active);
    stat_int(c, "allocator.resident", p.allocator.resident_allocator);
    stat_double(c, "allocator-fragmentation.ratio", p.fragmentation);
    stat_int(c, "allocator-fragmentation.bytes", p.allocator.active - p.allocator.allocated);
    stat_double(c, "fragmentation", p.resident_ratio);
    stat_int(c, "fragmentation.bytes", p.allocator.resident > p.used ? p.allocator.resident - p.used : 0);
    stat_int(c, "cairn.working-set.bytes", p.set);
    stat_int(c, "cairn.block-cache.bytes", p.cache);
    stat_int(c, "cairn.memtables.bytes", p.memtables);
    reply_defer_map(c, mark, 26 + databases);
    return OK;
}

static enum err memory_purge(struct call *c) /* MEMORY PURGE */
{
    return memory_release() ? reply_ok(c) : reply_error(c, "ERR Error purging dirty pages");
}

static enum err memory_malloc_stats(struct call *c) /* MEMORY MALLOC-STATS */
{
    memory_allocator_text(c->scratch);
    return reply_verbatim(c, buf_slice(c->scratch));
}

static enum err memory_advise(struct call *c) /* MEMORY DOCTOR */
{
    struct memory_parts p;

    memory_parts(c->node, &p);
    memory_doctor(&p, c->scratch);
    return reply_verbatim(c, buf_slice(c->scratch));
}

static enum err memory_help(struct call *c) /* MEMORY HELP */
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Return memory problems reports.",
        "MALLOC-STATS",
        "    Return internal statistics report from the memory allocator.",
        "PURGE",
        "    Attempt to purge dirty pages for reclamation by the allocator.",
        "STATS",
        "    Return information about the memory usage of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value. Nested values are",
        "    sampled up to <count> times (default: 5, 0 means sample all).",
        NULL,
    };

    return reply_help(c, lines);
}

enum { QUICK = COMMAND_NO_TXN | COMMAND_ALONE, SLOW = COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_COLD_EXEC };

static const struct command_binding rows[] = {
    {"slowlog|get", slowlog_get, QUICK},
    {"slowlog|len", slowlog_len, QUICK},
    {"slowlog|reset", slowlog_forget, QUICK},
    {"slowlog|help", slowlog_help, QUICK},
    {"latency|history", latency_history, QUICK},
    {"latency|latest", latency_latest, QUICK},
    {"latency|reset", latency_forget, QUICK},
    {"latency|graph", latency_show, QUICK},
    {"latency|doctor", latency_advise, QUICK},
    {"latency|histogram", latency_histogram, SLOW},
    {"latency|help", latency_help, QUICK},
    {"memory|usage", memory_usage, 0},
    {"memory|stats", memory_stats, SLOW},
    {"memory|purge", memory_purge, SLOW},
    {"memory|malloc-stats", memory_malloc_stats, SLOW},
    {"memory|doctor", memory_advise, SLOW},
    {"memory|help", memory_help, QUICK},
};
const struct command_table cmd_watch_table = COMMAND_TABLE(rows);
