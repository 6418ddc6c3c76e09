/*
 * options.c - from the table of settings to what the start needs.
 */
#include "server/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "server/conf/config.h"
#include "server/memory_split.h"

/* A text that the options own. */
static const char *keep(struct options *o, char *text)
{
    check(text != NULL && o->owned_count < OPTIONS_TEXTS_MAX);
    return o->owned[o->owned_count++] = text;
}

static const char *text(struct options *o, const char *name)
{
    struct buf b = {0};

    (void)config_string(o->config, name, &b);
    return keep(o, (char *)b.data);
}

static void output_limits(struct config *c, struct client_limits *limits)
{
    static const char *const classes[] = {"normal", "slave", "pubsub"};
    char **words = NULL;
    size_t count = config_words(c, "client-output-buffer-limit", &words);

    for (size_t i = 0; i + 3 < count; i += 4)
        for (size_t k = 0; k < 3; k++)
            if (strcmp(words[i], classes[k]) == 0)
                limits->output[k] = (struct client_output_limit){.hard_bytes = strtoull(words[i + 1], NULL, 10),
                                                                 .soft_bytes = strtoull(words[i + 2], NULL, 10),
                                                                 .soft_s = strtoll(words[i + 3], NULL, 10)};
    config_words_free(words, count);
}

/* maxmemory-clients: bytes, or minus the percent of the memory that maxmemory stands for. */
static uint64_t clients_memory(struct config *c)
{
    int64_t limit = config_int(c, "maxmemory-clients");

    if (limit >= 0)
        return (uint64_t)limit;
    if (config_int(c, "maxmemory") > 0)
        return (uint64_t)config_int(c, "maxmemory") / 100 * (uint64_t)-limit;
    return memory_split_here(0).total / 100 * (uint64_t)-limit;
}

struct client_limits options_limits(struct config *c)
{
    struct client_limits limits = client_limits_default();

    limits.maxclients = (uint64_t)config_int(c, "maxclients");
    limits.query_bytes_max = (uint64_t)config_int(c, "client-query-buffer-limit");
    limits.bulk_bytes_max = (uint64_t)config_int(c, "proto-max-bulk-len");
    limits.memory_bytes_max = clients_memory(c);
    limits.timeout_s = config_int(c, "timeout");
    limits.keepalive_s = config_int(c, "tcp-keepalive");
    limits.protected_mode = config_bool(c, "protected-mode");
    output_limits(c, &limits);
    return limits;
}

static void copy_text(struct config *c, const char *name, char *out, size_t size)
{
    struct buf b = {0};

    snprintf(out, size, "%s", config_string(c, name, &b));
    buf_free(&b);
}

void options_cluster(struct config *c, struct cluster_config *out)
{
    cluster_config_default(out);
    out->port = (uint16_t)config_int(c, "port");
    out->tls_port = (uint16_t)config_int(c, "tls-port");
    out->bus_port = (uint16_t)config_int(c, "cluster-port");
    out->tls_cluster = config_bool(c, "tls-cluster");
    out->tls_replication = config_bool(c, "tls-replication");
    copy_text(c, "cluster-announce-ip", out->announce_ip, sizeof out->announce_ip);
    out->announce_port = (uint16_t)config_int(c, "cluster-announce-port");
    out->announce_tls_port = (uint16_t)config_int(c, "cluster-announce-tls-port");
    out->announce_bus_port = (uint16_t)config_int(c, "cluster-announce-bus-port");
    copy_text(c, "cluster-announce-hostname", out->announce_hostname, sizeof out->announce_hostname);
    copy_text(c, "cluster-announce-human-nodename", out->announce_human_nodename, sizeof out->announce_human_nodename);
    out->preferred_endpoint = (enum cluster_endpoint)config_int(c, "cluster-preferred-endpoint-type");
    out->node_timeout_ms = config_int(c, "cluster-node-timeout");
    out->repl_ping_period_ms = (msec_t)config_int(c, "repl-ping-replica-period") * 1000;
    out->replica_validity_factor = (int)config_int(c, "cluster-replica-validity-factor");
    out->migration_barrier = (int)config_int(c, "cluster-migration-barrier");
    out->allow_replica_migration = config_bool(c, "cluster-allow-replica-migration");
    out->require_full_coverage = config_bool(c, "cluster-require-full-coverage");
    out->replica_no_failover = config_bool(c, "cluster-replica-no-failover");
    out->allow_reads_when_down = config_bool(c, "cluster-allow-reads-when-down");
    out->allow_pubsubshard_when_down = config_bool(c, "cluster-allow-pubsubshard-when-down");
    out->lazy_setslot = options_fsync(c) != WAL_FSYNC_ALWAYS;
}

