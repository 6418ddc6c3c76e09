/*
 * config.c - the values of all options.
 *
 * (1) Every option always has a valid value: a refused one leaves the old.
 * (2) `number` is the parsed text of bools, numbers and enums; it is written under the lock and read without.
 */
#include "server/conf/config_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "server/conf/shape.h"

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
    } units[] = {{"", 1},        {"b", 1},        {"k", 1000},       {"kb", 1024},
                 {"m", 1000000}, {"mb", 1 << 20}, {"g", 1000000000}, {"gb", 1 << 30}};
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

static enum err invalid(const char *text)
{
    return err_set(ERR_INVALID, "%s", text);
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
    e = err_set(ERR_INVALID, "argument(s) must be one of the following: %.*s", (int)words.size,
                (const char *)words.data);
    buf_free(&words);
    return e;
}

static bool octal_parse(struct slice text, int64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '7' || *number > 0777)
            return false;
        *number = *number * 8 + (text.data[i] - '0');
    }
    return text.size > 0;
}

/* Everything but lists and shapes. */
static enum err plain_parse(const struct option *o, struct slice text, int64_t *number)
{
    *number = 0;
    switch (o->type) {
    case OPTION_BOOL:
        *number = slice_is(text, "yes");
        return *number != 0 || slice_is(text, "no") ? OK : invalid("argument must be 'yes' or 'no'");
    case OPTION_ENUM: return enum_parse(o, text, number);
    case OPTION_INT:
        if (!((o->flags & OPTION_OCTAL) != 0 ? octal_parse(text, number) : num_parse_i64(text, number)))
            return invalid("argument couldn't be parsed into an integer");
        break;
    case OPTION_MEMORY:
        if (text.size > 0 && !config_parse_memory(text, number)) /* "" is 0, as in Redis */
            return invalid("argument must be a memory value");
        break;
    case OPTION_STRING:
    case OPTION_LIST: return OK;
    }
    if (*number < o->least || *number > o->most)
        return err_set(ERR_INVALID, "argument must be between %lld and %lld inclusive", (long long)o->least,
                       (long long)o->most);
    return OK;
}

/* Words in lower case as in the table, numbers in decimal, memory in bytes. */
static void plain_text(const struct option *o, struct slice text, int64_t number, struct buf *out)
{
    if (o->type == OPTION_BOOL || o->type == OPTION_ENUM)
        buf_append_str(out, o->words[number]);
    else if (o->type == OPTION_STRING)
        buf_append_slice(out, text);
    else
        buf_append_format(out, (o->flags & OPTION_OCTAL) != 0 ? "%llo" : "%lld", (long long)number);
}

enum err value_take(const struct option *o, struct slice old, char *const *words, size_t count, struct buf *text,
                    int64_t *number)
{
    if (o->type != OPTION_LIST && count != 1)
        return invalid("wrong number of arguments");
    if (o->shape != NULL)
        return o->shape(old, words, count, text, number);
    if (o->type != OPTION_LIST) {
        TRY(plain_parse(o, slice_str(words[0]), number));
        plain_text(o, slice_str(words[0]), *number, text);
        return OK;
    }
    *number = (int64_t)count;
    if ((o->flags & OPTION_MANY) != 0) {
        if (count == 0)
            return invalid("Bad directive or wrong number of arguments");
        buf_append_slice(text, old);
        if (old.size > 0)
            buf_append_byte(text, '\n');
    }
    for (size_t i = 0; i < count; i++)
        shape_word(text, words[i]);
    return OK;
}

enum err value_parse(const struct option *o, struct slice old, struct slice value, struct buf *text, int64_t *number)
{
    char **words = NULL;
    size_t count = 0;
    enum err e;

    if (value.size > 0 && memchr(value.data, '\0', value.size) != NULL)
        return invalid("argument must not hold a zero byte");
    if (o->type == OPTION_LIST) {
        TRY(config_split(value, &words, &count));
    } else {
        words = malloc(sizeof *words);
        check(words != NULL);
        words[0] = strndup(value.size > 0 ? (const char *)value.data : "", value.size);
        check(words[0] != NULL);
        count = 1;
    }
    e = value_take(o, old, words, count, text, number);
    config_words_free(words, count);
    return e;
}

void value_store(struct config *c, size_t option, struct slice text, int64_t number)
{
    struct value *v = &c->values[option];

    buf_clear(&v->text);
    buf_append_slice(&v->text, text);
    atomic_store(&v->number, number);
}

struct config *config_new(void)
{
    struct config *c = calloc(1, sizeof *c + option_count * sizeof *c->values);
    struct buf text = {0};

