/*
 * cmd_acl.c - authentication by requirepass, and ACL for the one user there is.
 *
 * The default user is open when requirepass is empty. Connections stay authenticated when the password changes, as in
 * Redis. Rules for users are refused, not ignored.
 */
#include "server/cmd/cmd_acl.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/check.h"
#include "server/cmd/args.h"
#include "server/cmd/help.h"
#include "server/conf/config.h"
#include "server/node.h"
#include "server/run/registry.h"
#include "server/run/session.h"

#define DEFAULT_USER SLICE_LITERAL("default")

enum { DIGEST_HEX = 2 * SHA256_DIGEST_LENGTH, GENPASS_BITS_DEFAULT = 256, GENPASS_BITS_MAX = 4096 };

/* ---- Authentication ---- */

/* False: no password is set. */
static bool password_digest(struct node *n, uint8_t digest[SHA256_DIGEST_LENGTH])
{
    struct buf password = {0};
    bool set = false;

    if (node_config(n) != NULL) {
        (void)config_string(node_config(n), "requirepass", &password);
        set = password.size > 0;
        SHA256(password.data, password.size, digest);
    }
    if (password.size > 0)
        OPENSSL_cleanse(password.data, password.size);
    buf_free(&password);
    return set;
}

static enum err authenticate(void *context, struct session *s, struct slice user, struct slice password)
{
    uint8_t wanted[SHA256_DIGEST_LENGTH], given[SHA256_DIGEST_LENGTH];
    bool set = password_digest(context, wanted);

    (void)s;
    if (user.data == NULL && !set)
        return err_set(ERR_INVALID,
                       "ERR AUTH <password> called without any password configured for the default user. Are "
                       "you sure your configuration is correct?");
    if (user.data != NULL && !slice_equal(user, DEFAULT_USER))
        return ERR_NOT_FOUND;
    if (!set)
        return OK;
    SHA256(password.data, password.size, given);
    return CRYPTO_memcmp(wanted, given, sizeof wanted) == 0 ? OK : ERR_NOT_FOUND;
}

static bool default_user(void *context, struct session *s)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];

    (void)s;
    return !password_digest(context, digest);
}

enum err acl_open(struct node *n)
{
    struct buf text = {0};
    bool users = false;

    if (node_config(n) != NULL) {
        users = config_string(node_config(n), "aclfile", &text)[0] != '\0';
        users = users || config_string(node_config(n), "user", &text)[0] != '\0';
        buf_free(&text);
    }
    if (users)
        return err_set(ERR_INVALID,
                       "users other than the default one are not supported: take 'aclfile' and 'user' out of "
                       "the settings; requirepass sets the default user's password");
    node_set_authentication(n, authenticate, default_user, n);
    return OK;
}

/* ---- ACL about the default user ---- */

static void hex_put(struct buf *out, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        buf_append_format(out, "%02x", bytes[i]);
}

static enum err whoami(struct call *c) /* ACL WHOAMI */
{
    return reply_bulk(c, DEFAULT_USER);
}

static enum err users(struct call *c) /* ACL USERS */
{
    (void)reply_array(c, 1);
    return reply_bulk(c, DEFAULT_USER);
}

static enum err list(struct call *c) /* ACL LIST */
{
    uint8_t digest[SHA256_DIGEST_LENGTH];

    buf_append_str(c->scratch, "user default on ");
    if (password_digest(c->node, digest)) {
        buf_append_str(c->scratch, "sanitize-payload #");
        hex_put(c->scratch, digest, sizeof digest);
    } else {
        buf_append_str(c->scratch, "nopass sanitize-payload");
    }
    buf_append_str(c->scratch, " ~* &* +@all");
    (void)reply_array(c, 1);
    return reply_bulk(c, buf_slice(c->scratch));
}

static void text_pair(struct call *c, const char *name, const char *value)
{
    (void)reply_bulk_str(c, name);
    (void)reply_bulk_str(c, value);
}

static enum err getuser(struct call *c) /* ACL GETUSER name */
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    bool set;

    if (!slice_equal(c->argv[2], DEFAULT_USER))
        return reply_null(c);
    set = password_digest(c->node, digest);
    (void)reply_map(c, 6);
    (void)reply_bulk_str(c, "flags");
    (void)reply_set(c, set ? 2 : 3);
    (void)reply_bulk_str(c, "on");
    if (!set)
        (void)reply_bulk_str(c, "nopass");
    (void)reply_bulk_str(c, "sanitize-payload");
    (void)reply_bulk_str(c, "passwords");
    (void)reply_array(c, set);
    if (set) {
        hex_put(c->scratch, digest, sizeof digest);
        (void)reply_bulk(c, buf_slice(c->scratch));
    }
    text_pair(c, "commands", "+@all");
    text_pair(c, "keys", "~*");
    text_pair(c, "channels", "&*");
    (void)reply_bulk_str(c, "selectors");
    return reply_array(c, 0);
}

static enum err cat_commands(struct call *c, uint32_t bit)
{
    const struct registry *r = node_registry(c->node);
    size_t mark = reply_defer(c), count = 0;

    for (size_t i = 0; i < registry_count(r); i++)
        if ((registry_at(r, i)->facts->categories & bit) != 0 && registry_at(r, i)->subcommand_count == 0) {
            (void)reply_bulk_str(c, registry_at(r, i)->name);
            count++;
        }
    reply_defer_array(c, mark, count);
    return OK;
}

