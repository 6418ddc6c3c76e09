/*
 * info_node.c - INFO: server, clients, memory, cpu, cluster, keyspace.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cluster/report.h"
#include "engine/set/set.h"
#include "server/conf/config.h"
#include "server/drive/cluster_service.h"
#include "server/drive/slot_drop.h"
#include "server/net/clients.h"
#include "server/node.h"
#include "server/stat/info_priv.h"
#include "server/stat/memory.h"
#include "server/stat/watch.h"

/* ---- Server ---- */

static void listener_line(struct node *n, int number, const char *name, int port, struct buf *out)
{
    char **words = NULL;
    size_t count = config_words(node_config(n), "bind", &words);

    buf_append_format(out, "listener%d:name=%s", number, name);
    for (size_t i = 0; i < count; i++)
        buf_append_format(out, ",bind=%s", words[i]);
    LINE(out, ",port=%d", port);
    config_words_free(words, count);
}

static void listeners(struct node *n, struct buf *out)
{
    struct buf path = {0};
    int number = 0;

    if (node_config(n) == NULL)
        return;
    if (node_port(n) != 0)
        listener_line(n, number++, "tcp", node_port(n), out);
    if (node_tls_port(n) != 0)
        listener_line(n, number++, "tls", node_tls_port(n), out);
    if (config_string(node_config(n), "unixsocket", &path)[0] != '\0')
        LINE(out, "listener%d:name=unix,bind=%s", number, (const char *)path.data);
    buf_free(&path);
}

static void executable(struct buf *out)
{
    char path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path);

    LINE(out, "executable:%.*s", size > 0 ? (int)size : 0, path);
}

static bool is_supervised(struct node *n)
{
    int64_t how = info_setting(n, "supervised");

    return (how == 1 || how == 2) && getenv("NOTIFY_SOCKET") != NULL;
}

