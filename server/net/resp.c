/*
 * resp.c - a fast path for requests that are whole, a careful one that can stop at every byte.
 *
 * The careful one decides: whatever the fast path does not like is left to it, errors included.
 */
#include "server/net/resp.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"

enum { FAST_WORDS_MAX = 1 << 20, WORDS_MAX = INT32_MAX, NUMBER_TEXT_MAX = 20 };

void resp_init(struct resp_parser *p, uint64_t bulk_bytes_max)
{
    *p = (struct resp_parser){.bulk_bytes_max = bulk_bytes_max};
}

static void restart(struct resp_parser *p)
{
    p->in_array = p->in_bulk = p->not_plain = false;
    p->words = p->count = 0;
    p->bulk = 0;
    p->scanned = 0;
    if (p->capacity > 1024) {
        free(p->places);
        p->places = NULL;
        p->capacity = 0;
    }
}

void resp_fini(struct resp_parser *p)
{
    free(p->places);
    p->places = NULL;
    p->capacity = 0;
}

void resp_words_free(struct resp_words *w)
{
    free(w->words);
    *w = (struct resp_words){0};
}

static struct slice *words_reserve(struct resp_words *w, size_t more)
{
    if (w->capacity - w->count < more) {
        w->capacity = 2 * (w->count + more);
        w->words = realloc(w->words, w->capacity * sizeof *w->words);
        check(w->words != NULL);
    }
    return w->words + w->count;
}

/* ---- Whole arrays ---- */

/* A canonical number below 10^7 and its CR LF; NULL for everything else. */
static inline const uint8_t *small_number(const uint8_t *at, const uint8_t *end, uint32_t *out)
{
    uint32_t value;

    if (end - at < 3 || (unsigned)(*at - '0') > 9)
        return NULL;
    value = (uint32_t)(*at++ - '0');
    if (value == 0 && *at != '\r')
        return NULL;
    for (int digits = 1; digits < 7 && at < end && (unsigned)(*at - '0') <= 9; digits++)
        value = value * 10 + (uint32_t)(*at++ - '0');
    if (end - at < 2 || at[0] != '\r' || at[1] != '\n')
        return NULL;
    *out = value;
    return at + 2;
}

static bool parse_whole(const struct resp_parser *p, const uint8_t *data, size_t size, struct resp_words *words,
                        struct resp_request *out)
{
    const uint8_t *at = data + 1, *end = data + size;
    struct slice *word;
    uint32_t count, bulk;

    if ((at = small_number(at, end, &count)) == NULL || count == 0 || count > FAST_WORDS_MAX ||
        count > (size_t)(end - at) / 6)
        return false;
    word = words_reserve(words, count);
    for (uint32_t i = 0; i < count; i++) {
        if (at >= end || *at != '$' || (at = small_number(at + 1, end, &bulk)) == NULL ||
            (size_t)(end - at) < (size_t)bulk + 2 || bulk > p->bulk_bytes_max)
            return false;
        if (at[bulk] != '\r' || at[bulk + 1] != '\n')
            return false;
        word[i] = slice_of(at, bulk);
        at += bulk + 2;
    }
    *out = (struct resp_request){.first = words->count, .argc = count, .raw = slice_of(data, (size_t)(at - data)),
                                 .used = (size_t)(at - data)};
    words->count += count;
    return true;
}

/* ---- Arrays, piece by piece ---- */

/*
 * The number of a header line that begins at data[p->scanned] behind its type byte. RESP_REQUEST: *out is set and
 * p->scanned is behind the line. As in Redis the byte behind CR is not looked at.
 */
static enum resp_status header(struct resp_parser *p, const uint8_t *data, size_t size, const char *too_long, bool *valid,
                               int64_t *out, const char **error)
{
    size_t from = p->scanned + 1;
    const uint8_t *cr = size > from ? memchr(data + from, '\r', size - from) : NULL;
    size_t line = (size_t)((cr != NULL ? cr : data + size) - data) - from;

    if (cr == NULL || size - from < line + 2) {
        if (size > from && line > RESP_INLINE_BYTES_MAX) {
            *error = too_long;
            return RESP_ERROR;
        }
        return RESP_MORE;
    }
    *valid = line <= NUMBER_TEXT_MAX && num_parse_i64(slice_of(data + from, line), out);
    if (cr[1] != '\n')
        p->not_plain = true;
    p->scanned = from + line + 2;
    return RESP_REQUEST;
}

