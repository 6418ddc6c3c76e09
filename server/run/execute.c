/*
 * execute.c - from a request to a reply.
 *
 *   resolve -> arity -> NOAUTH -> no-multi -> NOPERM -> (MULTI: route, queue)
 *           -> keys, slots -> lock -> route -> state of the server -> pub/sub context -> run -> commit -> unlock
 *
 * The common case, one command with one key, allocates nothing.
 */
#include "server/run/execute.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"
#include "server/net/clients.h"
#include "server/net/monitor.h"
#include "server/node_priv.h"
#include "server/run/errors.h"
#include "server/run/stats.h"
#include "server/run/waiting.h"
#include "server/stat/redact.h"

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
    buf_free(&x->scratch);
    key_places_free(&x->places);
    free(x->keys);
    free(x->slots);
    free(x->words);
    buf_free(&x->ready);
    *x = (struct executor){0};
}

/* ---- Keys and slots ---- */

void execute_keys_begin(struct executor *x)
{
    x->key_count = x->slot_count = 0;
}

static void slots_reserve(struct executor *x, size_t more)
{
    if (x->slot_count + more > x->slot_capacity) {
        x->slot_capacity = 2 * (x->slot_count + more);
        x->slots = realloc(x->slots, x->slot_capacity * sizeof *x->slots);
        check(x->slots != NULL);
    }
}

void execute_slot_add(struct executor *x, slot_t slot)
{
    slots_reserve(x, 1);
    x->slots[x->slot_count++] = slot;
}

void execute_slots_all(struct executor *x)
{
    x->slot_count = 0;
    slots_reserve(x, SLOTS);
    for (size_t i = 0; i < SLOTS; i++)
        x->slots[i] = (slot_t)i;
    x->slot_count = SLOTS;
}

void execute_keys_add(struct executor *x, const struct command *command, const struct slice *argv, size_t argc)
{
    /* What does not fit the specification is told by the command itself (a bad numkeys); what was found is locked. */
    (void)keys_find(command, argv, argc, &x->places);
    if (x->key_count + x->places.count > x->key_capacity) {
        x->key_capacity = 2 * (x->key_count + x->places.count);
        x->keys = realloc(x->keys, x->key_capacity * sizeof *x->keys);
        check(x->keys != NULL);
    }
    slots_reserve(x, x->places.count);
    for (size_t i = 0; i < x->places.count; i++) {
        struct slice key = argv[key_places_at(&x->places, i)->index];

        x->keys[x->key_count++] = key;
        x->slots[x->slot_count++] = hash_slot(key);
    }
}

static int slot_order(const void *a, const void *b)
{
    return (int)*(const slot_t *)a - (int)*(const slot_t *)b;
}

void execute_keys_end(struct executor *x)
{
    size_t kept = 0;

    if (x->slot_count < 2)
        return;
    qsort(x->slots, x->slot_count, sizeof *x->slots, slot_order);
    for (size_t i = 0; i < x->slot_count; i++)
        if (i == 0 || x->slots[i] != x->slots[kept - 1])
            x->slots[kept++] = x->slots[i];
    x->slot_count = kept;
}

bool call_was_blocked(const struct call *c)
{
    return c->session->waiter != NULL;
}

/* ---- Checks ---- */

enum err gate_refuse(const struct gate *g, const char *format, ...)
{
    char text[512];
    struct call c = {.reply = g->reply};
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return reply_error(&c, "%s", text);
}

static struct gate gate_of(struct executor *x, struct session *s, const struct command *command,
                           const struct slice *argv, size_t argc, struct txn *txn, struct reply *reply)
{
    return (struct gate){.session = s, .command = command, .argc = argc, .argv = argv, .keys = x->keys,
                         .key_count = x->key_count, .slots = x->slots, .slot_count = x->slot_count, .txn = txn,
                         .reply = reply};
}

enum err execute_route(struct executor *x, struct session *s, const struct command *command, const struct slice *argv,
                       size_t argc, struct txn *txn, struct reply *reply)
{
    struct node *n = x->node;
    struct gate g;

    if (n->route == NULL || x->key_count == 0 || s->is_primary)
        return OK;
    g = gate_of(x, s, command, argv, argc, txn, reply);
    return n->route(n->route_context, &g);
}

enum err execute_admit(struct executor *x, struct session *s, const struct command *command, const struct slice *argv,
                       size_t argc, struct reply *reply)
{
    struct node *n = x->node;
    struct gate g;

    if (n->admits == 0 || s->is_primary)
        return OK;
    g = gate_of(x, s, command, argv, argc, NULL, reply);
    for (size_t i = 0; i < n->admits; i++)
        TRY(n->admit[i].gate(n->admit[i].context, &g));
    return OK;
}

static enum err gates(struct executor *x, struct session *s, const struct command *command, const struct slice *argv,
                      size_t argc, struct txn *txn, struct reply *reply)
{
    TRY(execute_route(x, s, command, argv, argc, txn, reply));
    return execute_admit(x, s, command, argv, argc, reply);
}

static void rejected(struct executor *x, struct session *s, const struct command *command, const struct reply *reply)
{
    if (s->multi.open)
        s->multi.failed = true;
    if (command != NULL)
        stats_record(x->stats, command->index, 0, STATS_REJECTED);
    if (reply->error_at != SIZE_MAX)
        stats_error(x->node->stats, errors_code(slice_of(reply->out->data + reply->error_at,
                                                         reply->out->size - reply->error_at)));
}