static struct tls_options tls(struct options *o)
{
    struct config *c = o->config;

    return (struct tls_options){.cert_file = text(o, "tls-cert-file"),
                                .key_file = text(o, "tls-key-file"),
                                .key_password = text(o, "tls-key-file-pass"),
                                .ca_file = text(o, "tls-ca-cert-file"),
                                .ca_dir = text(o, "tls-ca-cert-dir"),
                                .protocols = text(o, "tls-protocols"),
                                .ciphers = text(o, "tls-ciphers"),
                                .ciphersuites = text(o, "tls-ciphersuites"),
                                .client_cert_file = text(o, "tls-client-cert-file"),
                                .client_key_file = text(o, "tls-client-key-file"),
                                .client_key_password = text(o, "tls-client-key-file-pass"),
                                .prefer_server_ciphers = config_bool(c, "tls-prefer-server-ciphers"),
                                .session_caching = config_bool(c, "tls-session-caching"),
                                .client_auth = (int)config_int(c, "tls-auth-clients")};
}

enum wal_fsync options_fsync(struct config *c)
{
    static const enum wal_fsync policies[] = {WAL_FSYNC_EVERYSEC, WAL_FSYNC_ALWAYS, WAL_FSYNC_NO}; /* as in the table */

    return policies[config_int(c, "appendfsync")];
}

uint64_t options_retention(struct config *c)
{
    const uint64_t backlog_default = 1 << 20;
    uint64_t own = (uint64_t)config_int(c, "wal-retention-bytes"), backlog = (uint64_t)config_int(c, "repl-backlog-size");

    return backlog > backlog_default && backlog > own ? backlog : own;
}

void options_from(struct options *o, struct config *c)
{
    char **words = NULL;
    size_t count = config_words(c, "bind", &words);

    *o = (struct options){.config = c};
    o->config_file = config_file(c);
    o->dir = text(o, "dir");
    o->port = (int)config_int(c, "port");
    o->tls_port = (int)config_int(c, "tls-port");
    o->backlog = (int)config_int(c, "tcp-backlog");
    o->unix_path = text(o, "unixsocket");
    o->unix_permissions = (unsigned)config_int(c, "unixsocketperm");
    o->databases = (unsigned)config_int(c, "databases");
    o->workers = (size_t)config_int(c, "workers");
    o->pool_threads = (size_t)config_int(c, "reader-threads");
    o->maxmemory = (uint64_t)config_int(c, "maxmemory");
    o->allocator = (struct allocator_wishes){.huge_pages = !config_bool(c, "disable-thp"),
                                             .background = config_bool(c, "jemalloc-bg-thread"),
                                             .memory = memory_split_here(o->maxmemory).total};
    o->dirty_bytes_max = (uint64_t)config_int(c, "set-dirty-bytes-max");
    o->log_bytes_max = (uint64_t)config_int(c, "wal-floor-bytes-max");
    o->segment_bytes = (uint64_t)config_int(c, "wal-segment-bytes");
    o->retain_bytes = options_retention(c);
    o->retain_ms = config_int(c, "wal-retention-seconds") * 1000;
    o->disk_free_min = (uint64_t)config_int(c, "disk-free-min");
    o->fsync = options_fsync(c);
    o->limits = options_limits(c);
    o->daemonize = config_bool(c, "daemonize");
    o->pid_file = text(o, "pidfile");
    o->log_file = text(o, "logfile");
    o->tls = tls(o);
    o->cluster = config_bool(c, "cluster-enabled");
    o->cluster_config_file = text(o, "cluster-config-file");
    o->cluster_send_buffer_max = (uint64_t)config_int(c, "cluster-link-sendbuf-limit");
    for (size_t i = 0; i < count && o->bind_count < OPTIONS_BIND_MAX; i++)
        o->bind[o->bind_count++] = keep(o, strdup(words[i]));
    config_words_free(words, count);
    options_cluster(c, &o->cluster_config);
}

void options_fini(struct options *o)
{
    for (size_t i = 0; i < o->owned_count; i++)
        free(o->owned[i]);
    o->owned_count = 0;
}
