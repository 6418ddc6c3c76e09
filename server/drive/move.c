/*
 * move.c - the list of jobs, what the commands show of it, and the keeper that looks after arrivals.
 *
 * (1) A slot is in at most one job of this node (`taken`). (2) A job is freed when it has ended, its thread is joined and no
 *     session points at it; the newest MOVE_HISTORY_MAX ended ones stay to be shown.
 */
#include "server/drive/move.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "server/drive/cluster_service.h"
#include "server/drive/move_priv.h"
#include "server/drive/repl.h"
#include "server/node_priv.h"
#include "server/run/call.h"
#include "server/run/execute.h"

enum { KEEPER_MS = 100, MARK_MS = 1000 };

/* ---- A job ---- */

static enum err parse_slots(struct call *c, const struct slice *words, size_t count, uint8_t *bits, size_t *slots)
{
    if (count == 0 || count % 2 != 0)
        return reply_syntax(c);
    for (size_t i = 0; i < count; i += 2) {
        int64_t a, b;

        if (!num_parse_i64(words[i], &a) || !num_parse_i64(words[i + 1], &b) || a < 0 || b < 0 || a >= SLOTS || b >= SLOTS)
            return reply_error(c, "ERR Invalid or out of range slot");
        if (a > b)
            return reply_error(c, "ERR start slot number %d is greater than end slot number %d", (int)a, (int)b);
        for (int64_t s = a; s <= b; s++) {
            if ((bits[s / 8] >> s % 8 & 1) != 0)
                return reply_error(c, "ERR Slot %d specified multiple times", (int)s);
            bits[s / 8] = (uint8_t)(bits[s / 8] | 1u << s % 8);
            ++*slots;
        }
    }
    return OK;
}

enum err move_new(struct moves *m, struct call *c, const struct slice *words, size_t count, bool import, struct move **out)
{
    struct move *v = calloc(1, sizeof *v);
    size_t n = 0;
    enum err e;

    check(v != NULL);
    if ((e = parse_slots(c, words, count, v->bits, &n)) != OK) {
        free(v);
        return e;
    }
    v->slots = malloc(n * sizeof *v->slots);
    check(v->slots != NULL);
    for (unsigned s = 0; s < SLOTS; s++)
        if (move_has(v, (slot_t)s))
            v->slots[v->slot_count++] = (slot_t)s;
    v->moves = m;
    v->import = import;
    v->created_ms = v->updated_ms = node_now(m->node);
    atomic_store(&v->acked_ms, v->created_ms);
    *out = v;
    return OK;
}

void move_free(struct move *v)
{
    if (v == NULL)
        return;
    free(v->slots);
    free(v);
}

enum err move_enter(struct move *v)
{
    struct moves *m = v->moves;
    enum err e = OK;

    pthread_mutex_lock(&m->lock);
    if (m->stopping || atomic_load(&m->active) >= MOVE_JOBS_MAX)
        e = ERR_EXISTS;
    for (size_t i = 0; i < v->slot_count && e == OK; i++)
        if (atomic_load(&m->taken[v->slots[i]]) != 0)
            e = ERR_EXISTS;
    if (e == OK) {
        for (size_t i = 0; i < v->slot_count; i++)
            atomic_store(&m->taken[v->slots[i]], 1);
        atomic_fetch_add(&m->active, 1);
        atomic_fetch_add(&m->arriving, v->import);
        v->next = m->list;
        m->list = v;
    }
    pthread_mutex_unlock(&m->lock);
    return e;
}

/* Under lock. */
static void give_slots_back(struct move *v)
{
    struct moves *m = v->moves;

    for (size_t i = 0; i < v->slot_count; i++)
        atomic_store(&m->taken[v->slots[i]], 0);
    atomic_fetch_sub(&m->active, 1);
    atomic_fetch_sub(&m->arriving, v->import);
}

void move_withdraw(struct move *v)
{
    struct moves *m = v->moves;
    struct move **at;

    pthread_mutex_lock(&m->lock);
    for (at = &m->list; *at != v; at = &(*at)->next)
        check(*at != NULL);
    *at = v->next;
    give_slots_back(v);
    pthread_mutex_unlock(&m->lock);
    move_free(v);
}

void move_set_state(struct move *v, enum move_state state, const char *message)
{
    struct moves *m = v->moves;

    pthread_mutex_lock(&m->lock);
    check(!move_ended(v->state));
    v->state = state;
    v->updated_ms = node_now(m->node);
    if (state == MOVE_STREAMING)
        v->streaming_ms = v->updated_ms;
    if (message != NULL)
        snprintf(v->message, sizeof v->message, "%s", message);
    if (move_ended(state)) {
        v->ended_ms = v->updated_ms;
        give_slots_back(v);
    }
    pthread_mutex_unlock(&m->lock);
    log_event(state == MOVE_FAILED ? LOG_WARNING : LOG_NOTICE,
              "slot_migration name=%s operation=%s state=%s slots=%zu keys=%llu message=\"%s\"", v->name,
              v->import ? "import" : "export", move_state_name(state), v->slot_count, (unsigned long long)atomic_load(&v->keys),
              v->message);
}

