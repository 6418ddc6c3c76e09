/*
 * repl_apply.c - one command or transaction of a primary's stream, applied by the link thread: one frame.
 *
 * A command is run without a client, a reply, a gate or a clock.
 */
#include "server/drive/repl_apply.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"
#include "server/drive/repl_priv.h"
#include "server/net/clients.h"
#include "server/net/resp.h"

void applier_init(struct applier *a, struct repl *repl, uint64_t seed)
{
    *a = (struct applier){.repl = repl};
    executor_init(&a->x, repl->node, seed, true);
    session_init(&a->session, repl->node, NULL);
    a->session.is_primary = a->session.authenticated = true;
}

void applier_fini(struct applier *a)
{
    session_fini(&a->session);
    executor_fini(&a->x);
    buf_free(&a->out);
}

/* What this node cannot do makes it unlike its primary, which goes on. Told each time that the number has doubled. */
static void not_applied(struct applier *a, struct slice name, struct slice reply)
{
    uint64_t count = atomic_fetch_add(&a->repl->not_applied, 1) + 1;

    if ((count & (count - 1)) == 0)
        log_event(LOG_WARNING, "stream_command_not_applied name=\"%.*s\" position=%llu count=%llu reply=\"%.*s\"",
                  (int)(name.size < 64 ? name.size : 64), (const char *)name.data,
                  (unsigned long long)wal_tail(a->repl->wal), (unsigned long long)count, (int)reply.size,
                  (const char *)reply.data);
}

enum err applier_run(struct applier *a, const struct command *command, const struct slice *argv, size_t argc, unsigned db,
                     bool with_txn)
{
    struct reply reply = {.out = &a->out, .protocol = 2, .error_at = SIZE_MAX};
    struct call c = {.command = command, .argc = argc, .argv = argv, .txn = with_txn ? a->x.txn : NULL, .reply = &reply,
                     .session = &a->session, .node = a->repl->node, .scratch = &a->x.scratch, .executor = &a->x};
    enum err e;

    a->session.db = db;
    buf_clear(&a->out);
    buf_clear(&a->x.scratch);
    e = command->run(&c);
    if (e == ERR_IO || e == ERR_CORRUPT || e == ERR_NO_MEMORY || e == ERR_NO_SPACE) {
        log_event(LOG_WARNING, "stream_apply_failed command=%s error=\"%s\"", command->name, err_text());
        abort(); /* the log goes on from the last frame */
    }
    if (e != OK)
        not_applied(a, slice_str(command->name), slice_of(a->out.data, a->out.size > 2 ? a->out.size - 2 : 0));
    return e;
}

/* ---- What is no plain transaction ---- */

static void mark(struct applier *a, struct slice stream)
{
    const struct journal *journal = node_journal(a->repl->node);
    struct journal_effect effect = {
        .bytes = (uint32_t)stream.size, .slot = SLOT_NODE, .kind = JOURNAL_MARK, .db = (uint16_t)a->db};

    (void)journal->append(journal->context, &effect, 1, stream, NULL);
}

static bool select_db(struct applier *a, const struct slice *argv, size_t argc)
{
    int64_t db;

    if (argc != 2 || !num_parse_i64(argv[1], &db) || db < 0 || db >= node_databases(a->repl->node)) {
        log_event(LOG_WARNING, "stream_select_refused position=%llu", (unsigned long long)wal_tail(a->repl->wal));
        return false;
    }
    a->db = (unsigned)db;
    return true;
}

/* FLUSHALL, FLUSHDB, SWAPDB. */
static bool whole_database(struct applier *a, const char *name, const struct slice *argv, size_t argc, struct slice raw)
{
    struct set *set = node_set(a->repl->node);
    int64_t first, second, count = node_databases(a->repl->node);
    enum err e;
    lsn_t end;

    if (strcmp(name, "flushall") == 0)
        e = set_follow_flush(set, 0, (unsigned)count, raw, a->db, &end);
    else if (strcmp(name, "flushdb") == 0)
        e = set_follow_flush(set, a->db, 1, raw, a->db, &end);
    else if (strcmp(name, "swapdb") == 0 && argc == 3 && num_parse_i64(argv[1], &first) &&
             num_parse_i64(argv[2], &second) && first >= 0 && second >= 0 && first < count && second < count &&
             first != second)
        e = set_follow_swap(set, (unsigned)first, (unsigned)second, raw, a->db, &end);
    else
        return false;
    if (e != OK) {
        log_event(LOG_WARNING, "stream_apply_failed command=%s error=\"%s\"", name, err_text());
        abort();
    }
    return true;
}

