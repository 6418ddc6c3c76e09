/*
 * cmd_lcs.c - LCS: the longest common subsequence of two strings.
 */
#include "server/cmd/cmd_lcs.h"

#include "engine/type/lcs.h"
#include "engine/type/string.h"
#include "server/cmd/args.h"

enum { CELLS_QUICK = 1 << 22 }; /* some milliseconds */

struct lcs_options {
    bool length, indexes, match_lengths;
    int64_t match_length_min;
};

static enum err lcs_options_parse(struct call *c, struct lcs_options *out)
{
    for (size_t i = 3; i < c->argc; i++) {
        if (slice_is(c->argv[i], "IDX")) {
            out->indexes = true;
        } else if (slice_is(c->argv[i], "LEN")) {
            out->length = true;
        } else if (slice_is(c->argv[i], "WITHMATCHLEN")) {
            out->match_lengths = true;
        } else if (slice_is(c->argv[i], "MINMATCHLEN") && i + 1 < c->argc) {
            TRY(arg_i64(c, ++i, &out->match_length_min));
        } else {
            return ERR_SYNTAX;
        }
    }
    if (out->indexes && out->length)
        return reply_error(c, "ERR If you want both the length and indexes, please just use IDX.");
    return OK;
}

static enum err reply_range(struct call *c, uint64_t start, uint64_t end)
{
    TRY(reply_array(c, 2));
    TRY(reply_int(c, (int64_t)start));
    return reply_int(c, (int64_t)end);
}

static enum err reply_matches(struct call *c, const struct lcs_options *options, const struct buf *found, size_t length)
{
    const struct lcs_range *ranges = (const struct lcs_range *)(const void *)found->data;
    size_t count = 0, mark;

    TRY(reply_map(c, 2));
    TRY(reply_bulk_str(c, "matches"));
    mark = reply_defer(c);
    for (size_t i = 0; i < found->size / sizeof *ranges; i++) {
        int64_t size = (int64_t)(ranges[i].a_end - ranges[i].a_start + 1);

        if (options->match_length_min > 0 && size < options->match_length_min)
            continue;
        TRY(reply_array(c, options->match_lengths ? 3 : 2));
        TRY(reply_range(c, ranges[i].a_start, ranges[i].a_end));
        TRY(reply_range(c, ranges[i].b_start, ranges[i].b_end));
        if (options->match_lengths)
            TRY(reply_int(c, size));
        count++;
    }
    reply_defer_array(c, mark, count);
    TRY(reply_bulk_str(c, "len"));
    return reply_int(c, (int64_t)length);
}

/* The value of a key, empty if absent. */
static enum err lcs_operand(struct call *c, size_t i, struct buf *scratch, struct slice *out)
{
    struct obj *o;
    enum err e = txn_read(c->txn, c->argv[i], OBJ_STRING, &o);

    *out = (struct slice){0};
    if (e == OK)
        return string_get(c->txn, o, scratch, out);
    if (e == ERR_WRONG_TYPE)
        return reply_error(c, "ERR The specified keys must contain string values");
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err lcs_reply(struct call *c, const struct lcs_options *options, struct slice a, struct slice b)
{
    struct buf text = {0}, ranges = {0};
    uint64_t length;
    enum err e;

    e = options->length ? lcs_length(a, b, &length) : lcs_find(a, b, &text, &ranges);
    if (e == OK && options->length)
        e = reply_int(c, (int64_t)length);
    else if (e == ERR_TOO_BIG)
        e = reply_error(c, "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
    else if (e == OK && options->indexes)
        e = reply_matches(c, options, &ranges, text.size);
    else if (e == OK)
        e = reply_bulk(c, buf_slice(&text));
    buf_free(&text);
    buf_free(&ranges);
    return e;
}

static enum err lcs(struct call *c) /* LCS key1 key2 [LEN] [IDX] [MINMATCHLEN n] [WITHMATCHLEN] */
{
    struct lcs_options options = {0};
    struct slice a, b = {0};
    struct buf second = {0};
    enum err e = lcs_operand(c, 1, c->scratch, &a);

    if (e == OK)
        e = lcs_operand(c, 2, &second, &b);
    if (e == OK)
        e = lcs_options_parse(c, &options);
    if (e == OK && (uint64_t)a.size * b.size > CELLS_QUICK && !txn_may_wait(c->txn))
        e = ERR_COLD; /* not where other clients wait for this thread */
    if (e == OK)
        e = lcs_reply(c, &options, a, b);
    buf_free(&second);
    return e;
}

static const struct command_binding rows[] = {
    {"lcs", lcs, 0},
};

const struct command_table cmd_lcs_table = COMMAND_TABLE(rows);
