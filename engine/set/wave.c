/*
 * wave.c - many commands of a primary's stream under one set of locks, executed by several threads.
 *
 *   owner                                        lanes, each a thread with its own transaction
 *   txn_begin(w)         locks all slots, ascending
 *   txn_wave_begin(w)    active_since, the gate
 *                                                txn_lane_begin; of each command: txn_lane_slot, run, txn_command_end,
 *                                                txn_lane_frame
 *   txn_wave_append      frame by frame, in the stream's order, when every lane has executed all of its commands
 *                                                txn_lane_land: positions, dirty lists, rows
 *   txn_wave_end, txn_end                        txn_lane_end, at any time
 *
 * (1) A slot belongs to one lane. Its commands see each other's changes as those of one EXEC do, before any frame is appended.
 * (2) The owner holds every lock from before the first change to after the last stamp: to whoever locks slots (commands, views,
 *     checkpoints, the writer, the change of role) a wave is one change of all its slots, between two frames of the stream.
 * (3) active_since is the owner's, from before the first frame until all have landed: the floor stays below the wave.
 * (4) The gate is the owner's too: a lane that took it by itself while another one holds it would wait for the writer that waits
 *     for the other one, which waits for the wave. No memtable becomes a file while rows wait for their frames.
 * (5) Lanes wait for the store and for what is in the air, never for each other or for a lock of a slot.
 */
#include "engine/set/set_priv.h"

#include "base/check.h"

#include <stdlib.h>

#define NOT_APPENDED UINT64_MAX

/* ---- The owner ---- */

void txn_wave_begin(struct txn *w)
{
    struct set *s = w->set;

    check(w->options.follow && w->options.may_wait && !w->gate_held);
    atomic_store(&w->active_since, s->journal->tail(s->journal->context) + 1);
    gate_read(w);
}

lsn_t txn_wave_append(struct txn *w, struct txn *lane, size_t i)
{
    const struct journal *journal = w->set->journal;
    struct lane_frame *f = &lane->frames[i];
    struct slice text = f->local ? slice_of(lane->translated.data + f->text_at, f->text_size) : f->stream;

    check(w->gate_held && lane->lent && i < lane->frame_count && f->base == NOT_APPENDED);
    f->base = journal->append(journal->context, lane->effects + f->effects, f->effect_count, text, NULL);
    return f->base + f->stream.size;
}

void txn_wave_end(struct txn *w)
{
    gate_done(w);
    atomic_store_explicit(&w->active_since, 0, memory_order_release);
    w->changed = true; /* txn_end gives the writer time */
}

/* ---- A lane ---- */

void txn_lane_begin(struct txn *t, const struct txn_options *options)
{
    check(t->slot_count == 0 && !t->gate_held && options->follow && options->may_wait);
    if (t->slot_capacity == 0) {
        t->slots = malloc(sizeof *t->slots);
        check(t->slots != NULL);
        t->slot_capacity = 1;
    }
    txn_start(t, options);
    t->lent = t->gate_held = true;
}

void txn_lane_slot(struct txn *t, slot_t slot)
{
    check(t->lent && !t->command_changed);
    t->slots[0] = slot;
    t->slot_count = 1;
}

void txn_lane_frame(struct txn *t, struct slice stream, unsigned db)
{
    struct lane_frame *f;
    struct slice text;

    check(t->lent && t->unbound == t->touched_count && !t->command_changed);
    if (t->frame_count == t->frame_capacity) {
        t->frame_capacity = t->frame_capacity != 0 ? t->frame_capacity * 2 : 64;
        t->frames = realloc(t->frames, t->frame_capacity * sizeof *t->frames);
        check(t->frames != NULL);
    }
    txn_follow(t, stream, db);
    f = &t->frames[t->frame_count++];
    *f = (struct lane_frame){.effects = t->frame_effects, .stream = stream, .text_at = t->translated.size, .base = NOT_APPENDED};
    f->local = txn_frame(t, &text);
    f->text_size = text.size;
    f->effect_count = t->effect_count - f->effects;
    f->touched_end = t->touched_count;
    t->frame_effects = t->effect_count;
    t->frame_touched = t->touched_count;
}

void txn_lane_land(struct txn *t)
{
    struct stamp where = {0};

    check(t->lent);
    for (size_t i = 0; i < t->frame_count; i++) {
        const struct lane_frame *f = &t->frames[i];

        check(f->base != NOT_APPENDED);
        where.touched_end = f->touched_end;
        where.effect = f->effects;
        where.base = f->base;
        where.all_at = f->local ? f->base + f->stream.size : 0;
        txn_stamp(t, &where);
        where.touched = f->touched_end;
    }
    if (txn_lands_rows(t))
        txn_settle(t);
    txn_account(t);
    t->touched_count = t->unbound = t->effect_count = 0;
    t->slot_count = 0;
    t->lent = t->gate_held = false;
}

void txn_lane_end(struct txn *t)
{
    check(!t->lent && t->slot_count == 0);
    txn_leave(t);
    for (size_t i = 1; i < t->frame_count; i++) /* one round after each command, as when they come one by one */
        evict_some(t);
    t->frame_count = 0;
}
