/*
 * frame.h - one record of the log: an atomic change of one or more effects.
 *
 *   offset  size  field (little endian)
 *        0     8  sum        XXH3 (64 bit) over everything behind it: bytes 8 .. end of the text
 *        8     4  magic      "CFRM"
 *       12     4  text       bytes of RESP text
 *       16     8  start      stream position in front of the first effect
 *       24     8  history    id of the history that this change belongs to (persistence/history.h)
 *       32     8  time       unix ms when it was appended
 *       40     4  effects    their number, at least 1
 *       44     4  unsynced   bytes of the stream in front of `start` that were not known to be durable when the frame
 *                            was appended (cut at 2^32 - 1): proves that everything before start - unsynced was synced
 *       48   20n  effects    n times:  0  4  bytes    of its RESP text, at least 1
 *                                      4  2  slot     0 .. 16383, 0xFFFF: no key
 *                                      6  2  db
 *                                      8  2  kind     enum journal_kind, perhaps with JOURNAL_LOCAL
 *                                     10  2  zero
 *                                     12  4  keys     signed change of the slot's number of keys
 *                                     16  4  expires  signed change of the slot's number of keys with an expiry
 *  48 + 20n  text RESP text of the effects, one behind the other, those with JOURNAL_LOCAL behind all others; the sum
 *                 of their bytes is `text`
 *
 * The text of effects without JOURNAL_LOCAL is the frame's part of the stream, of at least one byte. Such an effect has
 * the position start + the bytes of all such effects up to and with it (behind its last byte); a local one has the
 * position of the frame's end.
 */
#ifndef CAIRN_PERSISTENCE_FRAME_H
#define CAIRN_PERSISTENCE_FRAME_H

#include "base/err.h"
#include "base/slice.h"
#include "base/types.h"
#include "engine/set/journal.h"

enum { FRAME_HEADER_BYTES = 48, FRAME_EFFECT_BYTES = 20 };
#define FRAME_MAGIC UINT32_C(0x4D524643) /* "CFRM" */
#define FRAME_TEXT_MAX UINT64_C(0xFFFFFFFF)

/* What an encoder fills in besides effects and text. */
struct frame_head {
    lsn_t start;
    uint64_t history;
    msec_t time_ms;
    uint32_t unsynced;
};

/* A decoded frame: a view that borrows from the decoded bytes. */
struct frame {
    struct frame_head head;
    lsn_t end;            /* position behind the last effect */
    uint32_t effects;
    const uint8_t *table; /* effects * FRAME_EFFECT_BYTES; read it with frame_effect */
    struct slice text;    /* of the stream: end - start bytes */
    struct slice local;   /* of the local effects */
    struct slice bytes;   /* the whole frame, as it is in the file */
};

static inline uint64_t frame_size(uint64_t effects, uint64_t text)
{
    return FRAME_HEADER_BYTES + effects * FRAME_EFFECT_BYTES + text;
}

/*
 * Encoding, in place: the caller has put the effects behind FRAME_HEADER_BYTES and the text behind them (journal_effect
 * is the table's record on a little-endian machine); this fills the header, sum last. text: its bytes. apart: the end of
 * the text, if that is not behind the rest but somewhere else; empty if not.
 */
void frame_seal(uint8_t *frame, const struct frame_head *head, uint32_t effects, uint32_t text, struct slice apart);

/*
 * The size of the frame that begins at bytes, by its header alone: a claim, not yet proved by its sum.
 * ERR_AGAIN: fewer than FRAME_HEADER_BYTES bytes. ERR_CORRUPT: no frame begins here.
 */
enum err frame_measure(struct slice bytes, uint64_t *size) WARN_UNUSED;

/*
 * Decodes the frame at the beginning of bytes, which may be longer and may be anything.
 * ERR_AGAIN: the frame is longer than bytes. ERR_CORRUPT: no whole valid frame; err_text says what is wrong.
 */
enum err frame_decode(struct slice bytes, struct frame *out) WARN_UNUSED;

/* The effect at index i < f->effects. */
struct journal_effect frame_effect(const struct frame *f, uint32_t i);

/* The effects in order, each with its position and text. */
struct frame_walk {
    const struct frame *frame;
    uint32_t next;
    lsn_t lsn;             /* of the effect that was returned */
    struct slice text;     /* its text, borrowed from the frame */
    size_t at, local_at;   /* private */
};
static inline struct frame_walk frame_walk_begin(const struct frame *f)
{
    return (struct frame_walk){.frame = f, .lsn = f->head.start};
}
/* False at the end. */
bool frame_walk_next(struct frame_walk *w, struct journal_effect *out);

/* The database selected behind this frame: that of the last effect of the stream. */
uint16_t frame_last_db(const struct frame *f);

#endif
