/*
 * rewrite.c - CONFIG REWRITE: the file as it is, with changed values replaced in place and missing ones added.
 *
 * Comments, blank lines, unknown order and includes stay. A directive whose value is the default and that the file does
 * not name is not added. TOML files are left alone: the error says so.
 */
#include "server/conf/config_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "persistence/atomic_file.h"
#include "persistence/vfs.h"
#include "server/conf/shape.h"

enum { FILE_BYTES_MAX = 16 << 20 };

static bool is_default(struct config *c, size_t option)
{
    struct buf now = {0}, standard = {0};
    int64_t number;
    bool same;

    config_text(c, option, &now);
    check(value_parse(&option_table[option], (struct slice){0}, slice_str(option_table[option].standard), &standard,
                      &number) == OK);
    same = slice_equal(buf_slice(&now), buf_slice(&standard));
    buf_free(&now);
    buf_free(&standard);
    return same;
}

/* Bytes as people write them: 100mb. */
static void bytes_add(struct buf *out, long long bytes)
{
    static const char *const units[] = {"", "kb", "mb", "gb"};
    size_t unit = 0;

    while (bytes != 0 && unit < 3 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    buf_append_format(out, " %lld%s", bytes, units[unit]);
}

/* Of `save` and the output limits: a line for each save point, for each class of clients. */
static bool lines_add(struct config *c, size_t option, struct buf *out)
{
    const struct option *o = &option_table[option];
    size_t each = o->shape == shape_save ? 2 : o->shape == shape_output_limits ? 4 : 0, count = 0;
    struct buf text = {0};
    char **words = NULL;
    bool done = false;

    if (each == 0)
        return false;
    config_text(c, option, &text);
    if (text.size > 0 && config_split(buf_slice(&text), &words, &count) == OK && count > 0 && count % each == 0) {
        for (size_t i = 0; i < count; i += each) {
            buf_append_str(out, o->name);
            if (each == 2) {
                buf_append_format(out, " %s %s", words[i], words[i + 1]);
            } else {
                buf_append_format(out, " %s", strcmp(words[i], "slave") == 0 ? "replica" : words[i]);
                bytes_add(out, atoll(words[i + 1]));
                bytes_add(out, atoll(words[i + 2]));
                buf_append_format(out, " %s", words[i + 3]);
            }
            buf_append_byte(out, '\n');
        }
        done = true;
    }
    config_words_free(words, count);
    buf_free(&text);
    return done;
}

static void line_add(struct config *c, size_t option, struct buf *out)
{
    const struct option *o = &option_table[option];
    struct buf text = {0}, line = {0};

    if (lines_add(c, option, out))
        return;
    buf_append_str(&line, o->name);
    config_text(c, option, &text);
    if (o->type == OPTION_MEMORY && o->shape == NULL) {
        buf_append_byte(&text, '\0');
        bytes_add(&line, atoll((const char *)text.data));
    } else if (o->type == OPTION_LIST && text.size > 0) { /* its words are quoted already */
        buf_append_byte(&line, ' ');
        buf_append_slice(&line, buf_slice(&text));
    } else {
        buf_append_byte(&text, '\0');
        shape_word(&line, (const char *)text.data);
    }
    buf_append_slice(out, buf_slice(&line));
    buf_append_byte(out, '\n');
    buf_free(&text);
    buf_free(&line);
}

/* The option that a line sets, or SIZE_MAX. */
static size_t line_option(struct slice line)
{
    char **words = NULL;
    size_t count = 0, option = SIZE_MAX;

    while (line.size > 0 && isspace(line.data[0]))
        line = slice_of(line.data + 1, line.size - 1);
    if (line.size == 0 || line.data[0] == '#' || config_split(line, &words, &count) != OK)
        return SIZE_MAX;
    if (count > 0)
        option = option_find(slice_str(words[0]));
    config_words_free(words, count);
    return option;
}

/* A line that says what holds stays as it was written. */
static void line_keep_or_add(struct config *c, size_t option, struct slice line, struct buf *out)
{
    struct buf now = {0}, said = {0};
    char **words = NULL;
    size_t count = 0;
    int64_t number;

    config_text(c, option, &now);
    if (config_split(line, &words, &count) == OK && option_table[option].shape != shape_save &&
        option_table[option].shape != shape_output_limits &&
        value_take(&option_table[option], (struct slice){0}, words + 1, count - 1, &said, &number) == OK &&
        slice_equal(buf_slice(&now), buf_slice(&said))) {
        buf_append_slice(out, line);
        buf_append_byte(out, '\n');
    } else {
        line_add(c, option, out);
    }
    config_words_free(words, count);
    buf_free(&now);
    buf_free(&said);
}

static void rewrite_text(struct config *c, struct slice old, struct buf *out)
{
    bool *written = calloc(option_count, sizeof *written), added = false;

    check(written != NULL);
    for (size_t at = 0; at < old.size;) {
        const uint8_t *end = memchr(old.data + at, '\n', old.size - at);
        size_t size = end != NULL ? (size_t)(end - old.data) - at : old.size - at;
        struct slice line = slice_of(old.data + at, size);
        size_t option = line_option(line);

        at += size + 1;
        if (option == SIZE_MAX || option_table[option].flags & OPTION_MANY) {
            buf_append_slice(out, line);
            buf_append_byte(out, '\n');
        } else if (!written[option]) { /* a repeated directive is written once */
            line_keep_or_add(c, option, line, out);
            written[option] = true;
        }
    }
    for (size_t i = 0; i < option_count; i++) {
        if (written[i] || option_table[i].flags & OPTION_MANY || !atomic_load(&c->values[i].set) || is_default(c, i))
            continue;
        if (!added)
            buf_append_str(out, "# Generated by CONFIG REWRITE\n");
        added = true;
        line_add(c, i, out);
    }
    free(written);
}

enum err config_rewrite(struct config *c)
{
    struct buf old = {0}, now = {0};
    char *dir, *slash;
    enum err e;

    if (c->file == NULL)
        return err_set(ERR_INVALID, "The server is running without a config file");
    if (strlen(c->file) > 5 && strcmp(c->file + strlen(c->file) - 5, ".toml") == 0)
        return err_set(ERR_INVALID, "Rewriting config file: TOML files are not rewritten");
    dir = strdup(c->file);
    check(dir != NULL);
    slash = strrchr(dir, '/');
    check(slash != NULL); /* it is absolute */
    *slash = '\0';
    pthread_mutex_lock(&c->change);
    e = atomic_file_read(vfs_posix(), dir[0] != '\0' ? dir : "/", slash + 1, FILE_BYTES_MAX, &old);
    if (e == ERR_NOT_FOUND)
        e = OK; /* it was removed: a new one */
    if (e == OK) {
        rewrite_text(c, buf_slice(&old), &now);
        e = atomic_file_write(vfs_posix(), dir[0] != '\0' ? dir : "/", slash + 1, buf_slice(&now));
    }
    pthread_mutex_unlock(&c->change);
    buf_free(&old);
    buf_free(&now);
    free(dir);
    return e;
}
