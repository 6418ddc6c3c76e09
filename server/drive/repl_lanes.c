/*
 * repl_lanes.c - the threads of a wave, and how link thread and lanes wait for each other.
 *
 *   link thread                                  lane
 *   begin     slots locked, given = wave   --->
 *             (parses ahead)                     runs its commands, executed = wave
 *   finish    all executed; frames appended <---
 *             appended = wave              --->
 *                                                lands them, landed = wave
 *             all landed; slots unlocked   <---  leaves: frees, evicts
 *
 * (1) What a lane reads of a wave is written before `given`; what the link thread reads of a lane, before `executed`.
 * (2) Who waits looks a while, then sleeps: with fewer cores than threads looking only takes time from those who are waited for.
 */
#include "server/drive/repl_lanes.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/thread.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"
#include "server/drive/repl_apply.h"
#include "server/drive/repl_priv.h"

enum { LOOKS = 400, SLOT_WORDS = SLOTS / 64 };

/* ---- A number that grows, and who waits for it ---- */

struct progress {
    _Atomic uint64_t value;
    atomic_uint sleepers;
    pthread_mutex_t lock;
    pthread_cond_t moved;
};

static void progress_init(struct progress *p)
{
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->moved, NULL);
}

static void progress_fini(struct progress *p)
{
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->moved);
}

/* Value, then sleepers; who waits writes the sleepers, then looks at the value: one of the two sees the other. */
static void progress_set(struct progress *p, uint64_t value)
{
    atomic_store(&p->value, value);
    if (atomic_load(&p->sleepers) == 0)
        return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->moved);
    pthread_mutex_unlock(&p->lock);
}

