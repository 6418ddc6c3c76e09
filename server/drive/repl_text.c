/*
 * repl_text.c - the short texts of replication, parsed.
 */
#include "server/drive/repl_text.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

enum { DIGITS = 20 };

static bool begins(struct slice line, const char *text)
{
    return line.size >= strlen(text) && memcmp(line.data, text, strlen(text)) == 0;
}

static bool id_take(struct slice text, char out[HISTORY_ID_BYTES + 1])
{
    if (text.size < HISTORY_ID_BYTES)
        return false;
    memcpy(out, text.data, HISTORY_ID_BYTES);
    out[HISTORY_ID_BYTES] = '\0';
    return history_id_valid(out);
}

static bool offset_take(struct slice text, lsn_t *out)
{
    int64_t number;

    if (!num_parse_i64(text, &number) || number < 0)
        return false;
    *out = (lsn_t)number;
    return true;
}

static struct slice behind(struct slice text, size_t size)
{
    return slice_of(text.data + size, text.size - size);
}

/* ---- The answers to PSYNC ---- */

bool repl_text_continue(struct slice line, char replid[HISTORY_ID_BYTES + 1])
{
    const size_t head = strlen("+CONTINUE ");

    replid[0] = '\0';
    if (!begins(line, "+CONTINUE"))
        return false;
    return line.size <= head || id_take(behind(line, head), replid);
}

bool repl_text_fullresync(struct slice line, char replid[HISTORY_ID_BYTES + 1], lsn_t *offset)
{
    const size_t head = strlen("+FULLRESYNC "), size = head + HISTORY_ID_BYTES + 1;

    return begins(line, "+FULLRESYNC ") && line.size > size && id_take(behind(line, head), replid) &&
           line.data[size - 1] == ' ' && offset_take(behind(line, size), offset);
}

/* ---- Acknowledging ---- */

bool repl_text_ack(const struct slice *argv, size_t argc, struct repl_ack *out)
{
    *out = (struct repl_ack){0};
    if (argc < 3 || !slice_is(argv[1], "ack") || !offset_take(argv[2], &out->acked))
        return false;
    out->has_fsynced = argc >= 5 && slice_is(argv[3], "fack") && offset_take(argv[4], &out->fsynced);
    return true;
}

/* ---- PSYNC's words ---- */

bool repl_text_tail(const struct slice *argv, size_t argc, struct repl_tail *out)
{
    for (size_t i = 3; i + 2 < argc; i++)
        if (slice_is(argv[i], REPL_TAIL))
            return offset_take(argv[i + 1], &out->from) && num_parse_u64(argv[i + 2], &out->sum);
    return false;
}

/* ---- INFO ---- */

/* The text behind "name:" up to the end of its line. */
static bool field(struct slice info, const char *name, struct slice *out)
{
    size_t size = strlen(name);

    for (size_t at = 0; at < info.size;) {
        const uint8_t *end = memchr(info.data + at, '\n', info.size - at);
        size_t line = end != NULL ? (size_t)(end - info.data) - at : info.size - at;

        if (line > size && memcmp(info.data + at, name, size) == 0 && info.data[at + size] == ':') {
            *out = slice_of(info.data + at + size + 1, line - size - 1);
            if (out->size > 0 && out->data[out->size - 1] == '\r')
                out->size--;
            return true;
        }
        at += line + 1;
    }
    return false;
}

static void ancestor_add(struct history *h, struct slice id, struct slice end)
{
    struct history_ancestor *a = &h->ancestors[h->ancestors_count];

    if (h->ancestors_count == HISTORY_ANCESTORS_MAX)
        return;
    if (id_take(id, a->replid) && offset_take(end, &a->end))
        h->ancestors_count++;
}

/* "<id>=<end>,<id>=<end> ..." */
static void ancestors_parse(struct history *h, struct slice text)
{
    while (text.size > HISTORY_ID_BYTES + 1) {
        const uint8_t *comma = memchr(text.data, ',', text.size);
        size_t size = comma != NULL ? (size_t)(comma - text.data) : text.size;

        if (size > HISTORY_ID_BYTES + 1)
            ancestor_add(h, text, slice_of(text.data + HISTORY_ID_BYTES + 1, size - HISTORY_ID_BYTES - 1));
        text = size < text.size ? slice_of(text.data + size + 1, text.size - size - 1) : (struct slice){0};
    }
}

bool repl_text_history(struct slice info, struct repl_peer_history *out)
{
    struct slice text, end;
    int64_t number;
    char last[DIGITS + 1];

    *out = (struct repl_peer_history){0};
    if (!field(info, "master_replid", &text) || !id_take(text, out->history.replid) ||
        !field(info, "master_repl_offset", &text) || !offset_take(text, &out->tail))
        return false;
    if (field(info, "master_ancestors", &text)) {
        ancestors_parse(&out->history, text);
    } else if (field(info, "master_replid2", &text) && field(info, "second_repl_offset", &end) &&
               num_parse_i64(end, &number) && number > 0) {
        snprintf(last, sizeof last, "%lld", (long long)number - 1);
        ancestor_add(&out->history, text, slice_str(last));
    }
    out->is_cairn = field(info, "repl_backlog_seconds", &text); /* no Redis says that */
    out->known = true;
    return true;
}
