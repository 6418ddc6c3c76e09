/*
 * cmd_config.c - CONFIG. The table, the checks and the file are in server/conf.
 */
#include "server/cmd/cmd_config.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/glob.h"
#include "server/cmd/help.h"
#include "server/conf/config.h"
#include "server/net/clients.h"
#include "server/node.h"
#include "server/run/call.h"
#include "server/run/session.h"
#include "server/run/stats.h"
#include "server/stat/watch.h"

enum { CHANGES_MAX = 256 };

/* ---- GET ---- */

/* A name without pattern characters is given back as it was asked for, a pattern's finds as the table has them. */
static bool wanted(const struct call *c, const char *name, bool by_pattern, struct slice *shown)
{
    for (size_t i = 2; i < c->argc; i++) {
        struct slice pattern = c->argv[i];
        bool plain = true;

        for (size_t k = 0; k < pattern.size; k++)
            plain = plain && strchr("*?[\\", pattern.data[k]) == NULL;
        if (plain ? slice_is(pattern, name) : by_pattern && glob_match(pattern, slice_str(name), true)) {
            *shown = plain ? pattern : slice_str(name);
            return true;
        }
    }
    return false;
}

static void show(struct call *c, size_t option, struct slice name)
{
    (void)reply_bulk(c, name);
    buf_clear(c->scratch);
    config_text(node_config(c->node), option, c->scratch);
    (void)reply_bulk(c, buf_slice(c->scratch));
}

static enum err config_get(struct call *c) /* CONFIG GET pattern [pattern ...] */
{
    size_t mark = reply_defer(c), pairs = 0;

    for (size_t i = 0; i < option_count; i++) {
        bool listed = (option_table[i].flags & OPTION_UNLISTED) == 0;
        struct slice name;

        if ((option_table[i].flags & OPTION_HIDDEN) != 0)
            continue;
        if (wanted(c, option_table[i].name, listed, &name)) {
            show(c, i, name);
            pairs++;
        }
        if (option_table[i].alias != NULL && wanted(c, option_table[i].alias, listed, &name)) {
            show(c, i, name);
            pairs++;
        }
    }
    reply_defer_map(c, mark, pairs);
    return OK;
}

/* ---- SET ---- */

/* enable-protected-configs: no, yes, local. */
static bool may_change_protected(const struct call *c)
{
    const struct client *client = c->session->client;
    int64_t how = config_int(node_config(c->node), "enable-protected-configs");

    return how == 1 || (how == 2 && (client == NULL || client_is_local(client)));
}

static enum err config_set_(struct call *c) /* CONFIG SET name value [name value ...] */
{
    struct config_change changes[CHANGES_MAX];
    size_t count = (c->argc - 2) / 2, failed = 0;
    enum err e;

    if (c->argc % 2 != 0 || count > CHANGES_MAX)
        return reply_syntax(c);
    for (size_t i = 0; i < count; i++) {
        struct slice name = c->argv[2 + 2 * i];
        size_t option = option_find(name);

        if (option == SIZE_MAX || (option_table[option].flags & OPTION_HIDDEN) != 0)
            return reply_error(c, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                               (int)(name.size < 128 ? name.size : 128), (const char *)name.data);
        changes[i] = (struct config_change){option, c->argv[3 + 2 * i], name};
    }
    e = config_set(node_config(c->node), changes, count, may_change_protected(c), &failed);
    if (e == ERR_INVALID)
        return reply_error(c, "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s",
                           (int)changes[failed].name.size, (const char *)changes[failed].name.data, err_text());
    TRY(e);
    return reply_ok(c);
}

/* ---- The rest ---- */

static enum err config_rewrite_(struct call *c) /* CONFIG REWRITE */
{
    enum err e = config_rewrite(node_config(c->node));

    if (e == ERR_INVALID)
        return reply_error(c, "ERR %s", err_text());
    if (e != OK)
        return reply_error(c, "ERR Rewriting config file: %s", err_text());
    return reply_ok(c);
}

static enum err config_resetstat(struct call *c) /* CONFIG RESETSTAT */
{
    stats_reset(node_stats(c->node));
    clients_figures_reset(node_clients(c->node));
    watch_reset(node_watch(c->node));
    return reply_ok(c);
}

static enum err help(struct call *c) /* CONFIG HELP */
{
    static const char *const lines[] = {
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
        NULL,
    };

    return reply_help(c, lines);
}

/* Listeners of a change may take any lock but a slot's; REWRITE waits for the disk. */
static const struct command_binding rows[] = {
    {"config|get", config_get, COMMAND_NO_TXN | COMMAND_ALONE},
    {"config|set", config_set_, COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_COLD_EXEC},
    {"config|rewrite", config_rewrite_, COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_COLD_EXEC},
    {"config|resetstat", config_resetstat, COMMAND_NO_TXN | COMMAND_ALONE},
    {"config|help", help, COMMAND_NO_TXN | COMMAND_ALONE},
};
const struct command_table cmd_config_table = COMMAND_TABLE(rows);
