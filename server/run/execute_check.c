/*
 * execute_check.c - whether a command may run: what is asked before its slots are locked, and the gates of the other rooms.
 *
 *   known -> arity -> NOAUTH -> LOADING -> no-multi -> NOPERM;  with the keys: route -> state of the server
 *
 * A refusal is counted, and makes an open MULTI fail.
 */
#include "server/run/execute_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/node_priv.h"
#include "server/run/errors.h"
#include "server/run/stats.h"

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

enum err execute_gates(struct executor *x, struct session *s, const struct command *command, const struct slice *argv,
                      size_t argc, struct txn *txn, struct reply *reply)
{
    TRY(execute_route(x, s, command, argv, argc, txn, reply));
    return execute_admit(x, s, command, argv, argc, reply);
}

void execute_rejected(struct executor *x, struct session *s, const struct command *command, const struct reply *reply)
{
    if (s->multi.open)
        s->multi.failed = true;
    if (command != NULL)
        stats_record(x->stats, command->index, 0, STATS_REJECTED);
    if (reply->error_at != SIZE_MAX)
        stats_error(x->node->stats, errors_code(slice_of(reply->out->data + reply->error_at,
                                                         reply->out->size - reply->error_at)));
}

/* ---- Checks ---- */

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
    size_t mark = out->size;

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
    if (command != NULL && strcmp(command->name, "exec") == 0) {
        (void)!transaction_abort(&c, mark);
        multi_clear(&s->multi, true);
    }
    execute_rejected(x, s, command, &reply);
    return false;
}

bool execute_allowed_when_subscribed(const struct command *c)
{
    static const char *const names[] = {"ping", "subscribe", "unsubscribe", "psubscribe", "punsubscribe",
                                        "ssubscribe", "sunsubscribe", "quit", "reset"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(c->name, names[i]) == 0)
            return true;
    return false;
}
