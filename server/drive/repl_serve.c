/*
 * repl_serve.c - the primary's side of the handshake: REPLCONF, PSYNC, SYNC; who replicates from here, and how far.
 *
 * A replica's connection stays an ordinary client: its worker reads its REPLCONF ACKs, and what it is sent is pushed
 * into its output. struct replica is made by the first REPLCONF or PSYNC and belongs to the list; when the connection
 * ends it is marked, and the feed thread frees it when nobody uses it any more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "server/drive/repl_priv.h"
#include "server/net/clients.h"
#include "server/run/call.h"
#include "server/run/session.h"

/* ---- The list ---- */

static void unlink_from(struct replica **list, struct replica *p)
{
    for (struct replica **at = list; *at != NULL; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            return;
        }
}

static struct replica *replica_of(struct repl *r, struct session *s)
{
    struct replica *p = s->replica;

    if (p != NULL)
        return p;
    p = calloc(1, sizeof *p);
    check(p != NULL);
    p->client = client_ref(s->client);
    s->replica = p;
    pthread_mutex_lock(&r->list_lock);
    p->next = r->strays;
    r->strays = p;
    pthread_mutex_unlock(&r->list_lock);
    return p;
}

void repl_session_end(void *context, struct session *s)
{
    struct repl *r = context;
    struct replica *p = s->replica;

    if (p == NULL)
        return;
    s->replica = NULL;
    s->is_replica = false;
    pthread_mutex_lock(&r->list_lock);
    if (p->listed) {
        p->gone = true;
    } else {
        unlink_from(&r->strays, p);
        client_unref(p->client);
        free(p);
    }
    pthread_mutex_unlock(&r->list_lock);
    repl_feed_wake(r);
}

void repl_drop_replicas(struct repl *r)
{
    pthread_mutex_lock(&r->list_lock);
    for (struct replica *p = r->replicas; p != NULL; p = p->next)
        if (!p->gone)
            client_close(p->client);
    pthread_mutex_unlock(&r->list_lock);
}

void replica_address(const struct replica *p, char ip[REPL_IP_MAX], int *port)
{
    const char *address = client_address(p->client), *colon = strrchr(address, ':');
    size_t n = colon != NULL ? (size_t)(colon - address) : 0;

    *port = p->port;
    if (p->ip[0] != '\0') {
        snprintf(ip, REPL_IP_MAX, "%s", p->ip);
        return;
    }
    if (n >= 2 && address[0] == '[') { /* [v6]:port */
        address++;
        n -= 2;
    }
    snprintf(ip, REPL_IP_MAX, "%.*s", (int)n, address);
}

/* ---- REPLCONF ---- */

static void acknowledge(struct repl *r, struct session *s, const struct repl_ack *ack)
{
    struct replica *p = s->replica;

    if (p == NULL)
        return;
    pthread_mutex_lock(&r->list_lock);
    if (ack->acked > p->acked)
        p->acked = ack->acked;
    if (ack->has_fsynced && ack->fsynced > p->fsynced)
        p->fsynced = ack->fsynced;
    p->acked_ms = node_now(r->node);
    if (p->wants_ack) {
        p->wants_ack = false;
        p->state = REPLICA_ONLINE;
        repl_feed_wake(r);
    }
    repl_wait_look(r);
    pthread_mutex_unlock(&r->list_lock);
}

/* True: the option is one that is answered by nothing. */
static bool silent_option(struct repl *r, struct call *c)
{
    struct repl_ack ack;

    if (c->argc < 3 || !(slice_is(c->argv[1], "ack") || slice_is(c->argv[1], "getack"))) /* GETACK: of a primary's stream only */
        return false;
    if (repl_text_ack(c->argv, c->argc, &ack) && c->session->is_replica)
        acknowledge(r, c->session, &ack);
    return true;
}

/* Under list_lock. ERR_NOT_FOUND: there is no such option. */
static enum err option_take(struct replica *p, struct slice name, struct slice value)
{
    int64_t number;

