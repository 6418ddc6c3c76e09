/*
 * node.c - the composed server: accessors, hooks, opening and closing in order.
 *
 *   open:  directory lock -> log -> store -> set -> pool -> workers -> listener, and with the port open, on a thread of its
 *          own: recovery (import) -> set_start -> cluster; then commands that need data are served
 *   close: listener -> workers -> pool -> cluster -> drain -> set -> log -> store
 */
#include "server/node.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <time.h>
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
#include "server/net/listener.h"
#include "server/net/loop.h"
#include "server/net/remote.h"
#include "server/import.h"
#include "server/node_priv.h"
#include "server/options.h"
#include "server/run/call.h"
#include "server/run/pool.h"
#include "server/run/registry.h"
#include "server/run/replay.h"
#include "server/run/stats.h"
#include "server/run/waiting.h"
#include "server/tables.h"

enum { TICK_MS = 100, SHUTDOWN_ASKED = 0x100 };

/* ---- Accessors ---- */

struct set *node_set(struct node *n)
{
    return n->set;
}

struct store *node_store(struct node *n)
{
    return n->store;
}

struct wal *node_wal(struct node *n)
{
    return n->wal;
}

const struct journal *node_journal(struct node *n)
{
    return &n->journal;
}

struct config *node_config(struct node *n)
{
    return n->config;
}

struct cluster_service *node_cluster(struct node *n)
{
    return atomic_load_explicit(&n->loading, memory_order_acquire) ? NULL : n->cluster_service;
}

struct repl *node_replication(struct node *n)
{
    return n->repl;
}

struct clients *node_clients(struct node *n)
{
    return n->clients;
}

const struct registry *node_registry(struct node *n)
{
    return n->registry;
}

struct stats *node_stats(struct node *n)
{
    return n->stats;
}

struct pool *node_pool(struct node *n)
{
    return n->pool;
}

struct waiting *node_waiting(struct node *n)
{
    return n->waiting;
}

struct watch *node_watch(struct node *n)
{
    return n->watch;
}

unsigned node_databases(const struct node *n)
{
    return n->databases;
}

bool node_is_cluster(const struct node *n)
{
    return n->cluster;
}

int node_port(const struct node *n)
{
    return n->port;
}

int node_tls_port(const struct node *n)
{
    return n->tls_port;
}

const char *node_dir(const struct node *n)
{
    return n->dir;
}

const char *node_config_file(const struct node *n)
{
    return n->config_file;
}

const char *node_run_id(const struct node *n)
{
    return n->run_id;
}

msec_t node_started_ms(const struct node *n)
{
    return n->started_ms;
}

size_t node_workers(const struct node *n)
{
    return n->workers;
}

