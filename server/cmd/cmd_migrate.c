/*
 * cmd_migrate.c - MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH password] [AUTH2 user password] [KEYS key ...]
 *
 * Keys go in batches. For each: its slots are locked while the values are read and the keys marked busy; the batch is sent and
 * answered with nothing locked; the slots are locked again while what the target has acknowledged is deleted.
 *
 * (1) A key is deleted only after its own +OK, and is what was sent: nobody writes to a busy key (server/run/busy.h).
 * (2) Memory: one batch, that is, BATCH_BYTES and a value. A large one goes alone, and is read while it is sent: its slot is
 *     locked for a moment (migrate_stream.h).
 * (3) Whatever happens, the marks go.
 */
#include "server/cmd/cmd_migrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/words.h"
#include "persistence/rdb/rdb_object.h"
#include "server/cmd/args.h"
#include "server/cmd/migrate_stream.h"
#include "server/conf/config.h"
#include "server/net/clients.h"
#include "server/net/remote.h"
#include "server/node_priv.h"
#include "server/run/execute.h"
#include "server/run/waiting.h"

enum {
    BATCH_BYTES = 1 << 20,
    BATCH_KEYS = 512,
    BUSY_WAIT_MS = 1000,
    TIMEOUT_DEFAULT_MS = 1000,
};

struct item {
    struct slice key;
    bool acknowledged;
};

struct migrate {
    struct call *c;
    struct executor *x;
    struct slice host;
    char port[8];
    int64_t db;
    msec_t timeout_ms;
    bool copy, replace, auth;
    struct slice user, password; /* user.data NULL: AUTH password */
    const struct slice *keys;
    size_t key_count, next;      /* next: the first key that no batch has had */

    struct item items[BATCH_KEYS];
    struct slice marked[BATCH_KEYS];
    slot_t slots[BATCH_KEYS];
    size_t item_count, marked_count;
    struct buf out, head, payload; /* all RESTOREs; what goes in front of them; scratch */
    struct migrate_stream *large; /* the only item of the batch; NULL: there is none */
    bool is_large;                /* the only item is to become one */
    msec_t ttl;                   /* of it */
    char error[256]; /* the first one that the target replied; "": none */
    const char *trouble; /* which step failed; NULL: none */
    bool any;
};

/* ---- Words ---- */

static enum err parse_options(struct migrate *m)
{
    struct call *c = m->c;

    m->keys = &c->argv[3];
    m->key_count = 1;
    for (size_t i = 6; i < c->argc; i++) {
        size_t more = c->argc - i - 1;

        if (slice_is(c->argv[i], "COPY")) {
            m->copy = true;
        } else if (slice_is(c->argv[i], "REPLACE")) {
            m->replace = true;
        } else if (slice_is(c->argv[i], "AUTH") && more >= 1) {
            m->auth = true;
            m->password = c->argv[++i];
        } else if (slice_is(c->argv[i], "AUTH2") && more >= 2) {
            m->auth = true;
            m->user = c->argv[++i];
            m->password = c->argv[++i];
        } else if (slice_is(c->argv[i], "KEYS")) {
            if (c->argv[3].size != 0)
                return reply_error(c, "ERR When using MIGRATE KEYS option, the key argument must be set to the empty "
                                      "string");
            m->keys = &c->argv[i + 1];
            m->key_count = more;
            return OK;
        } else {
            return reply_syntax(c);
        }
    }
    return OK;
}

static enum err parse(struct migrate *m)
{
    struct call *c = m->c;
    size_t digits = 0; /* what is no number is port 0, where nobody is */

    TRY(parse_options(m));
    TRY(arg_i64(c, 5, &m->timeout_ms));
    TRY(arg_i64(c, 4, &m->db));
    if (m->timeout_ms <= 0)
        m->timeout_ms = TIMEOUT_DEFAULT_MS;
    m->host = c->argv[1];
    while (digits < c->argv[2].size && digits < sizeof m->port - 1 && c->argv[2].data[digits] >= '0' && c->argv[2].data[digits] <= '9')
        digits++;
    snprintf(m->port, sizeof m->port, "%.*s", digits > 0 ? (int)digits : 1, digits > 0 ? (const char *)c->argv[2].data : "0");
    return OK;
}

/* ---- Reading ---- */

static int slot_order(const void *a, const void *b)
{
    return (int)*(const slot_t *)a - (int)*(const slot_t *)b;
}

static enum err lock(struct migrate *m, const struct slice *keys, size_t count)
{
    const struct txn_options options = {.now_ms = node_now(m->c->node), .db = m->c->session->db, .may_wait = true};
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        m->slots[i] = hash_slot(keys[i]);
    qsort(m->slots, count, sizeof *m->slots, slot_order);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || m->slots[i] != m->slots[kept - 1])
            m->slots[kept++] = m->slots[i];
    return txn_begin(m->x->txn, m->slots, kept, &options);
}

static const char *command_of(const struct migrate *m)
{
    return node_is_cluster(m->c->node) ? "RESTORE-ASKING" : "RESTORE";
}

