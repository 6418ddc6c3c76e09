/*
 * options.c - the table of all settings: names, units, defaults and bounds as in Redis 7.2, then Cairn's own.
 *
 * The numbers of enums are indexes of their words, which stand in the order in which Redis' error messages name them.
 */
#include "server/conf/shape.h"

#define MB INT64_C(1048576)
#define ANY INT64_MAX

static const char *const yes_no[] = {"no", "yes", NULL};
static const char *const fsync_words[] = {"everysec", "always", "no", NULL};
static const char *const level_words[] = {"debug", "verbose", "notice", "warning", "nothing", NULL};
static const char *const policy_words[] = {"volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
                                           "allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction", NULL};
static const char *const endpoint_words[] = {"ip", "hostname", "unknown-endpoint", NULL};
static const char *const supervised_words[] = {"upstart", "systemd", "auto", "no", NULL};
static const char *const diskless_words[] = {"disabled", "on-empty-db", "swapdb", NULL};
static const char *const tls_client_words[] = {"no", "yes", "optional", NULL};
static const char *const local_words[] = {"no", "yes", "local", NULL};
static const char *const sanitize_words[] = {"no", "yes", "clients", NULL};
static const char *const oom_words[] = {"no", "yes", "relative", "absolute", NULL};
static const char *const pubsub_words[] = {"allchannels", "resetchannels", NULL};
static const char *const facility_words[] = {"user",   "local0", "local1", "local2", "local3",
                                             "local4", "local5", "local6", "local7", NULL};
static const char *const propagation_words[] = {"ignore", "panic", "panic-on-replicas", NULL};

#define B(name, alias, flags, standard, help) {name, alias, OPTION_BOOL, flags, standard, 0, 1, yes_no, help, NULL}
#define I(name, alias, flags, standard, least, most, help) \
    {name, alias, OPTION_INT, flags, standard, least, most, NULL, help, NULL}
#define M(name, alias, flags, standard, least, most, help) \
    {name, alias, OPTION_MEMORY, flags, standard, least, most, NULL, help, NULL}
#define E(name, alias, flags, standard, words, help) \
    {name, alias, OPTION_ENUM, flags, standard, 0, 0, words, help, NULL}
#define S(name, alias, flags, standard, help) {name, alias, OPTION_STRING, flags, standard, 0, 0, NULL, help, NULL}
#define L(name, alias, flags, standard, help) {name, alias, OPTION_LIST, flags, standard, 0, 0, NULL, help, NULL}
/* With a shape of its own: see shape.h. */
#define Z(name, type, flags, standard, shape, help) {name, NULL, type, flags, standard, 0, INT32_MAX, NULL, help, shape}

enum { IMM = OPTION_IMMUTABLE, ACC = OPTION_ACCEPTED, MANY = OPTION_MANY | OPTION_HIDDEN | OPTION_IMMUTABLE };

