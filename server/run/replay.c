/*
 * replay.c - effects as commands on a transaction that does not log. DESIGN section 10, rules 1 to 3.
 */
#include "server/run/replay.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "engine/set/set.h"
#include "engine/set/txn.h"
#include "persistence/recovery.h"
#include "persistence/wal.h"
#include "server/net/resp.h"
#include "server/node_priv.h"
#include "server/run/execute.h"

struct suspect {
    struct suspect *next;
    unsigned db;
    lsn_t lsn;
    size_t key_size;
    uint8_t key[];
};

struct replay {
    struct node *node;
    struct executor x;
    struct session session;
    struct resp_parser parser;
    struct resp_words words;
    struct buf text, out;
    struct suspect *suspects;
    lsn_t group;          /* a frame with local effects: its end ... */
    struct buf redone;    /* ... and the keys that are redone by it: u16 db, u32 size, key */
};

struct replay *replay_new(struct node *n)
{
    struct replay *r = calloc(1, sizeof *r);

    check(r != NULL);
    r->node = n;
    executor_init(&r->x, n, 1, true);
    session_init(&r->session, n, NULL);
    r->session.is_primary = r->session.authenticated = true;
    resp_init(&r->parser, UINT32_MAX);
    r->parser.authenticated = true;
    return r;
}

static void suspects_clear(struct replay *r, unsigned db, struct slice key)
{
    struct suspect **at = &r->suspects;

    while (*at != NULL) {
        struct suspect *s = *at;

        if (s->db == db && (key.data == NULL || slice_equal(slice_of(s->key, s->key_size), key))) {
            *at = s->next;
            free(s);
        } else {
            at = &s->next;
        }
    }
}

static void suspect_add(struct replay *r, unsigned db, struct slice key, lsn_t lsn)
{
    struct suspect *s = malloc(sizeof *s + key.size);

    check(s != NULL);
    *s = (struct suspect){.next = r->suspects, .db = db, .lsn = lsn, .key_size = key.size};
    memcpy(s->key, key.data, key.size);
    r->suspects = s;
    log_event(LOG_WARNING, "replay: effect does not apply: position=%llu db=%u key=\"%.*s\" reply=\"%.*s\"",
              (unsigned long long)lsn, db, (int)(key.size < 128 ? key.size : 128), (const char *)key.data,
              (int)(r->out.size > 2 ? r->out.size - 2 : 0), (const char *)r->out.data);
}

static enum err parse(struct replay *r, const struct recovery_effect *effect, struct resp_request *request)
{
    const char *error = NULL;

    buf_clear(&r->text);
    buf_append_slice(&r->text, effect->text);
    r->words.count = 0;
    if (resp_parse(&r->parser, r->text.data, r->text.size, &r->words, request, &error) != RESP_REQUEST ||
        request->used != r->text.size || request->argc == 0)
        return err_set(ERR_CORRUPT, "no RESP array");
    return OK;
}

enum err replay_apply_range(struct replay *const *all, size_t count, const struct recovery_effect *effect)
{
    struct replay *first = all[0];
    int64_t a = effect->db, b = 0;
    struct resp_request request;
    const struct slice *argv;

    if (effect->kind == JOURNAL_SWAP) {
        TRY(parse(first, effect, &request));
        argv = first->words.words + request.first;
        if (request.argc != 3 || !num_parse_i64(argv[1], &a) || !num_parse_i64(argv[2], &b) || a < 0 || b < 0 ||
            a >= first->node->databases || b >= first->node->databases)
            return err_set(ERR_CORRUPT, "not two databases");
    } else if (effect->kind != JOURNAL_FLUSH) {
        return err_set(ERR_CORRUPT, "effect of kind %u is not known", (unsigned)effect->kind);
    }
    for (size_t i = 0; i < count; i++) {
        if (effect->kind == JOURNAL_FLUSH)
            suspects_clear(all[i], (unsigned)a, (struct slice){0});
        for (struct suspect *s = all[i]->suspects; effect->kind == JOURNAL_SWAP && s != NULL; s = s->next)
            s->db = s->db == a ? (unsigned)b : s->db == b ? (unsigned)a : s->db;
    }
    return set_replay_range(first->node->set, effect->kind, (unsigned)a, (unsigned)b, effect->lsn);
}

/* SET k v, SET k v PXAT ms and RESTORE ... REPLACE give the key its whole state; with other options it depends on what was there. */
static bool overwrites(const struct command *c, const struct slice *argv, size_t argc)
{
    return strcmp(c->name, "del") == 0 ||
           (strcmp(c->name, "set") == 0 && (argc == 3 || (argc == 5 && slice_is(argv[3], "pxat")))) ||
           (strcmp(c->name, "restore") == 0 && argc >= 5 && slice_is(argv[4], "replace"));
}

static bool replaces(const struct command *c)
{
    return strcmp(c->name, "del") == 0 || strcmp(c->name, "set") == 0 || strcmp(c->name, "restore") == 0;
}

/* Rule 2: of the two names of a rename one is already there; the other one is older and must go. */
static enum err drop_key(struct txn *t, struct slice key)
{
    struct obj *o = NULL;
    enum err e = txn_write(t, key, OBJ_ANY, &o);

    if (e == OK)
        txn_delete(t, o);
    return e == ERR_NOT_FOUND ? OK : e;
}