static msec_t ttl_of(const struct migrate *m, const struct obj *o)
{
    msec_t now = txn_now(m->x->txn);

    return o->expire_ms == 0 ? 0 : o->expire_ms > now ? o->expire_ms - now : 1;
}

/* RESTORE for one key, behind those before it: a batch goes out in one write. */
static enum err put_restore(struct migrate *m, struct obj *o, struct slice key)
{
    buf_clear(&m->payload);
    TRY(rdb_object_dump(m->x->txn, o, true, &m->payload));
    words_head(&m->out, m->replace ? 5 : 4);
    words_add(&m->out, slice_str(command_of(m)));
    words_add(&m->out, key);
    words_add_number(&m->out, ttl_of(m, o));
    words_add(&m->out, buf_slice(&m->payload));
    if (m->replace)
        words_add(&m->out, SLICE_LITERAL("REPLACE"));
    m->items[m->item_count++] = (struct item){key, false};
    return OK;
}

static void release(struct migrate *m)
{
    struct node *n = m->c->node;
    bool refused = m->marked_count > 0 && busy_release(&n->busy, m->c->session->db, m->marked, m->marked_count);

    m->marked_count = 0;
    if (!refused)
        return;
    clients_retry_held(n->clients);
    execute_serve_all(m->x, m->c->session);
}

/* The next batch, its keys marked. Empty: there are no more keys. */
static enum err gather(struct migrate *m)
{
    struct node *n = m->c->node;
    unsigned db = m->c->session->db;
    size_t most = m->key_count - m->next;
    enum err e = OK;

    buf_clear(&m->out);
    m->item_count = 0;
    m->is_large = false;
    if (most > BATCH_KEYS)
        most = BATCH_KEYS;
    TRY(lock(m, m->keys + m->next, most));
    for (; most > 0 && m->out.size < BATCH_BYTES && !m->is_large; most--, m->next++) {
        struct slice key = m->keys[m->next];
        struct obj *o = NULL;

        e = txn_peek(m->x->txn, key, &o);
        if (e == ERR_NOT_FOUND) {
            e = OK;
            continue;
        }
        if (e != OK || (txn_is_large(o) && m->item_count > 0))
            break;
        if (!m->copy && !busy_mark(&n->busy, db, key)) {
            e = ERR_BUSY; /* by another MIGRATE, or named twice */
            break;
        }
        if (!m->copy)
            m->marked[m->marked_count++] = key;
        if (txn_is_large(o)) {
            m->is_large = true;
            m->ttl = ttl_of(m, o);
            m->items[m->item_count++] = (struct item){.key = key};
        } else if ((e = put_restore(m, o, key)) != OK) {
            break;
        }
    }
    execute_abandon(m->x);
    if (e == ERR_BUSY && m->item_count > 0)
        return OK;
    return e;
}

/* Whole in memory after all: a copy of a key that is written to all the time. */
static enum err put_whole(struct migrate *m)
{
    struct item item = m->items[0];
    struct obj *o = NULL;
    enum err e;

    buf_clear(&m->out);
    m->item_count = 0;
    TRY(lock(m, &item.key, 1));
    if ((e = txn_peek(m->x->txn, item.key, &o)) == OK)
        e = put_restore(m, o, item.key);
    execute_abandon(m->x);
    return e == ERR_NOT_FOUND ? OK : e;
}

static enum err open_large(struct migrate *m)
{
    enum err e = migrate_stream_open(m->c->node->set, m->c->session->db, m->items[0].key, &m->large);

    if (e == ERR_BUSY)
        return put_whole(m);
    if (e != ERR_NOT_FOUND)
        return e;
    m->item_count = 0; /* its time has come since */
    return OK;
}

/* Waits where another MIGRATE has the next key. */
static enum err gather_patiently(struct migrate *m)
{
    struct node *n = m->c->node;
    uint64_t generation;
    enum err e = OK;

    do {
        if (m->next == m->key_count) {
            m->item_count = 0;
            return OK;
        }
        e = gather(m);
        if (e == ERR_BUSY && busy_meets(&n->busy, m->c->session->db, m->keys + m->next, 1, &generation))
            (void)busy_wait(&n->busy, generation, BUSY_WAIT_MS);
    } while (e == ERR_BUSY || (e == OK && m->item_count == 0));
    return e == OK && m->is_large ? open_large(m) : e;
}

/* ---- The target ---- */

/* What stands in front of the keys; *lines: how many replies it gets. */
static void put_greeting(struct migrate *m, const struct remote *to, size_t *lines)
{
    char text[NUM_TEXT_MAX];

    buf_clear(&m->head);
    *lines = 0;
    if (m->auth) {
        if (m->user.data != NULL)
            WORDS(&m->head, SLICE_LITERAL("AUTH"), m->user, m->password);
        else
            WORDS(&m->head, SLICE_LITERAL("AUTH"), m->password);
        (*lines)++;
    }
    if (to->db != m->db) {
        WORDS(&m->head, SLICE_LITERAL("SELECT"), slice_of(text, num_format_i64(text, m->db)));
        (*lines)++;
    }
}