static void progress_await(struct progress *p, uint64_t least, int looks)
{
    for (int i = 0; i < looks; i++) {
        if (atomic_load_explicit(&p->value, memory_order_acquire) >= least)
            return;
        __builtin_ia32_pause();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (atomic_load(&p->value) < least)
        pthread_cond_wait(&p->moved, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
}

/* ---- Lanes ---- */

struct lane {
    struct repl_lanes *lanes;
    struct applier applier;
    pthread_t thread;
    uint64_t waves; /* Lane only: those it has done, in the numbers of `given` */

    /* The wave's part of it: the link thread writes them before `given` */
    const struct resp_request *requests[WAVE_COMMANDS_MAX];
    struct plan plans[WAVE_COMMANDS_MAX];
    size_t count;
    size_t appended; /* Link thread only */

    _Alignas(64) struct progress given; /* link thread to lane */
    _Alignas(64) struct progress executed, landed; /* lane to link thread */
};

struct repl_lanes {
    struct repl *repl;
    struct executor *x;
    size_t count;
    int looks;
    uint64_t waves;
    bool stopping; /* written before `given` */
    struct wave wave;
    struct txn_options options;
    uint64_t slot_bits[SLOT_WORDS]; /* zero between waves */
    slot_t slots[WAVE_COMMANDS_MAX];
    _Alignas(64) struct progress appended; /* link thread to all lanes */
    struct lane lanes[];
};

static void lane_run_wave(struct lane *lane)
{
    struct repl_lanes *l = lane->lanes;
    struct applier *a = &lane->applier;
    const struct wave *wave = &l->wave;

    if (lane->count > 1)
        execute_prefetch(&a->x, wave->db, lane->plans, lane->count, true);
    a->x.now_ms = l->options.now_ms;
    txn_lane_begin(a->x.txn, &l->options);
    for (size_t i = 0; i < lane->count; i++) {
        const struct resp_request *q = lane->requests[i];
        const struct slice *argv = wave->words + q->first;

        txn_lane_slot(a->x.txn, lane->plans[i].slot);
        (void)applier_run(a, lane->plans[i].command, argv, q->argc, wave->db, true);
        txn_command_end(a->x.txn, q->raw, argv, q->argc);
        txn_lane_frame(a->x.txn, q->raw, wave->db);
    }
}

static void *lane_thread(void *context)
{
    struct lane *lane = context;
    struct repl_lanes *l = lane->lanes;

    for (;;) {
        progress_await(&lane->given, lane->waves + 1, l->looks);
        lane->waves = atomic_load(&lane->given.value);
        if (l->stopping)
            return NULL;
        lane_run_wave(lane);
        progress_set(&lane->executed, lane->waves);
        progress_await(&l->appended, lane->waves, l->looks);
        txn_lane_land(lane->applier.x.txn);
        progress_set(&lane->landed, lane->waves);
        txn_lane_end(lane->applier.x.txn);
    }
}

struct repl_lanes *repl_lanes_new(struct repl *repl, struct executor *x, size_t count)
{
    size_t size = (sizeof(struct repl_lanes) + count * sizeof(struct lane) + 63) & ~(size_t)63;
    struct repl_lanes *l = aligned_alloc(64, size);

    check(l != NULL && count >= 2 && count <= LANES_MAX);
    memset(l, 0, size);
    l->repl = repl;
    l->x = x;
    l->count = count;
    l->looks = (size_t)sysconf(_SC_NPROCESSORS_ONLN) > count ? LOOKS : 1;
    progress_init(&l->appended);
    for (size_t i = 0; i < count; i++) {
        struct lane *lane = &l->lanes[i];
        char name[16];

        lane->lanes = l;
        applier_init(&lane->applier, repl, 3 + i);
        progress_init(&lane->given);
        progress_init(&lane->executed);
        progress_init(&lane->landed);
        snprintf(name, sizeof name, "repl-lane-%zu", i % LANES_MAX);
        check(thread_start(&lane->thread, name, lane_thread, lane) == OK);
    }
    return l;
}

void repl_lanes_free(struct repl_lanes *l)
{
    if (l == NULL)
        return;
    l->stopping = true;
    for (size_t i = 0; i < l->count; i++) {
        struct lane *lane = &l->lanes[i];

        progress_set(&lane->given, l->waves + 1);
        pthread_join(lane->thread, NULL);
        applier_fini(&lane->applier);
        progress_fini(&lane->given);
        progress_fini(&lane->executed);
        progress_fini(&lane->landed);
    }
    progress_fini(&l->appended);
    free(l);
}

size_t repl_lanes_count(const struct repl_lanes *l)
{
    return l->count;
}

size_t repl_lanes_by_cores(size_t cores)
{
    return cores <= 3 ? 1 : cores / 2 < 8 ? cores / 2 : 8;
}

/* ---- Waves ---- */

bool repl_lanes_want(const struct repl_lanes *l, const struct wave *wave)
{
    uint16_t per_lane[LANES_MAX] = {0};

    if (wave->count < WAVE_COMMANDS_MIN)
        return false;
    for (size_t i = 0; i < wave->count; i++)
        if (++per_lane[wave->plans[i].slot % l->count] > wave->count * 3 / 4)
            return false;
    return true;
}

/* The wave's slots, ascending; returns how many. */
static size_t slots_of(struct repl_lanes *l, const struct wave *wave)
{
    struct set *set = node_set(l->repl->node);
    size_t count = 0;

    for (size_t i = 0; i < wave->count; i++) {
        slot_t slot = wave->plans[i].slot;

        set_prefetch_lock(set, slot);
        l->slot_bits[slot / 64] |= UINT64_C(1) << slot % 64;
    }
    for (size_t i = 0; i < SLOT_WORDS; i++) {
        for (uint64_t bits = l->slot_bits[i]; bits != 0; bits &= bits - 1)
            l->slots[count++] = (slot_t)(i * 64 + (unsigned)__builtin_ctzll(bits));
        l->slot_bits[i] = 0;
    }
    return count;
}

void repl_lanes_begin(struct repl_lanes *l, const struct wave *wave)
{
    size_t slots = slots_of(l, wave);

    check(wave->count <= WAVE_COMMANDS_MAX);
    l->wave = *wave;
    l->options = (struct txn_options){.now_ms = node_now(l->repl->node), .db = wave->db, .may_wait = true, .follow = true};
    l->waves++;
    for (size_t i = 0; i < l->count; i++)
        l->lanes[i].count = l->lanes[i].appended = 0;
    for (size_t i = 0; i < wave->count; i++) {
        struct lane *lane = &l->lanes[wave->plans[i].slot % l->count];

        lane->requests[lane->count] = &wave->requests[i];
        lane->plans[lane->count++] = wave->plans[i];
    }
    check(txn_begin(l->x->txn, l->slots, slots, &l->options) == OK); /* it may wait */
    txn_wave_begin(l->x->txn);
    for (size_t i = 0; i < l->count; i++)
        if (l->lanes[i].count > 0)
            progress_set(&l->lanes[i].given, l->waves);
}

void repl_lanes_finish(struct repl_lanes *l)
{
    const struct wave *wave = &l->wave;
    struct txn *owner = l->x->txn;

    for (size_t i = 0; i < l->count; i++)
        if (l->lanes[i].count > 0)
            progress_await(&l->lanes[i].executed, l->waves, l->looks);
    for (size_t i = 0; i < wave->count; i++) {
        struct lane *lane = &l->lanes[wave->plans[i].slot % l->count];

        (void)txn_wave_append(owner, lane->applier.x.txn, lane->appended++);
    }
    progress_set(&l->appended, l->waves);
    for (size_t i = 0; i < l->count; i++)
        if (l->lanes[i].count > 0)
            progress_await(&l->lanes[i].landed, l->waves, l->looks);
    txn_wave_end(owner);
    txn_end(owner);
    atomic_fetch_add_explicit(&l->repl->waves, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->repl->wave_commands, wave->count, memory_order_relaxed);
}
