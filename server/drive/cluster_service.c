/*
 * cluster_service.c - steps the core and obeys it.
 *
 * (1) Actions are obeyed in order, under the lock. A PERSIST with sync is durable before the next action; if it cannot
 *     be made durable the process ends: peers must never hear of what this node may forget.
 * (2) A PERSIST without sync is noted (it survives this process, see state_file.h) and saved at the next tick: only the last
 *     one counts.
 * (3) A write is let in only before writes_until_ms, whatever this file's threads are doing: a process that was stopped,
 *     or whose bus thread waits for a slow disk, must not write where a replica may have been promoted meanwhile.
 * (4) Time starts at the wall clock and moves with the monotonic one.
 */
#include "server/drive/cluster_service.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "engine/set/journal.h"
#include "engine/set/set.h"
#include "persistence/state_file.h"
#include "persistence/vfs.h"
#include "server/drive/bus.h"
#include "server/drive/map_board.h"
#include "server/drive/move.h"
#include "server/drive/repl.h"
#include "server/drive/route.h"
#include "server/drive/slot_drop.h"
#include "server/drive/write_hold.h"
#include "server/net/clients.h"
#include "server/node.h"
#include "server/run/waiting.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

enum { NODES_CONF_BYTES_MAX = 64 << 20 };

struct cluster_service {
    /* Set once */
    struct node *node;
    struct bus *bus;
    struct map_board *board;
    struct slot_drop *drop;
    struct write_hold *hold;
    struct moves *moves;
    struct repl *repl; /* NULL: this node cannot replicate */
    char *dir, *config_file;
    struct state_file *file; /* nodes.conf */
    int lock_fd;
    bool speaks_tls; /* the bus */
    msec_t wall_start_ms, monotonic_start_ms;

    _Atomic msec_t writes_until_ms; /* monotonic; see cluster_writes_until */

    pthread_mutex_t lock;    /* recursive: EXEC holds it around its commands */
    struct cluster *core;    /* Under lock */
    struct buf unsaved;      /* Under lock: nodes.conf that may wait; empty: nothing waits */
    bool saves_next;         /* Under lock: this step ends with a save, a note is not needed */
    bool hides;              /* Under lock: a bit of hidden is set */
    uint8_t hidden[SLOTS / 8]; /* Under lock: slots whose keys are not listed, as another shard's */
    bool held;               /* Under lock: the hold on writes is complete, the log's end is final */
};

static msec_t now_of(const struct cluster_service *s)
{
    return s->wall_start_ms + clock_ms(CLOCK_MONOTONIC) - s->monotonic_start_ms;
}

/* ---- Obeying ---- */

static void save(struct cluster_service *s, struct slice text)
{
    if (state_file_save(s->file, text) != OK) {
        log_event(LOG_WARNING, "cluster: cannot save %s: %s. Stopping: peers would hear of what is not durable.",
                  s->config_file, err_text());
        abort();
    }
    buf_clear(&s->unsaved);
}

static void note(struct cluster_service *s, struct slice text)
{
    if (!s->saves_next && state_file_note(s->file, text) != OK) {
        log_event(LOG_WARNING, "cluster: cannot write %s: %s", s->config_file, err_text());
        save(s, text);
    } else {
        buf_clear(&s->unsaved);
        buf_append_slice(&s->unsaved, text);
    }
}

/* Keys that arrive or are being dropped are the other side's in DBSIZE, KEYS, SCAN and RANDOMKEY. */
static void hide(struct cluster_service *s)
{
    uint8_t bits[SLOTS / 8];
    bool any = cluster_slots_in_between(s->core, bits);

    if (!any && !s->hides)
        return;
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if ((bits[slot / 8] ^ s->hidden[slot / 8]) >> slot % 8 & 1)
            set_hide(node_set(s->node), (slot_t)slot, bits[slot / 8] >> slot % 8 & 1);
    memcpy(s->hidden, bits, sizeof bits);
    s->hides = any;
}

static void publish(struct cluster_service *s)
{
    struct cluster_map *map = malloc(sizeof *map);

    check(map != NULL);
    cluster_map(s->core, map);
    hide(s);
    map_publish(s->board, map);
}

static void flush_data(struct cluster_service *s)
{
    lsn_t end;

    if (set_flush_db(node_set(s->node), 0, &end) != OK)
        log_event(LOG_WARNING, "cluster: cannot drop the data: %s", err_text());
}

