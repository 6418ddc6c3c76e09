/*
 * help.c - the table of options as a text for people: `cairn-server --help-options`.
 */
#include "server/conf/config.h"

static void bounds(struct buf *out, const struct option *o)
{
    if (o->words != NULL && o->type == OPTION_ENUM) {
        for (size_t i = 0; o->words[i] != NULL; i++)
            buf_append_format(out, "%s%s", i > 0 ? ", " : "", o->words[i]);
    } else if (o->type == OPTION_BOOL) {
        buf_append_str(out, "yes, no");
    } else if ((o->type == OPTION_INT || o->type == OPTION_MEMORY) && o->shape == NULL) {
        bool octal = (o->flags & OPTION_OCTAL) != 0;

        buf_append_format(out,
                          octal                  ? "%llo to %llo"
                          : o->most == INT64_MAX ? "from %lld"
                                                 : "%lld to %lld",
                          (long long)o->least, (long long)o->most);
        if (o->type == OPTION_MEMORY)
            buf_append_str(out, " bytes");
    } else {
        buf_append_str(out, o->type == OPTION_LIST ? "words" : "text");
    }
}

void config_help(struct buf *out)
{
    buf_append_str(out, "| option | default | values | CONFIG SET | |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];

        buf_append_format(out, "| %s", o->name);
        if (o->alias != NULL)
            buf_append_format(out, " (%s)", o->alias);
        buf_append_format(out, " | %s | ", o->standard[0] != '\0' ? o->standard : "\"\"");
        bounds(out, o);
        buf_append_format(out, " | %s | %s |\n", (o->flags & OPTION_IMMUTABLE) != 0 ? "no" : "yes", o->help);
    }
}
