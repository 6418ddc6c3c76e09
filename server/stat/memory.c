/*
 * memory.c - jemalloc's figures where there is jemalloc, and the sum of the known parts where there is none.
 */
#include "server/stat/memory.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "engine/set/set.h"
#include "engine/store/store.h"
#include "persistence/wal.h"
#include "server/conf/config.h"
#include "server/net/clients.h"
#include "server/node.h"
#include "server/stat/watch.h"

/* Present when the program is linked with jemalloc. */
extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size) __attribute__((weak));
extern void malloc_stats_print(void (*write)(void *context, const char *text), void *context, const char *options)
    __attribute__((weak));

static uint64_t allocator_figure(const char *name)
{
    size_t value = 0, size = sizeof value;

    return mallctl(name, &value, &size, NULL, 0) == 0 ? value : 0;
}

static uint64_t resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long pages = 0, resident = 0;

    if (f != NULL) {
        if (fscanf(f, "%lu %lu", &pages, &resident) != 2)
            resident = 0;
        fclose(f);
    }
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t known_bytes(struct node *n)
{
    struct set_figures set;
    struct clients_figures clients;

    set_figures(node_set(n), &set);
    clients_figures(node_clients(n), &clients);
    return set.bytes + store_cache_usage(node_store(n)) + store_memtable_bytes(node_store(n)) + clients.memory_normal +
           clients.memory_replicas;
}

void memory_figures(struct node *n, struct memory_figures *out)
{
    uint64_t epoch = 1;
    size_t size = sizeof epoch;

    *out = (struct memory_figures){.resident = resident_bytes()};
    if (mallctl != NULL && mallctl("epoch", &epoch, &size, &epoch, size) == 0) {
        out->allocated = allocator_figure("stats.allocated");
        out->active = allocator_figure("stats.active");
        out->resident_allocator = allocator_figure("stats.resident");
    }
    out->exact = out->allocated > 0;
    if (!out->exact)
        out->allocated = out->active = out->resident_allocator = known_bytes(n);
}

static uint64_t keys_of(struct node *n)
{
    uint64_t keys = 0;

    for (unsigned db = 0; db < node_databases(n); db++)
        keys += set_keys(node_set(n), db);
    return keys;
}

void memory_parts(struct node *n, struct memory_parts *out)
{
    struct watch_figures watch;
    struct clients_figures clients;
    struct sysinfo machine;
    struct memory_parts p = {.keys = keys_of(n)};

    memory_figures(n, &p.allocator);
    watch_figures(node_watch(n), &watch);
    clients_figures(node_clients(n), &clients);
    p.used = p.allocator.allocated;
    p.peak = watch.memory_peak > p.used ? watch.memory_peak : p.used;
    p.at_start = watch.memory_at_start;
    p.set = watch.set.bytes;
    p.cache = store_cache_usage(node_store(n));
    p.memtables = store_memtable_bytes(node_store(n));
    p.clients_normal = clients.memory_normal;
    p.clients_replicas = clients.memory_replicas;
    p.log_buffer = wal_pending_bytes(node_wal(n));
    p.dataset = p.set < p.used ? p.set : p.used;
    p.overhead = p.used - p.dataset;
    p.maxmemory = node_config(n) != NULL ? (uint64_t)config_int(node_config(n), "maxmemory") : 0;
    if (sysinfo(&machine) == 0)
        p.machine = (uint64_t)machine.totalram * machine.mem_unit;
    p.dataset_percent = p.used > p.at_start ? 100.0 * (double)p.dataset / (double)(p.used - p.at_start) : 0;
    p.dataset_percent = p.dataset_percent > 100 ? 100 : p.dataset_percent;
    p.peak_percent = p.peak > 0 ? 100.0 * (double)p.used / (double)p.peak : 0;
    p.fragmentation = p.used > 0 ? (double)p.allocator.active / (double)p.used : 1;
    p.resident_ratio = p.used > 0 ? (double)p.allocator.resident / (double)p.used : 1;
    *out = p;
}

bool memory_release(void)
{
    if (mallctl == NULL) {
        malloc_trim(0);
        return true;
    }
    return mallctl("arena.4096.purge", NULL, NULL, NULL, 0) == 0; /* 4096: all arenas */
}

static void text_add(void *context, const char *text)
{
    buf_append_str(context, text);
}

void memory_allocator_text(struct buf *out)
{
    if (malloc_stats_print != NULL)
        malloc_stats_print(text_add, out, "");
    else
        buf_append_str(out, "Stats not supported for the current allocator");
}

void memory_doctor(const struct memory_parts *p, struct buf *out)
{
    char a[32], b[32];
    size_t found = 0;

    if (p->maxmemory != 0 && p->allocator.resident > p->maxmemory + p->maxmemory / 4) {
        buf_append_format(out,
                          "- The process holds %s, much more than maxmemory (%s). Fragmentation, large client buffers "
                          "(CLIENT LIST) or compactions may be the reason.\n",
                          memory_human(p->allocator.resident, a), memory_human(p->maxmemory, b));
        found++;
    }
    if (p->machine != 0 && p->maxmemory > p->machine / 10 * 9) {
        buf_append_format(out, "- maxmemory (%s) leaves little of the machine's %s for the page cache.\n",
                          memory_human(p->maxmemory, a), memory_human(p->machine, b));
        found++;
    }
    if (p->allocator.exact && p->fragmentation > 1.4 && p->allocator.active > p->used + (100 << 20)) {
        buf_append_format(out, "- The allocator is fragmented: ratio %.2f. MEMORY PURGE gives unused pages back.\n",
                          p->fragmentation);
        found++;
    }
    if (p->clients_normal > p->used / 4 && p->clients_normal > 32 << 20) {
        buf_append_format(out, "- Clients' buffers take %s: somebody reads slowly or sends very large requests.\n",
                          memory_human(p->clients_normal, a));
        found++;
    }
    if (found == 0)
        buf_append_str(out, "No memory problem was found.\n");
}

const char *memory_human(uint64_t bytes, char out[32])
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
