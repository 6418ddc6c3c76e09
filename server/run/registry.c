/*
 * registry.c - one open-addressing table over lower-case names, two thirds empty: most look-ups compare one name.
 */
#include "server/run/registry.h"

#include <stdlib.h>

#include "base/check.h"

enum { NAME_BYTES_MAX = 48, CELLS_MIN = 2048 };

struct registry {
    struct command *commands;
    size_t count;
    const struct command **subcommands; /* one array, the parents point into it */
    uint16_t *cells;                    /* index + 1; 0: empty */
    size_t mask;
};

/* Names are short: length and the first and last bytes tell nearly all of them apart. */
static uint32_t name_hash(const char *name, size_t size)
{
    uint64_t h = size * UINT64_C(0x9E3779B97F4A7C15);

    for (size_t i = 0; i < size; i++)
        h = (h ^ (uint8_t)name[i]) * UINT64_C(0x100000001B3);
    return (uint32_t)(h ^ h >> 29);
}

static const struct command *find_lower(const struct registry *r, const char *name, size_t size)
{
    for (size_t at = name_hash(name, size) & r->mask;; at = (at + 1) & r->mask) {
        const struct command *c;

        if (r->cells[at] == 0)
            return NULL;
        c = &r->commands[r->cells[at] - 1];
        if (c->name_size == size && memcmp(c->name, name, size) == 0)
            return c;
    }
}

static size_t lower(char *out, struct slice s)
{
    for (size_t i = 0; i < s.size; i++) {
        uint8_t byte = s.data[i];
        out[i] = (char)(byte >= 'A' && byte <= 'Z' ? byte + 32 : byte);
    }
    return s.size;
}

const struct command *registry_find(const struct registry *r, struct slice name)
{
    char text[NAME_BYTES_MAX];

    if (name.size == 0 || name.size > sizeof text)
        return NULL;
    return find_lower(r, text, lower(text, name));
}

const struct command *registry_resolve(const struct registry *r, const struct slice *argv, size_t argc,
                                       const struct command **container)
{
    const struct command *c = registry_find(r, argv[0]);
    char text[NAME_BYTES_MAX];
    size_t size;

    if (container != NULL)
        *container = NULL;
    /* A "config|get" sent as one word is no command. */
    if (c == NULL || c->parent != NULL)
        return NULL;
    if (c->subcommand_count == 0 || argc < 2)
        return c;
    if (c->name_size + 1 + argv[1].size <= sizeof text) {
        const struct command *sub;

        memcpy(text, c->name, c->name_size);
        text[c->name_size] = '|';
        size = c->name_size + 1 + lower(text + c->name_size + 1, argv[1]);
        if ((sub = find_lower(r, text, size)) != NULL)
            return sub;
    }
    /* COMMAND runs by itself too; only a pure container needs a known subcommand. */
    if (container != NULL)
        *container = c;
    return NULL;
}

bool command_arity_fits(const struct command *c, size_t argc)
{
    return c->arity >= 0 ? argc == (size_t)c->arity : argc >= (size_t)-c->arity;
}