/* Local effects of a frame have one position: once one about a key is redone, so are all others about it. */
static bool group_has(struct replay *r, const struct recovery_effect *effect, struct slice key)
{
    if (r->group != effect->lsn) {
        r->group = effect->lsn;
        buf_clear(&r->redone);
    }
    for (size_t at = 0; at < r->redone.size;) {
        uint16_t db;
        uint32_t size;

        memcpy(&db, r->redone.data + at, 2);
        memcpy(&size, r->redone.data + at + 2, 4);
        if (db == effect->db && slice_equal(slice_of(r->redone.data + at + 6, size), key))
            return true;
        at += 6 + (size_t)size;
    }
    return false;
}

static void group_add(struct replay *r, const struct recovery_effect *effect, struct slice key)
{
    uint16_t db = (uint16_t)effect->db;
    uint32_t size = (uint32_t)key.size;

    buf_append(&r->redone, &db, 2);
    buf_append(&r->redone, &size, 4);
    buf_append_slice(&r->redone, key);
}

static enum err key_needed(struct replay *r, const struct recovery_effect *effect, struct slice key, bool whole, bool *out)
{
    if (effect->local && group_has(r, effect, key)) {
        *out = true;
        return OK;
    }
    if (whole)
        TRY(set_replay_overwrite(r->x.txn, key, effect->lsn, out));
    else
        TRY(set_replay_needed(r->x.txn, key, effect->lsn, out));
    if (effect->local && *out)
        group_add(r, effect, key);
    return OK;
}

/* OK: go on with running it; ERR_EXISTS: nothing is left to run. */
static enum err needed(struct replay *r, const struct recovery_effect *effect, bool whole)
{
    bool first = true, second = true;
    struct txn *t = r->x.txn;

    if (r->x.key_count == 0)
        return err_set(ERR_CORRUPT, "effect without a key");
    TRY(key_needed(r, effect, r->x.keys[0], whole && r->x.key_count == 1, &first));
    if (r->x.key_count == 1)
        return first ? OK : ERR_EXISTS;
    TRY(key_needed(r, effect, r->x.keys[1], false, &second));
    if (first && second)
        return OK;
    if (first)
        TRY(drop_key(t, r->x.keys[0]));
    if (second)
        TRY(drop_key(t, r->x.keys[1]));
    return ERR_EXISTS;
}

static enum err run(struct replay *r, const struct command *command, const struct slice *argv, size_t argc)
{
    struct reply reply = {.out = &r->out, .protocol = 2, .error_at = SIZE_MAX};
    struct call c = {.command = command, .argc = argc, .argv = argv, .txn = r->x.txn, .reply = &reply,
                     .session = &r->session, .node = r->node, .scratch = &r->x.scratch, .executor = &r->x};

    buf_clear(&r->out);
    buf_clear(&r->x.scratch);
    return command->run(&c);
}

static bool is_trouble(enum err e)
{
    return e == ERR_IO || e == ERR_CORRUPT || e == ERR_NO_MEMORY || e == ERR_NO_SPACE || e == ERR_CLOSED ||
           e == ERR_COLD || e == ERR_BUSY;
}

enum err replay_apply(struct replay *r, const struct recovery_effect *effect)
{
    set_replay_position(r->node->set, effect->lsn);
    if (effect->kind == JOURNAL_MARK)
        return OK;
    return effect->kind == JOURNAL_KEY ? replay_apply_key(r, effect) : replay_apply_range(&r, 1, effect);
}

enum err replay_apply_key(struct replay *r, const struct recovery_effect *effect)
{
    const struct txn_options options = {.now_ms = effect->time_ms, .db = effect->db, .may_wait = true, .replay = true};
    struct resp_request request;
    const struct command *command;
    const struct slice *argv;
    lsn_t end = 0;
    enum err e;

    TRY(parse(r, effect, &request));
    argv = r->words.words + request.first;
    command = registry_resolve(r->node->registry, argv, request.argc, NULL);
    if (command == NULL || command->run == NULL || !command_arity_fits(command, request.argc))
        return err_set(ERR_CORRUPT, "not a command: \"%.*s\"", (int)argv[0].size, (const char *)argv[0].data);
    execute_keys_begin(&r->x);
    execute_keys_add(&r->x, command, argv, request.argc);
    execute_keys_end(&r->x);
    TRY(txn_begin(r->x.txn, r->x.slots, r->x.slot_count, &options));
    txn_replay_at(r->x.txn, effect->lsn);
    e = needed(r, effect, overwrites(command, argv, request.argc));
    if (e == OK) {
        e = run(r, command, argv, request.argc);
        if (!is_trouble(e)) {
            if (e != OK)
                suspect_add(r, effect->db, r->x.keys[0], effect->lsn);
            else if (replaces(command) && r->suspects != NULL)
                suspects_clear(r, effect->db, r->x.keys[0]);
            e = OK;
        }
    }
    if (e == OK || e == ERR_EXISTS) {
        txn_command_end(r->x.txn, (struct slice){0}, argv, request.argc);
        e = txn_commit(r->x.txn, &end);
    }
    txn_end(r->x.txn);
    return e;
}

enum err replay_end(struct replay *r)
{
    enum err e = OK;

    if (r->suspects != NULL)
        e = err_set(ERR_CORRUPT, "replay left key \"%.*s\" of database %u in doubt since position %llu",
                    (int)(r->suspects->key_size < 128 ? r->suspects->key_size : 128), (const char *)r->suspects->key,
                    r->suspects->db, (unsigned long long)r->suspects->lsn);
    for (unsigned db = 0; db < r->node->databases && r->suspects != NULL; db++)
        suspects_clear(r, db, (struct slice){0});
    session_fini(&r->session);
    executor_fini(&r->x);
    resp_fini(&r->parser);
    resp_words_free(&r->words);
    buf_free(&r->text);
    buf_free(&r->redone);
    buf_free(&r->out);
    free(r);
    return e;
}
