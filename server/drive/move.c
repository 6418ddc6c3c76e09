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
#include "base/thread.h"
#include "engine/set/range.h"
#include "server/drive/cluster_service.h"
#include "server/drive/move_priv.h"
#include "server/drive/repl.h"
#include "server/node_priv.h"
#include "server/run/call.h"
#include "server/run/execute.h"

enum { KEEPER_MS = 100, ASK_AGAIN_MS = 100 };

/* ---- A job ---- */

static enum err refuse_overlap(struct call *c, const struct slice *words, size_t at, int64_t first, int64_t last)
{
    for (size_t i = 0; i < at; i += 2) {
        int64_t a = 0, b = 0;

        check(num_parse_i64(words[i], &a) && num_parse_i64(words[i + 1], &b));
        if (a <= last && first <= b)
            return reply_error(c, "ERR Slot range %d-%d overlaps with previous range %d-%d.", (int)first, (int)last, (int)a, (int)b);
    }
    return OK;
}

static enum err parse_slots(struct call *c, const struct slice *words, size_t count, uint8_t *bits, size_t *slots)
{
    if (count == 0)
        return reply_error(c, "ERR No slot ranges specified");
    if (count % 2 != 0)
        return reply_error(c, "ERR No end slot for final slot range");
    for (size_t i = 0; i < count; i += 2) {
        int64_t a, b;

        if (!num_parse_i64(words[i], &a) || !num_parse_i64(words[i + 1], &b) || a < 0 || b < 0 || a >= SLOTS || b >= SLOTS)
            return reply_error(c, "ERR Invalid or out of range slot");
        if (a > b)
            return reply_error(c, "ERR start slot number %d is greater than end slot number %d", (int)a, (int)b);
        TRY(refuse_overlap(c, words, i, a, b));
        for (int64_t s = a; s <= b; s++) {
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
    atomic_store(&v->live, false);
    lander_free(v->lander);
    landing_free(v->landing);
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

bool move_offer(struct move *v)
{
    pthread_mutex_lock(&v->moves->lock);
    v->offered = !atomic_load(&v->cancelled);
    pthread_mutex_unlock(&v->moves->lock);
    return v->offered;
}

struct reservation {
    uint64_t above;
    bool reserved;
};

static void read_reserved(void *context, struct cluster *core)
{
    struct reservation *r = context;

    r->reserved = handover_reserved(core, r->above);
}

bool move_reserved(struct moves *m, uint64_t above, msec_t *asked_ms)
{
    struct reservation r = {.above = above};
    const msec_t now = node_now(m->node);

    cluster_service_read(m->service, read_reserved, &r);
    if (!r.reserved && now - *asked_ms >= ASK_AGAIN_MS) {
        *asked_ms = now;
        cluster_service_step(m->service, &(struct cluster_event){.type = CLUSTER_EVENT_RESERVE, .epoch_above = above}, NULL, NULL);
    }
    return r.reserved;
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
    for (msec_t waited = 0; waited < atomic_load(&v->moves->delay_ms) && !moves_stopping(v->moves) && !atomic_load(&v->cancelled);
         waited += 10)
        clock_nap_ms(10);
}

void moves_set_delay(struct moves *m, msec_t delay_ms)
{
    atomic_store(&m->delay_ms, delay_ms);
}

bool moves_has_slot(struct moves *m, slot_t slot)
{
    return atomic_load_explicit(&m->active, memory_order_relaxed) > 0 && atomic_load(&m->taken[slot]) != 0;
}

bool moves_hold_slot(struct moves *m, slot_t slot)
{
    return busy_has_slot(&m->node->busy, slot);
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
        moves_tell_open(m);
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
    check(thread_start(&m->keeper, "move-keeper", keeper_run, m) == OK);
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

        if (m->list->left_marked || atomic_load(&m->list->holding))
            (void)busy_release_slots(&m->node->busy, m->list->slots, m->list->slot_count);
        move_free(m->list);
        m->list = next;
    }
    pthread_cond_destroy(&m->wake);
    pthread_mutex_destroy(&m->lock);
    buf_free(&m->open_said);
    free(m);
}
