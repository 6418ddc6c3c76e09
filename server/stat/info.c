/*
 * info.c - the table of sections, and those that are lists: commands, errors, latencies.
 *
 * A figure that this server does not have is left out, or zero where readers insist on the field.
 */
#include "server/stat/info.h"

#include <stdlib.h>

#include "server/conf/config.h"
#include "server/node.h"
#include "server/run/registry.h"
#include "server/run/stats.h"
#include "server/stat/info_priv.h"
#include "server/stat/memory.h"
#include "server/stat/watch.h"

void info_number(struct buf *out, const char *name, uint64_t value)
{
    LINE(out, "%s:%llu", name, (unsigned long long)value);
}

void info_size(struct buf *out, const char *name, uint64_t bytes)
{
    char text[32];

    info_number(out, name, bytes);
    LINE(out, "%s_human:%s", name, memory_human(bytes, text));
}

int64_t info_setting(struct node *n, const char *name)
{
    return node_config(n) != NULL ? config_int(node_config(n), name) : 0;
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

/* latency-tracking-info-percentiles, as texts and numbers. */
struct percentiles {
    char **words;
    size_t count;
};

static void latency_line(struct node *n, size_t command, const struct percentiles *p, struct buf *out)
{
    struct stats_command s;

    stats_command(node_stats(n), command, &s);
    if (s.calls == 0)
        return;
    buf_append_format(out, "latency_percentiles_usec_%s:", registry_at(node_registry(n), command)->name);
    for (size_t i = 0; i < p->count; i++) {
        double percent = strtod(p->words[i], NULL);

        buf_append_format(out, "%sp%s=%.3f", i > 0 ? "," : "", p->words[i],
                          (double)stats_quantile_ns(&s, percent / 100) / 1000);
    }
    buf_append_str(out, "\r\n");
}

static void latencystats(struct node *n, struct buf *out)
{
    struct percentiles p = {0};

    if (node_config(n) == NULL || !config_bool(node_config(n), "latency-tracking"))
        return;
    p.count = config_words(node_config(n), "latency-tracking-info-percentiles", &p.words);
    for (size_t i = 0; i < registry_count(node_registry(n)) && p.count > 0; i++)
        latency_line(n, i, &p, out);
    config_words_free(p.words, p.count);
}

enum when { BY_DEFAULT, WITH_ALL };

static const struct {
    const char *name, *title;
    enum when when;
    void (*write)(struct node *n, struct buf *out);
} sections[] = {
    {"server", "Server", BY_DEFAULT, info_server},
    {"clients", "Clients", BY_DEFAULT, info_clients},
    {"memory", "Memory", BY_DEFAULT, info_memory},
    {"persistence", "Persistence", BY_DEFAULT, info_persistence},
    {"stats", "Stats", BY_DEFAULT, info_stats},
    {"replication", "Replication", BY_DEFAULT, info_replication},
    {"cpu", "CPU", BY_DEFAULT, info_cpu},
    {"modules", "Modules", BY_DEFAULT, modules},
    {"commandstats", "Commandstats", WITH_ALL, commandstats},
    {"errorstats", "Errorstats", BY_DEFAULT, errorstats},
    {"latencystats", "Latencystats", WITH_ALL, latencystats},
    {"cluster", "Cluster", BY_DEFAULT, info_cluster},
    {"keyspace", "Keyspace", BY_DEFAULT, info_keyspace},
    {"cairn", "Cairn", BY_DEFAULT, info_cairn},
};

static bool is_wanted(size_t section, const struct slice *wanted, size_t count)
{
    bool by_default = sections[section].when == BY_DEFAULT;

    if (count == 0)
        return by_default;
    for (size_t k = 0; k < count; k++)
        if (slice_is(wanted[k], sections[section].name) || slice_is(wanted[k], "all") ||
            slice_is(wanted[k], "everything") || (slice_is(wanted[k], "default") && by_default))
            return true;
    return false;
}

void info_text(struct node *n, const struct slice *wanted, size_t count, struct buf *out)
{
    size_t begin = out->size;

    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (!is_wanted(i, wanted, count))
            continue;
        if (out->size > begin)
            buf_append_str(out, "\r\n");
        LINE(out, "# %s", sections[i].title);
        if (!watch_section(node_watch(n), sections[i].name, out))
            sections[i].write(n, out);
    }
}
