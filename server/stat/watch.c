/*
 * watch.c - samples ten times a second; the observer that feeds slow log and latency events.
 */
#include "server/stat/watch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "persistence/wal.h"
#include "server/conf/config.h"
#include "server/net/clients.h"
#include "server/node.h"
#include "server/run/registry.h"
#include "server/run/session.h"
#include "server/run/stats.h"
#include "server/stat/latency.h"
#include "server/stat/memory.h"
#include "server/stat/redact.h"
#include "server/stat/save.h"
#include "server/stat/slowlog.h"

enum { RATE_SAMPLES = 16, MEMORY_EVERY_TICKS = 10, GAUGES_MAX = 64, SECTIONS_MAX = 16 };

struct gauge {
    const char *name;
    watch_gauge_read *read;
    void *context;
};

struct section {
    const char *name;
    watch_section_write *write;
    void *context;
};

/* A rate over the last samples. */
struct rate {
    uint64_t last;
    bool begun;
    double samples[RATE_SAMPLES];
    size_t next;
};

struct watch {
    struct node *node; /* Set once */
    struct slowlog *slowlog;
    struct latency *latency;
    struct save *save;
    struct gauge gauges[GAUGES_MAX];
    struct section sections[SECTIONS_MAX];
    size_t gauge_count, section_count;
    uint64_t memory_at_start;

    atomic_int_fast64_t slow_us; /* negative: no slow log */
    _Atomic uint64_t memory_peak;

    pthread_mutex_t lock; /* guards the rest; a leaf */
    struct rate commands, input, output, turns, turns_ns;
    msec_t sampled_ms;
    struct set_figures zero;

    /* Main thread only */
    unsigned ticks;
    uint64_t syncs, sync_us;
};

/* ---- Samples ---- */

static void rate_sample(struct rate *r, uint64_t now, msec_t elapsed_ms)
{
    if (r->begun && elapsed_ms > 0) {
        r->samples[r->next++ % RATE_SAMPLES] = now > r->last ? (double)(now - r->last) * 1000 / (double)elapsed_ms : 0;
    }
    r->begun = true;
    r->last = now;
}

static double rate_mean(const struct rate *r)
{
    double sum = 0;

    for (size_t i = 0; i < RATE_SAMPLES; i++)
        sum += r->samples[i];
    return sum / RATE_SAMPLES;
}

static void memory_sample(struct watch *w)
{
    struct memory_figures m;

    memory_figures(w->node, &m);
    if (m.allocated > atomic_load(&w->memory_peak))
        atomic_store(&w->memory_peak, m.allocated);
}

/* The log counts syncs and their time: what one took on average since the last look. */
static void sync_sample(struct watch *w, msec_t now_ms)
{
    struct wal_figures f;

    wal_figures(node_wal(w->node), &f);
    if (f.syncs > w->syncs)
        latency_add(w->latency,
                    wal_fsync_policy(node_wal(w->node)) == WAL_FSYNC_ALWAYS ? "aof-fsync-always" : "aof-fsync",
                    now_ms / 1000, (f.sync_us - w->sync_us) / (f.syncs - w->syncs) / 1000);
    w->syncs = f.syncs;
    w->sync_us = f.sync_us;
}

static void tick(void *context, msec_t now_ms)
{
    struct watch *w = context;
    struct clients_figures f;
    uint64_t calls = stats_calls(node_stats(w->node));

    clients_figures(node_clients(w->node), &f);
    pthread_mutex_lock(&w->lock);
    rate_sample(&w->commands, calls, now_ms - w->sampled_ms);
    rate_sample(&w->turns, f.turns, now_ms - w->sampled_ms);
    rate_sample(&w->turns_ns, f.turns_ns, now_ms - w->sampled_ms);
    rate_sample(&w->input, f.received, now_ms - w->sampled_ms);
    rate_sample(&w->output, f.sent, now_ms - w->sampled_ms);
    w->sampled_ms = now_ms;
    pthread_mutex_unlock(&w->lock);
    sync_sample(w, now_ms);
    if (w->ticks++ % MEMORY_EVERY_TICKS == 0)
        memory_sample(w);
}

/* ---- Slow commands ---- */

static void observe(void *context, struct session *s, const struct command *command, const struct slice *argv,
                    size_t argc, uint64_t duration_us)
{
    struct watch *w = context;
    int64_t slow = atomic_load_explicit(&w->slow_us, memory_order_relaxed);
    int64_t now_s = node_now(w->node) / 1000;

    latency_add(w->latency, (command->flags & FACT_FAST) != 0 ? "fast-command" : "command", now_s, duration_us / 1000);
    if (slow >= 0 && duration_us >= (uint64_t)slow) {
        struct slice few[SLOWLOG_WORDS_MAX];
        struct buf name = {0};
        const struct slice *words = redact(command, argv, argc, few, SLOWLOG_WORDS_MAX);

        if (s->client != NULL)
            client_get_text(s->client, CLIENT_NAME, &name);
        slowlog_add(w->slowlog, now_s, duration_us, words, argc, s->client != NULL ? client_address(s->client) : "",
                    buf_slice(&name));
        buf_free(&name);
    }
}

