/*
 * import_aof.c - the commands of an append-only file, one after the other, as a client that no gate stops would send them.
 *
 * Nothing expires by the clock meanwhile: what had expired for Redis was deleted there by a command. A command that is answered by an
 * error is not what Redis wrote: the import ends there.
 */
#include <stdio.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/log.h"
#include "persistence/wal.h"
#include "server/conf/config.h"
#include "server/import_priv.h"
#include "server/net/resp.h"
#include "server/node_priv.h"
#include "server/run/execute.h"

enum {
    READ_BYTES = 1 << 20,
    PENDING_BYTES_MAX = 8 << 20,
    PROGRESS_COMMANDS = 16384,
    CLOCK_MS = 1, /* when no time has come yet */
};

struct player {
    struct import *import;
    struct node *node;
    struct executor x;
    struct session session;
    struct resp_parser parser;
    struct resp_words words;
    struct buf text, out;
    uint64_t offset; /* of text.data[0] in the file */
    uint64_t multi_offset;
    bool torn;
};

static enum err bad(const struct player *p, size_t at, const char *what, struct slice detail)
{
    return err_set(ERR_CORRUPT, "offset %llu: %s%.*s", (unsigned long long)(p->offset + at), what,
                   (int)(detail.size < 300 ? detail.size : 300), (const char *)detail.data);
}

static enum err run(struct player *p, size_t at, const struct resp_request *request)
{
    const struct slice *argv = p->words.words + request->first;
    struct slice reply;

    if (request->argc == 0)
        return bad(p, at, "an empty command", SLICE_LITERAL(""));
    if (slice_is(argv[0], "MULTI"))
        p->multi_offset = p->offset + at;
    buf_clear(&p->out);
    p->x.now_ms = CLOCK_MS;
    if (execute(&p->x, &p->session, argv, request->argc, (struct slice){0}, NULL, &p->out) != EXECUTE_DONE)
        return bad(p, at, "a command that waits: ", argv[0]);
    reply = buf_slice(&p->out);
    if (reply.size > 2 && reply.data[0] == '-') {
        char text[200];
        int n = snprintf(text, sizeof text, "the command %.*s was answered: %.*s",
                         (int)(argv[0].size < 40 ? argv[0].size : 40), (const char *)argv[0].data,
                         (int)(reply.size - 2 < 140 ? reply.size - 2 : 140), (const char *)reply.data);

        return bad(p, at, "", slice_of(text, (size_t)(n < (int)sizeof text ? n : (int)sizeof text - 1)));
    }
    if (wal_pending_bytes(p->node->wal) > PENDING_BYTES_MAX)
        TRY(wal_write(p->node->wal));
    if (++p->import->commands % PROGRESS_COMMANDS == 0)
        return import_progress(p->import, p->import->keys, p->offset + at);
    return OK;
}

/* A line "#TS:..." between two commands. Its size, or 0 if it is not whole. */
static size_t note_bytes(struct slice text)
{
    const uint8_t *end = memchr(text.data, '\n', text.size);

    return end == NULL ? 0 : (size_t)(end - text.data) + 1;
}

/* Runs what is whole; *used: bytes of it. */
static enum err run_whole(struct player *p, size_t *used)
{
    size_t at = 0;

    for (;;) {
        struct slice left = slice_of(p->text.data + at, p->text.size - at);
        struct resp_request request;
        const char *error = NULL;
        enum resp_status status;

        *used = at;
        if (left.size == 0)
            return OK;
        if (!p->parser.in_array && left.data[0] == '#') {
            size_t n = note_bytes(left);

            if (n == 0)
                return OK;
            at += n;
            continue;
        }
        if (left.data[0] != '*')
            return bad(p, at, "not a command", SLICE_LITERAL(""));
        p->words.count = 0;
        status = resp_parse(&p->parser, p->text.data + at, left.size, &p->words, &request, &error);
        if (status == RESP_MORE) {
            resp_rewind(&p->parser);
            return OK;
        }
        if (status == RESP_ERROR)
            return bad(p, at, error, SLICE_LITERAL(""));
        TRY(run(p, at, &request));
        at += request.used;
    }
}

static enum err read_all(struct player *p)
{
    size_t want = READ_BYTES;
    bool ended = false;

    for (;;) {
        size_t used, got = 0;

        TRY(run_whole(p, &used));
        buf_consume(&p->text, used);
        p->offset += used;
        if (ended) {
            p->torn = p->text.size > 0;
            return OK;
        }
        /* A long command is looked at again only when there is twice as much of it. */
        want = p->text.size > READ_BYTES ? p->text.size : READ_BYTES;
        for (size_t more = 0; more < want && !ended; more += got) {
            buf_reserve(&p->text, want - more);
            TRY(import_pull(p->import, p->text.data + p->text.size, want - more, &got));
            p->text.size += got;
            ended = got == 0;
        }
    }
}

/* The end of the last file may be torn: a command that is not whole, a transaction without its EXEC. */
static enum err settle_end(struct player *p, bool last)
{
    uint64_t end = p->session.multi.open ? p->multi_offset : p->offset;

    if (!p->torn && !p->session.multi.open)
        return OK;
    if (!last || !config_bool(p->node->config, "aof-load-truncated"))
        return err_set(ERR_CORRUPT, "offset %llu: the file ends within a %s", (unsigned long long)end,
                       p->session.multi.open ? "transaction" : "command");
    log_event(LOG_WARNING, "import: torn end left out: position=%llu of file=%s", (unsigned long long)end,
              p->import->files[p->import->current].path);
    return OK;
}

enum err import_aof(struct import *i, struct node *n, const struct import_file *f, bool last)
{
    struct player p = {.import = i, .node = n, .offset = i->taken};
    uint64_t seed;
    enum err e;

    (void)f;
    check(getrandom(&seed, sizeof seed, 0) == sizeof seed);
    executor_init(&p.x, n, seed, true);
    session_init(&p.session, n, NULL);
    p.session.is_primary = p.session.is_loader = p.session.authenticated = true;
    resp_init(&p.parser, UINT32_MAX);
    p.parser.authenticated = true;
    buf_append_slice(&p.text, buf_slice(&i->rest));
    e = read_all(&p);
    if (e == OK)
        e = settle_end(&p, last);
    if (e == OK)
        e = wal_sync_to(n->wal, wal_tail(n->wal));
    session_fini(&p.session);
    executor_fini(&p.x);
    resp_fini(&p.parser);
    resp_words_free(&p.words);
    buf_free(&p.text);
    buf_free(&p.out);
    return e;
}