static void obey(struct cluster_service *s, const struct cluster_action *a)
{
    switch (a->type) {
    case CLUSTER_CONNECT:
    case CLUSTER_CLOSE:
    case CLUSTER_SEND:
        bus_obey(s->bus, a);
        break;
    case CLUSTER_PERSIST:
        if (a->sync)
            save(s, a->bytes);
        else
            note(s, a->bytes);
        hide(s);
        break;
    case CLUSTER_STATE:
    case CLUSTER_MAP:
        publish(s);
        break;
    case CLUSTER_SLOT_LOST:
        slot_drop_add(s->drop, a->slot);
        break;
    case CLUSTER_FLUSH_DATA:
        flush_data(s);
        break;
    case CLUSTER_PAUSE:
        s->held = false;
        if (a->until_ms != 0)
            write_hold_begin(s->hold, a->until_ms);
        else
            write_hold_end(s->hold);
        break;
    case CLUSTER_LOG:
        log_event((enum log_level)a->level, "cluster: %s", a->text);
        break;
    case CLUSTER_DELIVER: /* there are no subscribers on this node yet */
        break;
    case CLUSTER_REPLICATE:
        repl_follow(s->repl, a->node, a->text, a->port);
        break;
    case CLUSTER_PROMOTE:
        repl_promote(s->repl);
        break;
    case CLUSTER_OFFSET_WANTED:
        repl_want_offset(s->repl, a->offset);
        break;
    }
}

static struct cluster_actions step_core(struct cluster_service *s, const struct cluster_event *event)
{
    struct cluster_actions todo = cluster_step(s->core, event, now_of(s));

    for (size_t i = 0; i < todo.count; i++)
        obey(s, &todo.list[i]);
    return todo;
}

/* Under lock, on a replica: what its primary says of slots that arrive there, before this node may be promoted. */
static void report_arriving(struct cluster_service *s)
{
    uint8_t bits[SLOTS / 8] = {0};
    struct buf text = {0};
    slot_t *slots;
    size_t count;
    bool news = repl_take_mark(s->repl, REPL_MARK_ARRIVING, &text) && move_ranges_parse(buf_slice(&text), bits);

    buf_free(&text);
    if (!news)
        return;
    slots = malloc(SLOTS * sizeof *slots);
    check(slots != NULL);
    for (int on = 0; on < 2; on++) {
        count = 0;
        for (unsigned slot = 0; slot < SLOTS; slot++)
            if ((bits[slot / 8] >> slot % 8 & 1) == on && cluster_slot_arriving(s->core, (slot_t)slot) != on)
                slots[count++] = (slot_t)slot;
        if (count > 0)
            (void)step_core(s, &(struct cluster_event){.type = on ? CLUSTER_EVENT_ARRIVING : CLUSTER_EVENT_ABANDONED,
                                                       .slots = slots, .slot_count = count});
    }
    free(slots);
}

/* Likewise of slots that SETSLOT opened there. */
static void report_open(struct cluster_service *s)
{
    struct buf text = {0};

    if (repl_take_mark(s->repl, REPL_MARK_OPEN, &text))
        (void)step_core(s, &(struct cluster_event){.type = CLUSTER_EVENT_INHERIT, .bytes = buf_slice(&text)});
    buf_free(&text);
}

/*
 * Under lock: tells the core where this node's data stands. On a replica before everything else that happens, so that
 * the core decides on what is true now: a vote that comes while a full copy begins must not elect this node.
 */
static void report(struct cluster_service *s)
{
    struct cluster_replication r;

    if (node_is_replica(s->node)) {
        report_arriving(s);
        report_open(s);
    }
    repl_report(s->repl, &r);
    r.paused = r.master == NULL && s->held && write_hold_active(s->hold);
    (void)step_core(s, &(struct cluster_event){.type = CLUSTER_EVENT_REPLICATION, .replication = &r});
}

/* Under lock. */
static void note_lease(struct cluster_service *s)
{
    msec_t until = cluster_writes_until(s->core);

    atomic_store(&s->writes_until_ms, until == INT64_MAX ? until : until - s->wall_start_ms + s->monotonic_start_ms);
}

void cluster_service_step(struct cluster_service *s, const struct cluster_event *event, struct cluster_reply *reply,
                          struct buf *text)
{
    struct cluster_actions todo;

    pthread_mutex_lock(&s->lock);
    if (s->repl != NULL && event->type != CLUSTER_EVENT_START &&
        (event->type == CLUSTER_EVENT_TICK || node_is_replica(s->node)))
        report(s);
    s->saves_next = event->type == CLUSTER_EVENT_TICK;
    todo = step_core(s, event);
    if (event->type == CLUSTER_EVENT_TICK)
        note_lease(s);
    if (s->saves_next && s->unsaved.size > 0)
        save(s, buf_slice(&s->unsaved));
    if (reply != NULL) {
        *reply = todo.reply;
        buf_clear(text);
        buf_append_str(text, todo.reply.text != NULL ? todo.reply.text : "");
        buf_append_byte(text, 0);
        reply->text = (const char *)text->data;
    }
    pthread_mutex_unlock(&s->lock);
}