    if (slice_is(name, "ip-address")) {
        snprintf(p->ip, sizeof p->ip, "%.*s", (int)(value.size < sizeof p->ip ? value.size : sizeof p->ip - 1),
                 (const char *)value.data);
    } else if (slice_is(name, "capa")) {
        p->capa_eof |= slice_is(value, "eof");
        p->capa_psync2 |= slice_is(value, "psync2");
        p->capa_files |= slice_is(value, COPY_CAPA);
    } else if (slice_is(name, COPY_PLACE)) {
        return copy_place_parse(value, &p->place) == OK ? OK : ERR_SYNTAX;
    } else if (slice_is(name, "listening-port") || slice_is(name, "rdb-only")) {
        if (!num_parse_i64(value, &number))
            return ERR_NOT_INTEGER;
        if (slice_is(name, "rdb-only"))
            p->rdb_only = number == 1;
        else
            p->port = (int)number;
    } else if (slice_is(name, "rdb-filter-only")) {
        if (value.size > 0 && !slice_is(value, "functions"))
            return ERR_INVALID;
        p->no_keys = true;
    } else {
        return ERR_NOT_FOUND;
    }
    return OK;
}

static enum err option_set(struct repl *r, struct call *c, struct replica *p, struct slice name, struct slice value)
{
    enum err e;

    pthread_mutex_lock(&r->list_lock);
    e = option_take(p, name, value);
    pthread_mutex_unlock(&r->list_lock);
    if (e == ERR_INVALID)
        return reply_error(c, "ERR Unsupported rdb-filter-only option: %.*s", (int)(value.size < 128 ? value.size : 128),
                           (const char *)value.data);
    if (e == ERR_NOT_FOUND)
        return reply_error(c, "ERR Unrecognized REPLCONF option: %.*s", (int)(name.size < 128 ? name.size : 128),
                           (const char *)name.data);
    return e;
}

enum err repl_replconf(struct repl *r, struct call *c)
{
    if (c->session->client == NULL)
        return reply_ok(c);
    if (c->argc % 2 == 0)
        return reply_syntax(c);
    if (silent_option(r, c))
        return OK;
    for (size_t i = 1; i + 1 < c->argc; i += 2)
        TRY(option_set(r, c, replica_of(r, c->session), c->argv[i], c->argv[i + 1]));
    return reply_ok(c);
}

/* ---- PSYNC ---- */

/* Moves the connection to the list of replicas. Under no lock. */
static void list(struct repl *r, struct session *s, struct replica *p, enum replica_state state, lsn_t from)
{
    s->is_replica = true;
    client_set_kind(p->client, CLIENT_REPLICA);
    client_set_flag(p->client, CLIENT_FLAG_REPLICA, true);
    pthread_mutex_lock(&r->list_lock);
    unlink_from(&r->strays, p);
    p->listed = true;
    p->state = state;
    p->from = p->sent = p->acked = from;
    p->acked_ms = node_now(r->node);
    p->next = r->replicas;
    r->replicas = p;
    atomic_fetch_add(&r->listed, 1);
    pthread_cond_broadcast(&r->copy_wanted);
    pthread_mutex_unlock(&r->list_lock);
    repl_feed_wake(r);
}

static bool can_continue(struct repl *r, struct slice id, int64_t offset, struct history *h)
{
    char replid[HISTORY_ID_BYTES + 1] = "";
    struct wal_figures w;

    wal_history(r->wal, h);
    if (id.size != HISTORY_ID_BYTES || offset < 1)
        return false;
    memcpy(replid, id.data, HISTORY_ID_BYTES);
    wal_figures(r->wal, &w);
    return (lsn_t)offset - 1 >= w.first && history_holds(h, replid, (lsn_t)offset - 1, w.tail);
}

/* Same history, same offset, but other bytes before it: one of the two folders is not what it was. */
static bool is_other_log(struct repl *r, const struct call *c, lsn_t end)
{
    struct repl_tail tail;

    if (!repl_text_tail(c->argv, c->argc, &tail) || !repl_tail_differs(r->wal, end, &tail))
        return false;
    log_event(LOG_WARNING, "replica_log_differs address=%s from=%llu to=%llu: it gets a whole copy",
              client_address(c->session->client), (unsigned long long)tail.from, (unsigned long long)end);
    return true;
}

static enum err full_copy(struct repl *r, struct call *c, struct replica *p)
{
    char address[96];

    snprintf(address, sizeof address, "%s", client_address(p->client));
    log_event(LOG_NOTICE, "replica_copy_wanted address=%s", address);
    atomic_fetch_add(&r->sync_full, 1);
    list(r, c->session, p, REPLICA_WAITS, 0);
    return OK; /* the answer comes when the snapshot is there */
}

