/*
 * replay_walk.c - the recovery after a start: one thread reads the log, lanes redo it, each the slots that are its own.
 *
 * (1) All effects of a slot go through one lane, in order: with their counts.
 * (2) Effects about whole databases wait until every lane has nothing left, and are redone by the reading thread.
 * (3) The set's replay position is the least of what is not redone yet: the writer's floor never passes it.
 */
#include "server/run/replay.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/thread.h"
#include "engine/set/set.h"
#include "persistence/recovery.h"
#include "persistence/wal.h"
#include "server/node_priv.h"

enum {
    LANES_MAX = 8,
    LANES_FROM_BYTES = 64 << 10, /* a shorter log is redone before threads are worth while */
    BATCH_BYTES = 64 << 10,
    QUEUE_MAX = 8,              /* batches that wait in a lane */
};

struct batch_of_effects {
    struct batch_of_effects *next;
    lsn_t first;
    struct buf bytes; /* struct recovery_effect, text; and again */
};

struct lane {
    struct replay *replay; /* its thread's; the reading thread's while the lane is idle */
    struct batch_of_effects *filling; /* Reading thread only; NULL: empty */
    pthread_t thread;

    pthread_mutex_t lock; /* guards the rest; a leaf */
    pthread_cond_t changed;
    struct batch_of_effects *first, *last;
    size_t queued;
    lsn_t at; /* first effect that is not redone; UINT64_MAX: none */
    bool working, stop;
    enum err error;
    char text[512];
};

struct walk {
    struct node *node;
    struct lane lanes[LANES_MAX];
    struct replay *all[LANES_MAX];
    size_t count; /* of lanes; 1: redone by the reading thread itself */
};

/* ---- A lane ---- */

static enum err effect_redo(struct walk *w, struct replay *r, const struct recovery_effect *effect)
{
    if (effect->keys != 0 || effect->expires != 0)
        set_replay_count(w->node->set, effect->db, effect->slot, effect->lsn, effect->keys, effect->expires);
    return replay_apply_key(r, effect);
}

static enum err batch_redo(struct walk *w, struct lane *l, const struct batch_of_effects *b)
{
    enum err e = OK;

    for (size_t at = 0; at < b->bytes.size && e == OK;) {
        struct recovery_effect effect;

        memcpy(&effect, b->bytes.data + at, sizeof effect);
        at += sizeof effect;
        effect.text.data = b->bytes.data + at;
        at += effect.text.size;
        e = effect_redo(w, l->replay, &effect);
        if (e != OK)
            e = err_context(e, "redoing the effect at log position %llu", (unsigned long long)effect.lsn);
    }
    return e;
}

struct lane_start {
    struct walk *walk;
    struct lane *lane;
};

