/*
 * effect_run.h - one change of many words, logged as several effects of bounded size.
 *
 *     struct effect_run run;
 *     effect_run_begin(&run, t, o, "SADD");
 *     for each member: effect_run_add(&run, member);       (words are copied)
 *     effect_run_end(&run);                                (logs the rest, frees)
 *
 * Each effect is: verb, o's key, then up to EFFECT_RUN_WORDS words. What belongs together (field and value) is added by
 * effect_run_add2 and stays in one effect. Change the object (count included) before effect_run_end: what is changed
 * after the last effect would belong to none.
 */
#ifndef CAIRN_ENGINE_TYPE_EFFECT_RUN_H
#define CAIRN_ENGINE_TYPE_EFFECT_RUN_H

#include "base/buf.h"
#include "engine/set/txn.h"

enum { EFFECT_RUN_WORDS = 1000, EFFECT_RUN_BYTES = 1 << 20 };

struct effect_run {
    struct txn *txn;
    struct obj *o;
    const char *verb;
    size_t count;
    struct buf bytes;
    struct slice words[2 + EFFECT_RUN_WORDS + 1]; /* data: offset in bytes until logged */
};

void effect_run_begin(struct effect_run *run, struct txn *t, struct obj *o, const char *verb);
void effect_run_add(struct effect_run *run, struct slice word);
void effect_run_add2(struct effect_run *run, struct slice a, struct slice b);
void effect_run_end(struct effect_run *run);

#endif