enum err repl_psync(struct repl *r, struct call *c)
{
    struct session *s = c->session;
    struct replica *p;
    struct history h;
    int64_t offset = -1;
    bool plain_sync = c->argc == 1;

    if (s->client == NULL || s->in_exec)
        return reply_error(c, "ERR Command not allowed inside a transaction");
    if (s->is_replica)
        return OK; /* as Redis: a replica says it once */
    if (!plain_sync && c->argc < 3)
        return reply_syntax(c);
    if (c->argc > 3 && slice_is(c->argv[3], "failover")) /* other words are no error, as in Redis */
        TRY(repl_take_over(r, c, c->argv[1]));
    if (node_is_replica(r->node) && repl_link_state(r) != REPL_LINK_CONNECTED)
        return reply_error(c, "NOMASTERLINK Can't SYNC while not connected with my master");
    if (atomic_load(&r->failover_state) == FAILOVER_RUNS)
        return reply_error(c, "NOMASTERLINK Can't SYNC while failing over");
    if (!plain_sync && !num_parse_i64(c->argv[2], &offset))
        return ERR_NOT_INTEGER;
    p = replica_of(r, s);
    if (p->no_keys && !p->capa_eof)
        return reply_error(c, "ERR Filtered replica requires EOF capability");
    if (plain_sync) {
        p->no_acks = true;
        return full_copy(r, c, p);
    }
    if (!can_continue(r, c->argv[1], offset, &h) || is_other_log(r, c, (lsn_t)offset - 1)) {
        if (!slice_equal(c->argv[1], SLICE_LITERAL("?")))
            atomic_fetch_add(&r->sync_partial_err, 1);
        return full_copy(r, c, p);
    }
    atomic_fetch_add(&r->sync_partial_ok, 1);
    log_event(LOG_NOTICE, "replica_continues address=%s offset=%lld tail=%llu", client_address(p->client),
              (long long)offset, (unsigned long long)wal_tail(r->wal));
    if (p->capa_psync2) {
        char text[64];

        snprintf(text, sizeof text, "CONTINUE %s", h.replid);
        (void)reply_status(c, text);
    } else {
        (void)reply_status(c, "CONTINUE");
    }
    list(r, s, p, REPLICA_ONLINE, (lsn_t)offset - 1);
    return OK;
}

/* ---- ROLE ---- */

static enum err role_replica(struct repl *r, struct call *c)
{
    static const char *const names[] = {"none", "connect", "connecting", "handshake", "sync", "connected"};
    char host[REPL_HOST_MAX];
    enum repl_link_state state = repl_link_state(r);
    int port;

    pthread_mutex_lock(&r->link_lock);
    memcpy(host, r->host, sizeof host);
    port = r->port;
    pthread_mutex_unlock(&r->link_lock);
    (void)reply_array(c, 5);
    (void)reply_bulk_str(c, "slave");
    (void)reply_bulk_str(c, host);
    (void)reply_int(c, port);
    (void)reply_bulk_str(c, names[state]);
    return reply_int(c, state == REPL_LINK_CONNECTED ? (int64_t)wal_tail(r->wal) : -1);
}

enum err repl_role(struct repl *r, struct call *c)
{
    size_t count = 0;

    if (node_is_replica(r->node))
        return role_replica(r, c);
    (void)reply_array(c, 3);
    (void)reply_bulk_str(c, "master");
    (void)reply_int(c, (int64_t)wal_tail(r->wal));
    pthread_mutex_lock(&r->list_lock);
    for (struct replica *p = r->replicas; p != NULL; p = p->next)
        count += !p->gone && p->state == REPLICA_ONLINE;
    (void)reply_array(c, count);
    for (struct replica *p = r->replicas; p != NULL; p = p->next) {
        char ip[REPL_IP_MAX], text[24];
        int port;

        if (p->gone || p->state != REPLICA_ONLINE)
            continue;
        replica_address(p, ip, &port);
        (void)reply_array(c, 3);
        (void)reply_bulk_str(c, ip);
        snprintf(text, sizeof text, "%d", port);
        (void)reply_bulk_str(c, text);
        snprintf(text, sizeof text, "%llu", (unsigned long long)p->acked);
        (void)reply_bulk_str(c, text);
    }
    pthread_mutex_unlock(&r->list_lock);
    return OK;
}