bool moves_stopping(struct moves *m)
{
    bool is;

    pthread_mutex_lock(&m->lock);
    is = m->stopping;
    pthread_mutex_unlock(&m->lock);
    return is;
}

void move_step_delay(struct move *v)
{
    msec_t left = atomic_load(&v->moves->delay_ms);

    while (left > 0 && !moves_stopping(v->moves) && !atomic_load(&v->cancelled)) {
        clock_nap_ms(10);
        left -= 10;
    }
}

void moves_set_delay(struct moves *m, msec_t delay_ms)
{
    atomic_store(&m->delay_ms, delay_ms);
}

bool moves_has_slot(struct moves *m, slot_t slot)
{
    return atomic_load_explicit(&m->active, memory_order_relaxed) > 0 && atomic_load(&m->taken[slot]) != 0;
}

void moves_note_flush(struct moves *m)
{
    if (atomic_load(&m->arriving) == 0)
        return;
    pthread_mutex_lock(&m->lock);
    for (struct move *v = m->list; v != NULL; v = v->next)
        if (v->import)
            atomic_store(&v->flushed, true);
    pthread_mutex_unlock(&m->lock);
}

/* ---- Starting and cancelling jobs ---- */

struct check {
    const struct move *v;
    const char *problem; /* NULL: it may begin */
    slot_t slot;
};

static void may_depart(void *context, struct cluster *core)
{
    struct check *k = context;

    k->problem = NULL;
    for (size_t i = 0; i < k->v->slot_count && k->problem == NULL; i++) {
        uint64_t epoch;
        const char *owner;

        k->slot = k->v->slots[i];
        owner = cluster_slot_owner(core, k->slot, &epoch);
        if (owner == NULL || strcmp(owner, cluster_my_id(core)) != 0)
            k->problem = "is not served by this node";
        else if (cluster_slot_is_open(core, k->slot))
            k->problem = "is being moved key by key (CLUSTER SETSLOT)";
    }
}

/* The target is a known master, and not this node. */
static enum err find_target(struct moves *m, struct call *c, struct slice id, struct move *v)
{
    const struct cluster_map *map = cluster_service_map(m->service);
    enum err e = OK;
    size_t i = 0;

    snprintf(v->source, sizeof v->source, "%s", map->nodes[map->myself].id);
    while (i < map->node_count && !slice_equal(slice_str(map->nodes[i].id), id))
        i++;
    if (i == map->node_count)
        e = reply_error(c, "ERR Unknown node %.*s", (int)(id.size < 128 ? id.size : 128), (const char *)id.data);
    else if (i == map->myself)
        e = reply_error(c, "ERR Target node can not be this node");
    else if (map->nodes[i].replica)
        e = reply_error(c, "ERR Target node is not a master");
    else
        snprintf(v->target, sizeof v->target, "%s", map->nodes[i].id);
    cluster_service_map_done(m->service);
    return e;
}

/* One "SLOTSRANGE a b [a b ...] NODE id" from word *at on. */
static enum err parse_one(struct moves *m, struct call *c, size_t *at, struct move **out)
{
    struct check k = {0};
    size_t first, end;
    enum err e;

    if (!slice_is(c->argv[*at], "slotsrange"))
        return reply_syntax(c);
    first = end = *at + 1;
    while (end < c->argc && !slice_is(c->argv[end], "node"))
        end++;
    if (end + 1 >= c->argc)
        return reply_syntax(c);
    TRY(move_new(m, c, c->argv + first, end - first, false, out));
    *at = end + 2;
    if ((e = find_target(m, c, c->argv[end + 1], *out)) == OK) {
        k.v = *out;
        cluster_service_read(m->service, may_depart, &k);
        if (k.problem != NULL)
            e = reply_error(c, "ERR Slot %u %s", k.slot, k.problem);
    }
    if (e != OK) {
        move_free(*out);
        *out = NULL;
        return e;
    }
    rng_hex(txn_rng(c->executor->txn), (*out)->name, MOVE_NAME_SIZE);
    return OK;
}

/* All are begun, or none. */
static enum err begin_all(struct call *c, struct move **jobs, size_t count)
{
    size_t entered = 0;

