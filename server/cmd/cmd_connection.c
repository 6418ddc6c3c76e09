/*
 * cmd_connection.c - commands about the connection itself.
 */
#include "server/cmd/cmd_connection.h"

#include "base/num.h"
#include "server/net/clients.h"
#include "server/node.h"
#include "server/node_priv.h"
#include "server/run/call.h"
#include "server/run/execute.h"
#include "server/run/session.h"

/* The version whose behaviour we follow; clients choose features by it. */
#define REDIS_VERSION "7.2.4"

static enum err ping(struct call *c)
{
    const struct session *s = c->session;

    if (c->argc > 2)
        return reply_arity(c);
    if (s->subscriptions + s->shard_subscriptions > 0 && s->protocol == 2) {
        (void)reply_array(c, 2);
        (void)reply_bulk_str(c, "pong");
        return reply_bulk(c, c->argc == 2 ? c->argv[1] : SLICE_LITERAL(""));
    }
    if (c->argc == 2)
        return reply_bulk(c, c->argv[1]);
    return reply_status(c, "PONG");
}

static enum err echo(struct call *c)
{
    return reply_bulk(c, c->argv[1]);
}

static enum err quit(struct call *c)
{
    c->session->close_after_reply = true;
    return reply_ok(c);
}

static enum err reset(struct call *c)
{
    session_reset(c->session);
    c->reply->protocol = 2;
    return reply_status(c, "RESET");
}

static enum err select_db(struct call *c)
{
    int64_t db;

    if (!num_parse_i64(c->argv[1], &db))
        return reply_error(c, "ERR value is not an integer or out of range");
    if (node_is_cluster(c->node) && db != 0)
        return reply_error(c, "ERR SELECT is not allowed in cluster mode");
    if (db < 0 || db >= node_databases(c->node))
        return reply_error(c, "ERR DB index is out of range");
    c->session->db = (unsigned)db;
    return reply_ok(c);
}

/* OK, or the error was replied. */
static enum err authenticate(struct call *c, struct slice user, struct slice password)
{
    struct node *n = c->node;
    enum err e;

    if (n->authenticate == NULL) {
        if (user.data == NULL)
            return reply_error(c, "ERR AUTH <password> called without any password configured for the default user. "
                                  "Are you sure your configuration is correct?");
        e = slice_equal(user, SLICE_LITERAL("default")) ? OK : ERR_NOT_FOUND;
    } else {
        e = n->authenticate(n->authentication_context, c->session, user, password);
    }
    if (e == ERR_INVALID)
        return e;
    if (e != OK)
        return reply_error(c, "WRONGPASS invalid username-password pair or user is disabled.");
    c->session->authenticated = true;
    return OK;
}

static enum err auth(struct call *c) /* AUTH [username] password */
{
    if (c->argc > 3)
        return reply_syntax(c);
    if (c->argc == 2)
        TRY(authenticate(c, (struct slice){0}, c->argv[1]));
    else
        TRY(authenticate(c, c->argv[1], c->argv[2]));
    return reply_ok(c);
}

static bool name_is_valid(struct slice name)
{
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] < '!' || name.data[i] > '~')
            return false;
    return true;
}

static enum err hello_reply(struct call *c)
{
    const struct session *s = c->session;

    (void)reply_map(c, 7);
    (void)reply_bulk_str(c, "server");
    (void)reply_bulk_str(c, "redis");
    (void)reply_bulk_str(c, "version");
    (void)reply_bulk_str(c, REDIS_VERSION);
    (void)reply_bulk_str(c, "proto");
    (void)reply_int(c, s->protocol);
    (void)reply_bulk_str(c, "id");
    (void)reply_int(c, s->client != NULL ? (int64_t)client_id(s->client) : 0);
    (void)reply_bulk_str(c, "mode");
    (void)reply_bulk_str(c, node_is_cluster(c->node) ? "cluster" : "standalone");
    (void)reply_bulk_str(c, "role");
    (void)reply_bulk_str(c, node_is_replica(c->node) ? "replica" : "master");
    (void)reply_bulk_str(c, "modules");
    return reply_array(c, 0);
}

static enum err hello(struct call *c) /* HELLO [protover [AUTH username password] [SETNAME clientname]] */
{
    struct session *s = c->session;
    int64_t protocol = s->protocol;
    struct slice user = {0}, password = {0}, name = {0};

    if (c->argc > 1) {
        if (!num_parse_i64(c->argv[1], &protocol))
            return reply_error(c, "ERR Protocol version is not an integer or out of range");
        if (protocol < 2 || protocol > 3)
            return reply_error(c, "NOPROTO unsupported protocol version");
    }
    for (size_t i = 2; i < c->argc; i++) {
        size_t more = c->argc - i - 1;

        if (slice_is(c->argv[i], "auth") && more >= 2) {
            user = c->argv[i + 1];
            password = c->argv[i + 2];
            i += 2;
        } else if (slice_is(c->argv[i], "setname") && more >= 1) {
            name = c->argv[++i];
            if (!name_is_valid(name))
                return reply_error(c, "ERR Client names cannot contain spaces, newlines or special characters.");
        } else {
            return reply_error(c, "ERR Syntax error in HELLO option '%.*s'", (int)c->argv[i].size,
                               (const char *)c->argv[i].data);
        }
    }
    if (user.data != NULL)
        TRY(authenticate(c, user, password));
    if (!s->authenticated)
        return reply_error(c, "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
                              "<proto> AUTH <user> <pass> option can be used to authenticate the client and select the "
                              "RESP protocol version at the same time");
    if (name.data != NULL && s->client != NULL)
        client_set_text(s->client, CLIENT_NAME, name);
    s->protocol = (int)protocol;
    c->reply->protocol = s->protocol;
    return hello_reply(c);
}

enum { HERE = COMMAND_NO_TXN | COMMAND_CONNECTION };

static const struct command_binding rows[] = {
    {"ping", ping, HERE},
    {"echo", echo, HERE},
    {"quit", quit, HERE | COMMAND_NOT_QUEUED},
    {"reset", reset, HERE | COMMAND_NOT_QUEUED},
    {"select", select_db, HERE},
    {"auth", auth, HERE},
    {"hello", hello, HERE},
};

const struct command_table cmd_connection_table = COMMAND_TABLE(rows);
