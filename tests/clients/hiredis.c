/*
 * hiredis.c - the C client as programs use it: one connection at a time, pipelines, and the asynchronous form on libuv.
 *
 *     hiredis PORT UNIX_SOCKET       a node outside a cluster
 *     hiredis PORT                   a node of a cluster: redirections only
 *
 * Says what failed, with line and reply, and ends with 1; else says "ok" and which version it was. RESP3 needs hiredis 1.0.
 */
#include <errno.h>
#include <hiredis/adapters/libuv.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIPELINED = 2000, LARGE_BYTES = 8 << 20, ASYNC_COMMANDS = 500 };

#define EXPECT(ok)                                                          \
    do {                                                                    \
        if (!(ok)) {                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #ok);        \
            exit(1);                                                        \
        }                                                                   \
    } while (0)

static redisContext *open_port(int port)
{
    struct timeval patience = {60, 0};
    redisContext *c = redisConnectWithTimeout("127.0.0.1", port, patience);

    EXPECT(c != NULL && c->err == 0);
    EXPECT(redisSetTimeout(c, patience) == REDIS_OK);
    EXPECT(redisEnableKeepAlive(c) == REDIS_OK);
    return c;
}

/* The reply has this type, and this text unless it is NULL. Frees it. */
static void expect_reply(redisReply *r, int type, const char *text, int line)
{
    if (r == NULL || r->type != type || (text != NULL && strcmp(r->str, text) != 0)) {
        fprintf(stderr, "line %d: got type %d \"%s\", wanted type %d \"%s\"\n", line, r != NULL ? r->type : -1,
                r != NULL && r->str != NULL ? r->str : "", type, text != NULL ? text : "");
        exit(1);
    }
    freeReplyObject(r);
}
#define REPLY(r, type, text) expect_reply(r, type, text, __LINE__)

static long long integer(redisReply *r)
{
    long long n;

    EXPECT(r != NULL && r->type == REDIS_REPLY_INTEGER);
    n = r->integer;
    freeReplyObject(r);
    return n;
}

static redisReply *next(redisContext *c)
{
    void *reply = NULL;

    EXPECT(redisGetReply(c, &reply) == REDIS_OK && reply != NULL);
    return reply;
}

/* ---- One connection ---- */

static void types_of_replies(redisContext *c)
{
    const char bytes[] = "zero \0 and \r\n inside";
    redisReply *r;

    REPLY(redisCommand(c, "FLUSHALL"), REDIS_REPLY_STATUS, "OK");
    REPLY(redisCommand(c, "SET %s %b", "key", bytes, sizeof bytes), REDIS_REPLY_STATUS, "OK");
    r = redisCommand(c, "GET %b", "key", (size_t)3);
    EXPECT(r->type == REDIS_REPLY_STRING && (size_t)r->len == sizeof bytes && memcmp(r->str, bytes, sizeof bytes) == 0);
    freeReplyObject(r);
    REPLY(redisCommand(c, "GET nothing"), REDIS_REPLY_NIL, NULL);
    EXPECT(integer(redisCommand(c, "RPUSH list %d %s %f", 1, "two", 3.5)) == 3);
    r = redisCommand(c, "LRANGE list 0 -1");
    EXPECT(r->type == REDIS_REPLY_ARRAY && r->elements == 3 && strcmp(r->element[1]->str, "two") == 0);
    freeReplyObject(r);
    r = redisCommand(c, "LRANGE nothing 0 -1");
    EXPECT(r->type == REDIS_REPLY_ARRAY && r->elements == 0);
    freeReplyObject(r);
    REPLY(redisCommand(c, "INCR list"), REDIS_REPLY_ERROR, "WRONGTYPE Operation against a key holding the wrong kind of value");
    REPLY(redisCommand(c, "NOSUCH a"), REDIS_REPLY_ERROR, "ERR unknown command 'NOSUCH', with args beginning with: 'a' ");
    EXPECT(integer(redisCommand(c, "INCRBY n %lld", 9223372036854775807LL)) == 9223372036854775807LL);
    REPLY(redisCommand(c, "INCR n"), REDIS_REPLY_ERROR, "ERR increment or decrement would overflow");
    EXPECT(c->err == 0);
}

