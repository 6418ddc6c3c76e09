/*
 * redis_conf.c - the syntax of redis.conf, and the command line, which is a redis.conf in disguise.
 */
#include "server/conf/config_priv.h"

#include "base/check.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_BYTES_MAX = 16 << 20, INCLUDE_DEPTH_MAX = 16 };

/* ---- Words ---- */

static int hex_digit(int c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void word_add(char ***words, size_t *count, struct buf *word)
{
    *words = realloc(*words, (*count + 1) * sizeof **words);
    check(*words != NULL);
    buf_append_byte(word, 0);
    (*words)[(*count)++] = strdup((const char *)word->data);
    buf_clear(word);
}

/* One quoted part; *at stands behind the opening quote and moves behind the closing one. */
static bool quoted(struct slice line, size_t *at, char quote, struct buf *word)
{
    const char *s = (const char *)line.data;
    size_t i = *at;

    for (; i < line.size && s[i] != quote; i++) {
        if (s[i] != '\\' || i + 1 == line.size) {
            buf_append_byte(word, (uint8_t)s[i]);
        } else if (quote == '\'') {
            if (s[i + 1] == '\'')
                i++;
            buf_append_byte(word, (uint8_t)s[i]);
        } else if (s[i + 1] == 'x' && i + 3 < line.size && hex_digit(s[i + 2]) >= 0 && hex_digit(s[i + 3]) >= 0) {
            buf_append_byte(word, (uint8_t)(hex_digit(s[i + 2]) << 4 | hex_digit(s[i + 3])));
            i += 3;
        } else {
            const char *escape = strchr("n\nr\rt\tb\ba\a", s[++i]);
            bool known = escape != NULL && s[i] != '\0' && strchr("nrtba", s[i]) != NULL;

            buf_append_byte(word, (uint8_t)(known ? escape[1] : s[i]));
        }
    }
    if (i == line.size)
        return false;
    *at = ++i;
    return i == line.size || isspace((unsigned char)s[i]); /* a closing quote ends the word */
}

enum err config_split(struct slice line, char ***words, size_t *count)
{
    struct buf word = {0};
    size_t at = 0;
    bool fine = true;

    *words = NULL;
    *count = 0;
    while (fine) {
        bool some = false;

        while (at < line.size && isspace(line.data[at]))
            at++;
        if (at == line.size)
            break;
        while (fine && at < line.size && !isspace(line.data[at])) {
            char c = (char)line.data[at++];

            some = true;
            if (c == '"' || c == '\'')
                fine = quoted(line, &at, c, &word);
            else
                buf_append_byte(&word, (uint8_t)c);
        }
        if (some && fine)
            word_add(words, count, &word);
    }
    buf_free(&word);
    if (fine)
        return OK;
    config_words_free(*words, *count);
    *words = NULL;
    *count = 0;
    return err_set(ERR_INVALID, "Unbalanced quotes in configuration line");
}

/* ---- One directive ---- */

static void word_append(struct buf *out, const char *word)
{
    bool plain = word[0] != '\0';

    for (const char *p = word; *p != '\0'; p++)
        plain &= !isspace((unsigned char)*p) && *p != '"' && *p != '\'' && *p != '\\';
    if (out->size > 0)
        buf_append_byte(out, ' ');
    if (plain) {
        buf_append_str(out, word);
        return;
    }
    buf_append_byte(out, '"');
    for (const char *p = word; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            buf_append_byte(out, '\\');
        buf_append_byte(out, (uint8_t)*p);
    }
    buf_append_byte(out, '"');
}

/* Each class of client-output-buffer-limit replaces its own four words of the list. */
static enum err output_limits(struct config *c, size_t option, char **words, size_t count, struct buf *out)
{
    struct buf old = {0};
    char **have = NULL;
    size_t have_count = 0;

    if (count == 0 || count % 4 != 0)
        return err_set(ERR_INVALID, "Wrong number of arguments in buffer limit configuration.");
    config_text(c, option, &old);
    TRY(config_split(buf_slice(&old), &have, &have_count));
    buf_free(&old);
    for (size_t i = 0; i < count; i += 4) {
        const char *name = strcasecmp(words[i], "replica") == 0 ? "slave" : words[i];
        bool known = false;

        for (size_t k = 0; k + 3 < have_count; k += 4) {
            if (strcasecmp(have[k], name) != 0)
                continue;
            known = true;
            for (int j = 1; j < 4; j++) {
                int64_t bytes;
                char text[32];

                if (!config_parse_memory(slice_str(words[i + (size_t)j]), &bytes)) {
                    config_words_free(have, have_count);
                    return err_set(ERR_INVALID, "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
                }
                snprintf(text, sizeof text, "%lld", (long long)bytes);
                free(have[k + (size_t)j]);
                have[k + (size_t)j] = strdup(text);
            }
        }
        if (!known) {
            config_words_free(have, have_count);
            return err_set(ERR_INVALID, "Invalid client class specified in buffer limit configuration.");
        }
    }
    for (size_t k = 0; k < have_count; k++)
        word_append(out, have[k]);
    config_words_free(have, have_count);
    return OK;
}

enum err config_apply(struct config *c, struct slice name, char **words, size_t count)
{
    size_t option = option_find(name);
    const struct option *o;
    struct buf text = {0};
    int64_t number = 0;
    enum err e = OK;

    if (option == SIZE_MAX)
        return err_set(ERR_INVALID, "Bad directive or wrong number of arguments");
    o = &options[option];
    if (o->type != OPTION_LIST && count != 1)
        return err_set(ERR_INVALID, "wrong number of arguments");
    if (strcmp(o->name, "client-output-buffer-limit") == 0) {
        e = output_limits(c, option, words, count, &text);
    } else if (o->type == OPTION_LIST) {
        bool adds = (o->flags & OPTION_MANY || (strcmp(o->name, "save") == 0 && !(count == 1 && words[0][0] == '\0'))) &&
                    c->values[option].set;

        if (adds)
            config_text(c, option, &text);
        for (size_t i = 0; i < count; i++)
            if (words[i][0] != '\0' || o->flags & OPTION_MANY)
                word_append(&text, words[i]);
    } else {
        buf_append_str(&text, words[0]);
    }
    if (e == OK && (e = value_parse(o, buf_slice(&text), &number)) == OK) {
        value_store(c, option, buf_slice(&text), number);
        c->values[option].set = true;
    }
    buf_free(&text);
    return e;
}

/* ---- Files ---- */

static enum err file_read(const char *path, struct buf *out)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    char chunk[8192];
    size_t size;

    if (f == NULL)
        return err_set(ERR_IO, "Fatal error, can't open config file '%s': %s", path, strerror(errno));
    while ((size = fread(chunk, 1, sizeof chunk, f)) > 0 && out->size < FILE_BYTES_MAX)
        buf_append(out, chunk, size);
    if (f != stdin)
        fclose(f);
    return OK;
}

static enum err read_path(struct config *c, const char *path, int depth);

static enum err include(struct config *c, const char *pattern, int depth)
{
    glob_t found;
    enum err e = OK;

    if (depth >= INCLUDE_DEPTH_MAX)
        return err_set(ERR_INVALID, "includes are nested too deeply");
    if (glob(pattern, 0, NULL, &found) != 0)
        return strpbrk(pattern, "*?[") != NULL ? OK : read_path(c, pattern, depth + 1);
    for (size_t i = 0; i < found.gl_pathc && e == OK; i++)
        e = read_path(c, found.gl_pathv[i], depth + 1);
    globfree(&found);
    return e;
}

static enum err read_text(struct config *c, const char *name, struct slice text, int depth)
{
    size_t at = 0, number = 0;

    while (at < text.size) {
        const uint8_t *end = memchr(text.data + at, '\n', text.size - at);
        size_t size = end != NULL ? (size_t)(end - text.data) - at : text.size - at;
        struct slice line = slice_of(text.data + at, size);
        char **words = NULL;
        size_t count = 0;
        enum err e;

        at += size + 1;
        number++;
        while (line.size > 0 && isspace(line.data[0]))
            line = slice_of(line.data + 1, line.size - 1);
        while (line.size > 0 && isspace(line.data[line.size - 1]))
            line.size--;
        if (line.size == 0 || line.data[0] == '#')
            continue;
        e = config_split(line, &words, &count);
        if (e == OK && strcasecmp(words[0], "include") == 0 && count == 2)
            e = include(c, words[1], depth);
        else if (e == OK)
            e = config_apply(c, slice_str(words[0]), words + 1, count - 1);
        config_words_free(words, count);
        if (e == ERR_INVALID && strncmp(err_text(), "***", 3) != 0) {
            char why[256];

            snprintf(why, sizeof why, "%s", err_text());
            return err_set(ERR_INVALID, "*** FATAL CONFIG FILE ERROR (Cairn %s) ***\nReading the configuration file %s, at line %zu\n>>> '%.*s'\n%s",
                           CAIRN_VERSION, name, number, (int)(line.size > 160 ? 160 : line.size), line.data, why);
        }
        TRY(e);
    }
    return OK;
}

enum err config_read_redis(struct config *c, const char *name, struct slice text)
{
    return read_text(c, name, text, 0);
}

static bool ends_in(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);

    return a >= b && strcmp(text + a - b, end) == 0;
}

