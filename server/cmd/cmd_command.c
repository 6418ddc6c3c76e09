/*
 * cmd_command.c - COMMAND, from the facts of server/cmd/commands.tsv.
 */
#include "server/cmd/cmd_command.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/glob.h"
#include "server/cmd/args.h"
#include "server/cmd/help.h"
#include "server/cmd/syntax.h"
#include "server/node.h"
#include "server/run/keys.h"
#include "server/run/registry.h"

/* ---- One entry of COMMAND INFO ---- */

/* Statuses for the bits that are set. `prefix` is put before each. */
static void bits_put(struct call *c, uint32_t bits, const char *const *names, size_t count, const char *prefix)
{
    char text[64];

    (void)reply_set(c, (size_t)__builtin_popcount(bits));
    for (size_t i = 0; i < count; i++)
        if ((bits >> i & 1) != 0) {
            snprintf(text, sizeof text, "%s%s", prefix, names[i]);
            (void)reply_status(c, text);
        }
}

static void tips_put(struct call *c, const char *tips)
{
    size_t mark = reply_defer(c), count = 0;

    while (*tips != '\0') {
        size_t size = strcspn(tips, ",");

        (void)reply_bulk(c, slice_of(tips, size));
        count++;
        tips += size + (tips[size] == ',');
    }
    reply_defer_set(c, mark, count);
}

static void pair_int(struct call *c, const char *name, int value)
{
    (void)reply_bulk_str(c, name);
    (void)reply_int(c, value);
}

static void begin_put(struct call *c, const struct key_spec *s)
{
    static const char *const types[] = {"index", "keyword", "unknown"};

    (void)reply_bulk_str(c, "begin_search");
    (void)reply_map(c, 2);
    (void)reply_bulk_str(c, "type");
    (void)reply_bulk_str(c, types[s->begin]);
    (void)reply_bulk_str(c, "spec");
    switch ((enum key_begin)s->begin) {
    case KEY_BEGIN_INDEX:
        (void)reply_map(c, 1);
        pair_int(c, "index", s->position);
        break;
    case KEY_BEGIN_KEYWORD:
        (void)reply_map(c, 2);
        (void)reply_bulk_str(c, "keyword");
        (void)reply_bulk_str(c, s->keyword);
        pair_int(c, "startfrom", s->position);
        break;
    case KEY_BEGIN_UNKNOWN: (void)reply_map(c, 0); break;
    }
}

static void find_put(struct call *c, const struct key_spec *s)
{
    static const char *const types[] = {"range", "keynum", "unknown"};

    (void)reply_bulk_str(c, "find_keys");
    (void)reply_map(c, 2);
    (void)reply_bulk_str(c, "type");
    (void)reply_bulk_str(c, types[s->find]);
    (void)reply_bulk_str(c, "spec");
    switch ((enum key_find)s->find) {
    case KEY_FIND_RANGE:
        (void)reply_map(c, 3);
        pair_int(c, "lastkey", s->last);
        pair_int(c, "keystep", s->step);
        pair_int(c, "limit", s->limit);
        break;
    case KEY_FIND_KEYNUM:
        (void)reply_map(c, 3);
        pair_int(c, "keynumidx", s->number_at);
        pair_int(c, "firstkey", s->first_at);
        pair_int(c, "keystep", s->step);
        break;
    case KEY_FIND_UNKNOWN: (void)reply_map(c, 0); break;
    }
}

static void specs_put(struct call *c, const struct command_facts *f)
{
    (void)reply_set(c, f->spec_count);
    for (size_t i = 0; i < f->spec_count; i++) {
        (void)reply_map(c, 3);
        (void)reply_bulk_str(c, "flags");
        bits_put(c, f->specs[i].flags, key_flag_names, KEY_FLAGS, "");
        begin_put(c, &f->specs[i]);
        find_put(c, &f->specs[i]);
    }
}

struct range {
    int first, last, step;
};

/*
 * The old way to tell where keys are: first, last, step. Where there are several specifications, those that follow each
 * other without a gap count as one; an open end ends it.
 */
static struct range legacy_range(const struct command_facts *f)
{
    struct range r = {0, 0, 0};

