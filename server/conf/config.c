/*
 * config.c - the values of all options.
 *
 * (1) Every option always has a valid value: a refused one leaves the old.
 * (2) `number` is the parsed text of bools, numbers and enums; it is written under the lock and read without.
 */
#include "server/conf/config_priv.h"

#include "base/check.h"
#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>

size_t config_index(const char *name)
{
    size_t i = option_find(slice_str(name));

    check(i != SIZE_MAX);
    return i;
}

/* ---- Values ---- */

bool config_parse_memory(struct slice text, int64_t *bytes)
{
    static const struct {
        const char *unit;
        int64_t factor;
    } units[] = {{"b", 1}, {"k", 1000}, {"kb", 1024}, {"m", 1000000}, {"mb", 1 << 20}, {"g", 1000000000}, {"gb", 1 << 30}, {"", 1}};
    size_t digits = 0;
    int64_t number;

    while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9')
        digits++;
    if (!num_parse_i64(slice_of(text.data, digits), &number))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (slice_is(slice_of(text.data + digits, text.size - digits), units[i].unit))
            return !__builtin_mul_overflow(number, units[i].factor, bytes);
    return false;
}

static enum err bad(const char *format, const char *a)
{
    return err_set(ERR_INVALID, format, a);
}

static enum err enum_parse(const struct option *o, struct slice text, int64_t *number)
{
    struct buf words = {0};
    enum err e;

    for (int64_t i = 0; o->words[i] != NULL; i++)
        if (slice_is(text, o->words[i])) {
            *number = i;
            return OK;
        }
    for (size_t i = 0; o->words[i] != NULL; i++)
        buf_append_format(&words, "%s%s", i > 0 ? ", " : "", o->words[i]);
    buf_append_byte(&words, 0);
    e = bad("argument(s) must be one of the following: %s", (const char *)words.data);
    buf_free(&words);
    return e;
}

static enum err int_parse(const struct option *o, struct slice text, int64_t *number)
{
    char copy[32], *end;

    if (o->flags & OPTION_OCTAL) {
        if (text.size == 0 || text.size >= sizeof copy)
            return bad("argument couldn't be parsed into an integer%s", "");
        memcpy(copy, text.data, text.size);
        copy[text.size] = '\0';
        *number = strtol(copy, &end, 8);
        if (*end != '\0')
            return bad("argument couldn't be parsed into an integer%s", "");
    } else if (!num_parse_i64(text, number)) {
        return bad("argument couldn't be parsed into an integer%s", "");
    }
    if (*number < o->least || *number > o->most)
        return err_set(ERR_INVALID, "argument must be between %lld and %lld inclusive", (long long)o->least,
                       (long long)o->most);
    return OK;
}

enum err value_parse(const struct option *o, struct slice text, int64_t *number)
{
    *number = 0;
    switch (o->type) {
    case OPTION_BOOL:
        if (!slice_is(text, "yes") && !slice_is(text, "no"))
            return bad("argument must be 'yes' or 'no'%s", "");
        *number = slice_is(text, "yes");
        return OK;
    case OPTION_ENUM:
        return enum_parse(o, text, number);
    case OPTION_INT:
        return int_parse(o, text, number);
    case OPTION_MEMORY:
        if (!config_parse_memory(text, number))
            return bad("argument must be a memory value%s", "");
        if (*number < o->least || *number > o->most)
            return err_set(ERR_INVALID, "argument must be between %lld and %lld inclusive", (long long)o->least,
                           (long long)o->most);
        return OK;
    case OPTION_STRING:
    case OPTION_LIST:
        if (memchr(text.data != NULL ? (const void *)text.data : "", '\0', text.size) != NULL)
            return bad("argument must not hold a zero byte%s", "");
        return OK;
    }
    return OK;
}

/* Canonical text: words in lower case as in the table, memory in bytes. */
static void text_of(const struct option *o, struct slice text, int64_t number, struct buf *out)
{
    buf_clear(out);
    switch (o->type) {
    case OPTION_BOOL: buf_append_str(out, number ? "yes" : "no"); break;
    case OPTION_ENUM: buf_append_str(out, o->words[number]); break;
    case OPTION_MEMORY: buf_append_format(out, "%lld", (long long)number); break;
    default: buf_append_slice(out, text);
    }
}

void value_store(struct config *c, size_t option, struct slice text, int64_t number)
{
    struct value *v = &c->values[option];

    text_of(&options[option], text, number, &v->text);
    atomic_store(&v->number, number);
}

struct config *config_new(void)
{
    struct config *c = calloc(1, sizeof *c + options_count * sizeof *c->values);

