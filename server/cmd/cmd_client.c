/*
 * cmd_client.c - CLIENT. What a client is to others is in server/net/clients.h; TRACKING belongs to client side
 * caching.
 */
#include "server/cmd/cmd_client.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "engine/set/set.h"
#include "server/cmd/args.h"
#include "server/cmd/help.h"
#include "server/net/clients.h"
#include "server/node.h"
#include "server/run/session.h"

/* Sessions without a connection run no CLIENT commands but may be scripts: they have no client. */
static enum err need_client(struct call *c)
{
    return c->session->client != NULL ? OK : reply_error(c, "ERR No such client");
}

static struct clients *clients_of(const struct call *c)
{
    return node_clients(c->node);
}

/* ---- The lines of LIST and INFO ---- */

static void flags_put(struct buf *out, const struct client_snapshot *s)
{
    static const struct {
        unsigned flag;
        char letter;
    } letters[] = {{CLIENT_FLAG_PRIMARY, 'M'},  {CLIENT_FLAG_PUBSUB, 'P'},   {CLIENT_FLAG_MULTI, 'x'},
                   {CLIENT_FLAG_BLOCKED, 'b'},  {CLIENT_FLAG_TRACKING, 't'}, {CLIENT_FLAG_DIRTY, 'd'},
                   {CLIENT_FLAG_CLOSING, 'A'},  {CLIENT_FLAG_UNIX, 'U'},     {CLIENT_FLAG_READONLY, 'r'},
                   {CLIENT_FLAG_NO_EVICT, 'e'}, {CLIENT_FLAG_NO_TOUCH, 'T'}};
    size_t before = out->size;

    if ((s->flags & CLIENT_FLAG_MONITOR) != 0)
        buf_append_byte(out, 'O');
    else if ((s->flags & CLIENT_FLAG_REPLICA) != 0)
        buf_append_byte(out, 'S');
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
        if ((s->flags & letters[i].flag) != 0)
            buf_append_byte(out, (uint8_t)letters[i].letter);
    if (out->size == before)
        buf_append_byte(out, 'N');
}

/* The request that asks is in memory too: Redis tells it as part of the caller's query buffer and arguments. */
static void line_put(struct call *c, const struct client_snapshot *s)
{
    struct buf *out = c->scratch;
    bool own = s->id == client_id(c->session->client);
    size_t words = 0;

    for (size_t i = 0; own && i < c->argc; i++)
        words += c->argv[i].size;
    buf_append_format(out,
                      "id=%llu addr=%s laddr=%s fd=%d name=%s age=%lld idle=%lld flags=", (unsigned long long)s->id,
                      s->address, s->local_address, s->fd, s->name, (long long)s->age_s, (long long)s->idle_s);
    flags_put(out, s);
    buf_append_format(
        out,
        " db=%u sub=%u psub=%u ssub=%u multi=%d qbuf=%llu qbuf-free=%llu argv-mem=%zu multi-mem=%llu rbs=0 rbp=0"
        " obl=0 oll=0 omem=%llu tot-mem=%llu events=r cmd=%s user=%s redir=-1 resp=%d lib-name=%s lib-ver=%s",
        s->db, s->subscriptions, s->patterns, s->shard_subscriptions, s->multi,
        (unsigned long long)s->query_bytes + (own ? c->raw.size : 0), (unsigned long long)s->query_free, words,
        (unsigned long long)(s->multi >= 0 ? s->multi_bytes : 0), (unsigned long long)s->output_bytes,
        (unsigned long long)s->memory, s->command != NULL ? s->command : "NULL", s->user, s->protocol, s->library_name,
        s->library_version);
    buf_append_byte(out, '\n');
}

static enum err info(struct call *c) /* CLIENT INFO */
{
    struct client_snapshot s;

    TRY(need_client(c));
    if (clients_look(clients_of(c), client_id(c->session->client), &s) != OK)
        return reply_error(c, "ERR No such client");
    line_put(c, &s);
    client_snapshot_free(&s);
    return reply_verbatim(c, buf_slice(c->scratch));
}

/* False: no such type. */
static bool kind_parse(struct slice word, enum client_kind *kind)
{
    static const struct {
        const char *name;
        enum client_kind kind;
    } kinds[] = {{"normal", CLIENT_NORMAL},
                 {"slave", CLIENT_REPLICA},
                 {"replica", CLIENT_REPLICA},
                 {"pubsub", CLIENT_PUBSUB},
                 {"master", CLIENT_PRIMARY}};

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (slice_is(word, kinds[i].name)) {
            *kind = kinds[i].kind;
            return true;
        }
    return false;
}

static enum err unknown_type(struct call *c, struct slice word)
{
    return reply_error(c, "ERR Unknown client type '%.*s'", (int)(word.size < 128 ? word.size : 128),
                       (const char *)word.data);
}

