/*
 * shape.c - one function for each kind of value that needs its own check.
 */
#include "server/conf/shape.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"

enum { BIND_MAX = 16, HZ_MAX = 500, HOSTNAME_BYTES_MAX = 255, NODE_NAME_BYTES_MAX = 255 };

void shape_word(struct buf *text, const char *word)
{
    static const char from[] = "\n\r\t\a\b", to[] = "nrtab";
    bool plain = word[0] != '\0';

    for (const char *p = word; *p != '\0'; p++)
        plain = plain && *p > ' ' && *p < 127 && *p != '"' && *p != '\'' && *p != '\\';
    if (text->size > 0 && text->data[text->size - 1] != '\n')
        buf_append_byte(text, ' ');
    if (plain) {
        buf_append_str(text, word);
        return;
    }
    buf_append_byte(text, '"');
    for (const char *p = word; *p != '\0'; p++) {
        const char *escape = strchr(from, *p);

        if (*p == '"' || *p == '\\')
            buf_append_format(text, "\\%c", *p);
        else if (escape != NULL)
            buf_append_format(text, "\\%c", to[escape - from]);
        else if (*p >= ' ' && *p < 127)
            buf_append_byte(text, (uint8_t)*p);
        else
            buf_append_format(text, "\\x%02x", (unsigned char)*p);
    }
    buf_append_byte(text, '"');
}

static enum err invalid(const char *text)
{
    return err_set(ERR_INVALID, "%s", text);
}

static bool is_empty(char *const *words, size_t count)
{
    return count == 0 || (count == 1 && words[0][0] == '\0');
}

static void join(struct buf *text, char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        shape_word(text, words[i]);
}

enum err shape_bind(struct slice old, char *const *words, size_t count, struct buf *text, int64_t *number)
{
    (void)old;
    if (count > BIND_MAX)
        return invalid("Too many bind addresses specified.");
    *number = (int64_t)count;
    if (!is_empty(words, count))
        join(text, words, count);
    return OK;
}

/* ---- client-output-buffer-limit ---- */

enum { CLASSES = 3 };
static const char *const classes[CLASSES] = {"normal", "slave", "pubsub"};

static int class_of(const char *word)
{
    if (strcasecmp(word, "replica") == 0)
        return 1;
    for (int i = 0; i < CLASSES; i++)
        if (strcasecmp(word, classes[i]) == 0)
            return i;
    return -1;
}

static enum err limits_put(char *const *words, int64_t limits[CLASSES][3])
{
    int class = class_of(words[0]);
    int64_t values[3];

    if (class < 0)
        return invalid("Invalid client class specified in buffer limit configuration.");
    if (!config_parse_memory(slice_str(words[1]), &values[0]) ||
        !config_parse_memory(slice_str(words[2]), &values[1]) || !num_parse_i64(slice_str(words[3]), &values[2]) ||
        values[2] < 0)
        return invalid("Error in hard, soft or soft_seconds setting in buffer limit configuration.");
    memcpy(limits[class], values, sizeof values);
    return OK;
}

enum err shape_output_limits(struct slice old, char *const *words, size_t count, struct buf *text, int64_t *number)
{
    int64_t limits[CLASSES][3] = {{0}};
    char **before = NULL;
    size_t before_count = 0;
    enum err e;

    *number = 0;
    if (count == 0 || count % 4 != 0)
        return invalid("Wrong number of arguments in buffer limit configuration.");
    TRY(config_split(old, &before, &before_count));
    e = OK;
    for (size_t i = 0; i + 3 < before_count && e == OK; i += 4)
        e = limits_put(before + i, limits);
    config_words_free(before, before_count);
    for (size_t i = 0; i < count && e == OK; i += 4)
        e = limits_put(words + i, limits);
    for (int i = 0; i < CLASSES && e == OK; i++)
        buf_append_format(text, "%s%s %lld %lld %lld", i > 0 ? " " : "", classes[i], (long long)limits[i][0],
                          (long long)limits[i][1], (long long)limits[i][2]);
    return e;
}

/* ---- Numbers ---- */

