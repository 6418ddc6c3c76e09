/*
 * settings.c - the options that act at run time, and what each of them moves.
 *
 * Options not named here are read where they are used, or only at the start (immutable), or have no effect here.
 */
#include "server/settings.h"


#include "base/log.h"
#include "engine/set/set.h"
#include "engine/store/store.h"
#include "persistence/wal.h"
#include "server/conf/config.h"
#include "server/drive/cluster_service.h"
#include "server/memory_split.h"
#include "server/net/clients.h"
#include "server/net/tls.h"
#include "server/node.h"
#include "server/options.h"

static enum err level(void *context, struct config *c)
{
    (void)context;
    log_level_set((enum log_level)config_int(c, "loglevel"));
    return OK;
}

static enum err limits(void *context, struct config *c)
{
    struct client_limits l = options_limits(c);

    clients_limits_set(node_clients(context), &l);
    set_string_max(node_set(context), l.bulk_bytes_max);
    (void)clients_evict(node_clients(context));
    return OK;
}

static enum err retention(void *context, struct config *c)
{
    wal_retention_set(node_wal(context), options_retention(c), config_int(c, "wal-retention-seconds") * 1000);
    return OK;
}

static enum err memory(void *context, struct config *c)
{
    struct memory_split m = memory_split_here((uint64_t)config_int(c, "maxmemory"));

    set_budget(node_set(context), m.set);
    store_cache_resize(node_store(context), m.cache);
    return OK;
}

/* The log always runs: saying no to it would promise something else. */
static enum err append_only(void *context, struct config *c)
{
    (void)context;
    return config_bool(c, "appendonly") ? OK : err_set(ERR_INVALID, "the log cannot be switched off");
}

static enum err cluster(void *context, struct config *c)
{
    struct cluster_config config;

    if (node_cluster(context) == NULL)
        return OK;
    options_cluster(c, &config);
    cluster_service_configure(node_cluster(context), &config, (uint64_t)config_int(c, "cluster-link-sendbuf-limit"));
    return OK;
}

static enum err fsync_policy(void *context, struct config *c)
{
    wal_fsync_policy_set(node_wal(context), options_fsync(c));
    return cluster(context, c);
}

/* The bus has its port and its links; the others reach it as they did. */
static enum err tls_cluster(void *context, struct config *c)
{
    struct cluster_service *s = node_cluster(context);

    if (s != NULL && cluster_service_speaks_tls(s) != config_bool(c, "tls-cluster"))
        return err_set(ERR_INVALID, "a node of a cluster has to be started anew for it");
    return OK;
}

/* Certificates are read again; connections that exist keep theirs. */
static enum err tls(void *context, struct config *c)
{
    struct cluster_service *s = node_cluster(context);
    bool of_bus = s != NULL && cluster_service_speaks_tls(s);
    struct options o;
    struct tls_context *tls_new = NULL, *tls_bus = NULL;
    enum err e;

    if (node_tls_port(context) == 0)
        return OK;
    options_from(&o, c);
    e = tls_context_new(&o.tls, &tls_new);
    if (e == OK && of_bus)
        e = tls_context_new(&o.tls, &tls_bus);
    options_fini(&o);
    if (e != OK) {
        tls_context_free(tls_new);
        log_event(LOG_WARNING, "TLS settings refused: error=\"%s\"", err_text());
        return err_set(ERR_INVALID, "Unable to update TLS configuration. Check server logs.");
    }
    node_tls_replace(context, tls_new);
    if (of_bus)
        cluster_service_set_tls(s, tls_bus);
    return OK;
}

static void clients_tick(void *context, msec_t now_ms)
{
    (void)now_ms;
    (void)clients_evict(node_clients(context));
}

void settings_watch(struct node *n, struct config *c)
{
    static const struct {
        const char *name;
        config_changed *fn;
    } table[] = {
        {"loglevel", level},
        {"maxclients", limits},
        {"client-query-buffer-limit", limits},
        {"proto-max-bulk-len", limits},
        {"maxmemory-clients", limits},
        {"maxmemory", limits},
        {"timeout", limits},
        {"tcp-keepalive", limits},
        {"protected-mode", limits},
        {"client-output-buffer-limit", limits},
        {"appendfsync", fsync_policy},
        {"appendonly", append_only},
        {"wal-retention-bytes", retention},
        {"wal-retention-seconds", retention},
        {"repl-backlog-size", retention},
        {"maxmemory", memory},
        {"tls-cluster", tls_cluster},
        {"tls-replication", cluster},
        {"tls-cert-file", tls},
        {"tls-key-file", tls},
        {"tls-key-file-pass", tls},
        {"tls-client-cert-file", tls},
        {"tls-client-key-file", tls},
        {"tls-client-key-file-pass", tls},
        {"tls-ca-cert-file", tls},
        {"tls-ca-cert-dir", tls},
        {"tls-auth-clients", tls},
        {"tls-protocols", tls},
        {"tls-ciphers", tls},
        {"tls-ciphersuites", tls},
        {"tls-prefer-server-ciphers", tls},
        {"tls-session-caching", tls},
        {"cluster-node-timeout", cluster},
        {"cluster-announce-ip", cluster},
        {"cluster-announce-port", cluster},
        {"cluster-announce-tls-port", cluster},
        {"cluster-announce-bus-port", cluster},
        {"cluster-announce-hostname", cluster},
        {"cluster-announce-human-nodename", cluster},
        {"cluster-preferred-endpoint-type", cluster},
        {"cluster-replica-validity-factor", cluster},
        {"cluster-migration-barrier", cluster},
        {"cluster-allow-replica-migration", cluster},
        {"cluster-require-full-coverage", cluster},
        {"cluster-replica-no-failover", cluster},
        {"cluster-allow-reads-when-down", cluster},
        {"cluster-allow-pubsubshard-when-down", cluster},
        {"cluster-link-sendbuf-limit", cluster},
    };

    set_string_max(node_set(n), (uint64_t)config_int(c, "proto-max-bulk-len"));
    node_add_tick(n, clients_tick, n);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        config_on_change(c, table[i].name, table[i].fn, n);
}