    for (size_t i = 0; i < f->spec_count; i++) {
        const struct key_spec *s = &f->specs[i];
        int last;

        if (s->begin != KEY_BEGIN_INDEX || s->find != KEY_FIND_RANGE)
            continue;
        last = s->last >= 0 ? s->position + s->last : s->last;
        if (r.first == 0)
            r = (struct range){s->position, last, s->step};
        else if (r.last >= 0 && s->position == r.last + 1 && s->step == 1 && r.step == 1)
            r.last = last;
    }
    return r;
}

static void info_put(struct call *c, const struct command *command)
{
    const uint32_t hidden = FACT_SENTINEL | FACT_ONLY_SENTINEL | FACT_TOUCHES_ARBITRARY_KEYS;
    struct range r = legacy_range(command->facts);

    (void)reply_array(c, 10);
    (void)reply_bulk_str(c, command->name);
    (void)reply_int(c, command->arity);
    bits_put(c, command->flags & ~hidden, fact_flag_names, FACT_FLAGS, "");
    (void)reply_int(c, r.first);
    (void)reply_int(c, r.last);
    (void)reply_int(c, r.step);
    bits_put(c, command->facts->categories, fact_category_names, FACT_CATEGORIES, "@");
    tips_put(c, command->facts->tips);
    specs_put(c, command->facts);
    (void)reply_set(c, command->subcommand_count);
    for (size_t i = 0; i < command->subcommand_count; i++)
        info_put(c, command->subcommands[i]);
}

/* Calls put for each command that is no subcommand; returns how many. */
static size_t each_command(struct call *c, void (*put)(struct call *c, const struct command *command))
{
    const struct registry *r = node_registry(c->node);
    size_t count = 0;

    for (size_t i = 0; i < registry_count(r); i++)
        if (registry_at(r, i)->parent == NULL) {
            if (put != NULL)
                put(c, registry_at(r, i));
            count++;
        }
    return count;
}

static enum err all(struct call *c)
{
    (void)reply_array(c, each_command(c, NULL));
    (void)each_command(c, info_put);
    return OK;
}

static enum err command(struct call *c) /* COMMAND */
{
    return c->argc == 1 ? all(c) : reply_arity(c);
}

static enum err count_commands(struct call *c) /* COMMAND COUNT */
{
    return reply_int(c, (int64_t)each_command(c, NULL));
}

static enum err info(struct call *c) /* COMMAND INFO [name ...] */
{
    if (c->argc == 2)
        return all(c);
    (void)reply_array(c, c->argc - 2);
    for (size_t i = 2; i < c->argc; i++) {
        const struct command *found = registry_find(node_registry(c->node), c->argv[i]);

        if (found != NULL)
            info_put(c, found);
        else
            (void)reply_null(c);
    }
    return OK;
}

/* ---- DOCS ---- */

static void doc_text(struct call *c, const char *name, const char *value)
{
    (void)reply_bulk_str(c, name);
    (void)reply_bulk_str(c, value);
}

static int by_name(const void *name, const void *syntax)
{
    return strcmp(name, ((const struct command_syntax *)syntax)->name);
}

static void arguments_put(struct call *c, const struct command_argument *a, size_t count)
{
    static const char *const flags[] = {"optional", "multiple", "multiple_token"};

    (void)reply_array(c, count);
    for (size_t i = 0; i < count; i++, a++) {
        bool shown = a->count == 0;

        (void)reply_map(c, 2u + shown + (a->key_spec >= 0) + (a->token != NULL) + (a->flags != 0) + (a->count > 0));
        doc_text(c, "name", a->name);
        doc_text(c, "type", a->type);
        if (shown)
            doc_text(c, "display_text", a->name);
        if (a->key_spec >= 0)
            pair_int(c, "key_spec_index", a->key_spec);
        if (a->token != NULL)
            doc_text(c, "token", a->token);
        if (a->flags != 0) {
            (void)reply_bulk_str(c, "flags");
            bits_put(c, (uint32_t)a->flags, flags, sizeof flags / sizeof *flags, "");
        }
        if (a->count > 0) {
            (void)reply_bulk_str(c, "arguments");
            arguments_put(c, a->inside, a->count);
        }
    }
}

static void history_put(struct call *c, const struct command_syntax *s)
{
    (void)reply_bulk_str(c, "history");
    (void)reply_set(c, s->history_count);
    for (size_t i = 0; i < s->history_count; i++) {
        (void)reply_array(c, 2);
        (void)reply_bulk_str(c, s->history[i].since);
        (void)reply_bulk_str(c, s->history[i].what);
    }
}