static enum err thresholds(void *context, struct config *c)
{
    struct watch *w = context;
    int64_t slow = config_int(c, "slowlog-log-slower-than"), latency_ms = config_int(c, "latency-monitor-threshold");
    int64_t from = slow;

    slowlog_resize(w->slowlog, (size_t)config_int(c, "slowlog-max-len"));
    latency_threshold_set(w->latency, latency_ms);
    atomic_store(&w->slow_us, slow);
    if (latency_ms > 0 && latency_ms < INT64_MAX / 1000 && (from < 0 || latency_ms * 1000 < from))
        from = latency_ms * 1000;
    node_observe_from(w->node, from);
    return OK;
}

/* ---- Life ---- */

struct watch *watch_new(struct node *n)
{
    struct watch *w = calloc(1, sizeof *w);
    struct config *c = node_config(n);
    struct memory_figures m;

    check(w != NULL);
    w->node = n;
    w->slowlog = slowlog_new(128);
    w->latency = latency_new();
    w->save = save_new(n);
    atomic_init(&w->slow_us, -1);
    pthread_mutex_init(&w->lock, NULL);
    memory_figures(n, &m);
    w->memory_at_start = m.allocated;
    atomic_init(&w->memory_peak, m.allocated);
    node_set_observe(n, observe, w);
    node_add_tick(n, tick, w);
    if (c != NULL) {
        check(thresholds(w, c) == OK);
        config_on_change(c, "slowlog-log-slower-than", thresholds, w);
        config_on_change(c, "slowlog-max-len", thresholds, w);
        config_on_change(c, "latency-monitor-threshold", thresholds, w);
    }
    return w;
}

void watch_free(struct watch *w)
{
    if (w == NULL)
        return;
    slowlog_free(w->slowlog);
    latency_free(w->latency);
    save_free(w->save);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

struct slowlog *watch_slowlog(struct watch *w)
{
    return w->slowlog;
}

struct latency *watch_latency(struct watch *w)
{
    return w->latency;
}

struct save *watch_save(struct watch *w)
{
    return w->save;
}

/* ---- What others bring ---- */

void watch_gauge_add(struct watch *w, const char *name, watch_gauge_read *read, void *context)
{
    check(w->gauge_count < GAUGES_MAX);
    w->gauges[w->gauge_count++] = (struct gauge){name, read, context};
}

uint64_t watch_gauge(const struct watch *w, const char *name)
{
    for (size_t i = 0; i < w->gauge_count; i++)
        if (strcmp(w->gauges[i].name, name) == 0)
            return w->gauges[i].read(w->gauges[i].context);
    return 0;
}

void watch_section_add(struct watch *w, const char *section, watch_section_write *write, void *context)
{
    check(w->section_count < SECTIONS_MAX);
    w->sections[w->section_count++] = (struct section){section, write, context};
}

bool watch_section(const struct watch *w, const char *section, struct buf *out)
{
    for (size_t i = 0; i < w->section_count; i++)
        if (strcmp(w->sections[i].name, section) == 0) {
            w->sections[i].write(w->sections[i].context, out);
            return true;
        }
    return false;
}

/* ---- Figures ---- */

void watch_reset(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    w->commands = w->input = w->output = w->turns = w->turns_ns = (struct rate){0};
    set_figures(node_set(w->node), &w->zero);
    pthread_mutex_unlock(&w->lock);
}

void watch_figures(struct watch *w, struct watch_figures *out)
{
    *out = (struct watch_figures){.memory_at_start = w->memory_at_start};
    memory_sample(w);
    out->memory_peak = atomic_load(&w->memory_peak);
    set_figures(node_set(w->node), &out->set);
    pthread_mutex_lock(&w->lock);
    out->ops_per_s = (uint64_t)rate_mean(&w->commands);
    out->turns_per_s = (uint64_t)rate_mean(&w->turns);
    out->turn_us = out->turns_per_s == 0 ? 0 : (uint64_t)(rate_mean(&w->turns_ns) / 1000 / rate_mean(&w->turns));
    out->input_kb_per_s = rate_mean(&w->input) / 1024;
    out->output_kb_per_s = rate_mean(&w->output) / 1024;
    out->set.hits -= w->zero.hits;
    out->set.misses -= w->zero.misses;
    out->set.expired -= w->zero.expired;
    out->set.evictions -= w->zero.evictions;
    pthread_mutex_unlock(&w->lock);
}