const struct option option_table[] = {
    /* Network */
    I("port", NULL, IMM, "6379", 0, 65535, "client port, plain text; 0: none"),
    Z("bind", OPTION_LIST, IMM, "* -::*", shape_bind, "addresses to listen on; a leading - makes one optional"),
    S("bind-source-addr", NULL, ACC, "", "accepted"),
    B("protected-mode", NULL, 0, "yes", "without a password, only loopback clients are served"),
    I("tcp-backlog", NULL, IMM, "511", 0, INT32_MAX, "connections waiting to be accepted"),
    I("timeout", NULL, 0, "0", 0, INT32_MAX, "seconds of silence after which a client is closed; 0: never"),
    I("tcp-keepalive", NULL, 0, "300", 0, INT32_MAX, "seconds between keepalive probes; 0: none"),
    S("unixsocket", NULL, IMM, "", "path of a unix socket for clients"),
    I("unixsocketperm", NULL, IMM | OPTION_OCTAL, "0", 0, 0777, "mode of the unix socket, octal"),
    I("maxclients", NULL, 0, "10000", 1, UINT32_MAX, "connections at most"),
    M("proto-max-bulk-len", NULL, 0, "512mb", MB, ANY, "longest string or argument"),
    M("client-query-buffer-limit", NULL, 0, "1gb", MB, ANY, "longest request a client may build up"),
    Z("client-output-buffer-limit", OPTION_LIST, 0,
      "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", shape_output_limits,
      "class, hard limit, soft limit, seconds"),
    Z("maxmemory-clients", OPTION_STRING, 0, "0", shape_memory_or_percent,
      "memory of all clients together, bytes or percent of maxmemory: the largest are closed beyond it; 0: no limit"),
    I("socket-mark-id", NULL, ACC | IMM, "0", 0, UINT32_MAX, "accepted"),
    /* TLS */
    I("tls-port", NULL, IMM, "0", 0, 65535, "client port, TLS; 0: none"),
    S("tls-cert-file", NULL, 0, "", "server certificate, PEM"),
    S("tls-key-file", NULL, 0, "", "its private key"),
    S("tls-key-file-pass", NULL, 0, "", "the key's password"),
    S("tls-client-cert-file", NULL, 0, "", "certificate for outgoing connections"),
    S("tls-client-key-file", NULL, 0, "", "its private key"),
    S("tls-client-key-file-pass", NULL, 0, "", "the key's password"),
    S("tls-dh-params-file", NULL, ACC, "", "accepted: OpenSSL chooses"),
    S("tls-ca-cert-file", NULL, 0, "", "certificates that are trusted"),
    S("tls-ca-cert-dir", NULL, 0, "", "folder of certificates that are trusted"),
    E("tls-auth-clients", NULL, 0, "yes", tls_client_words, "must clients show a certificate"),
    B("tls-replication", NULL, 0, "no", "TLS to the master"),
    B("tls-cluster", NULL, 0, "no", "TLS on the cluster bus"),
    S("tls-protocols", NULL, 0, "", "TLS versions allowed"),
    S("tls-ciphers", NULL, 0, "", "ciphers up to TLS 1.2"),
    S("tls-ciphersuites", NULL, 0, "", "cipher suites of TLS 1.3"),
    B("tls-prefer-server-ciphers", NULL, 0, "no", "the server's order counts"),
    B("tls-session-caching", NULL, 0, "yes", "TLS session cache"),
    I("tls-session-cache-size", NULL, ACC, "20480", 0, INT32_MAX, "accepted"),
    I("tls-session-cache-timeout", NULL, ACC, "300", 0, INT32_MAX, "accepted"),
    /* General */
    B("daemonize", NULL, IMM, "no", "run in the background"),
    E("supervised", NULL, IMM, "no", supervised_words, "systemd, auto: tell it when ready; upstart: accepted"),
    S("pidfile", NULL, IMM, "", "file that gets the process id"),
    E("loglevel", NULL, 0, "notice", level_words, "least level that is logged"),
    S("logfile", NULL, IMM, "", "event log; empty: standard output"),
    B("syslog-enabled", NULL, IMM | ACC, "no", "accepted"),
    S("syslog-ident", NULL, IMM | ACC, "redis", "accepted"),
    E("syslog-facility", NULL, IMM | ACC, "local0", facility_words, "accepted"),
    B("crash-log-enabled", NULL, ACC, "yes", "accepted"),
    B("crash-memcheck-enabled", NULL, ACC, "yes", "accepted"),
    I("databases", NULL, IMM, "16", 1, 16384, "logical databases; a cluster node uses database 0 only"),
    B("always-show-logo", NULL, IMM | ACC, "no", "accepted"),
    B("set-proc-title", NULL, IMM | ACC, "yes", "accepted"),
    S("proc-title-template", NULL, ACC, "{title} {listen-addr} {server-mode}", "accepted"),
    S("locale-collate", NULL, ACC, "", "accepted"),
    S("dir", NULL, OPTION_PROTECTED | IMM, ".", "data folder; made if it is missing"),
    Z("hz", OPTION_INT, ACC, "10", shape_hz, "accepted, 1 to 500: background work has its own pace"),
    B("dynamic-hz", NULL, ACC, "yes", "accepted"),
    E("enable-protected-configs", NULL, IMM, "no", local_words, "CONFIG SET of protected settings"),
    E("enable-debug-command", NULL, IMM, "no", local_words, "DEBUG"),
    E("enable-module-command", NULL, IMM | ACC, "no", local_words, "there are no modules"),
    Z("rename-command", OPTION_LIST, MANY, "", shape_disabled,
      "a command and \"\": it is unknown to clients; other new names are refused"),
    Z("loadmodule", OPTION_LIST, MANY, "", shape_refused, "refused: there are no modules"),
    S("ignore-warnings", NULL, ACC, "", "accepted"),
    E("propagation-error-behavior", NULL, ACC, "ignore", propagation_words, "accepted"),
    /* Security */
    S("requirepass", NULL, 0, "", "password of the default user"),
    S("aclfile", NULL, IMM, "", "refused when not empty: there is one user, see requirepass"),
    I("acllog-max-len", NULL, ACC, "128", 0, ANY, "accepted: there is no ACL LOG"),
    E("acl-pubsub-default", NULL, ACC, "resetchannels", pubsub_words, "accepted: there is one user"),
    L("user", NULL, MANY, "", "refused: there is one user, see requirepass"),
    /* Durability */
    B("appendonly", NULL, 0, "yes", "the log; always on"),
    S("appendfilename", NULL, IMM | ACC, "appendonly.aof", "accepted: the log has its own file names"),
    S("appenddirname", NULL, IMM | ACC, "appendonlydir", "accepted: the log has its own folder"),
    E("appendfsync", NULL, 0, "everysec", fsync_words, "when the log is synced"),
    B("no-appendfsync-on-rewrite", NULL, ACC, "no", "accepted"),
    I("auto-aof-rewrite-percentage", NULL, ACC, "100", 0, INT32_MAX, "accepted"),
    M("auto-aof-rewrite-min-size", NULL, ACC, "64mb", 0, ANY, "accepted"),
    B("aof-load-truncated", NULL, ACC, "yes", "a torn tail is always cut and reported"),
    B("aof-use-rdb-preamble", NULL, ACC, "yes", "accepted"),
    B("aof-timestamp-enabled", NULL, ACC, "no", "accepted: frames carry their time"),
    B("aof-rewrite-incremental-fsync", NULL, ACC, "yes", "accepted"),
    B("aof-disable-auto-gc", NULL, ACC, "no", "accepted"),
    Z("save", OPTION_LIST, ACC, "3600 1 300 100 60 10000", shape_save, "accepted: nothing depends on snapshots"),
    Z("dbfilename", OPTION_STRING, OPTION_PROTECTED, "dump.rdb", shape_file_name,
      "name of the RDB file that SAVE writes, and that a first start reads"),
    B("rdbcompression", NULL, 0, "yes", "strings in RDB files are compressed"),
    B("rdbchecksum", NULL, IMM, "yes", "RDB files end with a checksum"),
    B("rdb-del-sync-files", NULL, ACC, "no", "accepted"),
    B("rdb-save-incremental-fsync", NULL, ACC, "yes", "accepted"),
    I("rdb-key-save-delay", NULL, ACC | OPTION_UNLISTED, "0", INT32_MIN, INT32_MAX, "accepted"),
    I("key-load-delay", NULL, ACC | OPTION_UNLISTED, "0", INT32_MIN, INT32_MAX, "accepted"),
    B("stop-writes-on-bgsave-error", NULL, ACC, "yes", "accepted"),
    E("sanitize-dump-payload", NULL, ACC, "no", sanitize_words, "payloads are always checked"),
    I("shutdown-timeout", NULL, ACC, "10", 0, INT32_MAX, "accepted"),
    Z("shutdown-on-sigint", OPTION_LIST, ACC, "default", shape_shutdown, "accepted: a stop by signal always drains"),
    Z("shutdown-on-sigterm", OPTION_LIST, ACC, "default", shape_shutdown, "accepted: a stop by signal always drains"),
    /* Memory */
    M("maxmemory", NULL, 0, "0", 0, ANY, "budget of working set, caches and write buffers; 0: half of the machine"),
    E("maxmemory-policy", NULL, ACC, "noeviction", policy_words, "nothing is evicted from the data set"),
    I("maxmemory-samples", NULL, ACC, "5", 1, INT32_MAX, "accepted"),
    I("maxmemory-eviction-tenacity", NULL, ACC, "10", 0, 100, "accepted"),
    I("active-expire-effort", NULL, ACC, "1", 1, 10, "accepted"),
    I("lfu-log-factor", NULL, ACC, "10", 0, INT32_MAX, "accepted"),
    I("lfu-decay-time", NULL, ACC, "1", 0, INT32_MAX, "accepted"),
    B("activerehashing", NULL, ACC, "yes", "accepted"),
    B("activedefrag", NULL, ACC, "no", "accepted"),
    M("active-defrag-ignore-bytes", NULL, ACC, "100mb", 1, ANY, "accepted"),
    I("active-defrag-threshold-lower", NULL, ACC, "10", 0, 1000, "accepted"),
    I("active-defrag-threshold-upper", NULL, ACC, "100", 0, 1000, "accepted"),
    I("active-defrag-cycle-min", NULL, ACC, "1", 1, 99, "accepted"),
    I("active-defrag-cycle-max", NULL, ACC, "25", 1, 99, "accepted"),
    I("active-defrag-max-scan-fields", NULL, ACC, "1000", 1, INT32_MAX, "accepted"),
    B("jemalloc-bg-thread", NULL, IMM, "yes", "free memory goes back to the system by threads of the allocator"),
    B("lazyfree-lazy-eviction", NULL, ACC, "no", "freeing is always in the background"),
    B("lazyfree-lazy-expire", NULL, ACC, "no", "freeing is always in the background"),
    B("lazyfree-lazy-server-del", NULL, ACC, "no", "freeing is always in the background"),
    B("lazyfree-lazy-user-del", NULL, ACC, "no", "freeing is always in the background"),
    B("lazyfree-lazy-user-flush", NULL, ACC, "no", "freeing is always in the background"),
    E("oom-score-adj", NULL, ACC, "no", oom_words, "accepted"),
    Z("oom-score-adj-values", OPTION_LIST, ACC, "0 200 800", shape_oom_scores, "accepted"),
    B("disable-thp", NULL, IMM, "no", "objects never on pages of 2 MB; Cairn does not fork, so they do no harm"),
    I("tracking-table-max-keys", NULL, 0, "1000000", 0, ANY, "keys remembered for client side caching"),
    /* Encodings, as OBJECT ENCODING reports them */
    I("hash-max-listpack-entries", "hash-max-ziplist-entries", ACC, "512", 0, ANY, "accepted"),
    I("hash-max-listpack-value", "hash-max-ziplist-value", ACC, "64", 0, ANY, "accepted"),
    I("list-max-listpack-size", "list-max-ziplist-size", ACC, "-2", INT32_MIN, INT32_MAX, "accepted"),
    I("list-compress-depth", NULL, ACC, "0", 0, INT32_MAX, "accepted"),
    I("set-max-intset-entries", NULL, ACC, "512", 0, ANY, "accepted"),
    I("set-max-listpack-entries", NULL, ACC, "128", 0, ANY, "accepted"),
    I("set-max-listpack-value", NULL, ACC, "64", 0, ANY, "accepted"),
    I("zset-max-listpack-entries", "zset-max-ziplist-entries", ACC, "128", 0, ANY, "accepted"),
    I("zset-max-listpack-value", "zset-max-ziplist-value", ACC, "64", 0, ANY, "accepted"),
    M("hll-sparse-max-bytes", NULL, ACC, "3000", 0, ANY, "accepted"),
    M("stream-node-max-bytes", NULL, ACC, "4096", 0, ANY, "accepted"),
    I("stream-node-max-entries", NULL, ACC, "100", 0, ANY, "accepted"),
    /* Watching */
    I("slowlog-log-slower-than", NULL, 0, "10000", -1, ANY, "microseconds from which a command is slow; -1: none"),
    I("slowlog-max-len", NULL, 0, "128", 0, ANY, "entries of the slow log"),
    I("latency-monitor-threshold", NULL, 0, "0", 0, ANY, "milliseconds from which LATENCY records; 0: off"),
    B("latency-tracking", NULL, 0, "yes", "latency per command"),
    Z("latency-tracking-info-percentiles", OPTION_LIST, 0, "50 99 99.9", shape_percentiles, "percentiles INFO shows"),
    Z("notify-keyspace-events", OPTION_STRING, 0, "", shape_notify, "classes of keyspace events"),
    /* Scripts */
    I("lua-time-limit", "busy-reply-threshold", 0, "5000", 0, ANY, "milliseconds after which a script is busy"),
    /* Replication */
    {"replicaof", "slaveof", OPTION_LIST, IMM, "", 0, 0, NULL, "host and port of the master", shape_master},
    S("masterauth", NULL, 0, "", "password for the master"),
    S("masteruser", NULL, 0, "", "user for the master"),
    B("replica-serve-stale-data", "slave-serve-stale-data", 0, "yes", "answer while the master is away"),
    B("replica-read-only", "slave-read-only", 0, "yes", "no: only in a cluster, whose replicas redirect writers"),
    I("replica-priority", "slave-priority", 0, "100", 0, INT32_MAX, "priority in a failover"),
    B("replica-announced", "slave-announced", 0, "yes", "shown to Sentinel"),
    S("replica-announce-ip", "slave-announce-ip", 0, "", "address told to the master"),
    I("replica-announce-port", "slave-announce-port", 0, "0", 0, 65535, "port told to the master"),
    B("replica-ignore-maxmemory", "slave-ignore-maxmemory", ACC, "yes", "accepted"),
    B("replica-ignore-disk-write-errors", NULL, ACC, "no", "accepted"),
    B("replica-lazy-flush", "slave-lazy-flush", ACC, "no", "accepted"),
    I("repl-timeout", NULL, 0, "60", 1, INT32_MAX, "seconds of silence that end a replication link"),
    I("repl-ping-replica-period", "repl-ping-slave-period", 0, "10", 1, INT32_MAX, "seconds between pings to replicas"),
    M("repl-backlog-size", NULL, 0, "1mb", 1, ANY, "the log on disk is the backlog; more than this: keeps as much of it"),
    I("repl-backlog-ttl", NULL, ACC, "3600", 0, ANY, "the log on disk is the backlog"),
    B("repl-diskless-sync", NULL, ACC, "yes", "accepted"),
    I("repl-diskless-sync-delay", NULL, 0, "5", 0, INT32_MAX, "seconds to wait for more replicas"),
    I("repl-diskless-sync-max-replicas", NULL, 0, "0", 0, INT32_MAX, "start when this many wait"),
    E("repl-diskless-load", NULL, ACC, "disabled", diskless_words, "accepted"),
    B("repl-disable-tcp-nodelay", NULL, 0, "no", "larger packets to replicas"),
    I("min-replicas-to-write", "min-slaves-to-write", 0, "0", 0, INT32_MAX, "good replicas needed for a write"),
    I("min-replicas-max-lag", "min-slaves-max-lag", 0, "10", 0, INT32_MAX, "seconds of lag a good replica may have"),
    /* Cluster */
    B("cluster-enabled", NULL, IMM, "no", "a node of a cluster"),
    S("cluster-config-file", NULL, IMM, "nodes.conf", "name of the file that the node keeps its cluster in"),
    I("cluster-node-timeout", NULL, 0, "15000", 0, ANY, "milliseconds of silence after which a node may have failed"),
    I("cluster-port", NULL, IMM, "0", 0, 65535, "bus port; 0: client port + 10000"),
    S("cluster-announce-ip", NULL, 0, "", "address told to the others"),
    I("cluster-announce-port", NULL, 0, "0", 0, 65535, "client port told to the others"),
    I("cluster-announce-tls-port", NULL, 0, "0", 0, 65535, "TLS port told to the others"),
    I("cluster-announce-bus-port", NULL, 0, "0", 0, 65535, "bus port told to the others"),
    Z("cluster-announce-hostname", OPTION_STRING, 0, "", shape_hostname, "host name told to the others"),
    Z("cluster-announce-human-nodename", OPTION_STRING, 0, "", shape_node_name, "name told to the others"),
    E("cluster-preferred-endpoint-type", NULL, 0, "ip", endpoint_words, "what redirects show"),
    I("cluster-replica-validity-factor", "cluster-slave-validity-factor", 0, "10", 0, INT32_MAX,
      "how stale a candidate may be"),
    I("cluster-migration-barrier", NULL, 0, "1", 0, INT32_MAX, "replicas that a master keeps"),
    B("cluster-allow-replica-migration", NULL, 0, "yes", "replicas move to masters without one"),
    B("cluster-require-full-coverage", NULL, 0, "yes", "all slots must be served"),
    B("cluster-replica-no-failover", "cluster-slave-no-failover", 0, "no", "this replica is no candidate"),
    B("cluster-allow-reads-when-down", NULL, 0, "no", "serve reads in state fail"),
    B("cluster-allow-pubsubshard-when-down", NULL, 0, "yes", "serve sharded pub/sub in state fail"),
    M("cluster-link-sendbuf-limit", NULL, 0, "0", 0, ANY, "bytes waiting on a bus link; 0: no limit"),
    I("slot-migration-max-mb-per-sec", NULL, 0, "0", 0, INT32_MAX,
      "megabytes a second that an atomic slot migration sends; 0: no limit"),
    B("cluster-slot-stats-enabled", NULL, ACC, "no", "CLUSTER SLOT-STATS counts keys only"),
    /* Threads */
    I("io-threads", NULL, IMM | ACC, "1", 1, 128, "see workers"),
    B("io-threads-do-reads", NULL, IMM | ACC, "no", "accepted"),
    S("server_cpulist", NULL, IMM | ACC, "", "accepted"),
    S("bio_cpulist", NULL, IMM | ACC, "", "accepted"),
    S("aof_rewrite_cpulist", NULL, IMM | ACC, "", "accepted"),
    S("bgsave_cpulist", NULL, IMM | ACC, "", "accepted"),
    /* Cairn's own */
    I("workers", NULL, IMM, "0", 0, 256, "threads that execute commands; 0: the machine's cores less one"),
    I("reader-threads", NULL, IMM, "32", 2, 128, "threads for commands that wait for the disk"),
    M("wal-segment-bytes", NULL, IMM, "16mb", 65536, ANY, "size of a log segment"),
    M("wal-floor-bytes-max", NULL, IMM, "256mb", 65536, ANY, "log that a restart may have to replay"),
    M("wal-retention-bytes", "repl-log-retention-bytes", 0, "256mb", 0, ANY, "log kept for replicas beyond that"),
    I("wal-retention-seconds", "repl-log-retention-seconds", 0, "0", 0, ANY, "and its age; 0: any"),
    M("lost-writes-bytes-max", NULL, 0, "1gb", 0, ANY, "files of writes that a failover lost; 0: none"),
    M("set-dirty-bytes-max", NULL, IMM, "1gb", 65536, ANY, "changes in memory before they are drained to the store"),
    B("repl-copy-files", NULL, 0, "yes", "whole copies between nodes of this kind go by files, not as RDB"),
    I("repl-copies-max", NULL, 0, "2", 1, 64, "such copies that are sent at a time; other replicas wait their turn"),
    I("repl-copy-hold-seconds", NULL, 0, "60", 0, 86400, "files of a copy that broke off are held for the replica's return"),
    I("repl-apply-threads", NULL, 0, "0", 0, 16, "threads that execute a master's stream; 1: one that does all; 0: by the machine's cores"),
    M("disk-free-min", NULL, IMM, "256mb", 0, ANY, "writes are refused below this much free disk"),
    B("metrics-enabled", NULL, IMM | ACC, "no", "Prometheus endpoint: not in this version"),
    S("metrics-bind", NULL, IMM | ACC, "127.0.0.1", "its address"),
    I("metrics-port", NULL, IMM | ACC, "9121", 0, 65535, "its port"),
};

const size_t option_count = sizeof option_table / sizeof option_table[0];

size_t option_find(struct slice name)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];

        if (slice_is(name, o->name) || (o->alias != NULL && slice_is(name, o->alias)))
            return i;
    }
    return SIZE_MAX;
}
