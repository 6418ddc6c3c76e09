/*
 * info_data.c - INFO: persistence, stats, replication, and what only this server has.
 */
#include "engine/set/set.h"
#include "engine/store/store.h"
#include "persistence/wal.h"
#include "server/net/clients.h"
#include "server/node.h"
#include "server/run/pool.h"
#include "server/run/stats.h"
#include "server/stat/info_priv.h"
#include "server/stat/save.h"
#include "server/stat/watch.h"

/* ---- Persistence ---- */

static void saves(const struct node *n, const struct save_figures *s, struct buf *out)
{
    uint64_t loaded, expired;

    node_imported(n, &loaded, &expired);
    info_number(out, "rdb_changes_since_last_save", s->changes);
    info_number(out, "rdb_bgsave_in_progress", s->background);
    LINE(out, "rdb_last_save_time:%lld", (long long)s->last_s);
    LINE(out, "rdb_last_bgsave_status:%s", s->ok ? "ok" : "err");
    LINE(out, "rdb_last_bgsave_time_sec:%lld", (long long)s->duration_s);
    LINE(out, "rdb_current_bgsave_time_sec:%lld", (long long)(s->background ? s->running_s : -1));
    info_number(out, "rdb_saves", s->count);
    info_number(out, "rdb_last_cow_size", 0);
    info_number(out, "rdb_last_load_keys_expired", expired);
    info_number(out, "rdb_last_load_keys_loaded", loaded);
}

static void loading(struct node *n, struct buf *out)
{
    struct node_loading l;
    double seconds;

    if (!node_loading(n, &l)) {
        info_number(out, "loading", watch_gauge(node_watch(n), "loading"));
        return;
    }
    info_number(out, "loading", 1);
    LINE(out, "loading_start_time:%lld", (long long)l.since_ms / 1000);
    info_number(out, "loading_total_bytes", l.total);
    info_number(out, "loading_loaded_bytes", l.done);
    LINE(out, "loading_loaded_perc:%.2f", l.total == 0 ? 0 : 100 * (double)l.done / (double)l.total);
    seconds = (double)(node_now(n) - l.since_ms) / 1000;
    LINE(out, "loading_eta_seconds:%lld", l.done == 0 ? 1 : (long long)(seconds * (double)(l.total - l.done) / (double)l.done));
}

void info_persistence(struct node *n, struct buf *out)
{
    struct save_figures s;
    struct wal_figures w;

    save_figures(watch_save(node_watch(n)), &s);
    wal_figures(node_wal(n), &w);
    loading(n, out);
    info_number(out, "async_loading", 0);
    info_number(out, "current_cow_peak", 0);
    info_number(out, "current_cow_size", 0);
    info_number(out, "current_cow_size_age", 0);
    LINE(out, "current_fork_perc:0.00");
    info_number(out, "current_save_keys_processed", s.running ? s.keys : 0);
    info_number(out, "current_save_keys_total", s.running ? s.keys_total : 0);
    saves(n, &s, out);
    info_number(out, "aof_enabled", 1);
    info_number(out, "aof_rewrite_in_progress", s.checkpoint);
    info_number(out, "aof_rewrite_scheduled", 0);
    LINE(out, "aof_last_rewrite_time_sec:%lld", (long long)s.duration_s);
    LINE(out, "aof_current_rewrite_time_sec:%lld", (long long)s.running_s);
    LINE(out, "aof_last_bgrewrite_status:%s", s.ok ? "ok" : "err");
    info_number(out, "aof_rewrites", s.count);
    info_number(out, "aof_rewrites_consecutive_failures", !s.ok);
    LINE(out, "aof_last_write_status:%s", w.space_low ? "err" : "ok");
    info_number(out, "aof_last_cow_size", 0);
    info_number(out, "module_fork_in_progress", 0);
    info_number(out, "module_fork_last_cow_size", 0);
    info_number(out, "aof_current_size", w.bytes);
    info_number(out, "aof_base_size", 0);
    info_number(out, "aof_pending_rewrite", 0);
    info_number(out, "aof_buffer_length", w.tail - w.written);
    info_number(out, "aof_pending_bio_fsync", w.written > w.durable);
    info_number(out, "aof_delayed_fsync", 0);
}

/* ---- Stats ---- */

/* Fields of features that other rooms may bring; zero without them. */
static void gauges(struct node *n, const char *const *names, struct buf *out)
{
    for (; *names != NULL; names++)
        info_number(out, *names, watch_gauge(node_watch(n), *names));
}

