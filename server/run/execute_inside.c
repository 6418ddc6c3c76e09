/*
 * execute_inside.c - one command inside an open transaction, and the end of the transaction.
 *
 * A command that must be run again (ERR_COLD, ERR_BUSY) has left no byte in the output and nothing in the statistics.
 */
#include "server/run/execute.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/log.h"
#include "engine/set/txn.h"
#include "server/net/clients.h"
#include "server/net/monitor.h"
#include "server/node_priv.h"
#include "server/run/errors.h"
#include "server/run/stats.h"
#include "server/run/waiting.h"
#include "server/stat/redact.h"

/* ---- Told to others ---- */

enum { MONITOR_WORDS_REDACTED = 256 };

static void feed_monitor(struct executor *x, struct session *s, const struct command *command, const struct slice *argv,
                         size_t argc)
{
    struct slice few[MONITOR_WORDS_REDACTED];
    const struct slice *shown;

    if ((command->flags & (FACT_SKIP_MONITOR | FACT_ADMIN)) != 0)
        return;
    shown = redact(command, argv, argc, few, MONITOR_WORDS_REDACTED);
    if (shown != argv && argc > MONITOR_WORDS_REDACTED)
        argc = MONITOR_WORDS_REDACTED; /* what follows was not looked at */
    monitor_feed(x->node->clients, s->in_script ? NULL : s->client, s->db, shown, argc);
}

/* Statistics, slow log, MONITOR of a command that was run to its end. */
static void account(struct executor *x, struct session *s, const struct command *command, const struct slice *argv,
                    size_t argc, uint64_t began_ns, const struct reply *reply)
{
    struct node *n = x->node;
    uint64_t now = stats_clock_ns(), spent = now - began_ns;
    int64_t from = atomic_load_explicit(&n->observe_from_us, memory_order_relaxed);

    x->clock_ns = now;
    stats_record(x->stats, command->index, spent, reply->error_at != SIZE_MAX ? STATS_FAILED : STATS_DONE);
    if (__builtin_expect(reply->error_at != SIZE_MAX, 0))
        stats_error(n->stats, errors_code(slice_of(reply->out->data + reply->error_at,
                                                   reply->out->size - reply->error_at)));
    if (__builtin_expect(from >= 0 && spent / 1000 >= (uint64_t)from, 0) && n->observe != NULL &&
        (command->flags & FACT_SKIP_SLOWLOG) == 0)
        n->observe(n->observe_context, s, command, argv, argc, spent / 1000);
    if (__builtin_expect(n->clients != NULL && monitor_active(n->clients), 0) && s->waiter == NULL)
        feed_monitor(x, s, command, argv, argc);
}

/* ---- Running ---- */

enum err execute_inside(struct executor *x, struct session *s, const struct command *command, const struct slice *argv,
                        size_t argc, struct slice raw, struct buf *out)
{
    struct reply reply = {.out = out, .protocol = s->protocol, .error_at = SIZE_MAX};
    struct call c = {.command = command, .argc = argc, .argv = argv, .raw = raw, .txn = x->txn, .reply = &reply,
                     .session = s, .node = x->node, .scratch = &x->scratch, .executor = x};
    uint64_t began = x->clock_ns != 0 ? x->clock_ns : stats_clock_ns();
    size_t mark = out->size;
    enum err e;

    if ((command->how & COMMAND_NO_TXN) != 0)
        c.txn = NULL;
    buf_clear(&x->scratch);
    e = command->run(&c);
    if (__builtin_expect(e != OK, 0)) {
        if (e == ERR_COLD || e == ERR_BUSY) {
            out->size = mark;
            return e;
        }
        if (e == ERR_AGAIN) { /* a blocking command where nothing may block */
            out->size = mark;
            if (!s->in_exec && !s->in_script && s->client != NULL) {
                x->block_ms = c.block_ms;
                if (x->node->clients != NULL && monitor_active(x->node->clients) && s->waiter == NULL)
                    feed_monitor(x, s, command, argv, argc); /* now, and not when it is served */
                if (c.txn != NULL)
                    txn_command_end(x->txn, raw, argv, argc);
                return e;
            }
            (void)(c.null_bulk ? reply_null(&c) : reply_null_array(&c));
        } else if (e != ERR_REPLIED) {
            out->size = mark;
            errors_reply(&c, e);
        }
    }
    if (c.txn != NULL)
        txn_command_end(x->txn, raw, argv, argc);
    if (c.wait_for > x->end)
        x->end = c.wait_for;
    if (c.wait_for > s->last_write)
        s->last_write = c.wait_for;
    account(x, s, command, argv, argc, began, &reply);
    return e == OK ? OK : ERR_REPLIED;
}

enum err execute_commit(struct executor *x, struct session *s)
{
    lsn_t end = 0;
    enum err e = txn_commit(x->txn, &end);

    txn_end(x->txn);
    if (end > x->end)
        x->end = end;
    if (s != NULL && end > s->last_write)
        s->last_write = end;
    return e;
}

void execute_abandon(struct executor *x)
{
    txn_command_end(x->txn, (struct slice){0}, NULL, 0);
    if (execute_commit(x, NULL) != OK) {
        log_event(LOG_WARNING, "commit failed: error=\"%s\"", err_text());
        abort();
    }
}

bool execute_keeps_expired(const struct executor *x)
{
    const struct node *n = x->node;

    return node_is_replica(n) || (n->clients != NULL && clients_paused(n->clients, x->now_ms) != CLIENT_PAUSE_NONE);
}

void execute_serve_all(struct executor *x, const struct session *s)
{
    if (waiting_any(x->node->waiting))
        waiting_serve_all(x->node->waiting, x, s->in_exec || s->in_script);
}

enum err execute_expire(struct executor *x, unsigned db, struct slice key)
{
    const struct txn_options options = {.now_ms = x->now_ms, .db = db, .may_wait = true,
                                        .keep_expired = execute_keeps_expired(x)};
    slot_t slot = hash_slot(key);
    struct obj *o;
    enum err e;

    TRY(txn_begin(x->txn, &slot, 1, &options));
    e = txn_peek(x->txn, key, &o);
    execute_abandon(x);
    return e;
}
