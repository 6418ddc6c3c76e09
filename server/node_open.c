/*
 * node_open.c - the server is composed and taken apart, in order.
 *
 *   open:  directory lock -> log -> store -> set -> pool -> workers -> listener, and with the port open, on a thread of its
 *          own (node_run.c): recovery (import) -> set_start -> cluster; then commands that need data are served
 *   close: listener -> workers -> pool -> cluster -> drain -> set -> log -> store
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>
#include <uv.h>

#include "base/check.h"
#include "base/log.h"
#include "base/rng.h"
#include "engine/set/set.h"
#include "engine/store/store.h"
#include "persistence/recovery.h"
#include "persistence/vfs.h"
#include "persistence/wal.h"
#include "server/cmd/cmd_acl.h"
#include "server/conf/config.h"
#include "server/drive/cluster_service.h"
#include "server/drive/repl.h"
#include "server/settings.h"
#include "server/space.h"
#include "server/stat/watch.h"
#include "server/net/loop.h"
#include "server/net/remote.h"
#include "server/import.h"
#include "server/memory_split.h"
#include "server/node_priv.h"
#include "server/options.h"
#include "server/run/pool.h"
#include "server/run/registry.h"
#include "server/run/replay.h"
#include "server/run/stats.h"
#include "server/run/waiting.h"
#include "server/tables.h"

/* ---- Opening ---- */

enum { LOCK_TRIES = 100, LOCK_PAUSE_US = 50000 };

static enum err lock_directory(struct node *n)
{
    char path[VFS_PATH_MAX];

    if (mkdir(n->dir, 0755) != 0 && errno != EEXIST)
        return err_set(ERR_IO, "cannot make directory %s: %s", n->dir, strerror(errno));
    vfs_path(path, n->dir, "cairn.lock");
    n->lock_fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    if (n->lock_fd < 0)
        return err_set(ERR_IO, "cannot open %s: %s", path, strerror(errno));
    /* A process killed a moment ago still holds it while the kernel takes its memory apart. */
    for (int tries = 0; flock(n->lock_fd, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (tries == LOCK_TRIES)
            return err_set(ERR_IO, "another process uses the directory %s", n->dir);
        usleep(LOCK_PAUSE_US);
    }
    return OK;
}

static enum err open_data(struct node *n, const struct options *o)
{
    char log_dir[VFS_PATH_MAX], store_dir[VFS_PATH_MAX];
    struct wal_options wal = wal_options_default();
    struct wal_found found = {0};
    struct store_options store = {.path = store_dir, .max_open_files = -1};
    struct set_options set = {.journal = &n->journal, .databases = n->databases, .log_bytes_max = o->log_bytes_max};
    struct memory_split memory = memory_split_here(o->maxmemory);

    vfs_path(log_dir, n->dir, "log");
    vfs_path(store_dir, n->dir, "store");
    TRY(vfs_posix()->make_dir(vfs_posix()->context, log_dir));
    wal.fsync = o->fsync;
    wal.segment_bytes = o->segment_bytes;
    wal.retain_bytes = o->retain_bytes;
    wal.retain_ms = o->retain_ms;
    wal.space_reserve = o->disk_free_min;
    check(getrandom(&wal.seed, sizeof wal.seed, 0) == sizeof wal.seed);
    TRY(wal_open(vfs_posix(), log_dir, &wal, &found, &n->wal));
    if (found.torn_bytes > 0)
        log_event(LOG_WARNING, "log: torn tail cut: position=%llu bytes=%llu", (unsigned long long)found.torn_position,
                  (unsigned long long)found.torn_bytes);
    n->log_lossless = found.lossless;
    n->journal = wal_journal(n->wal);
    store.block_cache_bytes = memory.cache;
    store.write_buffer_bytes = memory.buffers;
    set.dirty_bytes_max = memory.dirty < o->dirty_bytes_max ? memory.dirty : o->dirty_bytes_max;
    store.burst_bytes = set.dirty_bytes_max;
    TRY(store_open(&store, &n->store));
    TRY(repl_load_resume(n->wal, n->store));
    set.store = n->store;
    set.budget_bytes = memory.set;
    return set_open(&set, &n->set);
}

bool node_loading(const struct node *n, struct node_loading *out)
{
    if (!atomic_load_explicit(&n->loading, memory_order_acquire))
        return false;
    if (out != NULL)
        *out = (struct node_loading){.since_ms = atomic_load(&n->loading_since_ms),
                                     .total = atomic_load(&n->loading_end) - atomic_load(&n->loading_from),
                                     .done = atomic_load(&n->loading_at) - atomic_load(&n->loading_from)};
    return true;
}

void node_imported(const struct node *n, uint64_t *keys, uint64_t *expired)
{
    *keys = *expired = 0;
    if (!node_loading(n, NULL))
        import_figures(n->import, keys, expired);
}

static enum err recover(struct node *n)
{
    struct recovery_figures figures = {0};
    msec_t began = node_now(n);
    enum err e = replay_run(n, &figures);

