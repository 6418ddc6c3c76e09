/*
 * frame.c - encoding and decoding of one frame. The decoder takes any bytes.
 */
#include "persistence/frame.h"

#include "base/hash.h"

#include <endian.h>

_Static_assert(sizeof(struct journal_effect) == FRAME_EFFECT_BYTES, "journal_effect is the record of the table");
_Static_assert(offsetof(struct journal_effect, slot) == 4 && offsetof(struct journal_effect, db) == 6 &&
                   offsetof(struct journal_effect, kind) == 8 && offsetof(struct journal_effect, keys) == 12 &&
                   offsetof(struct journal_effect, expires) == 16,
               "journal_effect is the record of the table");
_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "the effect table is copied as it is");

struct header { /* As drawn in frame.h; every field is naturally aligned. */
    uint64_t sum;
    uint32_t magic, text;
    uint64_t start, history, time;
    uint32_t effects, unsynced;
};

_Static_assert(sizeof(struct header) == FRAME_HEADER_BYTES, "no padding");

void frame_seal(uint8_t *frame, const struct frame_head *head, uint32_t effects, uint32_t text, struct slice apart)
{
    struct header h = {
        .magic = FRAME_MAGIC,
        .text = text,
        .start = head->start,
        .history = head->history,
        .time = (uint64_t)head->time_ms,
        .effects = effects,
        .unsynced = head->unsynced,
    };

    memcpy(frame, &h, sizeof h);
    h.sum = hash_sum_two(slice_of(frame + sizeof h.sum, frame_size(effects, text) - apart.size - sizeof h.sum), apart);
    memcpy(frame, &h.sum, sizeof h.sum);
}

static enum err header_read(struct slice bytes, struct header *h)
{
    if (bytes.size < sizeof *h)
        return ERR_AGAIN;
    memcpy(h, bytes.data, sizeof *h);
    if (h->magic != FRAME_MAGIC)
        return err_set(ERR_CORRUPT, "no frame begins here");
    /* Every effect has at least one byte of text: this bounds the table before any of it is believed. */
    if (h->effects == 0 || h->effects > h->text)
        return err_set(ERR_CORRUPT, "a frame of %u effects and %u bytes of text", h->effects, h->text);
    if (h->start > UINT64_MAX - h->text || h->unsynced > h->start)
        return err_set(ERR_CORRUPT, "a frame with an impossible position");
    return OK;
}

enum err frame_measure(struct slice bytes, uint64_t *size)
{
    struct header h;

    TRY(header_read(bytes, &h));
    *size = frame_size(h.effects, h.text);
    return OK;
}

static enum err effects_check(const uint8_t *table, uint32_t count, uint32_t text, uint64_t *stream)
{
    uint64_t sum = 0, local = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct journal_effect effect;

        memcpy(&effect, table + (size_t)i * FRAME_EFFECT_BYTES, sizeof effect);
        if (effect.bytes == 0 || journal_kind_of(&effect) > JOURNAL_DONE || effect.spare != 0 ||
            (effect.slot >= SLOTS && effect.slot != SLOT_NODE))
            return err_set(ERR_CORRUPT, "effect %u of a frame is none", i);
        sum += effect.bytes;
        local += journal_is_local(&effect) ? effect.bytes : 0;
    }
    if (sum != text || local == sum)
        return err_set(ERR_CORRUPT, "the effects of a frame have %llu bytes, %llu of them local, the text %u",
                       (unsigned long long)sum, (unsigned long long)local, text);
    *stream = sum - local;
    return OK;
}

enum err frame_decode(struct slice bytes, struct frame *out)
{
    struct header h;
    uint64_t size, stream = 0;
    const uint8_t *table, *text;

    TRY(header_read(bytes, &h));
    size = frame_size(h.effects, h.text);
    if (bytes.size < size)
        return ERR_AGAIN;
    if (hash_sum(slice_of(bytes.data + sizeof h.sum, size - sizeof h.sum)) != h.sum)
        return err_set(ERR_CORRUPT, "the checksum of a frame of %llu bytes does not match", (unsigned long long)size);
    table = bytes.data + FRAME_HEADER_BYTES;
    TRY(effects_check(table, h.effects, h.text, &stream));
    text = table + (size_t)h.effects * FRAME_EFFECT_BYTES;
    *out = (struct frame){
        .head = {.start = h.start, .history = h.history, .time_ms = (msec_t)h.time, .unsynced = h.unsynced},
        .end = h.start + stream,
        .effects = h.effects,
        .table = table,
        .text = slice_of(text, stream),
        .local = slice_of(text + stream, h.text - stream),
        .bytes = slice_of(bytes.data, size),
    };
    return OK;
}

struct journal_effect frame_effect(const struct frame *f, uint32_t i)
{
    struct journal_effect effect;

    memcpy(&effect, f->table + (size_t)i * FRAME_EFFECT_BYTES, sizeof effect);
    return effect;
}

bool frame_walk_next(struct frame_walk *w, struct journal_effect *out)
{
    if (w->next == w->frame->effects)
        return false;
    *out = frame_effect(w->frame, w->next++);
    if (journal_is_local(out)) {
        w->text = slice_of(w->frame->local.data + w->local_at, out->bytes);
        w->local_at += out->bytes;
        w->lsn = w->frame->end;
    } else {
        w->text = slice_of(w->frame->text.data + w->at, out->bytes);
        w->at += out->bytes;
        w->lsn = w->frame->head.start + w->at;
    }
    return true;
}

uint16_t frame_last_db(const struct frame *f)
{
    for (uint32_t i = f->effects; i-- > 0;) {
        struct journal_effect effect = frame_effect(f, i);

        if (!journal_is_local(&effect))
            return effect.db;
    }
    return 0; /* not reached: every frame has a byte of the stream */
}