static void doc_put(struct call *c, const struct command *command)
{
    static const struct command_syntax none = {0};
    const struct command_facts *f = command->facts;
    const struct command_syntax *s =
        bsearch(command->name, command_syntax, command_syntax_count, sizeof *command_syntax, by_name);
    bool deprecated = f->deprecated != NULL;

    if (s == NULL)
        s = &none; /* a container */
    (void)reply_bulk_str(c, command->name);
    (void)reply_map(c, 2u + (f->summary[0] != '\0') + (s->complexity != NULL) + 2 * deprecated + (s->history_count > 0) +
                           (s->argument_count > 0) + (command->subcommand_count > 0));
    if (f->summary[0] != '\0')
        doc_text(c, "summary", f->summary);
    doc_text(c, "since", f->since);
    doc_text(c, "group", f->group);
    if (s->complexity != NULL)
        doc_text(c, "complexity", s->complexity);
    if (deprecated) {
        (void)reply_bulk_str(c, "doc_flags");
        (void)reply_set(c, 1);
        (void)reply_status(c, "deprecated");
        doc_text(c, "deprecated_since", f->deprecated);
    }
    if (s->history_count > 0)
        history_put(c, s);
    if (s->argument_count > 0) {
        (void)reply_bulk_str(c, "arguments");
        arguments_put(c, s->arguments, s->argument_count);
    }
    if (command->subcommand_count > 0) {
        (void)reply_bulk_str(c, "subcommands");
        (void)reply_map(c, command->subcommand_count);
        for (size_t i = 0; i < command->subcommand_count; i++)
            doc_put(c, command->subcommands[i]);
    }
}

static enum err docs(struct call *c) /* COMMAND DOCS [name ...] */
{
    size_t mark = reply_defer(c), count = 0;

    if (c->argc == 2)
        count = each_command(c, doc_put);
    for (size_t i = 2; i < c->argc; i++) {
        const struct command *found = registry_find(node_registry(c->node), c->argv[i]);

        if (found == NULL)
            continue;
        doc_put(c, found);
        count++;
    }
    reply_defer_map(c, mark, count);
    return OK;
}

/* ---- LIST ---- */

enum filter { FILTER_NONE, FILTER_MODULE, FILTER_CATEGORY, FILTER_PATTERN };

/* The bit of a category's name; 0: no such category. */
static uint32_t category_bit(struct slice name)
{
    for (size_t i = 0; i < FACT_CATEGORIES; i++)
        if (slice_is(name, fact_category_names[i]))
            return UINT32_C(1) << i;
    return 0;
}

static bool list_wanted(const struct command *command, enum filter filter, struct slice argument)
{
    switch (filter) {
    case FILTER_NONE: return true;
    case FILTER_MODULE: return false; /* there are none */
    case FILTER_CATEGORY: return (command->facts->categories & category_bit(argument)) != 0;
    case FILTER_PATTERN: return glob_match(argument, slice_str(command->name), true);
    }
    return false;
}

static enum err list(struct call *c) /* COMMAND LIST [FILTERBY MODULE|ACLCAT|PATTERN argument] */
{
    const struct registry *r = node_registry(c->node);
    enum filter filter = FILTER_NONE;
    struct slice argument = {0};
    size_t mark, count = 0;

    if (c->argc == 5 && slice_is(c->argv[2], "FILTERBY")) {
        filter = slice_is(c->argv[3], "MODULE")    ? FILTER_MODULE
                 : slice_is(c->argv[3], "ACLCAT")  ? FILTER_CATEGORY
                 : slice_is(c->argv[3], "PATTERN") ? FILTER_PATTERN
                                                   : FILTER_NONE;
        argument = c->argv[4];
        if (filter == FILTER_NONE)
            return reply_syntax(c);
    } else if (c->argc != 2) {
        return reply_syntax(c);
    }
    mark = reply_defer(c);
    for (size_t i = 0; i < registry_count(r); i++)
        if (list_wanted(registry_at(r, i), filter, argument)) {
            (void)reply_bulk_str(c, registry_at(r, i)->name);
            count++;
        }
    reply_defer_array(c, mark, count);
    return OK;
}

