/*
 * transaction.c - EXEC: all queued commands under the locks of all their slots, as one atomic frame of the log.
 *
 * Commands without a transaction of their own (COMMAND_NO_TXN) run in their place. Those that take no slot lock
 * (COMMAND_ALONE, COMMAND_CONNECTION) run with the slots locked. The others (FLUSHALL, KEYS, SCAN, SAVE ...) could wait
 * for a lock that this thread holds, so the frame is committed before them and another one is begun behind them: such
 * an EXEC is not atomic across that command, everything else in it is. Whatever does not fit a plain transaction runs on
 * a thread that may wait, so that nothing has to be run twice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "engine/set/txn.h"
#include "server/node_priv.h"
#include "server/run/errors.h"
#include "server/run/execute_priv.h"
#include "server/run/stats.h"
#include "server/run/waiting.h"

static bool needs_unlocked(const struct command *c)
{
    return (c->how & COMMAND_NO_TXN) != 0 && (c->how & (COMMAND_ALONE | COMMAND_CONNECTION)) == 0;
}

/* Whether a thread that must not wait may try: no command in it has an effect outside of the transaction. */
static bool is_plain(const struct multi *m)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct command *c = m->commands[i].command;

        if ((c->how & (COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_ALL_SLOTS)) != 0 && strcmp(c->name, "ping") != 0 &&
            strcmp(c->name, "select") != 0 && strcmp(c->name, "echo") != 0)
            return false;
    }
    return true;
}

static const struct slice *words_of(struct executor *x, const struct multi *m, size_t i)
{
    if (m->commands[i].argc > x->word_capacity) {
        x->word_capacity = 2 * m->commands[i].argc;
        x->words = realloc(x->words, x->word_capacity * sizeof *x->words);
        check(x->words != NULL);
    }
    multi_words(m, i, x->words);
    return x->words;
}

/* The keys and slots of everything: queued commands and watched keys. */
static void collect(struct executor *x, const struct multi *m)
{
    bool all = false;

    execute_keys_begin(x);
    for (size_t i = 0; i < m->count; i++) {
        const struct multi_command *queued = &m->commands[i];
        const struct slice *words = words_of(x, m, i);

        all = all || keys_everywhere(queued->command, words, queued->argc, node_is_cluster(x->node));
        execute_keys_add(x, queued->command, words, queued->argc);
    }
    for (size_t i = 0; i < m->watch_count; i++)
        execute_slot_add(x, hash_slot(slice_of(m->watches[i].key, m->watches[i].key_size)));
    if (all)
        execute_slots_all(x);
    else
        execute_keys_end(x);
}

enum err transaction_abort(struct call *c, size_t mark)
{
    struct buf *out = c->reply->out;
    const char *error = (const char *)out->data + mark + 1;
    int size = (int)(out->size - mark - 3);
    char text[512];

    if (size > 4 && memcmp(error, "ERR ", 4) == 0) {
        error += 4;
        size -= 4;
    }
    snprintf(text, sizeof text, "%.*s", size, error);
    out->size = mark;
    return reply_error(c, "EXECABORT Transaction discarded because of: %s", text);
}

/* Slots may have moved, the role may have changed: all keys are routed again, as those of EXEC, and each command is
 * admitted again. */
static enum err gates(struct executor *x, struct call *c, struct multi *m)
{
    struct session *s = c->session;
    size_t mark = c->reply->out->size;

    TRY(execute_route(x, s, c->command, c->argv, c->argc, x->txn, c->reply));
    for (size_t i = 0; i < m->count; i++) {
        enum err e = execute_admit(x, s, m->commands[i].command, words_of(x, m, i), m->commands[i].argc, c->reply);

        if (e != OK)
            return e == ERR_REPLIED ? transaction_abort(c, mark) : e;
    }
    return OK;
}

/* A COMMAND_NO_TXN command that may take locks: with nothing locked, between two frames. */
static enum err run_unlocked(struct executor *x, struct session *s, const struct multi_command *queued,
                             const struct slice *argv, struct slice raw, struct buf *out)
{
    struct txn_options options = {.now_ms = x->now_ms, .db = s->db, .may_wait = true,
                                  .keep_expired = execute_keeps_expired(x)};
    enum err e;

    TRY(execute_commit(x, s));
    e = execute_inside(x, s, queued->command, argv, queued->argc, raw, out);
    check(e == OK || e == ERR_REPLIED); /* it may wait */
    options.db = s->db;
    return txn_begin(x->txn, x->slots, x->slot_count, &options);
}

