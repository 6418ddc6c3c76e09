/*
 * execute.c - from a request to a reply.
 *
 *   resolve -> arity -> NOAUTH -> no-multi -> NOPERM -> (MULTI: route, queue)
 *           -> keys, slots -> lock -> route -> state of the server -> pub/sub context -> run -> commit -> unlock
 *
 * Its parts: execute_keys.c, execute_check.c, execute_inside.c. The common case, one command with one key, allocates nothing.
 */
#include "server/run/execute_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"
#include "server/net/clients.h"
#include "server/node_priv.h"
#include "server/run/stats.h"
#include "server/run/waiting.h"

void executor_init(struct executor *x, struct node *node, uint64_t seed, bool may_wait)
{
    *x = (struct executor){.node = node, .may_wait = may_wait, .now_ms = node_now(node)};
    x->txn = txn_new(node->set, seed);
    check(x->txn != NULL);
    x->stats = stats_shard_new(node->stats);
}

void executor_fini(struct executor *x)
{
    txn_free(x->txn);
    if (x->stats != NULL)
        stats_shard_release(x->stats);
    buf_free(&x->scratch);
    key_places_free(&x->places);
    free(x->keys);
    free(x->slots);
    free(x->words);
    buf_free(&x->ready);
    *x = (struct executor){0};
}

bool call_was_blocked(const struct call *c)
{
    return c->session->waiter != NULL;
}

/* ---- Running ---- */

/* A pool thread looks for a moment whether the key is free again: then the request need not go back to its worker. */
enum { BUSY_WAIT_MS = 5, ARRIVING_LARGE = 4 << 10 };

bool execute_meets_busy(struct executor *x, const struct session *s, unsigned db, uint64_t *generation)
{
    return busy_any(&x->node->busy) && !s->is_primary && busy_meets(&x->node->busy, db, x->keys, x->key_count, generation);
}

enum executed execute_hold(struct executor *x, uint64_t generation)
{
    return x->may_wait && busy_wait(&x->node->busy, generation, BUSY_WAIT_MS) ? EXECUTE_AWAY : EXECUTE_HELD;
}

static void prepare(struct executor *x, struct session *s, const struct command *command, const struct slice *argv, size_t argc,
                    struct buf *out)
{
    struct reply reply = {.out = out, .protocol = s->protocol, .error_at = SIZE_MAX};
    struct call c = {.command = command, .argc = argc, .argv = argv, .reply = &reply, .session = s, .node = x->node,
                     .scratch = &x->scratch, .executor = x};
    size_t mark = out->size;

    (void)!command->run(&c);
    check(out->size == mark);
}

static void drop_prepared(struct executor *x)
{
    if (x->prepared != NULL)
        x->prepared->free(x->prepared);
    x->prepared = NULL;
}

static enum executed run_locked(struct executor *x, struct session *s, const struct plan *plan,
                                const struct slice *argv, size_t argc, struct slice raw, struct buf *out)
{
    const struct command *command = plan->command;
    struct reply reply = {.out = out, .protocol = s->protocol, .error_at = SIZE_MAX};
    const struct txn_options options = {.now_ms = x->now_ms, .db = s->db, .may_wait = x->may_wait,
                                        .replay = s->is_primary && !s->is_loader,
                                        .keep_expired = execute_keeps_expired(x), .timeless = s->arrival != NULL,
                                        .no_touch = s->no_touch && strcmp(command->name, "touch") != 0};
    enum executed result = EXECUTE_DONE;
    uint64_t generation;
    enum err e;

    if (__builtin_expect(plan->single, 1)) {
        x->keys[0] = argv[command->single_key];
        x->slots[0] = plan->slot;
        x->key_count = x->slot_count = 1;
    } else if (keys_everywhere(command, argv, argc, node_is_cluster(x->node))) {
        execute_keys_begin(x);
        execute_slots_all(x);
    } else {
        execute_keys_begin(x);
        execute_keys_add(x, command, argv, argc);
        execute_keys_end(x);
    }
    e = txn_begin(x->txn, x->slots, x->slot_count, &options);
    if (__builtin_expect(e != OK, 0))
        return EXECUTE_AWAY;
    e = execute_gates(x, s, command, argv, argc, x->txn, &reply);
    if (__builtin_expect(e != OK, 0)) {
        execute_abandon(x);
        if (e != ERR_REPLIED)
            return EXECUTE_AWAY;
        execute_rejected(x, s, command, &reply);
        return EXECUTE_DONE;
    }
    if (busy_any(&x->node->busy) && command_may_write(command) && execute_meets_busy(x, s, s->db, &generation)) {
        execute_abandon(x);
        return execute_hold(x, generation);
    }
    e = execute_inside(x, s, command, argv, argc, raw, out);
    if (__builtin_expect(e == ERR_COLD || e == ERR_BUSY, 0)) {
        txn_end(x->txn);
        return EXECUTE_AWAY;
    }
    if (__builtin_expect(e == ERR_AGAIN, 0)) {
        /* Registered while the slots are locked: whoever writes the keys later finds the waiter. */
        waiting_add(x->node->waiting, s, argv, argc, x->keys, x->key_count);
        result = EXECUTE_BLOCKED;
        s = NULL; /* no longer ours */
    }
    if ((e = execute_commit(x, s)) != OK) {
        log_event(LOG_WARNING, "commit failed: error=%s text=\"%s\"", err_name(e), err_text());
        abort(); /* memory and store may differ now: recovery from the log puts that right */
    }
    if (__builtin_expect(waiting_any(x->node->waiting), 0) && result == EXECUTE_DONE && (command->flags & FACT_READONLY) == 0)
        waiting_serve(x->node->waiting, x, x->keys, x->key_count);
    return result;
}

