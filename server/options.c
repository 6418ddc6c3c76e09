/*
 * options.c - from the table of settings to what the start needs.
 */
#include "server/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "server/conf/config.h"

/* A text that lives as long as the process. */
static const char *text(struct config *c, const char *name)
{
    struct buf b = {0};

    return config_string(c, name, &b); /* the buffer is kept on purpose */
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

struct client_limits options_limits(struct config *c)
{
    struct client_limits limits = client_limits_default();

    limits.maxclients = (uint64_t)config_int(c, "maxclients");
    limits.query_bytes_max = (uint64_t)config_int(c, "client-query-buffer-limit");
    limits.bulk_bytes_max = (uint64_t)config_int(c, "proto-max-bulk-len");
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
    copy_text(c, "cluster-announce-ip", out->announce_ip, sizeof out->announce_ip);
    out->announce_port = (uint16_t)config_int(c, "cluster-announce-port");
    out->announce_tls_port = (uint16_t)config_int(c, "cluster-announce-tls-port");
    out->announce_bus_port = (uint16_t)config_int(c, "cluster-announce-bus-port");
    copy_text(c, "cluster-announce-hostname", out->announce_hostname, sizeof out->announce_hostname);
    copy_text(c, "cluster-announce-human-nodename", out->announce_human_nodename, sizeof out->announce_human_nodename);
    out->preferred_endpoint = (enum cluster_endpoint)config_int(c, "cluster-preferred-endpoint-type");
    out->node_timeout_ms = config_int(c, "cluster-node-timeout");
    out->replica_validity_factor = (int)config_int(c, "cluster-replica-validity-factor");
    out->migration_barrier = (int)config_int(c, "cluster-migration-barrier");
    out->allow_replica_migration = config_bool(c, "cluster-allow-replica-migration");
    out->require_full_coverage = config_bool(c, "cluster-require-full-coverage");
    out->replica_no_failover = config_bool(c, "cluster-replica-no-failover");
    out->allow_reads_when_down = config_bool(c, "cluster-allow-reads-when-down");
    out->allow_pubsubshard_when_down = config_bool(c, "cluster-allow-pubsubshard-when-down");
}

static struct tls_options tls(struct config *c)
{
    return (struct tls_options){.cert_file = text(c, "tls-cert-file"),
                                .key_file = text(c, "tls-key-file"),
                                .key_password = text(c, "tls-key-file-pass"),
                                .ca_file = text(c, "tls-ca-cert-file"),
                                .ca_dir = text(c, "tls-ca-cert-dir"),
                                .protocols = text(c, "tls-protocols"),
                                .ciphers = text(c, "tls-ciphers"),
                                .ciphersuites = text(c, "tls-ciphersuites"),
                                .client_cert_file = text(c, "tls-client-cert-file"),
                                .client_key_file = text(c, "tls-client-key-file"),
                                .client_key_password = text(c, "tls-client-key-file-pass"),
                                .prefer_server_ciphers = config_bool(c, "tls-prefer-server-ciphers"),
                                .session_caching = config_bool(c, "tls-session-caching"),
                                .client_auth = (int)config_int(c, "tls-auth-clients")};
}

enum wal_fsync options_fsync(struct config *c)
{
    static const enum wal_fsync policies[] = {WAL_FSYNC_EVERYSEC, WAL_FSYNC_ALWAYS, WAL_FSYNC_NO}; /* as in the table */

    return policies[config_int(c, "appendfsync")];
}

void options_from(struct options *o, struct config *c)
{
    char **words = NULL;
    size_t count = config_words(c, "bind", &words);

    *o = (struct options){.config = c,
                          .config_file = config_file(c),
                          .dir = text(c, "dir"),
                          .port = (int)config_int(c, "port"),
                          .tls_port = (int)config_int(c, "tls-port"),
                          .backlog = (int)config_int(c, "tcp-backlog"),
                          .unix_path = text(c, "unixsocket"),
                          .unix_permissions = (unsigned)config_int(c, "unixsocketperm"),
                          .databases = (unsigned)config_int(c, "databases"),
                          .workers = (size_t)config_int(c, "workers"),
                          .pool_threads = (size_t)config_int(c, "reader-threads"),
                          .maxmemory = (uint64_t)config_int(c, "maxmemory"),
                          .dirty_bytes_max = (uint64_t)config_int(c, "set-dirty-bytes-max"),
                          .log_bytes_max = (uint64_t)config_int(c, "wal-floor-bytes-max"),
                          .segment_bytes = (uint64_t)config_int(c, "wal-segment-bytes"),
                          .retain_bytes = (uint64_t)config_int(c, "wal-retention-bytes"),
                          .retain_ms = config_int(c, "wal-retention-seconds") * 1000,
                          .disk_free_min = (uint64_t)config_int(c, "disk-free-min"),
                          .fsync = options_fsync(c),
                          .limits = options_limits(c),
                          .daemonize = config_bool(c, "daemonize"),
                          .pid_file = text(c, "pidfile"),
                          .log_file = text(c, "logfile"),
                          .tls = tls(c),
                          .cluster = config_bool(c, "cluster-enabled"),
                          .cluster_config_file = text(c, "cluster-config-file"),
                          .cluster_send_buffer_max = (uint64_t)config_int(c, "cluster-link-sendbuf-limit")};
    for (size_t i = 0; i < count && o->bind_count < OPTIONS_BIND_MAX; i++)
        o->bind[o->bind_count++] = strdup(words[i]);
    config_words_free(words, count);
    options_cluster(c, &o->cluster_config);
}
