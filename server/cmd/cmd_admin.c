/*
 * cmd_admin.c - SAVE and BGSAVE write an RDB file (server/stat/save.h). The log needs no rewriting: BGREWRITEAOF makes a
 * checkpoint, and what that frees is the log behind it.
 */
#include "server/cmd/cmd_admin.h"

#include <stdio.h>
#include <time.h>

#include "base/rng.h"
#include "server/cmd/args.h"
#include "server/cmd/help.h"
#include "server/node.h"
#include "server/stat/save.h"
#include "server/stat/watch.h"

#define REDIS_VERSION "7.2.4"

static struct save *save_of(const struct call *c)
{
    return watch_save(node_watch(c->node));
}

static enum err save(struct call *c) /* SAVE */
{
    enum err e = save_now(save_of(c));

    if (e == ERR_AGAIN)
        return reply_error(c, "ERR Background save already in progress");
    TRY(e);
    return reply_ok(c);
}

static enum err bgsave(struct call *c) /* BGSAVE [SCHEDULE] */
{
    if (c->argc > 2 || (c->argc == 2 && !slice_is(c->argv[1], "SCHEDULE")))
        return reply_syntax(c);
    if (save_in_background(save_of(c)) != OK)
        return reply_error(c, "ERR Background save already in progress");
    return reply_status(c, "Background saving started");
}

static enum err bgrewriteaof(struct call *c) /* BGREWRITEAOF */
{
    if (save_checkpoint(save_of(c)) != OK)
        return reply_error(c, "ERR Background append only file rewriting already in progress");
    return reply_status(c, "Background append only file rewriting started");
}

static enum err lastsave(struct call *c) /* LASTSAVE */
{
    struct save_figures f;

    save_figures(save_of(c), &f);
    return reply_int(c, f.last_s);
}

static enum err time_now(struct call *c) /* TIME */
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    (void)reply_array(c, 2);
    (void)reply_bulk_int(c, t.tv_sec);
    return reply_bulk_int(c, t.tv_nsec / 1000);
}

/* ---- LOLWUT: a pile of stones, a different one each time ---- */

enum { STONES_MIN = 3, STONES_MAX = 8, WIDTH_MAX = 40 };

static void spaces(struct buf *out, int count)
{
    for (int i = 0; i < count; i++)
        buf_append_byte(out, ' ');
}

static void stone(struct buf *out, int left, int width, char fill)
{
    spaces(out, left);
    buf_append_byte(out, '(');
    for (int i = 0; i < width; i++)
        buf_append_byte(out, (uint8_t)fill);
    buf_append_str(out, ")\n");
}

static void cairn(struct buf *out, uint64_t seed)
{
    struct rng rng;
    int stones, width = 2, left = WIDTH_MAX / 2;

    rng_seed(&rng, seed);
    stones = STONES_MIN + (int)rng_below(&rng, STONES_MAX - STONES_MIN + 1);
    spaces(out, left + 1);
    buf_append_str(out, "__\n");
    for (int i = 0; i < stones && left > 0; i++) {
        int more = 1 + (int)rng_below(&rng, 4), shift = (int)rng_below(&rng, 2);

        stone(out, left, width, '_');
        width += more;
        left -= more / 2 + shift;
    }
    buf_append_byte(out, '\n');
}

static enum err lolwut(struct call *c) /* LOLWUT [VERSION version] [...] */
{
    int64_t version = 0;

    if (c->argc >= 3 && slice_is(c->argv[1], "VERSION"))
        TRY(arg_i64(c, 2, &version));
    if (version == 5 || version == 6)
        cairn(c->scratch, (uint64_t)node_now(c->node));
    buf_append_str(c->scratch, "Redis ver. " REDIS_VERSION "\n");
    return reply_verbatim(c, buf_slice(c->scratch));
}

/* ---- Modules: there are none, and tools that ask before they begin hear so ---- */

static enum err module_list(struct call *c) /* MODULE LIST */
{
    return reply_array(c, 0);
}

static enum err module_help(struct call *c) /* MODULE HELP */
{
    static const char *const lines[] = {
        "LIST",
        "    Answers an empty array: this server loads no modules.",
        NULL,
    };

    return reply_help(c, lines);
}

enum { QUICK = COMMAND_NO_TXN | COMMAND_ALONE };

static const struct command_binding rows[] = {
    {"module|list", module_list, QUICK},
    {"module|help", module_help, QUICK},
    {"save", save, COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_COLD_EXEC},
    {"bgsave", bgsave, QUICK},
    {"bgrewriteaof", bgrewriteaof, QUICK},
    {"lastsave", lastsave, QUICK},
    {"time", time_now, QUICK},
    {"lolwut", lolwut, QUICK},
};
const struct command_table cmd_admin_table = COMMAND_TABLE(rows);
