/*
 * move_priv.h - what move.c, depart.c, arrive.c share: a job, and the list of them.
 */
#ifndef CAIRN_SERVER_DRIVE_MOVE_PRIV_H
#define CAIRN_SERVER_DRIVE_MOVE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "cluster/handover.h"
#include "server/drive/move.h"
#include "server/run/session.h"

struct client;

enum { MOVE_NAME_SIZE = 40 };

enum move_state {
    MOVE_STARTING,
    MOVE_SNAPSHOT,
    MOVE_STREAMING,
    MOVE_HANDING_OVER,
    MOVE_CONFIRMING, /* source: claimed, and not in its own map; target: claimed, and no majority is known to have heard it */
    MOVE_RECEIVING, /* target, as the next */
    MOVE_DROPPING,  /* the target: given up, what came is going */
    MOVE_SUCCESS,   /* ended, from here on */
    MOVE_FAILED,
    MOVE_CANCELLED,
};

struct move {
    struct session_arrival arrival; /* target; first: the session points here */
    struct moves *moves;
    struct move *next;

    /* Set once */
    bool import;
    char name[MOVE_NAME_SIZE + 1];
    char source[CLUSTER_ID_SIZE + 1], target[CLUSTER_ID_SIZE + 1];
    slot_t *slots; /* ascending */
    size_t slot_count;
    uint8_t bits[SLOTS / 8];
    msec_t created_ms;
    pthread_t thread; /* source */

    /* Target, the session's command only */
    struct landing *landing; /* rows that came and wait for more; NULL: none */
    bool all_rows;           /* no more of them may come */
    struct lander *lander;   /* set once, before the job is live */

    /* Under the list's lock */
    char message[MOVE_MESSAGE_MAX];
    enum move_state state;
    msec_t updated_ms, ended_ms, streaming_ms;
    bool threaded; /* the thread is to be joined */
    bool offered;  /* source: FINISH leaves, or has left: the target decides, and it is too late to cancel */
    bool left_marked; /* source: the process ended before it was known who owns the slots; theirs until moves_free */
    bool claiming; /* target: it is claimed, or will be in the same step of the core: no more given up */
    bool attached; /* target: a session points here */

    /* Any thread */
    atomic_bool cancelled;  /* source: by command or by the end */
    atomic_bool live;       /* target: keys may come; cleared once, under the cluster service's lock or before a drop */
    atomic_bool flushed;    /* target: FLUSHALL ran since */
    atomic_bool holding;    /* target: writes wait at the slots' marks, until the claim is settled */
    _Atomic msec_t acked_ms;
    _Atomic uint64_t keys, keys_total, bytes; /* sent or received; source: total in the snapshot */
    _Atomic uint64_t pause_us, view_pause_us;
};

/* How often replicas are told again what they must know when they lead: one that came by a whole copy has not heard it. */
enum { MARK_MS = 1000 };

struct moves {
    struct node *node;
    struct cluster_service *service;
    pthread_t keeper;

    pthread_mutex_t lock; /* a leaf, but for the lock of the pool of sessions */
    pthread_cond_t wake;
    struct move *list;    /* newest first */
    bool stopping, stopped;
    bool marked;          /* the replicas were told of arriving slots */
    msec_t marked_ms;

    /* Under the cluster service's lock: what the replicas were told of slots that SETSLOT opened */
    struct buf open_said;
    bool open_told;
    msec_t open_ms;

    atomic_uint taken[SLOTS]; /* jobs that have the slot: 0 or 1 */
    atomic_uint active;       /* not ended */
    atomic_uint arriving;     /* of them, imports */
    _Atomic msec_t delay_ms;
};

static inline bool move_has(const struct move *v, slot_t slot)
{
    return (v->bits[slot / 8] >> slot % 8 & 1) != 0;
}

/* The job as the core's decisions know it; borrows. */
static inline struct handover move_handover(const struct move *v)
{
    return (struct handover){.source = v->source, .target = v->target, .slots = v->slots, .slot_count = v->slot_count};
}

static inline bool move_ended(enum move_state state)
{
    return state >= MOVE_SUCCESS;
}

/* ---- move.c ---- */
/* Slots a b [a b ...]: ERR_REPLIED, or a new job (not in the list) that has them. */
enum err move_new(struct moves *m, struct call *c, const struct slice *words, size_t count, bool import, struct move **out) WARN_UNUSED;
void move_free(struct move *v);
/* Puts it on the list and takes its slots; ERR_EXISTS: another job has one of them, or there are too many. */
enum err move_enter(struct move *v) WARN_UNUSED;
/* Takes it off again and frees it: nothing has begun. */
void move_withdraw(struct move *v);
/* message NULL: as it was. An ended job gives its slots back. */
void move_set_state(struct move *v, enum move_state state, const char *message);
/* The source is about to send FINISH. False: it was cancelled before, and must not. */
bool move_offer(struct move *v) WARN_UNUSED;
/*
 * Whether an epoch above is reserved for a claim (cluster/handover.h). If not, the masters are asked for one, and again once in a while
 * for who keeps asking this. *asked_ms: 0 at first, then the function's.
 */
bool move_reserved(struct moves *m, uint64_t above, msec_t *asked_ms);
void move_step_delay(struct move *v);
bool moves_stopping(struct moves *m);

/* ---- move_tell.c ---- */
const char *move_state_name(enum move_state state);
/* Tells the replicas which slots are arriving now; always: also if nothing is. False: the log takes nothing now. */
bool moves_tell_replicas(struct moves *m, bool always);
/* "0-5 7" */
void move_ranges(const struct move *v, char separator, struct buf *out);

/* ---- depart.c: the thread of a job on the source ---- */
void *depart_run(void *move);

/* ---- arrive_rows.c: rows that come ---- */
struct lander *lander_new(struct move *v);
void lander_free(struct lander *l); /* accepts NULL */
/* A frame of rows; what is enough lands, on a thread of its own. ERR_CORRUPT, ERR_INVALID .. with their text: the job cannot go on. */
enum err arrive_rows(struct move *v, struct slice frame) WARN_UNUSED;
/* All rows that came have landed when it returns. */
enum err arrive_land(struct move *v) WARN_UNUSED;
/* The job is not live: nothing of it lands any more when it returns. Any thread. */
void arrive_rows_end(struct move *v);

/* ---- arrive.c ---- */
enum err arrive_sync(struct moves *m, struct call *c);
/* Once in a while: gives up what is dead or silent, and tells replicas. */
void arrive_tick(struct moves *m, msec_t now_ms);

/* ---- arrive_end.c ---- */
/* Everything that came is on stable storage, and every replica that is online has it. Else ERR_REPLIED, or an error of the log. */
enum err arrive_settle(struct moves *m, struct call *c) WARN_UNUSED;
/* FINISH of a live job: claims its slots, or gives it up. */
enum err arrive_finish(struct moves *m, struct call *c, struct move *v) WARN_UNUSED;
/* Ends claims of which a majority has heard since FINISH was answered. */
void arrive_end_claimed(struct moves *m);

/* ---- move_words.c: keys of a view as commands ---- */
struct set_view;
struct set_view_key;
/* Appends commands that make the key; a large one is handed to `flush` now and then. */
void move_words_expiry(struct buf *out, struct slice name, msec_t expire_ms);
typedef enum err move_flush(void *context, struct buf *out);
enum err move_words_key(struct set_view *view, const struct set_view_key *key, struct buf *out, move_flush *flush,
                        void *context) WARN_UNUSED;

#endif