static enum resp_status array_begin(struct resp_parser *p, const uint8_t *data, size_t size, struct resp_request *out,
                                    const char **error)
{
    int64_t count = 0;
    bool valid = false;
    enum resp_status status =
        header(p, data, size, "ERR Protocol error: too big mbulk count string", &valid, &count, error);

    if (status != RESP_REQUEST)
        return status;
    if (!valid || count > WORDS_MAX) {
        *error = "ERR Protocol error: invalid multibulk length";
        return RESP_ERROR;
    }
    if (count > RESP_WORDS_UNAUTHENTICATED_MAX && !p->authenticated) {
        *error = "ERR Protocol error: unauthenticated multibulk length";
        return RESP_ERROR;
    }
    if (count <= 0) {
        *out = (struct resp_request){.used = p->scanned};
        restart(p);
        return RESP_REQUEST;
    }
    p->in_array = true;
    p->words = (uint32_t)count;
    return RESP_MORE; /* the array goes on */
}

static void place_add(struct resp_parser *p, size_t at, size_t size)
{
    if (p->count == p->capacity) {
        uint64_t wanted = p->capacity < 8 ? 8 : 2 * (uint64_t)p->capacity;

        p->capacity = (uint32_t)(wanted < p->words ? wanted : p->words);
        p->places = realloc(p->places, p->capacity * sizeof *p->places);
        check(p->places != NULL);
    }
    p->places[p->count++] = (struct resp_place){at, size};
}

/* Bulk strings as far as the bytes go. RESP_REQUEST: all are there. */
static enum resp_status array_go_on(struct resp_parser *p, const uint8_t *data, size_t size, const char **error)
{
    static _Thread_local char text[64];

    while (p->count < p->words) {
        if (!p->in_bulk) {
            int64_t bulk = 0;
            bool valid = false;
            enum resp_status status;

            if (p->scanned >= size)
                return RESP_MORE;
            if (data[p->scanned] != '$') {
                char got = (char)data[p->scanned];

                /* An end of line would end the error's own line. */
                snprintf(text, sizeof text, "ERR Protocol error: expected '$', got '%c'", got == '\r' || got == '\n' ? ' ' : got);
                *error = text;
                return RESP_ERROR;
            }
            status = header(p, data, size, "ERR Protocol error: too big bulk count string", &valid, &bulk, error);
            if (status != RESP_REQUEST)
                return status;
            if (!valid || bulk < 0 || (uint64_t)bulk > p->bulk_bytes_max) {
                *error = "ERR Protocol error: invalid bulk length";
                return RESP_ERROR;
            }
            if (bulk > RESP_BULK_UNAUTHENTICATED_MAX && !p->authenticated) {
                *error = "ERR Protocol error: unauthenticated bulk length";
                return RESP_ERROR;
            }
            p->bulk = (uint64_t)bulk;
            p->in_bulk = true;
        }
        if (size - p->scanned < p->bulk + 2)
            return RESP_MORE;
        place_add(p, p->scanned, p->bulk);
        if (data[p->scanned + p->bulk] != '\r' || data[p->scanned + p->bulk + 1] != '\n')
            p->not_plain = true;
        p->scanned += p->bulk + 2;
        p->in_bulk = false;
    }
    return RESP_REQUEST;
}

static enum resp_status parse_array(struct resp_parser *p, const uint8_t *data, size_t size, struct resp_words *words,
                                    struct resp_request *out, const char **error)
{
    enum resp_status status;
    struct slice *word;

    if (!p->in_array) {
        status = array_begin(p, data, size, out, error);
        if (status != RESP_MORE || !p->in_array)
            return status;
    }
    status = array_go_on(p, data, size, error);
    if (status != RESP_REQUEST)
        return status;
    word = words_reserve(words, p->count);
    for (size_t i = 0; i < p->count; i++)
        word[i] = slice_of(data + p->places[i].at, p->places[i].size);
    *out = (struct resp_request){.first = words->count, .argc = p->count, .used = p->scanned,
                                 .raw = slice_of(data, p->not_plain ? 0 : p->scanned)};
    words->count += p->count;
    restart(p);
    return RESP_REQUEST;
}