msec_t node_now(const struct node *n)
{
    struct timespec t;

    (void)n;
    clock_gettime(CLOCK_REALTIME, &t);
    return (msec_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool node_is_replica(const struct node *n)
{
    return atomic_load_explicit(&n->replica, memory_order_relaxed);
}

void node_set_replica(struct node *n, bool replica)
{
    atomic_store(&n->replica, replica);
}

/* ---- Hooks ---- */

void node_set_route(struct node *n, node_gate *route, void *context)
{
    n->route = route;
    n->route_context = context;
}

void node_set_exec_guard(struct node *n, node_exec_guard *guard, void *context)
{
    n->exec_guard = guard;
    n->exec_guard_context = context;
}

void node_set_permit(struct node *n, node_gate *permit, void *context)
{
    n->permit = permit;
    n->permit_context = context;
}

void node_add_admit(struct node *n, node_gate *admit, void *context)
{
    check(n->admits < NODE_HOOKS_MAX);
    n->admit[n->admits++] = (struct node_admit_hook){admit, context};
}

void node_set_authentication(struct node *n, node_authenticate *authenticate, node_default_user *default_user,
                             void *context)
{
    n->authenticate = authenticate;
    n->default_user = default_user;
    n->authentication_context = context;
}

void node_add_session_end(struct node *n, node_session_end *end, void *context)
{
    check(n->session_ends < NODE_HOOKS_MAX);
    n->session_end[n->session_ends++] = (struct node_end_hook){end, context};
}

void node_set_observe(struct node *n, node_observe *observe, void *context)
{
    n->observe = observe;
    n->observe_context = context;
}

void node_observe_from(struct node *n, int64_t duration_us)
{
    atomic_store(&n->observe_from_us, duration_us);
}

void node_add_tick(struct node *n, node_tick *tick, void *context)
{
    check(n->ticks < NODE_HOOKS_MAX);
    n->tick[n->ticks++] = (struct node_tick_hook){tick, context};
}

enum err node_tls_client(struct node *n, struct tls_context **out)
{
    struct options o;
    enum err e;

    options_from(&o, n->config);
    e = tls_context_new(&o.tls, out);
    options_fini(&o);
    return e;
}

void node_tls_replace(struct node *n, struct tls_context *take_tls)
{
    tls_context_free(atomic_exchange(&n->tls_next, take_tls)); /* one that was never taken up */
}

/* ---- Durability ---- */

enum err node_await(struct node *n, lsn_t lsn)
{
    return wal_fsync_policy(n->wal) == WAL_FSYNC_ALWAYS ? wal_sync_to(n->wal, lsn) : wal_write_to(n->wal, lsn);
}

void call_wait_for(struct call *c, lsn_t lsn)
{
    if (lsn > c->wait_for)
        c->wait_for = lsn;
}

/* ---- Memory ---- */

/*
 *   total            maxmemory, or half of the machine
 *   cache   1/4      RocksDB's block cache: compressed blocks serve the misses
 *   buffers 1/32     per memtable, 4 .. 64 MB; two may exist at a time
 *   dirty   1/4      1 MB .. 1 GB: a small part drains too often, and rows of few changes cost compaction (0039)
 *   clients 1/16     query and output buffers
 *   set              what is left: the objects, dirty ones included
 */
struct memory_split node_memory_split(uint64_t maxmemory, uint64_t machine_bytes)
{
    struct memory_split m = {.total = maxmemory != 0 ? maxmemory : machine_bytes / 2};
    const uint64_t mb = 1 << 20;

    if (m.total < 16 * mb)
        m.total = 16 * mb;
    m.cache = m.total / 4;
    m.buffers = m.total / 32 < 4 * mb ? 4 * mb : m.total / 32 > 64 * mb ? 64 * mb : m.total / 32;
    m.dirty = m.total / 4 > 1024 * mb ? 1024 * mb : m.total / 4;
    m.set = m.total - m.cache - m.total / 16;
    m.set = m.set > 2 * m.buffers + m.dirty ? m.set - 2 * m.buffers : 2 * m.dirty;
    return m;
}

struct memory_split node_memory(uint64_t maxmemory)
{
    struct sysinfo machine;

    sysinfo(&machine);
    return node_memory_split(maxmemory, (uint64_t)machine.totalram * machine.mem_unit);
}

/* ---- Shutdown ---- */

void node_shutdown(struct node *n, unsigned how)
{
    atomic_store(&n->shutdown, SHUTDOWN_ASKED | how);
    if (n->wake != NULL)
        uv_async_send(n->wake);
}

bool node_shutdown_abort(struct node *n)
{
    return atomic_exchange(&n->shutdown, 0) != 0;
}

bool node_is_stopping(const struct node *n)
{
    return atomic_load(&n->shutdown) != 0;
}

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
    struct memory_split memory = node_memory(o->maxmemory);

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
    TRY(store_open(&store, &n->store));
    TRY(repl_load_resume(n->wal, n->store));
    set.store = n->store;
    set.budget_bytes = memory.set;
    set.dirty_bytes_max = memory.dirty < o->dirty_bytes_max ? memory.dirty : o->dirty_bytes_max;
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

/* ---- Running ---- */

struct main_loop {
    struct node *node;
    uv_loop_t loop;
    uv_signal_t term, interrupt;
    uv_timer_t timer;
    uv_async_t wake, recovered;
    struct recovery { /* on a thread of its own, from the listener's opening to on_recovered */
        pthread_t thread;
        const struct options *options;
        node_ready *ready;
        void *context;
        bool running;
        enum err error;
        char text[512];
    } recovery;
    struct listener *listener;
    struct tls_context **tls; /* all that were in use: connections may live longer than a change */
    size_t tls_count;
};

static void close_handles(struct main_loop *m)
{
    uv_close((uv_handle_t *)&m->term, NULL);
    uv_close((uv_handle_t *)&m->interrupt, NULL);
    uv_close((uv_handle_t *)&m->timer, NULL);
    uv_close((uv_handle_t *)&m->wake, NULL);
    uv_close((uv_handle_t *)&m->recovered, NULL);
    listener_close(m->listener);
    m->listener = NULL;
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct main_loop *m = handle->data;

    log_event(LOG_WARNING, "Received %s, stopping", number == SIGTERM ? "SIGTERM" : "SIGINT");
    node_shutdown(m->node, SHUTDOWN_DEFAULT);
}

static void on_main_wake(uv_async_t *async)
{
    struct main_loop *m = async->data;

    if (node_is_stopping(m->node) && !uv_is_closing((uv_handle_t *)&m->wake))
        close_handles(m);
}

static void keep_tls(struct main_loop *m, struct tls_context *tls)
{
    m->tls = realloc(m->tls, (m->tls_count + 1) * sizeof *m->tls);
    check(m->tls != NULL);
    m->tls[m->tls_count++] = tls;
}

static void on_tick(uv_timer_t *timer)
{
    struct main_loop *m = timer->data;
    struct node *n = m->node;
    msec_t now_ms = node_now(n);
    struct tls_context *tls;

    if (node_loading(n, NULL)) /* the rooms that tick may use the log */
        return;
    if ((tls = atomic_exchange(&n->tls_next, NULL)) != NULL) {
        listener_tls(m->listener, tls);
        keep_tls(m, tls);
    }

    for (size_t i = 0; i < n->ticks; i++)
        n->tick[i].tick(n->tick[i].context, now_ms);
}

/* ---- Recovery beside the open port ---- */

static void *recovery_thread(void *context)
{
    struct main_loop *m = context;
    struct recovery *r = &m->recovery;

    r->error = node_recover(m->node, r->options);
    if (r->error != OK)
        snprintf(r->text, sizeof r->text, "%s", err_text());
    uv_async_send(&m->recovered);
    return NULL;
}

static void recovery_join(struct main_loop *m)
{
    if (m->recovery.running)
        pthread_join(m->recovery.thread, NULL);
    m->recovery.running = false;
}

/* Everything that recovery made is visible to whoever sees that loading is over. */
static void serve_data(struct main_loop *m)
{
    struct node *n = m->node;

    atomic_store_explicit(&n->loading, false, memory_order_release);
    repl_start(n->repl);
    if (n->cluster_service != NULL)
        cluster_service_start(n->cluster_service);
    m->recovery.ready(m->recovery.context);
}

static void on_recovered(uv_async_t *async)
{
    struct main_loop *m = async->data;

    recovery_join(m);
    if (uv_is_closing((uv_handle_t *)&m->wake))
        return;
    if (m->recovery.error == OK)
        serve_data(m);
    else
        close_handles(m);
}

static void loop_init(struct main_loop *m, struct node *n)
{
    m->node = n;
    check(uv_loop_init(&m->loop) == 0);
    check(uv_async_init(&m->loop, &m->wake, on_main_wake) == 0);
    check(uv_async_init(&m->loop, &m->recovered, on_recovered) == 0);
    uv_signal_init(&m->loop, &m->term);
    uv_signal_init(&m->loop, &m->interrupt);
    uv_timer_init(&m->loop, &m->timer);
    m->term.data = m->interrupt.data = m->timer.data = m->wake.data = m->recovered.data = m;
    uv_signal_start(&m->term, on_signal, SIGTERM);
    uv_signal_start(&m->interrupt, on_signal, SIGINT);
    uv_timer_start(&m->timer, on_tick, TICK_MS, TICK_MS);
}

enum err node_run(struct node *n, const struct options *o, node_ready *ready, void *context)
{
    struct main_loop m = {0};
    struct tls_context *tls = NULL;
    struct workers *workers = NULL;
    enum err e;

    m.recovery = (struct recovery){.options = o, .ready = ready, .context = context};
    loop_init(&m, n);
    n->wake = &m.wake;
    e = o->tls_port != 0 ? tls_context_new(&o->tls, &tls) : OK;
    if (tls != NULL)
        keep_tls(&m, tls);
    if (e == OK)
        e = workers_start(n, n->workers, &workers);
    if (e == OK) {
        const struct listener_options options = {
            .node = n, .workers = workers, .loop = &m.loop, .bind = o->bind, .bind_count = o->bind_count,
            .port = o->port, .tls_port = o->tls_port, .backlog = o->backlog, .unix_path = o->unix_path,
            .unix_permissions = o->unix_permissions, .tls = tls};

        e = listener_open(&options, &m.listener);
    }
    if (e == OK) {
        if (!node_loading(n, NULL))
            serve_data(&m);
        else
            check(pthread_create(&m.recovery.thread, NULL, recovery_thread, &m) == 0);
        m.recovery.running = node_loading(n, NULL);
        uv_run(&m.loop, UV_RUN_DEFAULT);
        recovery_join(&m);
        if (m.recovery.error != OK && m.recovery.error != ERR_CLOSED)
            e = err_set(m.recovery.error, "%s", m.recovery.text);
    } else {
        char text[512];

        snprintf(text, sizeof text, "%s", err_text());
        close_handles(&m);
        uv_run(&m.loop, UV_RUN_DEFAULT);
        (void)err_set(e, "%s", text);
    }
    n->wake = NULL;
    if (node_cluster(n) != NULL)
        cluster_service_quiet(node_cluster(n));
    repl_stop(n->repl);
    if (workers != NULL)
        workers_stop(workers);
    workers_free(workers);
    node_tls_replace(n, NULL);
    for (size_t i = 0; i < m.tls_count; i++)
        tls_context_free(m.tls[i]);
    free(m.tls);
    check(uv_loop_close(&m.loop) == 0);
    return e;
}