bool cluster_service_step_if(struct cluster_service *s, cluster_service_guard *guard, void *context,
                             const struct cluster_event *event)
{
    bool may;

    pthread_mutex_lock(&s->lock);
    if (s->repl != NULL && node_is_replica(s->node))
        report(s);
    if ((may = guard(context, s->core)))
        (void)step_core(s, event);
    pthread_mutex_unlock(&s->lock);
    return may;
}

bool cluster_service_may_write(const struct cluster_service *s)
{
    return clock_ms(CLOCK_MONOTONIC_COARSE) <= atomic_load_explicit(&s->writes_until_ms, memory_order_relaxed);
}

/* A blocked client's request would not be served here any more. */
static bool is_gone(void *map_of_now, slot_t slot)
{
    const struct cluster_map *map = map_of_now;
    uint16_t owner = map->owner[slot];

    return !map->ok || (owner != map->myself && map->importing[slot] == ROUTING_NOBODY &&
                        !(map->replica && owner == map->my_master));
}

/* Looked for ten times a second: so it does not matter which of a change and the beginning of a wait comes first. */
static void redirect_blocked(struct cluster_service *s)
{
    struct waiting *w = node_waiting(s->node);
    struct cluster_map *map;

    if (!waiting_any(w))
        return;
    map = (struct cluster_map *)map_enter(s->board);
    waiting_reroute(w, is_gone, map);
    map_leave(s->board);
}

static void on_event(void *context, const struct cluster_event *event)
{
    cluster_service_step(context, event, NULL, NULL);
    if (event->type == CLUSTER_EVENT_TICK)
        redirect_blocked(context);
}

static void guard_exec(void *context, bool begin)
{
    struct cluster_service *s = context;

    if (begin)
        pthread_mutex_lock(&s->lock);
    else
        pthread_mutex_unlock(&s->lock);
}

static void on_dropped(void *context, slot_t slot)
{
    cluster_service_step(context, &(struct cluster_event){.type = CLUSTER_EVENT_DROPPED, .slots = &slot, .slot_count = 1},
                         NULL, NULL);
}

static bool is_replica(void *context)
{
    return node_is_replica(((struct cluster_service *)context)->node);
}

static void on_held(void *context)
{
    struct cluster_service *s = context;

    pthread_mutex_lock(&s->lock);
    s->held = true;
    report(s);
    pthread_mutex_unlock(&s->lock);
}

/* ---- Life ---- */

static enum err lock_files(struct cluster_service *s)
{
    char path[VFS_PATH_MAX];
    struct buf name = {0};

    buf_append_format(&name, "%s.lock", s->config_file);
    buf_append_byte(&name, 0);
    vfs_path(path, s->dir, (const char *)name.data);
    buf_free(&name);
    s->lock_fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    if (s->lock_fd < 0)
        return err_set(ERR_IO, "cannot open %s: %s", path, strerror(errno));
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return err_set(ERR_IO, "%s is already used by a different Cairn Cluster node. Please make sure that different "
                               "nodes use different cluster configuration files.", s->config_file);
    return OK;
}

static uint64_t count_keys(void *context, slot_t slot)
{
    return set_slot_keys(context, 0, slot);
}

static enum err core_open(struct cluster_service *s, const struct cluster_service_options *options)
{
    struct cluster_options core = {.config = options->config,
                                   .keys = {count_keys, node_set(s->node)},
                                   .replication = s->repl != NULL};
    struct buf conf = {0};
    bool noted = false;
    enum err e;

    s->file = state_file_new(vfs_posix(), s->dir, s->config_file);
    e = state_file_read(s->file, NODES_CONF_BYTES_MAX, &conf, &noted);
    if (e == OK && noted) /* durable before anything is said of it */
        e = state_file_save(s->file, buf_slice(&conf));

    if (e == OK || e == ERR_NOT_FOUND) {
        core.nodes_conf = buf_slice(&conf);
        check(getrandom(&core.seed, sizeof core.seed, 0) == sizeof core.seed);
        if ((e = cluster_new(&core, &s->core)) != OK)
            (void)err_context(e, "%s/%s", s->dir, s->config_file);
    }
    buf_free(&conf);
    return e;
}

static void init_lock(struct cluster_service *s)
{
    pthread_mutexattr_t recursive;

    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&s->lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
}

static enum err bus_make(struct cluster_service *s, const struct cluster_service_options *options)
{
    struct bus_options bus = {.addresses = options->addresses,
                              .address_count = options->address_count,
                              .port = cluster_bus_port(&options->config),
                              .send_buffer_max = options->send_buffer_max,
                              .event = on_event,
                              .context = s};

