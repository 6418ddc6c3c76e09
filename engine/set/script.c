/*
 * script.c - see script.h. A frame begins with MULTI and ends with EXEC; one that has a single effect leaves them out by its bounds.
 */
#include "engine/set/script.h"

#include "base/check.h"

#include <stdlib.h>

#define MULTI_TEXT SLICE_LITERAL("*1\r\n$5\r\nMULTI\r\n")
#define EXEC_TEXT SLICE_LITERAL("*1\r\n$4\r\nEXEC\r\n")

void script_clear(struct script *s)
{
    buf_clear(&s->text);
    s->effect_count = s->frame_count = 0;
    s->open = false;
}

void script_free(struct script *s)
{
    buf_free(&s->text);
    free(s->effects);
    free(s->frames);
    *s = (struct script){0};
}

static struct journal_effect *add(struct script *s, struct journal_effect effect)
{
    if (s->effect_count == s->effect_capacity) {
        s->effect_capacity = s->effect_capacity != 0 ? s->effect_capacity * 2 : 256;
        s->effects = realloc(s->effects, s->effect_capacity * sizeof *s->effects);
        check(s->effects != NULL);
    }
    s->effects[s->effect_count] = effect;
    return &s->effects[s->effect_count++];
}

static void add_mark(struct script *s, struct slice text)
{
    buf_append_slice(&s->text, text);
    add(s, (struct journal_effect){.bytes = (uint32_t)text.size, .slot = SLOT_NODE, .db = s->db, .kind = JOURNAL_MARK});
}

void script_end(struct script *s)
{
    struct script_frame *f;

    if (!s->open)
        return;
    s->open = false;
    f = &s->frames[s->frame_count - 1];
    if (s->effect_count - f->effect_first == 2) { /* MULTI and one more */
        f->effect_first++;
        f->text_at += MULTI_TEXT.size;
    } else {
        add_mark(s, EXEC_TEXT);
    }
    f->effect_count = s->effect_count - f->effect_first;
    f->text_end = s->text.size;
}

static bool is_full(const struct script *s, const struct script_frame *f)
{
    return s->text.size - f->text_at >= SCRIPT_FRAME_BYTES || s->effect_count - f->effect_first >= SCRIPT_FRAME_EFFECTS;
}

size_t script_key(struct script *s, slot_t slot)
{
    if (s->open && (s->frames[s->frame_count - 1].slot != slot || is_full(s, &s->frames[s->frame_count - 1])))
        script_end(s);
    if (!s->open) {
        if (s->frame_count == s->frame_capacity) {
            s->frame_capacity = s->frame_capacity != 0 ? s->frame_capacity * 2 : 64;
            s->frames = realloc(s->frames, s->frame_capacity * sizeof *s->frames);
            check(s->frames != NULL);
        }
        s->frames[s->frame_count++] = (struct script_frame){.slot = slot, .text_at = s->text.size, .effect_first = s->effect_count};
        s->open = true;
        add_mark(s, MULTI_TEXT);
    }
    return s->text.size;
}

size_t script_effect(struct script *s, size_t at, int keys, int expires)
{
    struct script_frame *f = &s->frames[s->frame_count - 1];

    check(s->open && s->text.size > at);
    add(s, (struct journal_effect){.bytes = (uint32_t)(s->text.size - at), .slot = f->slot, .db = s->db, .kind = JOURNAL_KEY,
                                   .keys = keys, .expires = expires});
    f->keys += keys;
    f->expires += expires;
    return s->text.size;
}

lsn_t script_append(const struct script *s, size_t frame, const struct journal *journal)
{
    const struct script_frame *f = &s->frames[frame];

    check(!s->open && frame < s->frame_count && f->effect_count > 0);
    return journal->append(journal->context, s->effects + f->effect_first, f->effect_count,
                           slice_of(s->text.data + f->text_at, f->text_end - f->text_at), NULL);
}