static void traffic(struct node *n, const struct clients_figures *f, const struct watch_figures *w, struct buf *out)
{
    info_number(out, "total_connections_received", f->accepted);
    info_number(out, "total_commands_processed", stats_calls(node_stats(n)));
    info_number(out, "instantaneous_ops_per_sec", w->ops_per_s);
    info_number(out, "total_net_input_bytes", f->received);
    info_number(out, "total_net_output_bytes", f->sent);
    gauges(n, (const char *const[]){"total_net_repl_input_bytes", "total_net_repl_output_bytes", NULL}, out);
    LINE(out, "instantaneous_input_kbps:%.2f", w->input_kb_per_s);
    LINE(out, "instantaneous_output_kbps:%.2f", w->output_kb_per_s);
    LINE(out, "instantaneous_input_repl_kbps:0.00");
    LINE(out, "instantaneous_output_repl_kbps:0.00");
    info_number(out, "rejected_connections", f->rejected);
}

static void expiry(const struct watch_figures *w, struct buf *out)
{
    info_number(out, "expired_keys", w->set.expired);
    LINE(out, "expired_stale_perc:0.00");
    info_number(out, "expired_time_cap_reached_count", 0);
    info_number(out, "expire_cycle_cpu_milliseconds", 0);
    info_number(out, "evicted_keys", 0); /* what leaves memory stays in the data set: see set_evictions */
    info_number(out, "total_eviction_exceeded_time", 0);
    info_number(out, "current_eviction_exceeded_time", 0);
    info_number(out, "keyspace_hits", w->set.hits);
    info_number(out, "keyspace_misses", w->set.misses);
}

void info_stats(struct node *n, struct buf *out)
{
    struct clients_figures f;
    struct watch_figures w;

    clients_figures(node_clients(n), &f);
    watch_figures(node_watch(n), &w);
    traffic(n, &f, &w, out);
    gauges(n, (const char *const[]){"sync_full", "sync_partial_ok", "sync_partial_err", NULL}, out);
    expiry(&w, out);
    info_number(out, "evicted_clients", f.evicted);
    gauges(n,
           (const char *const[]){"pubsub_channels", "pubsub_patterns", "pubsubshard_channels", "latest_fork_usec",
                                 "total_forks", "migrate_cached_sockets", "slave_expires_tracked_keys",
                                 "active_defrag_hits", "active_defrag_misses", "active_defrag_key_hits",
                                 "active_defrag_key_misses", "total_active_defrag_time", "current_active_defrag_time",
                                 "tracking_total_keys", "tracking_total_items", "tracking_total_prefixes",
                                 "unexpected_error_replies", NULL},
           out);
    info_number(out, "total_error_replies", stats_errors(node_stats(n)));
    gauges(n, (const char *const[]){"dump_payload_sanitizations", NULL}, out);
    info_number(out, "total_reads_processed", f.reads);
    info_number(out, "total_writes_processed", f.writes);
    gauges(n,
           (const char *const[]){"io_threaded_reads_processed", "io_threaded_writes_processed", "reply_buffer_shrinks",
                                 "reply_buffer_expands", "acl_access_denied_auth", "acl_access_denied_cmd",
                                 "acl_access_denied_key", "acl_access_denied_channel", NULL},
           out);
    info_number(out, "client_query_buffer_limit_disconnections", f.query_limit_closes);
    info_number(out, "client_output_buffer_limit_disconnections", f.output_limit_closes);
    info_number(out, "eventloop_cycles", f.turns);
    info_number(out, "eventloop_duration_sum", f.turns_ns / 1000);
    info_number(out, "eventloop_duration_cmd_sum", stats_time_ns(node_stats(n)) / 1000);
    info_number(out, "instantaneous_eventloop_cycles_per_sec", w.turns_per_s);
    info_number(out, "instantaneous_eventloop_duration_usec", w.turn_us);
}

/* ---- Replication: of a node without replicas; server/drive brings its own section ---- */

