/*
 * fuzz_repl.c - what a primary answers, what a replica acknowledges and asks for: the first byte says which text the rest is.
 */
#include "server/drive/repl_text.h"

#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void history(struct slice text)
{
    struct repl_peer_history h;
    struct history own = {.replid = "0123456789012345678901234567890123456789"};
    lsn_t branch;

    check(repl_text_history(text, &h) == h.known);
    if (!h.known)
        return;
    check(history_id_valid(h.history.replid));
    check(h.history.ancestors_count <= HISTORY_ANCESTORS_MAX);
    for (uint32_t i = 0; i < h.history.ancestors_count; i++)
        check(history_id_valid(h.history.ancestors[i].replid));
    if (history_branch(&own, 1000, &h.history, h.tail, &branch))
        check(branch <= 1000 && branch <= h.tail);
}

/* Words are cut at zero bytes. */
static void words(struct slice text)
{
    struct slice words[8] = {SLICE_LITERAL("REPLCONF")};
    struct repl_tail tail;
    struct repl_ack a;
    size_t count = 1;

    while (text.size > 0 && count < 8) {
        const uint8_t *end = memchr(text.data, 0, text.size);
        size_t n = end != NULL ? (size_t)(end - text.data) : text.size;

        words[count++] = slice_of(text.data, n);
        text = n < text.size ? slice_of(text.data + n + 1, text.size - n - 1) : (struct slice){0};
    }
    if (repl_text_ack(words, count, &a))
        check(count >= 3 && a.acked <= INT64_MAX && a.fsynced <= INT64_MAX);
    if (repl_text_tail(words, count, &tail))
        check(count >= 6 && tail.from <= INT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char replid[HISTORY_ID_BYTES + 1];
    struct slice text;
    lsn_t offset = 0;

    if (size < 1)
        return 0;
    text = slice_of(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        if (repl_text_continue(text, replid))
            check(replid[0] == '\0' || history_id_valid(replid));
        break;
    case 1:
        if (repl_text_fullresync(text, replid, &offset))
            check(history_id_valid(replid) && offset <= INT64_MAX);
        break;
    case 2:
        history(text);
        break;
    case 3:
        words(text);
        break;
    }
    return 0;
}