static void *lane_run(void *context)
{
    struct lane_start start = *(struct lane_start *)context;
    struct lane *l = start.lane;

    free(context);
    pthread_mutex_lock(&l->lock);
    while (l->first != NULL || !l->stop) {
        struct batch_of_effects *b = l->first;
        enum err e;

        if (b == NULL) {
            pthread_cond_wait(&l->changed, &l->lock);
            continue;
        }
        l->first = b->next;
        l->last = l->first != NULL ? l->last : NULL;
        l->queued--;
        l->working = true;
        pthread_mutex_unlock(&l->lock);
        e = l->error == OK ? batch_redo(start.walk, l, b) : OK; /* after an error the rest is only thrown away */
        buf_free(&b->bytes);
        free(b);
        pthread_mutex_lock(&l->lock);
        if (e != OK) {
            l->error = e;
            snprintf(l->text, sizeof l->text, "%s", err_text());
        }
        l->working = false;
        l->at = l->first != NULL ? l->first->first : UINT64_MAX;
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- The reading thread ---- */

static enum err lane_error(struct lane *l)
{
    enum err e;

    pthread_mutex_lock(&l->lock);
    e = l->error;
    if (e != OK)
        (void)err_set(e, "%s", l->text);
    pthread_mutex_unlock(&l->lock);
    return e;
}

static void submit(struct lane *l)
{
    struct batch_of_effects *b = l->filling;

    if (b == NULL)
        return;
    l->filling = NULL;
    pthread_mutex_lock(&l->lock);
    while (l->queued >= QUEUE_MAX)
        pthread_cond_wait(&l->changed, &l->lock);
    *(l->last != NULL ? &l->last->next : &l->first) = b;
    l->last = b;
    l->queued++;
    if (l->at == UINT64_MAX)
        l->at = b->first;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

static void position_tell(struct walk *w, lsn_t reading)
{
    lsn_t least = reading;

    for (size_t i = 0; i < w->count; i++) {
        struct lane *l = &w->lanes[i];

        if (l->filling != NULL && l->filling->first < least)
            least = l->filling->first;
        pthread_mutex_lock(&l->lock);
        if (l->at < least)
            least = l->at;
        pthread_mutex_unlock(&l->lock);
    }
    set_replay_position(w->node->set, least);
}

/* Everything handed out so far is redone. */
static enum err settle(struct walk *w)
{
    enum err e = OK;

    for (size_t i = 0; i < w->count; i++)
        submit(&w->lanes[i]);
    for (size_t i = 0; i < w->count; i++) {
        struct lane *l = &w->lanes[i];

        pthread_mutex_lock(&l->lock);
        while (l->working || l->first != NULL)
            pthread_cond_wait(&l->changed, &l->lock);
        pthread_mutex_unlock(&l->lock);
        if (e == OK)
            e = lane_error(l);
    }
    return e;
}

static enum err hand_out(struct walk *w, const struct recovery_effect *effect)
{
    struct lane *l = &w->lanes[effect->slot % w->count];

    if (l->filling == NULL) {
        l->filling = calloc(1, sizeof *l->filling);
        check(l->filling != NULL);
        l->filling->first = effect->lsn;
    }
    buf_append(&l->filling->bytes, effect, sizeof *effect);
    buf_append_slice(&l->filling->bytes, effect->text);
    if (l->filling->bytes.size < BATCH_BYTES)
        return OK;
    submit(l);
    position_tell(w, effect->lsn);
    return lane_error(l);
}

static enum err apply(void *context, const struct recovery_effect *effect)
{
    struct walk *w = context;

    if (node_is_stopping(w->node))
        return err_set(ERR_CLOSED, "stopped while loading");
    if (effect->kind == JOURNAL_KEY && effect->slot < SLOTS && w->count > 1)
        return hand_out(w, effect);
    if (w->count > 1)
        TRY(settle(w));
    set_replay_position(w->node->set, effect->lsn);
    if (effect->kind == JOURNAL_KEY)
        return effect_redo(w, w->all[0], effect);
    if (effect->keys != 0 || effect->expires != 0)
        set_replay_count(w->node->set, effect->db, effect->slot, effect->lsn, effect->keys, effect->expires);
    return replay_apply_range(w->all, w->count, effect);
}

static lsn_t floor_of(void *context, unsigned db)
{
    const struct walk *w = context;

    return set_replay_floor(w->node->set, db);
}

static void progress(void *context, lsn_t position, lsn_t end)
{
    struct node *n = ((struct walk *)context)->node;

    if (atomic_load(&n->loading_end) == 0)
        atomic_store(&n->loading_from, position);
    atomic_store(&n->loading_end, end);
    atomic_store(&n->loading_at, position);
    log_event(LOG_VERBOSE, "replay: position=%llu end=%llu", (unsigned long long)position, (unsigned long long)end);
}

/* ---- All of it ---- */

/* The workers have nothing to do yet: a lane for each core. */
static size_t lanes_wanted(const struct node *n)
{
    struct wal_figures log;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t most = cores > 0 && (size_t)cores > n->workers ? (size_t)cores : n->workers;
    size_t lanes = most < LANES_MAX ? most : LANES_MAX;

    wal_figures(n->wal, &log);
    return log.tail - log.first < LANES_FROM_BYTES || lanes == 0 ? 1 : lanes;
}

static void lanes_start(struct walk *w)
{
    for (size_t i = 0; i < w->count; i++) {
        struct lane *l = &w->lanes[i];
        struct lane_start *start;

        l->replay = w->all[i] = replay_new(w->node);
        if (w->count == 1)
            return;
        start = malloc(sizeof *start);
        check(start != NULL);
        *start = (struct lane_start){w, l};
        l->at = UINT64_MAX;
        pthread_mutex_init(&l->lock, NULL);
        pthread_cond_init(&l->changed, NULL);
        check(thread_start(&l->thread, "replay-lane", lane_run, start) == OK);
    }
}

/* Ends the lanes. A key in doubt is an error only if there was no other. */
static enum err lanes_end(struct walk *w, enum err e)
{
    char text[512];

    snprintf(text, sizeof text, "%s", e != OK ? err_text() : "");
    for (size_t i = 0; i < w->count; i++) {
        struct lane *l = &w->lanes[i];
        enum err doubt;

        if (w->count > 1) {
            submit(l); /* after an error: it is freed there */
            pthread_mutex_lock(&l->lock);
            l->stop = true;
            pthread_cond_broadcast(&l->changed);
            pthread_mutex_unlock(&l->lock);
            pthread_join(l->thread, NULL);
            pthread_mutex_destroy(&l->lock);
            pthread_cond_destroy(&l->changed);
        }
        if ((doubt = replay_end(l->replay)) != OK && e == OK) {
            e = doubt;
            snprintf(text, sizeof text, "%s", err_text());
        }
    }
    return e != OK ? err_set(e, "%s", text) : OK;
}

enum err replay_run(struct node *n, struct recovery_figures *figures)
{
    struct walk w = {.node = n, .count = lanes_wanted(n)};
    const struct recovery_options options = {.databases = n->databases, .context = &w, .floor = floor_of, .apply = apply,
                                             .progress = progress};
    enum err e;

    lanes_start(&w);
    e = recovery_run(n->wal, &options, figures);
    if (e == OK && w.count > 1)
        e = settle(&w);
    return lanes_end(&w, e);
}
