/*
 * repl.c - replication as a whole: opening it with the right history, its settings, its gates, its threads.
 */
#include "server/drive/repl.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "cluster/cluster.h"
#include "engine/set/stage.h"
#include "server/conf/config.h"
#include "server/drive/repl_lanes.h"
#include "server/drive/repl_priv.h"
#include "server/drive/repl_receive.h"
#include "server/drive/repl_ship.h"
#include "server/run/facts.h"
#include "server/run/registry.h"
#include "server/run/session.h"
#include "server/stat/watch.h"

/* ---- Settings ---- */

static enum err settings_read(void *context, struct config *c)
{
    struct repl *r = context;
    struct repl_settings *s = &r->settings;

    atomic_store(&s->timeout_ms, config_int(c, "repl-timeout") * 1000);
    atomic_store(&s->ping_ms, config_int(c, "repl-ping-replica-period") * 1000);
    atomic_store(&s->max_lag_ms, config_int(c, "min-replicas-max-lag") * 1000);
    atomic_store(&s->min_replicas, atomic_load(&s->max_lag_ms) > 0 ? config_int(c, "min-replicas-to-write") : 0);
    atomic_store(&s->copies_max, config_int(c, "repl-copies-max"));
    atomic_store(&s->copy_hold_ms, config_int(c, "repl-copy-hold-seconds") * 1000);
    atomic_store(&s->apply_threads, config_int(c, "repl-apply-threads"));
    atomic_store(&s->copy_files, config_bool(c, "repl-copy-files"));
    atomic_store(&s->priority, config_int(c, "replica-priority"));
    atomic_store(&s->serve_stale, config_bool(c, "replica-serve-stale-data"));
    atomic_store(&s->announced, config_bool(c, "replica-announced"));
    return OK;
}

/*
 * Its log is its primary's stream, byte for byte: there is no place in it for writes of its own (docs/decisions/0053). In a
 * cluster a replica sends writers to their master, whatever this says.
 */
static enum err read_only(void *context, struct config *c)
{
    const struct repl *r = context;

    if (config_bool(c, "replica-read-only") || node_is_cluster(r->node))
        return OK;
    return err_set(ERR_INVALID, "a replica cannot be written to: its log is its master's, byte for byte");
}

/* From a file of Redis: the node starts, says so, and tells the truth when it is asked. */
static void read_only_settle(struct repl *r, struct config *c)
{
    struct config_change yes = {.option = option_find(SLICE_LITERAL("replica-read-only")), .value = SLICE_LITERAL("yes"),
                                .name = SLICE_LITERAL("replica-read-only")};
    size_t failed;

    if (read_only(r, c) == OK)
        return;
    log_event(LOG_WARNING, "replica-read-only no has no effect: %s", err_text());
    check(config_set(c, &yes, 1, true, &failed) == OK);
}

static void settings_open(struct repl *r)
{
    static const char *const names[] = {"repl-timeout", "repl-ping-replica-period", "min-replicas-to-write",
                                        "min-replicas-max-lag", "replica-priority", "replica-serve-stale-data",
                                        "replica-announced", "repl-copies-max", "repl-copy-files", "repl-copy-hold-seconds",
                                        "repl-apply-threads"};
    struct config *c = node_config(r->node);

    (void)settings_read(r, c);
    read_only_settle(r, c);
    config_on_change(c, "replica-read-only", read_only, r);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        config_on_change(c, names[i], settings_read, r);
}

size_t repl_apply_threads(struct repl *r)
{
    int64_t wanted = atomic_load_explicit(&r->settings.apply_threads, memory_order_relaxed);

    return wanted > 0 ? (size_t)wanted : r->cores_lanes;
}

/* ---- Gates ---- */

static enum err gate(void *context, const struct gate *g)
{
    struct repl *r = context;
    int64_t least = atomic_load_explicit(&r->settings.min_replicas, memory_order_relaxed);
    bool write = (g->command->flags & FACT_WRITE) != 0;

    if (!node_is_replica(r->node)) {
        if (__builtin_expect(write && least > 0, 0) && (int64_t)atomic_load(&r->good) < least)
            return gate_refuse(g, "NOREPLICAS Not enough good replicas to write.");
        return OK;
    }
    if (write)
        return gate_refuse(g, "READONLY You can't write against a read only replica.");
    if ((g->command->flags & FACT_STALE) == 0 && !atomic_load_explicit(&r->settings.serve_stale, memory_order_relaxed) &&
        repl_link_state(r) != REPL_LINK_CONNECTED)
        return gate_refuse(g, "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.");
    return OK;
}

/* ---- Figures ---- */

static uint64_t sync_full(void *r)
{
    return atomic_load(&((struct repl *)r)->sync_full);
}

static uint64_t sync_partial_ok(void *r)
{
    return atomic_load(&((struct repl *)r)->sync_partial_ok);
}

static uint64_t sync_partial_err(void *r)
{
    return atomic_load(&((struct repl *)r)->sync_partial_err);
}

static uint64_t input_bytes(void *r)
{
    return atomic_load(&((struct repl *)r)->input_bytes);
}