static enum err run_queue(struct executor *x, struct call *c, struct multi *m)
{
    struct session *s = c->session;
    unsigned db = s->db;

    (void)reply_array(c, m->count);
    for (size_t i = 0; i < m->count; i++) {
        const struct multi_command *queued = &m->commands[i];
        const struct slice *argv = words_of(x, m, i);
        struct buf *out = c->reply->out;
        enum err e;

        txn_select(x->txn, s->db);
        if (s->node->permit != NULL) {
            struct gate g = {.session = s, .command = queued->command, .argc = queued->argc, .argv = argv, .reply = c->reply};

            if (s->node->permit(s->node->permit_context, &g) != OK) {
                c->reply->error_at = SIZE_MAX; /* the command's error, not EXEC's */
                continue;
            }
        }
        if (needs_unlocked(queued->command)) {
            if (run_unlocked(x, s, queued, argv, multi_raw(m, i), out) != OK) {
                log_event(LOG_WARNING, "exec failed: error=\"%s\"", err_text());
                abort();
            }
            continue;
        }
        e = execute_inside(x, s, queued->command, argv, queued->argc, multi_raw(m, i), out);
        if (e == ERR_COLD || e == ERR_BUSY) { /* nothing has been changed yet */
            s->db = db;
            return e;
        }
    }
    return OK;
}

static enum err exec_now(struct call *c)
{
    struct executor *x = c->executor;
    struct session *s = c->session;
    struct multi *m = &s->multi;
    const struct txn_options options = {.now_ms = x->now_ms, .db = s->db, .may_wait = x->may_wait,
                                        .replay = s->is_primary && !s->is_loader,
                                        .keep_expired = execute_keeps_expired(x),
                                        .no_touch = s->no_touch};
    bool touched = false;
    uint64_t generation;
    enum err e;

    if (!m->open)
        return reply_error(c, "ERR EXEC without MULTI");
    if (m->failed) {
        multi_clear(m, true);
        return reply_error(c, "EXECABORT Transaction discarded because of previous errors.");
    }
    if (!x->may_wait && !is_plain(m))
        return ERR_COLD;
    collect(x, m);
    TRY(txn_begin(x->txn, x->slots, x->slot_count, &options));
    if ((e = multi_touched(m, x->txn, &touched)) != OK) {
        txn_end(x->txn);
        return e;
    }
    if (touched) {
        execute_abandon(x);
        multi_clear(m, true);
        return reply_null_array(c);
    }
    e = gates(x, c, m);
    if (e != OK) {
        execute_abandon(x);
        if (e == ERR_REPLIED)
            multi_clear(m, true);
        return e;
    }
    if (busy_any(&x->node->busy) && multi_may_write(m) && execute_meets_busy(x, s, s->db, &generation)) {
        execute_abandon(x);
        x->held = execute_hold(x, generation) == EXECUTE_HELD;
        return ERR_BUSY;
    }
    s->in_exec = true;
    e = run_queue(x, c, m);
    s->in_exec = false;
    if (e != OK) {
        txn_end(x->txn);
        return e;
    }
    if ((e = execute_commit(x, s)) != OK) {
        log_event(LOG_WARNING, "commit failed: error=%s text=\"%s\"", err_name(e), err_text());
        abort();
    }
    if (waiting_any(x->node->waiting))
        waiting_serve(x->node->waiting, x, x->keys, x->key_count);
    multi_clear(m, true);
    return OK;
}

static bool changes_cluster(const struct multi *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (strncmp(m->commands[i].command->name, "cluster|", 8) == 0)
            return true;
    return false;
}

/* redis-cli --cluster fix takes a slot by DELSLOTS, ADDSLOTS, BUMPEPOCH: a claim of another node that came between them would undo it. */
enum err transaction_exec(struct call *c)
{
    struct node *n = c->node;
    bool guarded = n->exec_guard != NULL && c->executor->may_wait && changes_cluster(&c->session->multi);
    enum err e;

    if (guarded)
        n->exec_guard(n->exec_guard_context, true);
    e = exec_now(c);
    if (guarded)
        n->exec_guard(n->exec_guard_context, false);
    return e;
}
