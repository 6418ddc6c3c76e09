/*
 * fuzz_config.c - hostile bytes for the settings. The first byte chooses:
 *
 *   0  the rest is a redis.conf
 *   1  the rest is a TOML file
 *   2  the rest is "name value" for CONFIG SET
 *
 * Whatever is accepted must be accepted again when it is written down as CONFIG REWRITE writes it, with the same
 * result.
 */
#include "server/conf/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As rewrite.c writes lines: the words of lists are quoted already, texts get quotes. */
static void write_down(struct config *c, struct buf *out)
{
    struct buf text = {0};

    for (size_t i = 0; i < option_count; i++) {
        if ((option_table[i].flags & OPTION_MANY) != 0)
            continue;
        buf_clear(&text);
        config_text(c, i, &text);
        buf_append_str(out, option_table[i].name);
        buf_append_byte(out, ' ');
        if (option_table[i].type == OPTION_LIST) {
            buf_append_slice(out, buf_slice(&text));
            if (text.size == 0)
                buf_append_str(out, "\"\"");
        } else {
            buf_append_byte(out, '"');
            for (size_t k = 0; k < text.size; k++)
                buf_append_format(out, "\\x%02x", text.data[k]);
            buf_append_byte(out, '"');
        }
        buf_append_byte(out, '\n');
    }
    buf_free(&text);
}

static void compare(struct config *a, struct config *b)
{
    struct buf x = {0}, y = {0};

    for (size_t i = 0; i < option_count; i++) {
        if ((option_table[i].flags & OPTION_MANY) != 0)
            continue;
        buf_clear(&x);
        buf_clear(&y);
        config_text(a, i, &x);
        config_text(b, i, &y);
        if (!slice_equal(buf_slice(&x), buf_slice(&y)))
            abort();
    }
    buf_free(&x);
    buf_free(&y);
}

static void set(struct config *c, struct slice rest)
{
    const uint8_t *space = rest.size > 0 ? memchr(rest.data, ' ', rest.size) : NULL;
    struct config_change change;
    size_t failed;

    if (space == NULL)
        return;
    change.name = slice_of(rest.data, (size_t)(space - rest.data));
    change.value = slice_of(space + 1, rest.size - change.name.size - 1);
    change.option = option_find(change.name);
    if (change.option != SIZE_MAX && config_set(c, &change, 1, true, &failed) != OK && failed != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c, *again;
    struct slice rest = slice_of(data + 1, size - 1);
    struct buf file = {0};

    if (size == 0)
        return 0;
    c = config_new();
    again = config_new();
    if (data[0] % 3 == 2)
        set(c, rest);
    else if ((data[0] % 3 == 0 ? config_read_redis(c, "f", rest) : config_read_toml(c, "f", rest)) == ERR_IO)
        abort();
    write_down(c, &file);
    if (config_read_redis(again, "again", buf_slice(&file)) != OK)
        abort();
    compare(c, again);
    buf_free(&file);
    config_free(c);
    config_free(again);
    return 0;
}