static uint64_t output_bytes(void *r)
{
    return atomic_load(&((struct repl *)r)->output_bytes);
}

static void figures_open(struct repl *r)
{
    struct watch *w = node_watch(r->node);

    watch_gauge_add(w, "sync_full", sync_full, r);
    watch_gauge_add(w, "sync_partial_ok", sync_partial_ok, r);
    watch_gauge_add(w, "sync_partial_err", sync_partial_err, r);
    watch_gauge_add(w, "total_net_repl_input_bytes", input_bytes, r);
    watch_gauge_add(w, "total_net_repl_output_bytes", output_bytes, r);
    watch_section_add(w, "replication", repl_info, r);
}

/* ---- For the cluster core ---- */

void repl_report(struct repl *r, struct cluster_replication *out)
{
    msec_t now = node_now(r->node);

    pthread_mutex_lock(&r->link_lock);
    *out = (struct cluster_replication){
        .offset = wal_tail(r->wal),
        .whole = atomic_load(&r->whole),
        .link_up = repl_link_state(r) == REPL_LINK_CONNECTED,
    };
    out->master = r->primary_id[0] != '\0' ? r->primary_id : NULL;
    out->age_ms = !out->link_up ? now - r->down_since_ms : now > r->last_io_ms ? now - r->last_io_ms : 0;
    pthread_mutex_unlock(&r->link_lock);
}

void repl_want_offset(struct repl *r, uint64_t offset)
{
    atomic_store(&r->wanted, offset); /* the report of the next tick tells it */
}

/* ---- Life ---- */

static void tick(void *context, msec_t now_ms)
{
    struct repl *r = context;

    if (!r->started)
        return;
    repl_feed_tick(r, now_ms);
    repl_failover_tick(r, now_ms);
}

/*
 * A log that followed another node goes on with that one's history only as its replica. A primary whose log may have lost
 * its end must not go on with a history of which replicas may know more.
 */
static enum err history_open(struct repl *r, bool lossless)
{
    bool was_replica = repl_role_saved(r), has_primary;
    char **words = NULL;
    size_t count = config_words(node_config(r->node), "replicaof", &words);
    uint64_t random;
    enum err e = OK;

    has_primary = count == 2 && !node_is_cluster(r->node);
    if (has_primary) {
        snprintf(r->host, sizeof r->host, "%s", words[0]);
        r->port = atoi(words[1]);
        atomic_store(&r->link_state, REPL_LINK_CONNECT);
    }
    config_words_free(words, count);
    if (has_primary || (was_replica && node_is_cluster(r->node)))
        return repl_role_follow(r);
    if (was_replica)
        return repl_role_lead(r);
    if (!lossless && wal_tail(r->wal) > 0) {
        check(getrandom(&random, sizeof random, 0) == sizeof random);
        e = wal_history_fork(r->wal, random);
    }
    return e;
}

enum err repl_open(struct node *n, bool lossless, struct repl **out)
{
    struct repl *r = calloc(1, sizeof *r);
    enum err e;

    check(r != NULL);
    r->node = n;
    r->wal = node_wal(n);
    r->link_fd = r->feed_wake = -1;
    r->down_since_ms = node_now(n);
    atomic_init(&r->whole, true);
    atomic_init(&r->copy_total, -1);
    pthread_mutex_init(&r->role_lock, NULL);
    pthread_mutex_init(&r->link_lock, NULL);
    pthread_mutex_init(&r->list_lock, NULL);
    pthread_cond_init(&r->link_changed, NULL);
    pthread_cond_init(&r->copy_wanted, NULL);
    r->cores_lanes = repl_lanes_by_cores((size_t)sysconf(_SC_NPROCESSORS_ONLN));
    settings_open(r);
    r->ship = ship_open(r);
    r->receive = receive_open(r);
    e = history_open(r, lossless);
    if (e == OK)
        e = set_stage_clear(node_set(n)); /* what a copy left that a crash has cut in two */
    if (e != OK) {
        repl_close(r);
        return e;
    }
    node_add_admit(n, gate, r);
    node_add_session_end(n, repl_session_end, r);
    node_add_tick(n, tick, r);
    figures_open(r);
    repl_lost_open(r);
    *out = r;
    return OK;
}

void repl_start(struct repl *r)
{
    repl_feed_start(r);
    repl_copy_start(r);
    ship_start(r->ship);
    repl_link_start(r);
    r->started = true;
}

void repl_stop(struct repl *r)
{
    if (r == NULL || !r->started)
        return;
    r->started = false;
    repl_link_stop(r);
    repl_copy_stop(r);
    ship_stop(r->ship);
    repl_feed_stop(r);
}

void repl_close(struct repl *r)
{
    if (r == NULL)
        return;
    repl_feed_close(r);
    ship_close(r->ship);
    receive_close(r->receive);
    pthread_mutex_destroy(&r->role_lock);
    pthread_mutex_destroy(&r->link_lock);
    pthread_mutex_destroy(&r->list_lock);
    pthread_cond_destroy(&r->link_changed);
    pthread_cond_destroy(&r->copy_wanted);
    for (int i = 0; i < REPL_MARKS; i++)
        buf_free(&r->marks[i].text);
    free(r);
}
