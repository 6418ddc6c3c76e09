/*
 * cmd_function.c - function libraries: there are none, and whoever asks hears so. redis-cli --cluster add-node asks both nodes,
 * and copies the libraries of the one to the other: without this no Cairn node could be added by way of a Redis node.
 *
 * Libraries are refused by name (LOAD, FCALL: unknown; RESTORE of a payload with any: an error), nothing is dropped in silence.
 */
#include "server/cmd/cmd_function.h"

#include "persistence/rdb/rdb_object.h"
#include "server/cmd/args.h"
#include "server/cmd/help.h"

static enum err function_list(struct call *c) /* FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE] */
{
    bool named = false, with_code = false;

    for (size_t i = 2; i < c->argc; i++) {
        if (!with_code && slice_is(c->argv[i], "WITHCODE")) {
            with_code = true;
        } else if (!named && slice_is(c->argv[i], "LIBRARYNAME")) {
            if (++i == c->argc)
                return reply_error(c, "ERR library name argument was not given");
            named = true;
        } else {
            return reply_error(c, "ERR Unknown argument %.*s", (int)c->argv[i].size, (const char *)c->argv[i].data);
        }
    }
    return reply_array(c, 0);
}

static enum err function_dump(struct call *c) /* FUNCTION DUMP */
{
    rdb_payload_finish(c->scratch, c->scratch->size);
    return reply_bulk(c, buf_slice(c->scratch));
}

static enum err function_restore(struct call *c) /* FUNCTION RESTORE payload [FLUSH|APPEND|REPLACE] */
{
    if (c->argc > 4)
        return reply_error(c, "ERR Unknown subcommand or wrong number of arguments for '%.*s'. Try FUNCTION HELP.",
                           (int)c->argv[1].size, (const char *)c->argv[1].data);
    if (c->argc == 4 && !slice_is(c->argv[3], "FLUSH") && !slice_is(c->argv[3], "APPEND") && !slice_is(c->argv[3], "REPLACE"))
        return reply_error(c, "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.");
    if (rdb_payload_verify(c->argv[2]) != OK)
        return reply_error(c, "ERR DUMP payload version or checksum are wrong");
    if (c->argv[2].size > RDB_FOOTER_BYTES)
        return reply_error(c, "ERR The payload holds function libraries, which this server does not have");
    return reply_ok(c);
}

static enum err function_delete(struct call *c) /* FUNCTION DELETE library */
{
    return reply_error(c, "ERR Library not found");
}

static enum err function_flush(struct call *c) /* FUNCTION FLUSH [ASYNC|SYNC] */
{
    if (c->argc > 3 || (c->argc == 3 && !slice_is(c->argv[2], "ASYNC") && !slice_is(c->argv[2], "SYNC")))
        return reply_error(c, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
    return reply_ok(c);
}

static enum err function_help(struct call *c) /* FUNCTION HELP */
{
    static const char *const lines[] = {
        "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
        "    Answers an empty array: this server has no function libraries.",
        "DUMP",
        "    The payload of no libraries.",
        "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
        "    Takes a payload of no libraries, and refuses any other.",
        "DELETE <LIBRARY NAME>",
        "    There is none of that name.",
        "FLUSH [ASYNC|SYNC]",
        "    There is nothing to delete.",
        NULL,
    };

    return reply_help(c, lines);
}

enum { QUICK = COMMAND_NO_TXN | COMMAND_ALONE };

static const struct command_binding rows[] = {
    {"function|list", function_list, QUICK},
    {"function|dump", function_dump, QUICK},
    {"function|restore", function_restore, QUICK},
    {"function|delete", function_delete, QUICK},
    {"function|flush", function_flush, QUICK},
    {"function|help", function_help, QUICK},
};
const struct command_table cmd_function_table = COMMAND_TABLE(rows);
