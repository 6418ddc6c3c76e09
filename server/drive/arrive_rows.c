/*
 * arrive_rows.c - frames of rows on the target: taken apart, put into words for the log, collected, and landed a few megabytes at a time.
 *
 *   the session's thread   frame -> rows and words -> v->landing, until it is large enough
 *   the lander             range_land, while the session goes on with the next piece
 *
 * (1) A frame counts as a whole: one that is damaged ends the job, and everything that came is dropped.
 * (2) Rows land while the job is live, which is asked with their slots locked; who gives the job up waits for what lands.
 * (3) The replicas that are online are at most one piece behind.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/thread.h"
#include "engine/set/range.h"
#include "engine/set/script.h"
#include "persistence/wal.h"
#include "server/drive/cluster_service.h"
#include "server/drive/move_priv.h"
#include "server/drive/move_rows.h"
#include "server/drive/repl.h"
#include "server/node.h"

enum { PIECE_BYTES = 2 << 20, REPLICAS_MS = 20000 };

struct lander {
    struct move *v;
    pthread_mutex_t lock; /* a leaf */
    pthread_cond_t wake;

    struct buf last;      /* session: the row that came last */

    /* Under lock */
    struct landing *full;  /* lands now, or will; NULL: idle */
    struct landing *spare; /* has landed */
    bool on, stopping;     /* the thread is there; it ends, and nothing more is taken */
    pthread_t thread;
    enum err error;        /* of the first piece that did not land */
    char text[MOVE_MESSAGE_MAX];
};

/* ---- The thread ---- */

static bool must_not(void *context)
{
    const struct move *v = context;

    return !atomic_load(&v->live) || atomic_load(&v->flushed) || node_is_replica(v->moves->node) ||
           cluster_service_writes_held(v->moves->service);
}

static enum err land(struct move *v, struct landing *piece, lsn_t *landed)
{
    struct node *n = v->moves->node;
    lsn_t before = *landed;

    if (wal_space_low(node_wal(n)))
        return err_set(ERR_NO_SPACE, "the target's disk is nearly full");
    TRY(range_land(node_set(n), piece, landed, must_not, v));
    atomic_fetch_add(&v->keys, landing_keys(piece));
    if (before != 0 && !repl_all_have(node_replication(n), before, node_now(n) + REPLICAS_MS))
        return err_set(ERR_AGAIN, "a replica of the target lags behind");
    return OK;
}

static void *lander_run(void *context)
{
    struct lander *l = context;
    lsn_t landed = 0;

    pthread_mutex_lock(&l->lock);
    for (;;) {
        enum err e;

        while (l->full == NULL && !l->stopping)
            pthread_cond_wait(&l->wake, &l->lock);
        if (l->full == NULL)
            break;
        e = l->error;
        pthread_mutex_unlock(&l->lock);
        if (e == OK && (e = land(l->v, l->full, &landed)) != OK)
            snprintf(l->text, sizeof l->text, "%s", err_text()); /* read behind `error`, under the lock */
        landing_clear(l->full);
        pthread_mutex_lock(&l->lock);
        l->error = e;
        l->spare = l->full;
        l->full = NULL;
        pthread_cond_broadcast(&l->wake);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

struct lander *lander_new(struct move *v)
{
    struct lander *l = calloc(1, sizeof *l);

    check(l != NULL);
    l->v = v;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->wake, NULL);
    return l;
}

static void stop(struct lander *l)
{
    bool on;

    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    on = l->on;
    l->on = false;
    pthread_cond_broadcast(&l->wake);
    while (l->full != NULL)
        pthread_cond_wait(&l->wake, &l->lock);
    pthread_mutex_unlock(&l->lock);
    if (on)
        pthread_join(l->thread, NULL);
}

void lander_free(struct lander *l)
{
    if (l == NULL)
        return;
    stop(l);
    landing_free(l->spare);
    buf_free(&l->last);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

void arrive_rows_end(struct move *v)
{
    check(!atomic_load(&v->live));
    stop(v->lander);
}

/* ---- The session's side ---- */

/* Waits until nothing lands; what went wrong with earlier pieces. Under lock. */
static enum err idle(struct lander *l)
{
    while (l->full != NULL)
        pthread_cond_wait(&l->wake, &l->lock);
    return l->error != OK ? err_set(l->error, "%s", l->text) : OK;
}

/* Gives the piece away, and takes back an empty one. */
static enum err hand_over(struct move *v)
{
    struct lander *l = v->lander;
    enum err e;

    pthread_mutex_lock(&l->lock);
    if ((e = idle(l)) == OK && l->stopping)
        e = err_set(ERR_CLOSED, "the migration was given up here");
    if (e == OK) {
        l->full = v->landing;
        v->landing = l->spare;
        l->spare = NULL;
        if (!l->on)
            check(thread_start(&l->thread, "arrive-rows", lander_run, l) == OK);
        l->on = true;
        pthread_cond_broadcast(&l->wake);
    }
    pthread_mutex_unlock(&l->lock);
    return e;
}

enum err arrive_land(struct move *v)
{
    enum err e = OK;

    v->all_rows = true;
    if (v->landing != NULL && landing_keys(v->landing) > 0)
        e = hand_over(v);
    pthread_mutex_lock(&v->lander->lock);
    if (e == OK)
        e = idle(v->lander);
    pthread_mutex_unlock(&v->lander->lock);
    landing_free(v->landing);
    v->landing = NULL;
    stop(v->lander); /* it is not needed any more */
    return e;
}

static enum err never_flush(void *context, struct buf *out)
{
    (void)context;
    (void)out;
    return OK;
}

/* The key as effects: the command that makes it, and its expiry. */
static enum err put_down(struct script *words, const struct set_view_key *key)
{
    struct set_view_key lasting = *key;
    size_t at = script_key(words, key->slot);

    lasting.expire_ms = 0;
    TRY(move_words_key(NULL, &lasting, &words->text, never_flush, NULL));
    at = script_effect(words, at, 1, 0);
    if (key->expire_ms != 0) {
        move_words_expiry(&words->text, key->name, key->expire_ms);
        (void)script_effect(words, at, 0, 1);
    }
    return OK;
}

static enum err take(struct move *v, struct slice row, struct slice record)
{
    struct set_view_key key;

    TRY(move_rows_key(row, record, &key));
    if (!move_has(v, key.slot))
        return err_set(ERR_CORRUPT, "slot %u is not of this migration", key.slot);
    if (slice_compare(buf_slice(&v->lander->last), row) >= 0)
        return err_set(ERR_CORRUPT, "rows out of order");
    buf_clear(&v->lander->last);
    buf_append_slice(&v->lander->last, row);
    TRY(put_down(landing_words(v->landing), &key));
    return landing_add(v->landing, key.slot, row, record, key.expire_ms);
}

enum err arrive_rows(struct move *v, struct slice frame)
{
    struct slice row, record;
    struct move_rows rows;
    enum err e;

    if (v->all_rows)
        return err_set(ERR_PROTOCOL, "rows behind the last one");
    TRY(move_rows_open(frame, &rows));
    if (v->landing == NULL)
        v->landing = landing_new(0);
    while ((e = move_rows_next(&rows, &row, &record)) == OK)
        TRY(take(v, row, record));
    if (e != ERR_NOT_FOUND)
        return e;
    return landing_bytes(v->landing) >= PIECE_BYTES ? hand_over(v) : OK;
}