void info_replication(struct node *n, struct buf *out)
{
    struct history h;
    struct wal_figures w;

    wal_history(node_wal(n), &h);
    wal_figures(node_wal(n), &w);
    LINE(out, "role:%s", node_is_replica(n) ? "slave" : "master");
    info_number(out, "connected_slaves", 0);
    LINE(out, "master_failover_state:no-failover");
    LINE(out, "master_replid:%.40s", h.replid);
    LINE(out, "master_replid2:%.40s",
         h.ancestors_count > 0 ? h.ancestors[0].replid : "0000000000000000000000000000000000000000");
    info_number(out, "master_repl_offset", w.tail);
    LINE(out, "second_repl_offset:%lld", h.ancestors_count > 0 ? (long long)h.ancestors[0].end + 1 : -1);
    info_number(out, "repl_backlog_active", 1);
    info_number(out, "repl_backlog_size", w.bytes);
    info_number(out, "repl_backlog_first_byte_offset", w.first + 1);
    info_number(out, "repl_backlog_histlen", w.tail - w.first);
}

/* ---- Cairn ---- */

static void working_set(const struct set_figures *s, struct buf *out)
{
    info_number(out, "set_bytes", s->bytes);
    info_number(out, "set_budget_bytes", s->budget_bytes);
    info_number(out, "set_dirty_bytes", s->dirty_bytes);
    info_number(out, "set_objects", s->objects);
    info_number(out, "set_loads", s->loads);
    info_number(out, "set_evictions", s->evictions);
    info_number(out, "set_drains", s->drains);
    info_number(out, "set_drained_objects", s->drained_objects);
    info_number(out, "set_drain_ingests", s->drain_ingests);
    info_number(out, "set_drain_batches", s->drain_batches);
    info_number(out, "set_stalls", s->stalls);
}

static void the_log(struct node *n, struct buf *out)
{
    static const char *const policies[] = {"always", "everysec", "no"};
    struct wal_figures w;

    wal_figures(node_wal(n), &w);
    LINE(out, "wal_fsync:%s", policies[wal_fsync_policy(node_wal(n))]);
    info_number(out, "wal_first", w.first);
    info_number(out, "wal_floor", set_floor(node_set(n)));
    info_number(out, "wal_durable", w.durable);
    info_number(out, "wal_written", w.written);
    info_number(out, "wal_tail", w.tail);
    info_number(out, "wal_segments", w.segments);
    info_number(out, "wal_sealed_segments", w.sealed_segments);
    info_number(out, "wal_bytes", w.bytes);
    info_number(out, "wal_frames", w.frames);
    info_number(out, "wal_writes", w.writes);
    info_number(out, "wal_write_bytes", w.write_bytes);
    info_number(out, "wal_write_usec", w.write_us);
    info_number(out, "wal_syncs", w.syncs);
    info_number(out, "wal_sync_usec", w.sync_us);
    info_number(out, "wal_sync_usec_max", w.sync_us_max);
    info_number(out, "wal_space_low", w.space_low);
}

static void the_store(struct node *n, struct buf *out)
{
    static const struct {
        const char *name, *property;
    } figures[] = {
        {"store_sst_bytes", "rocksdb.live-sst-files-size"},
        {"store_estimated_rows", "rocksdb.estimate-num-keys"},
        {"store_level0_files", "rocksdb.num-files-at-level0"},
        {"store_pending_compaction_bytes", "rocksdb.estimate-pending-compaction-bytes"},
        {"store_running_compactions", "rocksdb.num-running-compactions"},
        {"store_running_flushes", "rocksdb.num-running-flushes"},
        {"store_delayed_write_rate", "rocksdb.actual-delayed-write-rate"},
        {"store_writes_stopped", "rocksdb.is-write-stopped"},
        {"store_background_errors", "rocksdb.background-errors"},
        {"store_table_readers_bytes", "rocksdb.estimate-table-readers-mem"},
    };

    info_number(out, "store_cache_bytes", store_cache_usage(node_store(n)));
    info_number(out, "store_memtable_bytes", store_memtable_bytes(node_store(n)));
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        info_number(out, figures[i].name, store_property(node_store(n), figures[i].property));
}

void info_cairn(struct node *n, struct buf *out)
{
    struct set_figures s;
    struct pool_figures p;

    set_figures(node_set(n), &s);
    pool_figures(node_pool(n), &p);
    info_number(out, "workers", node_workers(n));
    info_number(out, "reader_threads", p.threads);
    info_number(out, "reader_jobs_queued", p.queued);
    info_number(out, "reader_jobs_running", p.running);
    info_number(out, "reader_jobs_done", p.done);
    working_set(&s, out);
    the_log(n, out);
    the_store(n, out);
}