static const struct command_facts *facts_find(const char *name)
{
    size_t low = 0, high = command_facts_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(command_facts[middle].name, name);

        if (order == 0)
            return &command_facts[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void command_fill(struct command *c, const struct command_facts *facts)
{
    c->name = facts->name;
    c->name_size = (uint16_t)strlen(facts->name);
    c->arity = facts->arity;
    c->flags = facts->flags;
    c->facts = facts;
    if (facts->spec_count == 1 && facts->specs[0].begin == KEY_BEGIN_INDEX &&
        facts->specs[0].find == KEY_FIND_RANGE && facts->specs[0].last == 0 &&
        (facts->specs[0].flags & KEY_NOT_KEY) == 0)
        c->single_key = facts->specs[0].position;
}

static enum err cell_add(struct registry *r, size_t index)
{
    const struct command *c = &r->commands[index];
    size_t at = name_hash(c->name, c->name_size) & r->mask;

    while (r->cells[at] != 0) {
        if (strcmp(r->commands[r->cells[at] - 1].name, c->name) == 0)
            return err_set(ERR_INVALID, "command '%s' is bound twice", c->name);
        at = (at + 1) & r->mask;
    }
    r->cells[at] = (uint16_t)(index + 1);
    return OK;
}

/* A container that no table binds is added by itself as soon as one of its subcommands is bound. */
static enum err container_add(struct registry *r, const char *sub_name)
{
    char name[NAME_BYTES_MAX];
    const char *bar = strchr(sub_name, '|');
    const struct command_facts *facts;

    if (bar == NULL)
        return OK;
    memcpy(name, sub_name, (size_t)(bar - sub_name));
    name[bar - sub_name] = '\0';
    if (find_lower(r, name, (size_t)(bar - sub_name)) != NULL)
        return OK;
    if ((facts = facts_find(name)) == NULL)
        return err_set(ERR_INVALID, "no facts about command '%s'", name);
    if (!facts->container)
        return OK; /* bound by a table later, or never: COMMAND itself */
    command_fill(&r->commands[r->count], facts);
    return cell_add(r, r->count++);
}

static enum err row_add(struct registry *r, const struct command_binding *row)
{
    const struct command_facts *facts = facts_find(row->name);
    struct command *c = &r->commands[r->count];

    if (facts == NULL)
        return err_set(ERR_INVALID, "no facts about command '%s'", row->name);
    if (facts->container)
        return err_set(ERR_INVALID, "'%s' is a container: bind its subcommands", row->name);
    command_fill(c, facts);
    c->run = row->run;
    c->how = row->how;
    TRY(cell_add(r, r->count++));
    return container_add(r, row->name);
}

static void link_subcommands(struct registry *r)
{
    size_t used = 0;

    for (size_t i = 0; i < r->count; i++) {
        struct command *parent = &r->commands[i];
        size_t first = used;

        if (strchr(parent->name, '|') != NULL)
            continue;
        for (size_t j = 0; j < r->count; j++) {
            struct command *c = &r->commands[j];

            if (c->name_size > parent->name_size && c->name[parent->name_size] == '|' &&
                memcmp(c->name, parent->name, parent->name_size) == 0) {
                c->parent = parent;
                r->subcommands[used++] = c;
            }
        }
        if (used > first) {
            parent->subcommands = &r->subcommands[first];
            parent->subcommand_count = used - first;
        }
    }
}

enum err registry_new(const struct command_table *const *tables, size_t count, struct registry **out)
{
    struct registry *r = calloc(1, sizeof *r);
    size_t rows = command_facts_count, cells = CELLS_MIN;
    enum err e = ERR_NO_MEMORY;

    if (r == NULL)
        return e;
    for (size_t i = 0; i < count; i++)
        rows += tables[i]->count;
    while (cells < rows * 3)
        cells *= 2;
    check(rows < UINT16_MAX);
    r->mask = cells - 1;
    r->commands = calloc(rows, sizeof *r->commands);
    r->subcommands = calloc(rows, sizeof(void *));
    r->cells = calloc(cells, sizeof *r->cells);
    if (r->commands == NULL || r->subcommands == NULL || r->cells == NULL)
        goto fail;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < tables[i]->count; j++)
            if ((e = row_add(r, &tables[i]->rows[j])) != OK)
                goto fail;
    for (size_t i = 0; i < r->count; i++)
        r->commands[i].index = (uint16_t)i;
    link_subcommands(r);
    *out = r;
    return OK;
fail:
    registry_free(r);
    return e;
}

void registry_free(struct registry *r)
{
    if (r == NULL)
        return;
    free(r->commands);
    free(r->subcommands);
    free(r->cells);
    free(r);
}

enum err registry_disable(struct registry *r, struct slice name)
{
    const struct command *found = registry_find(r, name);

    if (found == NULL || found->parent != NULL)
        return ERR_NOT_FOUND;
    for (size_t i = 0; i < r->count; i++)
        if (&r->commands[i] == found || r->commands[i].parent == found)
            r->commands[i].how |= COMMAND_DISABLED;
    return OK;
}

size_t registry_count(const struct registry *r)
{
    return r->count;
}

const struct command *registry_at(const struct registry *r, size_t index)
{
    check(index < r->count);
    return &r->commands[index];
}
