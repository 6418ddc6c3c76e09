/*
 * options.h - what the composition needs to know to start, whatever dialect it was written in.
 */
#ifndef CAIRN_SERVER_OPTIONS_H
#define CAIRN_SERVER_OPTIONS_H

#include "cluster/cluster.h"
#include "persistence/wal.h"
#include "server/allocator.h"
#include "server/net/clients.h"
#include "server/net/tls.h"

struct config;

enum { OPTIONS_BIND_MAX = 16, OPTIONS_TEXTS_MAX = 64 };

struct options {
    struct config *config;
    const char *config_file; /* "" without one */
    const char *dir;
    const char *bind[OPTIONS_BIND_MAX];
    size_t bind_count;       /* 0: everywhere */
    int port, tls_port, backlog;
    const char *unix_path;
    unsigned unix_permissions;
    unsigned databases;
    size_t workers;          /* 0: one per core */
    size_t pool_threads;
    uint64_t maxmemory;      /* 0: half of the machine's */
    struct allocator_wishes allocator;
    uint64_t dirty_bytes_max;
    uint64_t log_bytes_max;  /* of log behind the floor: bounds the time of recovery */
    uint64_t segment_bytes, retain_bytes, disk_free_min;
    msec_t retain_ms;
    enum wal_fsync fsync;
    struct client_limits limits;
    bool daemonize;
    const char *pid_file;    /* "": none unless daemonized */
    const char *log_file;
    struct tls_options tls;
    bool cluster;
    const char *cluster_config_file;
    struct cluster_config cluster_config;
    uint64_t cluster_send_buffer_max;
    char *owned[OPTIONS_TEXTS_MAX]; /* what the texts above point to */
    size_t owned_count;
};

/* Everything from the settings. Options and config outlive the node. */
void options_from(struct options *o, struct config *c);
void options_fini(struct options *o);

/* The parts that CONFIG SET may change later. */
struct client_limits options_limits(struct config *c);
void options_cluster(struct config *c, struct cluster_config *out);
enum wal_fsync options_fsync(struct config *c);
/* Bytes of log that are kept for replicas: Cairn's own setting, or a repl-backlog-size that somebody has made larger. */
uint64_t options_retention(struct config *c);

#endif
