/*
 * errors.c - error texts, as Redis 7.2 words them.
 */
#include "server/run/errors.h"

#include <ctype.h>
#include <stdio.h>

#include "base/log.h"
#include "server/run/call.h"
#include "server/run/registry.h"

enum { UNKNOWN_ARGUMENTS_MAX = 128 };

/* Rooms below may give a text that already begins with its code. */
static bool begins_with_code(const char *text)
{
    static const char *const codes[] = {"ERR ",       "WRONGTYPE ", "NOPERM ",   "NOAUTH ",  "BUSYKEY ", "INVALIDOBJ ",
                                        "READONLY ",  "MISCONF ",   "IOERR ",    "LOADING ", "OOM ",     "BUSYGROUP ",
                                        "NOGROUP ",   "NOSCRIPT ",  "TRYAGAIN ", "MOVED ",   "ASK ",     "CROSSSLOT ",
                                        "CLUSTERDOWN ", "UNBLOCKED ", "NOREPLICAS "};

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strncmp(text, codes[i], strlen(codes[i])) == 0)
            return true;
    return false;
}

static void trouble(struct call *c, enum err e)
{
    const char *text = err_text();

    log_event(LOG_WARNING, "command failed: command=%s error=%s text=\"%s\"", c->command->name, err_name(e), text);
    if (e == ERR_NO_SPACE)
        (void)reply_error(c, "MISCONF The disk is full: commands that may modify the data set are disabled");
    else if (e == ERR_NO_MEMORY)
        (void)reply_error(c, "OOM command not allowed when used memory > 'maxmemory'.");
    else
        (void)reply_error(c, "ERR %s%s%s", err_name(e), text[0] != '\0' ? ": " : "", text);
}

void errors_reply(struct call *c, enum err e)
{
    const char *text = err_text();

    switch (e) {
    case OK: case ERR_REPLIED: case ERR_COLD: case ERR_BUSY: case ERR_AGAIN:
        return;
    case ERR_WRONG_TYPE:
        (void)reply_error(c, "WRONGTYPE Operation against a key holding the wrong kind of value");
        return;
    case ERR_SYNTAX:
        (void)reply_error(c, "ERR syntax error");
        return;
    case ERR_NOT_INTEGER:
        (void)reply_error(c, "ERR value is not an integer or out of range");
        return;
    case ERR_NOT_FLOAT:
        (void)reply_error(c, "ERR value is not a valid float");
        return;
    case ERR_OVERFLOW:
        (void)reply_error(c, "ERR increment or decrement would overflow");
        return;
    case ERR_NAN:
        (void)reply_error(c, "ERR increment would produce NaN or Infinity");
        return;
    case ERR_RANGE:
        (void)reply_error(c, "ERR index out of range");
        return;
    case ERR_NO_KEY: case ERR_NOT_FOUND:
        (void)reply_error(c, "ERR no such key");
        return;
    case ERR_EXISTS:
        (void)reply_error(c, "BUSYKEY Target key name already exists.");
        return;
    case ERR_TOO_BIG:
        (void)reply_error(c, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
        return;
    case ERR_INVALID:
        (void)reply_error(c, "%s%s", begins_with_code(text) ? "" : "ERR ", text[0] != '\0' ? text : "invalid argument");
        return;
    case ERR_NO_MEMORY: case ERR_IO: case ERR_NO_SPACE: case ERR_CORRUPT: case ERR_PROTOCOL: case ERR_CLOSED:
        trouble(c, e);
        return;
    }
}

enum err reply_arity(struct call *c)
{
    return reply_error(c, "ERR wrong number of arguments for '%s' command", c->command->name);
}

enum err reply_syntax(struct call *c)
{
    return reply_error(c, "ERR syntax error");
}

enum err errors_unknown(struct call *c, const struct command *container)
{
    char arguments[UNKNOWN_ARGUMENTS_MAX + 64];
    size_t size = 0;
    char upper[64];

    if (container != NULL) {
        size_t i = 0;

        for (; container->name[i] != '\0' && i + 1 < sizeof upper; i++)
            upper[i] = (char)toupper((unsigned char)container->name[i]);
        upper[i] = '\0';
        return reply_error(c, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                           (int)(c->argv[1].size < 128 ? c->argv[1].size : 128), (const char *)c->argv[1].data, upper);
    }
    arguments[0] = '\0';
    for (size_t i = 1; i < c->argc && size < UNKNOWN_ARGUMENTS_MAX; i++) {
        size_t room = UNKNOWN_ARGUMENTS_MAX - size;

        size += (size_t)snprintf(arguments + size, sizeof arguments - size, "'%.*s' ",
                                 (int)(c->argv[i].size < room ? c->argv[i].size : room), (const char *)c->argv[i].data);
    }
    return reply_error(c, "ERR unknown command '%.*s', with args beginning with: %s",
                       (int)(c->argv[0].size < 128 ? c->argv[0].size : 128), (const char *)c->argv[0].data, arguments);
}

struct slice errors_code(struct slice reply)
{
    size_t end = 1;

    while (end < reply.size && reply.data[end] != ' ' && reply.data[end] != '\r')
        end++;
    return reply.size == 0 ? reply : slice_of(reply.data + 1, end - 1);
}