    s->speaks_tls = options->config.tls_cluster;
    if (s->speaks_tls && options->config.tls_port == 0)
        return err_set(ERR_INVALID, "tls-cluster needs a tls-port: the bus port goes by it");
    if (s->speaks_tls)
        TRY(node_tls_client(s->node, &bus.take_tls));
    return bus_open(&bus, &s->bus);
}

enum err cluster_service_open(const struct cluster_service_options *options, struct cluster_service **out)
{
    struct cluster_service *s = calloc(1, sizeof *s);
    enum err e = OK;

    check(s != NULL);
    s->node = options->node;
    s->repl = node_replication(options->node);
    s->dir = strdup(options->dir);
    s->config_file = strdup(options->config_file);
    s->lock_fd = -1;
    s->wall_start_ms = clock_ms(CLOCK_REALTIME);
    s->monotonic_start_ms = clock_ms(CLOCK_MONOTONIC);
    atomic_init(&s->writes_until_ms, INT64_MAX);
    s->board = map_board_new();
    init_lock(s);
    for (unsigned db = 1; db < node_databases(s->node) && e == OK; db++)
        if (set_keys(node_set(s->node), db) > 0)
            e = err_set(ERR_INVALID, "database %u holds keys: a cluster node has database 0 only. Move them there, or "
                                     "flush that database, with cluster-enabled no.", db);
    if (e != OK || (e = lock_files(s)) != OK || (e = core_open(s, options)) != OK || (e = bus_make(s, options)) != OK) {
        cluster_service_close(s);
        return e;
    }
    s->drop = slot_drop_new(&(struct slot_drop_options){.set = node_set(s->node),
                                                        .journal = node_journal(s->node),
                                                        .dropped = on_dropped,
                                                        .forbidden = is_replica,
                                                        .context = s});
    s->hold = write_hold_new(s->node, on_held, s);
    s->moves = moves_new(s->node, s);
    publish(s);
    node_set_route(s->node, route_gate, s);
    node_set_exec_guard(s->node, guard_exec, s);
    *out = s;
    return OK;
}

void cluster_service_start(struct cluster_service *s)
{
    cluster_service_step(s, &(struct cluster_event){.type = CLUSTER_EVENT_START}, NULL, NULL);
    bus_start(s->bus);
}

void cluster_service_close(struct cluster_service *s)
{
    if (s == NULL)
        return;
    moves_stop(s->moves);
    slot_drop_stop(s->drop); /* they step the core, which speaks to the bus */
    write_hold_stop(s->hold);
    bus_close(s->bus);
    if (s->unsaved.size > 0)
        save(s, buf_slice(&s->unsaved));
    slot_drop_free(s->drop);
    moves_free(s->moves);
    write_hold_free(s->hold);
    cluster_free(s->core);
    state_file_free(s->file);
    map_board_free(s->board);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    buf_free(&s->unsaved);
    pthread_mutex_destroy(&s->lock);
    free(s->dir);
    free(s->config_file);
    free(s);
}

/* ---- Reading, configuring ---- */

void cluster_service_read(struct cluster_service *s, cluster_service_reader *read, void *context)
{
    pthread_mutex_lock(&s->lock);
    read(context, s->core);
    pthread_mutex_unlock(&s->lock);
}

struct moves *cluster_service_moves(struct cluster_service *s)
{
    return s->moves;
}

struct slot_drop *cluster_service_drop(struct cluster_service *s)
{
    return s->drop;
}

void cluster_service_quiet(struct cluster_service *s)
{
    moves_stop(s->moves);
}

bool cluster_service_writes_held(const struct cluster_service *s)
{
    return write_hold_active(s->hold);
}

const struct cluster_map *cluster_service_map(struct cluster_service *s)
{
    return map_enter(s->board);
}

void cluster_service_map_done(struct cluster_service *s)
{
    map_leave(s->board);
}

void cluster_service_configure(struct cluster_service *s, const struct cluster_config *config, uint64_t send_buffer_max)
{
    bus_set_send_buffer_max(s->bus, send_buffer_max);
    cluster_service_step(s, &(struct cluster_event){.type = CLUSTER_EVENT_CONFIG, .config = config}, NULL, NULL);
}

bool cluster_service_speaks_tls(const struct cluster_service *s)
{
    return s->speaks_tls;
}

void cluster_service_set_tls(struct cluster_service *s, struct tls_context *take_tls)
{
    bus_set_tls(s->bus, take_tls);
}

void cluster_service_link_buffers(struct cluster_service *s, link_t link, uint64_t *used, uint64_t *allocated)
{
    bus_link_buffers(s->bus, link, used, allocated);
}
