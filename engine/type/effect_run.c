/*
 * effect_run.c - collecting words until an effect is full.
 */
#include "engine/type/effect_run.h"

void effect_run_begin(struct effect_run *run, struct txn *t, struct obj *o, const char *verb)
{
    run->txn = t;
    run->o = o;
    run->verb = verb;
    run->count = 0;
    run->bytes = (struct buf){0};
}

static void word_add(struct effect_run *run, struct slice word)
{
    run->words[2 + run->count++] = (struct slice){(const uint8_t *)(uintptr_t)run->bytes.size, word.size};
    buf_append_slice(&run->bytes, word);
}

static void flush(struct effect_run *run)
{
    if (run->count == 0)
        return;
    for (size_t i = 0; i < run->count; i++) { /* the bytes no longer move */
        struct slice *word = &run->words[2 + i];

        *word = slice_of(run->bytes.data + (uintptr_t)word->data, word->size);
    }
    run->words[0] = slice_str(run->verb);
    run->words[1] = obj_key(run->o);
    txn_effect(run->txn, run->o, run->words, 2 + run->count);
    run->count = 0;
    buf_clear(&run->bytes);
}

/* Full effects go when more comes, so that the last one is left to effect_run_end. */
static void room(struct effect_run *run)
{
    if (run->count >= EFFECT_RUN_WORDS || run->bytes.size >= EFFECT_RUN_BYTES)
        flush(run);
}

void effect_run_add(struct effect_run *run, struct slice word)
{
    room(run);
    word_add(run, word);
}

void effect_run_add2(struct effect_run *run, struct slice a, struct slice b)
{
    room(run);
    word_add(run, a);
    word_add(run, b);
}

void effect_run_end(struct effect_run *run)
{
    flush(run);
    buf_free(&run->bytes);
}
