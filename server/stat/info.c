/*
 * info.c - one function a section; a table names them.
 *
 * A figure that this server does not have is left out, or zero where readers insist on the field.
 */
#include "server/stat/info.h"

#include "base/log.h"
#include "engine/set/set.h"
#include "engine/store/store.h"
#include "persistence/wal.h"
#include "server/conf/config.h"
#include "server/net/clients.h"
#include "server/node.h"
#include "server/run/registry.h"
#include "server/run/stats.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#define LINE(out, ...) (buf_append_format((out), __VA_ARGS__), buf_append_str((out), "\r\n"))

static uint64_t resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long pages = 0, resident = 0;

    if (f != NULL) {
        if (fscanf(f, "%lu %lu", &pages, &resident) != 2)
            resident = 0;
        fclose(f);
    }
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* "1.50M", as Redis prints sizes. */
static const char *human(uint64_t bytes, char out[32])
{
    static const char units[] = "BKMGTP";
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1024 && unit + 2 < sizeof units) {
        value /= 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(out, 32, "%lluB", (unsigned long long)bytes);
    else
        snprintf(out, 32, "%.2f%c", value, units[unit]);
    return out;
}

static int64_t setting(struct node *n, const char *name)
{
    return node_config(n) != NULL ? config_int(node_config(n), name) : 0;
}

static uint64_t machine_bytes(void)
{
    struct sysinfo machine;

    return sysinfo(&machine) == 0 ? (uint64_t)machine.totalram * machine.mem_unit : 0;
}