struct listing {
    struct call *call;
    unsigned kinds; /* 0: all */
};

static void list_one(void *context, const struct client_snapshot *s)
{
    struct listing *l = context;

    if (l->kinds == 0 || (l->kinds & s->kind) != 0)
        line_put(l->call, s);
}

static enum err list_ids(struct call *c) /* CLIENT LIST ID id [id ...] */
{
    for (size_t i = 3; i < c->argc; i++) {
        struct client_snapshot s;
        int64_t id;

        if (!num_parse_i64(c->argv[i], &id))
            return reply_error(c, "ERR Invalid client ID");
        if (id > 0 && clients_look(clients_of(c), (uint64_t)id, &s) == OK) {
            line_put(c, &s);
            client_snapshot_free(&s);
        }
    }
    return reply_verbatim(c, buf_slice(c->scratch));
}

static enum err list(struct call *c) /* CLIENT LIST [TYPE type] [ID id [id ...]] */
{
    struct listing l = {.call = c};
    enum client_kind kind;

    if (c->argc > 3 && slice_is(c->argv[2], "ID"))
        return list_ids(c);
    if (c->argc == 4 && slice_is(c->argv[2], "TYPE")) {
        if (!kind_parse(c->argv[3], &kind))
            return unknown_type(c, c->argv[3]);
        l.kinds = kind;
    } else if (c->argc != 2) {
        return reply_syntax(c);
    }
    clients_list(clients_of(c), list_one, &l);
    return reply_verbatim(c, buf_slice(c->scratch));
}

/* ---- KILL ---- */

struct kill {
    struct client_filter filter;
    bool skip_me;
    char address[128], local_address[128], user[256]; /* filter borrows from them */
};

static const char *text(char *to, size_t room, struct slice word)
{
    snprintf(to, room, "%.*s", (int)word.size, (const char *)word.data);
    return to;
}

/* One option and its value. */
static enum err kill_option(struct call *c, size_t i, struct kill *k)
{
    struct slice name = c->argv[i], value = c->argv[i + 1];
    enum client_kind kind;
    int64_t number;

    if (slice_is(name, "ID")) {
        if (!num_parse_i64(value, &number) || number < 1)
            return reply_error(c, "ERR client-id should be greater than 0");
        k->filter.id = (uint64_t)number;
    } else if (slice_is(name, "TYPE")) {
        if (!kind_parse(value, &kind))
            return unknown_type(c, value);
        k->filter.kinds = kind;
    } else if (slice_is(name, "ADDR")) {
        k->filter.address = text(k->address, sizeof k->address, value);
    } else if (slice_is(name, "LADDR")) {
        k->filter.local_address = text(k->local_address, sizeof k->local_address, value);
    } else if (slice_is(name, "USER")) {
        if (!slice_equal(value, SLICE_LITERAL("default")))
            return reply_error(c, "ERR No such user '%.*s'", (int)(value.size < 128 ? value.size : 128),
                               (const char *)value.data);
        k->filter.user = text(k->user, sizeof k->user, value);
    } else if (slice_is(name, "SKIPME") && slice_is(value, "yes")) {
        k->skip_me = true;
    } else if (slice_is(name, "SKIPME") && slice_is(value, "no")) {
        k->skip_me = false;
    } else if (slice_is(name, "MAXAGE")) {
        if (!num_parse_i64(value, &number) || number < 1)
            return reply_error(c, "ERR maxage is not an integer or out of range");
        k->filter.max_age_s = number;
    } else {
        return reply_syntax(c);
    }
    return OK;
}

/* Whether the filter means the caller's own connection, which must still get its reply. */
static bool means_me(const struct call *c, const struct client_filter *f)
{
    struct client_snapshot s;
    bool fits;

    if (c->session->client == NULL || clients_look(clients_of(c), client_id(c->session->client), &s) != OK)
        return false;
    fits = (f->id == 0 || f->id == s.id) && (f->address == NULL || strcmp(f->address, s.address) == 0) &&
           (f->local_address == NULL || strcmp(f->local_address, s.local_address) == 0) &&
           (f->user == NULL || strcmp(f->user, s.user) == 0) && (f->kinds == 0 || (f->kinds & s.kind) != 0) &&
           s.age_s >= f->max_age_s;
    client_snapshot_free(&s);
    return fits;
}

static size_t kill_all(struct call *c, struct kill *k)
{
    size_t killed = 0;

    if (!k->skip_me && means_me(c, &k->filter)) {
        c->session->close_after_reply = true;
        killed++;
    }
    if (c->session->client != NULL)
        k->filter.not_id = client_id(c->session->client);
    return killed + clients_kill(clients_of(c), &k->filter);
}

