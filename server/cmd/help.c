/*
 * help.c - "CONFIG <subcommand> [<arg> ...]. Subcommands are:" and so on.
 */
#include "server/cmd/help.h"

#include <ctype.h>
#include <stdio.h>

#include "server/run/call.h"
#include "server/run/registry.h"

enum err reply_help(struct call *c, const char *const *lines)
{
    char head[128];
    const char *name = c->command->parent != NULL ? c->command->parent->name : c->command->name;
    size_t count = 0, i = 0;

    while (lines[count] != NULL)
        count++;
    (void)reply_array(c, count + 3);
    for (; name[i] != '\0' && i < 32; i++)
        head[i] = (char)toupper((unsigned char)name[i]);
    snprintf(head + i, sizeof head - i, " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    (void)reply_status(c, head);
    for (size_t k = 0; k < count; k++)
        (void)reply_status(c, lines[k]);
    (void)reply_status(c, "HELP");
    return reply_status(c, "    Prints this help.");
}