/*
 * Of what Redis allows while it loads (the fact LOADING), that which needs neither keys nor the log nor the cluster: those are
 * being made.
 */
static bool allowed_while_loading(const struct command *command)
{
    static const char *const names[] = {"acl|", "auth", "client|", "command", "config|", "discard", "echo", "exec", "hello",
                                        "info", "lastsave", "latency|", "lolwut", "memory|help", "module|", "monitor", "multi",
                                        "object|help", "quit", "readonly", "readwrite", "reset", "select", "shutdown",
                                        "slowlog|", "time", "unwatch"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size = strlen(names[i]);

        if (strncmp(command->name, names[i], size) == 0 && (names[i][size - 1] == '|' || command->name[size] == '\0' ||
                                                            command->name[size] == '|'))
            return (command->flags & FACT_LOADING) != 0;
    }
    return false;
}

bool execute_check(struct executor *x, struct session *s, const struct command *command, const struct slice *argv,
                   size_t argc, struct buf *out)
{
    struct reply reply = {.out = out, .protocol = s->protocol, .error_at = SIZE_MAX};
    struct call c = {.command = command, .argc = argc, .argv = argv, .reply = &reply, .session = s, .node = x->node};

    if (__builtin_expect(command == NULL || ((command->how & COMMAND_DISABLED) != 0 && s->client != NULL), 0)) {
        const struct command *container = NULL;

        if (command == NULL)
            (void)registry_resolve(x->node->registry, argv, argc, &container);
        command = NULL;
        (void)errors_unknown(&c, container);
        goto refused;
    }
    if (__builtin_expect(!command_arity_fits(command, argc) || command->run == NULL, 0)) {
        (void)reply_arity(&c);
        goto refused;
    }
    if (__builtin_expect(!s->authenticated, 0) && (command->flags & FACT_NO_AUTH) == 0) {
        (void)reply_error(&c, "NOAUTH Authentication required.");
        goto refused;
    }
    if (__builtin_expect(node_loading(x->node, NULL), 0) && !s->is_loader && !allowed_while_loading(command)) {
        (void)reply_error(&c, "LOADING Redis is loading the dataset in memory");
        goto refused;
    }
    if (__builtin_expect(s->multi.open, 0) && (command->flags & FACT_NO_MULTI) != 0) {
        (void)reply_error(&c, "ERR Command not allowed inside a transaction");
        goto refused;
    }
    if (x->node->permit != NULL && !s->is_primary) {
        struct gate g = {.session = s, .command = command, .argc = argc, .argv = argv, .reply = &reply};

        if (x->node->permit(x->node->permit_context, &g) != OK)
            goto refused;
    }
    return true;
refused:
    rejected(x, s, command, &reply);
    return false;
}

static bool allowed_when_subscribed(const struct command *c)
{
    static const char *const names[] = {"ping", "subscribe", "unsubscribe", "psubscribe", "punsubscribe",
                                        "ssubscribe", "sunsubscribe", "quit", "reset"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(c->name, names[i]) == 0)
            return true;
    return false;
}

/* ---- Running ---- */

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
            (void)reply_null_array(&c);
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

/* A pool thread looks for a moment whether the key is free again: then the request need not go back to its worker. */
enum { BUSY_WAIT_MS = 5 };

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
    e = gates(x, s, command, argv, argc, x->txn, &reply);
    if (__builtin_expect(e != OK, 0)) {
        execute_abandon(x);
        if (e != ERR_REPLIED)
            return EXECUTE_AWAY;
        rejected(x, s, command, &reply);
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
    e = gates(x, s, command, argv, argc, NULL, &reply);
    if (e != OK) {
        if (e != ERR_REPLIED)
            return EXECUTE_AWAY;
        rejected(x, s, command, &reply);
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
    enum err e = gates(x, s, command, argv, argc, NULL, reply);

    if (__builtin_expect(e == OK || e == ERR_REPLIED, 1))
        return e;
    TRY(txn_begin(x->txn, x->slots, x->slot_count, &options));
    e = gates(x, s, command, argv, argc, x->txn, reply);
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
        rejected(x, s, command, &reply);
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

void execute_prefetch(struct executor *x, unsigned db, const struct plan *plans, size_t count)
{
    struct set *set = x->node->set;

    for (size_t i = 0; i < count; i++)
        if (plans[i].single)
            set_prefetch_slot(set, db, plans[i].slot);
    for (size_t i = 0; i < count; i++)
        if (plans[i].single)
            set_prefetch_cell(set, db, plans[i].slot, plans[i].hash);
    for (size_t i = 0; i < count; i++)
        if (plans[i].single)
            set_prefetch_object(set, db, plans[i].slot, plans[i].hash);
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
        !allowed_when_subscribed(command)) {
        struct reply reply = {.out = out, .protocol = 2, .error_at = SIZE_MAX};
        struct call c = {.reply = &reply};

        (void)reply_error(&c, "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are "
                              "allowed in this context", command->name);
        rejected(x, s, command, &reply);
        settle(s, command, out, mark);
        return EXECUTE_DONE;
    }
    if ((command->how & COMMAND_NO_TXN) != 0)
        result = run_without_txn(x, s, command, argv, argc, raw, out);
    else if ((command->how & COMMAND_SLOW) != 0 && !x->may_wait)
        result = EXECUTE_AWAY;
    else
        result = run_with_txn(x, s, plan, argv, argc, raw, out);
    if (result == EXECUTE_DONE)
        settle(s, command, out, mark);
    return result;
}