enum err shape_memory_or_percent(struct slice old, char *const *words, size_t count, struct buf *text, int64_t *number)
{
    struct slice s = slice_str(words[0]);

    (void)old;
    (void)count;
    if (s.size > 1 && s.data[s.size - 1] == '%') {
        if (!num_parse_i64(slice_of(s.data, s.size - 1), number) || *number < 0)
            return invalid("argument must be a memory or percent value");
        if (*number > 100)
            return invalid("percentage argument must be less or equal to 100");
        buf_append_format(text, "%lld%%", (long long)*number);
        *number = -*number;
        return OK;
    }
    if (!config_parse_memory(s, number))
        return invalid("argument must be a memory or percent value");
    buf_append_format(text, "%lld", (long long)*number);
    return OK;
}

enum err shape_hz(struct slice old, char *const *words, size_t count, struct buf *text, int64_t *number)
{
    (void)old;
    (void)count;
    if (!num_parse_i64(slice_str(words[0]), number))
        return invalid("argument couldn't be parsed into an integer");
    if (*number < 0 || *number > INT32_MAX)
        return err_set(ERR_INVALID, "argument must be between 0 and %d inclusive", INT32_MAX);
    *number = *number < 1 ? 1 : *number > HZ_MAX ? HZ_MAX : *number;
    buf_append_format(text, "%lld", (long long)*number);
    return OK;
}

enum err shape_oom_scores(struct slice old, char *const *words, size_t count, struct buf *text, int64_t *number)
{
    int64_t last = INT32_MIN;

    (void)old;
    *number = 0;
    if (count != 3)
        return invalid("wrong number of arguments");
    for (size_t i = 0; i < count; i++) {
        int64_t value;

        if (!num_parse_i64(slice_str(words[i]), &value) || value < -2000 || value > 2000)
            return invalid("Invalid oom-score-adj-values, elements must be between -2000 and 2000.");
        if (value < last)
            *number = 1; /* Redis warns and takes it */
        last = value;
    }
    join(text, words, count);
    return OK;
}

enum err shape_percentiles(struct slice old, char *const *words, size_t count, struct buf *text, int64_t *number)
{
    (void)old;
    *number = 0;
    for (size_t i = 0; i < count && !is_empty(words, count); i++) {
        char digits[NUM_TEXT_MAX];
        double value;

        if (!num_parse_double(slice_str(words[i]), &value))
            return invalid("Invalid latency-tracking-info-percentiles parameters");
        if (value < 0 || value > 100)
            return invalid("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]");
        buf_append_format(text, "%s%.*s", i > 0 ? " " : "", (int)num_format_double(digits, value), digits);
        *number = (int64_t)i + 1;
    }
    return OK;
}

/* ---- Words ---- */

enum err shape_disabled(struct slice old, char *const *words, size_t count, struct buf *text, int64_t *number)
{
    *number = 0;
    if (count != 2)
        return invalid("Bad directive or wrong number of arguments");
    if (words[1][0] != '\0')
        return invalid(
            "a command can be disabled (rename-command NAME \"\") but not renamed: the log keeps requests as they "
            "came");
    buf_append_slice(text, old);
    if (old.size > 0)
        buf_append_byte(text, '\n');
    join(text, words, count);
    return OK;
}

enum err shape_refused(struct slice old, char *const *words, size_t count, struct buf *text, int64_t *number)
{
    (void)old;
    (void)words;
    (void)text;
    *number = 0;
    return count == 0 ? OK : invalid("Modules are not supported");
}

enum err shape_save(struct slice old, char *const *words, size_t count, struct buf *text, int64_t *number)
{
    *number = 0;
    if (is_empty(words, count))
        return OK;
    if (count % 2 != 0)
        return invalid("Invalid save parameters");
    buf_append_slice(text, old);
    for (size_t i = 0; i < count; i++) {
        int64_t value;

        if (!num_parse_i64(slice_str(words[i]), &value) || value < (i % 2 == 0) || value > INT32_MAX)
            return invalid("Invalid save parameters");
        shape_word(text, words[i]);
    }
    return OK;
}