static enum executed run_with_txn(struct executor *x, struct session *s, const struct plan *plan,
                                  const struct slice *argv, size_t argc, struct slice raw, struct buf *out)
{
    enum executed result;

    if (__builtin_expect((plan->command->how & COMMAND_PREPARES) != 0, 0) && x->may_wait)
        prepare(x, s, plan->command, argv, argc, out);
    result = run_locked(x, s, plan, argv, argc, raw, out);
    drop_prepared(x);
    return result;
}

static enum executed run_without_txn(struct executor *x, struct session *s, const struct command *command,
                                     const struct slice *argv, size_t argc, struct slice raw, struct buf *out)
{
    struct reply reply = {.out = out, .protocol = s->protocol, .error_at = SIZE_MAX};
    enum err e;

    if ((command->how & COMMAND_SLOW) != 0 && !x->may_wait)
        return EXECUTE_AWAY;
    execute_keys_begin(x);
    if (command->facts->spec_count > 0) {
        execute_keys_add(x, command, argv, argc);
        execute_keys_end(x);
    }
    e = execute_gates(x, s, command, argv, argc, NULL, &reply);
    if (e != OK) {
        if (e != ERR_REPLIED)
            return EXECUTE_AWAY;
        execute_rejected(x, s, command, &reply);
        return EXECUTE_DONE;
    }
    x->held = false;
    e = execute_inside(x, s, command, argv, argc, raw, out);
    if (__builtin_expect(e == ERR_AGAIN, 0))
        return EXECUTE_BLOCKED;
    if (e == ERR_COLD || e == ERR_BUSY)
        return x->held ? EXECUTE_HELD : EXECUTE_AWAY;
    return EXECUTE_DONE;
}

/* The gates for a command that MULTI queues. Only where its slot moves they need a look at its keys. */
static enum err queue_gates(struct executor *x, struct session *s, const struct command *command, const struct slice *argv,
                            size_t argc, struct reply *reply)
{
    const struct txn_options options = {.now_ms = x->now_ms, .db = s->db, .may_wait = x->may_wait,
                                        .keep_expired = execute_keeps_expired(x)};
    enum err e = execute_gates(x, s, command, argv, argc, NULL, reply);

    if (__builtin_expect(e == OK || e == ERR_REPLIED, 1))
        return e;
    TRY(txn_begin(x->txn, x->slots, x->slot_count, &options));
    e = execute_gates(x, s, command, argv, argc, x->txn, reply);
    execute_abandon(x);
    return e;
}

/* Between MULTI and EXEC: the command is queued or refused, or needs a thread that may wait. */
static enum executed queue(struct executor *x, struct session *s, const struct command *command, const struct slice *argv,
                           size_t argc, struct slice raw, struct buf *out)
{
    struct reply reply = {.out = out, .protocol = s->protocol, .error_at = SIZE_MAX};
    struct call c = {.reply = &reply};
    enum err e;

    execute_keys_begin(x);
    execute_keys_add(x, command, argv, argc);
    execute_keys_end(x);
    if ((e = queue_gates(x, s, command, argv, argc, &reply)) != OK) {
        if (e != ERR_REPLIED)
            return EXECUTE_AWAY;
        execute_rejected(x, s, command, &reply);
        return EXECUTE_DONE;
    }
    multi_queue(&s->multi, command, argv, argc, raw);
    (void)reply_status(&c, "QUEUED");
    return EXECUTE_DONE;
}

/* CLIENT PAUSE holds back what may write, or everything; replicas and our own work go on. */
static bool held(struct executor *x, const struct session *s, const struct command *command)
{
    if (s->client == NULL || s->is_replica || s->is_primary || s->waiter != NULL || strcmp(command->name, "client|unpause") == 0)
        return false;
    switch (clients_paused(x->node->clients, x->now_ms)) {
    case CLIENT_PAUSE_NONE:
        return false;
    case CLIENT_PAUSE_ALL:
        return true;
    case CLIENT_PAUSE_WRITE:
        if (strcmp(command->name, "exec") == 0)
            return multi_may_write(&s->multi);
        return command_may_write(command) && !s->multi.open;
    }
    return false;
}