/* ---- Inline ---- */

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r') || byte == '\0';
}

/* One double-quoted escape at at[0] == '\\'; returns how many bytes it took. */
static size_t unescape(const uint8_t *at, const uint8_t *end, uint8_t *out)
{
    if (end - at >= 4 && at[1] == 'x' && hex_digit(at[2]) >= 0 && hex_digit(at[3]) >= 0) {
        *out = (uint8_t)(hex_digit(at[2]) * 16 + hex_digit(at[3]));
        return 4;
    }
    switch (at[1]) {
    case 'n': *out = '\n'; break;
    case 'r': *out = '\r'; break;
    case 't': *out = '\t'; break;
    case 'b': *out = '\b'; break;
    case 'a': *out = '\a'; break;
    default: *out = at[1]; break;
    }
    return 2;
}

/* One word from *at on, unescaped to where it stands (it never grows). False: unbalanced quotes. */
static bool inline_word(uint8_t **at, uint8_t *end, struct slice *word)
{
    uint8_t *from = *at, *to = *at, *begin = *at;
    uint8_t quote = 0;

    for (; from < end; from++) {
        if (quote == '"' && *from == '\\' && end - from >= 2) {
            uint8_t byte;

            from += unescape(from, end, &byte) - 1;
            *to++ = byte;
        } else if (quote == '\'' && *from == '\\' && end - from >= 2 && from[1] == '\'') {
            from++;
            *to++ = '\'';
        } else if (quote != 0 && *from == quote) {
            if (from + 1 < end && !is_space(from[1]))
                return false;
            quote = 0;
            from++;
            break;
        } else if (quote == 0 && (*from == '"' || *from == '\'')) {
            quote = *from;
        } else if (quote == 0 && is_space(*from)) {
            break;
        } else {
            *to++ = *from;
        }
    }
    if (quote != 0)
        return false;
    *at = from;
    *word = slice_of(begin, (size_t)(to - begin));
    return true;
}

static enum resp_status parse_inline(struct resp_parser *p, uint8_t *data, size_t size, struct resp_words *words,
                                     struct resp_request *out, const char **error)
{
    uint8_t *newline = memchr(data + p->scanned, '\n', size - p->scanned), *at = data, *end;

    if (newline == NULL) {
        p->scanned = size;
        if (size > RESP_INLINE_BYTES_MAX) {
            *error = "ERR Protocol error: too big inline request";
            return RESP_ERROR;
        }
        return RESP_MORE;
    }
    end = newline > data && newline[-1] == '\r' ? newline - 1 : newline;
    *out = (struct resp_request){.first = words->count, .used = (size_t)(newline + 1 - data)};
    while (at < end) {
        struct slice word;

        if (is_space(*at)) {
            at++;
            continue;
        }
        if (!inline_word(&at, end, &word)) {
            words->count = out->first;
            *error = "ERR Protocol error: unbalanced quotes in request";
            return RESP_ERROR;
        }
        *words_reserve(words, 1) = word;
        words->count++;
        out->argc++;
    }
    restart(p);
    return RESP_REQUEST;
}

enum resp_status resp_parse(struct resp_parser *p, uint8_t *data, size_t size, struct resp_words *words,
                            struct resp_request *out, const char **error)
{
    if (size == 0)
        return RESP_MORE;
    if (data[0] != '*')
        return parse_inline(p, data, size, words, out, error);
    if (!p->in_array && p->authenticated && parse_whole(p, data, size, words, out))
        return RESP_REQUEST;
    return parse_array(p, data, size, words, out, error);
}

void resp_rewind(struct resp_parser *p)
{
    restart(p);
}

size_t resp_wanted(const struct resp_parser *p)
{
    if (p->in_bulk)
        return p->scanned + (size_t)p->bulk + 2;
    return p->scanned + 1;
}