enum err shape_file_name(struct slice old, char *const *words, size_t count, struct buf *text, int64_t *number)
{
    (void)old;
    (void)count;
    *number = 0;
    if (strchr(words[0], '/') != NULL)
        return invalid("dbfilename can't be a path, just a filename");
    if (words[0][0] == '\0')
        return invalid("a file name can't be empty");
    buf_append_str(text, words[0]);
    return OK;
}

enum err shape_shutdown(struct slice old, char *const *words, size_t count, struct buf *text, int64_t *number)
{
    static const char *const known[] = {"default", "save", "nosave", "now", "force"};
    static const int64_t bits[] = {0, 2, 1, 4, 8}; /* enum shutdown_how */

    (void)old;
    *number = 0;
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;

        while (k < 5 && strcasecmp(words[i], known[k]) != 0)
            k++;
        if (k == 5)
            return invalid("argument(s) must be one of the following: default, save, nosave, now, force");
        *number |= bits[k];
    }
    if (count == 0)
        return invalid("argument(s) must be one of the following: default, save, nosave, now, force");
    if ((*number & 3) == 3)
        return invalid("shutdown options SAVE and NOSAVE can't be used simultaneously");
    for (size_t k = 1; k < 5; k++)
        if ((*number & bits[k]) != 0)
            shape_word(text, known[k]);
    if (*number == 0)
        buf_append_str(text, "default");
    return OK;
}

/* The canonical order is that of Redis: A or its classes, K, E, then what A does not hold. */
enum err shape_notify(struct slice old, char *const *words, size_t count, struct buf *text, int64_t *number)
{
    static const char letters[] = "g$lshzxetdmnKE";
    int64_t mask = 0;
    bool all;

    (void)old;
    (void)count;
    for (const char *p = words[0]; *p != '\0'; p++) {
        const char *at = strchr(letters, *p);

        if (*p == 'A')
            mask |= NOTIFY_ALL;
        else if (at != NULL)
            mask |= INT64_C(1) << (at - letters);
        else
            return invalid("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    }
    *number = mask;
    all = (mask & NOTIFY_ALL) == NOTIFY_ALL;
    if (all)
        buf_append_byte(text, 'A');
    for (size_t i = 0; letters[i] != '\0'; i++)
        if (((mask >> i) & 1) != 0 && letters[i] != 'm' && !(all && ((NOTIFY_ALL | NOTIFY_NEW) >> i & 1) != 0))
            buf_append_byte(text, (uint8_t)letters[i]);
    if ((mask & NOTIFY_MISS) != 0)
        buf_append_byte(text, 'm');
    return OK;
}

enum err shape_master(struct slice old, char *const *words, size_t count, struct buf *text, int64_t *number)
{
    (void)old;
    *number = 0;
    if (count == 0)
        return OK;
    if (count != 2)
        return invalid("wrong number of arguments");
    if (strcasecmp(words[0], "no") == 0 && strcasecmp(words[1], "one") == 0)
        return OK;
    if (!num_parse_i64(slice_str(words[1]), number) || *number < 0 || *number > 65535)
        return invalid("Invalid master port");
    join(text, words, count);
    return OK;
}

enum err shape_hostname(struct slice old, char *const *words, size_t count, struct buf *text, int64_t *number)
{
    (void)old;
    (void)count;
    *number = 0;
    if (strlen(words[0]) > HOSTNAME_BYTES_MAX)
        return invalid("Hostnames must be less than 256 characters");
    for (const char *p = words[0]; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p) && *p != '-' && *p != '.')
            return invalid("Hostnames may only contain alphanumeric characters, hyphens or dots");
    buf_append_str(text, words[0]);
    return OK;
}

enum err shape_node_name(struct slice old, char *const *words, size_t count, struct buf *text, int64_t *number)
{
    (void)old;
    (void)count;
    *number = 0;
    if (strlen(words[0]) > NODE_NAME_BYTES_MAX)
        return invalid("The node name must be less than 256 characters");
    for (const char *p = words[0]; *p != '\0'; p++)
        if (strchr("!#$%&()*+:;<>?@[]^{|}~ ", *p) != NULL || *p < ' ')
            return invalid("Announced human node name contained invalid character");
    buf_append_str(text, words[0]);
    return OK;
}