static enum err kill(struct call *c) /* CLIENT KILL address | option value [option value ...] */
{
    struct kill k = {.skip_me = true};

    if (c->argc == 3) {
        k.skip_me = false;
        k.filter.address = text(k.address, sizeof k.address, c->argv[2]);
        return kill_all(c, &k) > 0 ? reply_ok(c) : reply_error(c, "ERR No such client");
    }
    if (c->argc % 2 != 0)
        return reply_syntax(c);
    for (size_t i = 2; i < c->argc; i += 2)
        TRY(kill_option(c, i, &k));
    return reply_int(c, (int64_t)kill_all(c, &k));
}

/* ---- PAUSE, UNBLOCK ---- */

static enum err pause_clients(struct call *c) /* CLIENT PAUSE timeout [WRITE|ALL] */
{
    enum client_pause what = CLIENT_PAUSE_ALL;
    int64_t timeout_ms;

    if (c->argc > 4)
        return reply_error(c, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try CLIENT HELP.",
                           (int)c->argv[1].size, (const char *)c->argv[1].data);
    if (c->argc == 4) {
        if (slice_is(c->argv[3], "WRITE"))
            what = CLIENT_PAUSE_WRITE;
        else if (!slice_is(c->argv[3], "ALL"))
            return reply_error(c, "ERR CLIENT PAUSE mode must be WRITE or ALL");
    }
    if (!num_parse_i64(c->argv[2], &timeout_ms) || timeout_ms > INT64_MAX - node_now(c->node))
        return reply_error(c, "ERR timeout is not an integer or out of range");
    if (timeout_ms < 0)
        return reply_error(c, "ERR timeout is negative");
    set_expire_hold(node_set(c->node), clients_pause(clients_of(c), what, node_now(c->node) + timeout_ms));
    return reply_ok(c);
}

static enum err unpause(struct call *c) /* CLIENT UNPAUSE */
{
    set_expire_hold(node_set(c->node), clients_unpause(clients_of(c)));
    return reply_ok(c);
}

static enum err unblock(struct call *c) /* CLIENT UNBLOCK id [TIMEOUT|ERROR] */
{
    bool with_error = false;
    int64_t id;

    if (c->argc > 4)
        return reply_arity(c);
    if (c->argc == 4) {
        with_error = slice_is(c->argv[3], "ERROR");
        if (!with_error && !slice_is(c->argv[3], "TIMEOUT"))
            return reply_error(c, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    }
    TRY(arg_i64(c, 2, &id));
    return reply_int(c, id > 0 && clients_unblock(clients_of(c), (uint64_t)id, with_error));
}

/* ---- The own connection ---- */

static enum err id(struct call *c) /* CLIENT ID */
{
    TRY(need_client(c));
    return reply_int(c, (int64_t)client_id(c->session->client));
}

static bool is_plain(struct slice text_)
{
    for (size_t i = 0; i < text_.size; i++)
        if (text_.data[i] < '!' || text_.data[i] > '~')
            return false;
    return true;
}

static enum err setname(struct call *c) /* CLIENT SETNAME name */
{
    TRY(need_client(c));
    if (!is_plain(c->argv[2]))
        return reply_error(c, "ERR Client names cannot contain spaces, newlines or special characters.");
    client_set_text(c->session->client, CLIENT_NAME, c->argv[2]);
    return reply_ok(c);
}

static enum err getname(struct call *c) /* CLIENT GETNAME */
{
    TRY(need_client(c));
    client_get_text(c->session->client, CLIENT_NAME, c->scratch);
    return c->scratch->size > 0 ? reply_bulk(c, buf_slice(c->scratch)) : reply_null(c);
}

static enum err setinfo(struct call *c) /* CLIENT SETINFO LIB-NAME|LIB-VER value */
{
    bool name = slice_is(c->argv[2], "LIB-NAME");

    TRY(need_client(c));
    if (!name && !slice_is(c->argv[2], "LIB-VER"))
        return reply_error(c, "ERR Unrecognized option '%.*s'", (int)(c->argv[2].size < 128 ? c->argv[2].size : 128),
                           (const char *)c->argv[2].data);
    if (!is_plain(c->argv[3]))
        return reply_error(c, "ERR %s cannot contain spaces, newlines or special characters.",
                           name ? "lib-name" : "lib-ver");
    client_set_text(c->session->client, name ? CLIENT_LIBRARY_NAME : CLIENT_LIBRARY_VERSION, c->argv[3]);
    return reply_ok(c);
}

static enum err reply_mode(struct call *c) /* CLIENT REPLY ON|OFF|SKIP */
{
    struct session *s = c->session;