static enum err send_batch(struct migrate *m, struct remote *to)
{
    TRY(remote_write(to, buf_slice(&m->head), m->timeout_ms));
    if (m->large != NULL)
        return migrate_stream_send(m->large, command_of(m), m->ttl, m->replace, to, m->timeout_ms);
    return remote_write(to, buf_slice(&m->out), m->timeout_ms);
}

static bool is_error(struct migrate *m, struct slice line)
{
    if (line.size == 0 || line.data[0] != '-')
        return false;
    if (m->error[0] == '\0')
        snprintf(m->error, sizeof m->error, "%.*s", (int)line.size - 1, (const char *)line.data + 1);
    return true;
}

static enum err read_replies(struct migrate *m, struct remote *to, size_t greeting_lines)
{
    bool refused = false;
    struct slice line;

    for (size_t i = 0; i < greeting_lines; i++) {
        TRY(remote_line(to, m->timeout_ms, &line));
        refused = is_error(m, line) || refused;
    }
    to->db = refused ? -1 : m->db;
    for (size_t i = 0; i < m->item_count; i++) {
        TRY(remote_line(to, m->timeout_ms, &line));
        m->items[i].acknowledged = !is_error(m, line) && !refused;
    }
    return OK;
}

static enum err exchange(struct migrate *m, bool fresh)
{
    struct remotes *remotes = m->c->node->remotes;
    struct remote *to;
    size_t lines;
    bool tls = config_bool(node_config(m->c->node), "tls-cluster");
    enum err e = remote_take(remotes, &(struct remote_place){m->host, m->port, tls}, m->timeout_ms, fresh, &to);

    if (e != OK) {
        m->trouble = e == ERR_AGAIN || tls ? "connecting to the client" : "writing to target instance";
        return ERR_AGAIN;
    }
    put_greeting(m, to, &lines);
    if ((e = send_batch(m, to)) != OK)
        m->trouble = "writing to target instance";
    else if ((e = read_replies(m, to, lines)) != OK)
        m->trouble = "reading to target instance";
    remote_give(remotes, to, e == OK);
    return e;
}

/* Once again on a connection of its own, if the first was lost before anything was acknowledged. */
static void transfer(struct migrate *m)
{
    m->trouble = NULL;
    if (exchange(m, false) != ERR_IO || m->item_count == 0 || m->items[0].acknowledged || m->error[0] != '\0')
        return;
    m->trouble = NULL;
    (void)exchange(m, true);
}

/* ---- The end of a batch ---- */

static enum err forget_acknowledged(struct migrate *m)
{
    struct slice keys[BATCH_KEYS];
    size_t count = 0;
    enum err e;

    for (size_t i = 0; i < m->item_count; i++)
        if (m->items[i].acknowledged)
            keys[count++] = m->items[i].key;
    if (m->copy || count == 0)
        return OK;
    TRY(lock(m, keys, count));
    for (size_t i = 0; i < count; i++) {
        struct obj *o = NULL;

        e = txn_write(m->x->txn, keys[i], OBJ_ANY, &o);
        if (e == OK)
            txn_delete(m->x->txn, o);
        else if (e != ERR_NOT_FOUND) /* a failing disk: it stays, and is found on both sides */
            log_event(LOG_WARNING, "migrate: a moved key cannot be deleted: error=\"%s\"", err_text());
    }
    txn_command_end(m->x->txn, (struct slice){0}, NULL, 0);
    if (execute_commit(m->x, m->c->session) != OK) {
        log_event(LOG_WARNING, "commit failed: error=\"%s\"", err_text());
        abort();
    }
    return OK;
}

static enum err run(struct migrate *m)
{
    struct call *c = m->c;

    TRY(parse(m));
    while (m->trouble == NULL) {
        enum err e = gather_patiently(m);

        if (e != OK) {
            release(m);
            return e;
        }
        if (m->item_count == 0) {
            release(m);
            if (m->next == m->key_count)
                break;
            continue;
        }
        m->any = true;
        transfer(m);
        migrate_stream_close(m->large);
        m->large = NULL;
        e = forget_acknowledged(m);
        release(m);
        TRY(e);
    }
    if (!m->any)
        return reply_status(c, "NOKEY");
    if (m->error[0] != '\0')
        return reply_error(c, "ERR Target instance replied with error: %s", m->error);
    if (m->trouble != NULL)
        return reply_error(c, "IOERR error or timeout %s", m->trouble);
    return reply_ok(c);
}

static enum err migrate(struct call *c)
{
    struct migrate *m = calloc(1, sizeof *m);
    enum err e;

    check(m != NULL);
    m->c = c;
    m->x = c->executor;
    e = run(m);
    check(m->marked_count == 0);
    migrate_stream_close(m->large);
    buf_free(&m->out);
    buf_free(&m->head);
    buf_free(&m->payload);
    free(m);
    return e;
}

static const struct command_binding rows[] = {
    {"migrate", migrate, COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_LONG},
};
const struct command_table cmd_migrate_table = COMMAND_TABLE(rows);