    check(c != NULL);
    pthread_mutex_init(&c->change, NULL);
    pthread_mutex_init(&c->lock, NULL);
    for (size_t i = 0; i < option_count; i++) {
        struct slice none = {0};
        int64_t number = 0;

        buf_clear(&text);
        if ((option_table[i].flags & OPTION_MANY) == 0)
            check(value_parse(&option_table[i], none, slice_str(option_table[i].standard), &text, &number) == OK);
        value_store(c, i, buf_slice(&text), number);
    }
    buf_free(&text);
    return c;
}

void config_free(struct config *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < option_count; i++)
        buf_free(&c->values[i].text);
    while (c->listeners != NULL) {
        struct listener *l = c->listeners;

        c->listeners = l->next;
        free(l);
    }
    free(c->file);
    pthread_mutex_destroy(&c->change);
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

static bool concerns(const struct listener *l, const struct config_change *changes, size_t count, size_t *which)
{
    for (*which = 0; *which < count; ++*which)
        if (changes[*which].option == l->option)
            return true;
    return false;
}

/* A function that listens to several options is told once. */
static bool was_told(const struct config *c, const struct listener *l, const struct config_change *changes,
                     size_t count)
{
    size_t which;

    for (const struct listener *before = c->listeners; before != l; before = before->next)
        if (before->fn == l->fn && before->context == l->context && concerns(before, changes, count, &which))
            return true;
    return false;
}

static enum err tell(struct config *c, const struct config_change *changes, size_t count, size_t *failed)
{
    size_t which;

    for (const struct listener *l = c->listeners; l != NULL; l = l->next)
        if (concerns(l, changes, count, &which) && !was_told(c, l, changes, count)) {
            *failed = which;
            TRY(l->fn(l->context, c));
        }
    return OK;
}

struct draft {
    struct buf text, before;
    int64_t number, number_before;
    bool was_set;
};

/* client-output-buffer-limit keeps the classes that are not named. */
static bool keeps_old(const struct option *o)
{
    return o->shape == shape_output_limits;
}

static enum err prepare(struct config *c, const struct config_change *changes, size_t i, bool may_protected,
                        struct draft *d)
{
    const struct option *o = &option_table[changes[i].option];
    const struct value *v = &c->values[changes[i].option];

    if ((o->flags & OPTION_PROTECTED) != 0 && !may_protected)
        return invalid("can't set protected config");
    if ((o->flags & OPTION_IMMUTABLE) != 0)
        return invalid("can't set immutable config");
    for (size_t k = 0; k < i; k++)
        if (changes[k].option == changes[i].option && slice_equal(changes[k].name, changes[i].name))
            return invalid("duplicate parameter");
    config_text(c, changes[i].option, &d->before);
    d->number_before = atomic_load(&v->number);
    d->was_set = atomic_load(&v->set);
    return value_parse(o, keeps_old(o) ? buf_slice(&d->before) : (struct slice){0}, changes[i].value, &d->text,
                       &d->number);
}

static void store_all(struct config *c, const struct config_change *changes, size_t count, const struct draft *drafts)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < count; i++) {
        value_store(c, changes[i].option, buf_slice(&drafts[i].text), drafts[i].number);
        atomic_store(&c->values[changes[i].option].set, true);
    }
    pthread_mutex_unlock(&c->lock);
}

static void restore_all(struct config *c, const struct config_change *changes, size_t count, const struct draft *drafts)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = count; i-- > 0;) {
        value_store(c, changes[i].option, buf_slice(&drafts[i].before), drafts[i].number_before);
        atomic_store(&c->values[changes[i].option].set, drafts[i].was_set);
    }
    pthread_mutex_unlock(&c->lock);
}

/* Somebody cannot live with the change: everything as it was, and all are told so. */
static enum err take_back(struct config *c, const struct config_change *changes, size_t count,
                          const struct draft *drafts, enum err e)
{
    char why[256];
    size_t ignored;

    snprintf(why, sizeof why, "%s", err_text());
    restore_all(c, changes, count, drafts);
    if (tell(c, changes, count, &ignored) != OK)
        log_event(LOG_WARNING, "a setting could not be restored: option=%s error=\"%s\"",
                  option_table[changes[ignored].option].name, err_text());
    return err_set(e, "%s", why);
}

enum err config_set(struct config *c, const struct config_change *changes, size_t count, bool may_protected,
                    size_t *failed)
{
    struct draft *drafts = calloc(count, sizeof *drafts);
    enum err e = OK;

    check(drafts != NULL);
    pthread_mutex_lock(&c->change);
    for (size_t i = 0; i < count && e == OK; i++) {
        *failed = i;
        e = prepare(c, changes, i, may_protected, &drafts[i]);
    }
    if (e == OK) {
        store_all(c, changes, count, drafts);
        if ((e = tell(c, changes, count, failed)) != OK)
            e = take_back(c, changes, count, drafts, e);
    }
    pthread_mutex_unlock(&c->change);
    for (size_t i = 0; i < count; i++) {
        buf_free(&drafts[i].text);
        buf_free(&drafts[i].before);
    }
    free(drafts);
    return e;
}
