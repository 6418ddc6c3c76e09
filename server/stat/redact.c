/*
 * redact.c - which words of which commands are secret: passwords in AUTH, HELLO, MIGRATE, ACL and CONFIG SET.
 */
#include "server/stat/redact.h"

#include "server/run/registry.h"

static bool is_secret_option(struct slice name)
{
    static const char *const names[] = {"requirepass", "masterauth", "masteruser", "tls-key-file-pass",
                                        "tls-client-key-file-pass"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (slice_is(name, names[i]))
            return true;
    return false;
}

enum kind { NOTHING, ALL_ARGUMENTS, ALL_BEHIND_THE_SUBCOMMAND, AFTER_AUTH, CONFIG_VALUES };

static enum kind kind_of(const char *name)
{
    static const struct {
        const char *name;
        enum kind kind;
    } table[] = {{"auth", ALL_ARGUMENTS},
                 {"hello", AFTER_AUTH},
                 {"migrate", AFTER_AUTH},
                 {"acl|setuser", ALL_BEHIND_THE_SUBCOMMAND},
                 {"config|set", CONFIG_VALUES},
                 {"acl|getuser", ALL_BEHIND_THE_SUBCOMMAND},
                 {"acl|deluser", ALL_BEHIND_THE_SUBCOMMAND}};

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(name, table[i].name) == 0)
            return table[i].kind;
    return NOTHING;
}

/* Whether word i is secret. AUTH2 and HELLO's AUTH have a user before the password. */
static bool is_secret(enum kind kind, const struct command *command, const struct slice *argv, size_t i)
{
    bool two = strcmp(command->name, "hello") == 0;

    switch (kind) {
    case NOTHING: return false;
    case ALL_ARGUMENTS: return i >= 1;
    case ALL_BEHIND_THE_SUBCOMMAND: return i >= 2;
    case CONFIG_VALUES: return i >= 3 && i % 2 == 1 && is_secret_option(argv[i - 1]);
    case AFTER_AUTH:
        return (i >= 2 && (slice_is(argv[i - 1], "auth") || slice_is(argv[i - 1], "auth2"))) ||
               (i >= 3 && (slice_is(argv[i - 2], "auth2") || (two && slice_is(argv[i - 2], "auth"))));
    }
    return false;
}

const struct slice *redact(const struct command *command, const struct slice *argv, size_t argc, struct slice *copy,
                           size_t room)
{
    enum kind kind = kind_of(command->name);
    size_t count = argc < room ? argc : room;

    if (kind == NOTHING)
        return argv;
    for (size_t i = 0; i < count; i++)
        copy[i] = is_secret(kind, command, argv, i) ? SLICE_LITERAL("(redacted)") : argv[i];
    return copy;
}