void info_server(struct node *n, struct buf *out)
{
    struct utsname name;
    msec_t now = node_now(n), up = now - node_started_ms(n);

    uname(&name);
    LINE(out, "redis_version:7.2.4");
    LINE(out, "server_name:cairn");
    LINE(out, "cairn_version:%s", CAIRN_VERSION);
    LINE(out, "redis_git_sha1:00000000");
    LINE(out, "redis_git_dirty:0");
    LINE(out, "redis_build_id:0");
    LINE(out, "redis_mode:%s", node_is_cluster(n) ? "cluster" : "standalone");
    LINE(out, "os:%s %s %s", name.sysname, name.release, name.machine);
    LINE(out, "arch_bits:%zu", sizeof(void *) * 8);
    LINE(out, "monotonic_clock:POSIX clock_gettime");
    LINE(out, "multiplexing_api:epoll");
    LINE(out, "atomicvar_api:c11-builtin");
    LINE(out, "gcc_version:%d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
    LINE(out, "process_id:%d", (int)getpid());
    LINE(out, "process_supervised:%s", is_supervised(n) ? "systemd" : "no");
    LINE(out, "run_id:%s", node_run_id(n));
    LINE(out, "tcp_port:%d", node_port(n));
    LINE(out, "server_time_usec:%lld", (long long)now * 1000);
    LINE(out, "uptime_in_seconds:%lld", (long long)up / 1000);
    LINE(out, "uptime_in_days:%lld", (long long)up / 86400000);
    LINE(out, "hz:%lld", (long long)info_setting(n, "hz"));
    LINE(out, "configured_hz:%lld", (long long)info_setting(n, "hz"));
    LINE(out, "lru_clock:%lld", (long long)(now / 1000 & 0xFFFFFF));
    executable(out);
    LINE(out, "config_file:%s", node_config_file(n));
    LINE(out, "io_threads_active:%d", node_workers(n) > 1);
    listeners(n, out);
}

/* ---- Clients, cluster ---- */

static void count_links(void *context, struct cluster *core)
{
    struct report_link *links = NULL;

    *(size_t *)context = report_links(core, &links);
    free(links);
}

static size_t bus_links(struct node *n)
{
    size_t count = 0;

    if (node_cluster(n) != NULL)
        cluster_service_read(node_cluster(n), count_links, &count);
    return count;
}

void info_clients(struct node *n, struct buf *out)
{
    struct clients_figures f;

    clients_figures(node_clients(n), &f);
    info_number(out, "connected_clients", f.connected);
    info_number(out, "cluster_connections", bus_links(n));
    info_number(out, "maxclients", f.maxclients);
    info_number(out, "client_recent_max_input_buffer", f.input_largest);
    info_number(out, "client_recent_max_output_buffer", f.output_longest);
    info_number(out, "blocked_clients", f.blocked);
    info_number(out, "clients_in_timeout_table", f.blocked_timed);
    info_number(out, "tracking_clients", f.tracking);
    info_number(out, "pubsub_clients", f.pubsub);
}

void info_cluster(struct node *n, struct buf *out)
{
    struct slot_drop_figures f;

    LINE(out, "cluster_enabled:%d", node_is_cluster(n));
    if (node_cluster(n) == NULL)
        return;
    slot_drop_figures(cluster_service_drop(node_cluster(n)), &f);
    info_number(out, "slots_dropped", f.slots);
    info_number(out, "slots_dropped_keys", f.keys);
    info_number(out, "slots_dropped_freed_bytes", f.freed_bytes);
}

void info_keyspace(struct node *n, struct buf *out)
{
    for (unsigned db = 0; db < node_databases(n); db++) {
        uint64_t keys = set_keys_shown(node_set(n), db);

        if (keys > 0)
            LINE(out, "db%u:keys=%llu,expires=%llu,avg_ttl=%lld", db, (unsigned long long)keys,
                 (unsigned long long)set_expires_shown(node_set(n), db), (long long)set_average_ttl(node_set(n), db));
    }
}

/* ---- Memory ---- */

static void scripts(struct node *n, struct buf *out)
{
    struct watch *w = node_watch(n);

    info_size(out, "used_memory_lua", watch_gauge(w, "used_memory_lua"));
    info_number(out, "used_memory_vm_eval", watch_gauge(w, "used_memory_lua"));
    info_number(out, "used_memory_scripts_eval", watch_gauge(w, "used_memory_scripts_eval"));
    info_number(out, "number_of_cached_scripts", watch_gauge(w, "number_of_cached_scripts"));
    info_number(out, "number_of_functions", watch_gauge(w, "number_of_functions"));
    info_number(out, "number_of_libraries", watch_gauge(w, "number_of_libraries"));
    info_number(out, "used_memory_vm_functions", 0);
    info_size(out, "used_memory_vm_total", watch_gauge(w, "used_memory_lua"));
    info_number(out, "used_memory_functions", 0);
    info_size(out, "used_memory_scripts", watch_gauge(w, "used_memory_scripts_eval"));
}

static double ratio(uint64_t a, uint64_t b)
{
    return b > 0 ? (double)a / (double)b : 1;
}

static void allocator(const struct memory_parts *p, struct buf *out)
{
    const struct memory_figures *a = &p->allocator;

    LINE(out, "allocator_frag_ratio:%.2f", p->fragmentation);
    LINE(out, "allocator_frag_bytes:%lld", (long long)(a->active - a->allocated));
    LINE(out, "allocator_rss_ratio:%.2f", ratio(a->resident_allocator, a->active));
    LINE(out, "allocator_rss_bytes:%lld", (long long)(a->resident_allocator - a->active));
    LINE(out, "rss_overhead_ratio:%.2f", ratio(a->resident, a->resident_allocator));
    LINE(out, "rss_overhead_bytes:%lld", (long long)(a->resident - a->resident_allocator));
    LINE(out, "mem_fragmentation_ratio:%.2f", p->resident_ratio);
    LINE(out, "mem_fragmentation_bytes:%lld", (long long)(a->resident - p->used));
}

void info_memory(struct node *n, struct buf *out)
{
    struct memory_parts p;

    memory_parts(n, &p);
    info_size(out, "used_memory", p.used);
    info_size(out, "used_memory_rss", p.allocator.resident);
    info_size(out, "used_memory_peak", p.peak);
    LINE(out, "used_memory_peak_perc:%.2f%%", p.peak_percent);
    info_number(out, "used_memory_overhead", p.overhead);
    info_number(out, "used_memory_startup", p.at_start);
    info_number(out, "used_memory_dataset", p.dataset);
    LINE(out, "used_memory_dataset_perc:%.2f%%", p.dataset_percent);
    info_number(out, "allocator_allocated", p.allocator.allocated);
    info_number(out, "allocator_active", p.allocator.active);
    info_number(out, "allocator_resident", p.allocator.resident_allocator);
    info_size(out, "total_system_memory", p.machine);
    scripts(n, out);
    info_size(out, "maxmemory", p.maxmemory);
    LINE(out, "maxmemory_policy:noeviction"); /* nothing leaves the data set, whatever maxmemory-policy says */
    allocator(&p, out);
    info_number(out, "mem_not_counted_for_evict", 0);
    info_number(out, "mem_replication_backlog", 0);
    info_number(out, "mem_total_replication_buffers", p.clients_replicas);
    info_number(out, "mem_clients_slaves", p.clients_replicas);
    info_number(out, "mem_clients_normal", p.clients_normal);
    info_number(out, "mem_cluster_links", 0);
    info_number(out, "mem_aof_buffer", p.log_buffer);
    LINE(out, "mem_allocator:%s", p.allocator.exact ? "jemalloc" : "libc");
    info_number(out, "active_defrag_running", 0);
    info_number(out, "lazyfree_pending_objects", 0);
    info_number(out, "lazyfreed_objects", 0);
}

/* ---- CPU ---- */

static void seconds(struct buf *out, const char *name, struct timeval t)
{
    LINE(out, "%s:%ld.%06ld", name, (long)t.tv_sec, (long)t.tv_usec);
}

static struct timeval time_of(uint64_t us)
{
    return (struct timeval){.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
}

void info_cpu(struct node *n, struct buf *out)
{
    struct rusage self, children;
    struct clients_figures f;

    clients_figures(node_clients(n), &f);
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    seconds(out, "used_cpu_sys", self.ru_stime);
    seconds(out, "used_cpu_user", self.ru_utime);
    seconds(out, "used_cpu_sys_children", children.ru_stime);
    seconds(out, "used_cpu_user_children", children.ru_utime);
    /* Of the threads that run commands: what the main thread is in Redis. */
    seconds(out, "used_cpu_sys_main_thread", time_of(f.system_us));
    seconds(out, "used_cpu_user_main_thread", time_of(f.user_us));
}