    if (slice_is(c->argv[2], "ON")) {
        s->reply = SESSION_REPLY_ON;
        return reply_ok(c);
    }
    if (slice_is(c->argv[2], "OFF")) {
        s->reply = SESSION_REPLY_OFF;
        return OK;
    }
    if (!slice_is(c->argv[2], "SKIP"))
        return reply_syntax(c);
    if (s->reply != SESSION_REPLY_OFF)
        s->reply = SESSION_REPLY_SKIP_NEXT;
    return OK;
}

/* ON or OFF of a switch that CLIENT LIST shows as a flag. */
static enum err flag_switch(struct call *c, bool *value, enum client_flag flag)
{
    bool on = slice_is(c->argv[2], "ON");

    if (!on && !slice_is(c->argv[2], "OFF"))
        return reply_syntax(c);
    *value = on;
    if (c->session->client != NULL)
        client_set_flag(c->session->client, flag, on);
    return reply_ok(c);
}

static enum err no_evict(struct call *c) /* CLIENT NO-EVICT ON|OFF */
{
    return flag_switch(c, &c->session->no_evict, CLIENT_FLAG_NO_EVICT);
}

static enum err no_touch(struct call *c) /* CLIENT NO-TOUCH ON|OFF */
{
    return flag_switch(c, &c->session->no_touch, CLIENT_FLAG_NO_TOUCH);
}

/* ---- Client side caching: not in this version, and what is asked about it says so ---- */

static enum err getredir(struct call *c) /* CLIENT GETREDIR */
{
    return reply_int(c, -1);
}

static enum err trackinginfo(struct call *c) /* CLIENT TRACKINGINFO */
{
    (void)reply_map(c, 3);
    (void)reply_bulk_str(c, "flags");
    (void)reply_set(c, 1);
    (void)reply_bulk_str(c, "off");
    (void)reply_bulk_str(c, "redirect");
    (void)reply_int(c, -1);
    (void)reply_bulk_str(c, "prefixes");
    return reply_array(c, 0);
}

static enum err tracking(struct call *c) /* CLIENT TRACKING ON|OFF [...] */
{
    if (slice_is(c->argv[2], "OFF"))
        return reply_ok(c);
    if (!slice_is(c->argv[2], "ON"))
        return reply_syntax(c);
    return reply_error(c, "ERR client side caching is not supported by this server");
}

static enum err caching(struct call *c) /* CLIENT CACHING YES|NO */
{
    return reply_error(c,
                       "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT "
                       "mode enabled");
}

static enum err help(struct call *c) /* CLIENT HELP */
{
    static const char *const lines[] = {
        "GETREDIR",
        "    Return the client ID we are redirecting to when tracking is enabled.",
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port>",
        "    Kill connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Kill connections. Options are:",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made from the specified address",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made to specified local address",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Kill connections by type.",
        "    * USER <username>",
        "      Kill connections authenticated by <username>.",
        "    * SKIPME (YES|NO)",
        "      Skip killing current connection (default: yes).",
        "    * ID <client-id>",
        "      Kill connections by client id.",
        "    * MAXAGE <maxage>",
        "      Kill connections older than the specified age.",
        "LIST [options ...]",
        "    Return information about client connections. Options:",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Return clients of specified type.",
        "UNPAUSE",
        "    Stop the current client pause, resuming traffic.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, clients for <timeout> milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "SETINFO <option> <value>",
        "    Set client meta attr. Options are:",
        "    * LIB-NAME: the client lib name.",
        "    * LIB-VER: the client lib version.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    Unblock the specified blocked client.",
        "TRACKINGINFO",
        "    Report tracking status for the current connection.",
        "NO-EVICT (ON|OFF)",
        "    Protect current client connection from eviction.",
        "NO-TOUCH (ON|OFF)",
        "    Will not touch LRU/LFU stats when this mode is on.",
        NULL,
    };

    return reply_help(c, lines);
}

enum { HERE = COMMAND_NO_TXN | COMMAND_ALONE };

static const struct command_binding rows[] = {
    {"client|id", id, HERE},
    {"client|info", info, HERE},
    {"client|list", list, HERE},
    {"client|kill", kill, HERE},
    {"client|pause", pause_clients, HERE},
    {"client|unpause", unpause, HERE},
    {"client|unblock", unblock, HERE},
    {"client|setname", setname, HERE},
    {"client|getname", getname, HERE},
    {"client|setinfo", setinfo, HERE},
    {"client|reply", reply_mode, HERE},
    {"client|no-evict", no_evict, HERE},
    {"client|no-touch", no_touch, HERE},
    {"client|getredir", getredir, HERE},
    {"client|trackinginfo", trackinginfo, HERE},
    {"client|tracking", tracking, HERE},
    {"client|caching", caching, HERE},
    {"client|help", help, HERE},
};
const struct command_table cmd_client_table = COMMAND_TABLE(rows);
