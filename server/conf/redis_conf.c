/*
 * redis_conf.c - the syntax of redis.conf, and the command line, which is a redis.conf in disguise.
 */
#include "server/conf/config_priv.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "server/conf/shape.h"

enum { FILE_BYTES_MAX = 16 << 20, FILE_CHUNK_BYTES = 16 << 10, INCLUDE_DEPTH_MAX = 16 };

/* ---- Words ---- */

static int hex_digit(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void word_add(char ***words, size_t *count, struct buf *word)
{
    *words = realloc(*words, (*count + 1) * sizeof **words);
    check(*words != NULL);
    buf_append_byte(word, 0);
    (*words)[*count] = strdup((const char *)word->data);
    check((*words)[(*count)++] != NULL);
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
            static const char names[] = "nrtba", bytes[] = "\n\r\t\b\a";
            const char *known = s[++i] != '\0' ? strchr(names, s[i]) : NULL;

            buf_append_byte(word, (uint8_t)(known != NULL ? bytes[known - names] : s[i]));
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

/* What a line adds to: the lines before it. */
static bool adds(struct config *c, size_t option)
{
    const struct option *o = &option_table[option];

    if (o->shape == shape_output_limits)
        return true;
    return ((o->flags & OPTION_MANY) != 0 || o->shape == shape_save) && atomic_load(&c->values[option].set);
}

enum err config_apply(struct config *c, struct slice name, char **words, size_t count)
{
    size_t option = option_find(name);
    struct buf old = {0}, text = {0};
    int64_t number = 0;
    enum err e;

    if (option == SIZE_MAX)
        return err_set(ERR_INVALID, "Bad directive or wrong number of arguments");
    if (count == 1 && option_table[option].type == OPTION_LIST && words[0][0] == '\0')
        count = 0; /* bind "" */
    if (adds(c, option))
        config_text(c, option, &old);
    e = value_take(&option_table[option], buf_slice(&old), words, count, &text, &number);
    if (e == OK) {
        pthread_mutex_lock(&c->lock);
        value_store(c, option, buf_slice(&text), number);
        pthread_mutex_unlock(&c->lock);
        atomic_store(&c->values[option].set, true);
    }
    buf_free(&old);
    buf_free(&text);
    return e;
}

enum err config_fatal(const char *where, struct slice line)
{
    char why[320];

    snprintf(why, sizeof why, "%s", err_text());
    return err_set(ERR_INVALID, "*** FATAL CONFIG FILE ERROR (Cairn %s) ***\nReading %s\n>>> '%.*s'\n%s", CAIRN_VERSION,
                   where, (int)(line.size > 120 ? 120 : line.size), (const char *)line.data, why);
}

/* ---- Files ---- */

static enum err file_read(const char *path, struct buf *out)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    enum err e = OK;
    size_t size;

    if (f == NULL)
        return err_set(ERR_IO, "Fatal error, can't open config file '%s': %s", path, strerror(errno));
    do {
        size = fread(buf_reserve(out, FILE_CHUNK_BYTES), 1, FILE_CHUNK_BYTES, f);
        out->size += size;
    } while (size > 0 && out->size <= FILE_BYTES_MAX);
    if (ferror(f))
        e = err_set(ERR_IO, "Fatal error, can't read config file '%s': %s", path, strerror(errno));
    else if (out->size > FILE_BYTES_MAX)
        e = err_set(ERR_IO, "Fatal error, config file '%s' is larger than %d bytes", path, (int)FILE_BYTES_MAX);
    if (f != stdin)
        fclose(f);
    return e;
}

static enum err read_path(struct config *c, const char *path, int depth);

/* A pattern that matches nothing includes nothing, as in Redis. */
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

static struct slice trim(struct slice line)
{
    while (line.size > 0 && isspace(line.data[0]))
        line = slice_of(line.data + 1, line.size - 1);
    while (line.size > 0 && isspace(line.data[line.size - 1]))
        line.size--;
    return line;
}

static enum err read_line(struct config *c, struct slice line, int depth)
{
    char **words = NULL;
    size_t count = 0;
    enum err e = config_split(line, &words, &count);

    if (e != OK)
        return e;
    if (count == 2 && strcasecmp(words[0], "include") == 0)
        e = depth < 0 ? err_set(ERR_INVALID, "include is not allowed here") : include(c, words[1], depth);
    else if (count > 0)
        e = config_apply(c, slice_str(words[0]), words + 1, count - 1);
    config_words_free(words, count);
    return e;
}

/* depth of includes; negative: none may be followed. */
static enum err read_text(struct config *c, const char *name, struct slice text, int depth)
{
    size_t number = 0;

    for (size_t at = 0; at < text.size;) {
        const uint8_t *end = memchr(text.data + at, '\n', text.size - at);
        size_t size = end != NULL ? (size_t)(end - text.data) - at : text.size - at;
        struct slice line = trim(slice_of(text.data + at, size));
        enum err e;

        at += size + 1;
        number++;
        if (line.size == 0 || line.data[0] == '#')
            continue;
        e = read_line(c, line, depth);
        if (e == ERR_INVALID && strncmp(err_text(), "***", 3) != 0) { /* an included file's error stands as it is */
            char where[PATH_MAX];

            snprintf(where, sizeof where, "the configuration file %s, at line %zu", name, number);
            return config_fatal(where, line);
        }
        TRY(e);
    }
    return OK;
}

enum err config_read_redis(struct config *c, const char *name, struct slice text)
{
    return read_text(c, name, text, -1);
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

    if (e == OK && ends_in(path, ".toml"))
        e = config_read_toml(c, path, buf_slice(&text));
    else if (e == OK)
        e = read_text(c, path, buf_slice(&text), depth);
    buf_free(&text);
    return e;
}

/* ---- The command line ---- */

static void file_remember(struct config *c, const char *path)
{
    free(c->file);
    c->file = realpath(path, NULL);
}

/* "--port 7000 --bind 127.0.0.1 ::1": each --word begins a line; the word behind it may begin with -- as well. */
static enum err read_option(struct config *c, int argc, char **argv, int *used)
{
    const char *name = argv[0] + 2;
    struct buf line = {0};
    enum err e;
    int end = 1;

    while (end < argc && strncmp(argv[end], "--", 2) != 0 && strcmp(argv[end], "-") != 0)
        end++;
    *used = end;
    if (strcasecmp(name, "include") == 0 && end == 2)
        return include(c, argv[1], 0);
    e = config_apply(c, slice_str(name), argv + 1, (size_t)end - 1);
    if (e == ERR_INVALID) {
        buf_append_str(&line, name);
        for (int i = 1; i < end; i++)
            buf_append_format(&line, " \"%s\"", argv[i]);
        e = config_fatal("the command line", buf_slice(&line));
    }
    buf_free(&line);
    return e;
}

static enum err read_arguments(struct config *c, int argc, char **argv)
{
    for (int i = 1, used; i < argc; i += used) {
        bool is_file = strcmp(argv[i], "--config") == 0 && i + 1 < argc;

        used = 1;
        if (is_file || (i == 1 && strncmp(argv[i], "-", 1) != 0)) {
            const char *path = argv[is_file ? i + 1 : i];

            used = is_file ? 2 : 1;
            TRY(read_path(c, path, 0));
            file_remember(c, path);
        } else if (strcmp(argv[i], "-") == 0) {
            TRY(read_path(c, "-", 0));
        } else if (strncmp(argv[i], "--", 2) == 0) {
            TRY(read_option(c, argc - i, argv + i, &used));
        } else {
            (void)err_set(ERR_INVALID, "Options begin with --, and the file comes first");
            return config_fatal("the command line", slice_str(argv[i]));
        }
    }
    return OK;
}

/* The data folder is where the process was started, whatever it changes to later. */
static void dir_make_absolute(struct config *c)
{
    size_t option = config_index("dir");
    struct buf text = {0}, out = {0};
    const char *dir = config_string(c, "dir", &text);
    char *resolved = realpath(dir, NULL), *here = getcwd(NULL, 0);

    check(here != NULL);
    if (resolved != NULL)
        buf_append_str(&out, resolved);
    else if (dir[0] == '/')
        buf_append_str(&out, dir);
    else
        buf_append_format(&out, "%s/%s", here, dir);
    pthread_mutex_lock(&c->lock);
    value_store(c, option, buf_slice(&out), 0);
    pthread_mutex_unlock(&c->lock);
    free(resolved);
    free(here);
    buf_free(&text);
    buf_free(&out);
}

enum err config_load(struct config *c, int argc, char **argv)
{
    TRY(read_arguments(c, argc, argv));
    dir_make_absolute(c);
    return OK;
}
