/*
 * history.c - the history file: a few lines of text under one checksum.
 */
#include "persistence/history.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/num.h"
#include "persistence/atomic_file.h"

#include <stdio.h>

static bool hex_digits(const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return true;
}

bool history_id_valid(const char *replid)
{
    return strlen(replid) == HISTORY_ID_BYTES && hex_digits(replid, HISTORY_ID_BYTES);
}

uint64_t history_number(const char *replid)
{
    uint64_t number = 0;

    for (int i = 0; i < 16; i++)
        number = number << 4 | (uint64_t)(replid[i] <= '9' ? replid[i] - '0' : replid[i] - 'a' + 10);
    return number;
}

void history_fork(struct history *h, const char *replid, lsn_t end)
{
    uint32_t kept = h->ancestors_count < HISTORY_ANCESTORS_MAX - 1 ? h->ancestors_count : HISTORY_ANCESTORS_MAX - 1;

    check(history_id_valid(replid));
    memmove(h->ancestors + 1, h->ancestors, kept * sizeof h->ancestors[0]);
    memcpy(h->ancestors[0].replid, h->replid, sizeof h->replid);
    h->ancestors[0].end = end;
    h->ancestors_count = kept + 1;
    memcpy(h->replid, replid, sizeof h->replid);
}

bool history_holds(const struct history *h, const char *replid, lsn_t processed, lsn_t tail)
{
    if (strcmp(replid, h->replid) == 0)
        return processed <= tail;
    for (uint32_t i = 0; i < h->ancestors_count; i++)
        if (strcmp(replid, h->ancestors[i].replid) == 0)
            return processed <= h->ancestors[i].end && processed <= tail;
    return false;
}

/* How far history `replid` belongs to h; false: not at all. */
static bool end_of(const struct history *h, lsn_t tail, const char *replid, lsn_t *end)
{
    *end = tail;
    if (strcmp(h->replid, replid) == 0)
        return true;
    for (uint32_t i = 0; i < h->ancestors_count; i++)
        if (strcmp(h->ancestors[i].replid, replid) == 0) {
            *end = h->ancestors[i].end < tail ? h->ancestors[i].end : tail;
            return true;
        }
    return false;
}

bool history_branch(const struct history *own, lsn_t own_tail, const struct history *other, lsn_t other_tail, lsn_t *out)
{
    lsn_t mine, theirs;

    if (end_of(other, other_tail, own->replid, &theirs)) {
        *out = theirs < own_tail ? theirs : own_tail;
        return true;
    }
    for (uint32_t i = 0; i < own->ancestors_count; i++) /* newest first: the first that both know reaches furthest */
        if (end_of(other, other_tail, own->ancestors[i].replid, &theirs)) {
            mine = own->ancestors[i].end < own_tail ? own->ancestors[i].end : own_tail;
            *out = theirs < mine ? theirs : mine;
            return true;
        }
    return false;
}

void history_format(const struct history *h, struct buf *out)
{
    size_t start = out->size;

    buf_append_format(out, "cairn-history 1\nreplid %s\ngeneration %u\nfirst %llu\nboot %s\n", h->replid, h->generation,
                      (unsigned long long)h->first, h->boot);
    if (h->clean)
        buf_append_format(out, "clean %llu\n", (unsigned long long)h->clean_end);
    for (uint32_t i = 0; i < h->ancestors_count; i++)
        buf_append_format(out, "ancestor %s %llu\n", h->ancestors[i].replid, (unsigned long long)h->ancestors[i].end);
    buf_append_format(out, "sum %016llx\n",
                      (unsigned long long)hash_sum(slice_of(out->data + start, out->size - start)));
}

/* ---- Parsing: one line at a time ---- */

static bool line_take(struct slice *rest, struct slice *line)
{
    const uint8_t *end = rest->size ? memchr(rest->data, '\n', rest->size) : NULL;

    if (end == NULL)
        return false;
    *line = slice_of(rest->data, (size_t)(end - rest->data));
    *rest = slice_of(end + 1, rest->size - line->size - 1);
    return true;
}

