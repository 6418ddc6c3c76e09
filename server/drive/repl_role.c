/*
 * repl_role.c - becoming a replica, becoming a primary, and handing over (FAILOVER).
 *
 * While a node follows another one, its log is that one's stream: a small file in the data directory says so from before
 * the first foreign byte until a history of its own has begun. A start that finds the file and is no replica any more
 * begins a new history before anybody can write (repl.c).
 *
 *   FAILOVER:  NONE --command, writes paused--> WAITS --replica has everything--> RUNS --+CONTINUE--> NONE
 *                ^                                | ABORT, timeout                 | ABORT
 *                '--------------------------------'--------------------------------'
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "engine/set/set.h"
#include "persistence/atomic_file.h"
#include "persistence/vfs.h"
#include "server/conf/config.h"
#include "server/drive/repl_priv.h"
#include "server/net/clients.h"
#include "server/run/call.h"

#define ROLE_FILE "replica"

enum { FAILOVER_PAUSE_MS = 24 * 3600 * 1000 };

enum repl_link_state repl_link_state(struct repl *r)
{
    return (enum repl_link_state)atomic_load(&r->link_state);
}

/* ---- The file ---- */

static enum err role_save(struct repl *r)
{
    return atomic_file_write(vfs_posix(), node_dir(r->node), ROLE_FILE, SLICE_LITERAL("this log follows another node\n"));
}

static enum err role_forget(struct repl *r)
{
    char path[VFS_PATH_MAX];

    vfs_path(path, node_dir(r->node), ROLE_FILE);
    (void)unlink(path); /* absent is fine; left over only means one more history than needed */
    return OK;
}

bool repl_role_saved(struct repl *r)
{
    char path[VFS_PATH_MAX];

    vfs_path(path, node_dir(r->node), ROLE_FILE);
    return access(path, F_OK) == 0;
}

/* ---- Roles ---- */

/* Under role_lock. From here on only the primary's stream goes into the log. */
enum err repl_role_follow(struct repl *r)
{
    TRY(role_save(r));
    node_set_replica(r->node, true);
    set_follow(node_set(r->node), true);
    wal_follow(r->wal, true);
    atomic_store(&r->whole, false);
    if (node_clients(r->node) != NULL)
        clients_unblock_all(node_clients(r->node));
    return OK;
}

/* Under role_lock; the link does nothing any more. */
enum err repl_role_lead(struct repl *r)
{
    uint64_t random;

    check(getrandom(&random, sizeof random, 0) == sizeof random);
    TRY(wal_history_fork(r->wal, random));
    TRY(role_forget(r));
    wal_follow(r->wal, false);
    set_follow(node_set(r->node), false);
    node_set_replica(r->node, false);
    atomic_store(&r->whole, true);
    repl_drop_replicas(r); /* they come again and hear of the new history */
    return OK;
}

/* For CONFIG GET and CONFIG REWRITE: what a start would do. In a cluster nodes.conf says it. */
static void setting_note(struct repl *r, const char *host, int port)
{
    char name[REPL_HOST_MAX], text[16];
    bool none = host[0] == '\0';

    if (node_is_cluster(r->node))
        return;
    snprintf(name, sizeof name, "%s", none ? "no" : host);
    snprintf(text, sizeof text, "%d", port);
    if (config_apply(node_config(r->node), SLICE_LITERAL("replicaof"), (char *[]){name, none ? "one" : text}, 2) != OK)
        log_event(LOG_WARNING, "replicaof_not_noted error=\"%s\"", err_text());
}

static void aim(struct repl *r, const char *host, int port, bool failover)
{
    setting_note(r, host, port);
    repl_link_halt(r);
    pthread_mutex_lock(&r->link_lock);
    snprintf(r->host, sizeof r->host, "%s", host);
    r->port = port;
    r->failover_psync = failover;
    if (host[0] != '\0')
        r->marks[REPL_MARK_OPEN].told = false; /* by another primary */
    r->down_since_ms = node_now(r->node);
    atomic_store(&r->link_state, host[0] != '\0' ? REPL_LINK_CONNECT : REPL_LINK_NONE);
    pthread_cond_broadcast(&r->link_changed);
    pthread_mutex_unlock(&r->link_lock);
}

/* Under role_lock. */
static enum err follow_address(struct repl *r, const char *host, int port, bool failover)
{
    if (!node_is_replica(r->node))
        TRY(repl_role_follow(r));
    aim(r, host, port, failover);
    log_event(LOG_NOTICE, "replica_of address=%s:%d", host, port);
    return OK;
}

enum err repl_become_replica(struct repl *r, const char *host, int port, bool *already)
{
    enum err e = OK;