    if (e != OK)
        return err_context(e, "recovery");
    log_event(LOG_NOTICE, "recovery done: from=%llu to=%llu effects=%llu applied=%llu ms=%lld",
              (unsigned long long)figures.from, (unsigned long long)figures.to, (unsigned long long)figures.effects,
              (unsigned long long)figures.applied, (long long)(node_now(n) - began));
    TRY(import_base(n->import, n));
    TRY(set_start(n->set));
    return import_rest(n->import, n);
}

static enum err open_cluster(struct node *n, const struct options *o)
{
    const struct cluster_service_options cluster = {
        .node = n, .config = o->cluster_config, .dir = n->dir, .config_file = o->cluster_config_file,
        .addresses = o->bind, .address_count = o->bind_count, .send_buffer_max = o->cluster_send_buffer_max};

    return cluster_service_open(&cluster, &n->cluster_service);
}

/* rename-command NAME "": pairs of words. */
static enum err disable_commands(struct node *n)
{
    char **words = NULL;
    size_t count = config_words(n->config, "rename-command", &words);
    enum err e = OK;

    for (size_t i = 0; i + 1 < count && e == OK; i += 2)
        if (registry_disable(n->registry, slice_str(words[i])) != OK)
            e = err_set(ERR_INVALID, "rename-command: no such command '%s'", words[i]);
    config_words_free(words, count);
    return e;
}

enum err node_recover(struct node *n, const struct options *o)
{
    TRY(recover(n));
    if (n->cluster)
        TRY(open_cluster(n, o));
    return OK;
}

enum err node_open(const struct options *o, struct node **out)
{
    struct node *n;
    enum err e;

    TRY(node_prepare(o, &n));
    if ((e = node_recover(n, o)) != OK) {
        node_close(n, false);
        return e;
    }
    atomic_store(&n->loading, false);
    *out = n;
    return OK;
}

/* A core is left to the writer, to compaction and to what the kernel does for the sockets (docs/decisions/0027). */
static size_t workers_by_cores(size_t cores)
{
    return cores > 1 ? cores - 1 : 1;
}

static uint64_t remotes_gauge(void *context)
{
    return remotes_kept(context);
}

static enum err remotes_tls(void *context, struct tls_context **out)
{
    return node_tls_client(context, out);
}

static void remotes_on_tick(void *context, msec_t now_ms)
{
    (void)now_ms;
    remotes_tick(context);
}

enum err node_prepare(const struct options *o, struct node **out)
{
    struct node *n = calloc(1, sizeof *n);
    struct rng rng;
    uint64_t seed;
    enum err e;

    check(n != NULL);
    check(getrandom(&seed, sizeof seed, 0) == sizeof seed);
    rng_seed(&rng, seed);
    rng_hex(&rng, n->run_id, 40);
    n->lock_fd = -1;
    n->dir = strdup(o->dir);
    n->config = o->config;
    n->config_file = strdup(o->config_file);
    n->databases = o->databases;
    n->cluster = o->cluster;
    n->port = o->port;
    n->tls_port = o->tls_port;
    n->started_ms = node_now(n);
    n->workers = o->workers != 0 ? o->workers : workers_by_cores((size_t)sysconf(_SC_NPROCESSORS_ONLN));
    atomic_init(&n->observe_from_us, -1);
    atomic_init(&n->loading, true);
    atomic_init(&n->loading_since_ms, n->started_ms);
    n->clients = clients_new(&o->limits);
    busy_init(&n->busy);
    n->remotes = remotes_new(remotes_tls, n);
    node_add_tick(n, remotes_on_tick, n->remotes);
    n->waiting = waiting_new(n, workers_deliver);
    if ((e = registry_new(command_tables, command_tables_count, &n->registry)) != OK)
        goto fail;
    if ((e = disable_commands(n)) != OK)
        goto fail;
    n->stats = stats_new(registry_count(n->registry));
    if ((e = lock_directory(n)) != OK || (e = import_prepare(n, &n->import)) != OK ||
        (e = open_data(n, o)) != OK ||
        (e = pool_new(n, o->pool_threads, &n->pool)) != OK)
        goto fail;
    if ((e = acl_open(n)) != OK)
        goto fail;
    settings_watch(n, o->config);
    node_add_admit(n, space_gate, n);
    n->watch = watch_new(n);
    watch_gauge_add(n->watch, "migrate_cached_sockets", remotes_gauge, n->remotes);
    if ((e = repl_open(n, n->log_lossless, &n->repl)) != OK)
        goto fail;
    *out = n;
    return OK;
fail:
    node_close(n, false);
    return e;
}

void node_close(struct node *n, bool drain)
{
    if (n == NULL)
        return;
    pool_free(n->pool);
    watch_free(n->watch);
    cluster_service_close(n->cluster_service);
    repl_close(n->repl);
    if (n->set != NULL && drain && !node_loading(n, NULL) && set_drain(n->set) != OK)
        log_event(LOG_WARNING, "drain failed; the log has everything: error=\"%s\"", err_text());
    if (n->set != NULL)
        set_close(n->set);
    wal_close(n->wal);
    if (n->store != NULL)
        store_close(n->store);
    import_free(n->import);
    busy_fini(&n->busy);
    remotes_free(n->remotes);
    waiting_free(n->waiting);
    clients_free(n->clients);
    stats_free(n->stats);
    registry_free(n->registry);
    if (n->lock_fd >= 0)
        close(n->lock_fd);
    free(n->dir);
    free(n->config_file);
    free(n);
}
