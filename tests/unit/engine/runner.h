/*
 * runner.h - runs commands against a harness, without a server: words in, reply out, effects in the harness' journal.
 *
 *     ck_assert_str_eq(run(h, "LPUSH k a b"), ":2");
 *
 * The slots of all words are locked, so that no table of key positions is needed. With h->may_wait false a command is
 * first run so; answers it ERR_COLD, it must not have written or changed anything, and is run again with waiting.
 */
#ifndef CAIRN_TESTS_UNIT_ENGINE_RUNNER_H
#define CAIRN_TESTS_UNIT_ENGINE_RUNNER_H

#include "base/slice.h"
#include "tests/unit/engine/harness.h"

/* Words are separated by single spaces; "" is an empty word. The reply with every line break as a space, the last one
 * left out: "*2 $1 a $1 b". Valid until the next run. */
const char *run(struct harness *h, const char *line);

/* The same with binary words, and the reply as it is. */
struct slice run_words(struct harness *h, const struct slice *words, size_t count);

/* Runs every effect in the journal of `from` as a command on `to`, then forgets them. Only for words without spaces and
 * bars. */
void run_effects(struct harness *from, struct harness *to);

/* The protocol of all replies from now on: 2 (as at the beginning) or 3. */
void run_protocol(int version);

/* How many runs answered ERR_COLD so far. */
unsigned run_colds(void);

#endif