static void transactions(redisContext *c)
{
    redisReply *r;

    (void)integer(redisCommand(c, "DEL t h"));
    REPLY(redisCommand(c, "MULTI"), REDIS_REPLY_STATUS, "OK");
    REPLY(redisCommand(c, "SET t 1"), REDIS_REPLY_STATUS, "QUEUED");
    REPLY(redisCommand(c, "LPUSH t x"), REDIS_REPLY_STATUS, "QUEUED");
    REPLY(redisCommand(c, "HSET h f v"), REDIS_REPLY_STATUS, "QUEUED");
    REPLY(redisCommand(c, "HGETALL h"), REDIS_REPLY_STATUS, "QUEUED");
    r = redisCommand(c, "EXEC");
    EXPECT(r->type == REDIS_REPLY_ARRAY && r->elements == 4);
    EXPECT(r->element[0]->type == REDIS_REPLY_STATUS && r->element[1]->type == REDIS_REPLY_ERROR);
    EXPECT(r->element[2]->integer == 1 && r->element[3]->elements == 2);
    freeReplyObject(r);
    REPLY(redisCommand(c, "EXEC"), REDIS_REPLY_ERROR, "ERR EXEC without MULTI");
}

static void pipelines(redisContext *c)
{
    char *large = malloc(LARGE_BYTES);

    EXPECT(large != NULL);
    memset(large, 'x', LARGE_BYTES);
    for (int i = 0; i < PIPELINED; i++) {
        EXPECT(redisAppendCommand(c, "SET p:%d %d", i, i) == REDIS_OK);
        EXPECT(redisAppendCommand(c, i % 100 == 0 ? "LPOP p:%d" : "GET p:%d", i) == REDIS_OK);
    }
    EXPECT(redisAppendCommand(c, "SET large %b", large, (size_t)LARGE_BYTES) == REDIS_OK);
    EXPECT(redisAppendCommand(c, "GET large") == REDIS_OK);
    for (int i = 0; i < PIPELINED; i++) {
        redisReply *r;

        REPLY(next(c), REDIS_REPLY_STATUS, "OK");
        r = next(c);
        EXPECT(i % 100 == 0 ? r->type == REDIS_REPLY_ERROR : r->type == REDIS_REPLY_STRING && atoi(r->str) == i);
        freeReplyObject(r);
    }
    REPLY(next(c), REDIS_REPLY_STATUS, "OK");
    {
        redisReply *r = next(c);

        EXPECT(r->type == REDIS_REPLY_STRING && r->len == LARGE_BYTES && memcmp(r->str, large, LARGE_BYTES) == 0);
        freeReplyObject(r);
    }
    free(large);
}

/* A reply that does not come in time spoils the connection; hiredis opens it anew. */
static void time_outs(int port)
{
    struct timeval moment = {0, 50000}, patience = {60, 0};
    redisContext *c = open_port(port);

    EXPECT(redisSetTimeout(c, moment) == REDIS_OK);
    EXPECT(redisCommand(c, "BLPOP nothing 0") == NULL);
    EXPECT(c->err == REDIS_ERR_IO && errno == EAGAIN);
    EXPECT(redisReconnect(c) == REDIS_OK);
    EXPECT(redisSetTimeout(c, patience) == REDIS_OK);
    REPLY(redisCommand(c, "BLPOP nothing 0.05"), REDIS_REPLY_NIL, NULL);
    redisFree(c);
}

static void protocol_3(redisContext *c)
{
#if HIREDIS_MAJOR >= 1
    redisReply *r = redisCommand(c, "HELLO 3");

    EXPECT(r->type == REDIS_REPLY_MAP && r->elements >= 14);
    freeReplyObject(r);
    REPLY(redisCommand(c, "GET nothing"), REDIS_REPLY_NIL, NULL);
    r = redisCommand(c, "HGETALL h");
    EXPECT(r->type == REDIS_REPLY_MAP && r->elements == 2);
    freeReplyObject(r);
    EXPECT(integer(redisCommand(c, "ZADD z 1.5 m")) == 1);
    r = redisCommand(c, "ZSCORE z m");
    EXPECT(r->type == REDIS_REPLY_DOUBLE && r->dval == 1.5);
    freeReplyObject(r);
    EXPECT(integer(redisCommand(c, "SADD s a b")) == 2);
    r = redisCommand(c, "SMEMBERS s");
    EXPECT(r->type == REDIS_REPLY_SET && r->elements == 2);
    freeReplyObject(r);
    r = redisCommand(c, "INFO server");
    EXPECT(r->type == REDIS_REPLY_VERB && strcmp(r->vtype, "txt") == 0);
    freeReplyObject(r);
#else
    /* 0.14 does not know RESP3: whoever asks for no protocol gets none of it. */
    REPLY(redisCommand(c, "HELLO 9"), REDIS_REPLY_ERROR, "NOPROTO unsupported protocol version");
#endif
}