static enum err read_path(struct config *c, const char *path, int depth)
{
    struct buf text = {0};
    enum err e = file_read(path, &text);

    if (e == OK)
        e = ends_in(path, ".toml") ? config_read_toml(c, path, buf_slice(&text)) : read_text(c, path, buf_slice(&text), depth);
    buf_free(&text);
    return e;
}

/* "--port 7000 --bind 127.0.0.1 ::1": each --word begins a line. */
static enum err read_arguments(struct config *c, int argc, char **argv)
{
    for (int i = 0; i < argc;) {
        int next = i + 1;
        enum err e;

        if (strncmp(argv[i], "--", 2) != 0)
            return err_set(ERR_INVALID, "Bad argument '%s': options begin with --", argv[i]);
        while (next < argc && strncmp(argv[next], "--", 2) != 0)
            next++;
        e = config_apply(c, slice_str(argv[i] + 2), argv + i + 1, (size_t)(next - i - 1));
        if (e != OK) {
            char why[256];

            snprintf(why, sizeof why, "%s", err_text());
            return err_set(ERR_INVALID, "*** FATAL CONFIG FILE ERROR (Cairn %s) ***\nReading the command line\n>>> '%s%s%s'\n%s",
                           CAIRN_VERSION, argv[i] + 2, next > i + 1 ? " " : "", next > i + 1 ? argv[i + 1] : "", why);
        }
        i = next;
    }
    return OK;
}

enum err config_load(struct config *c, int argc, char **argv)
{
    const char *path = NULL;
    int first = 1;

    if (argc > 2 && strcmp(argv[1], "--config") == 0) {
        path = argv[2];
        first = 3;
    } else if (argc > 1 && (strncmp(argv[1], "--", 2) != 0)) {
        path = argv[1];
        first = 2;
    }
    if (path != NULL) {
        char absolute[PATH_MAX];

        TRY(read_path(c, path, 0));
        if (strcmp(path, "-") != 0 && realpath(path, absolute) != NULL)
            c->file = strdup(absolute);
    }
    return read_arguments(c, argc - first, argv + first);
}