    if (strlen(host) >= REPL_HOST_MAX)
        return err_set(ERR_INVALID, "the host name is too long");
    pthread_mutex_lock(&r->role_lock);
    pthread_mutex_lock(&r->link_lock);
    *already = node_is_replica(r->node) && r->port == port && strcmp(r->host, host) == 0;
    pthread_mutex_unlock(&r->link_lock);
    if (!*already)
        e = follow_address(r, host, port, false);
    pthread_mutex_unlock(&r->role_lock);
    return e;
}

/* Under role_lock. */
static enum err lead(struct repl *r)
{
    if (!node_is_replica(r->node))
        return OK;
    aim(r, "", 0, false);
    TRY(repl_role_lead(r));
    pthread_mutex_lock(&r->link_lock);
    pthread_cond_broadcast(&r->link_changed); /* half a copy is of no use any more */
    pthread_mutex_unlock(&r->link_lock);
    log_event(LOG_NOTICE, "primary_now position=%llu", (unsigned long long)wal_tail(r->wal));
    return OK;
}

enum err repl_become_primary(struct repl *r)
{
    enum err e;

    pthread_mutex_lock(&r->role_lock);
    e = lead(r);
    pthread_mutex_unlock(&r->role_lock);
    return e;
}

/* ---- For the cluster core ---- */

static void must(enum err e, const char *what)
{
    if (e == OK)
        return;
    log_event(LOG_WARNING, "%s failed: error=\"%s\"", what, err_text());
    abort(); /* the core has told the cluster already */
}

void repl_follow(struct repl *r, const char *node_id, const char *ip, uint16_t port)
{
    bool already = false;

    if (strcmp(r->primary_id, node_id) != 0) { /* only we write it, one at a time */
        repl_link_halt(r);
        pthread_mutex_lock(&r->link_lock);
        atomic_store(&r->whole, false); /* until that node takes us as one that has its data, or gives us a copy */
        snprintf(r->primary_id, sizeof r->primary_id, "%s", node_id);
        pthread_mutex_unlock(&r->link_lock);
    }
    must(repl_become_replica(r, ip, port, &already), "following a primary");
}

void repl_promote(struct repl *r)
{
    pthread_mutex_lock(&r->link_lock);
    r->primary_id[0] = '\0';
    pthread_mutex_unlock(&r->link_lock);
    must(repl_become_primary(r), "becoming a primary");
}

/* ---- FAILOVER ---- */

const char *repl_failover_name(const struct repl *r)
{
    static const char *const names[] = {"no-failover", "waiting-for-sync", "failover-in-progress"};

    return names[atomic_load(&r->failover_state)];
}

static void failover_end(struct repl *r)
{
    atomic_store(&r->failover_state, FAILOVER_NONE);
    set_expire_hold(node_set(r->node), clients_hold_writes(node_clients(r->node), 0));
}

static bool is_target(struct repl *r, const struct replica *p)
{
    char ip[REPL_IP_MAX];
    int port;

    if (p->gone || p->state != REPLICA_ONLINE)
        return false;
    replica_address(p, ip, &port);
    return r->failover_port == 0 || (port == r->failover_port && strcmp(ip, r->failover_host) == 0);
}

struct failover_words {
    bool abort, force, has_target, has_timeout;
    char host[REPL_HOST_MAX];
    int64_t port, timeout_ms;
};

static enum err failover_parse(struct call *c, struct failover_words *f)
{
    for (size_t i = 1; i < c->argc; i++) {
        if (slice_is(c->argv[i], "abort") && c->argc == 2) {
            f->abort = true;
        } else if (slice_is(c->argv[i], "timeout") && i + 1 < c->argc && !f->has_timeout) {
            if (!num_parse_i64(c->argv[++i], &f->timeout_ms))
                return ERR_NOT_INTEGER;
            if (f->timeout_ms <= 0)
                return reply_error(c, "ERR FAILOVER timeout must be greater than 0");
            f->has_timeout = true;
        } else if (slice_is(c->argv[i], "to") && i + 2 < c->argc && !f->has_target) {
            snprintf(f->host, sizeof f->host, "%.*s", (int)(c->argv[i + 1].size < 255 ? c->argv[i + 1].size : 255),
                     (const char *)c->argv[i + 1].data);
            if (!num_parse_i64(c->argv[i + 2], &f->port))
                return ERR_NOT_INTEGER;
            f->has_target = true;
            i += 2;
        } else if (slice_is(c->argv[i], "force") && !f->force) {
            f->force = true;
        } else {
            return reply_syntax(c);
        }
    }
    return OK;
}

/* ERR_REPLIED: nobody can take over. */
static enum err failover_check(struct repl *r, struct call *c, const struct failover_words *f)
{
    bool any = false, found = false, online = false;