static bool word_take(struct slice *line, const char *word)
{
    size_t n = strlen(word);

    if (line->size < n || memcmp(line->data, word, n) != 0)
        return false;
    *line = slice_of(line->data + n, line->size - n);
    return true;
}

static bool id_take(struct slice *line, char out[HISTORY_ID_BYTES + 1])
{
    if (line->size < HISTORY_ID_BYTES || !hex_digits((const char *)line->data, HISTORY_ID_BYTES))
        return false;
    memcpy(out, line->data, HISTORY_ID_BYTES);
    out[HISTORY_ID_BYTES] = '\0';
    *line = slice_of(line->data + HISTORY_ID_BYTES, line->size - HISTORY_ID_BYTES);
    return true;
}

static bool ancestor_take(struct slice line, struct history *h)
{
    struct history_ancestor *a = &h->ancestors[h->ancestors_count];

    if (h->ancestors_count == HISTORY_ANCESTORS_MAX || !id_take(&line, a->replid) || !word_take(&line, " ") ||
        !num_parse_u64(line, &a->end))
        return false;
    h->ancestors_count++;
    return true;
}

static bool line_read(struct slice line, struct history *h)
{
    uint64_t number;

    if (word_take(&line, "replid "))
        return id_take(&line, h->replid) && line.size == 0;
    if (word_take(&line, "ancestor "))
        return ancestor_take(line, h);
    if (word_take(&line, "first "))
        return num_parse_u64(line, &h->first);
    if (word_take(&line, "clean ")) {
        h->clean = true;
        return num_parse_u64(line, &h->clean_end);
    }
    if (word_take(&line, "generation ")) {
        if (!num_parse_u64(line, &number) || number > UINT32_MAX)
            return false;
        h->generation = (uint32_t)number;
        return true;
    }
    if (word_take(&line, "boot ")) {
        if (line.size >= VFS_BOOT_MAX || memchr(line.data, '\0', line.size) != NULL)
            return false;
        memcpy(h->boot, line.data, line.size);
        h->boot[line.size] = '\0';
        return true;
    }
    return false;
}

enum err history_parse(struct slice text, struct history *out)
{
    struct history h = {.generation = 0};
    struct slice rest = text, line;
    char sum[32];

    if (!line_take(&rest, &line) || !slice_equal(line, SLICE_LITERAL("cairn-history 1")))
        return err_set(ERR_CORRUPT, "the history file does not begin with its version");
    for (;;) {
        size_t before = (size_t)(rest.data - text.data);

        if (!line_take(&rest, &line))
            return err_set(ERR_CORRUPT, "the history file ends without its checksum");
        if (word_take(&line, "sum ")) {
            snprintf(sum, sizeof sum, "%016llx", (unsigned long long)hash_sum(slice_of(text.data, before)));
            if (!slice_equal(line, slice_str(sum)) || rest.size != 0)
                return err_set(ERR_CORRUPT, "the checksum of the history file does not match");
            break;
        }
        if (!line_read(line, &h))
            return err_set(ERR_CORRUPT, "line '%.*s' of the history file", (int)(line.size < 80 ? line.size : 80),
                           (const char *)line.data);
    }
    if (h.replid[0] == '\0')
        return err_set(ERR_CORRUPT, "the history file names no history");
    *out = h;
    return OK;
}

enum err history_load(struct vfs *vfs, const char *dir, struct history *out)
{
    struct buf text = {0};
    enum err e = atomic_file_read(vfs, dir, HISTORY_FILE, HISTORY_FILE_BYTES_MAX, &text);

    if (e == OK)
        e = history_parse(buf_slice(&text), out);
    if (e == ERR_TOO_BIG)
        e = ERR_CORRUPT;
    if (e != OK && e != ERR_NOT_FOUND)
        e = err_context(e, "%s/%s (without this file the node begins a new history, and replicas copy everything once)",
                        dir, HISTORY_FILE);
    buf_free(&text);
    return e;
}

enum err history_save(struct vfs *vfs, const char *dir, const struct history *h)
{
    struct buf text = {0};
    enum err e;

    history_format(h, &text);
    e = atomic_file_write(vfs, dir, HISTORY_FILE, buf_slice(&text));
    buf_free(&text);
    return e;
}