static enum err cat(struct call *c) /* ACL CAT [category] */
{
    if (c->argc > 3)
        return reply_error(c, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try ACL HELP.",
                           (int)c->argv[1].size, (const char *)c->argv[1].data);
    for (size_t i = 0; c->argc == 3 && i < FACT_CATEGORIES; i++)
        if (slice_is(c->argv[2], fact_category_names[i]))
            return cat_commands(c, UINT32_C(1) << i);
    if (c->argc == 3)
        return reply_error(c, "ERR Unknown category '%.*s'", (int)(c->argv[2].size < 128 ? c->argv[2].size : 128),
                           (const char *)c->argv[2].data);
    (void)reply_array(c, FACT_CATEGORIES);
    for (size_t i = 0; i < FACT_CATEGORIES; i++)
        (void)reply_bulk_str(c, fact_category_names[i]);
    return OK;
}

static enum err genpass(struct call *c) /* ACL GENPASS [bits] */
{
    int64_t bits = GENPASS_BITS_DEFAULT;
    uint8_t bytes[GENPASS_BITS_MAX / 8];
    size_t digits;

    if (c->argc > 3)
        return reply_error(c, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try ACL HELP.",
                           (int)c->argv[1].size, (const char *)c->argv[1].data);
    if (c->argc == 3)
        TRY(arg_i64(c, 2, &bits));
    if (bits <= 0 || bits > GENPASS_BITS_MAX)
        return reply_error(c,
                           "ERR ACL GENPASS argument must be the number of bits for the output password, a positive "
                           "number up to %d",
                           GENPASS_BITS_MAX);
    digits = ((size_t)bits + 3) / 4;
    for (size_t got = 0; got < sizeof bytes;) {
        ssize_t n = getrandom(bytes + got, sizeof bytes - got, 0);

        check(n > 0);
        got += (size_t)n;
    }
    hex_put(c->scratch, bytes, (digits + 1) / 2);
    return reply_bulk(c, slice_of(c->scratch->data, digits));
}

static enum err dryrun(struct call *c) /* ACL DRYRUN user command [argument ...] */
{
    const struct command *command;

    if (!slice_equal(c->argv[2], DEFAULT_USER))
        return reply_error(c, "ERR User '%.*s' not found", (int)(c->argv[2].size < 128 ? c->argv[2].size : 128),
                           (const char *)c->argv[2].data);
    command = registry_resolve(node_registry(c->node), c->argv + 3, c->argc - 3, NULL);
    if (command == NULL)
        return reply_error(c, "ERR Command '%.*s' not found", (int)(c->argv[3].size < 128 ? c->argv[3].size : 128),
                           (const char *)c->argv[3].data);
    if (!command_arity_fits(command, c->argc - 3))
        return reply_error(c, "ERR wrong number of arguments for '%s' command", command->name);
    return reply_ok(c);
}

static enum err deluser(struct call *c) /* ACL DELUSER name [name ...] */
{
    for (size_t i = 2; i < c->argc; i++)
        if (slice_equal(c->argv[i], DEFAULT_USER))
            return reply_error(c, "ERR The 'default' user cannot be removed");
    return reply_int(c, 0); /* nobody else exists */
}

static enum err no_file(struct call *c) /* ACL LOAD, ACL SAVE */
{
    return reply_error(
        c, "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via "
           "the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration "
           "file set) in order to store users in the Redis configuration.");
}

static enum err not_supported(struct call *c) /* ACL SETUSER, ACL LOG */
{
    return reply_error(
        c, "ERR access rules are not supported by this server: requirepass sets the default user's password");
}

static enum err help(struct call *c) /* ACL HELP */
{
    static const char *const lines[] = {
        "CAT [<category>]",
        "    List all commands that belong to <category>, or all command categories",
        "    when no category is specified.",
        "DRYRUN <username> <command> [<arg> ...]",
        "    Returns whether the user can execute the given command without executing the command.",
        "GETUSER <username>",
        "    Get the user's details.",
        "GENPASS [<bits>]",
        "    Generate a secure 256-bit user password. The optional `bits` argument can",
        "    be used to specify a different size.",
        "LIST",
        "    Show users details in config file format.",
        "USERS",
        "    List all the registered usernames.",
        "WHOAMI",
        "    Return the current connection username.",
        NULL,
    };

    return reply_help(c, lines);
}

enum { HERE = COMMAND_NO_TXN | COMMAND_ALONE };

static const struct command_binding rows[] = {
    {"acl|whoami", whoami, HERE},   {"acl|users", users, HERE},       {"acl|list", list, HERE},
    {"acl|getuser", getuser, HERE}, {"acl|cat", cat, HERE},           {"acl|genpass", genpass, HERE},
    {"acl|dryrun", dryrun, HERE},   {"acl|deluser", deluser, HERE},   {"acl|load", no_file, HERE},
    {"acl|save", no_file, HERE},    {"acl|log", not_supported, HERE}, {"acl|setuser", not_supported, HERE},
    {"acl|help", help, HERE},
};
const struct command_table cmd_acl_table = COMMAND_TABLE(rows);