    if (node_is_replica(r->node))
        return reply_error(c, "ERR FAILOVER is not valid when server is a replica.");
    pthread_mutex_lock(&r->list_lock);
    for (const struct replica *p = r->replicas; p != NULL; p = p->next) {
        char ip[REPL_IP_MAX];
        int port;

        if (p->gone)
            continue;
        any = true;
        replica_address(p, ip, &port);
        if (port == f->port && strcmp(ip, f->host) == 0) {
            found = true;
            online = p->state == REPLICA_ONLINE;
        }
    }
    pthread_mutex_unlock(&r->list_lock);
    if (!any)
        return reply_error(c, "ERR FAILOVER requires connected replicas.");
    if (f->force && (!f->has_timeout || !f->has_target))
        return reply_error(c, "ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
    if (f->has_target && !found)
        return reply_error(c, "ERR FAILOVER target HOST and PORT is not a replica.");
    if (f->has_target && !online)
        return reply_error(c, "ERR FAILOVER target replica is not online.");
    return OK;
}

static enum err failover_begin(struct repl *r, struct call *c, const struct failover_words *f)
{
    msec_t now = node_now(r->node);

    TRY(failover_check(r, c, f));
    snprintf(r->failover_host, sizeof r->failover_host, "%s", f->host);
    r->failover_port = f->has_target ? (int)f->port : 0;
    r->failover_force = f->force;
    r->failover_deadline_ms = f->has_timeout ? now + f->timeout_ms : 0;
    set_expire_hold(node_set(r->node), clients_hold_writes(node_clients(r->node), now + FAILOVER_PAUSE_MS));
    atomic_store(&r->failover_state, FAILOVER_WAITS);
    return reply_ok(c);
}

enum err repl_failover(struct repl *r, struct call *c)
{
    struct failover_words f = {0};
    enum err e;

    if (node_is_cluster(r->node))
        return reply_error(c, "ERR FAILOVER not allowed in cluster mode. Use CLUSTER FAILOVER command instead.");
    TRY(failover_parse(c, &f));
    pthread_mutex_lock(&r->role_lock);
    if (f.abort) {
        if (atomic_load(&r->failover_state) == FAILOVER_NONE) {
            e = reply_error(c, "ERR No failover in progress.");
        } else {
            if (atomic_load(&r->failover_state) == FAILOVER_RUNS)
                must(lead(r), "aborting a failover");
            failover_end(r);
            e = reply_ok(c);
        }
    } else if (atomic_load(&r->failover_state) != FAILOVER_NONE) {
        e = reply_error(c, "ERR FAILOVER already in progress.");
    } else {
        e = failover_begin(r, c, &f);
    }
    pthread_mutex_unlock(&r->role_lock);
    return e;
}

/* Under role_lock: who has everything, if anybody. */
static bool caught_up(struct repl *r, char ip[REPL_IP_MAX], int *port, bool force)
{
    lsn_t tail = wal_tail(r->wal);
    bool found = false;

    pthread_mutex_lock(&r->list_lock);
    for (const struct replica *p = r->replicas; p != NULL && !found; p = p->next)
        if (is_target(r, p) && (force || p->acked >= tail)) {
            replica_address(p, ip, port);
            found = true;
        }
    pthread_mutex_unlock(&r->list_lock);
    return found;
}

static void waits_tick(struct repl *r, msec_t now_ms)
{
    bool late = r->failover_deadline_ms != 0 && now_ms >= r->failover_deadline_ms;
    char ip[REPL_IP_MAX];
    int port = 0;

    if (caught_up(r, ip, &port, late && r->failover_force)) {
        atomic_store(&r->failover_state, FAILOVER_RUNS);
        must(follow_address(r, ip, port, true), "failing over");
    } else if (late) {
        log_event(LOG_WARNING, "failover_timed_out");
        failover_end(r);
    }
}

void repl_failover_tick(struct repl *r, msec_t now_ms)
{
    if (atomic_load(&r->failover_state) == FAILOVER_NONE)
        return;
    pthread_mutex_lock(&r->role_lock);
    if (atomic_load(&r->failover_state) == FAILOVER_WAITS) {
        waits_tick(r, now_ms);
    } else if (atomic_load(&r->failover_state) == FAILOVER_RUNS && repl_link_state(r) == REPL_LINK_CONNECTED) {
        failover_end(r);
    }
    pthread_mutex_unlock(&r->role_lock);
}

enum err repl_take_over(struct repl *r, struct call *c, struct slice replid)
{
    struct history h;

    if (!node_is_replica(r->node))
        return reply_error(c, "ERR PSYNC FAILOVER can't be sent to a master.");
    wal_history(r->wal, &h);
    if (!slice_equal(replid, slice_str(h.replid)))
        return reply_error(c, "ERR PSYNC FAILOVER replid must match my replid.");
    return repl_become_primary(r);
}