/* ---- Many commands at once, on an event loop ---- */

struct crowd {
    int sent, answered, disconnected;
    redisAsyncContext *context;
};

static void on_counted(redisAsyncContext *context, void *reply, void *crowd)
{
    struct crowd *all = crowd;
    redisReply *r = reply;

    EXPECT(r != NULL && r->type == REDIS_REPLY_INTEGER && r->integer == ++all->answered);
    if (all->sent < ASYNC_COMMANDS) {
        all->sent++;
        EXPECT(redisAsyncCommand(context, on_counted, all, "INCR counter") == REDIS_OK);
    } else if (all->answered == ASYNC_COMMANDS) {
        redisAsyncDisconnect(context);
    }
}

static void on_connected(const redisAsyncContext *context, int status)
{
    (void)context;
    EXPECT(status == REDIS_OK);
}

static void on_disconnected(const redisAsyncContext *context, int status)
{
    ((struct crowd *)context->data)->disconnected++;
    EXPECT(status == REDIS_OK);
}

static void asynchronous(int port)
{
    struct crowd all = {.context = redisAsyncConnect("127.0.0.1", port)};
    uv_loop_t *loop = uv_default_loop();

    EXPECT(all.context != NULL && all.context->err == 0);
    all.context->data = &all;
    EXPECT(redisLibuvAttach(all.context, loop) == REDIS_OK);
    EXPECT(redisAsyncSetConnectCallback(all.context, on_connected) == REDIS_OK);
    EXPECT(redisAsyncSetDisconnectCallback(all.context, on_disconnected) == REDIS_OK);
    for (; all.sent < ASYNC_COMMANDS / 2; all.sent++)
        EXPECT(redisAsyncCommand(all.context, on_counted, &all, "INCR counter") == REDIS_OK);
    uv_run(loop, UV_RUN_DEFAULT);
    EXPECT(all.answered == ASYNC_COMMANDS && all.disconnected == 1);
}

/* ---- In a cluster ---- */

/* hiredis follows nothing by itself: programs read the error's words. */
static void redirected(int port)
{
    redisContext *c = open_port(port);
    redisReply *r;
    int there = 0, slot = 0, moved = 0;

    for (int i = 0; i < 64; i++) {
        r = redisCommand(c, "SET key:%d %d", i, i);
        if (r->type == REDIS_REPLY_ERROR) {
            redisContext *other;

            EXPECT(sscanf(r->str, "MOVED %d 127.0.0.1:%d", &slot, &there) == 2 && slot < 16384 && there != port);
            other = open_port(there);
            REPLY(redisCommand(other, "SET key:%d %d", i, i), REDIS_REPLY_STATUS, "OK");
            redisFree(other);
            moved++;
        }
        freeReplyObject(r);
    }
    EXPECT(moved > 0 && moved < 64);
    REPLY(redisCommand(c, "MGET a b"), REDIS_REPLY_ERROR, "CROSSSLOT Keys in request don't hash to the same slot");
    r = redisCommand(c, "CLUSTER SLOTS");
    EXPECT(r->type == REDIS_REPLY_ARRAY && r->elements >= 3 && r->element[0]->elements >= 3);
    EXPECT(r->element[0]->element[2]->element[1]->type == REDIS_REPLY_INTEGER);
    freeReplyObject(r);
    redisFree(c);
}

int main(int argc, char **argv)
{
    int port = argc > 1 ? atoi(argv[1]) : 0;
    redisContext *c;

    EXPECT(argc == 2 || argc == 3);
    if (argc == 2) {
        redirected(port);
    } else {
        c = open_port(port);
        types_of_replies(c);
        transactions(c);
        pipelines(c);
        protocol_3(c);
        REPLY(redisCommand(c, "QUIT"), REDIS_REPLY_STATUS, "OK");
        EXPECT(redisCommand(c, "PING") == NULL && (c->err == REDIS_ERR_EOF || c->err == REDIS_ERR_IO));
        redisFree(c);
        c = redisConnectUnix(argv[2]);
        EXPECT(c != NULL && c->err == 0);
        transactions(c);
        redisFree(c);
        time_outs(port);
        asynchronous(port);
    }
    printf("ok, hiredis %d.%d\n", HIREDIS_MAJOR, HIREDIS_MINOR);
    return 0;
}
