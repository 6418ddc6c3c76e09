/*
 * registry.h - all commands of this server: each binding of the tables, with its facts. Constant once made.
 */
#ifndef CAIRN_SERVER_RUN_REGISTRY_H
#define CAIRN_SERVER_RUN_REGISTRY_H

#include "base/err.h"
#include "base/slice.h"
#include "server/run/command.h"
#include "server/run/facts.h"

struct command {
    const char *name; /* lower case; a subcommand is "config|get" */
    uint16_t name_size;
    uint16_t index;   /* 0 .. registry_count - 1: for statistics and access control */
    int arity;
    uint32_t flags;   /* enum fact_flag */
    unsigned how;     /* COMMAND_* */
    int single_key;   /* > 0: the command's only key is always argv[single_key] */
    enum err (*run)(struct call *c); /* NULL: a container */
    const struct command_facts *facts;
    const struct command *parent;    /* of a subcommand */
    const struct command *const *subcommands;
    size_t subcommand_count;
};

/* May it change data, or what goes to replicas? */
static inline bool command_may_write(const struct command *command)
{
    return (command->flags & (FACT_WRITE | FACT_MAY_REPLICATE)) != 0;
}

struct registry;

/* ERR_INVALID, with a text, if a row has no facts or a name stands twice. Tables are borrowed for good. */
enum err registry_new(const struct command_table *const *tables, size_t count, struct registry **out) WARN_UNUSED;
void registry_free(struct registry *r);

/* Any case; NULL: unknown. "config|get" finds the subcommand. */
const struct command *registry_find(const struct registry *r, struct slice name);

/* The command of a request: container and subcommand together. NULL: unknown command, or (*container is set then, if
 * not NULL) an unknown subcommand of that container. A container without further words gives the container. */
const struct command *registry_resolve(const struct registry *r, const struct slice *argv, size_t argc,
                                       const struct command **container);

/* The command and its subcommands are unknown to clients from now on; replay, replication and scripts still have them.
 * Before commands run. ERR_NOT_FOUND: no such command. */
enum err registry_disable(struct registry *r, struct slice name) WARN_UNUSED;

/* In order of index; top-level commands and subcommands. */
size_t registry_count(const struct registry *r);
const struct command *registry_at(const struct registry *r, size_t index);

bool command_arity_fits(const struct command *c, size_t argc);

#endif