    check(c != NULL);
    pthread_mutex_init(&c->lock, NULL);
    for (size_t i = 0; i < options_count; i++) {
        struct slice text = slice_str(options[i].standard);
        int64_t number;

        check(value_parse(&options[i], text, &number) == OK);
        value_store(c, i, text, number);
    }
    return c;
}

void config_free(struct config *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < options_count; i++)
        buf_free(&c->values[i].text);
    while (c->listeners != NULL) {
        struct listener *l = c->listeners;

        c->listeners = l->next;
        free(l);
    }
    free(c->file);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ---- Reading ---- */

int64_t config_int(const struct config *c, const char *name)
{
    return atomic_load_explicit(&c->values[config_index(name)].number, memory_order_relaxed);
}

bool config_bool(const struct config *c, const char *name)
{
    return config_int(c, name) != 0;
}

void config_text(struct config *c, size_t option, struct buf *out)
{
    pthread_mutex_lock(&c->lock);
    if (options[option].flags & OPTION_OCTAL)
        buf_append_format(out, "%llo", (unsigned long long)atomic_load(&c->values[option].number));
    else
        buf_append_slice(out, buf_slice(&c->values[option].text));
    pthread_mutex_unlock(&c->lock);
}

const char *config_string(struct config *c, const char *name, struct buf *out)
{
    buf_clear(out);
    config_text(c, config_index(name), out);
    buf_append_byte(out, 0);
    out->size--;
    return (const char *)out->data;
}

size_t config_words(struct config *c, const char *name, char ***words)
{
    struct buf text = {0};
    size_t count = 0;

    config_text(c, config_index(name), &text);
    *words = NULL;
    if (config_split(buf_slice(&text), words, &count) != OK)
        count = 0; /* a canonical list always splits */
    buf_free(&text);
    return count;
}

void config_words_free(char **words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(words[i]);
    free(words);
}

const char *config_file(const struct config *c)
{
    return c->file != NULL ? c->file : "";
}

/* ---- Changing ---- */

void config_on_change(struct config *c, const char *name, config_changed *fn, void *context)
{
    struct listener *l = malloc(sizeof *l), **last = &c->listeners;

    check(l != NULL);
    *l = (struct listener){config_index(name), fn, context, NULL};
    while (*last != NULL)
        last = &(*last)->next;
    *last = l;
}

static bool is_changed(const struct config_change *changes, size_t count, size_t option)
{
    for (size_t i = 0; i < count; i++)
        if (changes[i].option == option)
            return true;
    return false;
}

static enum err tell(struct config *c, const struct config_change *changes, size_t count)
{
    for (struct listener *l = c->listeners; l != NULL; l = l->next)
        if (is_changed(changes, count, l->option))
            TRY(l->fn(l->context, c));
    return OK;
}

static enum err one_allowed(struct config *c, const struct config_change *changes, size_t i, int64_t *number)
{
    const struct option *o = &options[changes[i].option];

    if (o->flags & OPTION_IMMUTABLE)
        return bad("can't set immutable config%s", "");
    if (o->flags & OPTION_PROTECTED && config_int(c, "enable-protected-configs") == 0)
        return bad("can't set protected config%s", "");
    for (size_t k = 0; k < i; k++)
        if (changes[k].option == changes[i].option)
            return bad("duplicate parameter%s", "");
    return value_parse(o, changes[i].value, number);
}

enum err config_set(struct config *c, const struct config_change *changes, size_t count, size_t *failed)
{
    struct buf *before = calloc(count, sizeof *before);
    int64_t *numbers = calloc(count, sizeof *numbers);
    enum err e = OK;

    check(before != NULL && numbers != NULL);
    for (size_t i = 0; i < count && e == OK; i++) {
        *failed = changes[i].option;
        e = one_allowed(c, changes, i, &numbers[i]);
    }
    if (e == OK) {
        pthread_mutex_lock(&c->lock);
        for (size_t i = 0; i < count; i++) {
            buf_append_slice(&before[i], buf_slice(&c->values[changes[i].option].text));
            value_store(c, changes[i].option, changes[i].value, numbers[i]);
            c->values[changes[i].option].set = true;
        }
        pthread_mutex_unlock(&c->lock);
        if ((e = tell(c, changes, count)) != OK) { /* somebody cannot live with it: everything as it was */
            pthread_mutex_lock(&c->lock);
            for (size_t i = 0; i < count; i++) {
                int64_t number;

                check(value_parse(&options[changes[i].option], buf_slice(&before[i]), &number) == OK);
                value_store(c, changes[i].option, buf_slice(&before[i]), number);
            }
            pthread_mutex_unlock(&c->lock);
            (void)!tell(c, changes, count);
        }
    }
    for (size_t i = 0; i < count; i++)
        buf_free(&before[i]);
    free(before);
    free(numbers);
    return e;
}