/* True: it was handled here. */
static bool special(struct applier *a, const struct command *command, const struct slice *argv, size_t argc,
                    struct slice raw)
{
    if (command == NULL || command->run == NULL || !command_arity_fits(command, argc)) {
        not_applied(a, argv[0], SLICE_LITERAL("unknown command"));
        mark(a, raw);
        return true;
    }
    if ((command->how & COMMAND_NO_TXN) == 0)
        return false;
    if (whole_database(a, command->name, argv, argc, raw))
        return true;
    if (strcmp(command->name, "select") == 0)
        (void)select_db(a, argv, argc);
    else if (strcmp(command->name, "replconf") == 0)
        a->ack_now = true;
    else if (strcmp(command->name, "ping") == 0 && argc == 2)
        repl_note_ping(a->repl, argv[1]);
    else if (strcmp(command->name, "ping") != 0 && strcmp(command->name, "multi") != 0 &&
             strcmp(command->name, "exec") != 0)
        (void)applier_run(a, command, argv, argc, a->db, false); /* PUBLISH, FUNCTION LOAD ... */
    mark(a, raw);
    return true;
}

/* ---- Transactions ---- */

static void commit(struct applier *a, struct slice raw)
{
    txn_follow(a->x.txn, raw, a->db);
    if (execute_commit(&a->x, NULL) != OK) {
        log_event(LOG_WARNING, "commit failed: error=\"%s\"", err_text());
        abort();
    }
}

static void begin(struct applier *a)
{
    const struct txn_options options = {.now_ms = node_now(a->repl->node), .db = a->db, .may_wait = true, .follow = true};

    a->x.now_ms = options.now_ms;
    if (txn_begin(a->x.txn, a->x.slots, a->x.slot_count, &options) != OK) {
        log_event(LOG_WARNING, "stream_begin_failed error=\"%s\"", err_text());
        abort(); /* it may wait: this is lack of memory */
    }
}

static void keys_add(struct applier *a, const struct command *command, const struct slice *argv, size_t argc, bool *all)
{
    *all = *all || keys_everywhere(command, argv, argc, node_is_cluster(a->repl->node));
    execute_keys_add(&a->x, command, argv, argc);
}

void applier_one(struct applier *a, const struct slice *argv, size_t argc, struct slice raw, const struct plan *plan)
{
    const struct command *command = plan->command;
    bool all = false;

    if (command != NULL)
        client_note_command(a->listed, command);
    if (special(a, command, argv, argc, raw))
        return;
    execute_keys_begin(&a->x);
    if (plan->single)
        execute_slot_add(&a->x, plan->slot);
    else
        keys_add(a, command, argv, argc, &all);
    if (all)
        execute_slots_all(&a->x);
    else if (!plan->single)
        execute_keys_end(&a->x);
    begin(a);
    (void)applier_run(a, command, argv, argc, a->db, true);
    txn_command_end(a->x.txn, raw, argv, argc);
    commit(a, raw);
}

/* Whether everything between MULTI and EXEC fits one transaction. */
static bool is_plain(struct applier *a, const struct stream_transaction *t)
{
    for (size_t i = 1; i + 1 < t->count; i++) {
        const struct resp_request *q = &t->requests[i];
        const struct command *c =
            registry_resolve(node_registry(a->repl->node), t->words + q->first, q->argc, NULL);

        if (c == NULL || c->run == NULL || !command_arity_fits(c, q->argc) ||
            ((c->how & COMMAND_NO_TXN) != 0 && strcmp(c->name, "select") != 0))
            return false;
    }
    return true;
}

static void apply_plain(struct applier *a, const struct stream_transaction *t, struct slice raw)
{
    const struct registry *registry = node_registry(a->repl->node);
    bool all = false;

    execute_keys_begin(&a->x);
    for (size_t i = 1; i + 1 < t->count; i++) {
        const struct slice *argv = t->words + t->requests[i].first;

        keys_add(a, registry_resolve(registry, argv, t->requests[i].argc, NULL), argv, t->requests[i].argc, &all);
    }
    if (all)
        execute_slots_all(&a->x);
    else
        execute_keys_end(&a->x);
    begin(a);
    for (size_t i = 1; i + 1 < t->count; i++) {
        const struct resp_request *q = &t->requests[i];
        const struct slice *argv = t->words + q->first;
        const struct command *command = registry_resolve(registry, argv, q->argc, NULL);

        if (strcmp(command->name, "select") == 0) {
            if (select_db(a, argv, q->argc))
                txn_select(a->x.txn, a->db);
            continue;
        }
        (void)applier_run(a, command, argv, q->argc, a->db, true);
        txn_command_end(a->x.txn, q->raw, argv, q->argc);
    }
    commit(a, raw);
}

void applier_transaction(struct applier *a, const struct stream_transaction *t, struct slice raw)
{
    if (is_plain(a, t)) {
        apply_plain(a, t, raw);
        return;
    }
    for (size_t i = 0; i < t->count; i++) { /* FLUSHALL among them: as the primary, one by one */
        const struct slice *argv = t->words + t->requests[i].first;
        struct plan plan;

        execute_plan(&a->x, argv, t->requests[i].argc, &plan);
        applier_one(a, argv, t->requests[i].argc, t->requests[i].raw, &plan);
    }
}
