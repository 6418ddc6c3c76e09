/*
 * cmd_sort.c - SORT key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC|DESC] [ALPHA]
 * [STORE destination], and SORT_RO without STORE.
 */
#include "server/cmd/cmd_sort.h"

#include <stdlib.h>

#include "base/check.h"
#include "engine/type/sort.h"
#include "server/cmd/args.h"
#include "server/node.h"
#include "server/run/session.h"

struct request {
    struct sort_options options;
    struct slice *gets; /* owned */
    struct slice store; /* data NULL: none */
};

static enum err parse_by(struct call *c, size_t i, struct request *r)
{
    r->options.has_by = true;
    r->options.by = c->argv[i];
    if (sort_pattern_varies(c->argv[i]) && node_is_cluster(c->node))
        return reply_error(c, "ERR BY option of SORT denied in Cluster mode.");
    return OK;
}

static enum err parse_get(struct call *c, size_t i, struct request *r)
{
    if (node_is_cluster(c->node) && !slice_equal(c->argv[i], SLICE_LITERAL("#")))
        return reply_error(c, "ERR GET option of SORT denied in Cluster mode.");
    if (r->gets == NULL) {
        r->gets = malloc(c->argc * sizeof *r->gets);
        check(r->gets != NULL);
        r->options.gets = r->gets;
    }
    r->gets[r->options.get_count++] = c->argv[i];
    return OK;
}

static enum err parse(struct call *c, bool may_store, struct request *r)
{
    for (size_t i = 2; i < c->argc; i++) {
        size_t left = c->argc - i - 1;
        struct slice word = c->argv[i];

        if (slice_is(word, "ASC")) {
            r->options.descending = false;
        } else if (slice_is(word, "DESC")) {
            r->options.descending = true;
        } else if (slice_is(word, "ALPHA")) {
            r->options.alpha = true;
        } else if (slice_is(word, "LIMIT") && left >= 2) {
            TRY(arg_i64(c, i + 1, &r->options.offset));
            TRY(arg_i64(c, i + 2, &r->options.limit));
            i += 2;
        } else if (slice_is(word, "STORE") && left >= 1 && may_store) {
            r->store = c->argv[++i];
        } else if (slice_is(word, "BY") && left >= 1) {
            TRY(parse_by(c, ++i, r));
        } else if (slice_is(word, "GET") && left >= 1) {
            TRY(parse_get(c, ++i, r));
        } else {
            return reply_syntax(c);
        }
    }
    r->options.deterministic = r->store.data != NULL || c->session->in_script;
    return OK;
}

static enum err answer(struct call *c, const struct request *r, const struct sort_result *result)
{
    if (r->store.data != NULL) {
        TRY(sort_store(c->txn, r->store, result));
        return reply_int(c, (int64_t)result->count);
    }
    (void)reply_array(c, result->count);
    for (size_t i = 0; i < result->count; i++) {
        if (result->words[i].missing)
            (void)reply_null(c);
        else
            (void)reply_bulk(c, sort_result_at(result, i));
    }
    return OK;
}

static enum err run(struct call *c, bool may_store)
{
    struct request r = {.options = {.limit = -1}};
    struct sort_result result = {0};
    enum err e = parse(c, may_store, &r);

    if (e == OK)
        e = sort_run(c->txn, c->argv[1], &r.options, &result);
    if (e == OK)
        e = answer(c, &r, &result);
    else if (e == ERR_NOT_FLOAT)
        e = reply_error(c, "ERR One or more scores can't be converted into double");
    sort_result_free(&result);
    free(r.gets);
    return e;
}

static enum err sort(struct call *c) /* SORT key [...] [STORE destination] */
{
    return run(c, true);
}

static enum err sort_ro(struct call *c) /* SORT_RO key [...] */
{
    return run(c, false);
}

static const struct command_binding rows[] = {
    {"sort", sort, COMMAND_ALL_SLOTS},
    {"sort_ro", sort_ro, COMMAND_ALL_SLOTS},
};
const struct command_table cmd_sort_table = COMMAND_TABLE(rows);