static void server(struct node *n, struct buf *out)
{
    struct utsname name;
    msec_t up = node_now(n) - node_started_ms(n);

    uname(&name);
    LINE(out, "redis_version:7.2.4");
    LINE(out, "server_name:cairn");
    LINE(out, "cairn_version:%s", CAIRN_VERSION);
    LINE(out, "redis_git_sha1:00000000");
    LINE(out, "redis_git_dirty:0");
    LINE(out, "redis_build_id:0");
    LINE(out, "redis_mode:%s", node_is_cluster(n) ? "cluster" : "standalone");
    LINE(out, "os:%s %s %s", name.sysname, name.release, name.machine);
    LINE(out, "arch_bits:64");
    LINE(out, "monotonic_clock:POSIX clock_gettime");
    LINE(out, "multiplexing_api:epoll");
    LINE(out, "gcc_version:%d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
    LINE(out, "process_id:%d", (int)getpid());
    LINE(out, "process_supervised:no");
    LINE(out, "run_id:%s", node_run_id(n));
    LINE(out, "tcp_port:%d", node_port(n));
    LINE(out, "server_time_usec:%lld", (long long)node_now(n) * 1000);
    LINE(out, "uptime_in_seconds:%lld", (long long)up / 1000);
    LINE(out, "uptime_in_days:%lld", (long long)up / 86400000);
    LINE(out, "hz:%lld", (long long)setting(n, "hz"));
    LINE(out, "configured_hz:%lld", (long long)setting(n, "hz"));
    LINE(out, "executable:%s", program_invocation_name);
    LINE(out, "config_file:%s", node_config_file(n));
    LINE(out, "io_threads_active:%d", node_workers(n) > 1);
}

static void clients(struct node *n, struct buf *out)
{
    struct clients_figures f;

    clients_figures(node_clients(n), &f);
    LINE(out, "connected_clients:%llu", (unsigned long long)f.connected);
    LINE(out, "cluster_connections:0");
    LINE(out, "maxclients:%llu", (unsigned long long)f.maxclients);
    LINE(out, "client_recent_max_input_buffer:%llu", (unsigned long long)f.input_largest);
    LINE(out, "client_recent_max_output_buffer:%llu", (unsigned long long)f.output_longest);
    LINE(out, "blocked_clients:%llu", (unsigned long long)f.blocked);
    LINE(out, "tracking_clients:%llu", (unsigned long long)f.tracking);
    LINE(out, "clients_in_timeout_table:0");
}

static void memory(struct node *n, struct buf *out)
{
    struct set_figures set;
    struct clients_figures f;
    uint64_t resident = resident_bytes(), used, most = (uint64_t)setting(n, "maxmemory");
    char text[32];

    set_figures(node_set(n), &set);
    clients_figures(node_clients(n), &f);
    used = set.bytes + store_cache_usage(node_store(n)) + store_memtable_bytes(node_store(n)) + f.memory_normal;
    LINE(out, "used_memory:%llu", (unsigned long long)used);
    LINE(out, "used_memory_human:%s", human(used, text));
    LINE(out, "used_memory_rss:%llu", (unsigned long long)resident);
    LINE(out, "used_memory_rss_human:%s", human(resident, text));
    LINE(out, "used_memory_peak:%llu", (unsigned long long)used);
    LINE(out, "used_memory_peak_human:%s", human(used, text));
    LINE(out, "used_memory_overhead:%llu", (unsigned long long)(used - set.bytes));
    LINE(out, "used_memory_startup:0");
    LINE(out, "used_memory_dataset:%llu", (unsigned long long)set.bytes);
    LINE(out, "used_memory_lua:0");
    LINE(out, "total_system_memory:%llu", (unsigned long long)machine_bytes());
    LINE(out, "total_system_memory_human:%s", human(machine_bytes(), text));
    LINE(out, "maxmemory:%llu", (unsigned long long)most);
    LINE(out, "maxmemory_human:%s", human(most, text));
    LINE(out, "maxmemory_policy:noeviction");
    LINE(out, "mem_fragmentation_ratio:%.2f", used > 0 ? (double)resident / (double)used : 1.0);
    LINE(out, "mem_clients_normal:%llu", (unsigned long long)f.memory_normal);
    LINE(out, "mem_clients_slaves:%llu", (unsigned long long)f.memory_replicas);
    LINE(out, "mem_allocator:jemalloc");
    LINE(out, "active_defrag_running:0");
    LINE(out, "lazyfree_pending_objects:0");
}

static void persistence(struct node *n, struct buf *out)
{
    struct wal_figures w;
    struct set_figures set;

    wal_figures(node_wal(n), &w);
    set_figures(node_set(n), &set);
    LINE(out, "loading:0");
    LINE(out, "async_loading:0");
    LINE(out, "rdb_changes_since_last_save:%llu", (unsigned long long)(w.tail - (w.floor < w.tail ? w.floor : w.tail)));
    LINE(out, "rdb_bgsave_in_progress:0");
    LINE(out, "rdb_last_save_time:%lld", (long long)node_started_ms(n) / 1000);
    LINE(out, "rdb_last_bgsave_status:ok");
    LINE(out, "rdb_last_bgsave_time_sec:-1");
    LINE(out, "rdb_current_bgsave_time_sec:-1");
    LINE(out, "aof_enabled:1");
    LINE(out, "aof_rewrite_in_progress:0");
    LINE(out, "aof_rewrite_scheduled:0");
    LINE(out, "aof_last_rewrite_time_sec:-1");
    LINE(out, "aof_current_rewrite_time_sec:-1");
    LINE(out, "aof_last_bgrewrite_status:ok");
    LINE(out, "aof_last_write_status:%s", w.space_low ? "err" : "ok");
    LINE(out, "aof_current_size:%llu", (unsigned long long)w.bytes);
    LINE(out, "aof_base_size:0");
    LINE(out, "aof_pending_bio_fsync:0");
    LINE(out, "aof_delayed_fsync:0");
}

static void stats(struct node *n, struct buf *out)
{
    struct clients_figures f;
    struct set_figures set;

    clients_figures(node_clients(n), &f);
    set_figures(node_set(n), &set);
    LINE(out, "total_connections_received:%llu", (unsigned long long)f.accepted);
    LINE(out, "total_commands_processed:%llu", (unsigned long long)stats_calls(node_stats(n)));
    LINE(out, "total_net_input_bytes:%llu", (unsigned long long)f.received);
    LINE(out, "total_net_output_bytes:%llu", (unsigned long long)f.sent);
    LINE(out, "rejected_connections:%llu", (unsigned long long)f.rejected);
    LINE(out, "sync_full:0");
    LINE(out, "sync_partial_ok:0");
    LINE(out, "sync_partial_err:0");
    LINE(out, "expired_keys:%llu", (unsigned long long)set.expired);
    LINE(out, "evicted_keys:0");
    LINE(out, "keyspace_hits:%llu", (unsigned long long)set.hits);
    LINE(out, "keyspace_misses:%llu", (unsigned long long)set.misses);
    LINE(out, "pubsub_channels:0");
    LINE(out, "pubsub_patterns:0");
    LINE(out, "latest_fork_usec:0");
    LINE(out, "total_forks:0");
    LINE(out, "total_error_replies:%llu", (unsigned long long)stats_errors(node_stats(n)));
    LINE(out, "total_reads_processed:%llu", (unsigned long long)f.reads);
    LINE(out, "total_writes_processed:%llu", (unsigned long long)f.writes);
    LINE(out, "client_query_buffer_limit_disconnections:%llu", (unsigned long long)f.query_limit_closes);
    LINE(out, "client_output_buffer_limit_disconnections:%llu", (unsigned long long)f.output_limit_closes);
}

static void replication(struct node *n, struct buf *out)
{
    struct history h;
    struct wal_figures w;

    wal_history(node_wal(n), &h);
    wal_figures(node_wal(n), &w);
    LINE(out, "role:master");
    LINE(out, "connected_slaves:0");
    LINE(out, "master_failover_state:no-failover");
    LINE(out, "master_replid:%.40s", h.replid);
    LINE(out, "master_replid2:0000000000000000000000000000000000000000");
    LINE(out, "master_repl_offset:%llu", (unsigned long long)w.tail);
    LINE(out, "second_repl_offset:-1");
    LINE(out, "repl_backlog_active:1");
    LINE(out, "repl_backlog_size:%llu", (unsigned long long)w.bytes);
    LINE(out, "repl_backlog_first_byte_offset:%llu", (unsigned long long)w.first + 1);
    LINE(out, "repl_backlog_histlen:%llu", (unsigned long long)(w.tail - w.first));
}

static void cpu(struct node *n, struct buf *out)
{
    struct rusage self, children;

    (void)n;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    LINE(out, "used_cpu_sys:%ld.%06ld", (long)self.ru_stime.tv_sec, (long)self.ru_stime.tv_usec);
    LINE(out, "used_cpu_user:%ld.%06ld", (long)self.ru_utime.tv_sec, (long)self.ru_utime.tv_usec);
    LINE(out, "used_cpu_sys_children:%ld.%06ld", (long)children.ru_stime.tv_sec, (long)children.ru_stime.tv_usec);
    LINE(out, "used_cpu_user_children:%ld.%06ld", (long)children.ru_utime.tv_sec, (long)children.ru_utime.tv_usec);
}

static void modules(struct node *n, struct buf *out)
{
    (void)n;
    (void)out; /* there are none */
}

static void commandstats(struct node *n, struct buf *out)
{
    const struct registry *r = node_registry(n);

    for (size_t i = 0; i < registry_count(r); i++) {
        struct stats_command s;

        stats_command(node_stats(n), i, &s);
        if (s.calls + s.rejected + s.failed > 0)
            LINE(out, "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,failed_calls=%llu",
                 registry_at(r, i)->name, (unsigned long long)s.calls, (unsigned long long)(s.duration_ns / 1000),
                 s.calls > 0 ? (double)s.duration_ns / 1000.0 / (double)s.calls : 0.0, (unsigned long long)s.rejected,
                 (unsigned long long)s.failed);
    }
}

static void error_line(void *context, struct slice code, uint64_t count)
{
    LINE((struct buf *)context, "errorstat_%.*s:count=%llu", (int)code.size, (const char *)code.data,
         (unsigned long long)count);
}

static void errorstats(struct node *n, struct buf *out)
{
    stats_each(node_stats(n), error_line, out);
}

static void latencystats(struct node *n, struct buf *out)
{
    const struct registry *r = node_registry(n);

    for (size_t i = 0; i < registry_count(r); i++) {
        struct stats_command s;

        stats_command(node_stats(n), i, &s);
        if (s.calls > 0)
            LINE(out, "latency_percentiles_usec_%s:p50=%.3f,p99=%.3f,p99.9=%.3f", registry_at(r, i)->name,
                 (double)stats_quantile_ns(&s, 0.5) / 1000, (double)stats_quantile_ns(&s, 0.99) / 1000,
                 (double)stats_quantile_ns(&s, 0.999) / 1000);
    }
}

static void cluster(struct node *n, struct buf *out)
{
    LINE(out, "cluster_enabled:%d", node_is_cluster(n));
}

static void keyspace(struct node *n, struct buf *out)
{
    for (unsigned db = 0; db < node_databases(n); db++)
        if (set_keys(node_set(n), db) > 0)
            LINE(out, "db%u:keys=%llu,expires=%llu,avg_ttl=0", db, (unsigned long long)set_keys(node_set(n), db),
                 (unsigned long long)set_expires(node_set(n), db));
}

static void cairn(struct node *n, struct buf *out)
{
    struct set_figures s;
    struct wal_figures w;

    set_figures(node_set(n), &s);
    wal_figures(node_wal(n), &w);
    LINE(out, "set_bytes:%llu", (unsigned long long)s.bytes);
    LINE(out, "set_budget_bytes:%llu", (unsigned long long)s.budget_bytes);
    LINE(out, "set_dirty_bytes:%llu", (unsigned long long)s.dirty_bytes);
    LINE(out, "set_objects:%llu", (unsigned long long)s.objects);
    LINE(out, "set_loads:%llu", (unsigned long long)s.loads);
    LINE(out, "set_evictions:%llu", (unsigned long long)s.evictions);
    LINE(out, "set_drains:%llu", (unsigned long long)s.drains);
    LINE(out, "set_drained_objects:%llu", (unsigned long long)s.drained_objects);
    LINE(out, "set_drain_ingests:%llu", (unsigned long long)s.drain_ingests);
    LINE(out, "set_drain_batches:%llu", (unsigned long long)s.drain_batches);
    LINE(out, "set_stalls:%llu", (unsigned long long)s.stalls);
    LINE(out, "wal_first:%llu", (unsigned long long)w.first);
    LINE(out, "wal_tail:%llu", (unsigned long long)w.tail);
    LINE(out, "wal_durable:%llu", (unsigned long long)w.durable);
    LINE(out, "wal_floor:%llu", (unsigned long long)set_floor(node_set(n)));
    LINE(out, "wal_segments:%llu", (unsigned long long)w.segments);
    LINE(out, "wal_sealed_segments:%llu", (unsigned long long)w.sealed_segments);
    LINE(out, "wal_bytes:%llu", (unsigned long long)w.bytes);
    LINE(out, "wal_syncs:%llu", (unsigned long long)w.syncs);
    LINE(out, "wal_sync_usec:%llu", (unsigned long long)w.sync_us);
    LINE(out, "wal_sync_usec_max:%llu", (unsigned long long)w.sync_us_max);
    LINE(out, "store_cache_bytes:%llu", (unsigned long long)store_cache_usage(node_store(n)));
    LINE(out, "store_memtable_bytes:%llu", (unsigned long long)store_memtable_bytes(node_store(n)));
    LINE(out, "store_sst_bytes:%llu", (unsigned long long)store_property(node_store(n), "rocksdb.live-sst-files-size"));
    LINE(out, "store_pending_compaction_bytes:%llu",
         (unsigned long long)store_property(node_store(n), "rocksdb.estimate-pending-compaction-bytes"));
    LINE(out, "store_level0_files:%llu", (unsigned long long)store_property(node_store(n), "rocksdb.num-files-at-level0"));
}

enum when { BY_DEFAULT, WITH_ALL };

static const struct {
    const char *name, *title;
    enum when when;
    void (*write)(struct node *n, struct buf *out);
} sections[] = {
    {"server", "Server", BY_DEFAULT, server},
    {"clients", "Clients", BY_DEFAULT, clients},
    {"memory", "Memory", BY_DEFAULT, memory},
    {"persistence", "Persistence", BY_DEFAULT, persistence},
    {"stats", "Stats", BY_DEFAULT, stats},
    {"replication", "Replication", BY_DEFAULT, replication},
    {"cpu", "CPU", BY_DEFAULT, cpu},
    {"modules", "Modules", BY_DEFAULT, modules},
    {"commandstats", "Commandstats", WITH_ALL, commandstats},
    {"errorstats", "Errorstats", BY_DEFAULT, errorstats},
    {"latencystats", "Latencystats", WITH_ALL, latencystats},
    {"cluster", "Cluster", BY_DEFAULT, cluster},
    {"keyspace", "Keyspace", BY_DEFAULT, keyspace},
    {"cairn", "Cairn", BY_DEFAULT, cairn},
};

void info_text(struct node *n, const struct slice *wanted, size_t count, struct buf *out)
{
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        bool show = count == 0 && sections[i].when == BY_DEFAULT;

        for (size_t k = 0; k < count && !show; k++)
            show = slice_is(wanted[k], sections[i].name) || slice_is(wanted[k], "all") ||
                   slice_is(wanted[k], "everything") || (slice_is(wanted[k], "default") && sections[i].when == BY_DEFAULT);
        if (!show)
            continue;
        if (out->size > 0)
            buf_append_str(out, "\r\n");
        LINE(out, "# %s", sections[i].title);
        sections[i].write(n, out);
    }
}
