/*
 * script.h - effects put down for the log ahead of time: many keys at once, as frames that are appended when their slots are locked.
 *
 * What changes whole slots beside the objects in memory (range.h) says so in the log in the words of ordinary commands, so that recovery
 * and replicas need no rule for it. A frame is about one slot; of several effects it is a MULTI .. EXEC, as a transaction's is.
 *
 *     size_t at = script_key(&s, slot);               begins a frame if it must
 *     ... append one command to s.text ...
 *     script_effect(&s, at, 1, 0);                    it is an effect, and what it does to the slot's counts
 *     script_end(&s);                                 then the frames are whole
 *     lsn_t base = script_append(&s, i, journal);     frame i goes into the log
 */
#ifndef CAIRN_ENGINE_SET_SCRIPT_H
#define CAIRN_ENGINE_SET_SCRIPT_H

#include "base/buf.h"
#include "engine/set/journal.h"

enum { SCRIPT_FRAME_BYTES = 64 << 10, SCRIPT_FRAME_EFFECTS = 512 }; /* a frame that has so much takes no further key */

struct script_frame {
    slot_t slot;
    size_t text_at, text_end;           /* in the script's text */
    size_t effect_first, effect_count;  /* in its effects */
    int64_t keys, expires;              /* sums */
};

struct script {
    struct buf text;
    struct journal_effect *effects;
    size_t effect_count, effect_capacity;
    struct script_frame *frames;
    size_t frame_count, frame_capacity;
    uint16_t db;
    bool open; /* the last frame is not whole */
};

/* A zeroed script is empty; db may be set. */
void script_clear(struct script *s);
void script_free(struct script *s);

/* The next effects are about one key of this slot; returns where its text begins. */
size_t script_key(struct script *s, slot_t slot);
/* The text from `at` on is one effect; returns where the next one begins. */
size_t script_effect(struct script *s, size_t at, int keys, int expires);
void script_end(struct script *s);

/* Returns the position in front of the frame. The slot is locked by the caller. */
lsn_t script_append(const struct script *s, size_t frame, const struct journal *journal);

#endif