    for (; entered < count; entered++)
        if (move_enter(jobs[entered]) != OK)
            break;
    if (entered == count) {
        for (size_t i = 0; i < count; i++) {
            jobs[i]->threaded = true; /* nobody joins it before it has ended */
            check(pthread_create(&jobs[i]->thread, NULL, depart_run, jobs[i]) == 0);
        }
        return reply_ok(c);
    }
    for (size_t i = 0; i < count; i++)
        if (i < entered)
            move_withdraw(jobs[i]);
        else
            move_free(jobs[i]);
    return reply_error(c, "ERR A slot of the range is in another migration, or there are too many migrations");
}

enum err moves_migrate(struct moves *m, struct call *c)
{
    struct move *jobs[MOVE_JOBS_MAX];
    size_t count = 0, at = 2;
    enum err e = OK;

    if (node_is_replica(m->node))
        return reply_error(c, "ERR Slot migration can only be used on primary nodes.");
    while (at < c->argc && e == OK && count < MOVE_JOBS_MAX)
        if ((e = parse_one(m, c, &at, &jobs[count])) == OK)
            count++;
    if (e == OK && at < c->argc)
        e = reply_error(c, "ERR Too many migrations");
    if (e == OK)
        return begin_all(c, jobs, count);
    for (size_t i = 0; i < count; i++)
        move_free(jobs[i]);
    return e;
}

enum err moves_cancel(struct moves *m, struct call *c)
{
    pthread_mutex_lock(&m->lock);
    for (struct move *v = m->list; v != NULL; v = v->next)
        if (!v->import && !move_ended(v->state))
            atomic_store(&v->cancelled, true);
    pthread_mutex_unlock(&m->lock);
    return reply_ok(c);
}

enum err moves_sync(struct moves *m, struct call *c)
{
    return arrive_sync(m, c);
}

/* ---- The keeper ---- */

/* Takes what is to be freed off the list: a job whose thread has ended is joined. Under lock, which is let go to join. */
static void tidy(struct moves *m)
{
    struct move **at, *gone = NULL;
    size_t ended = 0;

    for (struct move *v = m->list; v != NULL; v = v->next)
        if (move_ended(v->state) && v->threaded) {
            v->threaded = false;
            pthread_mutex_unlock(&m->lock);
            pthread_join(v->thread, NULL); /* only the keeper frees: v and its place in the list stay */
            pthread_mutex_lock(&m->lock);
        }
    at = &m->list; /* somebody may have entered meanwhile */
    while (*at != NULL) {
        struct move *v = *at;

        if (move_ended(v->state) && !v->attached && ++ended > MOVE_HISTORY_MAX) {
            *at = v->next;
            v->next = gone;
            gone = v;
        } else {
            at = &v->next;
        }
    }
    while (gone != NULL) {
        struct move *next = gone->next;

        move_free(gone);
        gone = next;
    }
}

static void *keeper_run(void *context)
{
    struct moves *m = context;

    pthread_mutex_lock(&m->lock);
    while (!m->stopping) {
        struct timespec until;
        bool arriving = atomic_load(&m->arriving) > 0, mark;
        msec_t now = node_now(m->node);

        mark = (arriving && now - m->marked_ms >= MARK_MS) || (!arriving && m->marked);
        pthread_mutex_unlock(&m->lock);
        if (arriving)
            arrive_tick(m, now);
        if (mark)
            (void)moves_tell_replicas(m, false);
        pthread_mutex_lock(&m->lock);
        tidy(m);
        if (m->stopping)
            break;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += KEEPER_MS * 1000000L;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(&m->wake, &m->lock, &until);
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

struct moves *moves_new(struct node *n, struct cluster_service *service)
{
    struct moves *m = calloc(1, sizeof *m);

    check(m != NULL);
    m->node = n;
    m->service = service;
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->wake, NULL);
    check(pthread_create(&m->keeper, NULL, keeper_run, m) == 0);
    return m;
}

void moves_stop(struct moves *m)
{
    if (m == NULL || m->stopped)
        return;
    pthread_mutex_lock(&m->lock);
    m->stopping = true;
    pthread_cond_broadcast(&m->wake);
    for (struct move *v = m->list; v != NULL; v = v->next)
        atomic_store(&v->cancelled, true);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->keeper, NULL);
    for (struct move *v = m->list; v != NULL; v = v->next)
        if (v->threaded)
            pthread_join(v->thread, NULL);
    m->stopped = true;
}

void moves_free(struct moves *m)
{
    if (m == NULL)
        return;
    moves_stop(m);
    while (m->list != NULL) {
        struct move *next = m->list->next;

        if (m->list->left_marked)
            (void)busy_release_slots(&m->node->busy, m->list->slots, m->list->slot_count);
        move_free(m->list);
        m->list = next;
    }
    pthread_cond_destroy(&m->wake);
    pthread_mutex_destroy(&m->lock);
    free(m);
}