void execute_settle(struct session *s, struct buf *out, size_t mark)
{
    if (s->asking > 0 && !s->multi.open) /* ASKING in front of MULTI holds up to EXEC */
        s->asking--;
    switch (s->reply) {
    case SESSION_REPLY_ON:
        return;
    case SESSION_REPLY_OFF:
        out->size = mark;
        return;
    case SESSION_REPLY_SKIP_NEXT:
        out->size = mark;
        s->reply = SESSION_REPLY_SKIP;
        return;
    case SESSION_REPLY_SKIP:
        out->size = mark;
        s->reply = SESSION_REPLY_ON;
        return;
    }
}

/* Of the keys that another node sends only what went wrong is told. */
static void settle(struct session *s, const struct command *command, struct buf *out, size_t mark)
{
    if (__builtin_expect(s->arrival != NULL, 0) && out->size > mark && out->data[mark] != '-' &&
        (command == NULL || strcmp(command->name, "cluster|syncslots") != 0))
        out->size = mark;
    execute_settle(s, out, mark);
}

/* A piece of a large value that another node sends: its whole stream of them is not for a thread that serves clients. */
static bool is_piece(const struct session *s, struct slice raw)
{
    return __builtin_expect(s->arrival != NULL, 0) && raw.size >= ARRIVING_LARGE;
}

void execute_plan(struct executor *x, const struct slice *argv, size_t argc, struct plan *out)
{
    const struct command *command = registry_resolve(x->node->registry, argv, argc, NULL);

    out->command = command;
    out->single = command != NULL && command->single_key > 0 && (size_t)command->single_key < argc;
    if (out->single) {
        out->slot = hash_slot(argv[command->single_key]);
        out->hash = hash_name(argv[command->single_key]);
    }
}

void execute_prefetch(struct executor *x, unsigned db, const struct plan *plans, size_t count, bool held)
{
    struct set *set = x->node->set;

    for (size_t i = 0; i < count; i++)
        if (plans[i].single)
            set_prefetch_slot(set, db, plans[i].slot);
    for (size_t i = 0; i < count; i++)
        if (plans[i].single)
            set_prefetch_cell(set, db, plans[i].slot, plans[i].hash, held);
    for (size_t i = 0; i < count; i++)
        if (plans[i].single)
            set_prefetch_object(set, db, plans[i].slot, plans[i].hash, held);
}

enum executed execute(struct executor *x, struct session *s, const struct slice *argv, size_t argc, struct slice raw,
                      const struct plan *plan, struct buf *out)
{
    size_t mark = out->size;
    const struct command *command;
    enum executed result = EXECUTE_DONE;
    struct plan own;

    if (plan == NULL) {
        execute_plan(x, argv, argc, &own);
        plan = &own;
    }
    command = plan->command;
    if (__builtin_expect(!execute_check(x, s, command, argv, argc, out), 0)) {
        settle(s, command, out, mark);
        return EXECUTE_DONE;
    }
    if (__builtin_expect(x->key_capacity == 0, 0)) {
        x->key_capacity = x->slot_capacity = KEY_PLACES_INLINE;
        x->keys = malloc(x->key_capacity * sizeof *x->keys);
        x->slots = malloc(x->slot_capacity * sizeof *x->slots);
        check(x->keys != NULL && x->slots != NULL);
    }
    if (__builtin_expect(s->client != NULL, 1)) {
        client_note_command(s->client, command);
        if (__builtin_expect(held(x, s, command), 0))
            return EXECUTE_HELD;
    }
    if (__builtin_expect(s->multi.open, 0) && (command->how & COMMAND_NOT_QUEUED) == 0) {
        if ((result = queue(x, s, command, argv, argc, raw, out)) == EXECUTE_DONE)
            settle(s, command, out, mark);
        return result;
    }
    if (__builtin_expect(s->subscriptions + s->shard_subscriptions > 0, 0) && s->protocol == 2 &&
        !execute_allowed_when_subscribed(command)) {
        struct reply reply = {.out = out, .protocol = 2, .error_at = SIZE_MAX};
        struct call c = {.reply = &reply};

        (void)reply_error(&c, "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are "
                              "allowed in this context", command->name);
        execute_rejected(x, s, command, &reply);
        settle(s, command, out, mark);
        return EXECUTE_DONE;
    }
    if ((command->how & COMMAND_NO_TXN) != 0)
        result = run_without_txn(x, s, command, argv, argc, raw, out);
    else if (!x->may_wait && ((command->how & COMMAND_SLOW) != 0 || is_piece(s, raw)))
        result = EXECUTE_AWAY;
    else
        result = run_with_txn(x, s, plan, argv, argc, raw, out);
    if (result == EXECUTE_DONE)
        settle(s, command, out, mark);
    return result;
}