/* ---- GETKEYS ---- */

/* Flags that depend on other words: SET with GET reads, BITFIELD with GET alone does not write. */
static unsigned key_flags(const struct command *command, const struct slice *argv, size_t argc, unsigned flags)
{
    if ((flags & KEY_VARIABLE_FLAGS) == 0)
        return flags;
    flags &= ~(unsigned)KEY_VARIABLE_FLAGS;
    if (strcmp(command->name, "set") == 0) {
        for (size_t i = 3; i < argc; i++)
            if (slice_is(argv[i], "get"))
                return KEY_RW | KEY_ACCESS | KEY_UPDATE;
        return KEY_OW | KEY_UPDATE;
    }
    if (strcmp(command->name, "bitfield") == 0) {
        for (size_t i = 2; i < argc; i++) {
            if (slice_is(argv[i], "set") || slice_is(argv[i], "incrby"))
                return KEY_RW | KEY_ACCESS | KEY_UPDATE;
            i += slice_is(argv[i], "get") ? 2 : 1; /* type and offset, or the word of OVERFLOW */
        }
        return KEY_RO | KEY_ACCESS;
    }
    return flags;
}

static enum err getkeys(struct call *c, bool with_flags)
{
    const struct slice *argv = c->argv + 2;
    size_t argc = c->argc - 2;
    const struct command *found = registry_resolve(node_registry(c->node), argv, argc, NULL);
    struct key_places keys = {0};
    enum err e;

    if (found == NULL)
        return reply_error(c, "ERR Invalid command specified");
    if (found->facts->spec_count == 0)
        return reply_error(c, "ERR The command has no key arguments");
    if (!command_arity_fits(found, argc))
        return reply_error(c, "ERR Invalid number of arguments specified for command");
    e = keys_find(found, argv, argc, &keys);
    for (size_t i = 0, real = 0; e == OK && i < keys.count; i++) {
        real += (key_places_at(&keys, i)->flags & KEY_NOT_KEY) == 0;
        if (i + 1 == keys.count && real == 0)
            e = ERR_NOT_FOUND;
    }
    if (e != OK || keys.count == 0) {
        bool none = e == ERR_NOT_FOUND || (e == OK && (found->flags & FACT_NO_MANDATORY_KEYS) == 0);

        key_places_free(&keys);
        if (e == OK && !none)
            return reply_array(c, 0);
        return reply_error(c, none ? "ERR The command has no key arguments"
                                   : "ERR Invalid arguments specified for command");
    }
    (void)reply_array(c, keys.count);
    for (size_t i = 0; i < keys.count; i++) {
        const struct key_place *p = key_places_at(&keys, i);

        if (with_flags)
            (void)reply_array(c, 2);
        (void)reply_bulk(c, argv[p->index]);
        if (with_flags)
            bits_put(c, key_flags(found, argv, argc, p->flags), key_flag_names, KEY_FLAGS, "");
    }
    key_places_free(&keys);
    return OK;
}

static enum err getkeys_plain(struct call *c) /* COMMAND GETKEYS command [argument ...] */
{
    return getkeys(c, false);
}

static enum err getkeys_flags(struct call *c) /* COMMAND GETKEYSANDFLAGS command [argument ...] */
{
    return getkeys(c, true);
}

static enum err help(struct call *c) /* COMMAND HELP */
{
    static const char *const lines[] = {
        "(no subcommand)",
        "    Return details about all Redis commands.",
        "COUNT",
        "    Return the total number of commands in this Redis server.",
        "LIST",
        "    Return a list of all commands in this Redis server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "GETKEYS <full-command>",
        "    Return the keys from a full Redis command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full Redis command.",
        NULL,
    };

    return reply_help(c, lines);
}

enum { HERE = COMMAND_NO_TXN | COMMAND_ALONE };

static const struct command_binding rows[] = {
    {"command", command, HERE},
    {"command|count", count_commands, HERE},
    {"command|info", info, HERE},
    {"command|docs", docs, HERE},
    {"command|list", list, HERE},
    {"command|getkeys", getkeys_plain, HERE},
    {"command|getkeysandflags", getkeys_flags, HERE},
    {"command|help", help, HERE},
};
const struct command_table cmd_command_table = COMMAND_TABLE(rows);
